"""The shop fails, and nobody loses what they had."""

import asyncio
import json
import re
import time

import pytest
import redis as sync_redis

from tests.edge.raw_origin import RawOrigin, Received, Wire
from tests.support import (
    SECRET,
    Gateway,
    RedisServer,
    Shop,
    free_port,
    running_gateway,
    running_redis,
    running_shop,
)
from waitroom.core.tokens import Pass, Tokens
from waitroom.demo.browser import Answer, Browser

UNCACHED = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncache-control: no-cache\r\ncontent-length: 2\r\n\r\nok"


async def test_who_is_let_in_while_the_shop_is_down_keeps_the_pass() -> None:
    """Somebody came on the spot, the shop refused the connection, and the error page carried no pass: the next
    try was a new visitor's, at the end of the line. The page has to carry it.
    """
    gone = Shop(port=free_port())
    with running_redis() as redis:
        async with running_gateway(gone, redis.url, rate="1/min", burst="1") as gateway:
            browser, later = Browser(gateway.url), Browser(gateway.url)

            refused = await browser.open("/")
            in_line = [await later.open("/") for _ in range(3)][-1]
            again = await browser.open("/")
            facts = (await browser.fetch("/-/waitroom/status")).json()
            browser.close()
            later.close()

    assert refused.status == again.status == 502
    assert any(name.endswith("_pass") for name in browser.cookies)
    assert in_line.status in (502, 503)
    assert facts["state"] == "admitted"


async def failing(wire: Wire, request: Received) -> None:
    """The last part of the path says how."""
    match request.line.split(b" ")[1].rpartition(b"/")[2]:
        case b"reset":
            wire.reset()
        case b"garbage":
            await wire.send(b"HTTP/1.1 200 OK\r\nnot a field\r\n\r\n")
        case b"timeout":
            await wire.gone()
        case _:
            await wire.send(UNCACHED)


def check_page(answer: Answer, status: int, title: str) -> str:
    """A page for people: what happened, when to try again, and the request id, which is returned."""
    assert (answer.status, answer.header("content-type")) == (status, "text/html; charset=utf-8")
    assert (answer.header("retry-after"), answer.header("cache-control")) == ("5", "private, no-store")
    assert title in answer.body.decode()
    (request_id,) = set(
        re.findall(r"\b[0-9a-f]{12}\b", re.sub(r"(?s)<(style|script).*?</\1>", "", answer.body.decode()))
    )
    return str(request_id)


def check_problem(answer: Answer, status: int, kind: str) -> str:
    """RFC 9457, and the request id."""
    assert (answer.status, answer.header("content-type")) == (status, "application/problem+json")
    assert answer.header("retry-after") == "5"
    problem = answer.json()
    assert (problem["type"], problem["status"]) == (f"urn:waitroom:problem:{kind}", status)
    return str(problem["request_id"])


def logged(gateway: Gateway, kind: str) -> set[str]:
    """The request ids of this kind of failure in the log."""
    found = (json.loads(line) for line in gateway.events("origin_failed"))
    return {line["request_id"] for line in found if line["kind"] == kind and line["cause"]}


FAILURES = [
    ("reset", 502, "The shop broke off its answer"),
    ("garbage", 502, "The shop gave an answer that cannot be shown"),
    ("timeout", 504, "The shop takes too long to answer"),
]


async def test_each_failure_is_a_page_or_a_problem_whose_cause_is_in_the_log() -> None:
    """Where one page of the shop fails, the others are there."""
    with running_redis() as redis:
        async with (
            RawOrigin(otherwise=failing) as origin,
            running_gateway(Shop(port=origin.port), redis.url, rate="unlimited", origin_timeout="1s") as gateway,
        ):
            browser, other = Browser(gateway.url), Browser(gateway.url)
            for visitor in (browser, other):
                assert (await visitor.open("/fine")).status == 200

            for kind, status, title in FAILURES:
                page, problem = await asyncio.gather(browser.open(f"/{kind}"), other.fetch(f"/{kind}"))
                ids = {check_page(page, status, title), check_problem(problem, status, kind)}
                assert ids <= logged(gateway, kind)
                assert (await browser.open("/fine")).status == 200
            sent = await browser.open("/reset", form={"a": "b"})
            await origin.stop()
            page, problem = await asyncio.gather(browser.open("/"), other.fetch("/"))
            ids = {check_page(page, 502, "The shop cannot be reached"), check_problem(problem, 502, "refused")}
            unsent = await browser.open("/", form={"a": "b"})
            browser.close()
            other.close()

            assert ids <= logged(gateway, "refused")
    assert b"It is not certain whether the shop received what you sent." in sent.body
    assert b"What you sent did not reach the shop" in unsent.body


@pytest.mark.timed
async def test_more_at_once_than_the_shop_may_be_asked_are_told_so_after_a_while() -> None:
    go = asyncio.Event()

    async def hold(wire: Wire, request: Received) -> None:
        await go.wait()
        await wire.send(UNCACHED)

    with running_redis() as redis:
        async with (
            RawOrigin(otherwise=hold) as origin,
            running_gateway(Shop(port=origin.port), redis.url, rate="unlimited", origin_connections="1") as gateway,
        ):
            visitors = [Browser(gateway.url) for _ in range(3)]
            held = asyncio.create_task(visitors[0].open("/"))
            while not origin.requests:
                await asyncio.sleep(0.01)
            began = time.monotonic()
            page, problem = await asyncio.gather(visitors[1].open("/"), visitors[2].fetch("/"))
            waited_s = time.monotonic() - began
            go.set()
            served = await held
            again = await visitors[1].open("/")
            for visitor in visitors:
                visitor.close()

            ids = {check_page(page, 503, "The shop is very busy"), check_problem(problem, 503, "busy")}
            assert ids <= logged(gateway, "busy")
    assert 4 < waited_s < 8
    assert served.status == again.status == 200
    assert len(origin.requests) == 2


def seat_end(server: RedisServer, pass_: Pass) -> float:
    with sync_redis.Redis(unix_socket_path=str(server.socket)) as client:
        return client.zscore("waitroom:{shop}:active", f"{pass_.generation}:{pass_.place}") or 0.0


async def test_a_pass_does_not_run_out_while_the_shop_is_down() -> None:
    """Whoever keeps trying is seen: pages of ours renew the pass as the shop's would, and the seat's end moves on."""
    tokens = Tokens("shop", [SECRET])
    with running_redis() as redis:
        async with (
            running_shop() as shop,
            running_gateway(shop, redis.url, rate="1/h", burst="1", session_idle="1m") as gateway,
        ):
            browser = Browser(gateway.url)
            for _ in range(2):
                await browser.open("/")
            shop.answers["/"] = b"no HTTP at all\r\n\r\n"
            (name,) = (name for name in browser.cookies if name.endswith("_pass"))
            held = tokens.read_pass(browser.cookies[name], round(time.time() * 1000))
            assert isinstance(held, Pass)
            older = held._replace(end_ms=held.end_ms - 30_000)  # as if 30 s had passed
            browser.cookies[name] = tokens.sign_pass(older)
            before = seat_end(redis, held)

            failed = await browser.open("/")
            renewed = tokens.read_pass(browser.cookies[name], round(time.time() * 1000))
            async with asyncio.timeout(20):
                while seat_end(redis, held) <= before:
                    await asyncio.sleep(0.05)
            browser.close()

    assert failed.status == 502
    assert isinstance(renewed, Pass)
    assert renewed.end_ms >= held.end_ms
    assert renewed.place == held.place
