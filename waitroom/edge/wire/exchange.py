"""One request on its connection, and its answer: ``scope["extensions"]["waitroom"]``.

By it an app may answer without a task, hear of a lost client, take the connection over, or break it. The framing of an
answer is done here: lengths, chunks, or a close, so that `transfer-encoding` and `connection` of an app count only as
wishes. What is refused: a header that would split the answer (RFC 9112 §11.1), a body that does not match its length.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from waitroom.core.figures import ANSWERS_AT
from waitroom.core.requests import Header, joined
from waitroom.edge.wire.hijack import can_hijack, hijack

if TYPE_CHECKING:
    from waitroom.edge.wire.connection import EdgeProtocol

log = structlog.get_logger()

BODYLESS: Final = frozenset((204, 304))
FRAMING: Final = frozenset((b"content-length", b"connection", b"transfer-encoding"))
LAST: Final = b"connection: close\r\n\r\n"
NUL: Final = 0  # in bytes a number is found at once
NO_LINGER: Final = struct.pack("ii", 1, 0)


class Done:
    """Awaited at once. An app that returns it from its call has answered, or will by a callback: it needs no task."""

    def __await__(self) -> Generator[Any, Any, None]:
        return
        yield


DONE: Final = Done()


class Exchange:
    """One request and its answer.

    `target` is the request target exactly as received: absolute form, an empty query, a fragment and all. `in_task` is
    false as long as the app may return `DONE`.
    """

    __slots__ = (
        "bodyless",
        "buffered_bytes",
        "chunked",
        "chunks",
        "disconnected",
        "expects_continue",
        "head",
        "headers",
        "http_version",
        "in_task",
        "keep_alive",
        "left_bytes",
        "lost_callbacks",
        "method",
        "more_body",
        "news",
        "protocol",
        "raw",
        "response_complete",
        "response_started",
        "target",
        "upgrade",
        "waiter",
    )

    def __init__(
        self,
        protocol: "EdgeProtocol",
        method: str,
        target: bytes,
        http_version: str,
        headers: list[Header],
        *,
        keep_alive: bool,
        upgrade: bool,
    ) -> None:
        self.protocol = protocol
        self.method = method
        self.target = target
        self.http_version = http_version
        self.headers = headers
        self.keep_alive = keep_alive
        self.upgrade = upgrade
        self.more_body = True
        self.in_task = self.expects_continue = self.disconnected = self.news = False
        self.response_started = self.response_complete = self.raw = False
        self.chunks: list[bytes] | None = None
        self.buffered_bytes = 0
        self.waiter: asyncio.Future[None] | None = None
        self.lost_callbacks: list[Callable[[], None]] | None = None
        # Of an answer in several pieces; `start` sets the others.
        self.head = b""

    # The client.

    @property
    def peer_lost(self) -> bool:
        """The client's connection is gone, also where data stands behind this request."""
        return self.protocol.lost

    @property
    def is_body_coming(self) -> bool:
        """The client is sending a body, not all of which is here. Not where it first asks to be told to."""
        return self.more_body and self.protocol.running is self and not self.expects_continue

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, from the loop, when the client's connection is lost before the answer is whole.

        Called at once (by the loop) if it is lost already. After `hijack` the new protocol is told instead.
        """
        if self.protocol.lost:
            self.protocol.loop.call_soon(callback)
        elif self.lost_callbacks is None:
            self.lost_callbacks = [callback]
        else:
            self.lost_callbacks.append(callback)

    def lose(self) -> None:
        """The client is gone: receive says so, send does nothing any more."""
        self.disconnected = True
        self.wake()
        for callback in self.lost_callbacks or ():
            self.protocol.loop.call_soon(callback)
        self.lost_callbacks = None

    def wake(self) -> None:
        self.news = True
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def abort(self) -> None:
        """Break the connection now: the only honest error after the first byte of an answer."""
        self.protocol.break_off()

    @property
    def can_hijack(self) -> bool:
        """This request asked for an upgrade, has no body, and nothing was answered yet."""
        return self.upgrade and can_hijack(self.protocol, self)

    def hijack(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        """Give the client's connection to `protocol` (RFC 9110 §7.8); the caller writes the 101 head itself.

        `protocol` gets `connection_made`, then at once the bytes that already came behind the request. The app
        stays in its call while the tunnel lives, so that a stopping server waits for it. RuntimeError if
        `can_hijack` is false.
        """
        return hijack(self.protocol, self, protocol)

    # The work.

    def attempt(self, step: Callable[..., Awaitable[None]], *given: object) -> None:
        """Do now what needs no waiting: most requests of a gate cost no task. What `step` leaves to be awaited becomes
        one. By this a request goes on for which `DONE` was returned, too.
        """
        try:
            rest = step(*given)
        except Exception as error:  # noqa: BLE001 - raised again where it is awaited
            rest = failed(error)
        if rest is not DONE:
            self.protocol.spawn(self.run(rest))

    async def run(self, rest: Awaitable[None]) -> None:
        """Await the app; whatever it does, the client gets an answer or a broken connection, never a half one."""
        self.in_task = True
        try:
            await rest
        except asyncio.CancelledError:
            self.protocol.break_off()
            raise
        except Exception:
            log.exception("request_failed", method=self.method)
            self.fail()
        else:
            if not self.response_complete and not self.disconnected:
                log.error("answer_incomplete", method=self.method)
                self.fail()

    def fail(self) -> None:
        if self.disconnected or self.response_complete:
            return
        if self.response_started:
            self.protocol.break_off()
            return
        self.keep_alive = False
        lines = b"content-type: text/plain; charset=utf-8\r\ncache-control: private, no-store\r\n"
        self.answer_ready(500, lines, b"Internal Server Error")

    # The answer.

    @property
    def can_answer(self) -> bool:
        """`answer` may be called: outside of a task, before anything else was answered, with a client that reads."""
        protocol = self.protocol
        return not (
            self.in_task
            or self.response_started
            or protocol.running is not self
            or protocol.lost
            or protocol.flow.write_paused
        )

    def answer(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        """The whole answer, without waiting."""
        self.start(status, headers)
        self.write(body, more=False)

    def answer_sized(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        """`answer` to a GET, of a `status` that has a body, whose length is among the `headers`. Their names are lower
        case, and none else is about framing.
        """
        lines = joined(headers)
        refuse_splits(lines, len(headers))
        self.answer_ready(status, lines, body, sized=True)

    def answer_ready(self, status: int, lines: bytes, body: bytes, rest: bytes = b"", *, sized: bool = False) -> None:
        """`answer`, whose header `lines` were put together before: each is one line, none is about framing, but for the
        length where they are `sized`. `status` is one that has a body, which is left out here for HEAD; where a `rest`
        follows, neither is copied.
        """
        protocol = self.protocol
        if self.more_body or protocol.edge.draining:
            self.keep_alive = False
        length = b"" if sized else b"content-length: %d\r\n" % (len(body) + len(rest))
        head = b"%b%b%b%b" % (STATUS_LINE[status], lines, length, b"\r\n" if self.keep_alive else LAST)
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

    def start(self, status: int, headers: Iterable[Header]) -> None:
        """Frame the answer. Its head goes with the first piece of body, as ASGI has it: one write instead of two."""
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
        self.chunked = False
        if not self.bodyless and length is None:
            if self.http_version == "1.0":
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
        refuse_splits(head, count)
        self.protocol.edge.counts[ANSWERS_AT + status // 100] += 1
        self.response_started = True
        self.expects_continue = False
        self.head = head

    def write(self, body: bytes, *, more: bool) -> None:
        """A piece of the body, as `start` framed it."""
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


def refuse_splits(lines: bytes, count: int) -> None:
    """Raises RuntimeError unless these are so many lines."""
    if lines.count(b"\n") != count or lines.count(b"\r") != count or NUL in lines:
        raise RuntimeError("a header of the answer holds a line break")


async def failed(error: Exception) -> None:
    raise error


def reset_on_close(transport: asyncio.Transport) -> None:
    """Make the close a reset: where an answer ends by close, an orderly one would say that it is whole."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
