"""P4 over HTTP: one place is one admission and one pass, whoever repeats the claim and whatever answers get lost."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
import redis

from tests.support import Gateway, Shop, running_gateway, running_redis, running_shop
from waitroom.demo.browser import Answer, Browser

CLAIM = "/-/waitroom/claim"
TABS, COPIES, REPEATS, LOST = 20, 50, 30, 5
SYNCED_S = 1.0
"""Those who looked may all have met one worker: the other knows within a sync, four times a second."""

pytestmark = pytest.mark.timed


class Scene:
    """Two workers; the first visitor is inside, the second was just called and has not claimed."""

    def __init__(self, shop: Shop, gateway: Gateway, url: str, called: Browser) -> None:
        self.shop, self.gateway, self.called = shop, gateway, called
        self._redis = redis.Redis(unix_socket_path=urlsplit(url).path, decode_responses=True)

    def admitted(self) -> int:
        return int(str(self._redis.hget("waitroom:{shop}:state", "admitted")))

    def seats(self) -> int:
        return int(str(self._redis.zcard("waitroom:{shop}:active")))

    async def is_called(self) -> bool:
        """Both workers know: new connections are taken by either."""
        several = self.copies(12)
        answers = await asyncio.gather(*(one.fetch("/-/waitroom/status") for one in several))
        for one in several:
            one.close()
        return all(answer.json()["state"] == "called" for answer in answers)

    def copies(self, count: int) -> list[Browser]:
        """So many other browsers, or tabs, with the same ticket."""
        made = [Browser(self.gateway.url, timeout_s=30) for _ in range(count)]
        for browser in made:
            browser.cookies = dict(self.called.cookies)
        return made


@asynccontextmanager
async def somebody_called() -> AsyncIterator[Scene]:
    with running_redis() as server:
        async with (
            running_shop() as shop,
            running_gateway(shop, server.url, workers="2", rate="20/min", burst="1", max_active="9") as gateway,
        ):
            first, called = Browser(gateway.url), Browser(gateway.url)
            assert (await first.open("/")).status == 200
            assert (await called.open("/")).status == 503
            scene = Scene(shop, gateway, server.url, called)
            async with asyncio.timeout(15):
                while not await scene.is_called():
                    await asyncio.sleep(0.1)
            await asyncio.sleep(SYNCED_S)
            yield scene
            first.close()
            called.close()


def pass_of(browser: Browser) -> tuple[str, ...]:
    """Generation, place, visitor and beginning, as the pass says them: all but its end and signature."""
    return tuple(browser.cookies["waitroom_shop_pass"].split(".")[3:7])


async def claim_all(people: list[Browser]) -> list[str]:
    answers: list[Answer] = await asyncio.gather(*(one.fetch(CLAIM, method="POST", wait_s=30) for one in people))
    for one in people:
        one.close()
    return [answer.json()["state"] for answer in answers]


async def test_twenty_tabs_that_claim_at_once_get_one_admission_and_the_same_pass() -> None:
    """P4"""
    async with somebody_called() as scene:
        tabs = scene.copies(TABS)

        states = await claim_all(tabs)

        assert states == ["admitted"] * TABS
        assert len({pass_of(tab) for tab in tabs}) == 1
        assert (scene.admitted(), scene.seats()) == (2, 2)


async def test_claims_whose_answers_are_lost_count_once() -> None:
    """P4: the connection breaks before the answer is read; the page asks again, at either worker."""
    async with somebody_called() as scene:
        parts = urlsplit(scene.gateway.url)
        cookie = "; ".join(f"{name}={value}" for name, value in scene.called.cookies.items())
        head = f"POST {CLAIM} HTTP/1.1\r\nhost: {parts.netloc}\r\norigin: {scene.gateway.url}\r\ncookie: {cookie}\r\n"
        for _ in range(LOST):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.write(f"{head}content-length: 0\r\n\r\n".encode())
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.transport.abort()
        async with asyncio.timeout(10):
            while scene.admitted() < 2:
                await asyncio.sleep(0.05)

        states = await claim_all([scene.called])

        assert states == ["admitted"]
        assert (await scene.called.open("/after")).status == 200
        assert (scene.admitted(), scene.seats()) == (2, 2)


async def test_a_ticket_copied_to_fifty_browsers_is_one_admission_that_thirty_one_share() -> None:
    """P4: the shop sees one place; the others are told that the turn has passed, and whoever is inside stays so."""
    async with somebody_called() as scene:
        assert await claim_all([scene.called]) == ["admitted"]
        owner = dict(scene.called.cookies)
        del scene.called.cookies["waitroom_shop_pass"]
        copies = scene.copies(COPIES)

        states = await claim_all(copies)
        shared = [copy for copy in copies if "waitroom_shop_pass" in copy.cookies]
        pages = [await copy.open("/shared") for copy in shared]
        scene.called.cookies = owner
        still = await scene.called.open("/mine")

        assert Counter(states) == {"admitted": REPEATS, "lapsed": COPIES - REPEATS}
        assert {page.status for page in pages} == {200}
        assert {arrival.place for arrival in scene.shop.served() if arrival.target == "/shared"} == {1}
        assert still.status == 200
        assert (scene.admitted(), scene.seats()) == (2, 2)
        for copy in copies:
            copy.close()
