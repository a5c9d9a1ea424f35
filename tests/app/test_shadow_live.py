"""Shadow mode before a real shop: everybody gets through, and whoever would have waited is named."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.app.live_support import ask, browsers, cookies, pass_of, run
from tests.support import SECRET, Gateway, running_gateway, running_redis, running_shop
from waitroom.core.invites import Invite, InviteTokens

DOCUMENT = (("accept", "text/html"), ("sec-fetch-dest", "document"))
CHROME = ("user-agent", "Mozilla/5.0 (X11) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36")
STRIPE = ("user-agent", "Stripe/1.0")
UPGRADE = (
    ("connection", "upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
)
FLOOD = 25


async def report(gateway: Gateway, is_whole: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """`waitroom status --json` as soon as the workers have told all."""
    deadline = time.monotonic() + 15
    while True:
        facts: dict[str, Any] = json.loads(await run(gateway, "status", "--json"))
        if is_whole(facts["shadow"]) or time.monotonic() > deadline:
            return facts
        await asyncio.sleep(0.3)


async def test_in_shadow_all_get_through_the_report_names_them_and_going_live_keeps_them_inside() -> None:
    """P6 by the operator's rule, and P9: a room without any room lets all of them through; then it is live."""
    with running_redis() as redis:
        async with running_shop() as shop:
            async with running_gateway(shop, redis.url, rate="1/h", burst="1", max_active="1", shadow="1") as gateway:
                with browsers(gateway, FLOOD) as people:
                    pages = await asyncio.gather(*(person.open("/sale") for person in people))
                    again = await asyncio.gather(*(person.open("/sale") for person in people))
                    calls = [await ask(gateway, "GET", "/api/stock/4711", CHROME) for _ in range(3)]
                    hook = await ask(gateway, "POST", "/hooks/payment", STRIPE, body=b"{}")
                    socket = await ask(gateway, "GET", "/live", CHROME, *UPGRADE)
                    frame = await ask(gateway, "GET", "/widget", CHROME, ("sec-fetch-dest", "iframe"))
                    joined = await ask(gateway, "POST", "/-/waitroom/join", ("user-agent", "okhttp/4"))
                    told = await report(gateway, lambda shadow: shadow["would_have_waited"]["total"] >= FLOOD + 6)
                    status = await run(gateway, "status")
                    changed = await run(gateway, "set", "rate=5/s", "--dry-run")
                    log = gateway.events("would_have_waited")
            passes = [pass_of(person) for person in people]
            names = {name for person in people for name in person.cookies}

            async with running_gateway(shop, redis.url, rate="1/h", burst="1", max_active="1") as gateway:
                with browsers(gateway, 1) as strangers:
                    insiders = [
                        await ask(gateway, "GET", "/checkout", *DOCUMENT, *cookies(person).items()) for person in people
                    ]
                    stranger = await strangers[0].open("/sale")
                    live = await report(gateway, lambda shadow: not shadow["workers"])

    assert {page.status for page in (*pages, *again, *calls, hook, frame)} == {200}
    assert socket.status == 101
    assert joined.json()["state"] == "admitted"
    targets = [arrival.target for arrival in shop.arrivals]
    assert targets.count("/sale") == 2 * FLOOD
    assert targets.count("/hooks/payment") == 1
    assert next(a.body for a in shop.arrivals if a.target == "/hooks/payment") == b"{}"
    assert all(name.endswith("_pass") for name in names), "no ticket, and a pass for everybody"

    counted = told["shadow"]["would_have_waited"]["rows"]
    rows = {(row["kind"], row["client"], row["path"]): row["times"] for row in counted}
    assert told["shadow"]["workers"] == 1
    assert rows["document", "browser", "/sale"] == FLOOD - 1, "one of them found room, and each counts once"
    assert rows["fetch", "chrome", "/api/stock/*"] == 3
    assert rows["unsafe", "webhook", "/hooks/payment"] == 1
    assert rows["websocket", "chrome", "/live"] == 1
    assert rows["frame", "chrome", "/widget"] == 1
    assert rows["join", "android-app", "/-/waitroom/join"] == 1
    assert "IN SHADOW" in status
    assert "unsafe /hooks/payment by webhook (1 ×)" in status
    assert changed.startswith("IN SHADOW (1 of 1 workers): everybody is let through")
    assert 1 <= len(log) <= 2, "a line for all of them, not one for each"
    assert '"document browser /sale"' in log[0]

    assert len({found.place for found in passes}) == FLOOD
    assert {answer.status for answer in insiders} == {200}
    assert all(b"The shop" in answer.body for answer in insiders)
    assert stranger.status == 503
    assert live["shadow"]["workers"] == 0
    assert live["inside"] >= FLOOD


@pytest.mark.parametrize("given", [{"invite_share": "50%", "burst": "2"}, {"invite_only": "1"}], ids=["share", "only"])
async def test_in_shadow_nobody_waits_for_want_of_an_invite_or_with_one(given: dict[str, str]) -> None:
    """Whoever had redeemed an invite waited in the other line's real page, and without one nobody came in."""
    invite = Invite("testing", 1, 1, True, (int(time.time()) + 600) * 1000)
    token = InviteTokens("shop", [SECRET]).sign(invite)
    with running_redis() as redis:
        async with running_shop() as shop, running_gateway(shop, redis.url, rate="1/h", shadow="1", **given) as gateway:
            with browsers(gateway, 3) as (invited, *others):
                await invited.open(f"/-/waitroom/invite?t={token}")
                redeemed = await invited.open("/-/waitroom/invite", form={"t": token})
                pages = [await person.open("/sale") for person in (invited, *others)]
                joined = await ask(gateway, "POST", "/-/waitroom/join")

    assert (redeemed.status, redeemed.url) == (200, f"{gateway.url}/")
    assert [page.status for page in pages] == [200] * 3
    assert joined.json()["state"] == "admitted"
    assert [arrival.target for arrival in shop.arrivals] == ["/", *["/sale"] * 3]


async def test_in_shadow_a_proxy_that_asks_may_send_on_everything() -> None:
    """Forward auth is the same gate: what is asked about counts, not the question."""
    asked = (("x-forwarded-method", "POST"), ("x-forwarded-uri", "/hooks/refund?id=1"), ("x-forwarded-host", "shop"))
    with running_redis() as redis:
        async with running_shop() as shop:
            given = {"rate": "0", "shadow": "1", "trusted_proxies": "127.0.0.1", "forward_auth": "1"}
            async with running_gateway(shop, redis.url, **given) as gateway:
                permit = await ask(gateway, "GET", "/-/waitroom/auth", STRIPE, *asked)
                told = await report(gateway, lambda shadow: shadow["would_have_waited"]["total"])

    assert permit.status == 200
    assert shop.arrivals == []
    assert told["shadow"]["would_have_waited"]["rows"] == [
        {"kind": "unsafe", "client": "webhook", "path": "/hooks/refund", "times": 1}
    ]


@pytest.mark.timed
async def test_in_shadow_nobody_waits_for_a_redis_that_hangs() -> None:
    with running_redis() as redis:
        async with running_shop() as shop, running_gateway(shop, redis.url, shadow="1") as gateway:
            redis.freeze()
            try:
                begun = time.monotonic()
                hung = await ask(gateway, "GET", "/", *DOCUMENT)
                took_s = time.monotonic() - begun
                await asyncio.sleep(2.2)
                away = await ask(gateway, "POST", "/hooks", body=b"x")
            finally:
                redis.thaw()

    assert (hung.status, away.status) == (200, 200)
    assert took_s < 1.9, "less than a call to Redis may take"
