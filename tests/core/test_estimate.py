"""The estimate: a range, from what was measured, and when to ask again."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waitroom.core.estimate import (
    FLOW_TRUSTED_S,
    HOLD_BELOW_S,
    LONGEST_POLL_S,
    flow_per_s,
    next_poll,
    pace_of,
    spread,
    wait_range,
)
from waitroom.core.meter import Limits

quick = settings(deadline=None, max_examples=80)
paces = st.floats(0.01, 10_000)


def flow(per_s: float, seconds: int) -> list[tuple[int, int]]:
    return [(1000 * second, int(per_s * second)) for second in range(0, seconds + 1, 5)]


def test_flow_is_admissions_over_time() -> None:
    assert flow_per_s(flow(4, 60)) == (4, 60)
    assert flow_per_s([]) == flow_per_s([(5, 5)]) == flow_per_s([(5, 5), (5, 9)]) == (0, 0)


def test_the_configured_rate_is_the_pace_however_few_came() -> None:
    limits = Limits(10, 10)

    assert pace_of(limits, []) == 9.5
    assert pace_of(limits, flow(2, 120)) == 9.5
    assert pace_of(limits, flow(50, 120)) == 10


def test_under_a_cap_the_pace_is_what_was_measured_as_far_as_it_was() -> None:
    limits = Limits(10, 10, max_active=50)

    assert pace_of(limits, []) == 10
    assert pace_of(limits, flow(2, int(FLOW_TRUSTED_S))) == pytest.approx(2)
    assert pace_of(limits, flow(2, int(FLOW_TRUSTED_S / 2))) == pytest.approx(6)
    assert pace_of(limits, flow(0, int(FLOW_TRUSTED_S))) is None


def test_nobody_knows_how_long_a_hold_takes() -> None:
    assert pace_of(Limits(10, 10, hold=True), flow(10, 60)) is None
    assert wait_range(5, None) is None


def test_without_any_limit_nobody_waits() -> None:
    assert pace_of(Limits(1, 1, unlimited=True), []) == math.inf
    assert wait_range(1000, math.inf) == (0, 2)
    assert pace_of(Limits(1, 1, unlimited=True, max_active=5), flow(3, 60)) == 3
    assert pace_of(Limits(1, 1, unlimited=True, max_active=5), []) is None


@quick
@given(st.integers(0, 2_000_000), paces)
def test_the_range_holds_the_mean_and_is_narrow_far_back(ahead: int, pace: float) -> None:
    found = wait_range(ahead, pace)
    assert found is not None
    low, high = found
    mean = (ahead + 1) / pace

    assert 0 <= low <= mean <= high
    if ahead > 10_000:
        assert high - low <= 0.35 * mean + 3


@quick
@given(st.integers(0, 100_000), st.integers(1, 1000), paces)
def test_more_people_ahead_is_never_sooner(ahead: int, more: int, pace: float) -> None:
    near, far = wait_range(ahead, pace), wait_range(ahead + more, pace)
    assert near is not None
    assert far is not None

    assert far[1] >= near[1]


@quick
@given(st.one_of(st.none(), st.tuples(st.floats(0, 1e6), st.floats(0, 1e6))), st.integers(0, 10**9))
def test_polls_are_far_apart_far_back_and_held_near_the_front(wait: tuple[float, float] | None, number: int) -> None:
    poll_s, hold_s = next_poll(wait, number)

    assert 0 < poll_s <= LONGEST_POLL_S * 1.2
    assert 0 <= hold_s <= 25
    assert (hold_s > 0) == (wait is not None and wait[0] < HOLD_BELOW_S)


def test_polls_of_many_are_spread_evenly() -> None:
    spreads = [spread(number) for number in range(10_000)]

    assert all(0.8 <= value <= 1.2 for value in spreads)
    for tenth in range(10):
        low = 0.8 + tenth * 0.04
        assert 900 <= sum(low <= value < low + 0.04 for value in spreads) <= 1100
