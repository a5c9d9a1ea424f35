"""A shop that checks for itself: behind the gateway it answers, past it it refuses."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx
import pytest
import uvicorn

from tests.app.live_support import ask
from tests.support import Shop, free_port, running_gateway, running_redis
from waitroom.demo.browser import Browser
from waitroom.verify import AsgiVerify, Receive, Scope, Send, Verifier, WsgiVerify

SECRET = "shared-with-the-shop-0123456789abcdef"


async def asgi_shop(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"shop"})


def wsgi_shop(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "4")])
    return [b"shop"]


@contextmanager
def running_asgi(port: int) -> Iterator[None]:
    app: Any = AsgiVerify(asgi_shop, f"another-secret-0123456789abcdefghij, {SECRET}")
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


class Quiet(WSGIRequestHandler):
    def log_message(self, *words: object) -> None:
        pass


@contextmanager
def running_wsgi(port: int) -> Iterator[None]:
    with make_server("127.0.0.1", port, WsgiVerify(wsgi_shop, SECRET), handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("serve", [running_asgi, running_wsgi])
async def test_a_shop_that_checks_answers_through_the_gateway_only(serve: Callable[[int], Any]) -> None:
    """P6, a second time: whoever finds the shop's own address gets nothing there, whatever header is made up."""
    port = free_port()
    with running_redis() as redis, serve(port):
        shop = Shop(port=port)
        async with running_gateway(shop, redis.url, rate="100/s", shop_secret=SECRET) as gateway:
            browser = Browser(gateway.url)
            through = [await browser.open(target) for target in ("/", "/a%20b/c?x=1&y=%2F", "/bare?", "/two//three")]
            browser.close()
            forged = await ask(gateway, "GET", "/", ("accept", "text/html"), ("waitroom-signature", "v1 1 " + "A" * 43))
        async with httpx.AsyncClient(base_url=shop.url, trust_env=False) as client:
            made_up = {
                "waitroom-place": "1",
                "waitroom-admitted-at": "1",
                "waitroom-signature": "v1 1700000000 " + "A" * 43,
            }
            past = [await client.get("/"), await client.get("/", headers=made_up), await client.post("/")]

    assert [answer.body for answer in through] == [b"shop"] * 4
    assert forged.body == b"shop"  # the gateway's own took its place
    assert [answer.status_code for answer in past] == [403] * 3
    assert past[0].text == "This shop is reached through its waiting room.\n"


def test_a_shop_may_want_a_pass_with_every_request() -> None:
    """A bypassed path is signed, but carries no place."""
    strict = Verifier(SECRET, requires_place=True)

    assert not strict.passes(b"", method=b"GET", host=b"h", target=b"/", place=b"", admitted_at=b"")


def test_an_empty_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        Verifier(" , ")
