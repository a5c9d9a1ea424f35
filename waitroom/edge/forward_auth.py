"""Forward auth: another proxy asks for each request whether it may go to the shop, and sends it there itself.

    GET /-/waitroom/auth             200: in. Anything else is the answer to give, whole: the waiting page with its
                                     ticket, a problem. The turn is taken here, and waited for if it is near. Any other
                                     query is the client's own, which some proxies leave there.
    GET /-/waitroom/auth?else=401    200: in. 401: not with a pass that is good now, and nothing was done about it: no
                                     number, no claim. The proxy then sends the request itself through this gateway.
    ... /-/waitroom/auth/<target>    as the first, for Envoy, which puts a prefix before the target and gives no answer
                                     of 500 or more to its client: here they are 429

It is the same gate; only what `Passage` would forward is answered 200, with what the shop and the browser have to get
(`Permit`). The request asked about is in X-Forwarded-Method and X-Forwarded-Uri, its Host in X-Forwarded-Host; all its
other fields come as they are. These fields decide what is judged. So only trusted proxies are heard, each field has to
be there once, and for anybody else there is no such route.
"""

import re
from collections.abc import Awaitable, Sequence
from typing import Final

from starlette.types import Message, Receive, Scope, Send

from waitroom.core.figures import REQUESTS
from waitroom.core.judge import Holds
from waitroom.core.requests import FRAMES, Header
from waitroom.core.seal import HEADER
from waitroom.core.sentences import N_
from waitroom.core.targets import Free, Guarded, Own
from waitroom.core.tokens import Pass
from waitroom.edge.answers import EMPTY, NO_STORE, Answer
from waitroom.edge.gate import Gate
from waitroom.edge.passage import Passage, told_of
from waitroom.edge.request import Request
from waitroom.edge.rooms import front_of
from waitroom.edge.shop.proxy import NOTHING
from waitroom.edge.wire.heads import REFUSED_METHODS

ROUTE: Final = b"/-/waitroom/auth"
ELSE_401: Final = b"?else=401"
METHOD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}")
NOT_IN: Final = Answer(401, [NO_STORE, EMPTY], b"")
NOT_SHARED: Final = frozenset((b"document", b"empty")) | FRAMES
"""What a browser asks for whose answer is seldom kept by shared caches; the rest are images, scripts, styles."""
MAY_BE_SHARED: Final = ((b"cache-control", b"public"),)


class Permit(Passage):
    """Says that the request may go on, with the fields that go along with it: `Waitroom-…` is for the shop, Set-Cookie
    for the browser, to be added to the shop's answer.
    """

    async def forward(
        self,
        request: Request,
        begun_ms: int,
        pass_: Pass | None = None,
        fresh: Sequence[Header] = (),
        *,
        drop: frozenset[bytes] = NOTHING,
    ) -> None:
        """What `drop` names the proxy has to drop."""
        scope = request.scope
        headers: Sequence[Header] = scope["headers"]
        to_origin: Sequence[Header] = ()
        if pass_ is not None:
            to_origin = told_of(pass_)
            if not fresh:
                fresh = self.renewal(pass_, begun_ms, 200, answer_of(headers), request)
        sign = self.proxy.headers.signature
        signature = sign(scope["method"], request.exchange.target, headers, request.client, to_origin)
        signed = ((HEADER, signature),) if signature else ()
        await request.answer(Answer(200, [NO_STORE, EMPTY, *to_origin, *signed, *fresh], b""))


class ForwardAuth:
    """The ASGI application of a worker whose gates may be asked: the gates, and before them the route."""

    def __init__(self, gates: Sequence[Gate]) -> None:
        self.gates = gates
        self.first = gates[0]
        self.front = front_of(gates)
        self.poll = self.front.poll
        self.permits = [permit_of(gate) for gate in gates]
        twins = [gate.with_passage(permit) for gate, permit in zip(gates, self.permits, strict=True)]
        self.asked = front_of(twins)
        self.rules = self.asked.rules

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        asked: bytes = scope["extensions"]["waitroom"].target
        if asked.startswith(ROUTE) and asked[len(ROUTE) : len(ROUTE) + 1] in (b"", b"?", b"/"):
            return self._answer(scope, receive, send, asked[len(ROUTE) :])
        return self.front(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, how: bytes) -> None:
        client = self.first.clients.of(scope)
        whole: bytes = scope["extensions"]["waitroom"].target
        if not client.trusted or not isinstance(self.rules.place(whole, client.host), Own):
            # The gate knows no such route. What is ours in some readings only, such as auth/../../../a, is no question
            # of the proxy's: a client sent it, and the proxy took it for another path.
            await self.front(scope, receive, send)
            return
        method, target, headers = read(scope, how)
        if target is None or METHOD.fullmatch(method) is None:
            here = Request(scope, receive, send, client)
            await here.answer(self.first.problems.bad_request(here.asked(), N_("It does not say what is asked about.")))
            return
        scope["extensions"]["waitroom"].target = target
        send = fitting(send, bodyless=method == b"HEAD" and scope["method"] != "HEAD", below_500=how.startswith(b"/"))
        scope = {**scope, "method": method.decode(), "headers": headers}
        request = Request(scope, receive, send, client)
        if how == ELSE_401:
            await self._tell(request)
        elif method in REFUSED_METHODS:
            await request.answer(self.first.problems.method_not_allowed(request.asked(), allow=()))
        elif isinstance(self.rules.place(target, client.host), Own):
            await request.answer(self.first.problems.not_found(request.asked()))
        else:
            await self.asked(scope, receive, send)

    async def _tell(self, request: Request) -> None:
        """In, or not. What may pass by another rule, and needs more than that, is not: it goes the other way."""
        match self.rules.place(request.exchange.target, request.client.host):
            case Free():
                await self.asked(request.scope, request.receive, request.send)
            case Guarded(rooms):
                passes = [self._pass(request, self.gates[room]) for room in rooms]
                if None in passes:
                    await request.answer(NOT_IN)
                elif len(rooms) > 1:
                    await self.asked(request.scope, request.receive, request.send)
                else:
                    line = self.gates[rooms[0]].line
                    line.counts[REQUESTS["pass"]] += 1
                    await self.permits[rooms[0]].forward(request, int(line.now_ms()), passes[0])
            case _:
                await request.answer(NOT_IN)

    def _pass(self, request: Request, gate: Gate) -> Pass | None:
        """The pass of a room, if it is good now."""
        line, now_ms = gate.line, int(gate.line.now_ms())
        visitor = gate.desk.read(request.scope["headers"], secure=request.secure, snapshot=line.snapshot, now_ms=now_ms)
        pass_ = visitor.pass_
        return pass_ if visitor.holds is Holds.PASS and pass_ is not None and pass_.valid_from_ms <= now_ms else None


def permit_of(gate: Gate) -> Permit:
    to_shop = gate.passage
    return Permit(gate.line, gate.desk, gate.proxy, gate.problems, to_shop.flood, to_shop.gauges)


def read(scope: Scope, how: bytes) -> tuple[bytes, bytes | None, list[Header]]:
    """(method, target, fields) of the request that is asked about; no target if it is not said, or more than once."""
    headers: list[Header] = []
    methods: list[bytes] = []
    targets: list[bytes] = []
    host = upgrade = b""
    is_websocket = False
    for name, value in scope["headers"]:
        if name == b"x-forwarded-method":
            methods.append(value)
        elif name == b"x-forwarded-uri":
            targets.append(value)
        elif name == b"host":
            host = host or value
        else:
            headers.append((name, value))
            if name == b"x-forwarded-host":
                host = value.rpartition(b",")[2].strip() or host
            elif name == b"upgrade":
                upgrade = value
            elif name == b"sec-websocket-key":
                is_websocket = True
    if host:
        headers.append((b"host", host))
    if is_websocket and not upgrade:  # which ended at the proxy
        headers += ((b"upgrade", b"websocket"), (b"connection", b"upgrade"))
    if how.startswith(b"/"):
        return scope["method"].encode(), how, headers
    if len(methods) != 1 or len(targets) != 1:
        return b"", None, headers
    return methods[0], targets[0], headers


def answer_of(headers: Sequence[Header]) -> Sequence[Header]:
    """As much as is known of the shop's answer: whether it is one that a shared cache may keep."""
    dest = next((value for name, value in headers if name == b"sec-fetch-dest"), b"empty")
    return () if dest in NOT_SHARED else MAY_BE_SHARED


def fitting(send: Send, *, bodyless: bool, below_500: bool) -> Send:
    """`bodyless`: to HEAD, where GET was asked, so that a length would be missed. `below_500`: else it is 429."""
    if not bodyless and not below_500:
        return send

    async def send_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            fields, status = message["headers"], message["status"]
            if bodyless:
                fields = [field for field in fields if field[0] != b"content-length"]
            if below_500 and status >= 500:
                status = 429
            message = {**message, "headers": fields, "status": status}
        await send(message)

    return send_on
