"""The phases of a sale in a real Redis whose clock the test turns: what each allows, and that each is latched once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from tests.store.room_support import START_S, Clock, TestRoom, room_in
from waitroom.core.meter import Limits
from waitroom.core.model import Snapshot
from waitroom.core.sale.schedule import Schedule, write_new_sale
from waitroom.core.settings import Settings
from waitroom.core.times import iso_utc
from waitroom.store.drawing import Drawing
from waitroom.store.overview import read_log
from waitroom.store.replies import PhaseDue
from waitroom.store.room import Room
from waitroom.store.sale import Moved, Selling, change_sale, latch

LIMITS = Limits(10, 10)
NOW_MS = START_S * 1000
LOBBY_S, OPENS_S, LEAD_S, CLOSES_S = 100, 400, 60, 1000


def schedule(*, at_close: str = "drain", lobby_s: int = LOBBY_S) -> Schedule:
    return Schedule(
        opens_ms=NOW_MS + OPENS_S * 1000,
        lobby_ms=NOW_MS + lobby_s * 1000,
        closes_ms=NOW_MS + CLOSES_S * 1000,
        at_close=at_close,  # type: ignore[arg-type]
        lead_ms=LEAD_S * 1000,
    )


@asynccontextmanager
async def sale_in(url: str, given: Schedule | None = None) -> AsyncIterator[TestRoom]:
    async with room_in(url, LIMITS) as room:
        await change_sale(room.room, write_new_sale(given or schedule()), by="test")
        await room.sync()
        yield room


async def at(room: TestRoom, second: float) -> str | None:
    """Turn the clock to so long after the start, and latch what is due."""
    await room.clock.set((START_S + second) * 1e6)
    return await room.catch_up()


async def phases_logged(room: TestRoom) -> list[str]:
    entries = await read_log(room.room, 1000)
    return [entry["phase"] for entry in reversed(entries) if entry["event"] == "phase_changed"]


async def numbers(room: TestRoom, people: int = 3, *, spot: bool = False) -> int:
    """How many of so many newcomers got a number."""
    return sum(entry is not None for entry in await room.enter(people, spot=spot))


async def test_a_sale_goes_through_its_phases_and_logs_each_once(redis_url: str) -> None:
    async with sale_in(redis_url) as room:
        came = [await at(room, second) for second in (0, 99.999, 100, 339.999, 340, 399.999, 400, 999.999)]
        came += [await at(room, 1000)]

        assert came == ["before", "before", "lobby", "lobby", "drawn", "drawn", "open", "open", "closed"]
        assert await phases_logged(room) == ["lobby", "drawn", "open", "draining", "closed"]


async def test_before_the_lobby_nobody_gets_a_number_and_in_it_nobody_is_let_in(redis_url: str) -> None:
    async with sale_in(redis_url) as room:
        await at(room, 50)
        before = await numbers(room, spot=True)
        await at(room, 150)
        in_lobby = await room.enter(3, spot=True)
        await room.move_front(3)
        moved = await room.move_front(3)
        claimed = await room.claim(0)

        assert before == 0
        assert [(entry.number, entry.admit_ms) for entry in in_lobby if entry] == [(0, None), (1, None), (2, None)]
        assert (moved, room.state.front, claimed[0].outcome) == ("ok", 0, "waiting")


async def test_from_the_opening_on_the_line_moves_as_ever(redis_url: str) -> None:
    async with sale_in(redis_url) as room:
        await at(room, 150)
        await room.enter(2)
        await at(room, 340)
        await at(room, 400)
        await room.move_front(2)
        await room.move_front(2)
        claimed = await room.claim(0, 1)
        on_the_spot = await room.enter(1, spot=True)

        assert [claim.outcome for claim in claimed] == ["admit", "admit"]
        assert on_the_spot[0] is not None
        assert on_the_spot[0].admit_ms is not None


async def test_nothing_is_given_before_a_change_that_is_due_is_latched(redis_url: str) -> None:
    """N is fixed by the first script after the instant: no number slips in between the two."""
    async with sale_in(redis_url) as room:
        await at(room, 150)
        await room.enter(5)
        await room.clock.set((START_S + 340) * 1e6)

        with pytest.raises(PhaseDue):
            await room.enter(1)
        with pytest.raises(PhaseDue):
            await room.claim(0)
        assert await latch(room.room, room.state, keep_ms=1000) == "drawn"
        await room.enter(2)
        await room.sync()
        sale = room.state.sale

        assert (sale.lobby_size, sale.drawn_ms, room.state.issued) == (5, NOW_MS + 340_000, 7)


async def test_many_who_find_a_change_due_latch_it_once(redis_url: str) -> None:
    async with sale_in(redis_url) as room:
        await at(room, 150)
        await room.enter(5)
        await room.clock.set((START_S + 340) * 1e6)

        found = await asyncio.gather(*(latch(room.room, room.state, keep_ms=1000) for _ in range(50)))

        assert set(found) == {"drawn"}
        assert await phases_logged(room) == ["lobby", "drawn"]


async def test_after_an_outage_over_the_draw_the_opening_waits_for_the_lead(redis_url: str) -> None:
    async with sale_in(redis_url) as room:
        await at(room, 150)
        await room.enter(5)

        late = [await at(room, second) for second in (500, 559.999, 560)]

        assert late == ["drawn", "drawn", "open"]
        assert room.state.sale.opening_ms == NOW_MS + 560_000


@pytest.mark.parametrize(
    ("at_close", "phases"),
    [("drain", ["lobby", "drawn", "open", "draining", "closed"]), ("stop", ["lobby", "closed"])],
)
async def test_after_an_outage_over_everything_each_phase_is_made_up_for(
    redis_url: str, at_close: str, phases: list[str]
) -> None:
    async with sale_in(redis_url, schedule(at_close=at_close)) as room:
        assert await at(room, 5000) == "closed"
        assert await phases_logged(room) == phases


async def test_people_of_a_lobby_that_came_to_nothing_still_get_their_turn_and_nobody_new_does(redis_url: str) -> None:
    """Redis was away from the lobby until after closing: `drain` means them, too."""
    async with sale_in(redis_url) as room:
        await at(room, 150)
        await room.enter(5)

        late = [await at(room, second) for second in (2000, 2060)]
        too_late = await numbers(room)

        assert late == ["drawn", "draining"]
        assert too_late == 0


async def test_after_closing_the_line_drains_and_nobody_new_comes(redis_url: str) -> None:
    async with sale_in(redis_url) as room:
        await at(room, 400)
        await room.enter(3)
        assert await at(room, 1000) == "draining"
        new = await numbers(room, spot=True)
        await room.move_front(3)
        await room.move_front(3)
        claimed = await room.claim(0, 1)
        still = room.state.sale.latched
        await room.move_front(3, lapsed=3)
        over = await at(room, 1002)

        assert new == 0
        assert [claim.outcome for claim in claimed] == ["admit", "admit"]
        assert (still, over) == ("draining", "closed"), "closed when the last turn is over"


async def test_closing_with_stop_ends_the_line_and_a_claim_made_before_can_be_repeated(redis_url: str) -> None:
    """P4, P9: the answer to a claim may get lost in that very second."""
    async with sale_in(redis_url, schedule(at_close="stop")) as room:
        await at(room, 400)
        await at(room, 990)
        await room.enter(4)
        await room.move_front(2)
        await room.move_front(2)
        first = await room.claim(0)
        assert await at(room, 1000) == "closed"
        again, late, waiting = await room.claim(0), await room.claim(1), await room.claim(2)
        await room.move_front(4)

        assert [first[0].outcome, again[0].outcome] == ["admit", "again"]
        assert [late[0].outcome, waiting[0].outcome] == ["waiting", "waiting"]
        assert room.state.front == 2


async def test_sold_out_stops_everything_but_what_was_given_and_can_be_taken_back(redis_url: str) -> None:
    async with sale_in(redis_url) as room:
        await at(room, 400)
        await room.enter(4)
        await room.move_front(2)
        await room.move_front(2)
        await room.claim(0)
        await change_sale(room.room, {"stock": "0", "sold_out": "1"}, by="shop")
        await room.sync()
        phase = room.state.sale.phase(room.clock.now_ms)
        refused = [(await room.claim(1))[0].outcome, (await room.claim(0))[0].outcome, await numbers(room, spot=True)]
        undone = await change_sale(room.room, {"stock": "7", "sold_out": "0"}, by="shop")
        await change_sale(room.room, {"stock": "7", "sold_out": "0"}, by="operator")
        await room.sync()

        assert phase == "sold_out"
        assert refused == ["waiting", "again", 0]
        assert not undone, "an answer of the shop's that comes late takes nothing back"
        assert (room.state.sale.phase(room.clock.now_ms), room.state.sale.stock) == ("open", 7)
        assert (await room.claim(1))[0].outcome == "admit"


async def test_sold_out_needs_no_schedule(redis_url: str) -> None:
    async with room_in(redis_url, LIMITS) as room:
        await change_sale(room.room, {"sold_out": "1"}, by="operator")
        refused = await numbers(room, spot=True)
        await change_sale(room.room, {"sold_out": "0"}, by="operator")

        assert (refused, await numbers(room)) == (0, 3)


async def test_without_a_lobby_numbers_begin_with_the_sale(redis_url: str) -> None:
    async with sale_in(redis_url, schedule(lobby_s=OPENS_S)) as room:
        assert await at(room, 399.999) == "before"
        assert await at(room, 400) == "open"
        entries = await room.enter(1, spot=True)

        assert room.state.sale.lobby_size == 0
        assert entries[0] is not None
        assert entries[0].admit_ms is not None


async def test_a_lobby_that_opens_in_a_used_room_starts_a_new_generation(redis_url: str) -> None:
    """Several sales in turn: tickets of the first are worth nothing in the second, people inside stay."""
    async with sale_in(redis_url, schedule(at_close="stop")) as room:
        await at(room, 400)
        entries = await room.enter(6, spot=True)
        first = room.generation
        await at(room, 1000)
        later = Schedule(NOW_MS + 9000_000, NOW_MS + 8000_000, 0, "drain", 60_000)
        await change_sale(room.room, write_new_sale(later), by="operator", phase="closed")
        between = await at(room, 5000)
        same = room.generation
        assert await at(room, 8000) == "lobby"
        again = await room.enter(1)

        assert (between, same) == ("before", first)
        assert room.generation != first
        assert again[0] is not None
        assert again[0].number == 0
        assert room.snapshot is not None
        assert sum(entry is not None for entry in entries) == 6
        assert await phases_logged(room) == ["lobby", "drawn", "open", "closed", "lobby"]


async def test_a_lobby_that_opens_in_a_fresh_room_keeps_its_generation(redis_url: str) -> None:
    async with sale_in(redis_url) as room:
        first = room.generation
        await at(room, 150)

        assert room.generation == first


async def test_a_change_meant_for_another_phase_is_refused(redis_url: str) -> None:
    async with sale_in(redis_url) as room:
        await at(room, 150)

        with pytest.raises(Moved):
            await change_sale(room.room, {"closes_at": "0"}, by="operator", phase="before")


async def test_a_reset_after_the_draw_leaves_nobody_in_it(redis_url: str) -> None:
    async with sale_in(redis_url) as room:
        await at(room, 150)
        await room.enter(5)
        await at(room, 340)
        await room.room.reset(room.state, by="operator", keep_ms=1000)

        assert await at(room, 400) == "open"
        assert room.state.sale.lobby_size == 0


async def test_a_redis_that_lost_its_last_second_is_told_of_the_draw(redis_url: str) -> None:
    """P7: it was made and shown to people; it is not made again among others."""
    async with sale_in(redis_url) as room:
        await at(room, 150)
        await room.enter(5)
        older = dict(room.state.fields)
        await at(room, 340)
        remembered = room.snapshot
        assert remembered is not None
        # A replica that heard nothing of it takes over: another replication id, the lobby still open.
        await room.set(**{**older, "server": "0" * 40})
        ignorant = Room(room.room.client, room.room.keys.prefix[len("waitroom:{") : -2])

        assert await ignorant.adopt(None, session_idle_ms=1000)
        snapshot = await room.sync(generation="")
        waits = await latch(room.room, snapshot.state, keep_ms=1000)
        assert await room.room.adopt(remembered, session_idle_ms=1000)
        sale = (await room.sync(generation="")).state.sale

        assert waits is None, "not before every worker has said what it remembers"
        assert (sale.latched, sale.lobby_size, sale.drawn_ms) == ("drawn", 5, NOW_MS + 340_000)


async def test_a_redis_that_lost_everything_gets_the_sale_back(redis_url: str) -> None:
    async with sale_in(redis_url) as room:
        await at(room, 150)
        await room.enter(5)
        await at(room, 340)
        remembered = room.snapshot
        assert remembered is not None
        before = remembered.state.sale
        await room.redis.delete(*await room.keys())

        assert await room.room.adopt(remembered, session_idle_ms=1000)

        assert (await room.sync()).state.sale == before
        assert await at(room, 401) == "open"


async def test_a_new_generation_is_not_held_up_by_a_gap_of_a_clock_that_went_back(redis_url: str) -> None:
    """Found by a history: a fail-over to a slow clock, and a new line before the next release. Nobody was called before
    the clock had come to the old gap again, an hour later.
    """
    async with room_in(redis_url, LIMITS) as room:
        await room.set(gap=NOW_MS)
        await room.clock.pass_s(-3600)

        await room.room.reset((await room.sync()).state, by="operator", keep_ms=1000)

        assert (await room.sync(generation="")).state.gap_ms == NOW_MS - 3_600_000


@dataclass
class View:
    """What a worker's part sees of its line."""

    room: Room
    settings: Settings
    snapshot: Snapshot | None
    drawing: Drawing
    clock: Clock

    def now_ms(self) -> float:
        return self.clock.now_ms


async def test_a_deployed_schedule_waits_for_a_newer_snapshot_where_the_sale_went_on_and_then_puts_it_off(
    redis_url: str,
) -> None:
    """The lobby is latched by another worker between this one's sync and its change; the draw has not been."""
    put_off = iso_utc(NOW_MS + 2 * OPENS_S * 1000)
    settings = Settings.model_validate({"origin": "http://x", "opens_at": put_off, "lobby_at": f"{OPENS_S}s"})
    async with sale_in(redis_url) as room:
        before = room.snapshot
        assert before is not None
        selling = Selling(View(room.room, settings, before, room.drawing(), room.clock))
        await at(room, 150)
        assert room.snapshot is not None

        tried = await selling.apply_environment(before)
        done = await selling.apply_environment(room.snapshot)
        await selling.apply_environment(await room.sync())
        sale = (await room.sync()).state.sale

        assert (tried, done, sale.latched) == (False, True, "lobby")
        assert sale.schedule is not None
        assert sale.schedule.opens_ms == NOW_MS + 2 * OPENS_S * 1000
        assert [entry["event"] for entry in await read_log(room.room, 2)].count("sale_changed") == 1


async def test_what_the_shop_says_before_a_sale_is_not_about_it(redis_url: str) -> None:
    """Its last orders speak of the sale before; in the sale its word counts, and is told with the next round."""
    settings = Settings.model_validate({"origin": "http://x"})
    async with sale_in(redis_url) as room:
        view = View(room.room, settings, room.snapshot, room.drawing(), room.clock)
        selling = Selling(view)
        selling.sell_out()
        await selling.settle()
        early = (await room.sync()).state.sale.is_sold_out
        await at(room, 150)
        await at(room, 340)
        await at(room, 400)
        view.snapshot = room.snapshot
        selling.set_stock(7)
        await selling.settle()
        few = (await room.sync()).state.sale
        selling.set_stock(0)
        await selling.settle()
        none = (await room.sync()).state.sale

        assert not early
        assert (few.stock, few.is_sold_out) == (7, False)
        assert (none.stock, none.is_sold_out) == (0, True)
