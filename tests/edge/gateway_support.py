"""A gateway without a gate: the real server's edge, every request forwarded. And a client that speaks bytes."""

import asyncio
import functools
import inspect
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, cast

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from waitroom.core.errors import OriginFailure
from waitroom.core.settings import Origin, Settings
from waitroom.edge.clients import Clients
from waitroom.edge.shop.headers import ToClient
from waitroom.edge.shop.origin import OriginPool
from waitroom.edge.shop.origin_limits import Limits
from waitroom.edge.shop.proxy import Errand, Outcome, Proxy
from waitroom.edge.wire.server import make_server

# What takes a minute in production takes a moment here.
QUICK = Limits(sweep_s=0.02)
TEST_LIMIT_S = 60

AsyncTest = Callable[..., Coroutine[Any, Any, None]]


def on_both_loops(test: AsyncTest) -> Callable[..., None]:
    """Run a test on asyncio's loop and on uvloop, which buffer, pause and close differently; nothing hangs for ever."""

    @functools.wraps(test)
    def run(*, loop_factory: Callable[[], asyncio.AbstractEventLoop], **arguments: Any) -> None:
        async def limited() -> None:
            async with asyncio.timeout(TEST_LIMIT_S):
                await test(**arguments)

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(limited())

    signature = inspect.signature(test)
    factory = inspect.Parameter("loop_factory", inspect.Parameter.KEYWORD_ONLY)
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), factory]
    )
    mark = pytest.mark.parametrize(
        "loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
    )
    return cast(Callable[..., None], mark(run))


class HasOrigin(Protocol):
    """What a gateway can stand in front of."""

    @property
    def origin(self) -> Origin: ...


class Client:
    """One connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def answer(self, *, bodyless: bool = False) -> tuple[bytes, bytes]:
        """The next answer: its head, and its body without framing."""
        head = await self.head()
        status = int(head.split(b" ")[1])
        lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        if bodyless or status in (204, 304):
            return head, b""
        if b"content-length" in lines:
            return head, await self.reader.readexactly(int(lines[b"content-length"]))
        if lines.get(b"transfer-encoding") != b"chunked":
            return head, await self.reader.read()
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return head, body

    async def get(self, target: bytes = b"/", *fields: bytes, method: bytes = b"GET") -> tuple[bytes, bytes]:
        lines = (b"%b %b HTTP/1.1" % (method, target), b"host: shop.example", *fields, b"", b"")
        await self.send(b"\r\n".join(lines))
        return await self.answer(bodyless=method == b"HEAD")

    def close(self) -> None:
        self.writer.close()


class Gateway:
    """Forwards everything; a failure becomes a small answer that names its kind."""

    def __init__(self, settings: Settings, pool: OriginPool, **forward: Any) -> None:
        self.pool = pool
        self.proxy = Proxy(settings, pool)
        self.clients = Clients(settings)
        self._errands: list[Errand] = []
        self.failures: list[OriginFailure] = []
        self.forward = forward
        self.port = 0
        self._open: list[Client] = []

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        errand = Errand(self.proxy, scope, receive, send, client=self.clients.of(scope), **self.forward)
        self._errands.append(errand)
        return errand.go(lambda errand: self.finish(errand, send))

    async def finish(self, errand: Errand, send: Send) -> None:
        try:
            await errand.run()
        except OriginFailure as failure:
            self.failures.append(failure)
            body = failure.kind.encode()
            headers = [(b"content-length", b"%d" % len(body))]
            await send({"type": "http.response.start", "status": failure.status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    @property
    def outcomes(self) -> list[Outcome]:
        return [errand.outcome for errand in self._errands if errand.outcome is not None]

    def forget(self) -> None:
        self._errands.clear()
        self.failures.clear()

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port, limit=2**20))
        self._open.append(client)
        return client

    def close_clients(self) -> None:
        for client in self._open:
            client.close()


@asynccontextmanager
async def gateway(
    origin: HasOrigin,
    *,
    limits: Limits = QUICK,
    pool: Callable[[], OriginPool] | None = None,
    to_origin: Sequence[tuple[bytes, bytes]] = (),
    to_client: ToClient = (),
    drop: frozenset[bytes] = frozenset(),
    **settings: Any,
) -> AsyncIterator[Gateway]:
    """A running gateway in front of `origin`."""
    app = Gateway(
        Settings(origin=origin.origin, **settings),
        pool() if pool else OriginPool(origin.origin, limits=limits),
        to_origin=to_origin,
        to_client=to_client,
        drop=drop,
    )
    listener = socket.create_server(("127.0.0.1", 0))
    app.port = listener.getsockname()[1]
    server = make_server(app, stop_limit_s=1)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield app
    finally:
        app.close_clients()
        server.stop()
        await task
        await app.pool.close()
        listener.close()
