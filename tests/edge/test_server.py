"""The server's edge on raw sockets: what reaches an app, and what a client gets.

Each test runs on asyncio's own loop and on uvloop: they buffer, pause and close differently.
"""

import asyncio
import gc
import itertools
import json
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
import uvloop
from starlette.types import Message, Receive, Scope, Send

from waitroom.edge.wire.server import EdgeServer, Exchange, Limits, make_server

HOST = b"Host: shop.test\r\n"
LIMITS = Limits(head_s=0.3, idle_s=0.6, linger_s=0.3)
WAIT_S = 5.0


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
        until(lambda: not self.server.edge.connections and not self.server.edge.tasks)
        self.app.reset()

    def close(self) -> None:
        for client in self.clients:
            client.sock.close()
        self.stop()
        self.thread.join(WAIT_S)
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


def until(claim: Callable[[], object]) -> None:
    end = time.monotonic() + WAIT_S
    while not claim():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.005)


def loops() -> list[Any]:
    return [pytest.param(asyncio.new_event_loop, id="asyncio"), pytest.param(uvloop.new_event_loop, id="uvloop")]


@pytest.fixture(scope="module", params=loops())
def lasting(request: pytest.FixtureRequest) -> Iterator[Running]:
    running = Running(request.param).start()
    yield running
    running.close()


@pytest.fixture
def running(lasting: Running) -> Iterator[Running]:
    """A server for many tests, with nothing of the last one left."""
    yield lasting
    lasting.reset()


@pytest.fixture(params=loops())
def crowded(request: pytest.FixtureRequest) -> Iterator[Running]:
    """A server for four connections."""
    running = Running(request.param, replace(LIMITS, connections=4, head_s=30, idle_s=30)).start()
    yield running
    running.close()


@pytest.fixture(params=loops())
def patient(request: pytest.FixtureRequest) -> Iterator[Running]:
    """A server that gives what was begun more time than a machine stands still."""
    running = Running(request.param, replace(LIMITS, head_s=30, idle_s=30, linger_s=30)).start()
    yield running
    running.close()


@pytest.fixture(params=loops())
def mortal(request: pytest.FixtureRequest) -> Iterator[Running]:
    """A server for a test that stops it."""
    running = Running(request.param).start()
    yield running
    running.close()


# What reaches the app.


def test_trailer_fields_reach_neither_headers_nor_app(running: Running) -> None:
    head = b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"

    answer = running.ask(head + b"3\r\nabc\r\n0\r\nHost: evil\r\nCookie: pass=forged\r\n", b"X-Late: 1\r\n\r\n")

    assert answer.json["body"] == "abc"
    assert answer.json["headers"] == [["host", "shop.test"], ["transfer-encoding", "chunked"]]
    assert running.app.seen[0]["headers"] == [(b"host", b"shop.test"), (b"transfer-encoding", b"chunked")]


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/a//b/../c;x=1", "/a//b/../c;x=1", ""),
        ("/a?", "/a", ""),
        ("/a?b?c=%20", "/a", "b?c=%20"),
        ("/a%2Fb%20c", "/a/b c", ""),
        ("/a#b?c", "/a", ""),
        ("//evil/x", "//evil/x", ""),
        ("http://shop.test/a?b", "/a", "b"),
        ("http://shop.test", "/", ""),
        ("http://shop.test?b", "/", "b"),
        ("HTTP://u@other:81//x?y#z", "//x", "y"),
        ('/"<>\\^`{|}%zz', '/"<>\\^`{|}%zz', ""),
    ],
)
def test_the_target_is_handed_over_as_received(running: Running, target: str, path: str, query: str) -> None:
    answer = running.ask(b"GET " + target.encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n")

    assert (answer.json["target"], answer.json["path"], answer.json["query"]) == (target, path, query)


def test_options_star_is_an_ordinary_request(running: Running) -> None:
    answer = running.ask(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n")

    assert (answer.json["method"], answer.json["target"]) == ("OPTIONS", "*")


def test_blanks_after_a_value_are_no_part_of_it(running: Running) -> None:
    answer = running.ask(b"GET /echo HTTP/1.1\r\nHost: shop.test \t\r\nX-A:\r\nX-B:  b  b \r\n\r\n")

    assert answer.json["headers"] == [["host", "shop.test"], ["x-a", ""], ["x-b", "b  b"]]


def test_a_request_in_single_bytes_is_the_same_request(running: Running) -> None:
    request = (
        b"POST /echo?q=1 HTTP/1.1\r\n" + HOST + b"X-Empty:\r\nX-B: b\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2;ext=1\r\nab\r\n1\r\nc\r\n0\r\nX-Trailer:\r\nX-T: 1\r\n\r\n"
    )

    whole = running.ask(request)
    client = running.client()
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in request:
        client.send(bytes([byte]))

    assert client.answer().json == whole.json


def test_headers_keep_their_order_and_repetitions(running: Running) -> None:
    answer = running.ask(b"GET /echo HTTP/1.1\r\nCookie: a=1\r\n" + HOST + b"X-A: 1\r\ncookie: b=2\r\nx_a: 3\r\n\r\n")

    assert [name for name, _ in answer.json["headers"]] == ["cookie", "host", "x-a", "cookie", "x_a"]


def test_a_trailer_that_says_close_closes(running: Running) -> None:
    """llhttp heeds `Connection: close` among trailers and drops what follows: the next request waited for ever."""
    client = running.client()

    client.send(b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nConnection: close\r\n\r\n")

    answer = client.answer()
    assert (answer.status, answer.headers[b"connection"]) == (200, b"close")
    assert client.is_closed


# What is refused before the app.

GOOD = b"GET / HTTP/1.1\r\n"
POST = b"POST / HTTP/1.1\r\n"
BAD = {
    "no Host": (400, GOOD + b"\r\n"),
    "empty Host": (400, GOOD + b"Host:\r\n\r\n"),
    "two Hosts": (400, GOOD + HOST + b"Host: other\r\n\r\n"),
    "two equal Hosts": (400, GOOD + HOST + HOST + b"\r\n"),
    "two Hosts under 1.0": (400, b"GET / HTTP/1.0\r\n" + HOST + HOST + b"\r\n"),
    **{
        f"a Host that is none, {host!r}": (400, GOOD + b"Host: " + host + b"\r\n\r\n")
        for host in (b"a b", b"a,b", b"a/b", b"a@b", b"a?b", b"a\\b", b"\xe4", b'"a"', b"<a>")
    },
    "a folded line": (400, GOOD + HOST + b"X: a\r\n b\r\n\r\n"),
    "bare LF": (400, b"GET / HTTP/1.1\nHost: a\n\n"),
    "bare LF in a header": (400, GOOD + b"Host: a\nX: b\r\n\r\n"),
    "bare CR in a header": (400, GOOD + b"Host: a\rX: b\r\n\r\n"),
    "bare LF at the end": (400, GOOD + HOST + b"\n"),
    "NUL in a value": (400, GOOD + HOST + b"X: a\0b\r\n\r\n"),
    "a control byte in a value": (400, GOOD + HOST + b"X: a\x01b\r\n\r\n"),
    "bytes over 127 in a target": (400, b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a blank before the colon": (400, GOOD + b"Host : a\r\n\r\n"),
    "a blank before the name": (400, GOOD + b" Host: a\r\n\r\n"),
    "no name": (400, GOOD + HOST + b": a\r\n\r\n"),
    "no colon": (400, GOOD + HOST + b"X\r\n\r\n"),
    "length, then coding": (400, POST + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "coding, then length": (400, POST + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
    "two lengths": (400, POST + HOST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    "a list of lengths": (400, POST + HOST + b"Content-Length: 3, 3\r\n\r\nabc"),
    "a signed length": (400, POST + HOST + b"Content-Length: +3\r\n\r\nabc"),
    "a long length": (400, POST + HOST + b"Content-Length: 0000000000000000003\r\n\r\nabc"),
    "a huge length": (400, POST + HOST + b"Content-Length: 99999999999999999999\r\n\r\n"),
    "chunked twice": (400, POST + HOST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n"),
    "identity, then chunked": (
        400,
        POST + HOST + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "chunked not last": (400, POST + HOST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    "an empty coding": (400, POST + HOST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n"),
    "a coding under 1.0": (400, b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "another coding": (501, POST + HOST + b"Transfer-Encoding: gzip\r\n\r\n"),
    "another coding and chunked": (501, POST + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "nearly chunked": (501, POST + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "HTTP/2.0": (505, b"GET / HTTP/2.0\r\n" + HOST + b"\r\n"),
    "HTTP/0.9": (505, b"GET /\r\n\r\n"),
    "the preface of HTTP/2": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "CONNECT": (405, b"CONNECT shop.test:443 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "TRACE": (405, b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "RTSP": (405, b"PLAY / RTSP/1.0\r\n" + HOST + b"\r\n"),
    "an unknown method": (400, b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "no HTTP at all": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_a_good_request_never_reaches_the_app(running: Running, name: str) -> None:
    status, request = BAD[name]
    client = running.client()

    client.send(request)
    answer = client.answer()

    assert (answer.status, answer.headers[b"connection"]) == (status, b"close")
    assert (b"allow" in answer.headers) == (status == 405)
    assert client.is_closed
    assert running.app.seen == []


def test_http_1_0_without_host_is_taken_for_health_checks(running: Running) -> None:
    assert running.ask(b"OPTIONS /ready HTTP/1.0\r\n\r\n").status == 200


@pytest.mark.parametrize(
    "bad_chunk", [b"3\nabc\r\n", b"0x3\r\nabc\r\n", b"3 \r\nabc\r\n", b"3\r\nabcX", b"f" * 17 + b"\r\n"]
)
def test_a_bad_chunk_is_refused_and_the_app_told(running: Running, bad_chunk: bytes) -> None:
    head = b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    client = running.client()
    client.send(head + b"1\r\na\r\n")
    until(lambda: running.app.seen)

    client.send(bad_chunk)

    assert client.answer().status == 400
    assert client.is_closed
    until(lambda: running.app.lost == ["/echo"])


# Bounds.


def test_a_head_at_the_limit_is_taken_and_one_beyond_is_not(running: Running) -> None:
    room = LIMITS.head_bytes - len(b"/echo") - len(b"hostshop.test") - 4 - len(b"x") - 4
    start = b"GET /echo HTTP/1.1\r\n" + HOST + b"X: "

    taken = running.ask(start + b"a" * room + b"\r\n\r\n")
    refused = running.ask(start + b"a" * (room + 1) + b"\r\n\r\n")

    assert (taken.status, refused.status) == (200, 431)


def test_more_fields_than_anybody_needs_are_refused(running: Running) -> None:
    start = b"GET /echo HTTP/1.1\r\n" + HOST

    taken = running.ask(start + b"a: b\r\n" * 499 + b"\r\n")
    refused = running.ask(start + b"a: b\r\n" * 500 + b"\r\n")

    assert (taken.status, refused.status) == (200, 431)


def test_a_host_longer_than_a_name_can_be_is_refused(running: Running) -> None:
    """What is remembered of clients is kept by their Host: 60 KB of it, 4,096 times, were half a gigabyte."""
    answer = running.ask(b"GET /echo HTTP/1.1\r\nHost: " + b"a" * 301 + b"\r\n\r\n")

    assert answer.status == 400


def test_a_head_behind_another_request_has_the_same_limit(running: Running) -> None:
    client = running.client()

    client.send(
        b"GET /echo/1 HTTP/1.1\r\n"
        + HOST
        + b"\r\nGET /echo/2 HTTP/1.1\r\n"
        + HOST
        + b"X: "
        + b"a" * 70_000
        + b"\r\n\r\n"
    )

    assert client.answer().status == 200
    assert client.answer().status == 431
    assert client.is_closed


@pytest.mark.parametrize("endless", [b"X: " + b"a" * 8192, b"X: a\r\n" * 1024, b"\r\n" * 4096])
def test_an_endless_head_is_cut(running: Running, endless: bytes) -> None:
    client = running.client()
    if endless[:1] == b"X":
        client.send(b"GET / HTTP/1.1\r\n" + HOST)

    for _ in range(12):
        client.send(endless)

    assert client.answer().status == 431
    assert running.app.seen == []


def test_an_endless_trailer_is_cut(running: Running) -> None:
    client = running.client()
    client.send(b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ")
    until(lambda: running.app.seen)

    for _ in range(20):
        client.send(b"a" * 8192)

    assert client.answer().status == 400
    until(lambda: running.app.lost == ["/echo"])


def test_a_slow_head_gets_408_from_its_first_byte_on(running: Running) -> None:
    client = running.client()
    began = time.monotonic()

    for byte in b"GET / HTTP/1.1\r\nHost: shop.t":
        client.send(bytes([byte]))
        time.sleep(0.02)
        if time.monotonic() - began > LIMITS.head_s:
            break

    assert client.answer().status == 408
    assert LIMITS.head_s <= time.monotonic() - began < LIMITS.head_s + 2
    assert client.is_closed


def test_a_connection_that_says_nothing_is_closed(running: Running) -> None:
    silent, blank = running.client(), running.client()
    began = time.monotonic()

    blank.send(b"\r\n")
    time.sleep(0.4)
    blank.send(b"\r\n")

    assert silent.is_closed
    assert blank.is_closed
    assert -0.02 < time.monotonic() - began - LIMITS.idle_s < 2  # a loop counts in milliseconds of its own


def test_an_idle_connection_is_kept_and_then_closed(running: Running) -> None:
    client = running.client()
    for _ in range(3):
        client.send(b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n")
        assert client.answer().status == 200
        time.sleep(LIMITS.idle_s * 0.6)
    began = time.monotonic()

    assert client.is_closed

    assert 0.1 < time.monotonic() - began < LIMITS.idle_s + 2


def test_idle_connections_make_room_for_new_ones(crowded: Running) -> None:
    """Those that never brought a request go first; one whose request is under way stays."""
    held, used = crowded.client(), crowded.client()
    held.send(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n")
    used.send(b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n")
    used.answer()
    silent, half = crowded.client(), crowded.client()
    half.send(b"GET / HT")
    until(lambda: len(crowded.server.edge.connections) == crowded.limits.connections)

    statuses = [crowded.ask(b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n").status for _ in range(2)]

    assert statuses == [200, 200]
    assert silent.is_closed
    assert half.is_closed
    used.send(b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n")
    assert used.answer().status == 200
    crowded.release()
    assert held.answer().body == b"go"


def test_where_no_connection_is_idle_the_newest_is_closed(crowded: Running) -> None:
    held = [crowded.client() for _ in range(crowded.limits.connections)]
    for client in held:
        client.send(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n")
    until(lambda: len(crowded.app.seen) == len(held))

    assert crowded.client().is_closed

    crowded.release()
    assert [client.answer().body for client in held] == [b"go"] * len(held)


def test_a_body_that_stops_coming_ends_the_connection(running: Running) -> None:
    client = running.client()

    client.send(b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\nabc")

    assert client.is_closed
    assert running.app.lost == ["/echo"]


def test_a_client_that_reads_nothing_ends_the_connection(running: Running) -> None:
    client = running.client()

    client.send(b"GET /flood HTTP/1.1\r\n" + HOST + b"\r\n")

    until(lambda: running.app.lost == ["/flood"])


def test_a_request_under_way_outlives_the_idle_limit(running: Running) -> None:
    client = running.client()
    client.send(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n")

    time.sleep(LIMITS.idle_s * 2.5)
    running.release()

    assert client.answer().body == b"go"


# Pipelining, and the end of a connection.


def test_pipelined_requests_are_answered_in_order(running: Running) -> None:
    client = running.client()

    client.send(
        b"".join(
            b"POST /echo/%d HTTP/1.1\r\n" % i + HOST + b"Content-Length: 1\r\n\r\n" + b"%d" % (i % 10)
            for i in range(20)
        )
    )

    assert [client.answer().json["path"] for _ in range(20)] == [f"/echo/{i}" for i in range(20)]


def test_requests_that_come_while_one_is_held_are_answered_after_it(patient: Running) -> None:
    client = patient.client()
    client.send(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\nGET /echo/1 HTT")
    until(lambda: patient.app.seen)

    client.send(b"P/1.1\r\n" + HOST + b"\r\nPOST /echo/2 HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\na")
    time.sleep(0.05)
    client.send(b"bc")
    time.sleep(0.05)
    assert len(patient.app.seen) == 1
    patient.release()

    assert client.answer().body == b"go"
    assert client.answer().json["path"] == "/echo/1"
    assert client.answer().json["body"] == "abc"


@pytest.mark.parametrize("path", ["/held", "/disconnect"])
@pytest.mark.parametrize(
    "behind", [b"", b"GET /2 HTTP/1.1\r\n" + HOST + b"\r\n", b"GET /2 HT", b"POST /2 HTTP/1.1\r\n"]
)
@pytest.mark.parametrize("apart", [False, True])
def test_a_lost_connection_is_told_also_with_data_behind(
    running: Running, path: str, behind: bytes, apart: bool
) -> None:
    client = running.client()
    request = b"GET " + path.encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n"

    client.send(request if apart else request + behind)
    until(lambda: running.app.seen)
    if apart and behind:
        client.send(behind)
        client.send(behind)
    time.sleep(0.02)
    client.sock.close()

    until(lambda: running.app.lost == [path])
    until(lambda: running.app.ended == [path])
    assert len(running.app.seen) == 1


def test_more_behind_a_request_than_is_held_costs_nobody_memory(running: Running) -> None:
    client = running.client()
    client.send(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n")
    until(lambda: running.app.seen)

    client.send(b"POST /2 HTTP/1.1\r\n" + HOST + b"Content-Length: 4000000\r\n\r\n" + b"x" * 4_000_000)
    (connection,) = running.server.edge.connections
    running.release()
    answer = client.answer()

    assert (answer.body, answer.headers[b"connection"]) == (b"go", b"close")
    assert len(connection.held) <= LIMITS.behind_bytes  # type: ignore[union-attr]
    assert len(running.app.seen) == 1


def test_a_flood_of_small_requests_is_cut_after_those_that_are_kept(running: Running) -> None:
    client = running.client()

    client.send(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n" + (b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n") * 1000)
    until(lambda: running.app.seen)
    running.release()

    answers = [client.answer() for _ in range(LIMITS.behind_requests + 1)]
    assert [b"connection" in answer.headers for answer in answers] == [False] * LIMITS.behind_requests + [True]
    assert client.is_closed


def test_a_refusal_waits_for_the_answers_before_it(running: Running) -> None:
    client = running.client()
    client.send(
        b"GET /held HTTP/1.1\r\n" + HOST + b"\r\nGET /echo HTTP/1.1\r\n" + HOST + b"\r\nBREW / HTTP/1.1\r\n\r\n"
    )
    until(lambda: running.app.seen)
    time.sleep(0.05)

    running.release()

    assert [client.answer().status for _ in range(3)] == [200, 200, 400]
    assert client.is_closed


def test_nothing_after_connection_close_is_read(running: Running) -> None:
    client = running.client()

    client.send(
        b"GET /echo/1 HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\nGET /echo/2 HTTP/1.1\r\n" + HOST + b"\r\n"
    )

    assert client.answer().headers[b"connection"] == b"close"
    assert client.is_closed
    assert len(running.app.seen) == 1


# Answers before the body.


def test_an_answer_before_the_body_closes_and_the_body_is_no_request(running: Running) -> None:
    client = running.client()
    smuggled = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
    client.send(
        b"POST /early HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(smuggled)
    )

    answer = client.answer()
    client.send(smuggled)

    assert (answer.status, answer.headers[b"connection"]) == (403, b"close")
    assert client.is_closed
    assert [scope["path"] for scope in running.app.seen] == ["/early"]


def test_expect_is_answered_once_the_app_wants_the_body(running: Running) -> None:
    client = running.client()
    client.send(b"POST /echo HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")

    assert client.answer(head=True).status == 100
    client.send(b"abc")

    assert client.answer().json["body"] == "abc"


def test_expect_under_http_1_0_is_ignored(running: Running) -> None:
    client = running.client()
    client.send(b"POST /echo HTTP/1.0\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    time.sleep(0.05)
    client.send(b"abc")

    assert client.answer().json["body"] == "abc"


def test_a_large_early_answer_arrives_whole_although_the_client_still_sends(patient: Running) -> None:
    client = patient.client()
    client.send(b"POST /large HTTP/1.1\r\n" + HOST + b"Content-Length: 100000000\r\n\r\n")
    sender = threading.Thread(target=send_until_closed, args=(client.sock,))
    sender.start()
    time.sleep(0.1)

    answer = client.answer()

    assert (answer.status, len(answer.body)) == (403, 3_000_000)
    client.sock.shutdown(socket.SHUT_RDWR)
    sender.join(WAIT_S)
    until(lambda: not patient.server.edge.connections)


def send_until_closed(sock: socket.socket) -> None:
    try:
        for _ in range(2000):
            sock.sendall(b"x" * 50_000)
    except OSError:
        pass


def test_a_client_that_never_stops_sending_is_ended(running: Running) -> None:
    client = running.client()
    client.send(b"POST /early HTTP/1.1\r\n" + HOST + b"Content-Length: 100000000\r\n\r\n")
    assert client.answer().status == 403

    until(lambda: not running.server.edge.connections)


# Framing of answers.


def test_an_answer_without_length_is_chunked(running: Running) -> None:
    answer = running.ask(b"GET /stream HTTP/1.1\r\n" + HOST + b"\r\n")

    assert answer.body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


def test_an_answer_without_length_to_http_1_0_is_raw_and_closed(running: Running) -> None:
    answer = running.ask(b"GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n" + HOST + b"\r\n")

    assert (answer.body, answer.headers[b"connection"]) == (b"onetwo", b"close")
    assert b"transfer-encoding" not in answer.headers


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_broken_answer_does_not_look_whole(running: Running, version: bytes) -> None:
    client = running.client()
    client.send(b"GET /break HTTP/" + version + b"\r\n" + HOST + b"\r\n")

    if version == b"1.0":
        with pytest.raises(ConnectionResetError):
            client.rest()
    else:
        assert not client.rest().endswith(b"0\r\n\r\n")


def test_a_poll_is_answered_before_the_app_is_called(running: Running) -> None:
    client = running.client()
    answers = []
    for _ in range(2):
        client.send(b"GET /poll HTTP/1.1\r\n" + HOST + b"\r\n")
        answers.append(client.answer())
    old = running.client()
    old.send(b"GET /poll HTTP/1.0\r\n\r\n")

    assert [(answer.status, answer.headers[b"x-from"], answer.body) for answer in answers] == [
        (200, b"poll", b"1 127.0.0.1")
    ] * 2
    assert old.rest().split(b"\r\n") == [
        b"HTTP/1.1 200 OK",
        b"x-from: poll",
        b"content-length: 11",
        b"connection: close",
        b"",
        b"0 127.0.0.1",
    ]
    assert running.app.seen == []


@pytest.mark.parametrize(
    "line", [b"HEAD /poll HTTP/1.1", b"POST /poll HTTP/1.1", b"GET /poll? HTTP/1.1", b"GET /poll?raise HTTP/1.1"]
)
def test_what_is_no_poll_or_fails_as_one_is_the_apps(running: Running, line: bytes) -> None:
    client = running.client()
    client.send(line + b"\r\n" + HOST + b"\r\n")

    answer = client.answer(head=True)

    assert (answer.status, answer.headers.get(b"x-from"), len(running.app.seen)) == (200, None, 1)


def test_a_poll_behind_another_request_is_answered_in_its_turn(running: Running) -> None:
    client = running.client()
    poll = b"GET /poll HTTP/1.1\r\n" + HOST + b"\r\n"
    client.send(poll + b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n" + poll)

    bodies = [client.answer().body for _ in range(3)]

    assert bodies[0] == b"1 127.0.0.1"
    assert [json.loads(body)["path"] for body in bodies[1:]] == ["/echo", "/poll"]


def test_a_poll_with_a_body_still_to_come_closes_after_its_answer(running: Running) -> None:
    client = running.client()
    client.send(b"GET /poll HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\n")

    answer = client.answer()

    assert (answer.body, answer.headers[b"connection"], client.is_closed) == (b"2 127.0.0.1", b"close", True)


def test_an_app_that_raises_is_answered_500_and_one_that_lies_is_cut(running: Running) -> None:
    raised = running.ask(b"GET /raise HTTP/1.1\r\n" + HOST + b"\r\n")
    split = running.ask(b"GET /split HTTP/1.1\r\n" + HOST + b"\r\n")
    short = running.client()
    short.send(b"GET /short HTTP/1.1\r\n" + HOST + b"\r\n")

    assert (raised.status, raised.headers[b"connection"]) == (500, b"close")
    assert (split.status, b"set-cookie" in split.headers) == (500, False)
    with pytest.raises(AssertionError, match=r"cut|closed"):
        short.answer()


def test_a_304_and_an_answer_to_head_keep_their_length_and_the_connection(running: Running) -> None:
    client = running.client()

    client.send(b"GET /notmodified HTTP/1.1\r\n" + HOST + b"\r\n")
    not_modified = client.answer()
    client.send(b"HEAD /echo HTTP/1.1\r\n" + HOST + b"\r\n")
    head = client.answer(head=True)
    client.send(b"GET /early HTTP/1.1\r\n" + HOST + b"\r\n")

    assert not_modified.headers[b"content-length"] == b"700"
    assert int(head.headers[b"content-length"]) > 0
    assert client.answer().body == b"no"


# Upgrades.

UPGRADE = b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: abc\r\n"


def test_an_upgrade_is_an_ordinary_request_with_its_headers(running: Running) -> None:
    client = running.client()
    client.send(b"GET /echo HTTP/1.1\r\n" + HOST + UPGRADE + b"\r\n")

    first = client.answer().json
    client.send(b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n")
    second = client.answer().json

    assert ["upgrade", "websocket"] in first["headers"]
    assert ["sec-websocket-key", "abc"] in first["headers"]
    assert (first["can_hijack"], second["can_hijack"]) == (True, False)
    assert running.app.seen[0]["type"] == "http"


def test_what_follows_an_upgrade_that_did_not_happen_is_no_request(running: Running) -> None:
    client = running.client()
    client.send(b"GET /echo/1 HTTP/1.1\r\n" + HOST + UPGRADE + b"\r\nGET /echo/2 HTTP/1.1\r\n" + HOST + b"\r\n")

    assert client.answer().json["path"] == "/echo/1"
    assert client.is_closed
    assert len(running.app.seen) == 1


@pytest.mark.parametrize(
    ("framing", "body"),
    [(b"Content-Length: 3\r\n", b"abc"), (b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n0\r\nX: y\r\n\r\n")],
)
def test_a_body_behind_an_upgrade_is_read_and_the_upgrade_ignored(
    running: Running, framing: bytes, body: bytes
) -> None:
    """Java's client asks every plain http server for h2c, also with a POST."""
    client = running.client()
    request = b"POST /echo HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n" + framing + b"\r\n" + body

    client.send(request)
    first = client.answer().json
    for byte in request:
        client.send(bytes([byte]))
    second = client.answer().json
    client.send(request + request)

    assert first["body"] == second["body"] == client.answer().json["body"] == client.answer().json["body"] == "abc"
    assert not first["can_hijack"]


def test_a_hijacked_connection_belongs_to_the_tunnel(running: Running) -> None:
    client = running.client()
    client.send(b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\nGET /upgrade HTTP/1.1\r\n" + HOST + UPGRADE + b"\r\nearly")
    assert client.answer().status == 200
    assert client.answer().headers[b"upgrade"] == b"capitals"

    client.send(b" late")
    while len(client.buffer) < len(b"EARLY LATE"):
        client.more()

    assert client.buffer == b"EARLY LATE"
    client.sock.close()
    until(lambda: running.app.ended == ["/echo", "/upgrade"])


def test_an_ordinary_request_cannot_be_hijacked(running: Running) -> None:
    failed = running.ask(b"GET /upgrade HTTP/1.1\r\n" + HOST + b"\r\n")
    assert (failed.status, failed.headers[b"cache-control"]) == (500, b"private, no-store")
    assert running.ask(b"GET /upgrade HTTP/1.0\r\n" + HOST + UPGRADE + b"\r\n").status == 500


# Stopping.


def test_a_stop_goes_on_for_its_delay_and_finishes_what_is_under_way(mortal: Running) -> None:
    held, idle = mortal.client(), mortal.client()
    held.send(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n")
    idle.send(b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n")
    assert idle.answer().status == 200
    until(lambda: len(mortal.app.seen) == 2)

    mortal.stop(times=1)
    until(lambda: mortal.stopping)
    during = mortal.ask(b"GET /early HTTP/1.1\r\n" + HOST + b"\r\n")
    assert idle.is_closed
    until(lambda: not mortal.listener_open())
    mortal.release()

    assert (during.status, during.headers[b"connection"]) == (403, b"close")
    assert held.answer().headers[b"connection"] == b"close"
    mortal.thread.join(WAIT_S)
    assert not mortal.thread.is_alive()


def test_a_second_stop_ends_at_once(mortal: Running) -> None:
    client = mortal.client()
    client.send(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n")
    until(lambda: mortal.app.seen)
    began = time.monotonic()

    mortal.stop(times=2)
    mortal.thread.join(WAIT_S)

    assert not mortal.thread.is_alive()
    assert time.monotonic() - began < 2
    assert mortal.app.lost == ["/held"]


def test_what_does_not_end_in_time_is_broken(mortal: Running) -> None:
    client = mortal.client()
    client.send(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n")
    until(lambda: mortal.app.seen)

    mortal.stop(times=1)
    mortal.thread.join(WAIT_S)

    assert not mortal.thread.is_alive()
    assert client.is_closed


def test_a_reset_in_the_middle_of_anything_leaves_nothing_behind(running: Running) -> None:
    requests = [
        b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n" + b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n",
        b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\nabc",
        b"GET /flood HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTT",
        b"BREW / HTTP/1.1\r\n\r\n",
        b"GET /upgrade HTTP/1.1\r\n" + HOST + UPGRADE + b"\r\n",
    ]
    for request in requests * 5:
        client = running.client()
        client.send(request)
        time.sleep(0.005)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sock.close()

    until(lambda: not running.server.edge.connections and not running.server.edge.tasks)


@pytest.mark.parametrize("seed", range(12))
def test_where_the_bytes_are_cut_changes_nothing(running: Running, seed: int) -> None:
    requests = [
        b"GET /echo/1?a HTTP/1.1\r\n" + HOST + b"X-Empty:\r\n\r\n",
        b"POST /echo/2 HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nabcde",
        b"\r\nPOST /echo/3 HTTP/1.1\r\n"
        + HOST
        + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-T:\r\nX-U: u\r\n\r\n",
        b"POST /echo/4 HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc",
        b"HEAD /echo/5 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /echo/6 HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 3000 + b"\r\n\r\n",
    ]
    stream = b"".join(requests)
    cuts = sorted(random.Random(seed).sample(range(1, len(stream)), 25))
    client = running.client()
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    for begin, end in itertools.pairwise([0, *cuts, len(stream)]):
        client.send(stream[begin:end])
        time.sleep(0.001)
    answers = [client.answer(head=i == 5) for i in range(1, 7)]

    bodies = [answer.json for i, answer in enumerate(answers, 1) if i != 5]
    assert [body["path"] for body in bodies] == ["/echo/1", "/echo/2", "/echo/3", "/echo/4", "/echo/6"]
    assert [body["body"] for body in bodies] == ["", "abcde", "ab", "abc", ""]
    assert bodies[0]["headers"] == [["host", "shop.test"], ["x-empty", ""]]
    assert bodies[4]["headers"] == [["host", "shop.test"], ["x", "y" * 3000]]


@pytest.mark.timed
def test_a_request_leaves_nothing_for_the_collector(running: Running) -> None:
    """Cyclic garbage per request would cost a pause of the collector every few hundred of them."""
    client = running.client()
    request = b"GET /early HTTP/1.1\r\n" + HOST + b"\r\n"
    client.send(request)
    client.answer()
    gc.collect()
    gc.disable()
    try:
        for _ in range(200):
            client.send(request)
            client.answer()
        running.app.seen.clear()
        assert gc.collect() < 200
    finally:
        gc.enable()
