"""Take my place to another device: a link, good once and for five minutes, and its QR code.

POST transfer        whoever has a place in line gets the link: as a page, or for scripts and apps as JSON
GET  transfer?t=…    what the link opens: a page with one button. Nothing happens by opening it, so no preview, scanner
                     or prefetch uses the link up
POST take            the button: this browser gets the ticket; the same number and visitor, so the same place

The place is then on both devices. A turn is claimed once whoever asks (P4), and whoever comes with the other device
gets the same pass: one admission, one seat. So nothing has to be taken from the first device, and none that fails on
the way loses the place.

The token stands in the link alone: these pages send no more than their origin along (Referrer-Policy), and our log
leaves queries out.
"""

import json
from secrets import token_hex
from typing import Final
from urllib.parse import quote

from waitroom.core.errors import StoreUnavailable
from waitroom.core.judge import Holds
from waitroom.core.paths import own_path, same_site_path
from waitroom.core.requests import Header, value_of
from waitroom.core.times import iso_ms
from waitroom.core.tokens import Move
from waitroom.edge.answers import Answer, json_headers, see_other
from waitroom.edge.entrance import Entrance
from waitroom.edge.pages.problems import Problems
from waitroom.edge.pages.transfer import LIFE_MS, TransferPages
from waitroom.edge.request import Request
from waitroom.edge.routes import POST, Routes, read_form, read_query, target_of
from waitroom.edge.status import Status
from waitroom.edge.visitor import Visitor, standing
from waitroom.store.moves import take
from waitroom.store.replies import AdoptNeeded, GenerationGone

STEP_MS = 15_000
"""Links asked for again within this time are the same one."""
LONGEST_TARGET = 512
SECRETIVE: Final[Header] = (b"referrer-policy", b"strict-origin")


class Transfer:
    """Puts `transfer` into the table of routes and answers it, for both devices."""

    def __init__(
        self,
        *,
        entrance: Entrance,
        routes: Routes,
        status: Status,
        pages: TransferPages,
        problems: Problems,
        room_query: str,
    ) -> None:
        self._entrance = entrance
        self._line = entrance.line
        self._desk = entrance.desk
        self._routes = routes
        self._status = status
        self._pages = pages
        self._problems = problems
        self._room_query = room_query
        routes.add("transfer", ("GET", "HEAD", "POST"), self._transfer)
        routes.add("take", POST, self._take)

    async def _transfer(self, request: Request) -> None:
        if request.scope["method"] == "POST":
            await self._offer(request)
        else:
            await self._show(request)

    async def _offer(self, request: Request) -> None:
        form = await read_form(request) or {}
        visitor, asked = self._entrance.read(request), request.asked()
        if visitor.holds is Holds.UNREADABLE:
            await request.answer(self._problems.retry(asked, server_time_ms=int(self._line.now_ms())))
            return
        if visitor.ticket is None or visitor.holds not in (Holds.WAITING, Holds.CALLED):
            await request.answer(self._problems.no_place(asked))
            return
        now_ms = int(self._line.now_ms())
        expires_ms = -(-now_ms // STEP_MS) * STEP_MS + LIFE_MS
        token = self._desk.tokens.sign_move(Move(visitor.ticket, expires_ms))
        to = (target_of(form) if "to" in form else self._came_from(request)) or "/"
        back, to = to, to if len(to) <= LONGEST_TARGET else "/"
        ask_for = "to=" + quote(to, safe="/") if to != "/" else ""
        link = self._routes.base(request.client) + own_path("transfer", self._room_query, "t=" + token, ask_for)
        code = self._pages.draw(link, now_ms)
        if asked.html:
            await request.answer(self._pages.offer(asked, link=link, code=code, back=back))
            return
        body = json.dumps({"url": link, "qr": code or None, "expires_at": iso_ms(expires_ms)}).encode()
        await request.answer(Answer(200, json_headers(body), body), *self._routes.cors(request.fields))

    async def _show(self, request: Request) -> None:
        asked = request.asked()
        fields = read_query(request)
        token, to = fields.get("t", ""), target_of(fields) or "/"
        move = self._desk.tokens.read_move(token, int(self._line.now_ms()))
        if not isinstance(move, Move):
            await request.answer(self._problems.link_over(asked))
            return
        visitor = self._entrance.read(request)
        if visitor.ticket == move.ticket or visitor.holds is Holds.PASS:
            await request.answer(see_other(to), SECRETIVE)
            return
        has_other = visitor.holds in (Holds.WAITING, Holds.CALLED)
        page = self._pages.take(asked, token=token, taker=token_hex(8), to=to, has_other=has_other)
        await request.answer(page)

    async def _take(self, request: Request) -> None:
        form, asked = await read_form(request) or {}, request.asked()
        token, taker = form.get("t", ""), form.get("by", "")[:64] or token_hex(8)
        now_ms = int(self._line.now_ms())
        move = self._desk.tokens.read_move(token, now_ms)
        taken = False
        if isinstance(move, Move):
            try:
                life_ms = self._desk.tokens.ticket_lifetime_ms
                taken = await take(self._line.room, move, taker=taker, life_ms=life_ms)
            except GenerationGone:
                pass
            except (StoreUnavailable, AdoptNeeded):
                await request.answer(self._problems.store_away(asked, server_time_ms=now_ms))
                return
        if not isinstance(move, Move) or not taken:
            await request.answer(self._problems.link_over(asked))
            return
        given = [self._desk.set_ticket(move.ticket, secure=request.secure)]
        if asked.html:
            await request.answer(see_other(target_of(form) or "/"), *given, SECRETIVE)
            return
        given.append((b"waitroom-ticket", self._desk.tokens.sign_ticket(move.ticket).encode()))
        snapshot = self._line.snapshot
        visitor = Visitor(standing(move.ticket, snapshot), move.ticket, None, request.secure, False)
        await self._routes.say(request, self._status.facts(visitor, first=True), *given)

    def _came_from(self, request: Request) -> str | None:
        """The page of this site on which the button was pressed; the line's own pages are no place to go to."""
        referrer = value_of(request.scope["headers"], b"referer")
        base = self._routes.base(request.client)
        if not referrer.startswith(base.encode("latin-1") + b"/"):
            return None
        path = same_site_path(referrer[len(base) :].partition(b"#")[0].decode("latin-1"))
        return None if path is None or path.startswith(own_path("")) else path
