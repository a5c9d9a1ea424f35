"""The server's edge: uvicorn with what a gate must see or refuse.

`heads` reads requests, `connection` keeps their order and time, `exchange` turns answers into bytes, and `cycle` speaks
ASGI; here is the server that starts, drains and stops. Signals and processes are `waitroom.serve`'s.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog
import uvicorn
from starlette.types import ASGIApp

from waitroom.edge.wire.connection import EdgeProtocol
from waitroom.edge.wire.exchange import Exchange
from waitroom.edge.wire.heads import EdgeState, Limits, Poll

__all__ = ["EdgeProtocol", "EdgeServer", "Exchange", "Limits", "make_server"]

log = structlog.get_logger()


class EdgeServer(uvicorn.Server):
    """Serves until `stop`; then drains: `on_stop`, `stop_delay_ms` of going on, a limited graceful end."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        limits: Limits,
        stop_delay_ms: int,
        on_start: Callable[[], None] | None,
        on_stop: Callable[[], Awaitable[None]] | None,
        counts: list[int] | None,
        poll: Poll | None,
    ) -> None:
        super().__init__(config)
        self.server_state = EdgeState(limits, counts, poll)
        self.edge = self.server_state
        self.stop_delay_ms = stop_delay_ms
        self.on_start = on_start
        self.on_stop = on_stop
        self.asked = asyncio.Event()
        self.forced = asyncio.Event()

    def stop(self) -> None:
        """Once: stop in order. Twice: break what is under way and end now."""
        if not self.asked.is_set():
            self.asked.set()
            return
        self.forced.set()
        self.force_exit = True
        for connection in list(self.edge.connections):
            connection.transport.abort()

    async def serve(self, sockets: Any = None) -> None:
        """As uvicorn's, but signals are the caller's: they call `stop`."""
        await self._serve(sockets)

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.on_start is not None:
            self.on_start()

    async def main_loop(self) -> None:
        await self.asked.wait()
        # From here every answer says `connection: close`: clients and balancers move before the listener closes.
        self.edge.draining = True
        loop = asyncio.get_running_loop()
        until = loop.time() + self.stop_delay_ms / 1000
        if self.on_stop is not None:
            try:
                async with asyncio.timeout(max(1.0, self.stop_delay_ms / 1000)):
                    await self.on_stop()
            except Exception:
                log.exception("stopping_failed")
        try:
            async with asyncio.timeout_at(until):
                await self.forced.wait()
        except TimeoutError:
            pass


def make_server(
    app: ASGIApp,
    *,
    limits: Limits | None = None,
    stop_delay_ms: int = 0,
    stop_limit_s: int = 30,
    on_start: Callable[[], None] | None = None,
    on_stop: Callable[[], Awaitable[None]] | None = None,
    counts: list[int] | None = None,
) -> EdgeServer:
    """A server for `await server.serve(sockets=[...])` with bound sockets.

    `on_start` is called when it accepts; `on_stop` at the beginning of a stop; requests under way have
    `stop_limit_s` to end after the listener closed. Answers are counted into `counts` (waitroom.core.figures).
    An app may have a `poll` (`heads.Poll`), which is asked first.
    """
    config = uvicorn.Config(
        cast(Any, app),
        http=EdgeProtocol,
        ws="none",
        interface="asgi3",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=2048,
        timeout_graceful_shutdown=stop_limit_s,
    )
    return EdgeServer(
        config,
        limits=limits or Limits(),
        stop_delay_ms=stop_delay_ms,
        on_start=on_start,
        on_stop=on_stop,
        counts=counts,
        poll=getattr(app, "poll", None),
    )
