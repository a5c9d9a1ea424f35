"""Tells operators what was refused, by kind and path, so that a forgotten webhook is found before the sale."""

from collections import Counter

import structlog

from waitroom.core.figures import REFUSED
from waitroom.core.requests import Kind

MOST_PATHS = 200
LONGEST_PATH = 80

log = structlog.get_logger()


class Refusals:
    """Counts into `findings`. Bounded: paths beyond the first 200 of a worker's life are counted together."""

    def __init__(self, room: str, counts: list[int]) -> None:
        self._room = room
        self._counts = counts
        self._known: set[str] = set()

    def count(self, findings: Counter[str], kind: Kind | None, target: bytes) -> None:
        """Documents in line are no finding; everything else is, and its first time goes to the log."""
        if kind is None or kind is Kind.DOCUMENT:
            return
        self._counts[REFUSED[kind.value]] += 1
        path = target.partition(b"?")[0][:LONGEST_PATH].decode("latin-1")
        what = f"refused {kind.value} {path}"
        if what not in self._known:
            if len(self._known) >= MOST_PATHS:
                what = f"refused {kind.value} (other)"
            else:
                self._known.add(what)
                log.info("path_refused", room=self._room, kind=kind.value, path=path)
        findings[what] += 1
