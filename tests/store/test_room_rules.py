"""Each rule that lives in a script, with it and without it: the second run shows what the rule is for.

A rule is taken out by replacing the line of the script that holds it; `rules_taken_out` fails if no script has it.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from tests.store.room_support import START_S, Replacement, TestRoom, room_in
from waitroom.core.meter import HORIZON_US, Limits
from waitroom.core.presence import epochs_seen
from waitroom.store.replies import Claimed, Entry, Newcomer, Renewal

H_S = HORIZON_US / 1e6
Figure = TypeVar("Figure")

BANKED_CREDIT = [
    ("r.next_at = math.max(r.next_at, at) + r.spacing", "r.next_at = r.next_at + r.spacing"),
    ("local start = math.max(r.next_at, r.now)", "local start = r.next_at"),
]
CLOCK_WENT_BACK = ("if free - r.now > HORIZON + r.spacing + 1000 then", "if false then")
CONVERSION = (
    "redis.call('HSET', STATE, 'next_at', micros(next_at))",
    "",
)


async def with_and_without(
    url: str, limits: Limits, scenario: Callable[[TestRoom], Awaitable[Figure]], *rule: Replacement
) -> tuple[Figure, Figure]:
    async with room_in(url, limits) as room:
        kept = await scenario(room)
    async with room_in(url, limits, without=rule) as room:
        return kept, await scenario(room)


def admitted(answers: list[Claimed] | list[Entry | None]) -> list[float]:
    """When admissions begin (ms)."""
    return [answer.admit_ms for answer in answers if answer is not None and answer.admit_ms is not None]


async def line_of(room: TestRoom, people: int) -> None:
    """Numbers for so many, all called."""
    for _ in range(-(-people // 200)):
        await room.enter(200)
    await room.move_front((await room.sync()).state.issued)


async def test_idle_credit_is_not_banked(one_redis_url: str) -> None:
    async def after_an_idle_minute(room: TestRoom) -> int:
        await room.enter(20, spot=True)
        await room.clock.pass_s(60)
        return admitted(await room.enter(200, spot=True)).count(room.clock.now_ms)

    kept, taken_out = await with_and_without(
        one_redis_url, Limits(1, 20), after_an_idle_minute, *BANKED_CREDIT, CLOCK_WENT_BACK
    )

    assert kept == 20
    assert taken_out >= 59


async def test_lowering_the_rate_lets_no_crowd_in(one_redis_url: str) -> None:
    async def after_lowering(room: TestRoom) -> int:
        await line_of(room, 600)
        await room.claim(*range(100))
        await room.clock.pass_s(H_S)
        await room.claim(*range(100, 400))
        await room.clock.pass_s(H_S)
        await room.room.configure({"rate": "1.0", "burst": "100"}, by="test")
        return len([at for at in admitted(await room.claim(*range(400, 600))) if at <= room.clock.now_ms + 1])

    kept, taken_out = await with_and_without(one_redis_url, Limits(100, 100), after_lowering, CONVERSION)

    assert kept <= 1
    assert taken_out >= 98


async def test_raising_the_rate_is_felt_at_once(one_redis_url: str) -> None:
    async def pause_s(room: TestRoom) -> float:
        await line_of(room, 200)
        await room.claim(*range(60))
        await room.room.configure({"rate": "10.0", "burst": "10"}, by="test")
        for waited in range(700):
            if admitted(await room.claim(100)):
                return waited
            await room.clock.pass_s(1)
        return 700

    kept, taken_out = await with_and_without(one_redis_url, Limits(0.1, 60), pause_s, CONVERSION, CLOCK_WENT_BACK)

    assert kept == 0
    assert 596 <= taken_out <= 600


async def test_a_clock_that_went_back_does_not_stop_the_line(one_redis_url: str) -> None:
    """A fail-over to a server whose clock is an hour behind."""

    async def pause_s(room: TestRoom) -> int:
        await line_of(room, 200)
        await room.clock.pass_s(7200)
        await room.claim(*range(30))
        await room.clock.pass_s(-3600)
        for waited in range(3700):
            if admitted(await room.claim(100)):
                return waited
            await room.clock.pass_s(1 if waited < 60 else 600)
        return 3700

    kept, taken_out = await with_and_without(one_redis_url, Limits(10, 5), pause_s, CLOCK_WENT_BACK)

    assert kept <= H_S + 1
    assert taken_out > 60


async def test_meter_times_since_creation_keep_seven_thousand_a_second(one_redis_url: str) -> None:
    """As microseconds since 1970 they round: 7,000/s becomes 7,005."""

    async def measured_per_s(room: TestRoom, created_s: int) -> float:
        await room.set(created=created_s)
        await line_of(room, 6_000)
        times: list[float] = []
        for first in range(0, 6_000, 200):
            times += admitted(await room.claim(*range(first, first + 200)))
        return (len(times) - 1) / (times[-1] - times[0]) * 1000

    async with room_in(one_redis_url, Limits(7000, 1)) as room:
        kept = await measured_per_s(room, START_S)
    async with room_in(one_redis_url, Limits(7000, 1)) as room:
        taken_out = await measured_per_s(room, 0)

    assert abs(kept - 7000) < 0.5
    assert taken_out > 7004


async def test_numbers_are_never_written_in_exponent_form(one_redis_url: str) -> None:
    async def remembered(room: TestRoom) -> bytes:
        await room.clock.pass_s(5 * 365 * 86_400)
        await room.enter(1, spot=True)
        return bytes(await room.redis.hget(room.room.keys.state, "last"))

    rule = ("string.format('%.3f', number)", "tostring(number)")
    kept, taken_out = await with_and_without(one_redis_url, Limits(7000, 1), remembered, rule)

    assert kept == b"157680000000000.000"
    assert taken_out == b"1.5768e+14"


async def test_a_hold_is_felt_within_the_horizon_after_a_mass_return(one_redis_url: str) -> None:
    """2,000 people called while away come back at once, and the shop is in trouble two seconds later."""

    async def admitted_after_the_hold(room: TestRoom) -> int:
        await line_of(room, 2_000)
        times: list[float] = []
        for _ in range(8):
            for first in range(0, 2_000, 200):
                times += admitted([c for c in await room.claim(*range(first, first + 200)) if c.outcome == "admit"])
            await room.clock.pass_s(0.25)
        await room.room.configure({"hold": "1"}, by="test")
        held_at = room.clock.now_ms
        await room.claim(*range(200))
        return len([at for at in times if at > held_at])

    kept, taken_out = await with_and_without(
        one_redis_url,
        Limits(20, 20),
        admitted_after_the_hold,
        ("if rank < math.min(left, seats) then", "if not r.hold then"),
        CLOCK_WENT_BACK,
    )

    assert kept <= 20 * H_S
    assert taken_out > 1800


async def test_the_door_keeps_the_order_whoever_asks_when(one_redis_url: str) -> None:
    """100 people ask just after each admission became free, 100 lower places a moment later: they would starve."""

    async def came_before_lower_places(room: TestRoom) -> int:
        await line_of(room, 200)
        lucky, overtakers = list(range(100, 200)), 0
        for _ in range(80):
            if admitted(await room.claim(lucky[0])):
                lucky.pop(0)
                overtakers += 1
            await room.claim(*range(100))
            await room.clock.pass_s(0.1)
        return overtakers

    kept, taken_out = await with_and_without(
        one_redis_url,
        Limits(10, 1),
        came_before_lower_places,
        ("if rank < math.min(left, seats) then", "if left > 0 then"),
    )

    assert kept <= 1
    assert taken_out >= 78


async def test_whoever_left_the_door_blocks_nobody_for_more_than_five_seconds(one_redis_url: str) -> None:
    """A worker dies with 50 people at its door."""

    async def seconds_until_the_next(room: TestRoom) -> int:
        await line_of(room, 200)
        await room.claim(*range(80))
        for waited in range(30):
            if admitted(await room.claim(100)):
                return waited
            await room.clock.pass_s(1)
        return 30

    rule = ("{'-inf', now_ms - 5000}", "{'-inf', '-inf'}")
    kept, taken_out = await with_and_without(one_redis_url, Limits(1, 1), seconds_until_the_next, rule)

    assert kept <= 6
    assert taken_out == 30


async def test_newcomers_do_not_come_before_people_who_were_called(one_redis_url: str) -> None:
    """P3."""

    async def on_the_spot(room: TestRoom) -> int:
        await room.enter(5)
        await room.move_front(5, soon=5)
        return len(admitted(await room.enter(5, spot=True)))

    kept, taken_out = await with_and_without(one_redis_url, Limits(5, 5), on_the_spot, ("and not expected and", "and"))

    assert (kept, taken_out) == (0, 5)


async def test_newcomers_do_not_come_before_people_who_wait(one_redis_url: str) -> None:
    """P3: in the line, and in the same call."""

    async def on_the_spot(room: TestRoom) -> tuple[int, int]:
        same_call = [Newcomer("a" * 32, True, False), Newcomer("b" * 32, True, True)]
        return len(admitted(await room.enter_these(same_call))), len(admitted(await room.enter(1, spot=True)))

    kept, taken_out = await with_and_without(
        one_redis_url, Limits(5, 5), on_the_spot, ("waiting, spots = waiting + 1, 0", "waiting = waiting + 1"),
        ("if r.front >= r.issued and", "if"),
    )  # fmt: skip

    assert (kept, taken_out) == ((0, 0), (1, 1))


async def test_no_claim_succeeds_in_a_full_room(one_redis_url: str) -> None:
    """P2."""

    async def seats(room: TestRoom) -> int:
        await line_of(room, 200)
        await room.claim(*range(50))
        return (await room.sync()).seats

    rule = ("return r.max_active - taken", "return math.huge")
    kept, taken_out = await with_and_without(one_redis_url, Limits(100, 100, max_active=10), seats, rule)

    assert (kept, taken_out) == (10, 50)


async def test_a_seat_never_ends_before_the_latest_pass_signed(one_redis_url: str) -> None:
    """P2: two workers renew one seat, and the earlier renewal arrives later."""

    async def seats_after_an_early_end(room: TestRoom) -> int:
        await room.enter(1, spot=True)
        now_ms = int(room.clock.now_ms)
        await room.sync("one", renewals=[Renewal(room.generation, 0, now_ms + 700_000)])
        await room.sync("two", renewals=[Renewal(room.generation, 0, now_ms + 660_000)])
        await room.clock.pass_s(680)
        return (await room.sync()).seats

    kept, taken_out = await with_and_without(
        one_redis_url, Limits(1, 1), seats_after_an_early_end, ("active, 'GT', ", "active, ")
    )

    assert (kept, taken_out) == (1, 0)


async def test_a_retry_takes_no_second_number_and_no_second_admission(one_redis_url: str) -> None:
    """P4: the call was executed, its answer was lost."""

    async def issued_and_admitted(room: TestRoom) -> tuple[int, int]:
        for _ in range(3):
            await room.enter(4, spot=True, call_id="the same")
        state = (await room.sync()).state
        return state.issued, state.admitted

    rule = ("return kept and cmsgpack.unpack(kept)", "return nil")
    kept, taken_out = await with_and_without(one_redis_url, Limits(100, 100), issued_and_admitted, rule)

    assert (kept, taken_out) == ((4, 4), (12, 12))


async def test_another_visitor_never_gets_a_claimed_place(one_redis_url: str) -> None:
    """P4."""

    async def outcome(room: TestRoom) -> str:
        await line_of(room, 1)
        await room.claim(0)
        (claim,) = await room.claim(0, visitor="f" * 32)
        return claim.outcome

    kept, taken_out = await with_and_without(
        one_redis_url, Limits(5, 5), outcome, ("if owner ~= visitor then", "if false then")
    )

    assert (kept, taken_out) == ("taken", "again")


@pytest.mark.parametrize("lost", ["everything", "the last second"])
async def test_no_number_is_given_twice_after_a_loss(one_redis_url: str, lost: str) -> None:
    """P4, P7: the worker's snapshot is a second old, 200 numbers went out since; then Redis loses them."""

    async def given_twice(room: TestRoom) -> int:
        await room.enter(100)
        remembered = await room.sync()
        fields = await room.redis.hgetall(room.room.keys.state)
        unknown = {entry.number for entry in await room.enter(200) if entry}
        await room.redis.delete(room.room.keys.state)
        if lost == "the last second":
            await room.redis.hset(room.room.keys.state, mapping={**fields, b"server": b"failed over"})
            if await accepts(room):
                return len(unknown & {entry.number for entry in await room.enter(200) if entry})
        await room.room.adopt(remembered, session_idle_ms=1000)
        await room.sync()
        return len(unknown & {entry.number for entry in await room.enter(200) if entry})

    rule = ("(math.floor(issued / 65536) + 3 + tonumber(string.sub(id, 1, 4), 16) % 16) * 65536", "issued")
    if lost == "the last second":
        rule = ("or v[2] ~= server_id() then", "then")
    kept, taken_out = await with_and_without(one_redis_url, Limits(1, 1), given_twice, rule)

    assert (kept, taken_out) == (0, 200)


async def accepts(room: TestRoom) -> bool:
    """The scripts work on this state without adopting it."""
    try:
        await room.sync()
    except Exception:  # noqa: BLE001 - any refusal is one
        return False
    return True


async def test_a_lost_redis_gives_no_second_burst(one_redis_url: str) -> None:
    """P1 over the loss: at most burst + rate · t, counted from before."""

    async def within_a_second(room: TestRoom) -> int:
        await line_of(room, 200)
        before = len(admitted(await room.claim(*range(50))))
        remembered = await room.sync()
        await room.redis.delete(room.room.keys.state)
        await room.room.adopt(remembered, session_idle_ms=1000)
        await room.sync()
        return before + len(admitted(await room.claim(*range(60, 160))))

    rule = ("'next_at', micros(now + HORIZON + spent)", "'next_at', 0")
    kept, taken_out = await with_and_without(one_redis_url, Limits(1, 50), within_a_second, rule)

    assert kept == 50
    assert taken_out > 90


async def test_a_lost_redis_does_not_overfill_the_room(one_redis_url: str) -> None:
    """P2: 500 inside, all forgotten by Redis, and a line of people behind."""

    async def inside(room: TestRoom) -> int:
        await line_of(room, 400)
        await room.claim(*range(100))
        remembered = await room.sync()
        for key in await room.redis.keys(f"{room.room.keys.prefix}*"):
            await room.redis.delete(key)
        await room.room.adopt(remembered, session_idle_ms=600_000)
        await room.sync()
        await room.clock.pass_s(5)
        return 100 + len(admitted(await room.claim(*range(150, 250))))

    rule = ("redis.call('ZCARD', active) + ghost_seats(ghosts)", "redis.call('ZCARD', active)")
    kept, taken_out = await with_and_without(one_redis_url, Limits(1000, 1000, max_active=120), inside, rule)

    assert (kept, taken_out) == (120, 200)


async def test_a_room_is_not_made_anew_before_whoever_remembers_it_could_speak(one_redis_url: str) -> None:
    """P7: a worker that has just started finds nothing; another one remembers the line, and syncs a moment later."""

    async def is_the_same_run(room: TestRoom) -> bool:
        await room.enter(10)
        remembered = await room.sync()
        await room.redis.delete(room.room.keys.state)
        for _ in range(2):
            await room.room.create(Limits(1, 1), wait_ms=2000)
            await room.clock.pass_s(0.25)
        await room.room.adopt(remembered, session_idle_ms=1000)
        return (await room.sync(generation="")).state.generation == remembered.state.generation

    rule = ("if now_ms - tonumber(since) < wait_ms then return {'wait'} end", "")
    kept, taken_out = await with_and_without(one_redis_url, Limits(1, 1), is_the_same_run, rule)

    assert (kept, taken_out) == (True, False)


async def test_a_turn_does_not_lapse_during_a_hold(one_redis_url: str) -> None:
    """The clock by which turns lapse stands still while nobody can claim."""

    async def clock_ran_ms(room: TestRoom) -> int:
        await line_of(room, 200)
        await room.room.configure({"hold": "1"}, by="test")
        for _ in range(40):
            await room.clock.pass_s(0.5)
            await room.move_front(200)
        return room.state.usable_ms

    rule = ("if not r.hold and not full and since > 0", "if since > 0")
    kept, taken_out = await with_and_without(one_redis_url, Limits(5, 5), clock_ran_ms, rule)

    assert (kept, taken_out) == (0, 20_000)


async def test_the_front_stands_within_what_was_issued_and_never_goes_back(one_redis_url: str) -> None:
    """A holder with an old snapshot, or one that is mistaken."""

    async def fronts(room: TestRoom) -> list[int]:
        await room.enter(10)
        found = []
        for front in (8, 5, 12):
            await room.move_front(front)
            found.append(room.state.front)
        return found

    kept, taken_out = await with_and_without(
        one_redis_url, Limits(5, 5), fronts, ("if front > r.issued then return {'refused'} end", ""),
        ("whole(math.max(front, r.front))", "whole(front)"),
    )  # fmt: skip

    assert kept == [8, 8, 8]
    assert taken_out == [8, 5, 12]


async def test_a_holder_that_only_syncs_loses_the_lease(one_redis_url: str) -> None:
    """A holder that renews but fails would stop the line for ever."""

    async def lease_left_ms(room: TestRoom) -> int:
        await room.sync(lease=True)
        await room.redis.pexpire(room.room.keys.lease, 1000)
        await room.sync(lease=True)
        return int(await room.redis.pttl(room.room.keys.lease))

    kept, taken_out = await with_and_without(
        one_redis_url, Limits(5, 5), lease_left_ms, ("'PX', 2000, 'NX')", "'PX', 2000)")
    )

    assert kept <= 1000 < taken_out


async def test_two_holders_never_both_move_the_front(one_redis_url: str) -> None:
    async def outcome(room: TestRoom) -> str:
        await room.enter(5)
        await room.sync("other", lease=True)
        return await room.move_front(3)

    rule = ("if redis.call('GET', KEYS[2]) ~= ARGV[2] then return {'lost'} end", "")
    kept, taken_out = await with_and_without(one_redis_url, Limits(5, 5), outcome, rule)

    assert (kept, taken_out) == ("lost", "ok")


async def test_beats_of_several_workers_are_merged(one_redis_url: str) -> None:
    async def seen(room: TestRoom) -> int:
        await room.enter(20)
        await room.beat(3, 4)
        await room.beat(11)
        epochs = epochs_seen(room.clock.now_ms, 90_000)
        _, looks = await room.room.look(room.generation, "w", [0], epochs, door_from=0)
        return int.from_bytes(looks[0].seen, "little").bit_count()

    rule = ("'OR', KEYS[beat], KEYS[beat], KEYS[8])", "'OR', KEYS[beat], KEYS[8])")
    kept, taken_out = await with_and_without(one_redis_url, Limits(5, 5), seen, rule)

    assert (kept, taken_out) == (3, 1)
