"""What one worker counts: whole numbers in one list, each at a fixed place.

Counting is `counts[PLACE] += 1`: no lock, no allocation, and the whole list is copied out at once. A count never goes
down; times are kept as microseconds. What a worker says of this moment (GAUGES) stands in a list of its own.
"""

from bisect import bisect_left
from collections.abc import Mapping
from typing import Final, NamedTuple

from waitroom.core.errors import ORIGIN_STATUS
from waitroom.core.orders.attempt import Outcome
from waitroom.core.requests import Kind


class Histogram(NamedTuple):
    """Where a distribution stands: a count for each bound (values up to it, above the one before), one for what is
    beyond them all, and the sum in µs.
    """

    start: int
    bounds_ms: tuple[float, ...]
    sum_at: int


class Layout:
    """Gives out places, one after the other."""

    def __init__(self) -> None:
        self.size = 0

    def one(self) -> int:
        self.size += 1
        return self.size - 1

    def row(self, *names: str) -> dict[str, int]:
        return {name: self.one() for name in names}

    def histogram(self, *bounds_ms: float) -> Histogram:
        start, self.size = self.size, self.size + len(bounds_ms) + 2
        return Histogram(start, bounds_ms, self.size - 1)


_counts: Final = Layout()
REQUESTS: Final[Mapping[str, int]] = _counts.row(
    "poll", "own", "bypass", "free", "malformed", "pass", "loop",  # before anything is judged
    "preflight", "enter", "claim", "page", "frame", "prefetch", "problem", "retry", "through",  # as judged
)  # fmt: skip
CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")
ANSWERS: Final[Mapping[str, int]] = _counts.row(*CLASSES)
ANSWERS_AT: Final = ANSWERS["1xx"] - 1
"""+ status // 100 is the place of a status."""
ORIGIN_ANSWERS: Final[Mapping[str, int]] = _counts.row(*CLASSES)
ORIGIN_ANSWERS_AT: Final = ORIGIN_ANSWERS["1xx"] - 1
ORIGIN_FAILURES: Final[Mapping[str, int]] = _counts.row(*ORIGIN_STATUS)
CLAIMS: Final[Mapping[str, int]] = _counts.row("admit", "again", "door", "waiting", "lapsed", "taken")
REFUSED: Final[Mapping[str, int]] = _counts.row(*(kind.value for kind in Kind if kind is not Kind.DOCUMENT))
SHADOWED: Final[Mapping[str, int]] = _counts.row("join", *(kind.value for kind in Kind))
STORE_CALLS: Final[Mapping[str, int]] = _counts.row(
    "create", "adopt", "enter", "claim", "sync", "look", "release", "seat_end", "note", "configure", "reset",
    "begin_order", "write_order", "allow_order", "phase", "sale", "draw", "move", "redeem",
)  # fmt: skip
STORE_ERRORS: Final[Mapping[str, int]] = _counts.row(*STORE_CALLS)
COMMANDS: Final[Mapping[str, int]] = _counts.row("complete", "revoke", "extend", "sold-out", "stock", "junk")
ORDERS: Final[Mapping[str, int]] = _counts.row(*(outcome for outcome in Outcome if outcome is not Outcome.UNDER_WAY))
NUMBERS: Final = _counts.one()
ON_THE_SPOT: Final = _counts.one()
STARTS: Final = _counts.one()
CPU_US: Final = _counts.one()
POLL_TIME: Final = _counts.histogram(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 1000)
FIRST_BYTE: Final = _counts.histogram(
    2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000
)  # fmt: skip
WAIT: Final = _counts.histogram(
    *(1000 * seconds for seconds in (1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400))
)
STORE_TIME: Final = _counts.histogram(0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2000)
LOOP_DELAY: Final = _counts.histogram(1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500)
COUNTS: Final = _counts.size

_gauges: Final = Layout()
READY: Final = _gauges.one()
"""1 while the worker takes connections and is ready."""
REPORTED_MS: Final = _gauges.one()
"""Monotonic time of the last report, the same clock for all processes of a machine; 0 while there is no worker."""
AWAY_SINCE_MS: Final = _gauges.one()
"""Since when Redis has not answered (since 1970); 0 if it does."""
ORIGIN_OK_MS: Final = _gauges.one()
ORIGIN_FAILED_MS: Final = _gauges.one()
"""When the shop was last heard, and last failed to answer (since 1970); 0 is never."""
CONNECTIONS: Final = _gauges.one()
TUNNELS: Final = _gauges.one()
HELD: Final = _gauges.one()
ORIGIN_CONNECTIONS: Final = _gauges.one()
MEMORY: Final = _gauges.one()
GAUGES: Final = _gauges.size

NOT_THE_SHOPS: Final = frozenset(("busy", "loop", "upload", "coding"))
"""Failures that say nothing about the shop's health."""


class Figures:
    """The figures of one worker."""

    __slots__ = ("counts", "gauges")

    def __init__(self) -> None:
        self.counts = [0] * COUNTS
        self.gauges = [0] * GAUGES


class Report(NamedTuple):
    """A worker's figures as somebody else sees them. `age_s` is that of the report; None where no worker is."""

    counts: list[int]
    gauges: list[int]
    age_s: float | None


def observe(counts: list[int], histogram: Histogram, ms: float) -> None:
    """Add one value; below 0, which a clock set back can make of a span, counts as 0."""
    start, bounds_ms, sum_at = histogram
    if ms < 0:
        ms = 0.0
    counts[start + bisect_left(bounds_ms, ms)] += 1
    counts[sum_at] += int(ms * 1000)
