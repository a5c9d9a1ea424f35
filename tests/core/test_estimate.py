"""The estimate: a range, from what was measured, and when to ask again."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waitroom.core.estimate import (
    FINE_MS,
    HOLD_BELOW_S,
    LONGEST_POLL_S,
    MOVE_KEPT_MS,
    SEATS_KNOWN,
    Move,
    Pace,
    add_move,
    admitted_per_s,
    next_poll,
    pace_of,
    spread,
    wait_range,
)
from waitroom.core.meter import Limits

quick = settings(max_examples=80)
paces = st.floats(0.01, 10_000).map(lambda per_s: Pace(per_s * 0.96, per_s * 1.02))
TEN = Limits(10, 10)


def moves(
    seconds: int, *, called: float = 10, admitted: float = 10, line: int = 0, left: float = 0, seats: int = 0
) -> tuple[Move, ...]:
    """Every five seconds so many a second; `line` people stood there."""
    return tuple(
        Move(1000 * at, 5000, round(5 * called), round(5 * admitted), round(5 * left), 5000 * line,
             round(5 * admitted), 5000 * seats)
        for at in range(5, seconds + 1, 5)
    )  # fmt: skip


def waits(limits: Limits, ahead: int, known: tuple[Move, ...]) -> tuple[float, float]:
    found = wait_range(ahead, pace_of(limits, known))
    assert found is not None
    return found


def test_the_rate_is_the_pace_however_few_were_let_in() -> None:
    """Below the rate only because nobody came: it is no slower for whoever is in line."""
    few = moves(120, called=2, admitted=2, line=1000)

    assert pace_of(TEN, few) == pace_of(TEN, moves(120, line=1000))


def test_the_line_moves_faster_by_those_who_do_not_come() -> None:
    """Half of those called stay away: the front passes twice as many people as are let in."""
    low, high = waits(TEN, 2999, moves(600, called=20, admitted=10, line=3000))

    assert low <= 150 <= high
    assert high < 0.6 * 300


@pytest.mark.parametrize("minutes", [5, 20, 60])
def test_the_line_moves_faster_by_those_who_leave(minutes: int) -> None:
    """3000 people at 10/s, each leaving with the same chance a second: compared with the line second by second."""
    hazard = 1 / (60 * minutes)
    line, seconds = 3000.0, 0
    while line > 0:
        line -= 10 + hazard * line
        seconds += 1

    low, high = waits(TEN, 2999, moves(600, line=3000, left=3000 * hazard))

    assert low <= seconds <= high
    assert high / low < 1.6


def test_before_anybody_was_counted_the_range_leaves_room_for_people_who_leave() -> None:
    first, later = waits(TEN, 5999, ()), waits(TEN, 5999, moves(600, line=6000))

    assert first[0] <= 0.72 * 600
    assert later[0] >= 0.9 * 600
    assert first[1] == later[1]


def test_under_a_cap_the_pace_is_how_long_seats_are_kept() -> None:
    """Fifty seats, each kept 25 s: two a second, whatever the rate."""
    capped = Limits(10, 10, max_active=50)

    low, high = waits(capped, 599, moves(300, admitted=2, called=2, line=600, seats=50))

    assert low <= 300 <= high
    assert high / low < 1.6


def test_a_cap_that_was_changed_counts_at_once() -> None:
    """How long seats are kept does not change with their number."""
    known = moves(300, admitted=2, called=2, line=600, seats=50)

    before, after = waits(Limits(10, 10, max_active=50), 599, known), waits(Limits(10, 10, max_active=100), 599, known)

    assert after[0] == pytest.approx(before[0] / 2, rel=0.1)


def test_nobody_knows_how_long_a_full_room_takes_until_seats_came_back() -> None:
    capped = Limits(10, 10, max_active=50)
    few = Move(5000, 5000, 0, SEATS_KNOWN - 1, 0, 0, SEATS_KNOWN - 1, 250_000)

    assert pace_of(capped, ()) is None
    assert pace_of(capped, (few,)) is None
    assert pace_of(capped, (few._replace(back=SEATS_KNOWN),)) is not None
    assert wait_range(5, None) is None


def test_nobody_knows_how_long_a_hold_takes() -> None:
    assert pace_of(Limits(10, 10, hold=True), moves(60)) is None


def test_without_any_limit_nobody_waits() -> None:
    assert waits(Limits(1, 1, unlimited=True), 1000, ()) == (0, 2)
    capped = waits(
        Limits(1, 1, unlimited=True, max_active=50), 599, moves(300, admitted=2, called=2, line=600, seats=50)
    )
    assert capped[0] <= 300 <= capped[1]


def test_moves_of_the_past_are_added_up_and_forgotten_after_twenty_minutes() -> None:
    kept: tuple[Move, ...] = ()
    for move in moves(3600, line=10):
        kept = add_move(kept, move)

    assert len(kept) <= MOVE_KEPT_MS // FINE_MS + FINE_MS // 5000 + 2
    assert 0.9 * MOVE_KEPT_MS <= sum(move.span_ms for move in kept) <= MOVE_KEPT_MS + FINE_MS
    assert all(move.admitted * 1000 == 10 * move.span_ms for move in kept)
    assert admitted_per_s(kept, kept[-1].at_ms) == 10
    assert admitted_per_s((), 5) == 0


@quick
@given(st.integers(0, 2_000_000), paces)
def test_the_range_holds_the_mean_and_is_narrow_far_back(ahead: int, pace: Pace) -> None:
    found = wait_range(ahead, pace)
    assert found is not None
    low, high = found
    mean = (ahead + 1) / (pace.fast_per_s / 1.02)

    assert 0 <= low <= mean <= high
    if ahead > 10_000:
        assert high - low <= 0.1 * mean + 3


@quick
@given(st.integers(0, 100_000), st.integers(1, 1000), paces, st.floats(0, 0.1), st.floats(0, 1))
def test_more_people_ahead_is_never_sooner(ahead: int, more: int, pace: Pace, leaving: float, unknown: float) -> None:
    pace = pace._replace(leaving_low_per_s=leaving / 2, leaving_high_per_s=leaving, unknown=unknown)
    near, far = wait_range(ahead, pace), wait_range(ahead + more, pace)
    assert near is not None
    assert far is not None

    assert far[1] >= near[1]


@quick
@given(st.one_of(st.none(), st.floats(0, 1e6)), st.integers(0, 10**9))
def test_polls_are_far_apart_far_back_and_held_near_the_front(soonest_s: float | None, number: int) -> None:
    poll_s, hold_s = next_poll(soonest_s, number)

    assert 0 < poll_s <= LONGEST_POLL_S * 1.2
    assert 0 <= hold_s <= 25
    assert (hold_s > 0) == (soonest_s is not None and soonest_s < HOLD_BELOW_S)


def test_polls_of_many_are_spread_evenly() -> None:
    spreads = [spread(number) for number in range(10_000)]

    assert all(0.8 <= value <= 1.2 for value in spreads)
    for tenth in range(10):
        low = 0.8 + tenth * 0.04
        assert 900 <= sum(low <= value < low + 0.04 for value in spreads) <= 1100
