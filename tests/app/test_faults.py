"""What fails, and who notices: processes killed, hung and emptied in the middle of a run.

In each: nobody waiting loses a place (P7), whoever is inside goes on (P9), no number is given twice (P4),
the rate holds at the shop (P1), and the line goes on by itself.
"""

import asyncio
import json
import os
import signal
import time

import pytest
import redis as sync_redis

from tests.app.faults_support import (
    BURST,
    LIMITS,
    RATE,
    check_promises,
    check_untouched,
    crowd,
    first_arrivals,
    longest_pause_s,
    shopping,
    visit,
)
from tests.app.live_support import browsers, run
from tests.support import (
    most_in_window,
    page_facts,
    running_gateway,
    running_redis,
    running_shop,
    wait_in_line,
)
from waitroom.demo.browser import Browser

pytestmark = pytest.mark.timed


async def test_a_killed_worker_takes_no_place_with_it_also_when_it_held_the_lease() -> None:
    """P1, P4, P7, P9: each of two workers is killed in turn, so one of them held the lease."""
    with running_redis() as redis:
        async with (
            running_shop() as shop,
            running_gateway(shop, redis.url, workers="2", **LIMITS) as gateway,
            shopping([gateway]) as shoppers,
        ):
            waiting = asyncio.create_task(crowd([gateway], 100))
            for victim in gateway.workers():
                await asyncio.sleep(3)
                os.kill(victim, signal.SIGKILL)
            visits = await waiting
            assert len(gateway.events("worker_ended")) == 2

    check_promises(shop, visits)
    check_untouched(shoppers)
    assert longest_pause_s(shop) < 3.5


async def test_a_killed_redis_that_comes_back_with_its_data_takes_no_place_with_it() -> None:
    """P1, P4, P7, P9"""
    with running_redis(keeps=True) as redis:
        async with (
            running_shop() as shop,
            running_gateway(shop, redis.url, workers="2", **LIMITS) as gateway,
            shopping([gateway]) as shoppers,
        ):
            waiting = asyncio.create_task(crowd([gateway], 80))
            await asyncio.sleep(3)
            redis.kill()
            await asyncio.sleep(2)
            await asyncio.to_thread(redis.start)
            visits = await waiting

    check_promises(shop, visits)
    check_untouched(shoppers)
    assert longest_pause_s(shop) < 7


async def test_a_killed_embedded_redis_is_started_again_with_its_data() -> None:
    """P1, P4, P7, P9"""
    async with (
        running_shop() as shop,
        running_gateway(shop, None, workers="2", **LIMITS) as gateway,
        shopping([gateway]) as shoppers,
    ):
        waiting = asyncio.create_task(crowd([gateway], 80))
        await asyncio.sleep(3)
        (server,) = set(gateway.children()) - set(gateway.workers())
        os.kill(server, signal.SIGKILL)
        visits = await waiting

    check_promises(shop, visits)
    check_untouched(shoppers)
    assert longest_pause_s(shop) < 7


async def test_a_redis_that_hangs_holds_the_line_and_nothing_else() -> None:
    """P1, P4, P7, P9"""
    with running_redis() as redis:
        async with (
            running_shop() as shop,
            running_gateway(shop, redis.url, workers="2", **LIMITS) as gateway,
            shopping([gateway]) as shoppers,
        ):
            waiting = asyncio.create_task(crowd([gateway], 80))
            await asyncio.sleep(3)
            redis.freeze()
            await asyncio.sleep(4)
            redis.thaw()
            visits = await waiting

    check_promises(shop, visits)
    check_untouched(shoppers)
    assert longest_pause_s(shop) < 9


async def test_a_redis_that_lost_everything_is_filled_again_from_memory() -> None:
    """P1, P4, P7, P9: two gateways, and people who come after the loss."""
    with running_redis() as redis:
        async with (
            running_shop() as shop,
            running_gateway(shop, redis.url, **LIMITS) as one,
            running_gateway(shop, redis.url, **LIMITS) as other,
            shopping([one, other]) as shoppers,
        ):
            waiting = asyncio.create_task(crowd([one, other], 60))
            await asyncio.sleep(2.5)
            with sync_redis.Redis(unix_socket_path=str(redis.socket)) as client:
                client.flushall()
            late = [asyncio.create_task(visit(one, f"/late-{at}", 1 + at / 10)) for at in range(10)]
            visits = [*await waiting, *await asyncio.gather(*late)]
            assert one.events("store_adopted") + other.events("store_adopted")
            assert len(one.events("room_created") + other.events("room_created")) == 1

    check_promises(shop, visits)
    check_untouched(shoppers)
    assert longest_pause_s(shop) < 7


async def test_while_redis_is_away_a_newcomer_gets_a_page_that_tries_again_and_no_cookie() -> None:
    """P4: whoever has no number is given none, and comes in by the same page later."""
    with running_redis(keeps=True) as redis:
        async with running_shop() as shop, running_gateway(shop, redis.url, **LIMITS) as gateway:
            with browsers(gateway, 1) as (browser,):
                redis.kill()
                asked_at = time.monotonic()
                page = await browser.open("/new")
                took_s = time.monotonic() - asked_at
                app = await browser.fetch("/api")
                joined = await browser.fetch("/-/waitroom/join", method="POST")
                ready = await browser.fetch("/-/waitroom/ready")
                cookies = dict(browser.cookies)
                await asyncio.to_thread(redis.start)
                story = await wait_in_line(browser, "/new")

    assert took_s < 4
    assert (page.status, page_facts(page)["state"]) == (503, "away")
    assert page.header("retry-after") is not None
    assert "no-store" in (page.header("cache-control") or "")
    assert (app.status, joined.status, ready.status) == (503, 503, 200)
    assert app.header("content-type") == "application/problem+json"
    assert not cookies
    assert story.inside_at
    assert len(shop.arrivals) == 1


async def test_open_lets_newcomers_in_at_the_rate_while_redis_is_away() -> None:
    """P1 over an outage, and the passes and seats of it count when Redis is back."""
    away_s = 7.0
    with running_redis(keeps=True) as redis:
        async with (
            running_shop() as shop,
            running_gateway(shop, redis.url, workers="2", on_store_failure="open", **LIMITS) as gateway,
        ):
            redis.kill()
            killed_at = time.monotonic()
            with browsers(gateway, 60) as people:

                async def insist(browser: Browser, path: str) -> int:
                    while time.monotonic() - killed_at < away_s:
                        if (await browser.open(path)).status == 200:
                            return 200
                        await asyncio.sleep(0.2)
                    return 503

                answers = await asyncio.gather(*(insist(browser, f"/{at}") for at, browser in enumerate(people)))
                await asyncio.to_thread(redis.start)
                await asyncio.sleep(2)
                inside = [browser for browser, status in zip(people, answers, strict=True) if status == 200]
                later = [(await browser.open("/later")).status for browser in inside]
                status = json.loads(await run(gateway, "status", "--json"))

    times = [arrival.at for arrival in shop.arrivals if arrival.target != "/later"]
    print(f"{len(inside)} came in, the first {min(times) - killed_at:.1f} s after the kill; {status['inside']} seats")
    assert len(times) == len(inside)
    # At least one worker's share: nobody says which worker takes a connection.
    assert len(inside) >= 0.6 * RATE / 2 * (away_s - (min(times) - killed_at))
    for seconds in (0.5, 1, 2, 5):
        assert most_in_window(times, seconds) <= BURST + RATE * seconds + 2
    assert later == [200] * len(inside)
    assert status["inside"] == len(inside)


async def test_seats_stay_counted_when_redis_is_restarted() -> None:
    """P2, P3: never more inside than there are seats, and everybody gets one in turn."""
    seats, visitors = 5, 30
    inside: set[int] = set()
    most = 0
    with running_redis(keeps=True) as redis:
        async with (
            running_shop() as shop,
            running_gateway(shop, redis.url, workers="2", rate="20/s", max_active=str(seats)) as gateway,
        ):

            async def come_and_go(at: int, browser: Browser) -> None:
                nonlocal most
                await asyncio.sleep(at * 0.02)
                assert (await wait_in_line(browser, f"/{at}", limit_s=40)).inside_at
                inside.add(at)
                most = max(most, len(inside))
                await asyncio.sleep(1)
                assert (await browser.open("/more")).status == 200
                inside.remove(at)
                assert (await browser.fetch("/-/waitroom/leave", method="POST")).status == 200

            with browsers(gateway, visitors) as people:
                waiting = asyncio.gather(*(come_and_go(at, browser) for at, browser in enumerate(people)))
                await asyncio.sleep(3)
                redis.kill()
                await asyncio.sleep(1.5)
                await asyncio.to_thread(redis.start)
                await waiting

    first = first_arrivals(shop)
    print(f"at most {most} inside; served in {max(a.at for a in first.values()) - shop.arrivals[0].at:.1f} s")
    assert most == seats
    assert len(first) == visitors


async def test_seats_stay_counted_when_redis_has_lost_everything() -> None:
    """P2, P9: the shoppers that Redis forgot keep their seats for `session_idle`."""
    seats = 5
    with running_redis() as redis:
        async with (
            running_shop() as shop,
            running_gateway(shop, redis.url, rate="20/s", max_active=str(seats)) as gateway,
        ):
            with browsers(gateway, 2 * seats) as people:
                inside, line = people[:seats], people[seats:]
                for browser in inside:
                    assert (await browser.open("/")).status == 200
                    assert (await browser.open("/again")).status == 200
                before = [(await browser.open("/")).status for browser in line]
                with sync_redis.Redis(unix_socket_path=str(redis.socket)) as client:
                    client.flushall()
                for _ in range(8):
                    await asyncio.sleep(0.5)
                    after = [(await browser.open("/")).status for browser in line]
                    still = [(await browser.open("/")).status for browser in inside]
                    assert (after, still) == ([503] * seats, [200] * seats)
                states = [(await browser.fetch("/-/waitroom/status")).json()["number"] for browser in line]

    assert before == [503] * seats
    assert states == [5, 6, 7, 8, 9]
