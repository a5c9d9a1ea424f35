"""The way to the shop and back: what goes along with a pass, its renewal, and what is counted on the way."""

from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Protocol

import structlog

from waitroom.core.errors import OriginFailure
from waitroom.core.figures import (
    FIRST_BYTE,
    NOT_THE_SHOPS,
    ORIGIN_ANSWERS_AT,
    ORIGIN_FAILED_MS,
    ORIGIN_FAILURES,
    ORIGIN_OK_MS,
    observe,
)
from waitroom.core.orders.routes import Suspect
from waitroom.core.requests import Header
from waitroom.core.tokens import Pass
from waitroom.edge.answers import Answer
from waitroom.edge.clients import Client, bare_host
from waitroom.edge.commands import ShopCommands
from waitroom.edge.cookies import may_be_shared
from waitroom.edge.flood import Flood
from waitroom.edge.pages.problems import Problems
from waitroom.edge.request import Request
from waitroom.edge.shop.connection import Seen
from waitroom.edge.shop.proxy import NOTHING, Errand, Proxy
from waitroom.edge.visitor import Desk
from waitroom.store.line import Line

log = structlog.get_logger()


class PlacesOrders(Protocol):
    """Who takes care of requests that place an order (`waitroom.edge.orders.placing`)."""

    def suspect(self, request: Request) -> Suspect | None: ...
    def place(
        self, request: Request, suspect: Suspect, begun_ms: int, pass_: Pass, fresh: Sequence[Header]
    ) -> Awaitable[None]: ...


class Passage:
    """`orders` is None where no route of orders is set: then a request costs no more than this look."""

    def __init__(
        self, line: Line, desk: Desk, proxy: Proxy, problems: Problems, flood: Flood, gauges: list[int]
    ) -> None:
        self.line = line
        self.desk = desk
        self.proxy = proxy
        self.problems = problems
        self.flood = flood
        self.commands = ShopCommands(line, desk)
        self.counts = line.counts
        self.gauges = gauges
        self.orders: PlacesOrders | None = None

    def forward(
        self,
        request: Request,
        begun_ms: int,
        pass_: Pass | None = None,
        fresh: Sequence[Header] = (),
        *,
        drop: frozenset[bytes] = NOTHING,
    ) -> Awaitable[None]:
        """Whose `pass_` it is gets it anew with the answer: `fresh`, or when it is due. `drop` as in `Errand`;
        `begun_ms` is when the request was begun with, in Redis time. What places an order goes another way.
        """
        if self.orders is not None and pass_ is not None:
            suspect = self.orders.suspect(request)
            if suspect is not None:
                return self.orders.place(request, suspect, begun_ms, pass_, fresh)
        errand = self.errand(request, begun_ms, pass_, fresh, drop=drop)
        return errand.go(lambda errand: self.finish(errand, request, pass_, fresh))

    def errand(
        self,
        request: Request,
        begun_ms: int,
        pass_: Pass | None = None,
        fresh: Sequence[Header] = (),
        *,
        drop: frozenset[bytes] = NOTHING,
        more: Sequence[Header] = (),
        held_ms: int = 0,
    ) -> Errand:
        """As `forward` makes it; `more` is for the shop, and the pass lasts `held_ms` at least."""
        to_origin: Sequence[Header] = more
        seen: Seen | None = None
        if pass_ is not None:
            to_origin = (*told_of(pass_), *more) if more else told_of(pass_)
            if not (fresh and pass_.provisional):  # the cookie has to come back first
                seen = self._seen(pass_)

        def to_client(status: int, headers: Sequence[Header], commands: Sequence[Header]) -> Sequence[Header]:
            """The shop's answer begins."""
            now_ms = int(self.line.now_ms())
            counts = self.counts
            counts[ORIGIN_ANSWERS_AT + status // 100] += 1
            observe(counts, FIRST_BYTE, now_ms - begun_ms)
            self.gauges[ORIGIN_OK_MS] = now_ms
            added = fresh
            if pass_ is not None and not (fresh and pass_.provisional):
                added = self.renewal(pass_, now_ms, status, headers, request, held_ms) or fresh
            return self.commands.heed(commands, pass_, added, secure=request.secure) if commands else added

        return Errand(
            self.proxy,
            request.scope,
            request.receive,
            request.send,
            client=request.client,
            to_origin=to_origin,
            to_client=to_client,
            drop=drop,
            seen=seen,
        )

    async def finish(self, errand: Errand, request: Request, pass_: Pass | None, fresh: Sequence[Header]) -> None:
        try:
            await errand.run()
        except OriginFailure as failure:
            await request.answer(self.after_failure(failure, request, pass_, fresh))

    def after_failure(
        self,
        failure: OriginFailure,
        request: Request,
        pass_: Pass | None = None,
        fresh: Sequence[Header] = (),
        held_ms: int = 0,
    ) -> Answer:
        """The pass outlives the shop's errors: what would have come with its answer comes with ours."""
        now_ms = int(self.line.now_ms())
        self.counts[ORIGIN_FAILURES[failure.kind]] += 1
        if failure.kind not in NOT_THE_SHOPS:
            self.gauges[ORIGIN_FAILED_MS] = now_ms
        if pass_ is not None and not fresh:
            fresh = self.renewal(pass_, now_ms, failure.status, (), request, held_ms)
        return self.failed(request, failure, *fresh)

    def failed(self, request: Request, failure: OriginFailure, *more: Header) -> Answer:
        """The public sentence; the cause is in the log under the same id."""
        asked = request.asked()
        log.warning("origin_failed", kind=failure.kind, cause=failure.detail, request_id=asked.request_id)
        status, headers, body = self.problems.origin_failed(asked, failure)
        return Answer(status, [*headers, *more], body)

    def renewal(
        self, pass_: Pass, now_ms: int, status: int, headers: Sequence[Header], request: Request, held_ms: int = 0
    ) -> Sequence[Header]:
        """The pass anew, where it is due and the answer this visitor's alone, or where it has to last: `held_ms`, or
        as long as payment may take if the answer sends the browser to another host.
        """
        if 300 <= status < 400 and leaves(headers, request.client):
            held_ms = max(held_ms, self.line.settings.payment_held)
        renewed = self.desk.renewal(pass_, now_ms, at_least_ms=held_ms)
        if renewed is None:
            return ()
        has_time = not (held_ms or pass_.provisional or self.desk.is_urgent(pass_, now_ms))
        if has_time and may_be_shared(headers, status):
            return ()
        self.line.renew(renewed.generation, renewed.place, renewed.end_ms, confirms=pass_.provisional)
        if pass_.provisional:
            self.flood.came_back(pass_.generation, pass_.place)
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


def told_of(pass_: Pass) -> Sequence[Header]:
    """What the shop is told of whoever holds this pass."""
    return ((b"waitroom-place", b"%d" % pass_.place), (b"waitroom-admitted-at", b"%d" % pass_.valid_from_ms))


def leaves(headers: Sequence[Header], client: Client) -> bool:
    """Whether a redirect goes to another host than the one the browser is on."""
    for name, value in headers:
        if name == b"location":
            rest = value.strip()
            if rest.startswith((b"/", b"?", b"#")) and not rest.startswith((b"//", b"/\\")):
                return False
            with suppress(ValueError):
                host = rest.partition(b"//")[2].partition(b"/")[0].partition(b"?")[0].partition(b"#")[0]
                return bool(host) and bare_host(host, client.scheme) != bare_host(client.host, client.scheme)
    return False
