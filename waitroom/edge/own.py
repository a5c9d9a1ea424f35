"""The routes of the line: for the waiting page, for apps, for probes.

GET  status          the facts of the visitor's cookies (or fields), held if asked to
POST join            a number, or a pass on the spot; the same ticket for whoever has one that is good
POST claim           trades a called ticket for a pass; waits at the door for up to 25 s
GET  enter?to=/path  starts a browser at the line; same-site paths only
POST leave           gives the place, or the seat, back
GET  live, ready     for probes: nothing but the status
"""

import asyncio
from collections.abc import Sequence

from waitroom.core.errors import StoreUnavailable
from waitroom.core.figures import NUMBERS
from waitroom.core.judge import Holds
from waitroom.core.requests import Header
from waitroom.core.sentences import N_
from waitroom.core.tokens import Pass, Ticket
from waitroom.edge.answers import EMPTY, NO_STORE, Answer, see_other
from waitroom.edge.entrance import Entrance
from waitroom.edge.health import Health
from waitroom.edge.pages.problems import Problems
from waitroom.edge.request import Request
from waitroom.edge.routes import POST, READ, Routes, read_form, read_query, target_of
from waitroom.edge.status import Status, read_poll
from waitroom.edge.visitor import NOBODY, Visitor
from waitroom.edge.wire.exchange import Exchange
from waitroom.store.held import HeldPolls, finish
from waitroom.store.replies import Entry, Newcomer

CLAIM_WAIT_S = 25.0


class OwnRoutes:
    """Answers the routes of the line, and puts them into the table."""

    def __init__(
        self, *, entrance: Entrance, routes: Routes, status: Status, problems: Problems, health: Health
    ) -> None:
        self.entrance = entrance
        self.line = entrance.line
        self.desk = entrance.desk
        self.routes = routes
        self.status = status
        self.problems = problems
        self.health = health
        routes.add("status", READ, self._status)
        routes.add("join", POST, self._join)
        routes.add("claim", POST, self._claim)
        routes.add("leave", POST, self._leave)
        routes.add("enter", READ, self._enter)
        routes.add("live", READ, self._live)
        routes.add("ready", READ, self._ready)

    def poll(self, headers: Sequence[Header], target: bytes, now_ms: float, *, secure: bool) -> bytes | None:
        """The answer to somebody who just waits and asks not to be held: the most frequent request of all, from
        memory. None for everybody else, whom `status` answers.
        """
        snapshot = self.line.snapshot
        if snapshot is None or not self.routes.is_plain:
            return None
        ticket, pass_, _ = self.desk.carried(headers, secure=secure, now_ms=int(now_ms))
        if pass_ is not None or not isinstance(ticket, Ticket) or ticket.generation != snapshot.state.generation:
            return None
        place = snapshot.place_of(ticket.number)
        if place < snapshot.state.front or self.desk.is_outdated(ticket, now_ms):
            return None
        hold_s, shown, _ = read_poll(target)
        if hold_s:
            return None
        self.line.beats.note(place)
        return self.status.waiting_json(ticket, place, shown, now_ms)

    async def _status(self, request: Request) -> None:
        visitor = self.entrance.read(request)
        hold_s, shown, state = read_poll(request.exchange.target)
        if visitor.holds is Holds.UNREADABLE:
            await self._ask_again(request)
            return
        if visitor.ticket is not None and visitor.holds in (Holds.WAITING, Holds.CALLED):
            place = self.line.note(visitor.ticket.number)
            may_hold = visitor.holds is Holds.WAITING or self.status.is_paused()
            if hold_s and may_hold and not self.status.is_news(state):
                if not await wait_held(self.line.held, place, hold_s, request.exchange):
                    return
                self.line.note(visitor.ticket.number)
                visitor = self.entrance.read(request)
        await self.routes.say(request, self.status.facts(visitor, shown=shown))

    async def _join(self, request: Request) -> None:
        visitor = self.entrance.read(request)
        form = await read_form(request)
        if visitor.holds is Holds.UNREADABLE:
            await self._ask_again(request)
            return
        more: list[Header] = []
        if visitor.holds is Holds.CALLED:
            # A turn taken long ago looks like one that was just called; only Redis knows.
            got = await self.entrance.claim(visitor, request.exchange, wait_s=0)
            if isinstance(got, Pass):
                visitor, more = visitor._replace(holds=Holds.PASS, pass_=got), self._given(got, request)
            elif got is not None:
                visitor = visitor._replace(holds=got)
        if visitor.holds in (Holds.NOTHING, Holds.LAPSED) and self.entrance.gives_numbers:
            newcomer = Newcomer(self.desk.id_of(visitor), True, self.entrance.may_come_on_the_spot(request.client))
            try:
                entry = await self.entrance.enter(newcomer, request)
            except StoreUnavailable:
                now_ms = int(self.line.now_ms())
                await request.answer(self.problems.store_away(request.asked(), server_time_ms=now_ms))
                return
            if entry is not None:  # else the sale closed in this very moment
                visitor, more = self._joined(newcomer, entry, request)
        if form is not None:
            await request.answer(see_other(target_of(form) or "/"), *more)
        else:
            await self.routes.say(request, self.status.facts(visitor, first=True), *more)

    def _joined(self, newcomer: Newcomer, entry: Entry, request: Request) -> tuple[Visitor, list[Header]]:
        now_ms = int(self.line.now_ms())
        if entry.admit_ms is None:
            self.line.counts[NUMBERS] += 1
            ticket = self.desk.ticket(newcomer.visitor, entry.generation, entry.number, now_ms)
            visitor = Visitor(Holds.WAITING, ticket, None, request.secure, False)
            token = self.desk.tokens.sign_ticket(ticket).encode()
            return visitor, [self.desk.set_ticket(ticket, secure=request.secure), (b"waitroom-ticket", token)]
        pass_ = self.entrance.provisional(newcomer.visitor, entry, request.client)
        return Visitor(Holds.PASS, None, pass_, request.secure, False), self._given(pass_, request)

    def _given(self, pass_: Pass, request: Request) -> list[Header]:
        """A pass as cookie and field."""
        set_pass = self.desk.set_pass(pass_, int(self.line.now_ms()), secure=request.secure)
        return [set_pass, (b"waitroom-pass", self.desk.tokens.sign_pass(pass_).encode())]

    async def _claim(self, request: Request) -> None:
        visitor = self.entrance.read(request)
        more: list[Header] = []
        if visitor.holds is Holds.CALLED and visitor.ticket is not None:
            self.line.note(visitor.ticket.number)
            got = await self.entrance.claim(visitor, request.exchange, wait_s=CLAIM_WAIT_S)
            if got is None:
                return
            if isinstance(got, Pass):
                await asyncio.sleep(got.lead_ms(self.line.now_ms()) / 1000)
                more = self._given(got, request)
                visitor = Visitor(Holds.PASS, None, got, request.secure, visitor.by_header)
            else:
                visitor = Visitor(got, visitor.ticket, None, request.secure, visitor.by_header)
        elif visitor.holds is Holds.UNREADABLE:
            await self._ask_again(request)
            return
        await self.routes.say(request, self.status.facts(visitor), *more)

    async def _leave(self, request: Request) -> None:
        visitor = self.entrance.read(request)
        if visitor.pass_ is not None:
            self.line.end_pass(visitor.pass_.generation, visitor.pass_.place)
        gone = NOBODY[request.secure]
        asked = request.asked()
        forget = self.desk.forget(visitor.pass_, int(self.line.now_ms()), secure=request.secure)
        if asked.html:
            await request.answer(self.problems.left(asked, server_time_ms=int(self.line.now_ms())), *forget)
        else:
            await self.routes.say(request, self.status.facts(gone), *forget)

    async def _enter(self, request: Request) -> None:
        """To the path asked for, where the line begins. A browser sent here again by our page and without a cookie
        keeps none: it is told so, instead of taking one number after the other.
        """
        fields = read_query(request)
        target = target_of(fields)
        if target is None:
            await request.answer(
                self.problems.bad_request(request.asked(), N_("It may lead only to a path of this site."))
            )
        elif "again" in fields and self.entrance.read(request).holds is Holds.NOTHING and not self._has_old(request):
            await request.answer(self.problems.no_cookies(request.asked(), href=target))
        else:
            await request.answer(see_other(target))

    async def _live(self, request: Request) -> None:
        await request.answer(Answer(200, [EMPTY, NO_STORE], b""))

    async def _ready(self, request: Request) -> None:
        await request.answer(Answer(200 if self.health.is_ready else 503, [EMPTY, NO_STORE], b""))

    # What they share

    async def _ask_again(self, request: Request) -> None:
        """A token that this worker cannot verify yet: try again, and no cookie."""
        await request.answer(self.problems.retry(request.asked(), server_time_ms=int(self.line.now_ms())))

    def _has_old(self, request: Request) -> bool:
        found = self.desk.cookies.find(request.scope["headers"], secure=request.secure)
        return bool(found.tickets or found.passes)


async def wait_held(held: HeldPolls, place: int, seconds: float, exchange: Exchange) -> bool:
    """Wait until something changes for a place, or the time is up; False if the client left meanwhile."""
    future = held.hold(place, seconds)
    exchange.on_lost(lambda: finish(future))
    await future
    return not exchange.peer_lost
