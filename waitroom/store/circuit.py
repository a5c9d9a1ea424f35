"""An ill Redis is not hammered: one try at a time, after longer and longer pauses, and nothing else calls it."""

SYNC_S = 0.25
LONGEST_S = 1.5
SPREAD = 0.1


class Circuit:
    """Closed while the last round of the sync loop went well. Open, only that loop calls: its try is the probe."""

    def __init__(self) -> None:
        self._failures = 0

    @property
    def is_closed(self) -> bool:
        return self._failures == 0

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self) -> None:
        self._failures += 1

    def next_in_s(self, chance: float) -> float:
        """How long after the last try the next one begins. `chance` (0 … 1) keeps the workers apart: a little while
        all is well, much while they wait for the same server.
        """
        if self.is_closed:
            return SYNC_S * (1 + SPREAD * (2 * chance - 1))
        return min(SYNC_S * 2.0 ** min(self._failures, 8), LONGEST_S) * (0.5 + chance / 2)
