"""Where a visitor finds out what became of an order. Nothing here asks the shop, so all of it works while that is down.

GET orders                   the visitor's orders, as a page or as JSON, by what Accept says
GET orders?attempt=<id>      the page of one of them; with `again=ask` or `again=said` as `answers` has it

Whose orders they are is told by a ticket or a pass: any that was ever signed for this room, however old, as long as
orders are kept; it needs no place in line and no place inside. Nobody else's can be asked for.
"""

from collections.abc import Sequence

from waitroom.core.orders.attempt import Attempt
from waitroom.core.tokens import Unreadable
from waitroom.edge.orders.pages import OrderPages
from waitroom.edge.pages.problems import Problems
from waitroom.edge.request import Request
from waitroom.edge.routes import READ, Routes, read_query
from waitroom.edge.visitor import Desk, is_in_use
from waitroom.store.attempts import Attempts


class OrderRoutes:
    """Puts `orders` into the table of routes and answers it."""

    def __init__(
        self, *, desk: Desk, routes: Routes, pages: OrderPages, problems: Problems, attempts: Attempts
    ) -> None:
        self.line = attempts.line
        self.desk, self.routes, self.pages = desk, routes, pages
        self.problems, self.attempts = problems, attempts
        routes.add("orders", READ, self._orders)

    async def _orders(self, request: Request) -> None:
        asked = request.asked()
        visitors = self._visitors(request)
        if visitors is None:
            await request.answer(self.problems.retry(asked, server_time_ms=int(self.line.now_ms())))
            return
        found, complete = await self._attempts_of(visitors)
        now_ms = int(self.line.now_ms())
        fields = read_query(request)
        wanted = fields.get("attempt", "")
        one = next((attempt for attempt in found if attempt.id == wanted), None)
        if one is not None and asked.html:
            answer = self.pages.repeated(one, asked, now_ms=now_ms, again=fields.get("again", ""))
        else:
            answer = self.pages.listed(found, asked, now_ms=now_ms, complete=complete)
        await request.answer(answer, *self.routes.cors(request.fields))

    def _visitors(self, request: Request) -> Sequence[str] | None:
        """Who asks: one visitor, or two where the ticket is of another than the pass. None where a token is under a
        key that this worker does not know yet.
        """
        now_ms = int(self.line.now_ms())
        ticket, pass_, _ = self.desk.carried(request.scope["headers"], secure=request.secure, now_ms=now_ms)
        held = [token for token in (pass_, ticket) if token is not None]
        known = [token.visitor for token in held if not isinstance(token, Unreadable)]
        if not known and any(isinstance(token, Unreadable) and is_in_use(token, self.line.snapshot) for token in held):
            return None
        return list(dict.fromkeys(known))

    async def _attempts_of(self, visitors: Sequence[str]) -> tuple[list[Attempt], bool]:
        """The newest first, and whether these are all."""
        found: list[Attempt] = []
        complete = True
        for visitor in visitors:
            attempts, all_of_them = await self.attempts.of_visitor(visitor)
            found += attempts
            complete = complete and all_of_them
        return sorted(found, key=lambda attempt: attempt.begun_ms, reverse=True), complete
