"""A simulated sale as three curves over time, thinned to as many points as there is room for."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from waitroom.core.simulation.outcome import Outcome

SMOOTH_PEOPLE = 40
TIME_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400)


@dataclass(frozen=True, slots=True)
class Curve:
    """`name` is for people, `key` for programs. A value stands for `step_s` seconds."""

    key: str
    name: str
    step_s: int
    values: list[float]

    @property
    def top(self) -> float:
        return max(self.values, default=0.0)


def curves(outcome: Outcome, points: int) -> tuple[Curve, Curve, Curve]:
    """At most `points` each: the most people of every span, and the admissions of at least a few."""
    seconds = len(outcome.waiting_at)
    step_s = max(1, math.ceil(seconds / points))
    starts = range(0, seconds, step_s)
    return (
        Curve("waiting", "people in line", step_s, [max(outcome.waiting_at[at : at + step_s]) for at in starts]),
        Curve("inside", "people inside", step_s, [max(outcome.inside_at[at : at + step_s]) for at in starts]),
        Curve("admitted_per_min", "let in, a minute", step_s, per_min(outcome.admitted_in, seconds, starts, step_s)),
    )


def per_min(admitted_in: Sequence[int], seconds: int, starts: range, step_s: int) -> list[float]:
    """Averaged over so long a span that a few people come in it, or a slow rate would look like single spikes."""
    mean_per_s = sum(admitted_in) / max(1, seconds)
    span_s = max(step_s, math.ceil(SMOOTH_PEOPLE / mean_per_s) if mean_per_s else step_s)
    values = []
    for at in starts:
        low = max(0, min(at + (step_s - span_s) // 2, seconds - span_s))
        high = min(seconds, low + span_s)
        values.append(60 * sum(admitted_in[low:high]) / max(1, high - low))
    return values


def nice_top(value: float) -> float:
    """The next round number: 1, 2, 5, 10, 20 …"""
    if value <= 0:
        return 1
    size = 10.0 ** math.floor(math.log10(value))
    return next(step * size for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if value <= step * size * (1 + 1e-9))


def time_ticks(seconds: float, most: int) -> list[float]:
    """Round moments from 0 on, in seconds; at most so many, and 0."""
    step = next((step for step in TIME_STEPS_S if seconds / step <= most), TIME_STEPS_S[-1])
    return [index * step for index in range(int(seconds // step) + 1)]


def clock(seconds: float) -> str:
    """`0`, `45 s`, `12 min`, `12:30 min`, `1:30 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if whole else "0"
    large, small, unit = (*divmod(whole, 60), "min") if whole < 3600 else (*divmod(whole // 60, 60), "h")
    return f"{large}:{small:02} {unit}" if small else f"{large} {unit}"
