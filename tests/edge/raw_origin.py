"""An origin that records every byte it is sent and answers with exactly the bytes it is told to.

It speaks no HTTP of its own beyond finding where a request ends, so it can be as wrong as a test needs:

    async with RawOrigin() as origin:
        origin.answers(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", close_after(b"HTTP/1.0 200 OK\r\n\r\nhi"))
        ...
        assert origin.requests[0].head.startswith(b"GET / HTTP/1.1\r\n")
"""

import asyncio
import socket
import ssl
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from waitroom.core.settings import Origin

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Received:
    """One request as it came: `head` up to and with the empty line, `body` as framed on the wire."""

    def __init__(self, connection: int, head: bytes) -> None:
        self.connection = connection
        self.head = head
        self.body = b""

    @property
    def line(self) -> bytes:
        return self.head.partition(b"\r\n")[0]

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """Every header field, names as they came."""
        lines = self.head.split(b"\r\n")[1:-2]
        return [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]

    def values(self, name: bytes) -> list[bytes]:
        """All values of the fields of this lower case name."""
        return [value for found, value in self.fields if found.lower() == name]

    @property
    def content(self) -> bytes:
        """The body without its framing."""
        if self.values(b"transfer-encoding") != [b"chunked"]:
            return self.body
        content, rest = b"", self.body
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            content, rest = content + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        return content


class Wire:
    """The origin's end of one connection, for answers that are more than bytes."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def close(self) -> None:
        """An orderly close."""
        self.writer.close()

    def reset(self) -> None:
        """A cut: what is on its way may be lost."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None:  # uvloop hides it behind TLS
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the other side has closed."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass


Script = Callable[[Wire, Received], Awaitable[None]]


def close_after(data: bytes) -> Script:
    """Send the bytes and close."""

    async def answer(wire: Wire, request: Received) -> None:
        await wire.send(data)
        wire.close()

    return answer


def in_pieces(*pieces: bytes) -> Script:
    """Send the bytes in separate packets."""

    async def answer(wire: Wire, request: Received) -> None:
        for piece in pieces:
            await wire.send(piece)
            await asyncio.sleep(0.005)

    return answer


class RawOrigin:
    """Answers each request with the next of `answers`, then always with `otherwise`."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        unix: Path | None = None,
        tls: ssl.SSLContext | None = None,
        otherwise: bytes | Script = OK,
    ) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self.on_head: Script | None = None  # called before the body is read; the body is then left to it
        self.otherwise = otherwise
        self._answers: deque[bytes | Script] = deque()
        self._host = host
        self._unix = unix
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._wires: set[Wire] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = port

    def answers(self, *answers: bytes | Script) -> None:
        self._answers.extend(answers)

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._wires)

    @property
    def origin(self) -> Origin:
        """The value for the settings."""
        if self._unix is not None:
            return Origin("unix", str(self._unix), 0)
        return Origin("https" if self._tls else "http", self._host, self.port)

    async def __aenter__(self) -> Self:
        if self._unix is not None:
            self._server = await asyncio.start_unix_server(self._serve, self._unix)
        else:
            self._server = await asyncio.start_server(self._serve, self._host, self.port, ssl=self._tls)
            self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop listening and cut all connections."""
        if self._server is None:
            return
        self._server.close()
        self.cut_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    def cut_all(self) -> None:
        """Reset every connection."""
        for wire in tuple(self._wires):
            wire.reset()

    def close_all(self) -> None:
        """Close every connection in order, as a server does with idle ones."""
        for wire in tuple(self._wires):
            wire.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        wire = Wire(self.connections, reader, writer)
        self._wires.add(wire)
        self.connections += 1
        try:
            while not writer.is_closing():
                await self._exchange(wire)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._wires.discard(wire)
            self._tasks.discard(task)
            writer.close()

    async def _exchange(self, wire: Wire) -> None:
        request = Received(wire.number, await wire.reader.readuntil(b"\r\n\r\n"))
        self.requests.append(request)
        if self.on_head is not None:
            await self.on_head(wire, request)
            return
        await read_body(wire, request)
        answer = self._answers.popleft() if self._answers else self.otherwise
        if callable(answer):
            await answer(wire, request)
        else:
            await wire.send(answer)


async def read_body(wire: Wire, request: Received) -> None:
    """Read the request's body as it is framed, into `request.body`."""
    if request.values(b"transfer-encoding") == [b"chunked"]:
        while True:
            size = await wire.reader.readuntil(b"\r\n")
            request.body += size
            request.body += await wire.reader.readexactly(int(size, 16) + 2)
            if int(size, 16) == 0:
                return
    for length in request.values(b"content-length"):
        request.body += await wire.reader.readexactly(int(length))
