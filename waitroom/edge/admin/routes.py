"""The admin listener's routes: for probes, for Prometheus, and for operators with the token.

GET  /live         200 while the process runs
GET  /ready        200 if any worker takes requests, else 503
GET  /health       the parts by name; 503 only where no worker is ready
GET  /metrics      Prometheus
GET  /api/room     the room, as `waitroom status --json`
GET  /api/rooms    all rooms: {"rooms": [...]}
GET  /api/log      what was done to the room, the newest first; ?count= up to 1,000
POST /api/set      {"rate": "20/s", "burst": 40, "max_active": 500, "message": "…"} or {"from_environment": true};
                   of a sale "opens_at", "lobby_at", "closes_at", "at_close", "draw_lead", "stock", as texts or numbers
POST /api/sold-out {}, or {"undo": true}
POST /api/hold     {"reason": "…"}
POST /api/resume   {}
POST /api/reset    {"confirm": "<room>"}
POST /api/orders/<attempt>   {"outcome": "confirmed", "reference": "4711"}: what the shop knows later (`orders`)

With several rooms `?room=` names the one that is meant; without it that is the environment's.

The POSTs but reset and orders take "dry_run": true, and say in sentences what they do. Nothing is changed by a GET.

The API wants `Authorization: Bearer <token>`, nowhere else: not in a URL, not in a cookie. Since no browser adds that
field by itself, and none may send it across origins without a preflight, which nobody here answers, another site's
page cannot act for an operator. What needs no token is shielded from such a page, too: a request must name this
listener by an address, or by a name that no public DNS can point here (DNS rebinding).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from waitroom.core import changes
from waitroom.core.addresses import is_local_name
from waitroom.core.changes import RESUME, Misused, Wanted
from waitroom.core.errors import StoreUnavailable, WaitroomError
from waitroom.core.figures import Report
from waitroom.core.redis_url import redis_url_shown
from waitroom.core.sale import changes as sale_changes
from waitroom.core.settings import Settings
from waitroom.edge.admin.condition import condition, is_ready
from waitroom.edge.admin.metrics import RoomFigures, exposition
from waitroom.edge.admin.orders import tell_order
from waitroom.edge.admin.request import (
    HEADERS,
    Bearer,
    Refused,
    answer_json,
    flag,
    operator,
    problem,
    read_fields,
    texts,
)
from waitroom.store import operating
from waitroom.store.environment import limits_of
from waitroom.store.operating import NoRoom, explain
from waitroom.store.orders import OrderBook
from waitroom.store.overview import facts, read_log
from waitroom.store.replies import GenerationGone
from waitroom.store.room import Room
from waitroom.store.sale import Moved
from waitroom.store.watch import Watch

API = "/api/"
SCRAPE_AGE_S = 2.0
SCRAPE_WAIT_S = 0.25
MOST_LOG, SOME_LOG = 1_000, 100
WRONG_HOST = (
    "Call this listener by its address or by a local name, send the token along, or name it in WAITROOM_ADMIN_LISTEN."
)

log = structlog.get_logger()


class Tended(NamedTuple):
    """A room that operators may ask for."""

    settings: Settings
    room: Room
    watch: Watch

    @property
    def name(self) -> str:
        return self.settings.room


class Admin:
    """The ASGI application of the admin process. `reports` gives the last figures, of each worker for each room."""

    def __init__(self, settings: Settings, rooms: Sequence[Room], reports: Callable[[], list[Report]]) -> None:
        self.settings = settings
        every = settings.every_room
        self.tended = {
            each.room: Tended(each, room, Watch(room, each.room)) for each, room in zip(every, rooms, strict=True)
        }
        self.reports = reports
        self._bearer = Bearer(settings.admin_token)
        self._own_name = settings.admin_listen.host if settings.admin_listen is not None else ""
        self._doing = asyncio.Lock()
        routes = [
            Route("/live", self.live),
            Route("/ready", self.ready),
            Route("/health", self.health),
            Route("/metrics", self.metrics),
            Route("/api/room", self.show_room),
            Route("/api/rooms", self.show_rooms),
            Route("/api/log", self.show_log),
            Route("/api/set", self.set, methods=["POST"]),
            Route("/api/sold-out", self.sold_out, methods=["POST"]),
            Route("/api/hold", self.hold, methods=["POST"]),
            Route("/api/resume", self.resume, methods=["POST"]),
            Route("/api/reset", self.reset, methods=["POST"]),
            Route("/api/orders/{attempt}", self.tell_order, methods=["POST"]),
        ]
        handlers: dict[Any, Any] = {
            Refused: self.refused,
            Misused: self.misused,
            HTTPException: self.not_so,
            WaitroomError: self.failed,
        }
        self._app = Starlette(routes=routes, exception_handlers=handlers)
        self._app.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            self.demand(request)
        except Refused as refusal:
            await problem(refusal)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def demand(self, request: Request) -> None:
        """Raises Refused where this request may not ask here. In one place, so that no route can be forgotten."""
        if request.scope["path"].startswith(API):
            self._bearer.demand(request)
        elif not is_local_name(request.headers.get("host", ""), self._own_name) and not self._bearer.is_right(request):
            raise Refused(421, "host", WRONG_HOST)

    async def close(self) -> None:
        for tended in self.tended.values():
            await tended.room.close()

    def reports_of(self) -> dict[str, list[Report]]:
        """The reports of each room."""
        reports = self.reports()
        return {name: reports[at :: len(self.tended)] for at, name in enumerate(self.tended)}

    def asked_for(self, request: Request) -> Tended:
        """The room that the request is about. Raises Refused where there is none of that name."""
        names = request.query_params.getlist("room")
        name = names[0] if names else self.settings.room
        if len(names) > 1 or name not in self.tended:
            raise Refused(404, "no-room", f"There is no room {name[:40]!r}; there are {', '.join(self.tended)}.")
        return self.tended[name]

    # For everybody who gets here

    async def live(self, request: Request) -> Response:
        return Response(headers=HEADERS)

    async def ready(self, request: Request) -> Response:
        return Response(status_code=200 if any(map(is_ready, self.reports())) else 503, headers=HEADERS)

    async def health(self, request: Request) -> Response:
        found = condition(self.reports_of())
        return answer_json(found, status=503 if found["status"] == "down" else 200)

    async def metrics(self, request: Request) -> Response:
        """The workers' figures are always there; the room's as far as Redis answers in time."""
        looks = (tended.watch.recent(max_age_s=SCRAPE_AGE_S, wait_s=SCRAPE_WAIT_S) for tended in self.tended.values())
        overviews = await asyncio.gather(*looks)
        rooms = [RoomFigures(*of, room) for of, room in zip(self.reports_of().items(), overviews, strict=True)]
        body, content_type = exposition(rooms, accept=request.headers.get("accept", ""))
        return Response(body, headers={**HEADERS, "content-type": content_type})

    # For operators

    async def show_room(self, request: Request) -> Response:
        tended = self.asked_for(request)
        return answer_json(facts(tended.name, await operating.look(tended.room, tended.name)))

    async def show_rooms(self, request: Request) -> Response:
        every = self.tended.values()
        found = await asyncio.gather(*(operating.look(tended.room, tended.name) for tended in every))
        return answer_json({"rooms": [facts(tended.name, one) for tended, one in zip(every, found, strict=True)]})

    async def show_log(self, request: Request) -> Response:
        count = request.query_params.get("count", str(SOME_LOG))
        if not count.isascii() or not count.isdigit() or not 1 <= int(count[:9]) <= MOST_LOG:
            raise Misused(f"count={count[:20]} is not a number from 1 to {MOST_LOG}")
        return answer_json({"entries": await read_log(self.asked_for(request).room, int(count))})

    async def set(self, request: Request) -> Response:
        given = await read_fields(request, *changes.NAMES, "from_environment", "dry_run")
        dry_run, from_environment = flag(given, "dry_run"), flag(given, "from_environment")
        if bool(given) == from_environment:
            raise Refused(
                422, "misused", 'Say what to change, like {"rate": "20/s"}, or {"from_environment": true} alone.'
            )
        if from_environment:
            return await self.change(
                request, Wanted(limits=limits_of(self.asked_for(request).settings)), dry_run=dry_run
            )
        return await self.change(request, Wanted(changes.checked(texts(given))), dry_run=dry_run)

    async def sold_out(self, request: Request) -> Response:
        given = await read_fields(request, "undo", "dry_run")
        wanted = changes.NOT_SOLD_OUT if flag(given, "undo") else changes.SOLD_OUT
        return await self.change(request, wanted, dry_run=flag(given, "dry_run"))

    async def hold(self, request: Request) -> Response:
        given = await read_fields(request, "reason", "dry_run")
        dry_run = flag(given, "dry_run")
        return await self.change(request, changes.hold(texts(given).get("reason", "")), dry_run=dry_run)

    async def resume(self, request: Request) -> Response:
        given = await read_fields(request, "dry_run")
        return await self.change(request, RESUME, dry_run=flag(given, "dry_run"))

    async def reset(self, request: Request) -> Response:
        settings, room, _ = self.asked_for(request)
        given = await read_fields(request, "confirm")
        if given.get("confirm") != settings.room:
            raise Misused(f'Places would be lost. To do it, send {{"confirm": "{settings.room}"}}.')
        by = operator(request)
        async with self._doing:
            plan = await operating.plan_reset(room, settings.room)
            generation = await operating.reset(room, plan, settings, by=by)
        log.info("admin_did", room=settings.room, what="reset", by=by)
        return answer_json({"changed": True, "dry_run": False, "effects": plan.effects, "generation": generation})

    async def tell_order(self, request: Request) -> Response:
        settings, room, _ = self.asked_for(request)
        book = OrderBook(room, keep_ms=settings.order_keep)
        return await tell_order(request, book, room=settings.room, now_ms=await book.time_ms())

    async def change(self, request: Request, wanted: Wanted, *, dry_run: bool) -> Response:
        """As the commands do it: say what it will do, then do it. One at a time, each from where the last one ended."""
        by, (settings, room, _) = operator(request), self.asked_for(request)
        async with self._doing:
            plan = await operating.plan_change(room, settings.room, wanted)
            changed = bool(plan.changes) and not dry_run
            if changed:
                await operating.change(room, plan, by=by)
                log.info("admin_did", room=settings.room, what="set", by=by, fields=plan.changes)
        return answer_json({"changed": changed, "dry_run": dry_run, "effects": plan.effects})

    async def failed(self, request: Request, error: WaitroomError) -> Response:
        """What the store could not do, in the words of the commands."""
        status = 503
        match error:
            case NoRoom():
                status = 404
            case GenerationGone() | Moved() | sale_changes.Refused():
                status = 409
            case StoreUnavailable():
                log.error("store_away", room=self.settings.room, cause=str(error))
        url = self.settings.redis_url
        said = explain(error, redis=redis_url_shown(url.get_secret_value()) if url is not None else "")
        return problem(Refused(status, "not-done", said))

    async def refused(self, request: Request, refusal: Refused) -> Response:
        return problem(refusal)

    async def misused(self, request: Request, fault: Misused) -> Response:
        return problem(Refused(422, "misused", str(fault)))

    async def not_so(self, request: Request, error: HTTPException) -> Response:
        """Starlette's own: no such path, or not with this method."""
        detail = "There is nothing here." if error.status_code == 404 else "This path does not take that method."
        return problem(Refused(error.status_code, "not-found", detail, headers=error.headers))


def create_admin(settings: Settings, reports: Callable[[], list[Report]]) -> Admin:
    """The admin app; makes no connection yet. `settings.redis_url` is set."""
    if settings.redis_url is None:
        raise ValueError("the admin process needs the address of Redis")
    url = settings.redis_url.get_secret_value()
    return Admin(settings, [Room.connect(url, each.room) for each in settings.every_room], reports)
