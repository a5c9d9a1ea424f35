"""Who is still there: one bit a place, kept in chunks of 65,536 places.

Bit i of a chunk's integer is place `chunk * CHUNK + i`; in Redis and on the wire the same bits stand
in little-endian bytes. Setting a bit twice changes nothing, so that workers need no agreement.
"""

from collections.abc import Iterable

Window = tuple[tuple[int, int], ...]

CHUNK = 65_536
CHUNK_BYTES = CHUNK // 8
EPOCH_MS = 15_000
BLOCK = 1024
BLOCKS = CHUNK // BLOCK
FAR_MS, FAR_TURNS = 5_000, 20


def chunk_of(place: int) -> int:
    return place // CHUNK


def epoch_of(now_ms: float) -> int:
    return int(now_ms // EPOCH_MS)


def epochs_seen(now_ms: float, away_after_ms: int) -> range:
    """The epochs whose bits still count as being there."""
    last = epoch_of(now_ms)
    return range(last - -(-away_after_ms // EPOCH_MS), last + 1)


def is_due(chunk: int, since_ms: float, now_ms: float) -> bool:
    """Whether the turn of a far chunk came after `since_ms` and up to now. Each has one in 5 s, at a moment that
    follows from its number, so that the bits of ten million people go to Redis and back a few chunks at a time.
    """
    shift_ms = chunk % FAR_TURNS * FAR_MS / FAR_TURNS
    return (now_ms - shift_ms) // FAR_MS > (since_ms - shift_ms) // FAR_MS


class Beats:
    """The places seen by one worker since its last flush. A set bit costs nothing; a chunk is 8 KiB."""

    __slots__ = ("_chunks",)

    def __init__(self) -> None:
        self._chunks: dict[int, bytearray] = {}

    def note(self, place: int) -> None:
        """Its visitor was seen. Part of every poll."""
        chunk = place >> 16
        bits = self._chunks.get(chunk)
        if bits is None:
            bits = self._chunks[chunk] = bytearray(CHUNK_BYTES)
        bits[(place & 0xFFFF) >> 3] |= 1 << (place & 7)

    def chunks(self) -> list[int]:
        return list(self._chunks)

    def take(self, chunks: Iterable[int]) -> list[tuple[int, int, bytes]]:
        """(chunk, byte offset, bytes) of each chunk named that has anything, cut to what is set; forgotten here."""
        taken = []
        for chunk in chunks:
            bits = self._chunks.pop(chunk, None)
            if bits is not None:
                body = bytes(bits).rstrip(b"\0")
                start = len(body) - len(body.lstrip(b"\0"))
                taken.append((chunk, start, body[start:]))
        return taken

    def give_back(self, taken: Iterable[tuple[int, int, bytes]]) -> None:
        """Merge what could not be flushed."""
        for chunk, start, body in taken:
            bits = int.from_bytes(self._chunks.get(chunk, b""), "little") | int.from_bytes(body, "little") << 8 * start
            self._chunks[chunk] = bytearray(bits.to_bytes(CHUNK_BYTES, "little"))


def mask(start: int, end: int) -> int:
    """Bits start … end − 1 of one chunk."""
    return ((1 << end) - 1) ^ ((1 << start) - 1) if end > start else 0


class Presence:
    """Whom the holder of the lease takes for present: bits from Redis, and whole ranges that count as present.

    Chunks below the front are dropped by `forget`, so the size follows the line.
    """

    __slots__ = ("_assumed", "_bits", "_blocks")

    def __init__(self) -> None:
        self._bits: dict[int, int] = {}
        self._blocks: dict[int, tuple[Window, tuple[int, ...]]] = {}
        self._assumed: Window = ()

    def update(self, chunk: int, bits: bytes) -> None:
        value = int.from_bytes(bits, "little")
        if self._bits.get(chunk) != value:
            self._bits[chunk] = value
            self._blocks.pop(chunk, None)

    def assume(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Places in these half-open ranges count as present whether seen or not (just issued, or after a gap)."""
        self._assumed = tuple((start, end) for start, end in ranges if end > start)

    def forget(self, below_chunk: int) -> None:
        for store in (self._bits, self._blocks):
            for chunk in [c for c in store if c < below_chunk]:
                del store[chunk]

    def seen(self, chunk: int) -> int:
        """Only those who were seen."""
        return self._bits.get(chunk, 0)

    def bits(self, chunk: int) -> int:
        """Those who were seen, and those who count as present."""
        value = self._bits.get(chunk, 0)
        for start, end in self._window(chunk):
            value |= mask(start, end)
        return value

    def blocks(self, chunk: int) -> tuple[int, ...]:
        """Present places in each block of 1,024 of a chunk; counted when the chunk changed."""
        window = self._window(chunk)
        known = self._blocks.get(chunk)
        if known is not None and known[0] == window:
            return known[1]
        data = self.bits(chunk).to_bytes(CHUNK_BYTES, "little")
        step = BLOCK // 8
        counts = tuple(int.from_bytes(data[at : at + step], "little").bit_count() for at in range(0, CHUNK_BYTES, step))
        self._blocks[chunk] = window, counts
        return counts

    def _window(self, chunk: int) -> Window:
        """The ranges that count as present, as bits of this chunk."""
        low = chunk * CHUNK
        return tuple(
            (max(start - low, 0), min(end - low, CHUNK))
            for start, end in self._assumed
            if start < low + CHUNK and end > low
        )

    def count(self, start: int, end: int) -> int:
        """Present places in start … end − 1."""
        total = 0
        while start < end:
            chunk, offset = divmod(start, CHUNK)
            stop = min(end - chunk * CHUNK, CHUNK)
            if offset == 0 and stop == CHUNK:
                total += sum(self.blocks(chunk))
            else:
                total += (self.bits(chunk) & mask(offset, stop)).bit_count()
            start = chunk * CHUNK + stop
        return total

    def walk(self, front: int, people: int, end: int) -> int:
        """The front moved over `people` present places, never past `end`; the absent are skipped for free.

        Stops right behind the last one called: who is absent there may still come back before the next call.
        """
        remaining = people
        while remaining > 0 and front < end:
            chunk, offset = divmod(front, CHUNK)
            stop = min(end - chunk * CHUNK, CHUNK)
            here = self.bits(chunk) & mask(offset, stop)
            found = here.bit_count()
            if found >= remaining:
                return chunk * CHUNK + nth_bit(here, remaining) + 1
            remaining -= found
            front = chunk * CHUNK + stop
        return front


def nth_bit(value: int, n: int) -> int:
    """The position of the n-th set bit, counted from 1, of a value of at most 65,536 bits that has so many."""
    low, width = 0, CHUNK
    while width > 1:
        width //= 2
        half = (value >> low) & ((1 << width) - 1)
        count = half.bit_count()
        if count < n:
            n -= count
            low += width
    return low
