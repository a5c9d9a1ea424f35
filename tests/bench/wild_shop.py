"""A shop in a process of its own that streams, and misbehaves in every way it is asked to by the path.

python -m tests.bench.wild_shop          prints its port, serves for a quarter of an hour at most
"""

import asyncio
import contextlib
import random
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import NamedTuple

import uvloop

from tests.support import ROOT, Shop

LIFE_S = 900
BLOCK = random.Random(7).randbytes(262_144)
PAGE_BODY = b"x" * 300
PAGE = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 300\r\n\r\n" + PAGE_BODY


def blocks(size: int) -> Iterator[bytes]:
    """A body of so many bytes."""
    for _ in range(size // len(BLOCK)):
        yield BLOCK
    if size % len(BLOCK):
        yield BLOCK[: size % len(BLOCK)]


class Request(NamedTuple):
    """One request to this shop, its body not yet read."""

    path: list[str]
    fields: dict[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> None:
        """Until the gateway has closed."""
        while await self.reader.read(65_536):
            pass

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def body(self) -> AsyncIterator[bytes]:
        """The body's pieces without their framing."""
        reader = self.reader
        if self.fields.get("transfer-encoding") != "chunked":
            left = int(self.fields.get("content-length", 0))
            while left:
                piece = await reader.read(min(left, 262_144))
                if not piece:
                    raise asyncio.IncompleteReadError(b"", left)
                left -= len(piece)
                yield piece
            return
        while size := int(await reader.readuntil(b"\r\n"), 16):
            yield await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)


# Behaviours: the first part of the path names one.


async def page(request: Request) -> None:
    async for _ in request.body():
        pass
    await request.send(PAGE)


async def down(request: Request) -> None:
    """/down/<length|chunked>/<bytes>"""
    framing, size = request.path[1], int(request.path[2])
    if framing == "chunked":
        await request.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for block in blocks(size):
            await request.send(b"%x\r\n%b\r\n" % (len(block), block))
        await request.send(b"0\r\n\r\n")
        return
    await request.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
    for block in blocks(size):
        await request.send(block)


async def up(request: Request) -> None:
    """Answers with the length and the checksum of the body."""
    size = checksum = 0
    async for piece in request.body():
        size += len(piece)
        checksum = zlib.crc32(piece, checksum)
    text = b"%d %d" % (size, checksum)
    await request.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text))


async def early(request: Request) -> None:
    """Answers before the body, and reads none of it."""
    await request.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig")
    await request.gone()


async def resets(request: Request) -> None:
    request.reset()


async def resets_midway(request: Request) -> None:
    await request.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + b"x" * 5000)
    request.reset()


async def stalls(request: Request) -> None:
    await request.gone()


async def stalls_midway(request: Request) -> None:
    await request.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + b"x" * 5000)
    await request.gone()


async def garbage(request: Request) -> None:
    await request.send(random.randbytes(random.randrange(1, 5000)))
    request.writer.close()


async def speaks_another(request: Request) -> None:
    await request.send(b"220 mail.shop.example ESMTP\r\n250 OK\r\n")
    await request.gone()


async def cut_short(request: Request) -> None:
    await request.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
    request.writer.close()


async def bad_chunks(request: Request) -> None:
    await request.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello\r\n")
    await request.gone()


async def endless_head(request: Request) -> None:
    await request.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await request.send(b"x-more: %b\r\n" % (b"y" * 1000))


async def endless_field(request: Request) -> None:
    await request.send(b"HTTP/1.1 200 OK\r\nx-more: ")
    while True:
        await request.send(b"y" * 1000)


async def endless_interim(request: Request) -> None:
    while True:
        await request.send(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")


async def endless_chunk_size(request: Request) -> None:
    await request.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;")
    while True:
        await request.send(b"y" * 1000)


async def too_much(request: Request) -> None:
    """A second answer that nobody asked for, at once."""
    await request.send(PAGE + b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsmuggl")


BEHAVIOURS: dict[str, Callable[[Request], Awaitable[None]]] = {
    each.__name__: each
    for each in (
        *(page, down, up, early, resets, resets_midway, stalls, stalls_midway, garbage, speaks_another, cut_short),
        *(bad_chunks, endless_head, endless_field, endless_interim, endless_chunk_size, too_much),
    )
}
MISBEHAVIOURS = tuple(name for name in BEHAVIOURS if name not in ("page", "down", "up", "early"))


async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while not writer.is_closing():
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            path = first.split(" ")[1].partition("?")[0].strip("/").split("/")
            await BEHAVIOURS.get(path[0], page)(Request(path, fields, reader, writer))
    except (asyncio.IncompleteReadError, ConnectionError, RuntimeError):
        pass
    finally:
        writer.close()


async def serve() -> None:
    server = await asyncio.start_server(serve_one, "127.0.0.1", 0, backlog=4096, limit=2**20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(LIFE_S)


@contextlib.contextmanager
def running_wild_shop() -> Iterator[Shop]:
    """The shop's address; the process ends with the block."""
    command = [sys.executable, "-m", "tests.bench.wild_shop"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Shop(port=int(process.stdout.readline()))
        finally:
            process.kill()


if __name__ == "__main__":
    uvloop.run(serve())
