"""The meter: what spaces admissions.

The generic cell rate algorithm (GCRA, ITU-T I.371), a token bucket kept as one timestamp, with
reservations up to a horizon. Times are microseconds since the room's creation, as floats. The scripts
of the store do the same sums with Redis time; tests hold the two against each other.
"""

import math
from dataclasses import dataclass, replace

HORIZON_US = 2_000_000.0
"""How far ahead an admission may be reserved."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the operator allows. `rate_per_s` is above 0 and counts only when neither flag is set."""

    rate_per_s: float
    burst: float
    max_active: int = 0
    unlimited: bool = False
    hold: bool = False

    def shared_by(self, workers: int) -> "Limits":
        """One worker's share of the rate, where workers cannot agree."""
        return replace(self, rate_per_s=self.rate_per_s / workers, burst=max(1.0, self.burst / workers))

    @property
    def spacing_us(self) -> float:
        return 1e6 / self.rate_per_s


@dataclass(frozen=True, slots=True)
class Meter:
    """`next_at_us`: when the bucket is full again. `last_us`: the latest admission reserved."""

    next_at_us: float = 0.0
    last_us: float = 0.0


def free_at(meter: Meter, limits: Limits, now_us: float) -> float:
    """When the next admission may begin: now or later."""
    if limits.unlimited:
        return now_us
    return max(now_us, meter.next_at_us - (limits.burst - 1) * limits.spacing_us)


def grant(meter: Meter, limits: Limits, now_us: float) -> tuple[float | None, Meter]:
    """Reserve the next admission: its time, or None where it would be beyond the horizon or the room is held."""
    if limits.hold:
        return None, meter
    admit_us = free_at(meter, limits, now_us)
    if admit_us > now_us + HORIZON_US:
        return None, meter
    if limits.unlimited:
        return admit_us, replace(meter, last_us=max(meter.last_us, admit_us))
    return admit_us, Meter(max(meter.next_at_us, admit_us) + limits.spacing_us, admit_us)


def backlog_us(meter: Meter, limits: Limits, now_us: float) -> float:
    """How far reservations reach ahead of now."""
    return free_at(meter, limits, now_us) - now_us


def credit_us(meter: Meter, limits: Limits, now_us: float) -> float:
    """The burst not yet spent, as time: 0 … burst · T."""
    full = limits.burst * limits.spacing_us
    return min(full, max(0.0, full - (meter.next_at_us - now_us)))


def grantable(meter: Meter, limits: Limits, now_us: float) -> float:
    """How many admissions could be reserved at this moment; infinite when unlimited."""
    if limits.hold:
        return 0
    if limits.unlimited:
        return math.inf
    start = max(meter.next_at_us, now_us)
    return max(0, math.floor((now_us + HORIZON_US - start) / limits.spacing_us + limits.burst - 1) + 1)


def change(meter: Meter, before: Limits, after: Limits, now_us: float) -> Meter:
    """Convert the meter to new limits. Reservations made stand; unspent credit is carried over, never enlarged.

    A room that leaves `unlimited` starts without credit: whoever sets a limit in a hurry wants it now.
    """
    base = max(now_us, meter.last_us)
    if before.unlimited:
        tokens = 0.0
    else:
        tokens = min(before.burst, max(0.0, before.burst - (meter.next_at_us - base) / before.spacing_us))
    spent = after.burst - min(tokens, after.burst)
    return replace(meter, next_at_us=base + spent * after.spacing_us)
