"""The table everyone reads: how many present visitors stand before a place.

The holder of the lease publishes it with the front; every worker fetches it with its sync and answers
`ahead` from its own memory. Exact for the first thousands of places behind the front, counts a block further back.

Layout: one line of JSON (`Facts`), a line feed, the exact bits, then the block counts (uint32); little-endian.
"""

import json
import struct
from bisect import bisect_right
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

from waitroom.core.presence import BLOCK, BLOCKS, CHUNK, Presence, mask
from waitroom.core.release import Cohort

EXACT = 8 * BLOCK
MOST_BLOCKS = 2048
WORD = 64


@dataclass(frozen=True, slots=True)
class Facts:
    """What a new holder of the lease and every worker need to know of the recent past. Times in ms of Redis.

    `calls`: (usable clock, time, front), oldest first: one a second for 10 s, then one an epoch for `turn_held`.
    `issues`: (time, issued) of the last 12 s. `cohorts`: see `core.release.Cohort`. `flow`: (time, admitted in all).
    """

    calls: tuple[tuple[int, int, int], ...] = ()
    issues: tuple[tuple[int, int], ...] = ()
    cohorts: tuple[Cohort, ...] = ()
    flow: tuple[tuple[int, int], ...] = ()


class Table:
    """Immutable once made. `start` ≤ front is a multiple of 1,024; places from `end` on count as present."""

    __slots__ = ("_exact_end", "_sums", "_words", "block", "counts", "end", "exact", "facts", "start")

    def __init__(
        self, *, start: int, end: int, exact: bytes, block: int, counts: tuple[int, ...], facts: Facts
    ) -> None:
        self.start, self.end, self.exact, self.block, self.counts, self.facts = start, end, exact, block, counts, facts
        self._exact_end = min(end, start + EXACT)
        value = int.from_bytes(exact, "little")
        self._words = tuple((value >> at) & ((1 << WORD) - 1) for at in range(0, EXACT, WORD))
        totals = accumulate((word.bit_count() for word in self._words), initial=0)
        words = tuple(totals)
        self._sums = (*words[:-1], *accumulate(counts, initial=words[-1]))

    def before(self, place: int) -> float:
        """Present visitors in start … place − 1; a block counts as evenly spread."""
        if place <= self.start:
            return 0
        if place < self._exact_end:
            word, bit = divmod(place - self.start, WORD)
            return self._sums[word] + (self._words[word] & ((1 << bit) - 1)).bit_count()
        if place < self.end:
            index, rest = divmod(place - self.start - EXACT, self.block)
            at = EXACT // WORD + index
            size = min(self.block, self.end - self.start - EXACT - index * self.block)
            return self._sums[at] + (self._sums[at + 1] - self._sums[at]) * rest / size
        return self._sums[-1] + place - self.end

    def ahead(self, front: int, place: int) -> int:
        """Present visitors from the front to a place, without the place itself."""
        return max(0, round(self.before(place) - self.before(front)))

    def lapsed_below(self, usable_ms: int, turn_held_ms: int) -> int:
        """Places below this were called over `turn_held` ago, by the clock that runs while claims could succeed."""
        calls = self.facts.calls
        index = bisect_right(calls, usable_ms - turn_held_ms, key=lambda call: call[0])
        return calls[index - 1][2] if index else 0

    def encode(self) -> bytes:
        head = {"start": self.start, "end": self.end, "block": self.block, **asdict(self.facts)}
        exact = self.exact.ljust(EXACT // 8, b"\0")
        body = struct.pack(f"<{len(self.counts)}I", *self.counts)
        return json.dumps(head, separators=(",", ":")).encode() + b"\n" + exact + body


EMPTY = Table(start=0, end=0, exact=b"", block=BLOCK, counts=(), facts=Facts())


def decode(blob: bytes) -> Table:
    line, _, body = blob.partition(b"\n")
    head: dict[str, Any] = json.loads(line)
    rings = {name: tuple(map(tuple, head[name])) for name in ("calls", "issues", "flow")}
    cohorts = tuple(Cohort(at_ms, tuple(called), tuple(came)) for at_ms, called, came in head["cohorts"])
    facts = Facts(**rings, cohorts=cohorts)
    counts = struct.unpack(f"<{(len(body) - EXACT // 8) // 4}I", body[EXACT // 8 :])
    return Table(
        start=head["start"], end=head["end"], exact=body[: EXACT // 8], block=head["block"], counts=counts, facts=facts
    )


def make_table(presence: Presence, *, front: int, issued: int, facts: Facts) -> Table:
    """Count the line from the front to `issued`."""
    start = front - front % BLOCK
    exact_end = start + EXACT
    exact = 0
    for chunk in {start // CHUNK, (exact_end - 1) // CHUNK}:
        low = chunk * CHUNK
        first, last = max(start, low), min(exact_end, low + CHUNK, issued)
        if last > first:
            exact |= ((presence.bits(chunk) & mask(first - low, last - low)) >> (first - low)) << (first - start)
    fine: list[int] = []
    place = exact_end
    while place < issued:
        chunk, offset = divmod(place, CHUNK)
        fine.extend(presence.blocks(chunk)[offset // BLOCK : BLOCKS])
        place = (chunk + 1) * CHUNK
    fine = fine[: max(0, -(-(issued - exact_end) // BLOCK))]
    block = BLOCK
    while len(fine) * BLOCK > MOST_BLOCKS * block:
        block *= 2
    step = block // BLOCK
    counts = tuple(sum(fine[at : at + step]) for at in range(0, len(fine), step))
    return Table(
        start=start, end=issued, exact=exact.to_bytes(EXACT // 8, "little"), block=block, counts=counts, facts=facts
    )
