"""The connections of a worker to the shop: opened, kept, given out, watched, closed.

Every wait is watched by one timer of the pool, which sweeps over the exchanges under way: no timer is set per request.
"""

import asyncio
import ssl
from collections import deque

import structlog

from waitroom.core.errors import OriginFailure
from waitroom.core.settings import Origin
from waitroom.edge.shop.answer import Answer
from waitroom.edge.shop.connection import Connection, Seen
from waitroom.edge.shop.dialer import Dialer, LookUp
from waitroom.edge.shop.framing import CLIENTS_TURN, Phase
from waitroom.edge.shop.origin_limits import Limits

log = structlog.get_logger()


class OriginPool:
    """The connections of one worker to the shop, the last used first out."""

    def __init__(
        self,
        origin: Origin,
        *,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
        look_up: LookUp | None = None,
    ) -> None:
        """Made inside a running loop. `tls` replaces https's context (the system's authorities, verification on),
        `look_up` DNS.
        """
        self.origin = origin
        self.limits = limits or Limits()
        self.loop = asyncio.get_running_loop()
        self.under_way: dict[Answer, Seen | None] = {}
        self._idle: list[Connection] = []
        self._waiting: deque[tuple[float, asyncio.Future[Connection | None]]] = deque()
        self._alive: set[Connection] = set()
        self._room_taken = 0  # connections open, and being opened
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._seen_at = self.loop.time()
        self._all_gone: asyncio.Future[None] | None = None  # set by close
        limit = self.limits
        self._dialer = Dialer(origin, connect_s=limit.connect_s, tls=tls, look_up=look_up)
        self._patience = {
            Phase.UPLOAD: limit.upload_s / limit.sweep_s,
            Phase.HEAD: limit.first_byte_s / limit.sweep_s,
            Phase.BODY: limit.idle_s / limit.sweep_s,
            Phase.CLIENT: limit.client_s / limit.sweep_s,
        }

    @property
    def open_count(self) -> int:
        """Connections open, idle ones too."""
        return len(self._alive)

    # Giving out and taking back.

    def take(self, max_idle_s: float) -> Connection | None:
        """A connection used not longer than `max_idle_s` ago, if there is one."""
        if not self._idle:
            return None
        connection = self._idle[-1]
        idle_s = self.loop.time() - connection.idle_since
        if idle_s > max_idle_s or idle_s > connection.keep_s:
            return None
        self._idle.pop()
        return connection

    async def open(self) -> Connection:
        """A new connection; where there is no room, the next one given back. Raises OriginFailure."""
        self._watch()
        if self._room_taken >= self.limits.connections and self._idle:
            self._idle[0].discard()
        if self._room_taken < self.limits.connections:
            self._room_taken += 1
        else:
            given = await self._next_given()
            if given is not None:
                return given if not given.lost else await self.open()
        connection = Connection(self)
        try:
            await self._dialer.connect(connection)
        except BaseException:
            if not connection.counted:
                self._free_room()
            raise
        return connection

    def give_back(self, connection: Connection) -> None:
        """The connection may carry the next exchange."""
        if connection.lost:
            return
        connection.used = True
        connection.idle_since = self.loop.time()
        if not self._waiting or not self._serve_next(connection):
            self._idle.append(connection)

    def remember(self, connection: Connection) -> None:
        self._alive.add(connection)
        connection.counted = True

    def forget(self, connection: Connection) -> None:
        """The connection is of no more use: its room is free, though it may still be closing. Twice is once."""
        if connection.counted:
            connection.counted = False
            if connection in self._idle:
                self._idle.remove(connection)
            self._free_room()

    def gone(self, connection: Connection) -> None:
        self._alive.discard(connection)
        if self._all_gone is not None and not self._alive and not self._all_gone.done():
            self._all_gone.set_result(None)

    async def close(self) -> None:
        """Cut everything, and wait until it is gone."""
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None
        self._refuse_waiting(float("inf"))
        if self._alive:
            self._all_gone = self.loop.create_future()
            for connection in tuple(self._alive):
                connection.discard()
            await self._all_gone

    async def _next_given(self) -> Connection | None:
        """Wait for a connection, or for room to open one (None)."""
        if len(self._waiting) >= self.limits.waiting:
            raise OriginFailure("busy", "too many requests wait for a connection")
        waiter: asyncio.Future[Connection | None] = self.loop.create_future()
        self._waiting.append((self.loop.time() + self.limits.wait_s, waiter))
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                given = waiter.result()
                if given is None:
                    self._free_room()
                else:
                    self.give_back(given)
            raise

    def _free_room(self) -> None:
        """Hand the room on to whoever waits."""
        if not self._serve_next(None):
            self._room_taken -= 1

    def _serve_next(self, connection: Connection | None) -> bool:
        while self._waiting:
            _, waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    # Watching.

    def _watch(self) -> None:
        if self._sweep_timer is None:
            self._sweep_timer = self.loop.call_later(self.limits.sweep_s, self._sweep)

    def _sweep(self) -> None:
        """End what waited too long: exchanges, idle connections, requests that wait for a connection."""
        self._sweep_timer = None
        try:
            self._end_overdue(self.loop.time())
        finally:  # nothing else watches the limits
            if self._alive or self._room_taken:
                self._watch()

    def _end_overdue(self, now: float) -> None:
        for answer in tuple(self.under_way):
            answer.quiet += 1
            if answer.quiet > self._patience[answer.phase]:
                answer.expire()
        while self._idle and now - self._idle[0].idle_since > self._idle[0].keep_s:
            self._idle[0].discard()
        if self._waiting and self._waiting[0][0] - now <= self.limits.wait_s - self.limits.crowded_s:
            self._make_room(len(self._waiting))
        self._refuse_waiting(now)
        if now - self._seen_at >= self.limits.seen_s:
            self._seen_at = now
            for seen in self.under_way.values():
                if seen is not None:
                    seen()  # an answer under way is finished, also when the pass ends meanwhile

    def _make_room(self, wanted: int) -> None:
        """End the exchanges whose clients read or send slowest, so that a thousand of them shut nobody out."""
        least = self.limits.crowded_s / self.limits.sweep_s
        slow = [
            each
            for each in self.under_way
            if each.phase in CLIENTS_TURN and each.quiet > least and not each.over  # who is over holds no connection
        ]
        slow.sort(key=lambda answer: answer.quiet, reverse=True)
        for answer in slow[:wanted]:
            answer.expire()
        if slow:
            log.warning("slow_clients_ended", count=min(len(slow), wanted))

    def _refuse_waiting(self, now: float) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            _, waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(OriginFailure("busy", f"no connection came free in {self.limits.wait_s:g} s"))
