"""How a visitor gets in: a number or an admission on the spot, a pass for a called ticket.

The gate comes here with a request that goes on to the shop, the routes of `own` with one that only asks.
"""

import asyncio
from collections.abc import Awaitable, Callable

from waitroom.core.errors import StoreUnavailable
from waitroom.core.figures import CLAIMS, ON_THE_SPOT, WAIT, observe
from waitroom.core.judge import Holds
from waitroom.core.sale.schedule import ADMITTING, NUMBERING
from waitroom.core.tokens import Pass
from waitroom.edge.clients import Client
from waitroom.edge.flood import Flood
from waitroom.edge.request import Request
from waitroom.edge.shadow import SHADOW, Shadow
from waitroom.edge.visitor import Desk, Visitor
from waitroom.edge.wire.exchange import DONE, Exchange
from waitroom.store.line import Line
from waitroom.store.replies import Claimant, Claimed, Entry, Newcomer

Entered = Entry | None | StoreUnavailable
Then = Callable[[Entered], Awaitable[None]]


class Arrival:
    """A request that goes on when its newcomer is told: to the batch it is a future, and it costs no task."""

    __slots__ = ("_exchange", "_is_told", "_then")

    def __init__(self, exchange: Exchange, then: Then) -> None:
        self._exchange = exchange
        self._then = then
        self._is_told = False

    def done(self) -> bool:
        """Whoever left before the call was made takes no number."""
        return self._is_told or self._exchange.peer_lost

    def set_result(self, entry: Entry | None) -> None:
        self._is_told = True
        self._exchange.attempt(self._then, entry)

    def set_exception(self, error: Exception) -> None:
        self._is_told = True
        self._exchange.attempt(self._then if isinstance(error, StoreUnavailable) else fail, error)

    def cancel(self) -> None:
        """The worker stops."""
        self.set_exception(StoreUnavailable("enter: the worker stops"))


class Entrance:
    """Of one line: what its gate and its routes do alike when somebody wants in."""

    def __init__(self, line: Line, desk: Desk) -> None:
        self.line = line
        self.desk = desk
        self._is_shadow = line.settings.shadow
        self.flood = Flood()
        self.shadow = Shadow(line)

    def read(self, request: Request) -> Visitor:
        """Who sends the request, and what that visitor holds now."""
        line = self.line
        return self.desk.read(
            request.scope["headers"], secure=request.secure, snapshot=line.snapshot, now_ms=int(line.now_ms())
        )

    def may_come_on_the_spot(self, client: Client) -> bool:
        """Not in a flood without cookies: then the waiting page comes first, and its first poll proves the cookie."""
        workers = self.line.snapshot.workers if self.line.snapshot else 1
        return not self.line.is_flooded and self.flood.may_come_on_the_spot(client.ip, workers=workers)

    @property
    def gives_numbers(self) -> bool:
        """Not before a sale's lobby, not after the sale, and not where only people with an invite come in. In shadow
        everybody is let in instead.
        """
        settings = self.line.settings
        return settings.shadow or (self.line.phase() in NUMBERING and not settings.invite_only)

    def enter(self, newcomer: Newcomer, request: Request) -> Awaitable[Entry | None]:
        """A number, perhaps an admission on the spot; None where neither could be. Raises StoreUnavailable."""
        if self._is_shadow:
            return self.shadow.enter(newcomer, request)
        return self.line.enter(newcomer)

    def enter_then(self, newcomer: Newcomer, request: Request, then: Then) -> Awaitable[None]:
        """`enter`, and `then` goes on with the answer."""
        if request.exchange.in_task or self._is_shadow:
            return self._enter_then(newcomer, request, then)
        try:
            self.line.put_newcomer(newcomer, Arrival(request.exchange, then))
        except StoreUnavailable as error:
            return then(error)
        return DONE

    async def _enter_then(self, newcomer: Newcomer, request: Request, then: Then) -> None:
        entered: Entered
        try:
            entered = await self.enter(newcomer, request)
        except StoreUnavailable as error:
            entered = error
        await then(entered)

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
        if line.phase() not in ADMITTING:
            return Holds.WAITING
        place = line.place_of(ticket.number)
        asking = asyncio.create_task(line.claim(Claimant(place, ticket.visitor, ticket.generation), wait_s=wait_s))
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
                    ticket.visitor, ticket.generation, place, admit_ms=claimed.admit_ms, now_ms=now_ms
                )
                line.renew(pass_.generation, pass_.place, pass_.end_ms)
                return pass_
            case "waiting":
                return Holds.WAITING
            case "door":
                return Holds.CALLED
            case _:
                return Holds.LAPSED


def fail(error: Exception) -> Awaitable[None]:
    raise error


def stop(task: asyncio.Task[Claimed]) -> None:
    task.cancel()
