"""Called while away: who comes back in time is let in, who does not takes a new number with one press."""

import asyncio
import time

from tests.app.live_support import browsers
from tests.support import page_facts, running_gateway, running_redis, running_shop
from waitroom.demo.browser import Browser

TURN_HELD_S = 10


async def state_of(browser: Browser) -> str:
    return str((await browser.fetch("/-/waitroom/status")).json()["state"])


async def test_who_comes_back_within_turn_held_is_let_in_and_who_comes_later_takes_a_new_number() -> None:
    """P7: a tab that asks again after half of the time, as a background tab does, and one that sleeps longer."""
    limits = {"rate": "20/min", "burst": "1", "turn_held": f"{TURN_HELD_S}s"}
    with running_redis() as redis:
        async with running_shop() as shop, running_gateway(shop, redis.url, **limits) as gateway:
            with browsers(gateway, 3) as (first, background, asleep):
                assert (await first.open("/")).status == 200
                numbers = [page_facts(await browser.open("/"))["number"] for browser in (background, asleep)]
                called_at = time.monotonic()
                async with asyncio.timeout(10):
                    while await state_of(asleep) != "called":
                        await asyncio.sleep(0.2)

                await asyncio.sleep(TURN_HELD_S / 2)
                in_time = await background.open("/in-time")
                async with asyncio.timeout(3 * TURN_HELD_S):
                    while await state_of(asleep) == "called":
                        await asyncio.sleep(0.5)
                held_s = time.monotonic() - called_at
                claim = await asleep.fetch("/-/waitroom/claim", method="POST")
                too_late = await asleep.open("/too-late")
                pressed = page_facts(await asleep.open("/-/waitroom/join", form={"to": "/again"}))
                async with asyncio.timeout(10):
                    while (await asleep.open("/again")).status != 200:
                        await asyncio.sleep(0.5)

    assert numbers == [1, 2]
    assert in_time.status == 200
    assert held_s >= TURN_HELD_S
    assert claim.json()["state"] == page_facts(too_late)["state"] == "lapsed"
    assert pressed.get("state", "inside") != "lapsed"
    places = {arrival.target: arrival.place for arrival in shop.served()}
    assert "/too-late" not in places
    assert places["/in-time"] == 1
    assert places["/again"] == 3
