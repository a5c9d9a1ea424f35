"""The scripts do the same sums as core/meter.py: random histories through both, with one clock."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.room_support import START_S, TestRoom, room_in
from waitroom.core.meter import HORIZON_US, Limits, Meter, change, grant, grantable
from waitroom.core.model import write_limits
from waitroom.store.replies import Newcomer

limits = st.builds(
    Limits,
    rate_per_s=st.one_of(st.floats(0.05, 50), st.integers(1, 5000).map(float)),
    burst=st.one_of(st.integers(1, 60).map(float), st.floats(1, 60)),
    unlimited=st.sampled_from([False, False, False, True]),
    hold=st.sampled_from([False, False, False, True]),
)
steps = st.one_of(
    st.tuples(st.just("pass"), st.one_of(st.floats(0, 3), st.floats(0, 3000))),
    st.tuples(st.just("ask"), st.integers(1, 100)),
    st.tuples(st.just("change"), limits),
)


@settings(max_examples=100)
@given(first=limits, history=st.lists(steps, max_size=12))
def test_the_scripts_and_the_core_grant_the_same(one_redis_url: str, first: Limits, history: list[Any]) -> None:
    asyncio.run(compare(one_redis_url, first, history))


async def compare(url: str, first: Limits, history: list[tuple[str, Any]]) -> None:
    async with room_in(url, first) as room:
        now, meter = first, Meter()
        for what, value in [*history, ("ask", 40)]:
            tied = False
            if what == "pass":
                await room.clock.pass_s(value)
            elif what == "ask":
                meter, tied = await ask(room, now, meter, value)
            else:
                fields = write_limits(value)
                await room.room.configure(fields, by="test")
                if (value.rate_per_s, value.burst, value.unlimited) != (now.rate_per_s, now.burst, now.unlimited):
                    meter = change(meter, now, value, now_us(room))
                now = value
            kept = (await room.sync()).state.meter
            if tied:
                meter = kept
                continue
            assert kept.last_us == pytest.approx(meter.last_us, abs=tolerance_us(now))
            if not now.unlimited:
                assert kept.next_at_us == pytest.approx(meter.next_at_us, abs=tolerance_us(now))
            meter = kept


def tolerance_us(now: Limits) -> float:
    """The state is kept in thousandths of a microsecond; a lower rate stretches what is lost by that."""
    return 1.0 + now.spacing_us * 1e-5


def now_us(room: TestRoom) -> float:
    return float(room.clock.now_us - START_S * 1_000_000)


async def ask(room: TestRoom, now: Limits, meter: Meter, people: int) -> tuple[Meter, bool]:
    """So many who may only come on the spot: exactly what the meter grants, but for one right at the horizon, where
    a thousandth of a microsecond decides; then True.
    """
    guests = [Newcomer(f"{index:032x}", False, True) for index in range(people)]
    entries = await room.enter_these(guests)

    expected: list[float] = []
    for _ in range(int(min(grantable(meter, now, now_us(room)), people))):
        admit_us, meter = grant(meter, now, now_us(room))
        if admit_us is not None:
            expected.append(admit_us)

    got = [(entry.admit_ms - START_S * 1000) * 1000 for entry in entries if entry and entry.admit_ms is not None]
    both = min(len(got), len(expected))
    assert got[:both] == pytest.approx(expected[:both], abs=tolerance_us(now))
    at_the_horizon = [*got[both:], *expected[both:]]
    assert len(at_the_horizon) <= 1
    assert at_the_horizon == pytest.approx([now_us(room) + HORIZON_US] * len(at_the_horizon), abs=tolerance_us(now))
    return meter, bool(at_the_horizon)
