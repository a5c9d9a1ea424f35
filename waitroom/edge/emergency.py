"""`WAITROOM_ON_STORE_FAILURE=open`: lets newcomers in while Redis is away, by a meter of this worker's own.

Its rate is the room's divided by the workers last seen, so that together they keep it. The passes are honoured,
and counted as seats, when Redis is back.
"""

import time

from waitroom.core.meter import Meter, grant
from waitroom.core.model import Snapshot
from waitroom.core.tokens import Pass
from waitroom.edge.visitor import Desk, random_place
from waitroom.store.line import Line

GENERATION = "emergency"


class Emergency:
    """Of one line and one worker. It asks neither Redis nor anybody else."""

    def __init__(self, line: Line, desk: Desk) -> None:
        self._line = line
        self._desk = desk
        self._meter = Meter()
        self._last_seen: Snapshot | None = None

    def admit(self, visitor_id: str) -> Pass | None:
        """A pass, or None if it is not yet anybody's turn. Its place is a random one that no number reaches."""
        limits, snapshot = self._line.limits, self._line.snapshot
        workers = max(self._line.settings.workers, snapshot.workers if snapshot else 1)
        share = limits.shared_by(workers)
        now_us = time.monotonic() * 1e6
        if snapshot is not self._last_seen or not self._meter.next_at_us:
            # Each outage begins without credit: the shared meter may just have spent it.
            self._last_seen, self._meter = snapshot, Meter(now_us + share.burst * share.spacing_us)
        admit_us, self._meter = grant(self._meter, share, now_us)
        if admit_us is None:
            return None
        now_ms = int(self._line.now_ms())
        pass_ = self._desk.admitted(
            visitor_id, GENERATION, random_place(), admit_ms=now_ms + (admit_us - now_us) / 1000, now_ms=now_ms
        )
        self._line.renew(pass_.generation, pass_.place, pass_.end_ms)
        return pass_
