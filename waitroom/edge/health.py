"""Ready or not. Redis or the shop away is *degraded*, still ready: taking every gateway out of the balancer would
lock out the people inside.
"""

import time
from collections.abc import Sequence

from waitroom.store.line import Line

WITHOUT_SNAPSHOT_S = 10.0


class Health:
    """Of a worker, with all lines of its rooms."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines
        self._began = time.monotonic()
        self.is_stopping = False

    @property
    def is_ready(self) -> bool:
        """From the first snapshot of every line, or after 10 s without one, until the stop."""
        if self.is_stopping:
            return False
        known = all(line.snapshot is not None for line in self._lines)
        return known or time.monotonic() - self._began >= WITHOUT_SNAPSHOT_S
