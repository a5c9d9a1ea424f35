"""Passes that ended before their time, because the visitor left: remembered for as long as one could still be shown."""

from collections.abc import Iterable
from itertools import takewhile


class Ended:
    """As `<generation>:<place>`. `kept_ms`: the longest life of a pass."""

    def __init__(self, kept_ms: int) -> None:
        self.kept_ms = kept_ms
        self._until_ms: dict[bytes, float] = {}

    def __len__(self) -> int:
        return len(self._until_ms)

    def has(self, generation: str, place: int) -> bool:
        return bool(self._until_ms) and b"%b:%d" % (generation.encode(), place) in self._until_ms

    def add(self, passes: Iterable[bytes], now_ms: float) -> None:
        """Those heard of now; the oldest are forgotten when no pass of them can be good any more."""
        known = self._until_ms
        for member in passes:
            known.setdefault(member, now_ms + self.kept_ms)
        for member in list(takewhile(lambda member: known[member] <= now_ms, known)):
            del known[member]
