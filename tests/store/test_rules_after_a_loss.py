"""Rules for a Redis that came back, lost something or went back in time; each with it and without it.

All were found by random histories.
"""

import asyncio
from dataclasses import replace

import pytest

from tests.store.line_simulation import LineSimulation, Person
from tests.store.room_support import TestRoom, room_in
from tests.store.test_room_rules import admitted, line_of, with_and_without
from waitroom.core.meter import HORIZON_US, Limits
from waitroom.core.model import read_state, write_limits
from waitroom.core.sale.schedule import Schedule, write_new_sale, write_schedule
from waitroom.core.settings import Settings
from waitroom.core.watch import Watch
from waitroom.store.operating import settled
from waitroom.store.replies import Renewal, Unsettled
from waitroom.store.sale import SHOP, change_sale

SETTINGS = Settings.model_validate({"origin": "http://127.0.0.1:1"})


async def lose(room: TestRoom, *granted: Renewal) -> None:
    """A server without data in the place of the one there was; the worker adopts with its last snapshot."""
    remembered = room.snapshot
    for key in await room.redis.keys(f"{room.room.keys.prefix}*"):
        await room.redis.delete(key)
    assert await room.room.adopt(remembered, session_idle_ms=600_000, granted=granted)
    await room.sync()


async def test_the_front_passes_the_hole_of_an_earlier_loss_at_once(one_redis_url: str) -> None:
    """P8: after a second loss whoever was not seen counts as there, but for numbers that nobody ever had.

    Cause: only the latest hole was remembered. Effect: the line called 131,000 people who do not exist, for 40 s.
    """

    async def front_after_15_s(room: TestRoom) -> int:
        simulation = LineSimulation(room, SETTINGS)
        await simulation.join(20)
        await lose(room)
        await room.enter(5)
        await room.sync()
        await lose(room)
        await simulation.run(15)
        return room.state.front

    kept, taken_out = await with_and_without(
        one_redis_url,
        Limits(10, 10),
        front_after_15_s,
        ("if tonumber(to) > tonumber(kept.front) then", "if false then"),
    )

    assert kept >= 196_608 + 5
    assert taken_out < 65_536


async def test_a_hole_that_was_found_stays_one_whoever_remembers_less_of_it(one_redis_url: str) -> None:
    """P8: a memory of an adoption that nobody else knew of splits the hole; one that knew the whole of it comes later.

    Cause: the list of earlier holes was replaced by that of any memory with the same last hole. Effect: 327,000 numbers
    that nobody ever had counted as people, and 28 who waited behind them were not called within 50 s.
    """

    async def nobodies(room: TestRoom) -> int:
        await room.enter(10)
        await room.sync()
        await lose(room)
        assert room.snapshot is not None
        whole, fields = room.snapshot, room.state.fields
        part = str(room.state.hole[1] - 65_536)
        unknown = replace(whole, state=read_state({**fields, "issued": part, "hole_end": part, "server": "another"}))
        await room.room.adopt(unknown, session_idle_ms=600_000)
        await room.room.adopt(whole, session_idle_ms=600_000)
        await room.sync()
        return whole.state.issued - 10 - sum(end - start for start, end in room.state.nobodies)

    kept, taken_out = await with_and_without(
        one_redis_url,
        Limits(10, 10),
        nobodies,
        ("later = tonumber(mine.hole) - tonumber(kept.hole)", "later = 1"),
    )

    assert kept == 0
    assert taken_out >= 65_536


async def test_a_clock_that_went_back_is_found_also_while_nobody_claims(one_redis_url: str) -> None:
    """P8. Cause: only a claim mended the meter, and who is not called does not claim. Effect: no call for an hour."""

    async def called_after_ten_seconds(room: TestRoom) -> int:
        await room.clock.pass_s(7200)
        await room.enter(23)
        assert await room.move_front(23) == "gap"
        assert await room.move_front(23) == "ok"
        simulation = LineSimulation(room, SETTINGS)
        simulation.people = [Person(place, 0.0, outcome="lapsed") for place in range(23)]
        await simulation.join(50)
        assert len(admitted(await room.claim(*range(23)))) == 23
        await room.clock.pass_s(-3600)
        await room.sync()
        await simulation.run(10)
        return room.state.front - 23

    rule = ("if r.next_at ~= next_at then", "if false then")
    kept, taken_out = await with_and_without(one_redis_url, Limits(10, 20), called_after_ten_seconds, rule)

    assert kept == 50
    assert taken_out == 0


async def test_a_new_rate_after_a_loss_gives_no_credit(one_redis_url: str) -> None:
    """P1: reservations that Redis lost may reach as far as the horizon. A change of rate counted only what it knew."""

    async def ahead_s(room: TestRoom) -> float:
        await line_of(room, 40)
        await lose(room)
        await room.set(adopted=0)  # as if every worker had settled at once
        await room.room.configure(write_limits(Limits(20, 20)), by="test")
        await room.clock.pass_s(1.1)
        return (admitted(await room.claim(5))[0] - room.clock.now_ms) / 1000 + 1.1

    rule = ("'last', micros(now + HORIZON), 'next_at'", "'next_at'")
    kept, taken_out = await with_and_without(one_redis_url, Limits(0.5, 3), ahead_s, rule)

    assert kept >= HORIZON_US / 1e6
    assert taken_out < 1.2


@pytest.mark.parametrize("writes_back", [True, False])
async def test_a_seat_given_since_the_last_sync_stays_counted(one_redis_url: str, writes_back: bool) -> None:
    """P2: no snapshot counts it, and Redis has lost it."""
    async with room_in(one_redis_url, Limits(100, 100, max_active=3)) as room:
        await line_of(room, 10)
        await room.claim(0, 1)
        await room.sync()
        (claim,) = await room.claim(2)
        assert claim.admit_ms is not None
        granted = [Renewal(room.generation, 2, round(claim.admit_ms) + 600_000)] if writes_back else []

        await lose(room, *granted)
        await room.clock.pass_s(3)
        more = admitted(await room.claim(3))

    assert len(more) == (0 if writes_back else 1)


async def test_no_seat_is_given_before_every_worker_could_put_its_own_back(one_redis_url: str) -> None:
    """P2: two workers, and the one that adopts first does not know of the seat that the other gave."""

    async def seats(room: TestRoom) -> int:
        await line_of(room, 10)
        (claim,) = await room.claim(0)
        assert claim.admit_ms is not None
        before = room.snapshot
        await lose(room)
        await room.clock.pass_s(0.5)
        early = len(admitted(await room.claim(1)))
        own = Renewal(room.generation, 0, round(claim.admit_ms) + 600_000)
        assert await room.room.adopt(before, session_idle_ms=600_000, granted=[own])
        await room.clock.pass_s(1)
        return 1 + early + len(admitted(await room.claim(2)))

    kept, taken_out = await with_and_without(
        one_redis_url,
        Limits(100, 1, max_active=1),
        seats,
        ("if is_recent(r.gap) then return 0 end", ""),
    )

    assert (kept, taken_out) == (1, 2)


async def test_whoever_left_the_door_blocks_nobody_after_the_clock_went_back(one_redis_url: str) -> None:
    """P3. Cause: who asked at a time to come never dropped out. Effect: 30 who left kept everybody out for an hour."""

    async def came_in(room: TestRoom) -> int:
        await line_of(room, 60)
        await room.claim(*range(30))
        await room.room.configure({"hold": "1"}, by="test")
        await room.claim(*range(30))
        await room.clock.pass_s(-3600)
        await room.room.configure({"hold": "0"}, by="test")
        await room.claim(40)
        await room.clock.pass_s(4)
        return len(admitted(await room.claim(40)))

    rule = (", {now_ms + 1000, '+inf'}", "")
    kept, taken_out = await with_and_without(one_redis_url, Limits(1, 1), came_in, rule)

    assert (kept, taken_out) == (1, 0)


async def test_the_best_count_of_seats_is_taken_whoever_adopts_first(one_redis_url: str) -> None:
    """P2: the first to adopt had stalled since before the room filled."""

    async def came_in_besides(room: TestRoom) -> int:
        await line_of(room, 10)
        stalled = room.snapshot
        await room.claim(0, 1, 2)
        fresh = await room.sync()
        room.snapshot = stalled
        await lose(room)
        assert await room.room.adopt(fresh, session_idle_ms=600_000)
        await room.clock.pass_s(5)
        return len(admitted(await room.claim(4)))

    rule = ("elseif ghosts > known_ghosts and", "elseif false and")
    kept, taken_out = await with_and_without(one_redis_url, Limits(100, 100, max_active=3), came_in_besides, rule)

    assert (kept, taken_out) == (0, 1)


@pytest.mark.parametrize("adopts_later", [False, True])
async def test_a_seat_given_back_is_not_taken_for_one_that_redis_forgot(one_redis_url: str, adopts_later: bool) -> None:
    """P8: a full room whose people leave just before Redis restarts with its data, or just after.

    Cause: who adopts remembers their seats, and Redis has none. Effect: for `session_idle` nobody came in.
    """

    async def came_in(room: TestRoom) -> int:
        await line_of(room, 10)
        await room.claim(0, 1, 2)
        remembered = await room.sync()

        async def restart() -> None:
            await room.redis.hset(room.room.keys.state, "server", "f" * 40)
            assert await room.room.adopt(remembered, session_idle_ms=600_000)

        if adopts_later:
            await restart()
        await room.sync(renewals=[Renewal(room.generation, place, 0) for place in range(3)])
        if adopts_later:
            assert await room.room.adopt(remembered, session_idle_ms=600_000)
        else:
            await restart()
        await room.clock.pass_s(5)
        return len(admitted(await room.claim(3, 4, 5)))

    rule = ("known_ghosts + forgotten", "math.huge")
    kept, taken_out = await with_and_without(one_redis_url, Limits(100, 100, max_active=3), came_in, rule)

    assert (kept, taken_out) == (3, 0)


async def test_only_as_many_seats_are_forgotten_as_admissions_were(one_redis_url: str) -> None:
    """P2: of three seats that somebody remembers, Redis lost one with its last moment, and two were given back."""
    async with room_in(one_redis_url, Limits(100, 100, max_active=3)) as room:
        await line_of(room, 10)
        await room.claim(0, 1)
        kept = await room.redis.hgetall(room.room.keys.state)
        await room.claim(2)
        remembered = await room.sync()
        await room.sync(renewals=[Renewal(room.generation, place, 0) for place in range(2)])
        await room.redis.zrem(room.room.keys.active, f"{room.generation}:2")
        await room.redis.hset(room.room.keys.state, mapping=kept | {b"server": b"f" * 40})

        assert await room.room.adopt(remembered, session_idle_ms=600_000)
        await room.clock.pass_s(5)

        assert len(admitted(await room.claim(3, 4, 5))) == 2


async def test_a_reservation_of_a_clock_that_went_back_gives_no_credit_to_a_new_rate(one_redis_url: str) -> None:
    """P1: the last admission reserved is the last one made, not the one that stands highest."""

    async def ahead_s(room: TestRoom) -> float:
        await line_of(room, 40)
        await room.clock.pass_s(60)
        await room.claim(0)
        await room.clock.pass_s(-2.35)
        await room.claim(*range(1, 20))
        await room.clock.pass_s(0.2)
        last = max(admitted(await room.claim(*range(1, 20))))
        await room.room.configure(write_limits(Limits(2, 1)), by="test")
        for _ in range(20):
            if more := admitted(await room.claim(*range(3, 20))):
                return (more[0] - last) / 1000
            await room.clock.pass_s(0.1)
        return 0

    rule = ("r.unlimited and math.max(r.last, at) or at", "math.max(r.last, at)")
    kept, taken_out = await with_and_without(one_redis_url, Limits(10, 1), ahead_s, rule)

    assert kept >= 0.5
    assert taken_out < 0.5


async def test_the_absent_are_skipped_also_after_the_clock_went_back(
    one_redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P8. Cause: numbers issued at a time to come counted as just issued. Effect: nobody was absent for an hour."""

    async def front_a_minute_later() -> int:
        async with room_in(one_redis_url, Limits(2, 1)) as room:
            simulation = LineSimulation(room, SETTINGS)
            await simulation.join(1500, leaving=1.0, leave_s=1)
            await simulation.run(5)
            await room.clock.pass_s(-3600)
            await simulation.run(60)
            return room.state.front

    kept = await front_a_minute_later()
    monkeypatch.setattr(Watch, "_forget_times_to_come", lambda *_: None)
    taken_out = await front_a_minute_later()

    assert kept == 1500
    assert taken_out < 1500


async def test_what_an_operator_changes_right_after_a_loss_waits_for_whoever_remembers_more(one_redis_url: str) -> None:
    """A worker that came a second later put its memory of the room over the change: its run was the newer one."""
    async with room_in(one_redis_url, Limits(10, 10)) as room:
        stale = room.snapshot
        await room.room.reset(room.state, by="test", keep_ms=1000)
        fresh = await room.sync(generation="")
        room.snapshot = stale
        await lose(room)
        await room.clock.pass_s(1.9)
        for refused in (
            room.room.configure({"hold": "1"}, by="test"),
            room.room.reset(room.state, by="test", keep_ms=1000),
            change_sale(room.room, {"sold_out": "1"}, by="test"),
        ):
            with pytest.raises(Unsettled):
                await refused
        held = asyncio.create_task(settled(lambda: room.room.configure({"hold": "1"}, by="test")))
        await asyncio.sleep(0)

        await room.room.adopt(fresh, session_idle_ms=1000)
        await room.clock.pass_s(2)
        await held

        after = await room.sync(generation="")
        assert (after.state.generation, after.state.limits.hold) == (fresh.state.generation, True)


async def test_an_operators_change_counts_for_more_than_what_followed_from_an_older_sale(one_redis_url: str) -> None:
    """A master that was cut off went on by its clock, with the one worker that still reached it.

    Cause: each change of phase, and each stock count, made a sale as much newer as an operator's change. Effect: with
    the worker's return the old schedule was in force again.
    """
    async with room_in(one_redis_url, Limits(10, 10)) as room:
        now_ms = int(room.clock.now_ms)
        sale = Schedule(now_ms + 60_000, now_ms + 10_000, 0, "drain", 20_000)
        await change_sale(room.room, write_new_sale(sale), by="test")
        both = (await room.sync()).state.fields
        later = replace(sale, opens_ms=sale.opens_ms + 600_000)
        await change_sale(room.room, write_schedule(later), by="test")
        after = (await room.sync()).state
        await room.set(**both)
        await room.clock.pass_s(70)
        await room.catch_up()
        for stock in range(9, 4, -1):
            await change_sale(room.room, {"stock": str(stock)}, by=SHOP)
        cut_off = await room.sync()
        await room.redis.hset(room.room.keys.state, mapping=dict(after.fields))

        assert await room.room.adopt(cut_off, session_idle_ms=1000)

        assert cut_off.state.sale.latched != after.sale.latched
        assert (await room.sync()).state.sale.schedule == later
