"""The promises, measured at the origin: a gateway with two workers, a real Redis, hundreds of visitors over HTTP."""

import asyncio
import time
from itertools import pairwise

import pytest

from tests.support import Shop, Story, most_in_window, running_gateway, running_redis, running_shop, wait_in_line
from waitroom.demo.browser import Browser

RATE, BURST, VISITORS = 20, 20, 300


@pytest.mark.timed
async def test_no_window_sees_more_than_the_rate_and_the_line_uses_all_of_it() -> None:
    """P1, P3, P4: 300 visitors at 20/s over two workers; what counts is when they reach the shop."""
    with running_redis() as redis:
        async with running_shop() as shop, running_gateway(shop, redis.url, rate="20/s", workers="2") as gateway:
            browsers = [Browser(gateway.url, timeout_s=30) for _ in range(VISITORS)]

            async def visit(index: int) -> Story:
                await asyncio.sleep(index * 0.005)
                return await wait_in_line(browsers[index], f"/{index}")

            stories = await asyncio.gather(*(visit(index) for index in range(VISITORS)))
            for browser in browsers:
                browser.close()

    times = [at for _, at in first_arrivals(shop)]
    assert len(times) == VISITORS
    assert all(story.inside_at for story in stories)
    for seconds in (0.5, 1, 2, 5):
        assert most_in_window(times, seconds) <= BURST + RATE * seconds + 2
    used = (VISITORS - BURST) / ((max(times) - min(times)) * RATE)
    print(f"rate used: {used:.3f}")
    assert used >= 0.97
    assert_nobody_was_overtaken(shop, stories)
    for story in stories:
        assert story.positions == sorted(story.positions, reverse=True)


@pytest.mark.timed
async def test_ten_a_second_come_one_every_tenth_of_a_second() -> None:
    """P1: what the shop sees is as even as the rate says, not ten at once."""
    with running_redis() as redis:
        async with running_shop() as shop, running_gateway(shop, redis.url, rate="10/s", burst="1") as gateway:
            browsers = [Browser(gateway.url, timeout_s=30) for _ in range(60)]
            await asyncio.gather(*(wait_in_line(browser, f"/{at}") for at, browser in enumerate(browsers)))
            for browser in browsers:
                browser.close()

    times = [at for _, at in first_arrivals(shop)]
    gaps = sorted(later - earlier for earlier, later in pairwise(times))
    median, tenth, worst = gaps[len(gaps) // 2], gaps[len(gaps) // 10], gaps[-1]
    most = gaps[len(gaps) * 9 // 10]
    print(
        f"gaps in ms: 10 % {tenth * 1e3:.0f}, median {median * 1e3:.0f}, 90 % {most * 1e3:.0f}, worst {worst * 1e3:.0f}"
    )
    assert len(times) == 60
    assert 0.08 <= median <= 0.12
    assert most <= 0.2
    assert worst <= 0.6


async def test_a_full_room_is_handed_out_in_order_and_never_overfull() -> None:
    """P2, P3: ten seats, 100 visitors who stay half a second and give the seat back."""
    with running_redis() as redis:
        async with (
            running_shop() as shop,
            running_gateway(shop, redis.url, rate="100/s", max_active="10", workers="2") as gateway,
        ):
            inside = most = 0

            async def visit(index: int) -> Story:
                nonlocal inside, most
                await asyncio.sleep(index * 0.01)
                browser = Browser(gateway.url, timeout_s=30)
                story = await wait_in_line(browser, f"/{index}")
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0.5)
                inside -= 1  # before the seat is free for the next
                await browser.fetch("/-/waitroom/leave", method="POST")
                browser.close()
                return story

            stories = await asyncio.gather(*(visit(index) for index in range(100)))

    assert len(first_arrivals(shop)) == 100
    assert most <= 10
    assert all(story.inside_at for story in stories)
    assert_nobody_was_overtaken(shop, stories)


@pytest.mark.timed
async def test_people_who_leave_do_not_slow_the_line() -> None:
    """P8: every second visitor goes away right after the page; the others come in at the full rate all the same."""
    with running_redis() as redis:
        async with running_shop() as shop, running_gateway(shop, redis.url, rate="10/s", burst="1") as gateway:
            browsers = [Browser(gateway.url, timeout_s=30) for _ in range(240)]
            await asyncio.gather(*(browser.open("/") for browser in browsers))
            await asyncio.gather(*(browser.fetch("/-/waitroom/status") for browser in browsers))
            for browser in browsers:
                browser.close()
            stories = await asyncio.gather(*(wait_in_line(browser) for browser in browsers[::2]))
            for browser in browsers:
                browser.close()

    assert all(story.inside_at for story in stories)
    times = sorted(story.inside_at for story in stories if story.inside_at and story.positions)
    used = (len(times) - 1) / ((times[-1] - times[0]) * 10)
    print(f"rate used with half of the people gone: {used:.3f}")
    assert used >= 0.97


@pytest.mark.timed
async def test_the_position_falls_by_those_who_left_within_away_after() -> None:
    """P8, P11: ten people stand behind 300 who have gone; the rate alone would take five minutes to show it."""
    with running_redis() as redis:
        async with (
            running_shop() as shop,
            running_gateway(shop, redis.url, rate="1/s", burst="1", away_after="45s") as gateway,
        ):
            gone = [Browser(gateway.url) for _ in range(300)]
            await asyncio.gather(*(browser.open("/") for browser in gone))
            await asyncio.gather(*(browser.fetch("/-/waitroom/status") for browser in gone))
            left_at = time.monotonic()
            stay = [Browser(gateway.url) for _ in range(10)]
            await asyncio.gather(*(browser.open("/") for browser in stay))
            positions: list[int] = []
            while time.monotonic() - left_at < 45 + 15 + 10 and (not positions or positions[-1] > 10):
                facts = [(await browser.fetch("/-/waitroom/status")).json() for browser in stay]
                positions.append(max(fact.get("position") or 1 for fact in facts))
                await asyncio.sleep(2)
            for browser in (*gone, *stay):
                browser.close()

    print(f"positions of the last: {positions}")
    assert positions[0] > 250
    assert positions == sorted(positions, reverse=True)
    assert positions[-1] <= 10


def first_arrivals(shop: Shop) -> list[tuple[int, float]]:
    """(place, when) of the first request of each visitor let in, in order of arrival."""
    first: dict[int, float] = {}
    for arrival in shop.served():
        assert arrival.place is not None
        first.setdefault(arrival.place, arrival.at)
    return sorted(first.items(), key=lambda item: item[1])


def assert_nobody_was_overtaken(shop: Shop, stories: list[Story]) -> None:
    """P3: whoever came in before somebody with a lower place was called within two seconds of them."""
    called = {story.number: story.called_at for story in stories if story.number is not None and story.called_at}
    order = first_arrivals(shop)
    for index, (place, at) in enumerate(order):
        for later, later_at in order[index + 1 :]:
            if later < place and later in called and place in called:
                assert abs(called[later] - called[place]) <= 2.0, (place, later, at, later_at)
