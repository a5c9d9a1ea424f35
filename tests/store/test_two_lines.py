"""What is changed for a room with invites is changed for both of its lines, in the same moment."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations

import pytest

from tests.store.room_support import START_S, TestRoom
from tests.store.test_invites import invite, two_lines, visitor
from waitroom.core.changes import Wanted
from waitroom.core.invites import Split
from waitroom.core.meter import Limits
from waitroom.core.model import write_limits
from waitroom.core.sale.schedule import Schedule, write_new_sale
from waitroom.store.invites import Redeemed, redeem
from waitroom.store.operating import change, plan_change
from waitroom.store.overview import read_log
from waitroom.store.replies import GenerationGone, PhaseDue
from waitroom.store.sale import change_sale, latch

WHOLE = Limits(10.0, 10.0)


async def put_in_force(first: TestRoom, split: Split) -> None:
    await first.room.configure(split.fields(), by="test", invited=write_limits(split.invited))


async def called(room: TestRoom, people: int) -> range:
    start = (await room.sync()).state.issued
    await room.enter(people)
    await room.move_front(start + people)
    await room.move_front(start + people)
    return range(start, start + people)


async def admitted(room: TestRoom, places: range) -> dict[int, float]:
    """Place → when it is admitted (s), of those who are."""
    claims = zip(places, await room.claim(*places), strict=True)
    return {place: claim.admit_ms / 1000 for place, claim in claims if claim.admit_ms is not None}


def most_beyond(begins_s: Iterable[float], limits: Limits) -> float:
    """By how many admissions the fullest span exceeds burst + rate · t."""
    spans = combinations(enumerate(sorted(begins_s)), 2)
    return max(j - i + 1 - limits.burst - limits.rate_per_s * (end - start) for (i, start), (j, end) in spans)


@pytest.mark.parametrize(("before", "after"), [(0.8, 0.2), (0.2, 0.8)])
async def test_another_share_for_the_invited_gives_both_lines_no_more_than_the_room_may(
    redis_url: str, before: float, after: float
) -> None:
    """P1 of the sum. Cause: the line that gained was faster at once, beside what the other had reserved for two seconds
    at its old rate. Effect: a third more than burst + rate · t.
    """
    async with two_lines(redis_url, WHOLE) as (first, invited):
        await put_in_force(first, Split(before, WHOLE))
        losing, gaining = (invited, first) if after < before else (first, invited)
        crowds = {line: await called(line, 60) for line in (losing, gaining)}
        await first.clock.pass_s(1)
        begins_s = {(losing, place): at_s for place, at_s in (await admitted(losing, crowds[losing])).items()}

        await put_in_force(first, Split(after, WHOLE))
        for _ in range(16):
            for line, crowd in crowds.items():
                begins_s |= {(line, place): at_s for place, at_s in (await admitted(line, crowd)).items()}
            await first.clock.pass_s(0.25)

        assert len(begins_s) > 50
        assert most_beyond(begins_s.values(), WHOLE) <= 0.01


async def test_both_lines_change_with_one_call_and_the_log_says_it_once(redis_url: str) -> None:
    async with two_lines(redis_url, WHOLE) as (first, invited):
        split = Split(0.25, replace(WHOLE, max_active=7))

        for _ in range(2):
            await put_in_force(first, split)

        limits = (await first.sync()).state.limits, (await invited.sync()).state.limits
        assert limits == (split.first, split.invited)
        assert [entry["event"] for entry in await read_log(first.room, 10)].count("limits_changed") == 1


async def test_a_line_that_had_no_part_in_the_limits_brings_no_credit(redis_url: str) -> None:
    """P1: the burst of the whole room was spent by the first line a moment before it was split."""
    async with two_lines(redis_url, WHOLE) as (first, invited):
        begins_s = [*(await admitted(first, await called(first, 10))).values()]
        crowd = await called(invited, 20)

        await put_in_force(first, Split(0.5, WHOLE))
        begins_s += (await admitted(invited, crowd)).values()

        assert len(begins_s) > 15
        assert most_beyond(begins_s, WHOLE) <= 0.01


async def test_other_limits_let_nobody_with_an_invite_in_while_it_is_sold_out(redis_url: str) -> None:
    """What was asked for the line's end was the phase that is latched, and sold out is none: for a quarter of a second,
    until a worker looked, people with an invite came in, reserved for two more.
    """
    async with two_lines(redis_url, WHOLE) as (first, invited):
        await put_in_force(first, Split(0.5, WHOLE))
        await change_sale(first.room, {"sold_out": "1"}, by="test")
        crowd = await called(invited, 20)

        name = first.room.keys.prefix[len("waitroom:{") : -2]
        await change(first.room, await plan_change(first.room, name, Wanted({"rate": "20/s"})), by="test")

        assert (await invited.sync()).state.limits.hold
        assert not await admitted(invited, crowd)
        assert (await first.sync()).state.limits.rate_per_s == 10, "of 20/s half is for the invited"


async def test_a_place_of_before_a_sale_was_set_is_none_in_it_with_an_invite_either(redis_url: str) -> None:
    """Whoever had redeemed an invite that does not count before the opening came in before it."""
    async with two_lines(redis_url, WHOLE) as (first, invited):
        guest = visitor()
        await redeem(invited.room, invite(), guest)
        places = await called(invited, 1)
        opens_ms = (START_S + 3000) * 1000
        sale = Schedule(opens_ms, opens_ms - 900_000, 0, "drain", 60_000)

        await change_sale(first.room, write_new_sale(sale), by="test")

        with pytest.raises(PhaseDue):
            await invited.claim(*places)
        with pytest.raises(PhaseDue):
            await redeem(invited.room, invite(2), visitor())
        await latch(invited.room, (await invited.sync()).state, keep_ms=60_000)
        with pytest.raises(GenerationGone):
            await invited.claim(*places)
        anew = await invited.sync(generation="")
        assert (anew.state.issued, anew.state.ordinal) == (0, 2)
        assert await redeem(invited.room, invite(), guest) == Redeemed(anew.state.generation, 0)
        await latch(invited.room, anew.state, keep_ms=60_000)
        assert (await invited.sync()).state.generation == anew.state.generation
