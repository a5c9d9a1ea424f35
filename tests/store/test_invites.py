"""Invites in a real Redis: as many numbers as uses, whoever asks at once; one line beside the other, seats shared."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.store.room_support import START_S, TestRoom, room_in
from waitroom.core.invites import Invite
from waitroom.core.meter import Limits
from waitroom.core.sale.schedule import Schedule, write_new_sale
from waitroom.store.invites import Redeemed, invited_of, note_batch, redeem, revoke
from waitroom.store.keys import INVITED
from waitroom.store.memory import Memory
from waitroom.store.replies import Claimant, Renewal
from waitroom.store.sale import change_sale, latch

LIMITS = Limits(10.0, 5.0)
EXPIRES_MS = (START_S + 3600) * 1000


def invite(serial: int = 1, *, uses: int = 1) -> Invite:
    return Invite("batch1", serial, uses, False, EXPIRES_MS)


def visitor() -> str:
    return secrets.token_hex(16)


@asynccontextmanager
async def two_lines(url: str, limits: Limits = LIMITS) -> AsyncIterator[tuple[TestRoom, TestRoom]]:
    """A room's first line, and that of the invited."""
    async with room_in(url, limits) as first:
        name = first.room.keys.prefix[len("waitroom:{") : -2]
        beside = invited_of(first.room, name)
        assert beside.keys.prefix.endswith(f":{INVITED}:")
        assert await beside.create(limits, wait_ms=0) == "ok"
        invited = TestRoom(beside, first.clock)
        await invited.sync()
        yield first, invited


async def test_of_many_at_once_as_many_get_a_number_as_the_invite_has_uses(redis_url: str) -> None:
    async with two_lines(redis_url) as (first, invited):
        asked = await asyncio.gather(*(redeem(invited.room, invite(uses=3), visitor()) for _ in range(100)))

        given = [one for one in asked if isinstance(one, Redeemed)]
        assert sorted(one.number for one in given) == [0, 1, 2]
        assert asked.count("used") == 97
        assert ((await invited.sync()).state.issued, (await first.sync()).state.issued) == (3, 0)


async def test_a_browser_that_repeats_has_one_number_also_at_the_same_time(redis_url: str) -> None:
    async with two_lines(redis_url) as (_, invited):
        guest = visitor()

        asked = await asyncio.gather(*(redeem(invited.room, invite(), guest) for _ in range(50)))

        assert set(asked) == {Redeemed(invited.generation, 0)}
        assert (await invited.sync()).state.issued == 1
        assert await redeem(invited.room, invite(), visitor()) == "used"


async def test_a_turn_that_lapsed_untaken_can_be_had_again_once_and_a_taken_one_not(redis_url: str) -> None:
    async with two_lines(redis_url) as (_, invited):
        taker, sleeper = visitor(), visitor()
        assert await redeem(invited.room, invite(1), taker) == Redeemed(invited.generation, 0)
        assert await redeem(invited.room, invite(2), sleeper) == Redeemed(invited.generation, 1)
        await invited.beat(0, 1)
        await invited.move_front(2)
        (claimed,) = await invited.claim(0, visitor=taker)
        assert claimed.outcome == "admit"
        await invited.move_front(2, lapsed=2)

        again = await asyncio.gather(*(redeem(invited.room, invite(2), sleeper) for _ in range(20)))

        assert set(again) == {Redeemed(invited.generation, 2)}
        assert await redeem(invited.room, invite(1), taker) == "used"
        # Once it is forgotten who claimed, nobody is believed not to have.
        await invited.move_front(3, lapsed=3)
        await invited.redis.delete(*invited.room.keys.claims(invited.generation, 0))
        assert await redeem(invited.room, invite(2), sleeper) == "used"


async def test_after_a_reset_a_browser_that_used_an_invite_gets_a_new_number(redis_url: str) -> None:
    async with two_lines(redis_url) as (_, invited):
        guest = visitor()
        await redeem(invited.room, invite(), guest)
        await invited.room.reset(invited.state, by="a test", keep_ms=1000)
        await invited.sync(generation="")

        assert await redeem(invited.room, invite(), guest) == Redeemed(invited.generation, 0)
        assert await redeem(invited.room, invite(), visitor()) == "used"


async def test_whoever_was_admitted_by_an_invite_is_not_given_a_place_by_it_in_the_next_sale(redis_url: str) -> None:
    """Cause: after a reset, and after a sale was newly set, nobody looked whether the turn before it had been taken.
    Effect: an invite for one visit was good for another one.
    """
    async with two_lines(redis_url) as (first, invited):
        taker, sleeper = visitor(), visitor()
        await redeem(invited.room, invite(1), taker)
        await redeem(invited.room, invite(2), sleeper)
        await invited.beat(0, 1)
        await invited.move_front(2)
        await invited.claim(0, visitor=taker)

        opens_ms = (START_S + 3000) * 1000
        await change_sale(first.room, write_new_sale(Schedule(opens_ms, opens_ms, 0, "drain", 0)), by="a test")
        await latch(invited.room, (await invited.sync()).state, keep_ms=1000)
        await invited.sync(generation="")
        await invited.pass_time(3000)

        assert await redeem(invited.room, invite(1), taker) == "used"
        assert await redeem(invited.room, invite(2), sleeper) == Redeemed(invited.generation, 0)


async def test_an_invite_ends_with_its_time_and_when_it_or_its_batch_is_taken_back(redis_url: str) -> None:
    async with two_lines(redis_url) as (first, invited):
        await note_batch(first.room, "batch1", {"count": "9"}, expires_ms=EXPIRES_MS)
        assert await revoke(first.room, "batch1", 1, by="a test") == {"count": "9"}
        assert await revoke(first.room, "nobody", None, by="a test") is None

        assert await redeem(invited.room, invite(1), visitor()) == "revoked"
        assert isinstance(await redeem(invited.room, invite(2), visitor()), Redeemed)
        await revoke(first.room, "batch1", None, by="a test")
        assert await redeem(invited.room, invite(3), visitor()) == "revoked"
        await first.clock.set(EXPIRES_MS * 1000)
        assert await redeem(invited.room, invite(4)._replace(batch="batch2"), visitor()) == "expired"
        for key in ("batch:batch1", "invite:batch1-2"):
            left_ms = await first.redis.pttl(first.room.keys.of_room + key)
            assert left_ms > 0, "nothing of an invite is kept for ever"


async def test_both_lines_count_the_same_seats(redis_url: str) -> None:
    """P2 over both."""
    async with two_lines(redis_url, Limits(1000.0, 100.0, max_active=30)) as (first, invited):
        for serial in range(40):
            await redeem(invited.room, invite(serial), f"{serial:032x}")
        await first.enter(40)
        for line in (first, invited):
            await line.sync()
            await line.beat(*range(40))
            await line.move_front(40)

        claims = []
        for place in range(40):
            claims += [first.claim(place), invited.room.claim(
                invited.generation, [Claimant(place, f"{place:032x}")], call_id=secrets.token_hex(8),
                seat_ms=600_000, repeat_ms=120_000, now_ms=first.clock.now_ms,
            )]  # fmt: skip
        outcomes = [one.outcome for answer in await asyncio.gather(*claims) for one in answer]

        assert outcomes.count("admit") == 30
        assert (await first.sync()).seats == (await invited.sync()).seats == 30
        # A seat given back by one line is free for the other.
        (member, *_) = await first.redis.zrange(first.room.keys.active, 0, 0)
        generation, place = member.decode().split(":")
        await first.sync(renewals=[Renewal(generation, int(place), 0)])
        assert (await invited.sync()).seats == 29
        assert member in invited.snapshot.ended if invited.snapshot is not None else False


async def test_a_number_redeemed_right_before_a_loss_is_a_person_and_no_hole(redis_url: str) -> None:
    """P7: no snapshot of the worker that gave it counted it yet, so it lay among the numbers that nobody has, and
    nobody waited for its visitor.
    """
    async with two_lines(redis_url) as (_, invited):
        memory, before = Memory(), await invited.sync()
        given = await redeem(invited.room, invite(), visitor(), memory=memory)
        await invited.redis.delete(invited.room.keys.state)

        assert await memory.tell(invited.room, before, before, idle_ms=60_000)

        assert given == Redeemed(before.state.generation, 0)
        assert (await invited.sync()).state.hole[0] == 1


async def test_seats_that_a_lost_redis_forgot_come_back_to_both_lines(redis_url: str) -> None:
    """P2. Each line counted them for itself, so who came back by one line still filled the room for the other."""
    async with two_lines(redis_url, Limits(100.0, 100.0, max_active=10)) as (first, invited):
        await first.enter(10, spot=True)
        await redeem(invited.room, invite(), visitor())
        remembered, beside = await first.sync(), await invited.sync()
        for key in await first.redis.keys(f"{first.room.keys.prefix}*"):
            await first.redis.delete(key)

        for room, before in ((first, remembered), (invited, beside)):
            assert await room.room.adopt(before, session_idle_ms=600_000)
        await first.clock.pass_s(3)
        full = (await first.sync()).seats, (await invited.sync()).seats
        end_ms = round(first.clock.now_ms) + 600_000
        await first.sync(renewals=[Renewal(first.generation, place, end_ms) for place in range(7)])
        await first.sync(renewals=[Renewal(first.generation, place, 0) for place in range(2)])
        left = (await first.sync()).seats, (await invited.sync()).seats

        assert full == (10, 10)
        assert left == (8, 8)
