"""Builds one worker's gateway from the settings, wires its parts, opens and closes them."""

from collections.abc import Awaitable

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from waitroom.core.figures import AWAY_SINCE_MS, HELD, ORIGIN_CONNECTIONS, READY, TUNNELS, Figures
from waitroom.core.settings import Settings
from waitroom.core.tokens import Tokens
from waitroom.edge.clients import Clients
from waitroom.edge.cookies import Cookies
from waitroom.edge.dialer import tls_context
from waitroom.edge.entrance import Entrance
from waitroom.edge.forward_auth import ForwardAuth
from waitroom.edge.gate import Gate
from waitroom.edge.health import Health
from waitroom.edge.origin import OriginPool
from waitroom.edge.origin_limits import limits_of
from waitroom.edge.own import OwnRoutes
from waitroom.edge.pages import Pages
from waitroom.edge.problems import Problems
from waitroom.edge.proxy import Proxy
from waitroom.edge.routes import Routes
from waitroom.edge.status import Status
from waitroom.edge.visitor import Desk
from waitroom.store.line import Line
from waitroom.store.room import Room

log = structlog.get_logger()


class App:
    """An ASGI application with a life: `open`, `stopping` when the stop was asked for, `close`."""

    def __init__(self, gate: Gate, line: Line, pool: OriginPool, health: Health, figures: Figures) -> None:
        self.gate = gate
        self.front: ASGIApp = ForwardAuth(gate) if gate.settings.forward_auth else gate
        self.line = line
        self.pool = pool
        self.health = health
        self.figures = figures

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return self.front(scope, receive, send)

    async def open(self) -> None:
        """Begin to sync. Returns at once: the gateway serves whoever holds a pass even while Redis is away."""
        await self.line.open()

    async def stopping(self) -> None:
        """Not ready any more; held polls are answered, so that their pages ask the next gateway."""
        self.health.is_stopping = True
        self.line.held.close()

    def look(self) -> None:
        """Bring the gauges of `figures` up to date."""
        gauges = self.figures.gauges
        gauges[READY] = int(self.health.is_ready)
        gauges[AWAY_SINCE_MS] = self.line.away_since_ms
        gauges[HELD] = len(self.line.held)
        gauges[TUNNELS] = self.gate.proxy.tunnels.count
        gauges[ORIGIN_CONNECTIONS] = self.pool.open_count

    async def close(self) -> None:
        await self.line.close()
        await self.pool.close()


def create_app(settings: Settings, *, fresh_store: bool = False) -> App:
    """One worker's gateway. `settings.redis_url` and `settings.secret` are set. Called inside the
    running loop; makes no connection yet.

    `fresh_store`: Redis is new and ours alone, so nobody can remember an older room.
    """
    if settings.redis_url is None or not settings.secret:
        raise ValueError("a worker needs the address of Redis and a secret")
    tokens = Tokens(settings.room, [key.get_secret_value() for key in settings.secret])
    figures = Figures()
    room = Room.connect(settings.redis_url.get_secret_value(), settings.room, figures.counts)
    line = Line(settings, room, key_ids=sorted(tokens.key_ids), fresh_store=fresh_store)
    desk = Desk(settings, tokens, Cookies(settings.room, settings.cookie_domain), line.ended)
    pages = Pages(settings)
    problems = Problems(settings, pages)
    health = Health(line)
    pool = OriginPool(settings.origin, limits=limits_of(settings), tls=tls_context(settings))
    own = OwnRoutes(
        entrance=Entrance(line, desk),
        routes=Routes(settings, problems),
        status=Status(line),
        problems=problems,
        health=health,
    )
    gate = Gate(
        line=line,
        desk=desk,
        proxy=Proxy(settings, pool),
        clients=Clients(settings, tell=lambda finding: line.findings.update((finding,))),
        pages=pages,
        problems=problems,
        own=own,
        gauges=figures.gauges,
    )
    return App(gate, line, pool, health, figures)
