"""One request and its answer: ASGI's receive and send, and how messages become bytes.

`Cycle` frames the answer itself: lengths, chunks, or a close, so that `transfer-encoding` and `connection` of an app
count only as wishes. What it refuses: a header that would split the answer (RFC 9112 §11.1), a body that does not
match its length.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import structlog
from starlette.types import ASGIApp, Message, Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from waitroom.core.figures import ANSWERS_AT
from waitroom.edge.wire.exchange import DONE, Exchange

if TYPE_CHECKING:
    from waitroom.edge.wire.connection import EdgeProtocol

log = structlog.get_logger()

BODYLESS: Final = frozenset((204, 304))
FRAMING: Final = frozenset((b"content-length", b"connection", b"transfer-encoding"))
HIGH_WATER_BYTES: Final = 65_536


class Cycle:
    """ASGI's receive and send for one request."""

    __slots__ = (
        "bodyless",
        "buffered_bytes",
        "chunked",
        "chunks",
        "disconnected",
        "exchange",
        "expects_continue",
        "head",
        "headers",
        "keep_alive",
        "left_bytes",
        "method",
        "more_body",
        "news",
        "protocol",
        "raw",
        "response_complete",
        "response_started",
        "target",
        "upgrade",
        "version",
        "waiter",
    )

    def __init__(
        self,
        protocol: "EdgeProtocol",
        method: str,
        target: bytes,
        version: str,
        headers: list[tuple[bytes, bytes]],
        *,
        keep_alive: bool,
        upgrade: bool,
    ) -> None:
        self.protocol = protocol
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        self.keep_alive = keep_alive
        self.upgrade = upgrade
        self.exchange: Exchange | None = None
        self.expects_continue = False
        self.disconnected = False
        self.chunks: list[bytes] | None = None
        self.buffered_bytes = 0
        self.more_body = True
        self.news = False
        self.waiter: asyncio.Future[None] | None = None
        self.response_started = False
        self.response_complete = False
        self.head = b""
        self.bodyless = False
        self.chunked = False
        self.raw = False
        self.left_bytes = 0

    def answer_at_once(self) -> bool:
        """Whether this was a poll, whose answer is sent: the request is over without an app, a scope or a task."""
        protocol = self.protocol
        poll = protocol.edge.poll
        if poll is None or self.method != "GET" or protocol.lost or protocol.flow.write_paused:
            return False
        client = protocol.client
        try:
            answer = poll(self.target, self.headers, protocol.scheme or "", client[0] if client else "")
        except Exception:
            log.exception("request_failed", method=self.method)
            return False
        if answer is None:
            return False
        lines, body = answer
        self.answer(200, lines, body)
        return True

    def open(self) -> Scope:
        """The scope for the app, which is to be called now."""
        scope = self.protocol.scope_of(self.method, self.version, self.target, self.headers)
        self.exchange = Exchange(self.protocol, self.target, self.version, upgrade=self.upgrade)
        scope["extensions"] = {"waitroom": self.exchange}
        return scope

    async def call(self, app: ASGIApp) -> None:
        """In a task, where the app may not return `DONE`."""
        scope = self.open()
        scope["extensions"]["waitroom"].in_task = True
        await app(scope, self.receive, self.send)

    def attempt(self, step: Callable[..., Awaitable[None]], *given: object) -> None:
        """Do now what needs no waiting: most requests of a gate cost no task."""
        try:
            rest = step(*given)
        except Exception as error:  # noqa: BLE001 - raised again where it is awaited
            rest = failed(error)
        if rest is not DONE:
            self.protocol.spawn(self.run(rest))

    async def run(self, rest: Awaitable[None]) -> None:
        """Await the app; whatever it does, the client gets an answer or a broken connection, never a half one."""
        if self.exchange is not None:
            self.exchange.in_task = True
        try:
            await rest
        except asyncio.CancelledError:
            self.protocol.break_off()
            raise
        except Exception:
            log.exception("request_failed", method=self.method)
            await self.fail()
        else:
            if not self.response_complete and not self.disconnected:
                log.error("answer_incomplete", method=self.method)
                await self.fail()

    async def fail(self) -> None:
        if self.disconnected or self.response_complete:
            return
        if self.response_started:
            self.protocol.break_off()
            return
        text = b"Internal Server Error"
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(text)),
            (b"cache-control", b"private, no-store"),
        ]
        self.keep_alive = False
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": text})

    def lose(self) -> None:
        """The client is gone: receive says so, send does nothing any more."""
        self.disconnected = True
        self.wake()
        if self.exchange is not None:
            self.exchange.tell_lost()

    def wake(self) -> None:
        self.news = True
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def take(self, body: bytes) -> None:
        if self.chunks is None:
            self.chunks = [body]
        else:
            self.chunks.append(body)
        self.buffered_bytes += len(body)
        self.wake()

    async def receive(self) -> Message:
        if self.expects_continue:
            self.expects_continue = False
            if not self.disconnected and self.more_body:
                self.protocol.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self.disconnected and not self.response_complete:
            self.protocol.flow.resume_reading()
            while not self.news:
                self.waiter = self.protocol.loop.create_future()
                try:
                    await self.waiter
                finally:
                    self.waiter = None
            self.news = False
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        chunks = self.chunks
        if chunks is None:
            return {"type": "http.request", "body": b"", "more_body": self.more_body}
        self.chunks = None
        self.buffered_bytes = 0
        return {"type": "http.request", "body": b"".join(chunks), "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        flow = self.protocol.flow
        if flow.write_paused and not self.disconnected:
            await flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            if message["type"] != "http.response.start":
                raise RuntimeError(f"expected http.response.start, got {message['type']}")
            self.start(message["status"], message.get("headers", ()))
        elif not self.response_complete:
            if message["type"] != "http.response.body":
                raise RuntimeError(f"expected http.response.body, got {message['type']}")
            more = message.get("more_body", False)
            self.write(message.get("body", b""), more=more)
            if more and flow.write_paused:
                await flow.drain()  # here, and not with the next piece in hand
        else:
            raise RuntimeError(f"got {message['type']} after the answer was whole")

    def start(self, status: int, headers: Any) -> None:
        lines = [STATUS_LINE[status]]
        count = 2
        length: int | None = None
        if self.more_body or self.protocol.edge.draining:
            # The rest of the body would be read as the next request (RFC 9112 §9.6).
            self.keep_alive = False
        for name, value in headers:
            name = name.lower()
            if name in FRAMING:
                if name != b"content-length":
                    if name == b"connection" and b"close" in value.lower():
                        self.keep_alive = False
                    continue
                if length is not None:
                    raise RuntimeError("an answer has one content-length")
                length = int(value)
            lines += (name, b": ", value, b"\r\n")
            count += 1

        self.bodyless = status in BODYLESS or self.method == "HEAD"
        self.left_bytes = 0 if self.bodyless or length is None else length
        self.raw = self.chunked = False
        if not self.bodyless and length is None:
            if self.version == "1.0":
                self.raw = True
                self.keep_alive = False
            else:
                self.chunked = True
                lines.append(b"transfer-encoding: chunked\r\n")
                count += 1
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
            count += 1
        lines.append(b"\r\n")
        head = b"".join(lines)
        if head.count(b"\n") != count or head.count(b"\r") != count or b"\0" in head:
            raise RuntimeError("a header of the answer holds a line break")
        self.protocol.edge.counts[ANSWERS_AT + status // 100] += 1
        self.response_started = True
        self.expects_continue = False
        self.head = head  # goes with the first piece of body, as ASGI has it: one write instead of two

    def answer(self, status: int, lines: bytes, body: bytes, rest: bytes = b"") -> None:
        """A whole answer at once, whose header `lines` were put together before: each is one line, none is about
        framing. `status` is one that has a body; where a `rest` follows, neither is copied.
        """
        protocol = self.protocol
        if self.more_body or protocol.edge.draining:
            self.keep_alive = False
        end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        head = b"%b%bcontent-length: %d\r\n%b" % (STATUS_LINE[status], lines, len(body) + len(rest), end)
        protocol.edge.counts[ANSWERS_AT + status // 100] += 1
        self.response_started = self.response_complete = True
        self.expects_continue = False
        if self.method == "HEAD":
            protocol.transport.write(head)
        elif rest:
            protocol.transport.writelines((head, body, rest))
        else:
            protocol.transport.write(head + body)
        self.wake()
        protocol.answered(self)

    def write(self, body: bytes, *, more: bool) -> None:
        head, self.head = self.head, b""
        if self.bodyless:
            body = b""
        elif self.chunked:
            if body:
                body = b"%x\r\n%b%b" % (len(body), body, b"\r\n" if more else b"\r\n0\r\n\r\n")
            elif not more:
                body = b"0\r\n\r\n"
        elif body and not self.raw:
            self.left_bytes -= len(body)
            if self.left_bytes < 0:
                raise RuntimeError("the answer is longer than its content-length")
        if head or body:
            self.protocol.transport.write(head + body if head else body)
        if not more:
            if self.left_bytes:
                raise RuntimeError("the answer is shorter than its content-length")
            self.response_complete = True
            self.wake()
            self.protocol.answered(self)


async def failed(error: Exception) -> None:
    raise error
