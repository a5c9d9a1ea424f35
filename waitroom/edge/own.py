"""The routes under `/-/waitroom/`: for the waiting page, for apps, for probes. None of them ever reaches the shop.

GET  status          the facts of the visitor's cookies (or fields), held if asked to
POST join            a number, or a pass on the spot; the same ticket for whoever has one that is good
POST claim           trades a called ticket for a pass; waits at the door for up to 25 s
GET  enter?to=/path  starts a browser at the line; same-site paths only
POST leave           gives the place, or the seat, back
GET  live, ready     for probes: nothing but the status

`auth`, where it is asked for, is `waitroom.edge.forward_auth`'s.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import parse_qs

from waitroom.core.errors import StoreUnavailable
from waitroom.core.figures import CLAIMS, NUMBERS, ON_THE_SPOT, WAIT, observe
from waitroom.core.judge import Holds
from waitroom.core.paths import same_site_path
from waitroom.core.tokens import Pass, Ticket
from waitroom.edge.clients import Client
from waitroom.edge.cookies import Header
from waitroom.edge.exchange import Exchange
from waitroom.edge.flood import Flood
from waitroom.edge.health import Health
from waitroom.edge.held_polls import wait_held
from waitroom.edge.pages import PageFacts, members
from waitroom.edge.problems import Answer, Problems
from waitroom.edge.request import Request
from waitroom.edge.shadow import SHADOW, Shadow
from waitroom.edge.status import Status, read_query
from waitroom.edge.visitor import Desk, Visitor
from waitroom.store.line import Line
from waitroom.store.room import Claimant, Claimed, Entry, Newcomer

CLAIM_WAIT_S = 25.0
FORM_LIMIT_BYTES = 16_384
MOST_FIELDS = 100
JSON_HEADERS: tuple[Header, ...] = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"private, no-store"),
    (b"vary", b"cookie, origin"),
    (b"x-content-type-options", b"nosniff"),
)
Handler = Callable[[Request], Awaitable[None]]


class OwnRoutes:
    def __init__(self, *, line: Line, desk: Desk, problems: Problems, health: Health) -> None:
        self.line = line
        self.desk = desk
        self.problems = problems
        self.health = health
        self.status = Status(line)
        self.flood = Flood()
        self.shadow = Shadow(line)
        self.enter = self.shadow.enter if line.settings.shadow else self._enter_line
        self._cors = frozenset(origin.encode() for origin in line.settings.cors_origins)
        self._routes: dict[str, tuple[tuple[str, ...], Handler]] = {
            "status": (("GET", "HEAD"), self._status),
            "join": (("POST",), self._join),
            "claim": (("POST",), self._claim),
            "leave": (("POST",), self._leave),
            "enter": (("GET", "HEAD"), self._enter),
            "live": (("GET", "HEAD"), self._live),
            "ready": (("GET", "HEAD"), self._ready),
        }

    async def answer(self, request: Request, path: str) -> None:
        """Answer a request below the prefix. A POST must come from the shop's own pages, or from no browser at all."""
        method = request.scope["method"]
        methods, handler = self._routes.get(path, ((), None))
        if handler is None:
            await request.answer(self.problems.not_found(request.asked()))
        elif method in methods:
            if method == "POST" and not self._is_from_here(request):
                await request.answer(self.problems.forbidden(request.asked()))
            else:
                await handler(request)
        elif method == "OPTIONS" and self.cors(request.client, request.scope["headers"]):
            await self._preflight(request, methods)
        else:
            await request.answer(self.problems.method_not_allowed(request.asked(), allow=methods))

    def base(self, client: Client) -> str:
        """The public address, without the closing slash."""
        return self.line.settings.public_url or f"{client.scheme}://{client.host.decode('latin-1')}"

    def cors(self, client: Client, headers: Sequence[Header]) -> list[Header]:
        """The fields that let the shop's own origins read our JSON; none for anybody else."""
        origin = next((value for name, value in headers if name == b"origin"), None)
        if origin is None or origin not in self._cors:
            return []
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-expose-headers", b"retry-after, waitroom-ticket, waitroom-pass"),
        ]

    def may_come_on_the_spot(self, client: Client) -> bool:
        """Not in a flood without cookies: then the waiting page comes first, and its first poll proves the cookie."""
        workers = self.line.snapshot.workers if self.line.snapshot else 1
        return not self.line.is_flooded and self.flood.may_come_on_the_spot(client.ip, workers=workers)

    def _enter_line(self, newcomer: Newcomer, request: Request) -> Awaitable[Entry | None]:
        return self.line.enter(newcomer)

    def provisional(self, visitor_id: str, entry: Entry, client: Client) -> Pass:
        """The pass of who came on the spot: provisional until it is seen again. With seats it ends after 30 s."""
        line = self.line
        assert entry.admit_ms is not None
        pass_ = self.desk.admitted(
            visitor_id, entry.generation, entry.number, admit_ms=entry.admit_ms, now_ms=int(line.now_ms())
        )
        if entry.generation == SHADOW:  # no admission, and no seat before it is seen again
            return pass_._replace(provisional=True)
        line.counts[ON_THE_SPOT] += 1
        self.flood.came_on_the_spot(client.ip, entry.generation, entry.number)
        end_ms = round(entry.admit_ms) + line.provisional_ms() if line.limits.max_active else pass_.end_ms
        return pass_._replace(provisional=True, end_ms=end_ms)

    async def claim(self, visitor: Visitor, exchange: Exchange, *, wait_s: float) -> Pass | Holds | None:
        """A pass; or what the visitor holds instead; None if the client left. At the door for up to `wait_s`."""
        ticket, line = visitor.ticket, self.line
        assert ticket is not None
        asking = asyncio.create_task(line.claim(Claimant(ticket.number, ticket.visitor), wait_s=wait_s))
        exchange.on_lost(lambda: stop(asking))
        try:
            claimed = await asking
        except StoreUnavailable:
            return Holds.CALLED
        except asyncio.CancelledError:
            if exchange.peer_lost:
                return None
            raise
        line.counts[CLAIMS[claimed.outcome]] += 1
        if claimed.outcome == "admit" and claimed.admit_ms is not None:
            observe(line.counts, WAIT, claimed.admit_ms - ticket.issued_ms)
        match claimed.outcome:
            case "admit" | "again" if claimed.admit_ms is not None:
                now_ms = int(line.now_ms())
                pass_ = self.desk.admitted(
                    ticket.visitor, ticket.generation, ticket.number, admit_ms=claimed.admit_ms, now_ms=now_ms
                )
                line.renew(pass_.generation, pass_.place, pass_.end_ms)
                return pass_
            case "waiting":
                return Holds.WAITING
            case "door":
                return Holds.CALLED
            case _:
                return Holds.LAPSED

    # The routes

    def poll(self, headers: Sequence[Header], target: bytes, now_ms: float, *, secure: bool) -> bytes | None:
        """The answer to somebody who just waits and asks not to be held: the most frequent request of all, from
        memory. None for everybody else, whom `status` answers.
        """
        snapshot = self.line.snapshot
        if snapshot is None or self._cors:
            return None
        ticket, pass_, _ = self.desk.carried(headers, secure=secure, now_ms=int(now_ms))
        if pass_ is not None or not isinstance(ticket, Ticket) or ticket.number < snapshot.state.front:
            return None
        if ticket.generation != snapshot.state.generation or self.desk.is_outdated(ticket, now_ms):
            return None
        hold_s, shown, _ = read_query(target)
        if hold_s:
            return None
        self.line.beats.note(ticket.number)
        return self.status.waiting_json(ticket, shown, now_ms)

    async def _status(self, request: Request) -> None:
        visitor = self._visitor(request)
        hold_s, shown, state = read_query(request.exchange.target)
        if visitor.holds is Holds.UNREADABLE:
            await request.answer(self.problems.retry(request.asked(), server_time_ms=int(self.line.now_ms())))
            return
        if visitor.ticket is not None and visitor.holds in (Holds.WAITING, Holds.CALLED):
            number = visitor.ticket.number
            self.line.beats.note(number)
            may_hold = visitor.holds is Holds.WAITING or self.status.is_paused()
            if hold_s and may_hold and not self.status.is_news(state):
                if not await wait_held(self.line.held, number, hold_s, request.exchange):
                    return
                self.line.beats.note(number)
                visitor = self._visitor(request)
        await self._say(request, self.status.facts(visitor, shown=shown))

    async def _join(self, request: Request) -> None:
        visitor = self._visitor(request)
        form, target = await self._form_target(request)
        if visitor.holds is Holds.UNREADABLE:
            await request.answer(self.problems.retry(request.asked(), server_time_ms=int(self.line.now_ms())))
            return
        more: list[Header] = []
        if visitor.holds is Holds.CALLED:
            # A turn taken long ago looks like one that was just called; only Redis knows.
            got = await self.claim(visitor, request.exchange, wait_s=0)
            if isinstance(got, Pass):
                visitor, more = visitor._replace(holds=Holds.PASS, pass_=got), self._given(got, request)
            elif got is not None:
                visitor = visitor._replace(holds=got)
        if visitor.holds in (Holds.NOTHING, Holds.LAPSED):
            newcomer = Newcomer(self.desk.id_of(visitor), True, self.may_come_on_the_spot(request.client))
            try:
                entry = await self.enter(newcomer, request)
            except StoreUnavailable:
                entry = None
            if entry is None:
                now_ms = int(self.line.now_ms())
                await request.answer(self.problems.store_away(request.asked(), server_time_ms=now_ms))
                return
            visitor, more = self._joined(newcomer, entry, request)
        if form:
            await request.answer(Answer(303, [(b"location", target), (b"content-length", b"0")], b""), *more)
        else:
            await self._say(request, self.status.facts(visitor, first=True), *more)

    def _joined(self, newcomer: Newcomer, entry: Entry, request: Request) -> tuple[Visitor, list[Header]]:
        now_ms = int(self.line.now_ms())
        if entry.admit_ms is None:
            self.line.counts[NUMBERS] += 1
            ticket = self.desk.ticket(newcomer.visitor, entry.generation, entry.number, now_ms)
            visitor = Visitor(Holds.WAITING, ticket, None, request.secure, False)
            token = self.desk.tokens.sign_ticket(ticket).encode()
            return visitor, [self.desk.set_ticket(ticket, secure=request.secure), (b"waitroom-ticket", token)]
        pass_ = self.provisional(newcomer.visitor, entry, request.client)
        return Visitor(Holds.PASS, None, pass_, request.secure, False), self._given(pass_, request)

    def _given(self, pass_: Pass, request: Request) -> list[Header]:
        """A pass as cookie and field."""
        set_pass = self.desk.set_pass(pass_, int(self.line.now_ms()), secure=request.secure)
        return [set_pass, (b"waitroom-pass", self.desk.tokens.sign_pass(pass_).encode())]

    async def _claim(self, request: Request) -> None:
        visitor = self._visitor(request)
        more: list[Header] = []
        if visitor.holds is Holds.CALLED and visitor.ticket is not None:
            self.line.beats.note(visitor.ticket.number)
            got = await self.claim(visitor, request.exchange, wait_s=CLAIM_WAIT_S)
            if got is None:
                return
            if isinstance(got, Pass):
                await asyncio.sleep(got.lead_ms(self.line.now_ms()) / 1000)
                more = self._given(got, request)
                visitor = Visitor(Holds.PASS, None, got, request.secure, visitor.by_header)
            else:
                visitor = Visitor(got, visitor.ticket, None, request.secure, visitor.by_header)
        elif visitor.holds is Holds.UNREADABLE:
            await request.answer(self.problems.retry(request.asked(), server_time_ms=int(self.line.now_ms())))
            return
        await self._say(request, self.status.facts(visitor), *more)

    async def _leave(self, request: Request) -> None:
        visitor = self._visitor(request)
        if visitor.pass_ is not None:
            self.line.end_pass(visitor.pass_.generation, visitor.pass_.place)
        gone = Visitor(Holds.NOTHING, None, None, request.secure, False)
        asked = request.asked()
        forget = self.desk.forget(secure=request.secure)
        if asked.html:
            await request.answer(Answer(303, [(b"location", b"/"), (b"content-length", b"0")], b""), *forget)
        else:
            await self._say(request, self.status.facts(gone), *forget)

    async def _enter(self, request: Request) -> None:
        """To the path asked for, where the line begins. A browser sent here again by our page and without a cookie
        keeps none: it is told so, instead of taking one number after the other.
        """
        fields = read_fields(request.exchange.target.partition(b"?")[2])
        target = same_site_path(fields.get("to", ["/"])[0])
        if target is None:
            await request.answer(self.problems.bad_request(request.asked(), "It may lead only to a path of this site."))
        elif "again" in fields and self._visitor(request).holds is Holds.NOTHING and not self._has_old(request):
            await request.answer(self.problems.no_cookies(request.asked(), href=target))
        else:
            headers = [(b"location", target.encode("latin-1")), (b"content-length", b"0"), *JSON_HEADERS[1:3]]
            await request.answer(Answer(303, headers, b""))

    async def _live(self, request: Request) -> None:
        await request.answer(Answer(200, [(b"content-length", b"0"), JSON_HEADERS[1]], b""))

    async def _ready(self, request: Request) -> None:
        status = 200 if self.health.is_ready else 503
        await request.answer(Answer(status, [(b"content-length", b"0"), JSON_HEADERS[1]], b""))

    async def _preflight(self, request: Request, methods: Sequence[str]) -> None:
        headers = self.cors(request.client, request.scope["headers"])
        headers += [
            (b"access-control-allow-methods", ", ".join(methods).encode()),
            (b"access-control-allow-headers", b"waitroom-ticket, waitroom-pass, content-type"),
            (b"access-control-max-age", b"600"),
            (b"content-length", b"0"),
        ]
        await request.answer(Answer(204, headers[:-1], b""))

    # What they share

    def _visitor(self, request: Request) -> Visitor:
        line = self.line
        return self.desk.read(
            request.scope["headers"], secure=request.secure, snapshot=line.snapshot, now_ms=int(line.now_ms())
        )

    def _has_old(self, request: Request) -> bool:
        found = self.desk.cookies.find(request.scope["headers"], secure=request.secure)
        return bool(found.tickets or found.passes)

    async def _say(self, request: Request, facts: PageFacts, *more: Header) -> None:
        body = b"{%b}" % members(facts)
        cors = self.cors(request.client, request.scope["headers"]) if self._cors else ()
        await request.answer(Answer(200, [*json_headers(body), *more, *cors], body))

    def _is_from_here(self, request: Request) -> bool:
        """By fetch metadata, else by Origin. A request with neither and without cookies comes from an app."""
        headers = dict(request.scope["headers"])
        origin = headers.get(b"origin")
        if origin is not None and origin in self._cors:
            return True
        site = headers.get(b"sec-fetch-site")
        if site is not None:
            return site in (b"same-origin", b"none")
        if origin is not None:
            return bool(origin == self.base(request.client).encode("latin-1"))
        return b"cookie" not in headers

    async def _form_target(self, request: Request) -> tuple[bool, bytes]:
        """(whether an HTML form was sent, where it wants to go on to). The body is read whole, within its limit."""
        content_type = next((v for n, v in request.scope["headers"] if n == b"content-type"), b"")
        body = b""
        while len(body) <= FORM_LIMIT_BYTES:
            message = await request.receive()
            body += message.get("body", b"")
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                break
        if not content_type.lower().startswith(b"application/x-www-form-urlencoded"):
            return False, b"/"
        fields = read_fields(body[:FORM_LIMIT_BYTES])
        return True, (same_site_path(fields.get("to", ["/"])[0]) or "/").encode("latin-1", "replace")


def json_headers(body: bytes) -> list[Header]:
    return [*JSON_HEADERS, (b"content-length", b"%d" % len(body))]


def read_fields(form: bytes) -> dict[str, list[str]]:
    """The fields of a form or a query; none of them where there are too many to be ours."""
    try:
        return parse_qs(form.decode("latin-1"), max_num_fields=MOST_FIELDS)
    except ValueError:
        return {}


def stop(task: asyncio.Task[Claimed]) -> None:
    task.cancel()
