"""A shop that makes its own absolute links and cookies, seen under the public address: Host is kept, nothing rewritten.

The shop is a Starlette application under uvicorn, as it would be behind any proxy that it trusts.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.edge.gateway_support import Gateway, gateway
from waitroom.core.parse import parse_networks
from waitroom.core.settings import Origin

OUR_PEER = parse_networks("127.0.0.1")


async def count(request: Request) -> Response:
    visits = request.session["visits"] = request.session.get("visits", 0) + 1
    return JSONResponse({"visits": visits, "url": str(request.url), "client": request.client and request.client.host})


async def leave(request: Request) -> Response:
    """To an absolute address made of what the shop was told of the request."""
    answer = RedirectResponse(request.url_for("count"), 303)
    answer.set_cookie("theme", "dark", domain=request.url.hostname, secure=request.url.scheme == "https")
    return answer


@dataclass
class StarletteShop:
    origin: Origin


@asynccontextmanager
async def starlette_shop(**settings: Any) -> AsyncIterator[Gateway]:
    routes = [Route("/count/", count, name="count"), Route("/leave", leave, methods=["GET", "POST"])]
    app = Starlette(routes=routes, middleware=[Middleware(SessionMiddleware, secret_key="x" * 32)])
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, lifespan="off", forwarded_allow_ips="127.0.0.1")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve([listener]))
    try:
        async with gateway(StarletteShop(Origin("http", "127.0.0.1", listener.getsockname()[1])), **settings) as app_:
            yield app_
    finally:
        server.should_exit = True
        await serving


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_redirects_and_cookies_of_the_shop_stay_under_the_address_the_browser_used(method: str) -> None:
    async with starlette_shop() as app, httpx.AsyncClient(follow_redirects=True) as browser:
        base = f"http://127.0.0.1:{app.port}"

        slash = await browser.get(f"{base}/count")
        there = await browser.request(method, f"{base}/leave")

        assert slash.history[0].headers["location"] == f"{base}/count/"
        assert there.history[0].headers["location"] == f"{base}/count/"
        assert (slash.json()["visits"], there.json()["visits"]) == (1, 2)
        assert there.json()["url"] == f"{base}/count/"
        assert browser.cookies["theme"] == "dark"


@pytest.mark.parametrize(
    "settings", [{"trusted_proxies": OUR_PEER}, {"public_url": "https://shop.example"}], ids=["trusted proxy", "set"]
)
async def test_behind_tls_the_shop_makes_links_for_https(settings: dict[str, Any]) -> None:
    """A balancer in front ends TLS and tells so by X-Forwarded-Proto; or the operator has set the public address."""
    headers = {"host": "shop.example", "x-forwarded-proto": "https", "x-forwarded-for": "203.0.113.7"}
    async with starlette_shop(**settings) as app, httpx.AsyncClient(headers=headers) as balancer:
        answer = await balancer.get(f"http://127.0.0.1:{app.port}/leave")
        seen = (await balancer.get(f"http://127.0.0.1:{app.port}/count/")).json()

    assert answer.headers["location"] == "https://shop.example/count/"
    assert answer.headers["set-cookie"] == "theme=dark; Domain=shop.example; Path=/; SameSite=lax; Secure"
    assert seen["url"] == "https://shop.example/count/"
    assert seen["client"] == ("203.0.113.7" if "trusted_proxies" in settings else "127.0.0.1")


async def test_a_host_of_its_own_is_what_the_shop_makes_links_of() -> None:
    """This is what WAITROOM_ORIGIN_HOST costs, where the shop does not heed X-Forwarded-Host."""
    async with starlette_shop(origin_host="shop.internal") as app, httpx.AsyncClient() as browser:
        answer = await browser.get(f"http://127.0.0.1:{app.port}/leave")

    assert answer.headers["location"] == "http://shop.internal/count/"
