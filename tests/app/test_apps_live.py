"""Apps in line, over real HTTP: JSON instead of pages, tokens in fields, other origins, and Cloudflare's names.

What `deploy/apps.md` shows as run is run here.
"""

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import redis as sync_redis

from tests.app.live_support import ask, browsers, run
from tests.support import Gateway, RedisServer, Shop, page_facts, running_gateway, running_redis, running_shop
from waitroom.demo.browser import Answer, Browser

pytestmark = pytest.mark.asyncio(loop_scope="module")

GUIDE = (Path(__file__).parents[2] / "deploy" / "apps.md").read_text()
ELSEWHERE, STRANGE = "https://app.test", "https://strange.test"
JSON = ("accept", "application/json")
CLOUDFLARE_FIELDS = {
    "inWaitingRoom": bool, "waitTimeKnown": bool, "waitTime": int, "waitTime25Percentile": int,
    "waitTime50Percentile": int, "waitTime75Percentile": int, "waitTimeFormatted": str, "queueIsFull": bool,
    "queueAll": bool, "lastUpdated": str, "refreshIntervalSeconds": int, "queueingMethod": str, "isFIFOQueue": bool,
    "isRandomQueue": bool, "isPassthroughQueue": bool, "isRejectQueue": bool, "isEventActive": bool,
    "isEventPrequeueing": bool, "timeUntilEventStart": int, "timeUntilEventStartFormatted": str,
    "timeUntilEventEnd": int, "timeUntilEventEndFormatted": str, "shuffleAtEventStart": bool, "turnstile": str,
    "infiniteQueue": bool,
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop() -> AsyncIterator[Shop]:
    async with running_shop() as shop:
        yield shop


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(shop: Shop) -> AsyncIterator[Gateway]:
    """A line in which nobody's turn comes."""
    with running_redis() as redis:
        more = {"cors_origins": ELSEWHERE, "cloudflare_json": "1", "waiting_status": "200"}
        async with running_gateway(shop, redis.url, rate="1/h", burst="1", **more) as gateway:
            await ask(gateway, "GET", "/", ("accept", "text/html"))
            yield gateway


def ticket_of(answer: Answer) -> tuple[str, str]:
    ticket = answer.header("waitroom-ticket")
    assert ticket is not None
    return "waitroom-ticket", ticket


def block(kind: str) -> str:
    found = re.findall(rf"^```{kind} run\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


async def test_an_app_waits_and_comes_in_with_tokens_in_fields_alone(shop: Shop) -> None:
    """The program of the guide, as it stands there."""
    program: dict[str, Any] = {}
    exec(block("python"), program)
    with running_redis() as redis:
        async with running_gateway(shop, redis.url, rate="1/h", burst="1") as gateway:
            await ask(gateway, "GET", "/", ("accept", "text/html"))
            tokens: dict[str, str] = {}
            shown: list[object] = []

            def show(position: object, wait: object) -> None:
                if not shown:
                    assert gateway.command("set", "rate=60/s").returncode == 0
                shown.append(position)

            async with asyncio.timeout(60):
                await asyncio.to_thread(program["come_in"], gateway.url, tokens, show)
            status, _, body = await asyncio.to_thread(program["ask"], gateway.url, "GET", "/inside", tokens)

    assert status == 200
    assert isinstance(shown[0], int), "it was in line before"
    assert body.startswith(b"<!doctype html><title>The shop")
    assert not any(name.startswith("waitroom-t") or name == "waitroom-pass" for name, _ in shop.arrivals[-1].headers)


async def test_the_shell_lines_of_the_guide_do_what_it_says(gateway: Gateway) -> None:
    joined = await ask(gateway, "POST", "/-/waitroom/join")
    environment = {"SHOP": gateway.url, "TICKET": ticket_of(joined)[1], "PATH": "/usr/bin:/bin"}

    done = await asyncio.to_thread(
        subprocess.run, ["sh", "-eu", "-c", block("sh")], env=environment, capture_output=True, text=True, timeout=20
    )

    assert done.returncode == 0, done.stderr
    assert re.search(r"^waitroom-ticket: t1\.shop\.", done.stdout, re.MULTILINE | re.IGNORECASE)
    assert json.loads(done.stdout[done.stdout.rindex('{"number"') :])["number"] == joined.json()["number"]


async def test_joining_twice_keeps_the_place_and_leaving_gives_it_back(gateway: Gateway) -> None:
    joined = await ask(gateway, "POST", "/-/waitroom/join")
    again = await ask(gateway, "POST", "/-/waitroom/join", ticket_of(joined))
    left = await ask(gateway, "POST", "/-/waitroom/leave", ticket_of(joined))

    assert again.json()["number"] == joined.json()["number"]
    assert (left.status, left.json()["state"]) == (200, "none")
    assert [name for name, value in left.headers if name == "set-cookie" and "Max-Age=0" in value] == ["set-cookie"] * 2


async def test_a_refused_request_says_where_the_app_stands_and_when_to_ask_again(gateway: Gateway) -> None:
    joined = await ask(gateway, "POST", "/-/waitroom/join")

    for method in ("GET", "POST"):
        answer = await ask(gateway, method, "/api/basket", ("accept", "*/*"), ticket_of(joined))
        problem = answer.json()
        assert (answer.status, answer.header("content-type")) == (503, "application/problem+json")
        assert int(answer.header("retry-after") or 0) >= 1
        assert problem["enter_url"] == f"{gateway.url}/-/waitroom/enter?to=/"
        assert problem["number"] == joined.json()["number"]
        status = (await ask(gateway, "GET", "/-/waitroom/status", ticket_of(joined))).json()
        assert status.keys() - {"cfWaitingRoom"} <= problem.keys()


async def test_only_the_shops_own_origins_read_our_answers(gateway: Gateway) -> None:
    """Also the refusals: an app that cannot read why it was refused can only guess."""
    cases = {
        "status": ("GET", "/-/waitroom/status", 200),
        "join": ("POST", "/-/waitroom/join", 200),
        "nothing there": ("GET", "/-/waitroom/nothing", 404),
        "wrong method": ("PUT", "/-/waitroom/join", 405),
        "no place": ("POST", "/-/waitroom/transfer", 409),
        "in line": ("GET", "/api", 503),
        "nothing sent": ("POST", "/api", 503),
    }
    for what, (method, target, status) in cases.items():
        site = ("sec-fetch-site", "cross-site")
        theirs = await ask(gateway, method, target, ("origin", ELSEWHERE), site, ("accept", "*/*"))
        strangers = await ask(gateway, method, target, ("origin", STRANGE), site, ("accept", "*/*"))

        assert theirs.status == status, what
        assert theirs.header("access-control-allow-origin") == ELSEWHERE, what
        assert theirs.header("access-control-allow-credentials") == "true", what
        assert "waitroom-ticket" in (theirs.header("access-control-expose-headers") or ""), what
        assert "origin" in ", ".join(value for name, value in theirs.headers if name == "vary"), what
        assert strangers.header("access-control-allow-origin") is None, what
        assert strangers.status == (403 if method == "POST" and "/-/" in target else status), what


async def test_a_preflight_is_answered_for_those_origins_alone(gateway: Gateway, shop: Shop) -> None:
    asked = (("access-control-request-method", "POST"), ("access-control-request-headers", "waitroom-ticket"))
    before = len(shop.arrivals)
    theirs = await ask(gateway, "OPTIONS", "/-/waitroom/claim", ("origin", ELSEWHERE), *asked)
    strangers = await ask(gateway, "OPTIONS", "/-/waitroom/claim", ("origin", STRANGE), *asked)

    assert (theirs.status, theirs.header("access-control-allow-methods")) == (204, "POST")
    assert "waitroom-ticket" in (theirs.header("access-control-allow-headers") or "")
    assert strangers.header("access-control-allow-origin") is None
    assert len(shop.arrivals) == before


async def test_an_app_written_for_cloudflare_stands_in_line_and_comes_in(shop: Shop) -> None:
    """It knows one address, one cookie, and the fields of `cfWaitingRoom`."""
    with running_redis() as redis:
        more = {"cloudflare_json": "1", "waiting_status": "200"}
        async with running_gateway(shop, redis.url, rate="1/h", burst="1", **more) as gateway:
            await ask(gateway, "GET", "/", ("accept", "text/html"))
            first = await ask(gateway, "GET", "/api/goods", JSON)
            cookie = (first.header("set-cookie") or "").partition(";")[0]
            room = first.json()["cfWaitingRoom"]
            second = await ask(gateway, "GET", "/api/goods", JSON, ("cookie", cookie))
            number = (await ask(gateway, "GET", "/-/waitroom/status", ("cookie", cookie))).json()["number"]
            await run(gateway, "set", "rate=60/s")
            async with asyncio.timeout(20):
                while (answer := await ask(gateway, "GET", "/api/goods", JSON, ("cookie", cookie))).body[:1] == b"{":
                    await asyncio.sleep(0.2)

    assert (first.status, first.header("content-type")) == (200, "application/json")
    assert room["inWaitingRoom"] is True
    assert second.header("set-cookie") is None, "the same place"
    assert first.json()["number"] == second.json()["number"] == number
    assert answer.body.startswith(b"<!doctype html><title>The shop")


async def test_every_field_of_cloudflares_object_is_there_with_its_type(gateway: Gateway) -> None:
    joined = await ask(gateway, "POST", "/-/waitroom/join")
    answers = [
        joined,
        await ask(gateway, "GET", "/-/waitroom/status", ticket_of(joined)),
        await ask(gateway, "GET", "/api", ("accept", "*/*"), ticket_of(joined)),
        await ask(gateway, "GET", "/api", ("accept", "*/*")),
        await ask(gateway, "GET", "/api", JSON, ticket_of(joined)),
    ]

    for answer in answers:
        room = answer.json()["cfWaitingRoom"]
        assert {name: type(value) for name, value in room.items()} == CLOUDFLARE_FIELDS
        assert room["inWaitingRoom"] is True
        assert (room["queueingMethod"], room["isFIFOQueue"]) == ("fifo", True)
    told = answers[1].json()
    assert told["cfWaitingRoom"]["lastUpdated"] == told["server_time"]
    assert told["cfWaitingRoom"]["refreshIntervalSeconds"] >= told["next_poll_s"]


async def test_a_client_without_cookies_is_told_and_never_led_in_a_circle(gateway: Gateway) -> None:
    """A browser that keeps none, and the browser inside an app that shows the page once: each is told what is so."""
    with browsers(gateway, 1) as (other,):
        await other.open("/")
        forgetful = Browser(gateway.url, keeps_cookies=False)
        try:
            first = await forgetful.open("/product/1")
            again = re.search(rb'content="\d+;url=([^"]+)"', first.body)
            assert again is not None, "the page asks again without a script"
            second = await forgetful.open(again[1].decode().replace("&amp;", "&"))
        finally:
            forgetful.close()

    assert page_facts(first)["number"] is not None
    assert (second.status, b"needs cookies" in second.body) == (403, True)
    assert second.header("location") is None


async def test_who_reloads_the_page_without_a_script_is_seen_to_be_there(shop: Shop) -> None:
    """Presence came from polls alone: whoever has no script counted as absent, and was passed over for free. Who never
    came back with the cookie is still nobody (P10).
    """
    with running_redis() as redis:
        async with running_gateway(shop, redis.url, rate="1/h", burst="1") as gateway:
            with browsers(gateway, 3) as (inside, once, reloads):
                await inside.open("/")
                left_at = page_facts(await once.open("/"))["number"]
                number = page_facts(await reloads.open("/"))["number"]
                await reloads.open("/")
                async with asyncio.timeout(10):
                    while not is_present(redis, number):
                        await asyncio.sleep(0.05)
                assert not is_present(redis, left_at)


def is_present(redis: RedisServer, number: int) -> bool:
    with sync_redis.Redis(unix_socket_path=str(redis.socket)) as client:
        beats = [client.getrange(key, number // 8, number // 8) for key in client.keys("waitroom:{shop}:beat:*")]
    return any(bits and bits[0] >> number % 8 & 1 for bits in beats)
