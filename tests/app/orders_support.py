"""Workers of a gateway in the test's own loop, on a real Redis, before a till; and shoppers who order there."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from tests.app.till import Till, running_till
from tests.support import SECRET, RedisServer, running_redis
from waitroom.app import App, create_app
from waitroom.core.orders.attempt import Attempt, Outcome
from waitroom.core.settings import Settings
from waitroom.demo.browser import DOCUMENT, SCRIPT, Answer, Browser, read_chunks, read_head
from waitroom.edge.orders.placing import Orders
from waitroom.edge.wire.server import EdgeServer, make_server

ROUTES = "POST /order success=location:/thanks/* reference=location:/thanks/*"
FORM = "application/x-www-form-urlencoded"
DOCUMENT_HEADERS, SCRIPT_HEADERS = dict(DOCUMENT), dict(SCRIPT)


class Worker:
    """One worker. `end` stops it in order, as `waitroom.serve.worker` does."""

    def __init__(self, settings: Settings) -> None:
        self.app: App = create_app(settings, fresh_store=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.server: EdgeServer = make_server(self.app, stop_limit_s=1)
        self.task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    async def start(self) -> None:
        await self.app.open()
        self.task = asyncio.create_task(self.server.serve(sockets=[self.listener]))
        async with asyncio.timeout(10):
            while self.app.parts[0].line.snapshot is None or not self.server.started:
                await asyncio.sleep(0.01)

    async def end(self, *, drain_s: float = 5.0) -> None:
        if self.task is None:
            return
        self.server.stop()
        await self.task
        await self.app.drain(drain_s)
        await self.app.close()
        self.listener.close()
        self.task = None

    @property
    def orders(self) -> Orders:
        orders = self.app.parts[0].orders
        assert orders is not None
        return orders


class Place:
    """A till, a Redis, and workers between them and the shoppers."""

    def __init__(self, till: Till, redis: RedisServer, settings: Settings) -> None:
        self.till, self.redis, self.settings = till, redis, settings
        self.workers: list[Worker] = []
        self.shoppers: list[Shopper] = []

    async def worker(self) -> Worker:
        worker = Worker(self.settings)
        self.workers.append(worker)
        await worker.start()
        return worker

    async def shopper(self) -> "Shopper":
        """Somebody new inside."""
        shopper = Shopper(self.workers[0].url)
        self.shoppers.append(shopper)
        assert (await shopper.open("/")).status == 200
        assert (await shopper.open("/")).status == 200
        return shopper

    async def attempts(self, shopper: "Shopper") -> list[Attempt]:
        """As the shopper sees them, newest first."""
        visitor = shopper.visitor(self.workers[0])
        found, is_all = await self.workers[0].orders.attempts.of_visitor(visitor)
        assert is_all
        return list(found)

    async def until(self, shopper: "Shopper", outcome: Outcome) -> None:
        """Until the shopper's last attempt came to this."""
        async with asyncio.timeout(10):
            while True:
                found, is_all = await self.workers[0].orders.attempts.of_visitor(shopper.visitor(self.workers[0]))
                if is_all and found and found[0].outcome is outcome:
                    return
                await asyncio.sleep(0.02)

    async def outcomes(self, shopper: "Shopper") -> list[Outcome]:
        return [attempt.outcome for attempt in await self.attempts(shopper)]


class Shopper(Browser):
    """Somebody inside, who orders."""

    @property
    def base(self) -> str:
        return self._base

    def at(self, worker: Worker) -> "Shopper":
        """The same cookies at another worker."""
        other = Shopper(worker.url)
        other.cookies = self.cookies
        return other

    def visitor(self, worker: Worker) -> str:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items()).encode()
        now_ms = int(worker.app.parts[0].line.now_ms())
        found = worker.app.parts[0].gate.desk.visitor_of([(b"cookie", cookie)], secure=False, now_ms=now_ms)
        assert found is not None
        return found

    def head(
        self, path: str, framing: str, kind: Mapping[str, str], content_type: str, fields: Mapping[str, str]
    ) -> bytes:
        lines = [f"POST {path} HTTP/1.1", f"host: {self._host}:{self._port}", framing]
        given = {**kind, "content-type": content_type, **fields}
        given["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in given.items()), "", ""]).encode("latin-1")

    async def send(
        self,
        body: bytes | Mapping[str, str],
        *,
        path: str = "/order",
        kind: Mapping[str, str] = DOCUMENT_HEADERS,
        content_type: str = FORM,
        leaves: bool = False,
        length: int | None = None,
        chunked: bool = False,
        **fields: str,
    ) -> Answer:
        """An order on a connection of its own, no redirect followed; `leaves`: gone once it is sent."""
        if not isinstance(body, bytes):
            body = urlencode(body).encode()
        framing = f"content-length: {len(body) if length is None else length}"
        if chunked:
            framing = "transfer-encoding: chunked"
            body = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        async with asyncio.timeout(40):
            reader, writer = await asyncio.open_connection(self._host, self._port)
            try:
                writer.write(self.head(path, framing, kind, content_type, named) + body)
                if leaves:
                    await writer.drain()
                    await asyncio.sleep(0.02)
                    return Answer(0, [], b"", path)
                status, headers = read_head(await reader.readuntil(b"\r\n\r\n"))
                if "chunked" in dict(headers).get("transfer-encoding", ""):
                    content = await read_chunks(reader)
                else:
                    content = await reader.readexactly(int(dict(headers).get("content-length", 0)))
            finally:
                writer.close()
        self._remember(headers)
        return Answer(status, headers, content, path)

    async def order(self, order: str, behaviour: str = "well", **more: Any) -> Answer:
        return await self.send({"order": order, "as": behaviour}, **more)

    async def call(self, order: str, behaviour: str = "well", **more: Any) -> Answer:
        """As an app does."""
        return await self.order(order, behaviour, kind=SCRIPT_HEADERS, **more)


def facts(answer: Answer) -> dict[str, Any]:
    return dict(json.loads(answer.body))


@asynccontextmanager
async def running_place(workers: int = 1, **settings: str) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(running_redis())
        till = await stack.enter_async_context(running_till())
        defaults = {"origin": till.url, "redis_url": redis.url, "secret": SECRET, "rate": "unlimited"}
        defaults |= {"order_routes": ROUTES, "admin_listen": "off"}
        place = Place(till, redis, Settings.model_validate({**defaults, **settings}))
        try:
            for _ in range(workers):
                await place.worker()
            yield place
        finally:
            till.gate.set()
            for shopper in place.shoppers:
                shopper.close()
            for worker in place.workers:
                await worker.end(drain_s=0)
