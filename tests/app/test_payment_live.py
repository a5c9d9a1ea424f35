"""The way back from a payment provider: cross-site, twelve minutes later, with the line full, it reaches the shop.

Twelve minutes are an argument: the pass is signed with the end that it would have then, and Redis counts the seat until
there. What is live is all the rest.
"""

import asyncio
import time

import redis as sync_redis

from tests.app.live_support import ask, browsers, cookies, pass_of, seat_end
from tests.app.orders_support import ROUTES, Shopper
from tests.app.till import running_till
from tests.support import SECRET, RedisServer, Shop, page_facts, running_gateway, running_redis, running_shop
from waitroom.core.tokens import Pass, Tokens
from waitroom.demo.browser import Answer

MINUTE_MS = 60_000
SETTINGS = {
    "rate": "1/s", "burst": "1", "max_active": "1", "session_idle": "5m", "session_max": "10m", "payment_held": "30m",
    "order_routes": ROUTES,
}  # fmt: skip
CROSS_SITE = (("accept", "text/html"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"))
WAYS_BACK = {
    "a form that the bank's page sends": ("POST", "document"),
    "a link": ("GET", "document"),
    "a form within an iframe (3-D Secure)": ("POST", "iframe"),
    "a link within an iframe": ("GET", "iframe"),
}


async def aged(shopper: Shopper, redis: RedisServer, by_ms: int) -> Pass:
    """The visit as it will be then: all of it began earlier. Waits until Redis counts the seat as long as the pass."""
    old = pass_of(shopper)
    async with asyncio.timeout(10):
        while seat_end(redis, old) < old.end_ms:
            await asyncio.sleep(0.05)
    pass_ = old._replace(
        end_ms=old.end_ms - by_ms, begun_ms=old.begun_ms - by_ms, valid_from_ms=old.valid_from_ms - by_ms
    )
    (name,) = (name for name in shopper.cookies if name.endswith("_pass"))
    shopper.cookies[name] = Tokens("shop", [SECRET]).sign_pass(pass_)
    with sync_redis.Redis(unix_socket_path=str(redis.socket)) as client:
        client.zincrby("waitroom:{shop}:active", -by_ms, f"{old.generation}:{old.place}")
    return pass_


async def test_the_way_back_from_a_payment_reaches_the_shop_after_twelve_minutes_with_the_line_full() -> None:
    """The pass that a visit without orders has would have ended after five and a half, and any after ten."""
    with running_redis() as redis:
        async with running_till() as till, running_gateway(Shop(port=till.port), redis.url, **SETTINGS) as gateway:
            payer = Shopper(gateway.url)
            with browsers(gateway, 1) as (waits,):
                await payer.open("/")
                await payer.open("/")
                ordered = await payer.order("1", "form-again")
                left_ms = pass_of(payer).end_ms - round(time.time() * 1000)
                pass_ = await aged(payer, redis, 12 * MINUTE_MS)
                full = page_facts(await waits.open("/"))
                statuses = {}
                for way, (method, dest) in WAYS_BACK.items():
                    path = "/order-paid" if method == "GET" else "/paid"
                    fields = (*CROSS_SITE, ("sec-fetch-dest", dest), ("cookie", cookies(payer)["cookie"]))
                    statuses[way] = (
                        await ask(gateway, method, path, *fields, body=b"result=ok" * (method == "POST"))
                    ).status
                without = await ask(gateway, "POST", "/paid", *CROSS_SITE, ("sec-fetch-dest", "document"), body=b"x=1")
                counted = seat_end(redis, pass_) - round(time.time() * 1000)
            payer.close()

    assert ordered.status == 200
    assert left_ms > 29 * MINUTE_MS
    assert full["state"] == "waiting"
    assert statuses == dict.fromkeys(WAYS_BACK, 200)
    assert without.status == 503
    assert counted > 15 * MINUTE_MS
    assert sum(head[":"] in ("POST /paid", "GET /order-paid") for head in till.heads) == len(WAYS_BACK)


async def test_a_pass_that_has_run_out_lasts_as_long_as_payment_when_its_visitor_goes_to_pay() -> None:
    """A seat outlives its pass where a WebSocket keeps it: the cookie is given anew with the very answer that leads to
    the provider, and has to last as long as any other then.
    """
    settings = {"public_url": "https://shop.example:443", "session_idle": "5m"}
    with running_redis() as redis:
        async with running_shop() as shop, running_gateway(shop, redis.url, **settings) as gateway:
            shop.answers["/pay"] = b"HTTP/1.1 303 S\r\nlocation: https://pay.example/\r\ncontent-length: 0\r\n\r\n"
            shop.answers["/next"] = b"HTTP/1.1 303 S\r\nlocation: https://shop.example/x\r\ncontent-length: 0\r\n\r\n"
            with browsers(gateway, 1) as (visitor,):
                await visitor.open("/")
                (name,) = visitor.cookies
                given = Tokens("shop", [SECRET]).read_pass(visitor.cookies[name], round(time.time() * 1000))
                assert isinstance(given, Pass)
                over = given._replace(end_ms=round(time.time() * 1000) - 1, provisional=False)
                cookie = ("cookie", f"{name}={Tokens('shop', [SECRET]).sign_pass(over)}")

                lasts_ms = [
                    end_of(await ask(gateway, "GET", path, cookie)) - round(time.time() * 1000)
                    for path in ("/next", "/pay")
                ]

    assert lasts_ms[0] < 6 * MINUTE_MS
    assert lasts_ms[1] > 29 * MINUTE_MS


def end_of(answer: Answer) -> int:
    """Of the pass that comes with it."""
    (cookie,) = (value for field, value in answer.headers if field == "set-cookie")
    found = Tokens("shop", [SECRET]).read_pass(cookie.partition("=")[2].partition(";")[0], round(time.time() * 1000))
    assert isinstance(found, Pass)
    return found.end_ms


async def test_without_the_hold_the_same_way_back_would_meet_the_line() -> None:
    """What the hold is for: a visit that only looked round is over after twelve minutes."""
    with running_redis() as redis:
        async with running_till() as till, running_gateway(Shop(port=till.port), redis.url, **SETTINGS) as gateway:
            looker = Shopper(gateway.url)
            with browsers(gateway, 1) as (waits,):
                await looker.open("/")
                await looker.open("/")
                await aged(looker, redis, 12 * MINUTE_MS)
                await waits.open("/")
                back = await ask(
                    gateway, "POST", "/paid", *CROSS_SITE, ("cookie", cookies(looker)["cookie"]), body=b"result=ok"
                )
            looker.close()

    assert back.status == 503
