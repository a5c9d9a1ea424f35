"""A server of ours on a socket, an app that behaves as the path asks, and a client that sends bytes."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
import uvloop
from starlette.types import Message, Receive, Scope, Send

from tests.patience import block_until
from waitroom.edge.wire.server import EdgeServer, Exchange, Limits, make_server

HOST = b"Host: shop.test\r\n"
GOOD = b"GET / HTTP/1.1\r\n"
POST = b"POST / HTTP/1.1\r\n"
UPGRADE = b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: abc\r\n"
LIMITS = Limits(head_s=0.3, idle_s=0.6, linger_s=0.3)
WAIT_S = 20.0


class Tunnel(asyncio.Protocol):
    """Sends back in capitals what it is given."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: capitals\r\nconnection: upgrade\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()


class App:
    """Behaves as the path asks, and notes what it saw."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.seen: list[Scope] = []
        self.ended: list[str] = []
        self.lost: list[str] = []
        self.go = asyncio.Event()

    def poll(
        self, target: bytes, headers: Sequence[tuple[bytes, bytes]], scheme: str, peer: str
    ) -> tuple[bytes, bytes] | None:
        if target == b"/poll?raise":
            raise ValueError("broken")
        return (b"x-from: poll\r\n", b"%d %b" % (len(headers), peer.encode())) if target == b"/poll" else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(scope)
        await getattr(self, "do_" + scope["path"].strip("/").partition("/")[0], self.do_echo)(scope, receive, send)
        self.ended.append(scope["path"])

    async def answer(self, send: Send, body: bytes, status: int = 200, *, headers: Any = None) -> None:
        if headers is None:
            headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def do_parts(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"]["waitroom"].answer_ready(200, b"x-from: parts\r\n", b"one", b"two")

    async def do_echo(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.lost.append(scope["path"])
                return
            body += message["body"]
            more = message["more_body"]
        exchange: Exchange = scope["extensions"]["waitroom"]
        facts = {
            "method": scope["method"],
            "path": scope["path"],
            "query": scope["query_string"].decode(),
            "target": exchange.target.decode(),
            "version": exchange.http_version,
            "body": body.decode(),
            "headers": [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]],
            "can_hijack": exchange.can_hijack,
        }
        await self.answer(send, json.dumps(facts).encode())

    async def do_early(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.answer(send, b"no", 403)

    async def do_large(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.answer(send, b"x" * 3_000_000, 403)

    async def do_held(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange = scope["extensions"]["waitroom"]
        lost = asyncio.Event()
        exchange.on_lost(lambda: self.lost.append(scope["path"]))
        exchange.on_lost(lost.set)
        waits = [asyncio.ensure_future(lost.wait()), asyncio.ensure_future(self.go.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if exchange.peer_lost:
            return
        await self.answer(send, b"go")

    async def do_disconnect(self, scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.lost.append(scope["path"])
                return

    async def do_stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"one", b"two", b""):
            await send({"type": "http.response.body", "body": part, "more_body": bool(part)})

    async def do_break(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        await asyncio.sleep(0.05)
        scope["extensions"]["waitroom"].abort()

    async def do_raise(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("broken")

    async def do_short(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.answer(send, b"short", headers=[(b"content-length", b"100")])

    async def do_split(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.answer(send, b"", headers=[(b"location", b"/\r\nset-cookie: a=b")])

    async def do_notmodified(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.answer(send, b"", 304, headers=[(b"content-length", b"700"), (b"etag", b'"x"')])

    async def do_upgrade(self, scope: Scope, receive: Receive, send: Send) -> None:
        tunnel = Tunnel()
        scope["extensions"]["waitroom"].hijack(tunnel)
        await tunnel.ended.wait()

    async def do_flood(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        message: Message = {"type": "http.response.body", "body": b"x" * 65536, "more_body": True}
        while not scope["extensions"]["waitroom"].peer_lost:
            await send(message)
            await asyncio.sleep(0)
        self.lost.append(scope["path"])


class Running:
    """A server in a thread, and the sockets of its clients."""

    def __init__(self, loop_factory: Callable[[], asyncio.AbstractEventLoop], limits: Limits = LIMITS) -> None:
        self.app = App()
        self.limits = limits
        self.loop_factory = loop_factory
        # Taken by its number, as a worker does: only then asyncio knows it for TCP and turns Nagle's algorithm off.
        self.listener = socket.socket(fileno=socket.create_server(("127.0.0.1", 0)).detach())
        self.address = self.listener.getsockname()
        self.ready = threading.Event()
        self.stopping: list[float] = []
        self.clients: list[Client] = []
        self.server: EdgeServer
        self.loop: asyncio.AbstractEventLoop
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def serve(self) -> None:
        with asyncio.Runner(loop_factory=self.loop_factory) as runner:
            runner.run(self.main())

    async def on_stop(self) -> None:
        self.stopping.append(time.monotonic())

    async def main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.server = make_server(
            self.app,
            limits=self.limits,
            stop_limit_s=2,
            stop_delay_ms=300,
            on_start=self.ready.set,
            on_stop=self.on_stop,
        )
        await self.server.serve(sockets=[self.listener])

    def start(self) -> "Running":
        self.thread.start()
        assert self.ready.wait(WAIT_S)
        return self

    def stop(self, times: int = 2) -> None:
        for _ in range(times):
            if self.thread.is_alive():
                self.loop.call_soon_threadsafe(self.server.stop)

    def reset(self) -> None:
        for client in self.clients:
            client.sock.close()
        self.clients.clear()
        block_until(lambda: not self.server.edge.connections and not self.server.edge.tasks)
        self.app.reset()

    def close(self) -> None:
        for client in self.clients:
            client.sock.close()
        self.stop()
        self.thread.join(WAIT_S)
        self.listener.close()
        assert not self.thread.is_alive()

    def listener_open(self) -> bool:
        return bool(self.server.servers[0].is_serving())

    def release(self) -> None:
        self.loop.call_soon_threadsafe(self.app.go.set)

    def client(self) -> "Client":
        client = Client(self.address)
        self.clients.append(client)
        return client

    def ask(self, *parts: bytes) -> "Answer":
        client = self.client()
        for part in parts:
            client.send(part)
        return client.answer()


class Answer:
    def __init__(self, head: bytes, body: bytes) -> None:
        lines = head.split(b"\r\n")
        self.status = int(lines[0].split(b" ")[1])
        self.headers = dict(line.split(b": ", 1) for line in lines[1:])
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address, timeout=WAIT_S)
        self.buffer = b""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def more(self) -> bool:
        data = self.sock.recv(65536)
        self.buffer += data
        return bool(data)

    def answer(self, *, head: bool = False) -> Answer:
        while b"\r\n\r\n" not in self.buffer:
            assert self.more(), f"closed with {self.buffer!r}"
        raw, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        answer = Answer(raw, b"")
        if head or answer.status in (101, 304):
            return answer
        if b"content-length" in answer.headers:
            size = int(answer.headers[b"content-length"])
            while len(self.buffer) < size:
                assert self.more(), "cut"
            answer.body, self.buffer = self.buffer[:size], self.buffer[size:]
        elif b"transfer-encoding" in answer.headers:
            while not self.buffer.endswith(b"0\r\n\r\n"):
                assert self.more(), "cut"
            answer.body, self.buffer = self.buffer, b""
        else:
            answer.body = self.rest()
        return answer

    def rest(self) -> bytes:
        while self.more():
            pass
        data, self.buffer = self.buffer, b""
        return data

    @property
    def is_closed(self) -> bool:
        return self.rest() == b""


def loops() -> list[Any]:
    return [pytest.param(asyncio.new_event_loop, id="asyncio"), pytest.param(uvloop.new_event_loop, id="uvloop")]
