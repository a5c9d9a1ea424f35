"""A shop that takes orders, keeps a book of them, and behaves as badly as it is told to.

`POST /order` with the fields `order` (what the shopper wants) and `as` (how the shop behaves) is booked under what
stands in `order`; any other path is a page. The book holds what was committed; `seen` counts what
came in whole, and `asked` says by which attempt: its order, and how the shop behaved.
"""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import parse_qs

from waitroom.core.orders.attempt import Outcome
from waitroom.demo.browser import read_chunks

BEHAVIOURS = (
    "well", "shop-json", "late", "large", "refuses", "form-again", "error", "error-after-commit", "silent",
    "silent-after-commit", "resets", "resets-after-commit", "cut", "cut-after-commit", "twice", "closes",
)  # fmt: skip
COMMITS = frozenset(
    ("well", "shop-json", "late", "large", "error-after-commit", "silent-after-commit", "resets-after-commit",
     "cut-after-commit", "twice")
)  # fmt: skip
CLEAR = {
    **dict.fromkeys(("well", "shop-json", "late", "large", "twice"), Outcome.CONFIRMED),
    "refuses": Outcome.REFUSED,
    "form-again": Outcome.ANSWERED,
}
"""What a whole answer says; whatever else the shop does leaves everybody in doubt."""
LATE_S = 0.4
LARGE_BYTES = 300_000


class Sale(NamedTuple):
    """A line of the book. `again`: how many were booked for the same order before."""

    order: str
    key: str
    attempt: str
    again: int


@dataclass
class Till:
    """`gate` holds orders that come in back, as long as it is not set."""

    port: int = 0
    book: list[Sale] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    asked: dict[str, tuple[str, str]] = field(default_factory=dict)
    heads: list[dict[str, str]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    server: asyncio.Server | None = None

    async def listen(self) -> None:
        self.server = await asyncio.start_server(self.handle, "127.0.0.1", self.port, backlog=1000)
        self.port = self.server.sockets[0].getsockname()[1]

    def stop_listening(self) -> None:
        """And cut every connection."""
        if self.server is not None:
            self.server.close()
        for task in self.tasks:
            task.cancel()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def booked(self, order: str) -> list[Sale]:
        return [sale for sale in self.book if sale.order == order]

    async def came(self, order: str, times: int = 1) -> None:
        """Until the order has come in so often."""
        async with asyncio.timeout(10):
            while self.seen[order] < times:
                await asyncio.sleep(0.005)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            while await self.exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(task)
            writer.close()

    async def exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; False if the connection is over."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head[1:] if line}
        if "chunked" in fields.get("transfer-encoding", ""):
            body = await read_chunks(reader)
        else:
            body = await reader.readexactly(int(fields.get("content-length", 0)))
        method, target = head[0].split(" ")[:2]
        self.heads.append({":": f"{method} {target}", **fields})
        if method != "POST" or not target.startswith("/order"):
            writer.write(answer(200, b"<!doctype html><h1>A page</h1>"))
            return True
        form = {name: values[0] for name, values in parse_qs(body.decode("latin-1")).items()}
        order, behaviour = form.get("order", ""), form.get("as", "well")
        key, attempt = fields.get("idempotency-key", ""), fields.get("waitroom-order-attempt", "")
        self.seen[order] += 1
        self.asked[attempt] = (order, behaviour)
        await self.gate.wait()
        if behaviour == "late":
            await asyncio.sleep(LATE_S)
        if behaviour in COMMITS:
            self.book.append(Sale(order, key, attempt, len(self.booked(order))))
        return await self.reply(behaviour, order, writer)

    async def reply(self, behaviour: str, order: str, writer: asyncio.StreamWriter) -> bool:
        thanks = answer(303, b"", b"location: /thanks/" + order.encode())
        match behaviour.removesuffix("-after-commit"):
            case "well" | "late":
                writer.write(thanks)
            case "shop-json":
                writer.write(answer(201, b'{"order":"%b"}' % order.encode(), b"waitroom-order-id: " + order.encode()))
            case "large":
                writer.write(answer(200, bytes(LARGE_BYTES), b"waitroom-order-id: " + order.encode()))
            case "twice":
                writer.write(thanks + thanks)
            case "refuses":
                writer.write(answer(422, b"sold out"))
            case "form-again":
                writer.write(answer(200, b"<!doctype html>Please enter your name"))
            case "error":
                writer.write(answer(500, b"an error"))
            case "silent":
                await asyncio.sleep(3600)
            case "cut":
                writer.write(answer(200, bytes(1000))[:-500])
                return False
            case "resets":
                found = writer.get_extra_info("socket")
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return False
            case "closes":
                return False
            case other:
                raise AssertionError(other)
        await writer.drain()
        return True


def answer(status: int, body: bytes, *fields: bytes) -> bytes:
    lines = [b"HTTP/1.1 %d -" % status, b"content-type: text/html", b"content-length: %d" % len(body), *fields]
    return b"\r\n".join([*lines, b"", body])


@asynccontextmanager
async def running_till() -> AsyncIterator[Till]:
    till = Till()
    till.gate.set()
    await till.listen()
    try:
        yield till
    finally:
        till.stop_listening()
        await asyncio.gather(*till.tasks, return_exceptions=True)
