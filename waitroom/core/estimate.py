"""How long it will take, as a range, and when to ask again."""

import math
from collections.abc import Sequence

from waitroom.core.meter import Limits

HOLD_BELOW_S = 120.0
HOLD_S = (3, 25)
HOLD_PART = 6
LONGEST_POLL_S = 30.0
FLOW_TRUSTED_S = 120.0


def flow_per_s(flow: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """(admissions a second, seconds observed) between the first and the last sample of (ms, admitted in all)."""
    if len(flow) < 2 or flow[-1][0] <= flow[0][0]:
        return 0.0, 0.0
    seconds = (flow[-1][0] - flow[0][0]) / 1000
    return (flow[-1][1] - flow[0][1]) / seconds, seconds


def pace_of(limits: Limits, flow: Sequence[tuple[int, int]]) -> float | None:
    """Admissions a second to reckon with: the configured rate, blended with what was measured as far as there are
    measurements. Infinite without any limit; None while nobody can know: held, or a full room with no flow yet.
    """
    if limits.hold:
        return None
    if limits.unlimited and not limits.max_active:
        return math.inf
    measured, seconds = flow_per_s(flow)
    if limits.unlimited:
        return measured or None
    if limits.max_active:
        trust = min(1.0, seconds / FLOW_TRUSTED_S)
        return min(limits.rate_per_s, measured * trust + limits.rate_per_s * (1 - trust)) or None
    # Below the configured rate only because nobody came: it is no slower for whoever is in line.
    return max(limits.rate_per_s * 0.95, min(limits.rate_per_s, measured))


def wait_range(ahead: int, pace_per_s: float | None) -> tuple[float, float] | None:
    """Seconds until a visitor with `ahead` people before them is called: about the 10th and the 90th percentile."""
    if pace_per_s is None:
        return None
    people = ahead + 1
    mean = people / pace_per_s
    spread = 1.3 * math.sqrt(people) / pace_per_s
    low = mean * 0.85 - spread
    return low if low > 0 else 0.0, mean * 1.1 + spread + 2.0


def next_poll(wait: tuple[float, float] | None, number: int) -> tuple[float, int]:
    """(seconds until the next poll, seconds to hold it). Far back: up to 30 s, ± 20 % by the number. Near: held, for
    a sixth of the wait, so that the position moves on the screen; the turn ends the hold at once.
    """
    if wait is None:
        return 5.0 * spread(number), 0
    soonest = wait[0]
    if soonest < HOLD_BELOW_S:
        return 1.0, int(min(HOLD_S[1], max(HOLD_S[0], soonest / HOLD_PART)))
    return min(LONGEST_POLL_S, max(5.0, (soonest - HOLD_BELOW_S) / 10)) * spread(number), 0


def spread(number: int) -> float:
    """0.8 … 1.2, the same for one visitor and even over all: Knuth's multiplicative hash."""
    return 0.8 + 0.4 * ((number * 2_654_435_761) % 4096) / 4096
