"""One request to the shop and its answer back.

Bytes pass as they came, but for the table of `waitroom.edge.shop.headers`. Both ways stream; what is
held is bounded; whoever is slow slows the other side down. Nothing is sent to the shop twice, but
for GET, HEAD and OPTIONS on a reused connection that closed before the first byte of an answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence, Set
from typing import NamedTuple, Protocol

import structlog
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from waitroom.core.errors import OriginFailure
from waitroom.core.requests import Header
from waitroom.core.settings import Settings
from waitroom.edge.clients import Client
from waitroom.edge.shop.answer import Answer
from waitroom.edge.shop.connection import Connection, Seen
from waitroom.edge.shop.framing import ClientSide, Framing, Phase
from waitroom.edge.shop.headers import Body, HeaderTable, RequestHead, ToClient
from waitroom.edge.shop.origin import OriginPool
from waitroom.edge.shop.tunnel import Tunnels, Upgradable, protocols_agreed, protocols_asked
from waitroom.edge.wire.exchange import DONE

WITHOUT_TASK = frozenset(("GET", "HEAD"))
SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
UPGRADABLE = frozenset(("GET", "POST"))  # not OPTIONS: a preflight needs no pass
NOTHING: frozenset[bytes] = frozenset()


class Exchange(ClientSide, Upgradable, Protocol):
    """The client's end, from `scope["extensions"]["waitroom"]`."""

    upgrade: bool
    in_task: bool

    def on_lost(self, callback: Callable[[], None]) -> None: ...
    @property
    def can_answer(self) -> bool: ...
    def answer(self, status: int, headers: Sequence[Header], body: bytes) -> None: ...
    def answer_sized(self, status: int, headers: Sequence[Header], body: bytes) -> None: ...
    def attempt(self, step: Callable[[], Awaitable[None]]) -> None: ...


class Outcome(NamedTuple):
    """How an exchange ended whose failure can no longer be told to the client.

    `status` is 0 if the client left before the shop answered. `commands` are the shop's `Waitroom-*` fields.
    """

    status: int
    whole: bool
    left: bool
    commands: tuple[Header, ...] = ()


log = structlog.get_logger()

GONE = Outcome(0, False, True)
NO_BODY, LENGTH = Body.NONE, Framing.LENGTH  # a name of the module is looked up faster than an Enum's member


class Proxy:
    """Forwards requests to the shop. One per worker."""

    def __init__(self, settings: Settings, pool: OriginPool) -> None:
        self.headers = HeaderTable(settings)
        self.pool = pool
        self.retry = settings.retry
        self.tunnels = Tunnels(idle_s=settings.tunnel_idle / 1000, seen_every_s=pool.limits.seen_s)


class Errand:
    """One request to the shop, and its answer back.

    A request without a body whose answer comes in one piece costs neither a task nor a future: `go`. Everything else
    is `run`'s, which goes on from wherever that came to.
    """

    __slots__ = (
        "_answer",
        "_asked",
        "_client",
        "_connection",
        "_drop",
        "_exchange",
        "_finish",
        "_head",
        "_method",
        "_proxy",
        "_receive",
        "_scope",
        "_seen",
        "_send",
        "_to_client",
        "_to_origin",
        "outcome",
    )

    def __init__(
        self,
        proxy: Proxy,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        client: Client,
        to_origin: Sequence[Header] = (),
        to_client: ToClient = (),
        drop: Set[bytes] = NOTHING,
        seen: Seen | None = None,
    ) -> None:
        """`to_origin` is added for the shop, `to_client` for the client; `drop` names more request fields to leave
        out, in any spelling of `-` and `_` (`REWRITES`, a secret header). `seen` is called from time to time while
        the exchange lasts; False ends an upgraded connection.
        """
        self._proxy, self._scope, self._receive, self._send = proxy, scope, receive, send
        self._client, self._to_origin, self._to_client, self._drop, self._seen = (
            client,
            to_origin,
            to_client,
            drop,
            seen,
        )
        self._exchange: Exchange = scope["extensions"]["waitroom"]
        self._method: str = scope["method"]
        self._asked = b""
        self._head: RequestHead | None = None
        self._connection: Connection
        self._answer: Answer | None = None
        self._finish: Finish
        self.outcome: Outcome | None = None

    def go(self, finish: "Finish") -> Awaitable[None]:
        """Do what needs no waiting. `finish` gives what has to be awaited else: it awaits `run`."""
        exchange, pool = self._exchange, self._proxy.pool
        if self._method in WITHOUT_TASK and not (exchange.in_task or exchange.upgrade or exchange.peer_lost):
            try:
                head = self._prepare()
            except OriginFailure:
                return finish(self)  # `run` meets it again
            connection = pool.take(pool.limits.keep_s) if head.body is NO_BODY else None
            if connection is not None:
                self._finish = finish
                self._ask(connection, head).tell(self._hear)
                return DONE
        return finish(self)

    async def run(self) -> Outcome:
        """Answer the request from the shop, to the end. Raises OriginFailure as long as nothing was sent to the client;
        after that a failure breaks the client's connection.
        """
        self.outcome = outcome = await self._run()
        return outcome

    def _prepare(self) -> RequestHead:
        scope, exchange, to_origin = self._scope, self._exchange, self._to_origin
        if exchange.upgrade and exchange.can_hijack and self._method in UPGRADABLE:
            self._asked = asked = protocols_asked(scope["headers"])
            if asked:
                self._proxy.tunnels.refuse_if_full()
                to_origin = (*to_origin, (b"connection", b"Upgrade"), (b"upgrade", asked))
        self._head = head = self._proxy.headers.request(
            self._method,
            exchange.target,
            scope["http_version"],
            scope["headers"],
            self._client,
            to_origin=to_origin,
            drop=self._drop,
        )
        return head

    def _ask(self, connection: Connection, head: RequestHead) -> Answer:
        loop = self._proxy.pool.loop
        self._connection = connection
        self._answer = answer = Answer(loop, self._exchange, self._method == "HEAD")
        self._exchange.on_lost(answer.leave)
        if head.expects:
            answer.go_ahead = loop.create_future()  # the shop may tell it before anybody waits for it
        connection.ask(answer, head.head, whole=head.body is NO_BODY, seen=self._seen)
        return answer

    def _hear(self) -> None:
        """There is news of the answer that `go` asked for."""
        if self._exchange.peer_lost:
            assert self._answer is not None
            self._connection.leave(self._answer)
            self.outcome = GONE
        else:
            self._exchange.attempt(self._answer_whole)

    def _answer_whole(self) -> Awaitable[None]:
        connection, answer, exchange = self._connection, self._answer, self._exchange
        assert answer is not None
        if not answer.done or answer.status == 101 or not exchange.can_answer:
            return self._finish(self)
        try:
            headers, commands = self._translate(answer)
            send = exchange.answer_sized if answer.framing is LENGTH else exchange.answer
            send(answer.status, headers, answer.take())
        finally:
            connection.leave(answer)
        self.outcome = Outcome(answer.status, True, False, commands)
        return DONE

    async def _run(self) -> Outcome:
        pool, exchange = self._proxy.pool, self._exchange
        head = self._head or self._prepare()
        whole = head.body is NO_BODY
        safe = self._method in SAFE and whole
        answer = self._answer
        if answer is None:
            connection = pool.take(pool.limits.keep_s if safe else pool.limits.fresh_s) or await pool.open()
            if exchange.peer_lost:
                pool.give_back(connection)
                return GONE
            answer = self._ask(connection, head)
        while True:
            connection = self._connection
            upload = None if whole else pool.loop.create_task(self._upload(connection, answer, head))
            try:
                if not (answer.headed or answer.over):
                    await answer.news()
                if answer.status == 101 and not answer.failed:
                    return await self._switch(connection, answer)
                if not answer.failed:
                    return await self._relay(connection, answer)
                if answer.left:
                    return GONE
                died_idle = answer.fault == "reset" and connection.used and not answer.heard
                if not (died_idle and safe and self._proxy.retry):
                    raise failure_of(answer)
            finally:
                connection.leave(answer)
                if upload is not None:
                    upload.cancel()
            answer = self._ask(await pool.open(), head)
            safe = False  # once

    def _translate(self, answer: Answer) -> tuple[list[Header], tuple[Header, ...]]:
        """The head for the client, and the shop's commands."""
        return self._proxy.headers.answer(answer.status, answer.http_version, answer.headers, self._to_client)

    async def _relay(self, connection: Connection, answer: Answer) -> Outcome:
        """Send the answer's head, which is here, and the body as it comes."""
        send, status = self._send, answer.status
        headers, commands = self._translate(answer)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if not answer.done and not answer.buffered:
            # ASGI lets a server hold the head back until a piece of body: this one lets it go.
            await send({"type": "http.response.body", "body": b"", "more_body": True})
        while not answer.done:
            body = answer.take()
            if body:
                answer.wait_for(Phase.CLIENT)
                await send({"type": "http.response.body", "body": body, "more_body": True})
                answer.wait_for(Phase.BODY)
                if not answer.over:
                    connection.resume()
            if answer.failed:
                return self._break_off(answer, commands)
            if not answer.over:
                await answer.news()
        answer.wait_for(Phase.CLIENT)
        await send({"type": "http.response.body", "body": answer.take(), "more_body": False})
        return Outcome(status, True, False, commands)

    async def _switch(self, connection: Connection, answer: Answer) -> Outcome:
        """Both sides speak another protocol from here on."""
        agreed = protocols_agreed(self._asked, answer.headers)
        headers, commands = self._translate(answer)
        headers += ((b"connection", b"Upgrade"), (b"upgrade", agreed))
        head = b"".join(b"%b: %b\r\n" % field for field in headers)
        first = STATUS_LINE[101] + head + b"\r\n" + answer.take()
        await self._proxy.tunnels.join(self._exchange, connection, first, self._seen)
        return Outcome(101, True, False, commands)

    def _break_off(self, answer: Answer, commands: tuple[Header, ...]) -> Outcome:
        """The answer will never be whole: only a broken connection says so honestly."""
        if not answer.left:
            log.warning("answer_cut", kind=answer.fault, detail=answer.detail, status=answer.status)
            answer.abort()
        return Outcome(answer.status, False, answer.left, commands)

    async def _upload(self, connection: Connection, answer: Answer, head: RequestHead) -> None:
        """Send the request's body on as it comes, until it ends or the answer does."""
        if answer.go_ahead is not None and not await self._is_told_to_go_on(answer, answer.go_ahead):
            return
        chunked = head.body is Body.CHUNKED
        more = True
        fresh_bytes = enough = self._proxy.pool.limits.upload_bytes
        while more and connection.answer is answer:
            if not answer.headed:
                answer.phase = Phase.UPLOAD
                if fresh_bytes >= enough:  # a byte now and then is no progress
                    fresh_bytes = answer.quiet = 0
            message = await self._receive()
            if connection.answer is not answer:
                return
            if message["type"] == "http.disconnect":
                answer.leave()
                return
            data: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            fresh_bytes += len(data)
            if chunked:
                data = (b"%x\r\n%b\r\n" % (len(data), data) if data else b"") + (b"" if more else b"0\r\n\r\n")
            writable = connection.send_body(data, last=not more)
            if not answer.headed and (writable is not None or not more):
                answer.wait_for(Phase.HEAD)
            if writable is not None and more:
                await writable
                fresh_bytes = enough  # it was the shop that took its time

    async def _is_told_to_go_on(self, answer: Answer, go_ahead: asyncio.Future[None]) -> bool:
        """Wait for the shop's `100 Continue`, a little: not every server sends one (RFC 9110 §10.1.1)."""
        await asyncio.wait((go_ahead,), timeout=self._proxy.pool.limits.go_ahead_s)
        return not answer.headed and not answer.over


Finish = Callable[[Errand], Awaitable[None]]
"""Holds no errand: the two would live until the collector runs."""


def failure_of(answer: Answer) -> OriginFailure:
    """Why there is no answer to send. Once asked, nobody can say that the shop got nothing."""
    return OriginFailure(answer.fault or "reset", answer.detail, sent=True)
