"""Builds one worker's gateway from the settings, wires its parts, opens and closes them."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, NamedTuple

import structlog
from starlette.types import Receive, Scope, Send

from waitroom.core.figures import AWAY_SINCE_MS, HELD, ORIGIN_CONNECTIONS, READY, TUNNELS, Figures
from waitroom.core.invites import InviteTokens, invited_part
from waitroom.core.orders.routes import read_routes
from waitroom.core.settings import Settings
from waitroom.core.tokens import TICKET_LIFETIME_MS, Tokens
from waitroom.edge.clients import Clients
from waitroom.edge.cookies import CookieKind, Cookies
from waitroom.edge.draw import DrawRoute
from waitroom.edge.entrance import Entrance
from waitroom.edge.forward_auth import ForwardAuth
from waitroom.edge.gate import Gate
from waitroom.edge.health import Health
from waitroom.edge.invited import COOKIE, InvitedEntrance, TwoLines
from waitroom.edge.orders.pages import OrderPages
from waitroom.edge.orders.placing import Orders
from waitroom.edge.orders.routes import OrderRoutes
from waitroom.edge.own import OwnRoutes
from waitroom.edge.pages.problems import Problems
from waitroom.edge.pages.transfer import TransferPages
from waitroom.edge.pages.waiting import Pages
from waitroom.edge.rooms import front_of
from waitroom.edge.routes import POST, Routes
from waitroom.edge.shop.dialer import tls_context
from waitroom.edge.shop.origin import OriginPool
from waitroom.edge.shop.origin_limits import limits_of
from waitroom.edge.shop.proxy import Proxy
from waitroom.edge.status import Status
from waitroom.edge.transfer import Transfer
from waitroom.edge.visitor import Desk
from waitroom.store.attempts import Attempts
from waitroom.store.invited_line import InvitedLine
from waitroom.store.keys import INVITED
from waitroom.store.line import Line
from waitroom.store.orders import OrderBook
from waitroom.store.room import Room

log = structlog.get_logger()


POOL_FIELDS = (
    "origin",
    "origin_ca",
    "origin_cert",
    "origin_key",
    "origin_timeout",
    "origin_connections",
    "session_idle",
)
"""Rooms that agree in these share their connections to the shop."""


class Part(NamedTuple):
    """One room in this worker, with one line or two. `pool` may be another room's, too."""

    gate: Gate
    lines: Sequence[Line]
    pool: OriginPool
    figures: Figures
    orders: Orders | None

    @property
    def line(self) -> Line:
        """The first one."""
        return self.lines[0]


class App:
    """An ASGI application with a life: `open`, `stopping` when the stop was asked for, `close`."""

    def __init__(self, parts: Sequence[Part], health: Health) -> None:
        self.parts = parts
        self.health = health
        self.figures = [part.figures for part in parts]
        gates = [part.gate for part in parts]
        self.front = ForwardAuth(gates) if gates[0].settings.forward_auth else front_of(gates)
        self.poll = self.front.poll

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return self.front(scope, receive, send)

    async def open(self) -> None:
        """Begin to sync. Returns at once: the gateway serves whoever holds a pass even while Redis is away."""
        for part in self.parts:
            for line in part.lines:
                await line.open()
            if part.orders is not None:
                await part.orders.attempts.open()

    async def stopping(self) -> None:
        """Not ready any more; held polls are answered, so that their pages ask the next gateway."""
        self.health.is_stopping = True
        for line in self._lines():
            line.held.close()

    def look(self) -> None:
        """Bring the gauges of `figures` up to date. A pool counts for the first room that it serves."""
        counted: set[int] = set()
        for gate, lines, pool, figures, _ in self.parts:
            gauges = figures.gauges
            gauges[READY] = int(self.health.is_ready)
            gauges[AWAY_SINCE_MS] = lines[0].away_since_ms
            gauges[HELD] = sum(len(line.held) for line in lines)
            gauges[TUNNELS] = gate.proxy.tunnels.count
            gauges[ORIGIN_CONNECTIONS] = 0 if id(pool) in counted else pool.open_count
            counted.add(id(pool))

    async def drain(self, limit_s: float) -> None:
        """Orders under way are finished, also when their clients have gone; up to the limit."""
        every = (part.orders.exchanges for part in self.parts if part.orders is not None)
        await asyncio.gather(*(exchanges.drain(limit_s) for exchanges in every))

    def _lines(self) -> list[Line]:
        return [line for part in self.parts for line in part.lines]

    async def close(self) -> None:
        await asyncio.gather(*(part.orders.attempts.close() for part in self.parts if part.orders is not None))
        await asyncio.gather(*(line.close() for line in self._lines()))
        for part in self.parts:
            await part.pool.close()


def create_app(settings: Settings, *, fresh_store: bool = False) -> App:
    """One worker's gateway. `settings.redis_url` and `settings.secret` are set. Called inside the
    running loop; makes no connection yet.

    `fresh_store`: Redis is new and ours alone, so nobody can remember an older room.
    """
    every = settings.every_room
    rooms = [(figures := Figures(), open_lines(room, figures, fresh_store=fresh_store)) for room in every]
    first = rooms[0][1][0]
    clients = Clients(settings, tell=lambda finding: first.findings.update((finding,)))
    health = Health([line for _, lines in rooms for line in lines])
    pools: dict[tuple[object, ...], OriginPool] = {}
    parts = []
    for room, (figures, lines) in zip(every, rooms, strict=True):
        key = tuple(getattr(room, field) for field in POOL_FIELDS)
        if key not in pools:
            pools[key] = OriginPool(room.origin, limits=limits_of(room), tls=tls_context(room))
        gate = create_gate(lines, pools[key], clients, health, figures)
        parts.append(Part(gate, lines, pools[key], figures, create_orders(gate)))
    return App(parts, health)


def open_lines(settings: Settings, figures: Figures, *, fresh_store: bool) -> Sequence[Line]:
    """The line of a room, and that of the invited if there are invites."""
    if settings.redis_url is None or not settings.secret:
        raise ValueError("a worker needs the address of Redis and a secret")
    url, key_ids = settings.redis_url.get_secret_value(), sorted(tokens_of(settings).key_ids)
    room = Room.connect(url, settings.room, figures.counts)
    line = Line(settings, room, key_ids=key_ids, fresh_store=fresh_store)
    if not invited_part(settings):
        return (line,)
    beside = Room.connect(url, settings.room, figures.counts, line=INVITED)
    return line, InvitedLine(settings, beside, line, key_ids=key_ids, fresh_store=fresh_store)


def tokens_of(settings: Settings) -> Tokens:
    """Tickets that find their orders as long as these are kept."""
    return Tokens(
        settings.room,
        settings.signing_keys,
        ticket_lifetime_ms=max(TICKET_LIFETIME_MS, settings.order_keep if settings.order_routes else 0),
    )


def create_gate(lines: Sequence[Line], pool: OriginPool, clients: Clients, health: Health, figures: Figures) -> Gate:
    """The gate of one room."""
    settings = lines[0].settings
    pages = Pages(settings)
    problems = Problems(settings, pages)
    shared = {
        "proxy": Proxy(settings, pool),
        "clients": clients,
        "pages": pages,
        "problems": problems,
        "gauges": figures.gauges,
    }

    def of_line(line: Line, entrance: type[Entrance], ticket: bytes) -> dict[str, Any]:
        """What a gate has for itself of a line."""
        cookies = Cookies(settings.room, settings.cookie_domain, ticket=ticket)
        desk = Desk(settings, tokens_of(settings), cookies, line.ended)
        own = OwnRoutes(
            entrance=entrance(line, desk),
            routes=Routes(settings, problems),
            status=Status(line),
            problems=problems,
            health=health,
        )
        return {"line": line, "desk": desk, "own": own, **shared}

    first = of_line(lines[0], Entrance, CookieKind.TICKET.value)
    own: OwnRoutes = first["own"]
    Transfer(
        entrance=own.entrance,
        routes=own.routes,
        status=own.status,
        pages=TransferPages(pages),
        problems=problems,
        room_query=settings.room_query,
    )
    DrawRoute(lines[0], own.routes, problems)
    if len(lines) == 1:
        return Gate(**first)
    invited = Gate(**of_line(lines[1], InvitedEntrance, COOKIE))
    tokens = InviteTokens(settings.room, settings.signing_keys)
    return TwoLines(invited, tokens, **first)


def create_orders(gate: Gate) -> Orders | None:
    """What takes care of orders, put into the gate's ways; None where no route of orders is set."""
    settings = gate.settings
    if not settings.order_routes:
        return None
    orders = Orders(
        settings,
        read_routes(settings.order_routes, settings.order_ignore),
        attempts=Attempts(gate.line, OrderBook(gate.line.room, keep_ms=settings.order_keep)),
        passage=gate.passage,
    )
    gate.passage.orders = orders
    gate.own.routes.add("orders/again", POST, orders.allow_again)
    OrderRoutes(
        desk=gate.desk,
        routes=gate.own.routes,
        pages=OrderPages(settings, gate.pages),
        problems=gate.problems,
        attempts=orders.attempts,
    )
    return orders
