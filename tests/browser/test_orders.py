"""A person orders at an overrun shop, loses the connection, and finds out what became of the order."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from playwright.async_api import Browser as Chromium
from playwright.async_api import BrowserContext, Page, expect

from tests.browser.browser_support import CHROMIUM, page_answer, redirect_answer, running_chromium
from tests.patience import until
from tests.support import Arrival, Gateway, Shop, need, running_gateway, running_redis, running_shop

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAIT_MS = 20_000
FORM = (
    '<form method="post" action="/buy"><input type="hidden" name="basket" value="7">'
    "<input name='note' aria-label='Note'><button>Order now</button></form>"
)
ROUTE = "POST /buy key=form:basket success=location:/thanks/* reference=location:/thanks/*"


@dataclass
class Street:
    """A shop with a form to order by, behind a gateway that knows it."""

    shop: Shop
    gateway: Gateway
    chromium: Chromium

    @contextlib.asynccontextmanager
    async def person(self, *, scripts: bool = True) -> AsyncIterator[BrowserContext]:
        person = await self.chromium.new_context(java_script_enabled=scripts, timezone_id="Asia/Tokyo")
        person.set_default_timeout(WAIT_MS)
        yield person
        await person.close()

    async def at_the_form(self, person: BrowserContext) -> Page:
        page = await person.new_page()
        await page.goto(f"{self.gateway.url}/")
        return page

    async def orders_of(self, person: BrowserContext) -> Page:
        page = await person.new_page()
        await page.goto(f"{self.gateway.url}/-/waitroom/orders")
        return page

    def sent(self) -> list[Arrival]:
        """The orders that reached the shop."""
        return [arrival for arrival in self.shop.arrivals if arrival.method == "POST"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def street() -> AsyncIterator[Street]:
    need(CHROMIUM, "chromium on PATH")
    with running_redis() as redis:
        async with (
            running_shop() as shop,
            running_gateway(shop, redis.url, rate="100/s", order_routes=ROUTE, order_repeat="0") as gateway,
            running_chromium() as chromium,
        ):
            yield Street(shop, gateway, chromium)


@pytest.fixture
def here(street: Street) -> Street:
    """The shop as it is on a quiet day."""
    street.shop.delay_s = 0
    street.shop.arrivals.clear()
    street.shop.answers |= {
        "/": page_answer("The shop", FORM),
        "/buy": redirect_answer("/thanks/T-17"),
        "/thanks/T-17": page_answer("Thank you"),
    }
    return street


async def test_an_order_is_found_after_the_connection_was_lost(here: Street) -> None:
    """The shop takes seconds to answer; the tab is closed meanwhile; another one tells what became of it."""
    async with here.person() as person:
        page = await here.at_the_form(person)
        here.shop.delay_s = 4.0
        await page.get_by_role("button", name="Order now").click(no_wait_after=True)
        await until(lambda: bool(here.sent()))
        await page.close()

        orders = await here.orders_of(person)
        await expect(orders.get_by_role("heading", name="Your order is under way")).to_be_visible(timeout=WAIT_MS)
        await orders.evaluate("window.wasHere = true")
        await expect(orders.get_by_role("heading", name="Your order went through")).to_be_visible(timeout=WAIT_MS)

        await expect(orders.get_by_text("T-17")).to_be_visible(timeout=WAIT_MS)
        await expect(orders.get_by_role("heading", name="under way")).to_have_count(0)
        assert await orders.evaluate("window.wasHere")  # put in place, without a reload
        assert await orders.locator("#spoken").text_content() == "Your order went through"
        sent_at = orders.locator("time").first
        shown = await sent_at.evaluate("(time) => [time.textContent, time.dateTime]")
        hour = (int(shown[1][11:13]) + 9) % 24  # Tokyo, where this browser is
        assert f"{hour % 12 or 12}:{shown[1][14:16]}" in shown[0]
        assert len(here.sent()) == 1


async def test_whoever_does_not_know_is_asked_before_the_order_is_sent_again(here: Street) -> None:
    """The overrun shop says 503: perhaps it has the order. Sent again when the shopper says so, with the same key."""
    async with here.person() as person:
        page = await here.at_the_form(person)
        here.shop.answers["/buy"] = page_answer("Too many of us", status="503 Service Unavailable")
        await page.get_by_label("Note").fill("to the back door")
        await page.get_by_role("button", name="Order now").click()
        await expect(page.get_by_role("heading", name="Too many of us")).to_be_visible(timeout=WAIT_MS)

        here.shop.answers["/buy"] = redirect_answer("/thanks/T-17")
        await page.go_back()
        await page.get_by_role("button", name="Order now").click()
        await expect(page.get_by_role("heading", name="Order again?")).to_be_visible(timeout=WAIT_MS)
        await expect(page.get_by_role("heading", name="We do not know whether")).to_be_visible(timeout=WAIT_MS)
        assert len(here.sent()) == 1
        await page.get_by_role("button", name="Yes, order again").click()
        await expect(page.get_by_role("heading", name="Now send it once more")).to_be_visible(timeout=WAIT_MS)
        await page.get_by_role("link", name="Back to the shop").click()
        await page.get_by_role("button", name="Order now").click()
        await expect(page.get_by_role("heading", name="Thank you")).to_be_visible(timeout=WAIT_MS)

        first, second = ([value for name, value in one.headers if name == "idempotency-key"] for one in here.sent())
        assert first == second
        assert len(first) == 1


async def test_without_a_script_the_page_says_the_same_and_asks_again_by_itself(here: Street) -> None:
    async with here.person(scripts=False) as person:
        page = await here.at_the_form(person)
        here.shop.delay_s = 3.0
        await page.get_by_role("button", name="Order now").click(no_wait_after=True)
        await until(lambda: bool(here.sent()))
        await page.close()

        orders = await here.orders_of(person)
        await expect(orders.get_by_role("heading", name="Your order is under way")).to_be_visible(timeout=WAIT_MS)
        await expect(orders.get_by_role("heading", name="Your order went through")).to_be_visible(timeout=WAIT_MS)
        await expect(orders.get_by_text("UTC").first).to_be_visible(timeout=WAIT_MS)
