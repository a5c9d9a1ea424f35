"""How a visit ends, and what comes after it."""

import asyncio

from tests.support import page_facts, running_gateway, running_redis, running_shop, wait_in_line
from waitroom.demo.browser import Browser


async def test_a_pass_kept_after_leaving_is_worth_nothing() -> None:
    """P2: somebody kept a copy of the pass, left, and went on with it while the seat was another's."""
    with running_redis() as redis:
        async with (
            running_shop() as shop,
            running_gateway(shop, redis.url, rate="100/s", max_active="1", workers="2") as gateway,
        ):
            first, second = Browser(gateway.url), Browser(gateway.url)
            await first.open("/")
            await first.open("/confirmed")
            copied = dict(first.cookies)
            await first.fetch("/-/waitroom/leave", method="POST")
            await asyncio.sleep(1)
            inside = await wait_in_line(second, "/second")
            copies = [Browser(gateway.url) for _ in range(6)]
            for copy in copies:
                copy.cookies.update(copied)
            pages = [await copy.open("/copied") for copy in copies]
            for browser in (first, second, *copies):
                browser.close()

    assert inside.inside_at
    assert all(page_facts(page)["state"] == "waiting" for page in pages)
    assert not [arrival for arrival in shop.arrivals if arrival.target == "/copied"]


async def test_a_turn_that_is_over_is_followed_by_a_new_number() -> None:
    """A visit had ended while turns of its time could still be claimed: the ticket looked called, the claim was
    refused, and the button that takes a new number led back to the same page.
    """
    with running_redis() as redis:
        async with (
            running_shop() as shop,
            running_gateway(shop, redis.url, rate="10/s", burst="1", session_idle="30s", claim_repeat="1s") as gateway,
        ):
            crowd = [Browser(gateway.url) for _ in range(40)]
            await asyncio.gather(*(browser.open("/") for browser in crowd))
            browser = Browser(gateway.url)
            story = await wait_in_line(browser, "/in")
            ticket = {name: value for name, value in browser.cookies.items() if name.endswith("_ticket")}
            await browser.fetch("/-/waitroom/leave", method="POST")
            browser.cookies = dict(ticket)
            await asyncio.sleep(1.5)
            lapsed = await browser.open("/in")
            await browser.open("/-/waitroom/join", form={"to": "/in"})
            for each in (*crowd, browser):
                each.close()

    assert story.number is not None
    assert page_facts(lapsed).get("state") == "lapsed"
    assert browser.cookies != ticket
