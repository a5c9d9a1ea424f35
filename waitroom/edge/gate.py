"""The gate: every request comes through here, and what `core.judge` decides is done.

Refusals return early; the one line that lets a request through to the shop with a pass is the last of `_let_in`.
The gate waits for Redis only to enter, to claim, and once for a pass that has run out.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from copy import copy
from typing import assert_never

import structlog
from starlette.types import Receive, Scope, Send

from waitroom.core.errors import OriginFailure, StoreUnavailable
from waitroom.core.figures import NUMBERS, POLL_TIME, REQUESTS, observe
from waitroom.core.judge import (
    Claim,
    Empty,
    Enter,
    Holds,
    Page,
    Problem,
    Proceed,
    Retry,
    SmallPage,
    Through,
    judge,
    shadowed,
)
from waitroom.core.paths import own_path
from waitroom.core.requests import Header, Kind, accepts_gzip, asks_for_json, kind_of
from waitroom.core.targets import Free, Guarded, Malformed, Own, TargetRules
from waitroom.core.tokens import Pass
from waitroom.edge.answers import JSON_HEAD
from waitroom.edge.bypass import Bypasses
from waitroom.edge.clients import Clients
from waitroom.edge.emergency import Emergency
from waitroom.edge.entrance import Entered
from waitroom.edge.flood import Preflights
from waitroom.edge.own import OwnRoutes
from waitroom.edge.pages.problems import Problems
from waitroom.edge.pages.waiting import Pages, retry_after
from waitroom.edge.passage import Passage
from waitroom.edge.refusals import Refusals
from waitroom.edge.request import Request
from waitroom.edge.shop.headers import NO_PREFLIGHTS
from waitroom.edge.shop.proxy import Proxy
from waitroom.edge.visitor import Desk, Visitor
from waitroom.store.line import Line
from waitroom.store.replies import Newcomer

DOOR_S = 5.0
"""So long a request waits at the door without a page to look at; then the page, which goes on from there."""
PASS, WAITING = Holds.PASS, Holds.WAITING  # names of the module are looked up faster than an Enum's members
POLL = b"/-/waitroom/status?"
POLLED, PASSED = REQUESTS["poll"], REQUESTS["pass"]
TIMED_POLLS = 8
"""One poll in so many is timed: a poll costs little more than two looks at the clock."""
DECIDED = {
    Proceed: REQUESTS["preflight"],
    Enter: REQUESTS["enter"],
    Claim: REQUESTS["claim"],
    Page: REQUESTS["page"],
    SmallPage: REQUESTS["frame"],
    Empty: REQUESTS["prefetch"],
    Problem: REQUESTS["problem"],
    Retry: REQUESTS["retry"],
    Through: REQUESTS["through"],
}

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
        gauges: list[int],
    ) -> None:
        settings = line.settings
        self.settings = settings
        # What each newcomer is asked for stands here: the settings look a name up in five times as long.
        self._is_shadow, self._cloudflare_json = settings.shadow, settings.cloudflare_json
        self._invite_only = settings.invite_only and not settings.shadow
        self._waiting_status = settings.waiting_status
        self.line = line
        self.desk = desk
        self.proxy = proxy
        self.clients = clients
        self.pages = pages
        self.problems = problems
        self.own = own
        self.routes = own.routes
        self.entrance = own.entrance
        self.rules = TargetRules(settings.guard, settings.bypass.paths)
        self.bypasses = Bypasses(settings.bypass)
        self.counts = line.counts
        self.passage = Passage(line, desk, proxy, problems, own.entrance.flood, gauges)
        self.refusals = Refusals(settings.room, line.counts)
        self.emergency = Emergency(line, desk)
        self._enter_path = own_path("enter", settings.room_query, f"to={settings.entrance}")
        self._preflights = Preflights()
        self.status = own.status

    def with_passage(self, passage: Passage) -> "Gate":
        """The same gate, line and counts, with another way behind it."""
        twin = copy(self)
        twin.passage = passage
        return twin

    def poll(self, target: bytes, headers: Sequence[Header], scheme: str, peer: str) -> tuple[bytes, bytes] | None:
        """A poll of somebody who just waits, answered from memory before there is a request: the server asks it of
        every GET (`wire.heads.Poll`).
        """
        if not target.startswith(POLL):
            return None
        line, counts = self.line, self.counts
        now_ms = line.now_ms()
        body = self.own.poll(headers, target, now_ms, secure=self.clients.speaks_https(scheme, peer, headers))
        if body is None:
            return None
        counts[POLLED] = polled = counts[POLLED] + 1
        if not polled % TIMED_POLLS:
            observe(counts, POLL_TIME, line.now_ms() - now_ms)
        return JSON_HEAD.lines, body

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """What needs no waiting is done within the call: the beginning of what goes to the shop, for one."""
        counts = self.counts
        client = self.clients.of(scope)
        request = Request(scope, receive, send, client)
        match self.rules.place(request.exchange.target, client.host):
            case Guarded():
                now_ms = int(self.line.now_ms())
                if self.bypasses.lets_through(client, scope["headers"]):
                    counts[REQUESTS["bypass"]] += 1
                    return self.passage.forward(request, now_ms, drop=self.bypasses.drops)
                visitor = self._read(request, now_ms)
                if visitor.holds is PASS and visitor.pass_ is not None:
                    counts[PASSED] += 1
                    return self._let_in(request, visitor.pass_, now_ms)
                if visitor.pass_ is not None:
                    return self._revive(request, visitor, visitor.pass_, now_ms)
                return self._judge(request, visitor, now_ms)
            case Own(path):
                counts[REQUESTS["own"]] += 1
                return self.routes.answer(request, path.partition("?")[0])
            case Free():
                counts[REQUESTS["free"]] += 1
                return self.passage.forward(request, int(self.line.now_ms()), drop=self.bypasses.drops)
            case Malformed(reason):
                counts[REQUESTS["malformed"]] += 1
                return request.answer(self.problems.bad_request(request.asked(), reason))
            case other:
                assert_never(other)

    def _read(self, request: Request, now_ms: int) -> Visitor:
        return self.desk.read(
            request.scope["headers"], secure=request.secure, snapshot=self.line.snapshot, now_ms=now_ms
        )

    async def _revive(self, request: Request, visitor: Visitor, pass_: Pass, now_ms: int) -> None:
        """With a pass that has run out: in, if its seat is still counted."""
        again = await self._revived(pass_, now_ms)
        if again is None:
            await self._judge(request, visitor, now_ms)
            return
        self.counts[PASSED] += 1
        # The cookie anew: a WebSocket may go on moving the seat's end, and each request would cost that read.
        await self._let_in(request, again, now_ms, self.desk.set_pass(again, now_ms, secure=request.secure))

    def _judge(self, request: Request, visitor: Visitor, now_ms: int) -> Awaitable[None]:
        """Without a pass that is good now."""
        fields, counts = request.fields, self.counts
        if self.proxy.headers.has_looped(fields):
            # It lost our cookies on the way here: it would take a place each time round.
            counts[REQUESTS["loop"]] += 1
            failure = OriginFailure("loop", "the request has passed here before")
            return request.answer(self.passage.failed(request, failure))
        request.kind = kind = kind_of(request.scope["method"], fields)
        if self._cloudflare_json and kind is Kind.FETCH and asks_for_json(fields):
            # Theirs puts it in line as it does a document, and the app asks for the same address until it is let in.
            request.kind = kind = Kind.DOCUMENT
        decision = judge(kind, visitor.holds, ticket_in_header=visitor.by_header, phase=self.line.phase())
        if self._is_shadow:
            decision = shadowed(decision)
        counts[DECIDED[type(decision)]] += 1
        match decision:
            case Proceed():
                return self._preflight(request, visitor)
            case Enter(may_take_number):
                return self._enter(request, visitor, may_take_number=may_take_number)
            case Claim():
                return self._claim(request, visitor)
            case Page():
                if visitor.ticket is not None:
                    # The cookie came back: whoever reloads a page without a script is there.
                    self.line.note(visitor.ticket.number)
                return self._page(request, visitor)
            case SmallPage():
                return request.answer(self.problems.frame(request.asked()))
            case Empty():
                return request.answer(self.problems.prefetch())
            case Problem():
                return self._problem(request, visitor)
            case Retry():
                return request.refuse(self.problems.retry(request.asked(), server_time_ms=now_ms))
            case Through():
                self.entrance.shadow.count(request)
                return self.passage.forward(request, now_ms, drop=self.bypasses.drops)
            case other:
                assert_never(other)

    # Into the shop

    async def _let_in_when_valid(self, request: Request, pass_: Pass, lead_ms: float, *fresh: Header) -> None:
        await asyncio.sleep(lead_ms / 1000)
        await self.passage.forward(request, int(self.line.now_ms()), pass_, fresh)

    def _let_in(self, request: Request, pass_: Pass, now_ms: int, *fresh: Header) -> Awaitable[None]:
        """Forward with a pass, not before it is valid; renewed if it is time."""
        if pass_.valid_from_ms > now_ms and (lead_ms := pass_.lead_ms(now_ms)):
            return self._let_in_when_valid(request, pass_, lead_ms, *fresh)

        return self.passage.forward(request, now_ms, pass_, fresh)

    async def _preflight(self, request: Request, visitor: Visitor) -> None:
        """To the shop without a pass, so many at a time."""
        with self._preflights.one_more(request.client.ip) as may_go:
            if may_go:
                await self.passage.forward(request, int(self.line.now_ms()), drop=NO_PREFLIGHTS)
            else:
                await self._problem(request, visitor)

    async def _revived(self, pass_: Pass, now_ms: int) -> Pass | None:
        """A pass that has run out while its seat is still counted: the one read that a pass may cost."""
        if self.line.is_away:
            return None
        try:
            end_ms = await self.line.seat_end(pass_.generation, pass_.place)
        except StoreUnavailable:
            return None
        return None if end_ms is None else pass_._replace(end_ms=end_ms)

    # Into the line

    def _enter(self, request: Request, visitor: Visitor, *, may_take_number: bool) -> Awaitable[None]:
        if self._invite_only:
            return request.refuse(self.problems.invited_only(request.asked()))
        may_come_on_the_spot = self.entrance.may_come_on_the_spot(request.client)
        newcomer = Newcomer(self.desk.id_of(visitor), may_take_number, may_come_on_the_spot)
        if not may_take_number and not may_come_on_the_spot:
            return self._problem(request, visitor)
        return self.entrance.enter_then(
            newcomer, request, lambda entered: self._entered(request, visitor, newcomer, entered)
        )

    def _entered(self, request: Request, visitor: Visitor, newcomer: Newcomer, entered: Entered) -> Awaitable[None]:
        """What became of a newcomer."""
        now_ms = int(self.line.now_ms())
        if entered is None:
            # A document is refused a number only where the sale has just closed.
            return self._page(request, visitor) if request.kind is Kind.DOCUMENT else self._problem(request, visitor)
        if isinstance(entered, StoreUnavailable):
            return self._without_store(request, visitor)
        if entered.admit_ms is None:
            self.counts[NUMBERS] += 1
            ticket = self.desk.ticket(newcomer.visitor, entered.generation, entered.number, now_ms)
            return self._page(
                request,
                Visitor(WAITING, ticket, None, request.secure, False),
                self.desk.set_ticket(ticket, secure=request.secure),
            )
        pass_ = self.entrance.provisional(newcomer.visitor, entered, request.client)
        return self._let_in(request, pass_, now_ms, self.desk.set_pass(pass_, now_ms, secure=request.secure))

    async def _claim(self, request: Request, visitor: Visitor) -> None:
        """Trade the ticket for a pass, and this same request goes on."""
        wait_s = 0.0 if self.line.limits.hold else DOOR_S
        pass_ = await self.entrance.claim(visitor, request.exchange, wait_s=wait_s)
        if isinstance(pass_, Pass):
            now_ms = int(self.line.now_ms())
            await self._let_in(request, pass_, now_ms, self.desk.set_pass(pass_, now_ms, secure=request.secure))
        elif pass_ is not None:
            seen = Visitor(pass_, visitor.ticket, None, visitor.secure, visitor.by_header)
            if request.kind is Kind.DOCUMENT:
                await self._page(request, seen)
            else:
                await self._problem(request, seen)

    def _without_store(self, request: Request, visitor: Visitor) -> Awaitable[None]:
        """Redis is away. `open` lets people in by a meter of this worker's own; `hold` asks them to try again."""
        may_open = (
            self.settings.on_store_failure == "open" and self.line.is_away and self.line.phase() in (None, "open")
        )
        pass_ = self.emergency.admit(self.desk.id_of(visitor)) if may_open else None
        now_ms = int(self.line.now_ms())
        if pass_ is None:
            return request.refuse(self.problems.store_away(request.asked(), server_time_ms=now_ms))
        return self._let_in(request, pass_, now_ms, self.desk.set_pass(pass_, now_ms, secure=request.secure))

    # Not into the shop

    def _page(self, request: Request, visitor: Visitor, *more: Header) -> Awaitable[None]:
        fields, status = request.fields, self._waiting_status
        language, gzip = self.pages.languages.choose(fields.get(b"accept-language", b"")), accepts_gzip(fields)
        in_line = None if self._cloudflare_json else self.status.in_line(visitor)
        if in_line is not None:
            self.refusals.count(self.line.findings, request.kind, request.exchange.target)
            head, parts = self.pages.page_in_line(in_line, request.path, language, gzip=gzip)
            return request.answer_under(status, head, parts, retry_after(in_line.next_poll_s), *more)
        facts = self.status.facts(visitor, first=True, target=request.path)
        if facts.state in ("none", "admitted"):
            return request.answer(self.problems.retry(request.asked(), server_time_ms=facts.server_time_ms))
        self.refusals.count(self.line.findings, request.kind, request.exchange.target)
        if self._cloudflare_json and asks_for_json(fields):
            return self.routes.say(request, facts, *more, status=status)
        head, parts = self.pages.page(facts, language, gzip=gzip)
        return request.answer_under(status, head, parts, retry_after(facts.next_poll_s), *more)

    def _problem(self, request: Request, visitor: Visitor) -> Awaitable[None]:
        self.refusals.count(self.line.findings, request.kind, request.exchange.target)
        asked = request.asked()
        facts = self.status.facts(visitor)
        enter_url = self.routes.base(request.client) + self._enter_path
        problem = self.problems.nothing_sent if request.kind is Kind.UNSAFE else self.problems.in_line
        return request.refuse(problem(asked, facts, enter_url=enter_url))
