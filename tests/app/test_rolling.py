"""A new version goes in: three gateways behind a real proxy are replaced one by one while everybody is there."""

import asyncio
import contextlib
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.app.front_support import PROGRAMS, PROXIES, Front, program, until_ready
from tests.support import Gateway, Shop, Story, free_port, running_gateway, running_redis, running_shop, wait_in_line
from waitroom.demo.browser import Answer, Browser, NoAnswer

INSIDE, WAITING, SOCKETS = 6, 40, 4


@dataclass
class Seen:
    """What people met: answers by status, and requests that got none."""

    answers: Counter[int] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    sockets_closed: int = 0


class Watched(Browser):
    """Notes what was not answered."""

    seen: Seen

    async def open(self, path: str, **more: object) -> Answer:
        try:
            return await super().open(path, **more)  # type: ignore[arg-type]
        except NoAnswer as error:
            self.seen.lost.append(str(error))
            raise

    async def fetch(self, path: str, **more: object) -> Answer:
        try:
            return await super().fetch(path, **more)  # type: ignore[arg-type]
        except NoAnswer as error:
            self.seen.lost.append(str(error))
            raise


def browser_of(url: str, seen: Seen) -> Watched:
    browser = Watched(url, timeout_s=30)
    browser.seen = seen
    return browser


@contextlib.asynccontextmanager
async def behind(name: str, folder: Path, shop: Shop, redis_url: str) -> AsyncIterator[tuple[str, list[Gateway]]]:
    """Three gateways and the proxy before them, in plain HTTP."""
    program(PROGRAMS[name])
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    given = {"public_url": url, "trusted_proxies": "127.0.0.1/32", "rate": "4/s", "burst": "6", "stop_delay": "2s"}
    async with AsyncExitStack() as stack:
        gateways = [await stack.enter_async_context(running_gateway(shop, redis_url, **given)) for _ in range(3)]
        ports = [int(gateway.environment["WAITROOM_PORT"]) for gateway in gateways]
        command = PROXIES[name](Front(folder, port, ports))
        with (folder / "out").open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder)
        try:
            await until_ready(url, None, process, folder)
            yield url, gateways
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 20)


async def shop_on(browser: Watched, seen: Seen, until: asyncio.Event) -> int:
    """Pages and orders, one after the other; how many orders were sent."""
    orders = 0
    while not until.is_set():
        orders += 1
        for answer in (await browser.open("/page"), await browser.open("/order", form={"number": str(orders)})):
            seen.answers[answer.status] += 1
        await asyncio.sleep(0.05)
    return orders


async def keep_socket(url: str, browser: Watched, seen: Seen, until: asyncio.Event) -> None:
    """A connection by which bytes come back; when it is closed, another one, as a page's script would."""
    port = int(url.rpartition(":")[2])
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    while not until.is_set():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"GET /live HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncookie: {cookies}\r\nconnection: Upgrade\r\n"
            "upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "\r\n".encode()
        )
        seen.answers[int((await reader.readuntil(b"\r\n\r\n")).split()[1])] += 1
        try:
            while not until.is_set():
                writer.write(b"hello")
                assert await reader.readexactly(5) == b"hello"
                await asyncio.sleep(0.1)
        except (OSError, asyncio.IncompleteReadError):
            seen.sockets_closed += 1
        finally:
            writer.close()


async def replace_all(gateways: list[Gateway]) -> list[float]:
    """SIGTERM, the end, a new one in its place; how long each was away."""
    away = []
    for gateway in gateways:
        began = time.monotonic()
        assert await gateway.stop() == 0
        await gateway.start()
        away.append(time.monotonic() - began)
    return away


@pytest.mark.timed
@pytest.mark.long
@pytest.mark.parametrize("name", ["nginx", "haproxy"])
async def test_replacing_every_gateway_fails_no_request_and_loses_no_place(name: str, tmp_path: Path) -> None:
    """P7, P9: people inside, ordering, in line on held polls, on sockets, while each of three gateways is replaced."""
    seen = Seen()
    with running_redis() as redis:
        async with running_shop() as shop, behind(name, tmp_path, shop, redis.url) as (url, gateways):
            inside = [browser_of(url, seen) for _ in range(INSIDE)]
            for browser in inside:
                assert (await browser.open("/")).status == 200
            line = [browser_of(url, seen) for _ in range(WAITING)]
            over = asyncio.Event()
            shopping = [asyncio.create_task(shop_on(browser, seen, over)) for browser in inside]
            sockets = [asyncio.create_task(keep_socket(url, inside[0], seen, over)) for _ in range(SOCKETS)]
            waiting = [asyncio.create_task(wait_in_line(browser, f"/{n}")) for n, browser in enumerate(line)]
            away = await replace_all(gateways)
            stories: list[Story] = await asyncio.gather(*waiting)
            over.set()
            orders = await asyncio.gather(*shopping)
            await asyncio.gather(*sockets)
            for browser in (*inside, *line):
                browser.close()

    posts = Counter((arrival.place, arrival.body) for arrival in shop.served() if arrival.method == "POST")
    print(f"{name}: away {[round(each, 1) for each in away]} s, answers {dict(seen.answers)}, ", end="")
    print(f"{sum(orders)} orders, sockets closed {seen.sockets_closed}, lost {seen.lost}")
    assert set(seen.answers) <= {101, 200}
    assert not seen.lost
    assert sum(orders) == len(posts)
    assert set(posts.values()) == {1}, "an order came twice"
    assert all(story.inside_at for story in stories)
    assert len({story.number for story in stories if story.number is not None}) == sum(
        story.number is not None for story in stories
    )
    for story in stories:
        assert story.positions == sorted(story.positions, reverse=True)
