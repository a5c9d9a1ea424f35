"""What the live tests share: browsers that are closed however a test ends, and commands from another process."""

import asyncio
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import redis as sync_redis
import redis.asyncio as async_redis

from tests.support import SECRET, Gateway, RedisServer
from waitroom.core.tokens import Pass, Tokens
from waitroom.demo.browser import Answer, Browser, read_chunks, read_head


@contextmanager
def browsers(gateway: Gateway, count: int) -> Iterator[list[Browser]]:
    """Visitors of this gateway, who have not been here before."""
    opened = [Browser(gateway.url, timeout_s=30) for _ in range(count)]
    try:
        yield opened
    finally:
        for browser in opened:
            browser.close()


async def all_workers_say(gateway: Gateway, is_so: Callable[[Answer], bool], path: str = "/-/waitroom/status") -> None:
    """Until a dozen connections of their own in a row are told so: they don't all meet the same worker."""
    async with asyncio.timeout(20):
        in_a_row = 0
        while in_a_row < 12:
            in_a_row = in_a_row + 1 if is_so(await ask(gateway, "GET", path)) else 0
            if not in_a_row:
                await asyncio.sleep(0.05)


async def run(gateway: Gateway, *words: str) -> str:
    """`waitroom …` with the gateway's settings; what it printed."""
    done = await asyncio.to_thread(gateway.command, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def ask(gateway: Gateway, method: str, target: str, *fields: tuple[str, str], body: bytes = b"") -> Answer:
    """One request on a connection of its own, with exactly these fields besides Host and the length of the body."""
    port = int(gateway.environment["WAITROOM_PORT"])
    lines = [f"{method} {target} HTTP/1.1", f"host: 127.0.0.1:{port}", *(f"{name}: {value}" for name, value in fields)]
    if body or method == "POST":
        lines.append(f"content-length: {len(body)}")
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
            status, headers = read_head(await reader.readuntil(b"\r\n\r\n"))
            names = dict(headers)
            if method == "HEAD":
                content = b""
            elif "chunked" in names.get("transfer-encoding", ""):
                content = await read_chunks(reader)
            else:
                content = await reader.readexactly(int(names.get("content-length", 0)))
        finally:
            writer.close()
    return Answer(status, headers, content, f"{gateway.url}{target}")


def cookies(browser: Browser) -> dict[str, str]:
    """As a header field."""
    return {"cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}


def pass_of(browser: Browser) -> Pass:
    """The pass in the browser's cookie."""
    (value,) = (value for name, value in browser.cookies.items() if name.endswith("_pass"))
    found = Tokens("shop", [SECRET]).read_pass(value, round(time.time() * 1000))
    assert isinstance(found, Pass)
    return found


def seat_end(redis: RedisServer, pass_: Pass) -> float:
    """Until when Redis counts the seat, in ms; 0 if it doesn't."""
    with sync_redis.Redis(unix_socket_path=str(redis.socket)) as client:
        return client.zscore("waitroom:{shop}:active", f"{pass_.generation}:{pass_.place}") or 0.0


@dataclass
class Witness:
    """The room's front and seats, as somebody beside the gateway saw them in Redis. Times are monotonic seconds."""

    fronts: list[int] = field(default_factory=list)
    seen_at: list[float] = field(default_factory=list)
    most_seats: int = 0

    def called_at(self, place: int) -> float:
        """When a place was first seen behind the front."""
        return self.seen_at[bisect_right(self.fronts, place)]

    async def look(self, redis: RedisServer) -> None:
        async with async_redis.Redis(unix_socket_path=str(redis.socket)) as client:
            while True:
                front = await client.hget("waitroom:{shop}:state", "front")
                seats = await client.zcount("waitroom:{shop}:active", time.time() * 1000, "+inf")
                self.fronts.append(int(front or 0))
                self.seen_at.append(time.monotonic())
                self.most_seats = max(self.most_seats, seats)
                await asyncio.sleep(0.02)


@asynccontextmanager
async def witness(redis: RedisServer) -> AsyncIterator[Witness]:
    """Looks fifty times a second until the end."""
    seen = Witness()
    looking = asyncio.create_task(seen.look(redis))
    try:
        yield seen
        assert not looking.done(), looking
    finally:
        looking.cancel()
