"""One request to the shop and its answer back.

Bytes pass as they came, but for the table of `waitroom.edge.headers`. Both ways stream; what is
held is bounded; whoever is slow slows the other side down. Nothing is sent to the shop twice, but
for GET, HEAD and OPTIONS on a reused connection that closed before the first byte of an answer.
"""

import asyncio
from collections.abc import Callable, Sequence, Set
from typing import NamedTuple, Protocol

import structlog
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from waitroom.core.errors import OriginFailure
from waitroom.core.settings import Settings
from waitroom.edge.answer import Answer, ClientSide, Phase
from waitroom.edge.clients import Client
from waitroom.edge.cookies import Header
from waitroom.edge.headers import Body, HeaderTable, RequestHead
from waitroom.edge.origin import Connection, OriginPool, Seen
from waitroom.edge.tunnel import Tunnels, Upgradable, protocols_agreed, protocols_asked

SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
UPGRADABLE = frozenset(("GET", "POST"))  # not OPTIONS: a preflight needs no pass
NOTHING: frozenset[bytes] = frozenset()

# What to add to an answer: fields, or a function of its status and header as the shop sent them.
ToClient = Sequence[Header] | Callable[[int, Sequence[Header]], Sequence[Header]]


class Exchange(ClientSide, Upgradable, Protocol):
    """The client's end, from `scope["extensions"]["waitroom"]`."""

    def on_lost(self, callback: Callable[[], None]) -> None: ...


class Outcome(NamedTuple):
    """How an exchange ended whose failure can no longer be told to the client.

    `status` is 0 if the client left before the shop answered. `commands` are the shop's `Waitroom-*` fields.
    """

    status: int
    whole: bool
    left: bool
    commands: tuple[Header, ...] = ()


GONE = Outcome(0, False, True)
NO_BODY = Body.NONE


class Proxy:
    """Forwards requests to the shop. One per worker."""

    def __init__(self, settings: Settings, pool: OriginPool) -> None:
        self.headers = HeaderTable(settings)
        self._pool = pool
        self._retry = settings.retry
        self.tunnels = Tunnels(idle_s=settings.tunnel_idle / 1000, seen_every_s=pool.limits.seen_s)
        self._log = structlog.get_logger()

    async def forward(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        client: Client,
        to_origin: Sequence[Header] = (),
        to_client: ToClient = (),
        drop: Set[bytes] = NOTHING,
        seen: Seen | None = None,
    ) -> Outcome:
        """Answer the request from the shop.

        `to_origin` is added for the shop, `to_client` for the client; `drop` names more request fields to leave
        out, in any spelling of `-` and `_` (`REWRITES`, a secret header). `seen` is called from time to time while
        the exchange lasts; False ends an upgraded connection. Raises OriginFailure as long as nothing was sent to the
        client; after that a failure breaks the client's connection.
        """
        exchange: Exchange = scope["extensions"]["waitroom"]
        method: str = scope["method"]
        asked = b""
        if exchange.can_hijack and method in UPGRADABLE and (asked := protocols_asked(scope["headers"])):
            self.tunnels.refuse_if_full()
            to_origin = (*to_origin, (b"connection", b"Upgrade"), (b"upgrade", asked))
        request = self.headers.request(
            method, exchange.target, scope["http_version"], scope["headers"], client, to_origin=to_origin, drop=drop
        )
        pool = self._pool
        whole = request.body is NO_BODY
        safe = method in SAFE and whole
        connection = pool.take(pool.limits.keep_s if safe else pool.limits.fresh_s) or await pool.open()
        while True:
            if exchange.peer_lost:
                pool.give_back(connection)
                return GONE
            answer = Answer(pool.loop, exchange, method == "HEAD")
            exchange.on_lost(answer.leave)
            reused = connection.used
            if request.expects:
                answer.go_ahead = pool.loop.create_future()  # the shop may tell it before anybody waits for it
            connection.ask(answer, request.head, whole=whole, seen=seen)
            upload = None if whole else pool.loop.create_task(self._upload(receive, connection, answer, request))
            try:
                await answer.news()
                if answer.status == 101 and not answer.failed:
                    return await self._switch(exchange, connection, answer, asked, to_client, seen)
                if not answer.failed:
                    return await self._relay(connection, answer, send, to_client)
                if answer.left:
                    return GONE
                died_idle = answer.fault == "reset" and reused and not answer.heard
                if not (died_idle and safe and self._retry):
                    raise failure_of(answer)
            finally:
                connection.leave(answer)
                if upload is not None:
                    upload.cancel()
            connection = await pool.open()
            safe = False  # once

    async def _relay(self, connection: Connection, answer: Answer, send: Send, to_client: ToClient) -> Outcome:
        """Send the answer's head, which is here, and the body as it comes."""
        status = answer.status
        added = to_client(status, answer.headers) if callable(to_client) else to_client
        headers, commands = self.headers.answer(status, answer.http_version, answer.headers, added)
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

    async def _switch(
        self,
        exchange: Exchange,
        connection: Connection,
        answer: Answer,
        asked: bytes,
        to_client: ToClient,
        seen: Seen | None,
    ) -> Outcome:
        """Both sides speak another protocol from here on."""
        agreed = protocols_agreed(asked, answer.headers)
        added = to_client(101, answer.headers) if callable(to_client) else to_client
        headers, commands = self.headers.answer(101, answer.http_version, answer.headers, added)
        headers += ((b"connection", b"Upgrade"), (b"upgrade", agreed))
        head = b"".join(b"%b: %b\r\n" % field for field in headers)
        await self.tunnels.join(exchange, connection, STATUS_LINE[101] + head + b"\r\n" + answer.take(), seen)
        return Outcome(101, True, False, commands)

    def _break_off(self, answer: Answer, commands: tuple[Header, ...]) -> Outcome:
        """The answer will never be whole: only a broken connection says so honestly."""
        if not answer.left:
            self._log.warning("answer_cut", kind=answer.fault, detail=answer.detail, status=answer.status)
            answer.abort()
        return Outcome(answer.status, False, answer.left, commands)

    async def _upload(self, receive: Receive, connection: Connection, answer: Answer, request: RequestHead) -> None:
        """Send the request's body on as it comes, until it ends or the answer does."""
        if answer.go_ahead is not None and not await self._is_told_to_go_on(answer, answer.go_ahead):
            return
        chunked = request.body is Body.CHUNKED
        more = True
        fresh_bytes = enough = self._pool.limits.upload_bytes
        while more and connection.answer is answer:
            if not answer.headed:
                answer.phase = Phase.UPLOAD
                if fresh_bytes >= enough:  # a byte now and then is no progress
                    fresh_bytes = answer.quiet = 0
            message = await receive()
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
        await asyncio.wait((go_ahead,), timeout=self._pool.limits.go_ahead_s)
        return not answer.headed and not answer.over


def failure_of(answer: Answer) -> OriginFailure:
    """Why there is no answer to send. Once asked, nobody can say that the shop got nothing."""
    return OriginFailure(answer.fault or "reset", answer.detail, sent=True)
