"""A person with a browser, a gateway of real processes, a shop, and a line before it: to the page asked for."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis
import trustme
from playwright.async_api import BrowserContext, Page, expect

from tests.browser.browser_support import (
    CHROMIUM,
    Navigations,
    TlsFront,
    crowd_in_line,
    page_answer,
    redirect_answer,
    running_chromium,
    serving_tls,
)
from tests.patience import until
from tests.support import Gateway, Shop, need, running_gateway, running_redis, running_shop

WAIT_MS = 30_000
PRODUCT = "/products/one?colour=red"
HIDEABLE = (
    "let hidden = false;"
    "Object.defineProperty(document, 'hidden', { get: () => hidden });"
    "window.setHidden = (value) => { hidden = value; document.dispatchEvent(new Event('visibilitychange')); };"
)


@pytest.fixture(autouse=True)
def _chromium() -> None:
    need(CHROMIUM, "chromium on PATH")


@dataclass
class Street:
    """A shop behind a gateway, a Redis, and a person's browser."""

    shop: Shop
    gateway: Gateway
    person: BrowserContext
    redis_url: str

    def url(self, path: str) -> str:
        return self.gateway.url + path

    def admissions(self) -> int:
        """How many the room has counted."""
        client: Any = redis.Redis.from_url(self.redis_url)
        try:
            return int(client.hget("waitroom:{shop}:state", "admitted"))
        finally:
            client.close()


@contextlib.asynccontextmanager
async def street(*, scripts: bool = True, **settings: str) -> AsyncIterator[Street]:
    with running_redis() as server:
        async with (
            running_shop() as shop,
            running_gateway(shop, server.url, **settings) as gateway,
            running_chromium() as chromium,
        ):
            person = await chromium.new_context(java_script_enabled=scripts)
            person.set_default_timeout(WAIT_MS)
            yield Street(shop, gateway, person, server.url)
            await person.close()


async def facts_of(page: Page) -> dict[str, Any]:
    """The facts that the page was sent with."""
    return dict(json.loads(await page.locator("#facts").text_content() or "{}"))


async def position_of(page: Page) -> int:
    return int(await page.locator("#position").text_content() or 0)


def ask(path: str, method: str = "GET") -> str:
    """The script that asks the gateway as the page does; it gives up after 15 s."""
    options = f"{{ method: '{method}', signal: AbortSignal.timeout(15000) }}"
    return f"fetch('{path}', {options}).then((answer) => answer.json())"


async def be_inside(page: Page, *, timeout_ms: int = WAIT_MS) -> None:
    await page.wait_for_selector('h1:text-is("The shop")', timeout=timeout_ms)


@pytest.mark.timed
async def test_a_person_sees_the_position_fall_and_is_let_in_to_the_page_first_asked_for() -> None:
    """P4 too: the second tab of the same browser gets in with the same place, counted once."""
    async with street(rate="2/s") as here, crowd_in_line(here.gateway, 20):
        page, second = await here.person.new_page(), await here.person.new_page()
        navigations = Navigations.of(page)

        await page.goto(here.url(PRODUCT))
        await second.goto(here.url("/products/two"))
        first = await position_of(page)
        await page.wait_for_function(
            "first => Number(document.getElementById('position').textContent) < first", arg=first
        )
        navigations_while_it_fell = list(navigations.urls)
        await be_inside(page)
        await be_inside(second)

        assert first >= 10
        assert navigations_while_it_fell == [here.url(PRODUCT)]
        assert navigations.urls == [here.url(PRODUCT)] * 2
        assert second.url == here.url("/products/two")
        mine = [arrival for arrival in here.shop.served() if arrival.target.startswith("/products/")]
        assert sorted(arrival.target for arrival in mine) == [PRODUCT, "/products/two"]
        assert len({arrival.place for arrival in mine}) == 1
        await until(lambda: here.admissions() == len({arrival.place for arrival in here.shop.served()}))


async def test_without_scripts_the_page_asks_again_by_itself_and_lets_in() -> None:
    async with street(scripts=False, rate="2/s", away_after="45s") as here, crowd_in_line(here.gateway, 20):
        page = await here.person.new_page()

        await page.goto(here.url(PRODUCT))
        waited_at = await position_of(page)
        await be_inside(page, timeout_ms=20_000)

        assert waited_at >= 5
        assert page.url == here.url(PRODUCT)
        mine = [arrival for arrival in here.shop.served() if arrival.target == PRODUCT]
        assert len(mine) == 1


@dataclass
class Bank:
    """The shop's street under https, and a payment provider on another site."""

    gateway: Gateway
    shop: Shop
    person: BrowserContext
    stranger: BrowserContext
    shop_url: str


@contextlib.asynccontextmanager
async def street_with_a_bank(*, told_by: str) -> AsyncIterator[Bank]:
    """https ends before the gateway, which knows of it from a trusted proxy's word or from its settings."""
    authority, front = trustme.CA(), TlsFront()
    with running_redis() as server:
        async with (
            running_shop() as shop,
            running_shop() as bank,
            serving_tls(authority, "shop.test", front.serve) as shop_port,
            serving_tls(authority, "pay.test", bank.handle) as bank_port,
            running_chromium() as chromium,
        ):
            shop_url = f"https://shop.test:{shop_port}"
            lay_out(shop, bank, shop_url, f"https://pay.test:{bank_port}")
            settings = {"trusted_proxies": "127.0.0.1"} if told_by == "the proxy" else {"public_url": shop_url}
            async with running_gateway(shop, server.url, rate="1/s", **settings) as gateway:
                front.gateway_port = int(gateway.environment["WAITROOM_PORT"])
                person = await chromium.new_context(ignore_https_errors=True)
                stranger = await chromium.new_context(ignore_https_errors=True)
                person.set_default_timeout(WAIT_MS)
                yield Bank(gateway, shop, person, stranger, shop_url)


async def test_who_comes_back_from_a_payment_provider_is_still_inside() -> None:
    """The bank, on another site, sends the shopper back by a POST, by a redirect, and within an iframe.

    SameSite=Lax cookies do not come along with the first and the last: the shopper would stand in line, having paid.
    """
    async with street_with_a_bank(told_by="the proxy") as here:
        page, stranger = await here.person.new_page(), await here.stranger.new_page()
        async with crowd_in_line(here.gateway, 7):
            await page.goto(f"{here.shop_url}/basket")
            assert (await facts_of(page))["state"] == "waiting"
            await be_inside(page)
        async with crowd_in_line(here.gateway, 30):
            await page.goto(f"{here.shop_url}/pay/post")
            await page.wait_for_selector("text=Back by post")
            held_s = (await our_cookies(here.person))["__Host-waitroom_shop_pass"]["expires"] - time.time()
            await page.goto(f"{here.shop_url}/pay/redirect")
            await page.wait_for_selector("text=Back by redirect")
            await page.goto(f"{here.shop_url}/pay/frame")
            await page.frame_locator("iframe").locator("text=Back by frame").wait_for()
            await stranger.goto(f"{here.shop_url}/back/redirect")
            met_by_a_stranger = (await facts_of(stranger))["state"]
        cookies = await our_cookies(here.person)

    back = [arrival for arrival in here.shop.arrivals if arrival.target.startswith("/back/")]
    assert [(arrival.method, arrival.target, arrival.body) for arrival in back] == [
        ("POST", "/back/post", b"paid=yes"),
        ("GET", "/back/redirect?paid=yes", b""),
        ("POST", "/back/frame", b"paid=yes"),
    ]
    basket = next(arrival for arrival in here.shop.arrivals if arrival.target == "/basket")
    assert {arrival.place for arrival in back} == {basket.place}
    assert met_by_a_stranger == "waiting", "there was room: nobody needed a pass"
    assert cookies.keys() == {"__Host-waitroom_shop_ticket", "__Host-waitroom_shop_pass"}
    for cookie in cookies.values():
        assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "None")
    assert held_s > 86_400 + 29 * 60, "on the way to the bank the pass was to last for the payment"


async def test_the_public_address_alone_makes_the_cookies_those_of_https() -> None:
    async with street_with_a_bank(told_by="the settings") as here:
        page = await here.person.new_page()

        await page.goto(f"{here.shop_url}/basket")
        await be_inside(page)
        await page.goto(f"{here.shop_url}/pay/post")
        await page.wait_for_selector("text=Back by post")

        assert (await our_cookies(here.person)).keys() == {"__Host-waitroom_shop_pass"}
        assert [(arrival.target, arrival.place) for arrival in here.shop.served()] == [
            ("/basket", 0),
            ("/pay/post", 0),
            ("/back/post", 0),
        ]


async def our_cookies(person: BrowserContext) -> dict[str, Any]:
    return {cookie["name"]: cookie for cookie in await person.cookies()}


def lay_out(shop: Shop, bank: Shop, shop_url: str, bank_url: str) -> None:
    """A shop that sends people to pay, and a bank that sends them back."""
    post = "<form method=post action={}><input name=paid value=yes></form><script>document.forms[0].submit()</script>"
    for way in ("post", "redirect", "frame"):
        shop.answers[f"/pay/{way}"] = redirect_answer(f"{bank_url}/{way}")
        shop.answers[f"/back/{way}"] = page_answer(f"Back by {way}")
        bank.answers[f"/{way}"] = page_answer("The bank", post.format(f"{shop_url}/back/{way}"))
    shop.answers["/pay/frame"] = page_answer("Pay here", f"<iframe src={bank_url}/frame></iframe>")
    bank.answers["/redirect"] = redirect_answer(f"{shop_url}/back/redirect?paid=yes")


async def test_a_place_survives_a_reload_and_a_closed_tab_until_it_is_given_back() -> None:
    """P7; and an operator's message appears on the open page, and goes, without a reload."""
    async with street(rate="2/h", burst="1") as here, crowd_in_line(here.gateway, 4):
        page = await here.person.new_page()
        await page.goto(here.url(PRODUCT))
        number = (await facts_of(page))["number"]

        await page.reload()
        assert (await facts_of(page))["number"] == number
        await page.close()
        page = await here.person.new_page()
        await page.goto(here.url("/elsewhere"))
        assert (await facts_of(page))["number"] == number

        navigations = Navigations.of(page)
        await asyncio.to_thread(here.gateway.command, "hold", "We mend the till.")
        await expect(page.locator("#message")).to_have_text("We mend the till.", timeout=WAIT_MS)
        await expect(page.locator("h1:visible")).to_have_text("The line is paused")
        missed = await page.evaluate(ask("/-/waitroom/status?hold=20&state=waiting"))
        assert missed["state"] == "held", "a change between two polls is told at once, not held back"
        await asyncio.to_thread(here.gateway.command, "resume")
        await expect(page.locator("h1:visible")).to_have_text("You’re in line", timeout=WAIT_MS)
        assert navigations.urls == []

        left = await page.evaluate(ask("/-/waitroom/leave", "POST"))
        assert left["state"] == "none"
        assert await here.person.cookies() == []
        await page.goto(here.url(PRODUCT))
        assert (await facts_of(page))["number"] > number


async def test_a_page_that_was_hidden_or_asleep_gets_in_when_it_is_looked_at() -> None:
    """The hidden tab announces the turn, and claims when shown. The browser that slept was called while away."""
    async with street(rate="2/s") as here, crowd_in_line(here.gateway, 18):
        await here.person.add_init_script(HIDEABLE)
        page = await here.person.new_page()
        await page.goto(here.url(PRODUCT))
        await page.evaluate("setHidden(true)")
        sleeper = await asleep(here)

        await expect(page).to_have_title("It’s your turn · The shop", timeout=WAIT_MS)
        await asyncio.sleep(1)  # long enough for a page that claims while hidden to be caught
        arrived = [arrival.target for arrival in here.shop.served()]
        await page.evaluate("setHidden(false)")
        await be_inside(page)
        await sleeper.wake()
        await be_inside(sleeper.page)

        assert PRODUCT not in arrived
        assert page.url == here.url(PRODUCT)
        assert sleeper.page.url == here.url("/asleep")


@dataclass
class Sleeper:
    page: Page
    session: Any

    async def wake(self) -> None:
        await self.session.send("Page.setWebLifecycleState", {"state": "active"})


async def asleep(here: Street) -> Sleeper:
    """A person with a browser of their own, in line, whose page the browser froze."""
    assert here.person.browser is not None
    context = await here.person.browser.new_context()
    context.set_default_timeout(WAIT_MS)
    page = await context.new_page()
    await page.goto(here.url("/asleep"))
    session = await context.new_cdp_session(page)
    await session.send("Page.setWebLifecycleState", {"state": "frozen"})
    return Sleeper(page, session)
