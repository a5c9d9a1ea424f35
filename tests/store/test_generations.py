"""What was given or said before a reset, or before a Redis was lost, does not count for more than it was."""

from dataclasses import replace

from tests.store.room_support import room_in
from tests.store.test_invites import invite, two_lines, visitor
from tests.store.test_phases import NOW_MS, View, at, sale_in
from waitroom.core.meter import Limits
from waitroom.core.sale.schedule import NO_SALE, Step
from waitroom.core.settings import Settings
from waitroom.store.invites import Redeemed, redeem
from waitroom.store.room import Room
from waitroom.store.sale import Selling


async def test_an_answer_that_was_lost_before_a_reset_is_not_repeated_after_it(redis_url: str) -> None:
    """P4: its numbers are of the old generation, and given to others in the new one."""
    async with room_in(redis_url, Limits(10.0, 5.0)) as room:
        await room.enter(3, call_id="lost")
        await room.room.reset(room.state, by="a test", keep_ms=1000)
        await room.sync(generation="")

        again = await room.enter(3, call_id="lost")
        others = await room.enter(3)

        numbers = [entry.number for entry in (*again, *others) if entry is not None]
        assert numbers == [0, 1, 2, 3, 4, 5]


async def test_a_turn_that_was_not_taken_before_a_reset_says_nothing_of_the_one_after_it(redis_url: str) -> None:
    """It has the same number; that the first was not taken does not make an invite good once more."""
    async with two_lines(redis_url) as (_, invited):
        guest = visitor()
        await redeem(invited.room, invite(), guest)
        await redeem(invited.room, invite(2), visitor())
        await invited.beat(0, 1)
        await invited.move_front(2)
        await invited.claim(1, visitor="f" * 32)  # so that there are bits of the old generation
        await invited.room.reset(invited.state, by="a test", keep_ms=600_000)
        await invited.sync(generation="")
        assert await redeem(invited.room, invite(), guest) == Redeemed(invited.generation, 0)
        await invited.beat(0)
        await invited.move_front(1)
        (claimed,) = await invited.claim(0, visitor=guest)
        await invited.move_front(1, lapsed=1)

        assert claimed.outcome == "admit"
        assert await redeem(invited.room, invite(), guest) == "used"


async def test_no_draw_is_made_again_before_the_slowest_worker_has_said_what_it_remembers(redis_url: str) -> None:
    """P7: while Redis is ill a worker asks it once in a second and a half at the least."""
    async with sale_in(redis_url) as room:
        await at(room, 150)
        await room.enter(5)
        older = dict(room.state.fields)
        await at(room, 340)
        remembered = room.snapshot
        assert remembered is not None
        await room.set(**{**older, "server": "0" * 40})
        ignorant = Room(room.room.client, room.room.keys.prefix[len("waitroom:{") : -2])
        await ignorant.adopt(None, session_idle_ms=1000)
        await room.clock.pass_s(1.6)

        await room.sync(generation="")
        await room.catch_up()  # all that the worker which knows nothing does: it would draw, and reveal the seed
        await room.room.adopt(remembered, session_idle_ms=1000)
        sale = (await room.sync(generation="")).state.sale

        assert (sale.latched, sale.lobby_size, sale.drawn_ms) == ("drawn", 5, NOW_MS + 340_000)


async def test_what_the_shop_says_after_a_loss_does_not_make_a_memory_count_for_nothing(redis_url: str) -> None:
    """One worker remembers that the sale is sold out; Redis, and the worker that adopts it, do not."""
    settings = Settings.model_validate({"origin": "http://x"})
    async with room_in(redis_url, Limits(10.0, 5.0)) as room:
        await room.enter(2)
        older = dict((await room.sync()).state.fields)
        aware = Selling(View(room.room, settings, room.snapshot, room.drawing(), room.clock))
        aware.sell_out()
        await aware.settle()
        remembered = await room.sync()
        await room.redis.delete(room.room.keys.state)
        await room.set(**{**older, "server": "0" * 40})
        await room.room.adopt(None, session_idle_ms=1000)
        view = View(room.room, settings, await room.sync(generation=""), room.drawing(), room.clock)
        late = Selling(view)
        late.set_stock(7)
        await late.settle()

        await room.room.adopt(remembered, session_idle_ms=1000)
        merged = (await room.sync(generation="")).state.sale
        await room.clock.pass_s(3)
        view.snapshot = await room.sync(generation="")
        await late.settle()

        assert remembered.state.sale.is_sold_out
        assert merged.is_sold_out
        assert (await room.sync(generation="")).state.sale.is_sold_out


def test_a_phase_lasts_until_the_next_change_and_not_until_the_first_that_is_listed() -> None:
    """A draw whose note came late opens after the sale has closed."""
    sale = replace(NO_SALE, steps=(Step(0, "drawn"), Step(1000, "open"), Step(500, "closed")))

    assert (sale.phase(400), sale.until_ms(400)) == ("drawn", 500)
