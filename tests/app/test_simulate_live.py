"""The simulation against a live gateway: the same small crowd, the same waits."""

import asyncio
import random
import time

import pytest

from tests.support import Shop, page_facts, running_gateway, running_shop, wait_in_line
from waitroom.cli.sale_options import SaleOptions, read_scenario
from waitroom.core.simulation.outcome import percentiles
from waitroom.core.simulation.simulate import simulate
from waitroom.demo.browser import Browser

VISITORS, RATE, NO_SHOWS = 150, 20, 0.2
TOLERANCE_S, TOLERANCE = 0.5, 0.1
"""The waits by percentile agree within half a second and a tenth."""


def simulated() -> tuple[float, dict[int, float]]:
    """(people let in, waits by percentile): the means of twenty seeds."""
    scenario = read_scenario(
        SaleOptions(
            crowd=VISITORS,
            arrivals="steady",
            over="1s",
            until="10m",
            patience="none",
            no_shows=f"{100 * NO_SHOWS:g}%",
            slow_tabs="0%",
            shopping="4m",
            rate=f"{RATE}/s",
            burst="1",
        )
    )
    outcomes = [simulate(scenario, random.Random(seed)) for seed in range(20)]
    waits = {share: sum(outcome.waits_s[share] for outcome in outcomes) / 20 for share in outcomes[0].waits_s}
    return sum(outcome.admitted for outcome in outcomes) / 20, waits


async def lived(shop: Shop) -> list[float]:
    """The waits of those let in, by a real gateway; a no-show closes the tab at a moment of the wait first shown."""
    dice = random.Random(1)
    waits_s: list[float] = []

    async def visit(gateway_url: str, index: int, leaves_at: float | None) -> None:
        await asyncio.sleep(index / VISITORS)
        browser = Browser(gateway_url, timeout_s=30)
        started = time.monotonic()
        limit_s = 60.0
        if leaves_at is not None:
            shown = page_facts(await browser.open("/")).get("wait_s")
            limit_s = leaves_at * (shown["low"] + shown["high"]) / 2 if shown else limit_s
        try:
            async with asyncio.timeout(limit_s):
                story = await wait_in_line(browser)
        except TimeoutError:
            return
        finally:
            browser.close()
        assert story.inside_at is not None
        waits_s.append(story.inside_at - started)

    async with running_gateway(shop, None, rate=f"{RATE}/s", burst="1") as gateway:
        leave = [dice.random() if dice.random() < NO_SHOWS else None for _ in range(VISITORS)]
        await asyncio.gather(*(visit(gateway.url, index, leaves_at) for index, leaves_at in enumerate(leave)))
    return waits_s


@pytest.mark.timed
async def test_a_live_sale_comes_out_as_the_simulation_says() -> None:
    async with running_shop() as shop:
        waits_s = await lived(shop)
    admitted, expected = simulated()

    measured = percentiles(sorted(1000 * wait for wait in waits_s))
    print(f"let in: live {len(waits_s)}, simulated {admitted:.1f}")
    print({share: (round(measured[share], 2), round(expected[share], 2)) for share in expected})
    assert len(waits_s) == pytest.approx(admitted, abs=12)
    for share, wait_s in expected.items():
        assert measured[share] == pytest.approx(wait_s, abs=TOLERANCE_S + TOLERANCE * wait_s), share
