"""A room in memory, for the simulation: what the store's scripts do with Redis, one visitor at a time.

The meter is `core.meter`. Times are milliseconds since the opening; calls must come in the order of time, but for the
moments within one step, which count as no earlier than what was done before.
"""

from bisect import bisect_left, insort
from dataclasses import replace
from typing import Literal

from waitroom.core.meter import Limits, Meter, credit_us, grant, grantable
from waitroom.core.model import Snapshot, State, read_state, write_limits
from waitroom.core.presence import CHUNK, CHUNK_BYTES, EPOCH_MS
from waitroom.core.table import EMPTY
from waitroom.core.watch import Verdict

START_MS = 100_000 * EPOCH_MS
"""The opening as Redis time: late enough that nothing of the room's past counts."""


class Bits:
    """One bit a place, by chunk, as they stand in Redis."""

    def __init__(self) -> None:
        self._chunks: dict[int, bytearray] = {}

    def set(self, place: int) -> None:
        bits = self._chunks.get(place // CHUNK)
        if bits is None:
            bits = self._chunks[place // CHUNK] = bytearray(CHUNK_BYTES)
        bits[place % CHUNK >> 3] |= 1 << (place & 7)

    def clear(self, place: int) -> None:
        bits = self._chunks.get(place // CHUNK)
        if bits is not None:
            bits[place % CHUNK >> 3] &= ~(1 << (place & 7))

    def chunk(self, chunk: int) -> bytes:
        return bytes(self._chunks.get(chunk, b""))

    def forget(self, below_chunk: int) -> None:
        for chunk in [chunk for chunk in self._chunks if chunk < below_chunk]:
            del self._chunks[chunk]


class SimulatedRoom:
    """`door`: the places standing there, in order. `seats`: taken. `table`: the one published last."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.meter = Meter()
        self.issued = self.front = self.lapsed = self.admitted = self.seats = 0
        self.door: list[int] = []
        self.claimed = Bits()
        self.table = EMPTY
        self._clock_ms = 0.0
        self._usable_ms = self._soon = 0
        self._empty = empty_room(limits)

    def enter(self, at_ms: float) -> float | None:
        """The next number: admitted on the spot, and from when on (ms); or None, to wait."""
        place = self.issued
        self.issued += 1
        if self.front < place or self._soon or self.door or not self._may_admit(at_ms):
            return None
        self.front = self.issued
        return self._admit(place)

    def claim(self, place: int, at_ms: float) -> float | Literal["door", "lapsed"]:
        """A called place: admitted from then on (ms); or it stands at the door, in order; or it is too late."""
        if place < self.lapsed:
            return "lapsed"
        if not self._may_admit(at_ms, bisect_left(self.door, place)):
            insort(self.door, place)
            return "door"
        return self._admit(place)

    def admit_from_door(self, at_ms: float) -> tuple[int, float] | None:
        """The first at the door and when they come in; None if nobody stands there, or nobody can."""
        if not self.door or not self._may_admit(at_ms):
            return None
        place = self.door.pop(0)
        return place, self._admit(place)

    def credit(self, now_ms: float) -> float:
        """How many admissions are saved up."""
        if self.limits.unlimited:
            return 0.0
        return credit_us(self.meter, self.limits, now_ms * 1000) / self.limits.spacing_us

    def snapshot(self, now_ms: float) -> Snapshot:
        """What a sync says."""
        state = replace(
            self._empty,
            issued=self.issued,
            front=self.front,
            lapsed=self.lapsed,
            meter=self.meter,
            usable_ms=self._usable_ms,
            admitted=self.admitted,
        )
        return Snapshot(state, START_MS + int(now_ms), self.seats, len(self.door), 1, frozenset(), True, self.table)

    def release(self, verdict: Verdict, since_ms: int) -> None:
        """Move the front and publish the table; the clock of lapsing runs while a claim could have succeeded."""
        if not self.limits.max_active or self.seats < self.limits.max_active:
            self._usable_ms += since_ms
        self.front, self.lapsed, self._soon, self.table = verdict.front, verdict.lapsed, verdict.soon, verdict.table

    def _may_admit(self, at_ms: float, rank: int = 0) -> bool:
        """Whether there is room for one more than so many who go before."""
        self._clock_ms = max(self._clock_ms, at_ms)
        left = grantable(self.meter, self.limits, self._clock_ms * 1000)
        if self.limits.max_active:
            left = min(left, self.limits.max_active - self.seats)
        return rank < left

    def _admit(self, place: int) -> float:
        admit_us, self.meter = grant(self.meter, self.limits, self._clock_ms * 1000)
        assert admit_us is not None
        self.admitted += 1
        self.seats += 1
        self.claimed.set(place)
        return admit_us / 1000


def empty_room(limits: Limits) -> State:
    """A room as it is created."""
    numbers = "ordinal issued front lapsed next_at last usable admitted on_the_spot confirmed gap hole hole_end"
    fields = dict.fromkeys(numbers.split(), "0") | write_limits(limits)
    named = {
        "generation": "simulated",
        "message": "",
        "table_version": "",
        "holes": "",
        "created": str(START_MS // 1000),
    }
    return read_state(fields | named)
