"""The gate: every request comes through here, and what `core.judge` decides is done.

Refusals return early; the one line that lets a request through to the shop with a pass is the last of `_let_in`.
The gate waits for Redis only to enter, to claim, and once for a pass that has run out.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import assert_never

import structlog
from starlette.types import Receive, Scope, Send

from waitroom.core.errors import OriginFailure, StoreUnavailable
from waitroom.core.judge import Claim, Empty, Enter, Holds, Page, Problem, Proceed, Retry, SmallPage, judge
from waitroom.core.requests import Kind, kind_of
from waitroom.core.targets import Free, Guarded, Malformed, Own, TargetRules
from waitroom.core.tokens import Pass
from waitroom.edge.bypass import Bypasses
from waitroom.edge.clients import Client, Clients
from waitroom.edge.cookies import Header, may_be_shared
from waitroom.edge.emergency import Emergency
from waitroom.edge.headers import REWRITES
from waitroom.edge.origin import Seen
from waitroom.edge.own import OwnRoutes, json_headers
from waitroom.edge.pages import Pages, accepts_gzip
from waitroom.edge.problems import Answer, Problems
from waitroom.edge.proxy import Proxy, ToClient
from waitroom.edge.refusals import Refusals
from waitroom.edge.request import Request
from waitroom.edge.visitor import Desk, Visitor
from waitroom.store.line import Line
from waitroom.store.room import Newcomer

DOOR_S = 5.0
"""So long a request waits at the door without a page to look at; then the page, which goes on from there."""
PASS = Holds.PASS  # a name of the module is looked up faster than an Enum's member
POLL = b"/-/waitroom/status?"
LONGEST_LEAD_S = 5.0
PREFLIGHTS = 64

log = structlog.get_logger()


class Gate:
    """The ASGI application of one worker."""

    def __init__(
        self,
        *,
        line: Line,
        desk: Desk,
        proxy: Proxy,
        clients: Clients,
        pages: Pages,
        problems: Problems,
        own: OwnRoutes,
    ) -> None:
        settings = line.settings
        self.settings = settings
        self.line = line
        self.desk = desk
        self.proxy = proxy
        self.clients = clients
        self.pages = pages
        self.problems = problems
        self.own = own
        self.rules = TargetRules(settings.guard, settings.bypass.paths)
        self.bypasses = Bypasses(settings.bypass)
        self.refusals = Refusals(settings.room)
        self.emergency = Emergency(line, desk)
        self._preflights = asyncio.Semaphore(PREFLIGHTS)
        self.status = own.status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        target = scope["extensions"]["waitroom"].target
        if target.startswith(POLL) and scope["method"] == "GET":
            body = self.own.poll(scope["headers"], target, secure=self.clients.is_secure(scope))
            if body is not None:
                await send({"type": "http.response.start", "status": 200, "headers": json_headers(body)})
                await send({"type": "http.response.body", "body": body})
                return
        client = self.clients.of(scope)
        request = Request(scope, receive, send, client)
        match self.rules.place(request.exchange.target, client.host):
            case Guarded():
                if self.bypasses.lets_through(client, scope["headers"]):
                    await self._forward(request, drop=self.bypasses.drops)
                else:
                    now_ms = int(self.line.now_ms())
                    visitor = self._read(request, now_ms)
                    if visitor.holds is PASS and visitor.pass_ is not None:
                        await self._let_in(request, visitor.pass_, now_ms)
                    else:
                        await self._judge(request, visitor, now_ms)
            case Own(path):
                await self.own.answer(request, path.partition("?")[0])
            case Free():
                await self._forward(request, drop=self.bypasses.drops)
            case Malformed(reason):
                await request.answer(self.problems.bad_request(request.asked(), reason))

    def _read(self, request: Request, now_ms: int) -> Visitor:
        return self.desk.read(
            request.scope["headers"], secure=request.secure, snapshot=self.line.snapshot, now_ms=now_ms
        )

    async def _judge(self, request: Request, visitor: Visitor, now_ms: int) -> None:
        """Without a pass that is good now."""
        headers = request.scope["headers"]
        if visitor.pass_ is not None:
            again = await self._revived(visitor.pass_, now_ms)
            if again is not None:
                # The cookie anew: a WebSocket may go on moving the seat's end, and each request would cost that read.
                await self._let_in(request, again, now_ms, self.desk.set_pass(again, now_ms, secure=request.secure))
                return
        if self.proxy.headers.has_looped(headers):
            # It lost our cookies on the way here: it would take a place each time round.
            await self._failed(request, OriginFailure("loop", "the request has passed here before"))
            return
        request.kind = kind = kind_of(request.scope["method"], headers)
        match judge(kind, visitor.holds, ticket_in_header=visitor.by_header):
            case Proceed():
                await self._preflight(request, visitor)
            case Enter(may_take_number):
                await self._enter(request, visitor, may_take_number=may_take_number)
            case Claim():
                await self._claim(request, visitor)
            case Page():
                await self._page(request, visitor)
            case SmallPage():
                await request.answer(self.problems.frame(request.asked()))
            case Empty():
                await request.answer(self.problems.prefetch())
            case Problem():
                await self._problem(request, visitor)
            case Retry():
                await request.answer(self.problems.retry(request.asked(), server_time_ms=now_ms))
            case other:
                assert_never(other)

    # Into the shop

    async def _let_in_when_valid(self, request: Request, pass_: Pass, now_ms: int, *fresh: Header) -> None:
        await asyncio.sleep(min(LONGEST_LEAD_S, (pass_.valid_from_ms - now_ms) / 1000))
        now_ms = int(self.line.now_ms())
        if pass_.valid_from_ms - now_ms > 1000:
            await self._page(request, Visitor(Holds.NOTHING, None, pass_, request.secure, False))
        else:
            await self._let_in(request, pass_, max(now_ms, pass_.valid_from_ms), *fresh)

    def _let_in(self, request: Request, pass_: Pass, now_ms: int, *fresh: Header) -> Awaitable[None]:
        """Forward with a pass, not before it is valid; renewed if it is time."""
        if pass_.valid_from_ms > now_ms:
            return self._let_in_when_valid(request, pass_, now_ms, *fresh)

        def to_client(status: int, headers: Sequence[Header]) -> Sequence[Header]:
            return fresh or self._renewal(pass_, status, headers, request)

        to_origin = (
            (b"waitroom-place", b"%d" % pass_.place),
            (b"waitroom-admitted-at", b"%d" % pass_.valid_from_ms),
        )
        seen = None if fresh and pass_.provisional else self._seen(pass_)  # the cookie has to come back first
        return self._forward(request, to_origin=to_origin, to_client=to_client, seen=seen)

    async def _preflight(self, request: Request, visitor: Visitor) -> None:
        """To the shop without a pass, so many at a time."""
        if self._preflights.locked():
            await self._problem(request, visitor)
            return
        async with self._preflights:
            await self._forward(request, drop=REWRITES)

    def _renewal(self, pass_: Pass, status: int, headers: Sequence[Header], request: Request) -> Sequence[Header]:
        """The pass anew, where it is due and the answer this visitor's alone, or sends the browser to another host."""
        now_ms = int(self.line.now_ms())
        held_ms = self.settings.payment_held if 300 <= status < 400 and leaves(headers, request.client) else 0
        renewed = self.desk.renewal(pass_, now_ms, at_least_ms=held_ms)
        if renewed is None:
            return ()
        if not held_ms and not pass_.provisional and may_be_shared(headers) and not self.desk.is_urgent(pass_, now_ms):
            return ()
        self.line.renew(renewed.generation, renewed.place, renewed.end_ms, confirms=pass_.provisional)
        if pass_.provisional:
            self.own.flood.came_back(pass_.generation, pass_.place)
        return (self.desk.set_pass(renewed, now_ms, secure=request.secure),)

    def _seen(self, pass_: Pass) -> Seen:
        """Counts whoever has a tunnel or an answer under way as seen; False once the pass has ended for good."""

        def seen() -> bool:
            nonlocal pass_
            if self.desk.ended.has(pass_.generation, pass_.place):
                return False
            now_ms = int(self.line.now_ms())
            renewed = self.desk.renewal(pass_, now_ms)
            if renewed is not None:
                pass_ = renewed
                self.line.renew(renewed.generation, renewed.place, renewed.end_ms)
            return now_ms < pass_.end_ms

        return seen

    async def _revived(self, pass_: Pass, now_ms: int) -> Pass | None:
        """A pass that has run out while its seat is still counted: the one read that a pass may cost."""
        if self.line.is_away:
            return None
        try:
            end_ms = await self.line.seat_end(pass_.generation, pass_.place)
        except StoreUnavailable:
            return None
        return None if end_ms is None else pass_._replace(end_ms=end_ms)

    async def _forward(
        self,
        request: Request,
        *,
        to_origin: Sequence[Header] = (),
        to_client: ToClient = (),
        drop: frozenset[bytes] = frozenset(),
        seen: Seen | None = None,
    ) -> None:
        try:
            await self.proxy.forward(
                request.scope,
                request.receive,
                request.send,
                client=request.client,
                to_origin=to_origin,
                to_client=to_client,
                drop=drop,
                seen=seen,
            )
        except OriginFailure as failure:
            # The pass outlives the shop's errors: what would have come with its answer comes with ours.
            more = to_client(failure.status, ()) if callable(to_client) else to_client
            await self._failed(request, failure, *more)

    async def _failed(self, request: Request, failure: OriginFailure, *more: Header) -> None:
        """The public sentence, and the cause in the log under the same id."""
        asked = request.asked()
        log.warning("origin_failed", kind=failure.kind, cause=failure.detail, request_id=asked.request_id)
        await request.answer(self.problems.origin_failed(asked, failure), *more)

    # Into the line

    async def _enter(self, request: Request, visitor: Visitor, *, may_take_number: bool) -> None:
        line = self.line
        newcomer = Newcomer(self.desk.id_of(visitor), may_take_number, self.own.may_come_on_the_spot(request.client))
        if not may_take_number and not newcomer.may_come_on_the_spot:
            await self._problem(request, visitor)
            return
        try:
            entry = await line.enter(newcomer)
        except StoreUnavailable:
            await self._without_store(request, visitor)
            return
        now_ms = int(line.now_ms())
        if entry is None:
            await self._problem(request, visitor)
        elif entry.admit_ms is None:
            ticket = self.desk.ticket(newcomer.visitor, entry.generation, entry.number, now_ms)
            await self._page(
                request,
                Visitor(Holds.WAITING, ticket, None, request.secure, False),
                self.desk.set_ticket(ticket, secure=request.secure),
            )
        else:
            pass_ = self.own.provisional(newcomer.visitor, entry, request.client)
            await self._let_in(request, pass_, now_ms, self.desk.set_pass(pass_, now_ms, secure=request.secure))

    async def _claim(self, request: Request, visitor: Visitor) -> None:
        """Trade the ticket for a pass, and this same request goes on."""
        wait_s = 0.0 if self.line.limits.hold else DOOR_S
        pass_ = await self.own.claim(visitor, request.exchange, wait_s=wait_s)
        if isinstance(pass_, Pass):
            now_ms = int(self.line.now_ms())
            await self._let_in(request, pass_, now_ms, self.desk.set_pass(pass_, now_ms, secure=request.secure))
        elif pass_ is not None:
            seen = Visitor(pass_, visitor.ticket, None, visitor.secure, visitor.by_header)
            if request.kind is Kind.DOCUMENT:
                await self._page(request, seen)
            else:
                await self._problem(request, seen)

    async def _without_store(self, request: Request, visitor: Visitor) -> None:
        """Redis is away. `open` lets people in by a meter of this worker's own; `hold` asks them to try again."""
        may_open = self.settings.on_store_failure == "open" and self.line.is_away
        pass_ = self.emergency.admit(self.desk.id_of(visitor)) if may_open else None
        now_ms = int(self.line.now_ms())
        if pass_ is None:
            await request.answer(self.problems.store_away(request.asked(), server_time_ms=now_ms))
            return
        await self._let_in(request, pass_, now_ms, self.desk.set_pass(pass_, now_ms, secure=request.secure))

    # Not into the shop

    async def _page(self, request: Request, visitor: Visitor, *more: Header) -> None:
        facts = self.status.facts(visitor, first=True, target=request.path)
        if facts.state in ("none", "admitted"):
            await request.answer(self.problems.retry(request.asked(), server_time_ms=facts.server_time_ms))
            return
        self.refusals.count(self.line.findings, request.kind, request.exchange.target)
        headers, body = self.pages.waiting(facts, gzip=accepts_gzip(request.scope["headers"]))
        await request.answer(Answer(self.settings.waiting_status, headers, body), *more)

    async def _problem(self, request: Request, visitor: Visitor) -> None:
        self.refusals.count(self.line.findings, request.kind, request.exchange.target)
        asked = request.asked()
        facts = self.status.facts(visitor) if visitor.ticket is not None else None
        enter_url = f"{self.own.base(request.client)}/-/waitroom/enter?to=/"
        refuse = self.problems.nothing_sent if request.kind is Kind.UNSAFE else self.problems.in_line
        await request.answer(
            refuse(asked, facts, enter_url=enter_url), *self.own.cors(request.client, request.scope["headers"])
        )


def leaves(headers: Sequence[Header], client: Client) -> bool:
    """Whether a redirect goes to another host than the one the browser is on."""
    for name, value in headers:
        if name == b"location":
            rest = value.strip()
            if rest.startswith((b"/", b"?", b"#")) and not rest.startswith((b"//", b"/\\")):
                return False
            with suppress(ValueError):
                host = rest.partition(b"//")[2].partition(b"/")[0].partition(b"?")[0].partition(b"#")[0]
                return bool(host) and host.lower() != client.host.lower()
    return False
