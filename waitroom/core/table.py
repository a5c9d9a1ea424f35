"""The table everyone reads: how many present visitors stand before a place.

The holder of the lease publishes it with the front; every worker fetches it with its sync and answers
`ahead` from its own memory. Exact for the first thousands of places behind the front. Further back people are counted
by blocks, which grow with the distance: 256 of 1,024 places, 256 of twice as many, and so on. Within a block they
count as evenly spread, so that an answer is off by a quarter of a block at most: 256 people as far as a quarter of a
million places back, and from there 0.2 % of the distance. The blob grows with the logarithm of the line.

Layout: one line of JSON (`Facts`), a line feed, the exact bits, then the block counts (uint32); little-endian.
"""

import json
import struct
from bisect import bisect_right
from copy import copy
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from waitroom.core.estimate import Move
from waitroom.core.presence import BLOCK, BLOCKS, CHUNK, Presence, mask
from waitroom.core.probes import Probe, Tally
from waitroom.core.release import Cohort

EXACT = 8 * BLOCK
TIER = 256
WORD = 64
NOT_YET = Tally()


@dataclass(frozen=True, slots=True)
class Facts:
    """What a new holder of the lease and every worker need to know of the recent past. Times in ms of Redis.

    `calls`: (usable clock, time, front), oldest first: one a second for 10 s, then one an epoch for `turn_held`.
    `issues`: (time, issued), one a second for 12 s, then one an epoch for as long as an absence takes to be found.
    `space`: 'n' if all that is counted in numbers, in a lobby before its draw; else 'p', places.
    `cohorts`, `moves`, `probes`, `tally`: see `core.release.Cohort`, `core.estimate.Move`, `core.probes`.
    """

    calls: tuple[tuple[int, int, int], ...] = ()
    issues: tuple[tuple[int, int], ...] = ()
    cohorts: tuple[Cohort, ...] = ()
    moves: tuple[Move, ...] = ()
    probes: tuple[Probe, ...] = ()
    tally: Tally = NOT_YET
    space: str = "p"


class Table:
    """Immutable once made. `start` ≤ front is a multiple of 1,024; places from `end` on count as present."""

    __slots__ = ("_exact_end", "_sums", "_words", "counts", "end", "exact", "facts", "start")

    def __init__(self, *, start: int, end: int, exact: bytes, counts: tuple[int, ...], facts: Facts) -> None:
        self.start, self.end, self.exact, self.counts, self.facts = start, end, exact, counts, facts
        self._exact_end = min(end, start + EXACT)
        self._words: tuple[int, ...] = struct.unpack(f"<{EXACT // WORD}Q", exact.ljust(EXACT // 8, b"\0"))
        totals = accumulate(map(int.bit_count, self._words), initial=0)
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
            index, rest, size = block_at(place - self._exact_end)
            at = EXACT // WORD + index
            size = min(size, self.end - place + rest)
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

    def called_at(self, place: int) -> int | None:
        """When a place was called, by the clock that runs while claims could succeed; None if that is not remembered.
        What `lapsed_below` goes by: up to an epoch later than the very moment.
        """
        return next((usable_ms for usable_ms, _, front in self.facts.calls if front > place), None)

    def with_facts(self, facts: Facts) -> "Table":
        """The same counts, with news of the recent past."""
        table = copy(self)
        table.facts = facts
        return table

    def encode(self) -> bytes:
        head = {"start": self.start, "end": self.end, **{name: getattr(self.facts, name) for name in Facts.__slots__}}
        exact = self.exact.ljust(EXACT // 8, b"\0")
        body = struct.pack(f"<{len(self.counts)}I", *self.counts)
        return json.dumps(head, separators=(",", ":")).encode() + b"\n" + exact + body


EMPTY = Table(start=0, end=0, exact=b"", counts=(), facts=Facts())


def block_at(offset: int) -> tuple[int, int, int]:
    """The block of the place `offset` behind the exact bits: (its index, places of it that come before, its size)."""
    tier = (offset // (TIER * BLOCK) + 1).bit_length() - 1
    size = BLOCK << tier
    index, rest = divmod(offset - TIER * (size - BLOCK), size)
    return tier * TIER + index, rest, size


def decode(blob: bytes) -> Table:
    """The table that `Table.encode` wrote."""
    line, _, body = blob.partition(b"\n")
    head: dict[str, Any] = json.loads(line)
    rings = {name: tuple(map(tuple, head[name])) for name in ("calls", "issues")}
    cohorts = tuple(Cohort(at_ms, tuple(called), tuple(came)) for at_ms, called, came in head["cohorts"])
    facts = Facts(
        **rings,
        cohorts=cohorts,
        moves=tuple(Move(*move) for move in head["moves"]),
        probes=tuple(Probe(*probe) for probe in head["probes"]),
        tally=Tally(*head["tally"]),
        space=head.get("space", "p"),
    )
    counts = struct.unpack(f"<{(len(body) - EXACT // 8) // 4}I", body[EXACT // 8 :])
    return Table(start=head["start"], end=head["end"], exact=body[: EXACT // 8], counts=counts, facts=facts)


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
    counts = fine[:TIER]
    low, step = TIER, 2
    while low < len(fine):
        high = min(low + TIER * step, len(fine))
        counts += [sum(fine[at : at + step]) for at in range(low, high, step)]
        low, step = high, 2 * step
    return Table(start=start, end=issued, exact=exact.to_bytes(EXACT // 8, "little"), counts=tuple(counts), facts=facts)
