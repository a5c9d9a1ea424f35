"""Clients that want the gateway to suffer, in a process of their own.

    python -m tests.bench.attackers <attack>[,<attack>…] <port> <width> <seconds>      cookies of a visitor on stdin

Each attack goes on for so many seconds and then lets go. It prints one line of JSON: what it tried and what it met.
"""

import asyncio
import contextlib
import json
import resource
import socket
import struct
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import uvloop

from tests.bench.wild_shop import MISBEHAVIOURS
from tests.edge.corpus.smuggling import FROM_CLIENT
from waitroom.serve.listening import raise_file_limit

AT_ONCE = 64
CONNECTIONS_AN_ADDRESS = 4000  # with many more the system looks long for a free port
SLOW_READ_BYTES = 4_000_000
Found = Counter[str]


class Aim(NamedTuple):
    """Whom to attack, how wide and how long."""

    port: int
    cookies: bytes
    width: int
    seconds: float

    def request(self, line: bytes, *fields: bytes) -> bytes:
        """With the pass of somebody inside."""
        return b"\r\n".join((line + b" HTTP/1.1", b"host: shop.example", b"cookie: " + self.cookies, *fields, b"", b""))


class Wire(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def connected(aim: Aim) -> AsyncIterator[Wire]:
    """One connection; reset at the end, so that the machine's ports last."""
    wire = Wire(*await asyncio.open_connection("127.0.0.1", aim.port))
    try:
        yield wire
    finally:
        wire.reset()


async def wide(aim: Aim, one: Callable[[Wire, Found], Awaitable[None]]) -> Found:
    """So many connections, each doing `one`; the time runs once all are open."""
    found: Found = Counter()
    opening = asyncio.Semaphore(200)
    limits: set[asyncio.Timeout] = set()
    left = aim.width
    loop = asyncio.get_running_loop()

    def opened() -> None:
        nonlocal left
        left -= 1
        if not left:
            for limit in limits:
                limit.reschedule(loop.time() + aim.seconds)

    async def work(number: int) -> None:
        ours = f"127.0.0.{2 + number // CONNECTIONS_AN_ADDRESS}"
        try:
            async with opening:
                wire = Wire(*await asyncio.open_connection("127.0.0.1", aim.port, local_addr=(ours, 0)))
        except OSError:
            found["not connected"] += 1
            opened()
            return
        found["connections"] += 1
        try:
            async with asyncio.timeout(None if left > 1 else aim.seconds) as limit:
                limits.add(limit)
                opened()
                try:
                    await one(wire, found)
                finally:
                    limits.discard(limit)
                found["ended by the gateway"] += 1
        except TimeoutError:
            found["let go at the end"] += 1
        except (ConnectionError, asyncio.IncompleteReadError):
            found["cut by the gateway"] += 1
        finally:
            wire.reset()

    await asyncio.gather(*(work(number) for number in range(aim.width)))
    return found


async def fast(aim: Aim, one: Callable[[Found], Awaitable[None]]) -> Found:
    """One after the other as fast as can be, `AT_ONCE` in parallel, until the time is up."""
    found: Found = Counter()
    loop = asyncio.get_running_loop()
    until = loop.time() + aim.seconds

    async def work() -> None:
        while loop.time() < until:
            try:
                async with asyncio.timeout(15):
                    await one(found)
            except TimeoutError:
                found["no end in 15 s"] += 1
            except (OSError, asyncio.IncompleteReadError):
                found["cut by the gateway"] += 1

    await asyncio.gather(*(work() for _ in range(min(aim.width, AT_ONCE))))
    return found


# The attacks.


async def idle(aim: Aim) -> Found:
    """Connections that say nothing."""

    async def one(wire: Wire, found: Found) -> None:
        await wire.reader.read()

    return await wide(aim, one)


async def crowd(aim: Aim) -> Found:
    """As many silent connections as this process has files for, more than the gateway may hold."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return await idle(aim._replace(width=min(aim.width, files - 100)))


async def half_heads(aim: Aim) -> Found:
    """Half a head, and never the rest."""

    async def one(wire: Wire, found: Found) -> None:
        wire.writer.write(b"GET / HTTP/1.1\r\nhost: shop.example\r\nx-more: " + b"y" * 200)
        found[(await wire.reader.read()).partition(b"\r\n")[0].decode() or "closed"] += 1

    return await wide(aim, one)


async def slow_readers(aim: Aim) -> Found:
    """A large answer each, of which a kilobyte a second is read."""

    async def one(wire: Wire, found: Found) -> None:
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        wire.writer.write(aim.request(b"GET /down/length/%d" % SLOW_READ_BYTES))
        sock = wire.writer.get_extra_info("socket").dup()
        try:
            while True:
                await asyncio.sleep(1)
                with contextlib.suppress(BlockingIOError):
                    if not sock.recv(1024):
                        return
        finally:
            sock.close()

    return await wide(aim, one)


async def slow_bodies(aim: Aim) -> Found:
    """Uploads of a byte a second."""

    async def one(wire: Wire, found: Found) -> None:
        wire.writer.write(aim.request(b"POST /up", b"content-length: 1000000"))
        ended = asyncio.ensure_future(wire.reader.read())
        try:
            while not ended.done():
                wire.writer.write(b"x")
                await asyncio.wait((ended,), timeout=1)
        finally:
            ended.cancel()

    return await wide(aim, one)


async def endless_heads(aim: Aim) -> Found:
    """A head that goes on until it is refused."""

    async def one(found: Found) -> None:
        async with connected(aim) as wire:
            found["inputs"] += 1
            wire.writer.write(b"GET / HTTP/1.1\r\nhost: shop.example\r\n")
            with contextlib.suppress(ConnectionError):
                for at in range(1000):
                    wire.writer.write(b"x-%d: %b\r\n" % (at, b"y" * 1000))
                    await wire.writer.drain()
            found[(await wire.reader.readline()).decode("latin-1").strip() or "cut"] += 1

    return await fast(aim, one)


async def pipeliners(aim: Aim) -> Found:
    """Forty requests at once, and away."""

    async def one(found: Found) -> None:
        async with connected(aim) as wire:
            found["inputs"] += 40
            wire.writer.write(aim.request(b"GET /page") * 40)
            await wire.reader.readexactly(1)

    return await fast(aim, one)


async def connections(aim: Aim) -> Found:
    """Connect and close, as fast as can be."""

    async def one(found: Found) -> None:
        async with connected(aim):
            found["connections"] += 1

    return await fast(aim, one)


async def without_cookies(aim: Aim) -> Found:
    """Page after page, as a browser that keeps nothing."""

    async def one(found: Found) -> None:
        async with connected(aim) as wire:
            for _ in range(50):
                wire.writer.write(b"GET /page HTTP/1.1\r\nhost: shop.example\r\naccept: text/html\r\n\r\n")
                head = await wire.reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                await wire.reader.readexactly(length)
                found[head[9:12].decode()] += 1

    return await fast(aim, one)


async def broken_requests(aim: Aim) -> Found:
    """Every way of smuggling in the corpus, again and again."""
    attacks = [attack.raw for attack in FROM_CLIENT]

    async def one(found: Found) -> None:
        raw = attacks[found["inputs"] % len(attacks)]
        found["inputs"] += 1
        async with connected(aim) as wire:
            wire.writer.write(raw)
            wire.writer.write_eof()
            found[(await wire.reader.read())[9:12].decode("latin-1") or "closed"] += 1

    return await fast(aim, one)


async def wild_answers(aim: Aim) -> Found:
    """With a pass, from a shop that resets, stalls, answers garbage, without an end, or before it is asked."""

    async def one(found: Found) -> None:
        name = MISBEHAVIOURS[found["inputs"] % len(MISBEHAVIOURS)]
        found["inputs"] += 1
        async with connected(aim) as wire:
            wire.writer.write(aim.request(b"GET /" + name.encode(), b"connection: close"))
            try:
                async with asyncio.timeout(3 if "stalls" in name else 15):
                    said = await wire.reader.read(100_000)
            except ConnectionError:
                said = b""
            except TimeoutError:
                if "stalls" not in name:
                    raise
                said = b"HTTP/1.1 left"
            if b"smuggl" in said:
                found["SMUGGLED"] += 1
            found[said[9:13].decode("latin-1").strip() or "cut"] += 1

    return await fast(aim, one)


ATTACKS: dict[str, Callable[[Aim], Awaitable[Found]]] = {
    each.__name__: each
    for each in (
        *(idle, crowd, half_heads, slow_readers, slow_bodies, endless_heads, pipeliners, connections, without_cookies),
        *(broken_requests, wild_answers),
    )
}


def main() -> None:
    names, port, width, seconds = sys.argv[1:]
    aim = Aim(int(port), sys.stdin.readline().strip().encode(), int(width), float(seconds))
    raise_file_limit()

    async def work() -> Found:
        return sum(await asyncio.gather(*(ATTACKS[name](aim) for name in names.split(","))), Counter())

    print(json.dumps(uvloop.run(work())))


if __name__ == "__main__":
    main()
