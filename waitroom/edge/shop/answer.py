"""The shop's answer to one request, as it arrives.

llhttp reads the head and undoes `chunked`; where the answer ends is our own account. A parser is
made for each head and thrown away, because (each of these was seen):

- after HEAD, 204 and 304 it would take the next answer for a body, so we end at the header;
- bytes after an answer would be read as a second one, and go to the next visitor on the connection;
- trailer fields arrive like header fields (`Set-Cookie`!), so fields after the header are dropped;
- "cut" and "ended by close" look alike to it.

Nothing here does I/O: the connection feeds it, the proxy takes from it.
"""

import asyncio
from collections.abc import Callable
from typing import assert_never

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpResponseParser

from waitroom.core.errors import OriginFault
from waitroom.edge.shop.framing import ClientSide, Framing, Phase

HEAD_END = b"\r\n\r\n"
HEAD_LIMIT_BYTES = 65_536
LENGTH_DIGITS = 18
WITHOUT_BODY = (204, 304)
READ_HERE = frozenset((b"content-length", b"transfer-encoding", b"connection", b"keep-alive"))


UNKNOWN, NONE, LENGTH, CHUNKED, CLOSE = Framing.UNKNOWN, Framing.NONE, Framing.LENGTH, Framing.CHUNKED, Framing.CLOSE
WAIT_HEAD, WAIT_BODY = Phase.HEAD, Phase.BODY


class Answer:
    """One answer. Complete when `done`; ended otherwise when `fault` is set; until then more may come."""

    # fmt: off
    __slots__ = (
        "_chunked", "_head_bytes", "_left", "_loop", "_parser", "_parts", "_tail", "_waiter", "buffered",
        "client", "detail", "done", "fault", "framing", "go_ahead", "headers", "heard", "http_version", "is_head",
        "keep_alive", "keep_s", "left", "listener", "phase", "quiet", "status", "stray",
    )
    # fmt: on

    # Each parser looks for these; to find nothing costs it an exception.
    on_message_begin = on_status = on_chunk_header = on_chunk_complete = None

    def __init__(self, loop: asyncio.AbstractEventLoop, client: ClientSide, is_head: bool) -> None:
        self.client: ClientSide | None = client
        self.is_head = is_head
        self.status = 0
        self.http_version = "1.1"
        self.headers: list[tuple[bytes, bytes]] = []
        self.framing = UNKNOWN
        self.done = False
        self.fault: OriginFault | None = None
        self.detail = ""
        self.left = False  # the client has gone
        self.heard = False  # at least one byte came back
        self.stray = False  # bytes came that belong to no answer: the connection is lost to us
        self.keep_alive = False
        self.keep_s: float | None = None  # how long the shop says it keeps an idle connection
        self.go_ahead: asyncio.Future[None] | None = None  # for who waits for `100 Continue`
        self.phase = WAIT_HEAD
        self.quiet = 0  # sweeps since anything moved
        self.buffered = 0
        self._loop = loop
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._left = -1  # of a body of known length; -1 is none given
        self._chunked = False
        self._head_bytes = 0
        self._tail = b""
        self._waiter: asyncio.Future[None] | None = None
        self.listener: Callable[[], None] | None = None

    # What the proxy does with it.

    @property
    def headed(self) -> bool:
        """The head is here."""
        return self.framing is not UNKNOWN

    @property
    def failed(self) -> bool:
        """It will never be whole."""
        return self.fault is not None

    @property
    def over(self) -> bool:
        """Nothing more will come."""
        return self.done or self.fault is not None

    def news(self) -> asyncio.Future[None]:
        """Done when the head, more of the body, or the end is there. One waiter at a time."""
        self._waiter = waiter = self._loop.create_future()
        if self.over or self._parts:
            waiter.set_result(None)
        return waiter

    def tell(self, listener: Callable[[], None]) -> None:
        """Call `listener` once, never from within this call, where `news` would be done."""
        self.listener = listener
        if self.over or self._parts:
            self.wake()

    def wait_for(self, phase: Phase) -> None:
        """From now on it is this one's turn, and its limit counts."""
        self.phase = phase
        self.quiet = 0

    def take(self) -> bytes:
        """What of the body is there."""
        parts = self._parts
        if not parts:
            return b""
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self.buffered = 0
        return body

    def end(self, fault: OriginFault | None = None, detail: str = "") -> None:
        """The answer is whole, or with a `fault` it never will be. The first end counts."""
        if self.over:
            return
        self.fault = fault
        self.detail = detail
        self.done = fault is None
        self._parser = None  # it holds our methods: without this the two would live until the collector runs
        self.wake()

    def wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        listener = self.listener
        if listener is not None:
            self.listener = None
            self._loop.call_soon(listener)
        if self.go_ahead is not None and not self.go_ahead.done():
            self.go_ahead.set_result(None)

    def abort(self) -> None:
        """Break the client's connection."""
        if self.client is not None:
            self.client.abort()

    def let_go(self) -> None:
        """The proxy is done with it. The client's end knows `leave`: without this the two would live until the
        collector runs.
        """
        self.client = None
        self._parser = None

    def leave(self) -> None:
        """The client has gone."""
        self.left = True
        self.end("reset", "the client left")

    def expire(self) -> None:
        """Nothing moved for as long as this phase allows."""
        match self.phase:
            case Phase.UPLOAD:
                self.end("upload", "no more of the request's body")
            case Phase.HEAD:
                self.end("timeout", "no answer")
            case Phase.BODY:
                self.end("timeout", "no more of the answer")
            case Phase.CLIENT:
                self.abort()
            case _:
                assert_never(self.phase)

    # What the connection feeds it.

    def feed(self, data: bytes) -> None:
        """Take what the shop sent."""
        self.heard = True
        self.quiet = 0
        if self.framing is UNKNOWN:
            data = self._feed_head(data)
            if self.framing is UNKNOWN or self.fault is not None:
                return
        framing = self.framing
        if framing is LENGTH:
            left = self._left = self._left - len(data)
            if left <= 0:
                if left < 0:
                    self.stray = True
                    data = data[:left]
                if data:
                    self._parts.append(data)
                self.end()
                return
            self._add(data)
        elif framing is CHUNKED:
            if data:
                self._feed_chunked(data)
        elif framing is NONE:
            self.stray = bool(data)
            self.end()
            return
        else:
            self._add(data)
        self.wake()

    def finish(self, error: Exception | None) -> None:
        """The shop's side is closed: whole if only that ends it, else cut."""
        if self.framing in (CLOSE, Framing.UPGRADED) and error is None:
            self.end()
        else:
            self.end("reset", f"closed before the answer was whole{f' ({error})' if error else ''}")

    def _add(self, data: bytes) -> None:
        if data:
            self._parts.append(data)
            self.buffered += len(data)

    def _feed_head(self, data: bytes) -> bytes:
        """Feed the parser up to the end of the head; what comes after it is returned."""
        while True:
            tail = self._tail
            at = (tail + data).find(HEAD_END) if tail else data.find(HEAD_END)
            end = at + 4 - len(tail)
            head = data[:end] if at >= 0 else data
            self._head_bytes += len(head)
            if self._head_bytes > HEAD_LIMIT_BYTES:
                self.end("garbage", "the answer's head is too large")
                return b""
            self._parse(head)
            if self.fault is not None:
                return b""
            if at < 0:
                self._tail = (tail + data)[-3:]
                if self.framing is not UNKNOWN:
                    self.end("garbage", "the answer's head ends where we see no end")
                return b""
            self._tail = b""
            data = data[end:]
            if self.framing is not UNKNOWN or not data:
                return data

    def _parse(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:
            return
        try:
            parser.feed_data(data)
        except HttpParserCallbackError as error:
            raise error.__context__ or error from None
        except HttpParserUpgrade:
            pass
        except HttpParserError as error:
            if self.done:
                self.stray = True
            elif self.framing is not Framing.UPGRADED:
                self.end("garbage", str(error))

    def _feed_chunked(self, data: bytes) -> None:
        self._tail = data[-4:] if len(data) >= 4 else (self._tail + data)[-4:]
        self._parse(data)
        # A packet that holds the end must end with it; anything else came after the answer.
        if self.done and self._tail != HEAD_END:
            self.stray = True

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.framing is not UNKNOWN:
            return  # a trailer
        name = name.lower()
        if name in READ_HERE:
            self._read_field(name, value)
        self.headers.append((name, value))

    def _read_field(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            if len(value) > LENGTH_DIGITS:
                self.end("garbage", "a length of too many digits")
            else:
                self._left = int(value)  # llhttp lets only one field of digits through
        elif name == b"transfer-encoding":
            if value.strip().lower() != b"chunked" or self._chunked:
                self.end("garbage", "a transfer coding other than chunked")
            self._chunked = True
        elif name == b"keep-alive":
            found = value.lower().partition(b"timeout=")[2].partition(b",")[0].strip()
            if found.isdigit():
                self.keep_s = float(found[:6])

    def on_headers_complete(self) -> None:
        parser = self._parser
        if parser is None:
            if self.done:
                self.stray = True
            return
        status = parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            if status == 100 and self.go_ahead is not None and not self.go_ahead.done():
                self.go_ahead.set_result(None)
            self._begin_again()
            return
        version = parser.get_http_version()
        if version != "1.1":
            self.http_version = version
        if not 100 < status < 600 or version not in ("1.0", "1.1"):
            self.end("garbage", f"status {status}, version {version}")
            return
        self.status = status
        self.phase = WAIT_BODY
        if status == 101:
            self.framing = Framing.UPGRADED
            return
        self.keep_alive = parser.should_keep_alive()
        if self.is_head or status in WITHOUT_BODY:
            self.framing = NONE
            # To llhttp, which does not know of HEAD, a head without a length ends by close.
            if not self.keep_alive and version == "1.1":
                self.keep_alive = not any(n == b"connection" and b"close" in v.lower() for n, v in self.headers)
            if status == 204 and (self._left > 0 or self._chunked):
                self.keep_alive = False  # the body it announces would come within the next answer
        elif self._chunked:
            self.framing = CHUNKED
        elif self._left >= 0:
            self.framing = LENGTH
        else:
            self.framing = CLOSE

    def _begin_again(self) -> None:
        """An interim answer is dropped; the next head gets a parser of its own."""
        self.headers.clear()
        self._left = -1
        self._chunked = False
        self._parser = HttpResponseParser(self)

    def on_body(self, body: bytes) -> None:
        if self.framing is CHUNKED and not self.done:
            self._add(body)

    def on_message_complete(self) -> None:
        if self.framing is CHUNKED:
            self.end()
