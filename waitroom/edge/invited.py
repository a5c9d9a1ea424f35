"""People with an invite: their line beside the first, and the route that takes them there.

GET  /-/waitroom/invite?t=…   a page with one button. It asks nobody and uses nothing up: previews, scanners and
                              prefetches may open the link as often as they like
POST /-/waitroom/invite       redeems it for this browser, known by the cookie that the page gave it: a place in the
                              line of the invited. The same browser may repeat it

Whoever holds a ticket of that line, in a cookie of its own, is answered by that line's gate; everybody else by the
first one's. A pass of either is a pass of the room. That gate gives no numbers: they come from invites alone.
"""

from collections.abc import Awaitable, Sequence
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from waitroom.core.errors import StoreUnavailable
from waitroom.core.figures import NUMBERS
from waitroom.core.invites import NOT_YET, OVER, Invite, InviteTokens
from waitroom.core.judge import Holds
from waitroom.core.requests import Header
from waitroom.core.targets import OWN_PREFIX
from waitroom.core.tokens import Ticket
from waitroom.edge.answers import Answer, see_other
from waitroom.edge.clients import Client
from waitroom.edge.cookies import CookieKind
from waitroom.edge.entrance import Entrance, Then
from waitroom.edge.gate import Gate
from waitroom.edge.passage import Passage
from waitroom.edge.request import Request
from waitroom.edge.routes import read_form, read_query
from waitroom.store.invites import redeem
from waitroom.store.replies import AdoptNeeded, Entry, Newcomer, PhaseDue

COOKIE: Final = b"invited"
"""The end of the name of the cookie that holds a ticket of the line of the invited."""
UNBOUND: Final = "unbound"
"""The generation of a ticket that only says who the browser is: it is none, so the ticket is no place anywhere."""
OF_THE_LINE: Final = frozenset((b"status", b"join", b"claim", b"leave"))


class InvitedEntrance(Entrance):
    """Nobody comes in here but by an invite."""

    gives_numbers = False

    def may_come_on_the_spot(self, client: Client) -> bool:
        return False

    async def enter(self, newcomer: Newcomer, request: Request) -> Entry | None:
        return None

    def enter_then(self, newcomer: Newcomer, request: Request, then: Then) -> Awaitable[None]:
        return then(None)


class TwoLines(Gate):
    """The gate of a room with invites: the first line's, with that of the invited beside it."""

    def __init__(self, invited: Gate, tokens: InviteTokens, **parts: Any) -> None:
        """`parts` are those of the first line's gate. Both forward by the same passage."""
        super().__init__(**parts)
        self.invited = invited.with_passage(self.passage)
        self.tokens = tokens
        self._cookie = invited.desk.cookies.name(CookieKind.TICKET, secure=False)
        self.routes.add("invite", ("GET", "HEAD", "POST"), self._invite)

    def with_passage(self, passage: Passage) -> "TwoLines":
        twin = super().with_passage(passage)
        assert isinstance(twin, TwoLines)
        twin.invited = self.invited.with_passage(passage)
        return twin

    def poll(self, target: bytes, headers: Sequence[Header], scheme: str, peer: str) -> tuple[bytes, bytes] | None:
        if self._is_invited(target, headers, scheme, peer):
            return self.invited.poll(target, headers, scheme, peer)
        return super().poll(target, headers, scheme, peer)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        target: bytes = scope["extensions"]["waitroom"].target
        peer = scope["client"][0] if scope["client"] else ""
        if self._is_invited(target, scope["headers"], scope["scheme"], peer):
            return self.invited(scope, receive, send)
        return super().__call__(scope, receive, send)

    def _is_invited(self, target: bytes, headers: Sequence[Header], scheme: str, peer: str) -> bool:
        """Whether the request is the other gate's matter: it brings a ticket of that line, which is still worth
        something. In shadow nobody waits in either line, and the first one's gate lets all of them in.
        """
        if self.settings.shadow or not any(
            (name == b"cookie" and self._cookie in value) or name == b"waitroom-ticket" for name, value in headers
        ):
            return False
        if target.startswith(OWN_PREFIX) and target[len(OWN_PREFIX) :].partition(b"?")[0] not in OF_THE_LINE:
            return False
        line = self.invited.line
        visitor = self.invited.desk.read(
            headers,
            secure=self.clients.speaks_https(scheme, peer, headers),
            snapshot=line.snapshot,
            now_ms=int(line.now_ms()),
        )
        if visitor.ticket is None:
            return visitor.holds is Holds.UNREADABLE
        is_placed = visitor.holds in (Holds.WAITING, Holds.CALLED) and visitor.ticket.generation != UNBOUND
        return is_placed and self.line.phase() not in ("closed", "sold_out")

    # The route

    async def _invite(self, request: Request) -> None:
        form = await read_form(request) if request.scope["method"] == "POST" else None
        fields = form if form is not None else read_query(request)
        token = fields.get("t", "")
        asked, now_ms, phase = request.asked(), int(self.line.now_ms()), self.line.phase()
        if self._read(request, now_ms).holds is Holds.PASS:
            await request.answer(self._onward())
            return
        invite = self.tokens.read(token)
        if invite is None or now_ms >= invite.expires_ms:
            await request.answer(self.problems.no_invite(asked, "void", href=self.settings.entrance))
        elif phase in OVER:
            await request.answer(self._onward())  # where it is said
        elif phase in NOT_YET and not invite.is_early:
            await request.answer(self.problems.no_invite(asked, "early", href=self.settings.entrance))
        elif form is None:
            await self._offer(request, token)
        else:
            await self._redeem(request, invite)

    async def _offer(self, request: Request, token: str) -> None:
        """The page with the button, and the cookie by which the browser will be known when it is pressed."""
        desk, now_ms = self.invited.desk, int(self.line.now_ms())
        page = self.problems.invite(request.asked(), token)
        if self._ticket(request) is not None:
            await request.answer(page)
            return
        who = desk.ticket(desk.id_of(self._read(request, now_ms)), UNBOUND, 0, now_ms)
        await request.answer(page, desk.set_ticket(who, secure=request.secure))

    async def _redeem(self, request: Request, invite: Invite) -> None:
        desk, line = self.invited.desk, self.invited.line
        ticket = self._ticket(request)
        if ticket is None:
            await request.answer(self.problems.no_cookies(request.asked(), href=self.settings.entrance))
            return
        held = (ticket.generation, ticket.number) if ticket.generation != UNBOUND else None
        now_ms = int(line.now_ms())
        try:
            given = await redeem(line.room, invite, ticket.visitor, memory=line.memory)
        except (StoreUnavailable, AdoptNeeded, PhaseDue):
            await request.answer(self.problems.store_away(request.asked(), server_time_ms=now_ms))
            return
        match given:
            case "used":
                await request.answer(self.problems.no_invite(request.asked(), "used", href=self.settings.entrance))
            case "expired" | "revoked":
                await request.answer(self.problems.no_invite(request.asked(), "void", href=self.settings.entrance))
            case _:
                if held != given:
                    line.counts[NUMBERS] += 1
                    ticket = desk.ticket(ticket.visitor, given.generation, given.number, now_ms)
                line.beats.note(given.number)
                await request.answer(self._onward(), desk.set_ticket(ticket, secure=request.secure))

    def _ticket(self, request: Request) -> Ticket | None:
        """The browser's ticket of the line of the invited, whatever it is worth."""
        headers, now_ms = request.scope["headers"], int(self.line.now_ms())
        ticket = self.invited.desk.carried(headers, secure=request.secure, now_ms=now_ms).ticket
        return ticket if isinstance(ticket, Ticket) else None

    def _onward(self) -> Answer:
        return see_other(self.settings.entrance)
