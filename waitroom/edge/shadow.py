"""Shadow mode: the line decides, nobody waits. Counts whom it would have queued.

A newcomer asks the room like any other, but never for a number: there is room, and the rate and a seat are used, or
there is none, and it is counted and goes on all the same, with a pass that is provisional until it is seen again. So
the room meters as it would live, nothing of it depends on Redis, and whoever came in shadow holds a pass afterwards.

What is counted is what found no room at its own moment. A live line also keeps those who come while it is there: live,
more people wait, but of the same kinds.
"""

import asyncio
from collections import Counter
from contextlib import suppress

import structlog

from waitroom.core.errors import StoreUnavailable
from waitroom.core.figures import SHADOWED
from waitroom.core.requests import value_of
from waitroom.core.shadow import OTHER_PATHS, client_of, row_name, shape_of
from waitroom.edge.request import Request
from waitroom.edge.visitor import random_place
from waitroom.store.line import Line
from waitroom.store.replies import Entry, Newcomer

SHADOW = "shadow"
"""The generation of passes without an admission."""
ASK_S = 0.5
MOST_PATHS = 120
FIRST_LINE_S, LINE_S = 1.0, 60.0
TOP = 5

log = structlog.get_logger()


class Shadow:
    """Of one worker. Counts into `line.shadowed`; paths beyond the first 120 of its life are counted together."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._known: set[str] = set()
        self._untold: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._next_s = FIRST_LINE_S

    async def enter(self, newcomer: Newcomer, request: Request) -> Entry:
        """An admission that has begun already: the room's, or nobody's. Waits for Redis half a second at most."""
        entry = None
        if newcomer.may_come_on_the_spot:
            with suppress(StoreUnavailable, TimeoutError):
                async with asyncio.timeout(ASK_S):
                    entry = await self._line.enter(newcomer._replace(may_take_number=False))
        now_ms = self._line.now_ms()
        if entry is None or entry.admit_ms is None:
            self.count(request)
            return Entry(SHADOW, random_place(), now_ms)
        return entry._replace(admit_ms=min(entry.admit_ms, now_ms))

    def count(self, request: Request) -> None:
        """One request that would not have reached the shop at once."""
        kind = request.kind.value if request.kind is not None else "join"
        agent = value_of(request.scope["headers"], b"user-agent")
        path = shape_of(request.exchange.target)
        if path not in self._known:
            if len(self._known) < MOST_PATHS:
                self._known.add(path)
            else:
                path = OTHER_PATHS
        name = row_name(kind, client_of(agent), path)
        self._line.counts[SHADOWED[kind]] += 1
        self._line.shadowed[name] += 1
        self._untold[name] += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._next_s, self._tell)
            self._next_s = LINE_S

    def _tell(self) -> None:
        """A line of the log for all that came since the one before."""
        self._timer = None
        untold, self._untold = self._untold, Counter()
        most = dict(untold.most_common(TOP))
        log.warning("would_have_waited", room=self._line.settings.room, requests=untold.total(), most=most)
