"""Ready or not. Redis or the shop away is *degraded*, still ready: taking every gateway out of the balancer would
lock out the people inside.
"""

import time

from waitroom.store.line import Line

WITHOUT_SNAPSHOT_S = 10.0


class Health:
    def __init__(self, line: Line) -> None:
        self._line = line
        self._began = time.monotonic()
        self.is_stopping = False

    @property
    def is_ready(self) -> bool:
        """From the first snapshot, or after 10 s without one, until the stop."""
        if self.is_stopping:
            return False
        return self._line.snapshot is not None or time.monotonic() - self._began >= WITHOUT_SNAPSHOT_S
