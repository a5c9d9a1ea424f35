"""The meter: at most burst + rate · t in any span, and what each half of its formulas is for."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waitroom.core.meter import HORIZON_US, Limits, Meter, backlog_us, change, credit_us, free_at, grant, grantable

S = 1e6
SLACK_US = 1.0


def take(meter: Meter, limits: Limits, now_us: float, most: int) -> tuple[list[float], Meter]:
    """As many admissions as can be reserved now, at most so many."""
    admits: list[float] = []
    while len(admits) < most:
        admit_us, meter = grant(meter, limits, now_us)
        if admit_us is None:
            break
        admits.append(admit_us)
    return admits, meter


def worst_excess(admits: list[float], limits: Limits) -> float:
    """By how many admissions the worst span exceeds burst + rate · t; the span from one admission to another."""
    worst, debt, last = 0.0, 0.0, None
    for at in sorted(admits):
        # The same sums as a leaky bucket: the fullest level over all spans that end at this admission.
        debt = 1.0 if last is None else max(0.0, debt - (at - last) * limits.rate_per_s / 1e6) + 1.0
        last = at
        worst = max(worst, debt - limits.burst)
    return worst


rates = st.floats(0.02, 10_000)
bursts = st.one_of(st.integers(1, 300).map(float), st.floats(1, 300))
quick = settings(max_examples=60)
pauses_s = st.one_of(st.just(0.0), st.floats(0, 3), st.floats(0, 1000))


@quick
@given(rates, bursts, st.lists(st.tuples(pauses_s, st.integers(1, 200)), max_size=25))
def test_no_span_holds_more_than_burst_and_rate(rate: float, burst: float, asks: list[tuple[float, int]]) -> None:
    """P1."""
    limits, meter, now_us = Limits(rate, burst), Meter(), 0.0
    admits: list[float] = []

    for pause_s, most in asks:
        now_us += pause_s * S
        granted, meter = take(meter, limits, now_us, most)
        admits += granted

    assert worst_excess(admits, limits) <= SLACK_US * rate / 1e6 + 1e-6


@quick
@given(rates, bursts, st.lists(st.tuples(pauses_s, st.integers(1, 200)), max_size=15))
def test_admissions_come_in_order_and_never_beyond_the_horizon(
    rate: float, burst: float, asks: list[tuple[float, int]]
) -> None:
    limits, meter, now_us = Limits(rate, burst), Meter(), 0.0
    before = 0.0

    for pause_s, most in asks:
        now_us += pause_s * S
        granted, meter = take(meter, limits, now_us, most)
        assert all(now_us <= at <= now_us + HORIZON_US for at in granted)
        assert all(a <= b for a, b in pairwise([before, *granted]))
        before = granted[-1] if granted else before


@quick
@given(rates, bursts, st.lists(st.tuples(pauses_s, st.integers(0, 100)), max_size=10))
def test_grantable_is_the_number_of_grants_that_succeed(
    rate: float, burst: float, asks: list[tuple[float, int]]
) -> None:
    limits, meter, now_us = Limits(rate, burst), Meter(), 0.0
    for pause_s, most in asks:
        now_us += pause_s * S
        _, meter = take(meter, limits, now_us, most)

    granted, _ = take(meter, limits, now_us, 20_000)

    assert abs(min(grantable(meter, limits, now_us), 20_000) - len(granted)) <= 1  # one on the edge of rounding


@quick
@given(
    st.lists(
        st.tuples(st.floats(0.1, 1000), st.integers(1, 100), st.lists(st.tuples(st.floats(0, 5), st.integers(1, 50)))),
        min_size=2,
        max_size=6,
    )
)
def test_a_change_of_rate_gives_no_credit(runs: list[tuple[float, int, list[tuple[float, int]]]]) -> None:
    """P1 across changes: each admission under the rate it was made at, and at most the larger burst besides.

    A change carries over no more tokens than were there, so that the leaky bucket of all rates in turn never holds
    more than the largest burst.
    """
    meter, now_us, limits = Meter(), 0.0, Limits(runs[0][0], runs[0][1])
    level = 0.0  # admissions on credit, drained at the rate in force at the time
    drained_until = 0.0
    for rate, burst, asks in runs:
        after = Limits(rate, burst)
        base = max(now_us, meter.last_us)
        level = max(0.0, level - (base - drained_until) * limits.rate_per_s / 1e6)
        tokens_before = limits.burst - level
        drained_until = max(drained_until, base)
        meter = change(meter, limits, after, now_us)
        limits = after
        level = limits.burst - min(tokens_before, limits.burst)
        for pause_s, most in asks:
            now_us += pause_s * S
            granted, meter = take(meter, limits, now_us, most)
            for at in granted:
                level = max(0.0, level - (at - drained_until) * limits.rate_per_s / 1e6) + 1
                drained_until = max(drained_until, at)
                assert level <= limits.burst + 1e-4


@quick
@given(rates, bursts, rates, bursts, st.integers(0, 300), pauses_s)
def test_a_change_keeps_reservations_and_never_stops_the_line(
    rate: float, burst: float, new_rate: float, new_burst: float, taken: int, pause_s: float
) -> None:
    before, after = Limits(rate, burst), Limits(new_rate, new_burst)
    _, meter = take(Meter(), before, 0.0, taken)
    now_us = pause_s * S

    changed = change(meter, before, after, now_us)

    assert changed.last_us == meter.last_us
    next_us = free_at(changed, after, now_us)
    base = max(now_us, meter.last_us)
    assert base - SLACK_US <= next_us or taken == 0 or next_us >= now_us
    assert next_us <= base + after.spacing_us + SLACK_US


def test_idle_credit_is_not_banked() -> None:
    """After an idle minute 20 come at once; without the second max of the formula it would be 63."""
    limits = Limits(rate_per_s=1, burst=20)
    _, meter = take(Meter(), limits, 0.0, 20)
    now_us = 60 * S

    at_once = take(meter, limits, now_us, 200)[0].count(now_us)
    banked = 0
    next_at_us = meter.next_at_us
    while max(now_us, next_at_us - (limits.burst - 1) * limits.spacing_us) == now_us:
        next_at_us += limits.spacing_us  # without max(next_at, admit_at)
        banked += 1

    assert at_once == 20
    assert banked >= 59


def test_spent_burst_is_no_backlog() -> None:
    """A burst of 30 s, spent: the next admission is a spacing away. By next_at − now it would be 30 s."""
    limits = Limits(rate_per_s=10, burst=300)
    _, meter = take(Meter(), limits, 0.0, 300)

    assert backlog_us(meter, limits, 0.0) == pytest.approx(limits.spacing_us)
    assert meter.next_at_us == pytest.approx(30 * S)
    assert credit_us(meter, limits, 0.0) == pytest.approx(0)


@quick
@given(rates, bursts, st.integers(0, 500), st.floats(-10, 1e5))
def test_credit_stays_between_nothing_and_the_burst(rate: float, burst: float, taken: int, later_s: float) -> None:
    limits = Limits(rate, burst)
    _, meter = take(Meter(), limits, 20 * S, taken)

    credit = credit_us(meter, limits, (20 + later_s) * S)

    assert 0 <= credit <= burst * limits.spacing_us


def test_lowering_the_rate_lets_no_crowd_in() -> None:
    """100/s with its burst spent, lowered to 1/s to rescue the shop: without converting the meter 99 come at once."""
    before, after = Limits(100, 100), Limits(1, 100)
    _, meter = take(Meter(), before, 0.0, 100)

    converted = take(change(meter, before, after, 0.0), after, 0.0, 1000)[0]
    unconverted = take(meter, after, 0.0, 1000)[0]

    assert len(converted) == HORIZON_US // after.spacing_us  # one a second, from the next second on
    assert unconverted.count(0.0) == 99


def test_raising_the_rate_is_felt_at_once() -> None:
    """0.1/s with a burst of 60 spent, raised to 10/s: without converting the meter nothing for 599 s."""
    before, after = Limits(0.1, 60), Limits(10, 10)
    _, meter = take(Meter(), before, 0.0, 60)

    assert free_at(change(meter, before, after, 0.0), after, 0.0) <= after.spacing_us
    assert free_at(meter, after, 0.0) == pytest.approx(599.1 * S)


def test_leaving_unlimited_starts_without_credit() -> None:
    """Whoever sets a limit in a hurry wants it now, not after one more burst."""
    unlimited, limited = Limits(10, 50, unlimited=True), Limits(10, 50)
    _, meter = take(Meter(), unlimited, 5 * S, 1000)

    granted, _ = take(change(meter, unlimited, limited, 5 * S), limited, 5 * S, 1000)

    assert min(granted) == pytest.approx(5.1 * S)
    assert len(granted) == HORIZON_US // limited.spacing_us


def test_reservations_of_the_old_rate_stand_and_the_new_ones_come_behind() -> None:
    before, after = Limits(10, 1), Limits(2, 1)
    made, meter = take(Meter(), before, 0.0, 100)

    new, _ = take(change(meter, before, after, 0.0), after, 0.9 * S, 100)

    assert made[-1] == pytest.approx(HORIZON_US)
    assert new[0] == pytest.approx(made[-1] + after.spacing_us)


def test_a_held_room_grants_nothing_and_keeps_its_meter() -> None:
    limits = replace(Limits(10, 5), hold=True)

    assert grant(Meter(), limits, 0.0) == (None, Meter())
    assert grantable(Meter(), limits, 0.0) == 0
    assert grantable(Meter(), replace(limits, unlimited=True), 0.0) == 0


def test_an_unlimited_room_grants_everybody_now() -> None:
    limits = Limits(10, 5, unlimited=True)

    admits, meter = take(Meter(), limits, 3 * S, 500)

    assert admits == [3 * S] * 500
    assert meter == Meter(0.0, 3 * S)
    assert grantable(meter, limits, 3 * S) == float("inf")


@quick
@given(rates, bursts, st.integers(1, 20))
def test_the_shares_of_all_workers_never_exceed_the_whole_rate(rate: float, burst: float, workers: int) -> None:
    share = Limits(rate, burst).shared_by(workers)

    assert share.rate_per_s * workers == pytest.approx(rate)
    assert share.burst >= 1
    assert share.burst * workers <= max(burst, workers) + 1e-6


def test_the_horizon_is_between_one_and_two_seconds() -> None:
    assert 1 * S <= HORIZON_US <= 2 * S
