"""A shop that records every byte, gateways before it, and a client that sends bytes and reads to the end.

Everything runs in one loop in a thread, so that a test is a plain function and hundreds share one gateway.
"""

import asyncio
import contextlib
import re
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar, cast

import uvloop

from tests.edge.strict import Broken, Message, read_answer, read_head, read_request
from waitroom.core.settings import Origin

T = TypeVar("T")
WAIT_S = 20.0
SILENCE_S = 15.0
PROBE = b"GET /probe HTTP/1.1\r\nhost: probe.example\r\nconnection: close\r\n\r\n"
PROBED = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nprobed"
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
OWN_ID = re.compile(rb"waitroom-[0-9a-f]{12}")
NUMBERS = re.compile(rb"(waitroom-(?:place|admitted-at): )[0-9]+")


class Reply(NamedTuple):
    """What the shop sends, and whether it then closes."""

    data: bytes
    closes: bool = False


OK = Reply(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


class Recorder(asyncio.Protocol):
    """One connection at the shop: keeps what came, and answers each whole request with the next reply."""

    def __init__(self, shop: "RecordingShop") -> None:
        self.shop = shop
        self.raw = b""
        self.unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.shop.connections.append(self)

    def data_received(self, data: bytes) -> None:
        self.raw += data
        self.unread += data
        try:
            while self.unread:
                self.let_go_on()
                request = read_request(self.unread)
                if request is None:
                    return
                self.unread = self.unread[request.size :]
                self.answer(request)
        except Broken as error:
            self.shop.broken.append(str(error))
            self.transport.close()

    def let_go_on(self) -> None:
        """Send the `100 Continue` with which the next reply begins, once the head is here."""
        replies = self.shop.replies
        if replies and replies[0].data.startswith(GO_ON) and read_head(self.unread) is not None:
            replies[0] = Reply(replies[0].data.removeprefix(GO_ON), replies[0].closes)
            self.transport.write(GO_ON)

    def answer(self, request: Message) -> None:
        if request.start.startswith(b"GET /probe "):
            self.transport.write(PROBED)
            return
        self.shop.requests.append(request)
        reply = self.shop.replies.popleft() if self.shop.replies else OK
        self.transport.write(reply.data)
        if reply.closes:
            self.transport.close()


class RecordingShop:
    """Reads strictly: what it can't read in only one way is in `broken`."""

    def __init__(self) -> None:
        self.port = 0
        self.connections: list[Recorder] = []
        self.requests: list[Message] = []
        self.broken: list[str] = []
        self.replies: deque[Reply] = deque()

    @property
    def origin(self) -> Origin:
        return Origin("http", "127.0.0.1", self.port)

    async def start(self) -> asyncio.Server:
        server = await asyncio.get_running_loop().create_server(lambda: Recorder(self), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def begin(self, replies: Sequence[Reply]) -> None:
        """Forget what came, and have these replies ready."""
        self.connections = [one for one in self.connections if not one.transport.is_closing()]
        for connection in self.connections:
            connection.raw = connection.unread = b""
        self.requests, self.broken, self.replies = [], [], deque(replies)

    @property
    def raw(self) -> list[bytes]:
        """What came on each connection that was used, from first to last byte."""
        return [connection.raw for connection in self.connections if connection.raw]


class Heard(NamedTuple):
    """What a client got: its whole answers, all bytes, and whether the gateway closed. The answer to PROBE is last."""

    answers: list[Message]
    raw: bytes
    closed: bool


class Talk:
    """A client's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, silence_s: float) -> None:
        self.reader = reader
        self.writer = writer
        self.silence_s = silence_s
        self.raw = b""
        self.at = 0
        self.closed = False
        self.answers: list[Message] = []

    async def read(self) -> bool:
        """Whether there is news: bytes, or the end; nothing is said for `silence_s` otherwise."""
        try:
            async with asyncio.timeout(self.silence_s):
                piece = await self.reader.read(2**20)
        except TimeoutError:
            return False
        except ConnectionError:
            piece = b""
        self.raw += piece
        self.closed = not piece
        return True

    async def hear(self, methods: Sequence[bytes], *, body: bytes = b"") -> None:
        """Read the answers to so many requests; `body` is sent when asked for, or after a while all the same."""
        due = [*methods]
        while due:
            answer = read_answer(self.raw[self.at :], due[0], ended=self.closed)
            if answer is None:
                if not self.closed and await self.read():
                    continue
                if not body:
                    return
            else:
                self.at += answer.size
                self.answers.append(answer)
                if answer.status >= 200:
                    del due[0]
                    continue
            self.writer.write(body)
            body = b""


async def converse(
    port: int,
    data: bytes,
    methods: Sequence[bytes],
    *,
    piece_bytes: int | None = None,
    silence_s: float = SILENCE_S,
) -> Heard:
    """Send bytes on a new connection, read the answers to so many requests, then ask once more where it is open.

    So the end of the last answer is known for sure: whatever else came would stand before the answer to PROBE.
    """
    talk = Talk(*await asyncio.open_connection("127.0.0.1", port, limit=2**20), silence_s)
    expects = re.match(rb"[^\r]+ HTTP/1\.1\r\n(?:.+\r\n)*expect: 100-continue\r\n", data, re.IGNORECASE)
    cut = data.find(b"\r\n\r\n") + 4 if expects else len(data)
    try:
        for at in range(0, cut, piece_bytes or cut):
            talk.writer.write(data[at : min(cut, at + (piece_bytes or cut))])
            await asyncio.sleep(0)
        await talk.hear(methods, body=data[cut:])
        if not talk.closed and not (talk.answers and b"\r\nconnection: close\r\n" in talk.answers[-1].head):
            talk.writer.write(PROBE)
            await talk.hear([b"GET"])
        while not talk.closed and await talk.read():
            pass
    finally:
        talk.writer.close()
        with contextlib.suppress(ConnectionError):
            await talk.writer.wait_closed()
    return Heard(talk.answers, talk.raw, talk.closed)


class Rig:
    """A loop in a thread; `run` gives it something to do."""

    def __init__(self, loop_factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop) -> None:
        self.shop = RecordingShop()
        self.loop = loop_factory()
        self.stack = contextlib.AsyncExitStack()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT_S * 3)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self.run(self.shop.start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run(self._close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(WAIT_S)
        self.loop.close()

    async def _close(self) -> None:
        await self.stack.aclose()
        self._server.close()
        for connection in self.shop.connections:
            connection.transport.abort()
        await asyncio.sleep(0.01)

    def converse(
        self,
        port: int,
        data: bytes,
        methods: Sequence[bytes],
        replies: Sequence[Reply] = (),
        *,
        piece_bytes: int | None = None,
        silence_s: float = SILENCE_S,
    ) -> Heard:
        """One conversation through the gateway at `port`; what the shop saw of it is in `shop`."""

        async def work() -> Heard:
            self.shop.begin(replies)
            return await converse(port, data, methods, piece_bytes=piece_bytes, silence_s=silence_s)

        return self.run(work())
