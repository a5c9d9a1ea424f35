"""WebSockets through the whole gateway: nobody without a pass, and whoever has one open is seen."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Request, Response

from tests.app.live_support import cookies, pass_of, seat_end
from tests.support import SECRET, Gateway, Shop, running_gateway, running_redis
from waitroom.core.tokens import Tokens
from waitroom.demo.browser import Browser


@dataclass
class LiveShop:
    """Pages, and a WebSocket that repeats what it hears."""

    shop: Shop = field(default_factory=Shop)
    asked: list[Request] = field(default_factory=list)

    async def repeat(self, socket: ServerConnection) -> None:
        async for message in socket:
            await socket.send(message)

    def page(self, socket: ServerConnection, request: Request) -> Response | None:
        self.asked.append(request)
        return None if "upgrade" in request.headers else socket.respond(200, "the shop\n")


@contextlib.asynccontextmanager
async def running_live_shop() -> AsyncIterator[LiveShop]:
    live = LiveShop()
    async with serve(live.repeat, "127.0.0.1", 0, process_request=live.page) as server:
        live.shop.port = server.sockets[0].getsockname()[1]
        yield live


def address(gateway: Gateway) -> str:
    return f"ws://127.0.0.1:{gateway.environment['WAITROOM_PORT']}/live"


async def test_a_socket_needs_a_pass_and_a_stop_ends_it() -> None:
    """P6: without one the shop hears nothing, and the refusal is an HTTP answer. A stop does not wait for sockets."""
    with running_redis() as redis:
        async with running_live_shop() as live, running_gateway(live.shop, redis.url, rate="1/h", burst="1") as gateway:
            inside, in_line = Browser(gateway.url), Browser(gateway.url)
            await inside.open("/")
            await in_line.open("/")
            live.asked.clear()

            refused = []
            for headers in ({}, cookies(in_line), {"cookie": "waitroom_shop_pass=forged"}):
                with pytest.raises(InvalidStatus) as caught:
                    await connect(address(gateway), additional_headers=headers)
                refused.append(caught.value.response)
            heard_of_them = list(live.asked)

            async with connect(address(gateway), additional_headers=cookies(inside)) as socket:
                await socket.send("hello")
                heard = await socket.recv()
                began = time.monotonic()
                status = await gateway.stop()
                with pytest.raises(ConnectionClosed):
                    await socket.recv()
            inside.close()
            in_line.close()

    assert [answer.status_code for answer in refused] == [503, 503, 503]
    assert all(answer.headers["content-type"] == "application/problem+json" for answer in refused)
    assert json.loads(refused[0].body or b"")["type"] == "urn:waitroom:problem:in-line"
    assert not heard_of_them
    assert heard == "hello"
    assert live.asked[0].headers["waitroom-place"] == "0"
    assert "waitroom_shop_pass" not in live.asked[0].headers.get("cookie", "")
    assert status == 0
    assert time.monotonic() - began < 8


async def test_an_open_socket_counts_as_being_seen_until_the_visitor_leaves() -> None:
    """The seat's end moves on while nothing but the socket is open; a pass that ran out meanwhile is given anew."""
    with running_redis() as redis:
        async with (
            running_live_shop() as live,
            running_gateway(live.shop, redis.url, rate="10/s", session_idle="30s") as gateway,
        ):
            browser = Browser(gateway.url)
            for _ in range(2):
                await browser.open("/")
            pass_ = pass_of(browser)
            async with connect(address(gateway), additional_headers=cookies(browser)) as socket:
                await asyncio.sleep(0.6)
                first = seat_end(redis, pass_)
                async with asyncio.timeout(10):
                    while seat_end(redis, pass_) <= first:
                        await asyncio.sleep(0.2)
                moved_ms = seat_end(redis, pass_) - first

                ended = pass_._replace(end_ms=round(time.time() * 1000) - 1000)
                (name,) = (name for name in browser.cookies if name.endswith("_pass"))
                browser.cookies[name] = Tokens("shop", [SECRET]).sign_pass(ended)
                again = await browser.open("/")
                renewed = pass_of(browser)
                await browser.fetch("/-/waitroom/leave", method="POST")
                async with asyncio.timeout(10):
                    with pytest.raises(ConnectionClosed):
                        await socket.recv()
            browser.close()

    assert 3000 <= moved_ms < 16_000, "not only at the end"
    assert again.status == 200
    assert renewed.place == pass_.place
    assert renewed.end_ms > ended.end_ms + 25_000
