"""The promises, measured at the origin: a gateway with two workers, a real Redis, hundreds of visitors over HTTP.

When somebody was called is not what their browser says, which may have heard of it late, but when Redis had the front
behind their place.
"""

import asyncio
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.app.live_support import Witness, browsers, witness
from tests.support import (
    Gateway,
    Shop,
    Story,
    most_in_window,
    running_gateway,
    running_redis,
    running_shop,
    wait_in_line,
)
from waitroom.demo.browser import Browser

RATE, BURST, VISITORS = 20, 20, 300
CALLED_TOGETHER_S = 2.0


@pytest.mark.timed
async def test_no_window_sees_more_than_the_rate_and_the_line_uses_all_of_it() -> None:
    """P1, P3, P4: 300 visitors at 20/s over two workers; what counts is when they reach the shop."""
    with running_redis() as redis:
        async with (
            running_shop() as shop,
            running_gateway(shop, redis.url, rate="20/s", workers="2") as gateway,
            witness(redis) as seen,
        ):
            with browsers(gateway, VISITORS) as people:

                async def visit(index: int) -> Story:
                    await asyncio.sleep(index * 0.005)
                    return await wait_in_line(people[index], f"/{index}")

                visits = asyncio.gather(*(visit(index) for index in range(VISITORS)))
                await asyncio.sleep(5)
                connections = connections_of(gateway)
                stories = await visits

    times = [at for _, at in first_arrivals(shop)]
    used = (VISITORS - BURST) / ((max(times) - min(times)) * RATE)
    most = {seconds: most_in_window(times, seconds) for seconds in (0.5, 1, 2, 5)}
    overtaken_s = longest_overtaking_s(shop, seen)
    print(
        f"rate used: {used:.3f}; most in a window: {most}; overtaken by people called {overtaken_s:.2f} s later; "
        f"connections by worker: {connections}"
    )
    assert all(story.inside_at for story in stories)
    assert_served_once(shop, VISITORS)
    for seconds, arrivals in most.items():
        assert arrivals <= BURST + RATE * seconds + 2
    assert used >= 0.97
    assert overtaken_s <= CALLED_TOGETHER_S
    for story in stories:
        assert story.positions == sorted(story.positions, reverse=True)
    assert min(connections) > 0, "one worker had nobody"


@pytest.mark.timed
async def test_ten_a_second_come_one_every_tenth_of_a_second() -> None:
    """P1: what the shop sees is as even as the rate says, not ten at once."""
    with running_redis() as redis:
        async with running_shop() as shop, running_gateway(shop, redis.url, rate="10/s", burst="1") as gateway:
            with browsers(gateway, 60) as people:
                await asyncio.gather(*(wait_in_line(browser, f"/{at}") for at, browser in enumerate(people)))

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


@pytest.mark.timed
async def test_a_full_room_is_handed_out_in_order_and_never_overfull() -> None:
    """P2, P3, P4: ten seats, 100 visitors who stay half a second. Half of them give the seat back, of the others the
    shop says that they have finished.
    """
    visitors, seats = 100, 10
    with running_redis() as redis:
        async with (
            running_shop() as shop,
            running_gateway(shop, redis.url, rate="100/s", max_active=str(seats), workers="2") as gateway,
            witness(redis) as seen,
        ):
            shop.answers["/thanks"] = b"HTTP/1.1 200 OK\r\nwaitroom-command: complete\r\ncontent-length: 0\r\n\r\n"
            inside = most = 0

            async def visit(index: int, browser: Browser) -> Story:
                nonlocal inside, most
                await asyncio.sleep(index * 0.01)
                story = await wait_in_line(browser, f"/{index}")
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0.5)
                inside -= 1  # before the seat is free for the next
                if index % 2:
                    await browser.fetch("/-/waitroom/leave", method="POST")
                else:
                    assert (await browser.open("/thanks")).status == 200
                return story

            with browsers(gateway, visitors) as people:
                stories = await asyncio.gather(*(visit(index, browser) for index, browser in enumerate(people)))

    overtaken_s = longest_overtaking_s(shop, seen)
    times = [at for _, at in first_arrivals(shop)]
    print(
        f"at most {most} inside and {seen.most_seats} seats; served in {times[-1] - times[0]:.1f} s; "
        f"overtaken by people called {overtaken_s:.2f} s later"
    )
    shop.arrivals = [arrival for arrival in shop.arrivals if arrival.target != "/thanks"]
    assert_served_once(shop, visitors)
    assert all(story.inside_at for story in stories)
    assert (most, seen.most_seats) == (seats, seats)
    assert overtaken_s <= CALLED_TOGETHER_S


@pytest.mark.timed
async def test_people_who_leave_do_not_slow_the_line() -> None:
    """P8: every second visitor goes away right after the page; the others come in at the full rate all the same."""
    with running_redis() as redis:
        async with running_shop() as shop, running_gateway(shop, redis.url, rate="10/s", burst="1") as gateway:
            with browsers(gateway, 240) as people:
                await asyncio.gather(*(browser.open("/") for browser in people))
                await asyncio.gather(*(browser.fetch("/-/waitroom/status") for browser in people))
                for browser in people:
                    browser.close()
                stories = await asyncio.gather(*(wait_in_line(browser) for browser in people[::2]))

    assert all(story.inside_at for story in stories)
    times = sorted(story.inside_at for story in stories if story.inside_at and story.positions)
    used = (len(times) - 1) / ((times[-1] - times[0]) * 10)
    print(f"rate used with half of the people gone: {used:.3f}")
    assert used >= 0.97


@pytest.mark.timed
@pytest.mark.long
async def test_when_half_of_the_line_leaves_the_position_falls_by_them_within_away_after() -> None:
    """P8, P11: every second one of 300 leaves, silently. Bits of presence are of 15 s each, so that much longer than
    `away_after` it may take; and all the while the rate is used.
    """
    people, rate, found_s = 300, 2, 45 + 15
    with running_redis() as redis:
        async with (
            running_shop() as shop,
            running_gateway(shop, redis.url, rate=f"{rate}/s", burst="1", away_after="45s", workers="2") as gateway,
        ):
            with browsers(gateway, people) as everybody:
                for browser in everybody:
                    await browser.open("/")
                await asyncio.gather(*(browser.fetch("/-/waitroom/status") for browser in everybody))
                left_at, inside_before = time.monotonic(), len(first_arrivals(shop))
                for browser in everybody:
                    browser.close()
                *stay, last = everybody[1::2]
                async with asyncio.TaskGroup() as tasks:
                    waiting = [tasks.create_task(wait_in_line(browser)) for browser in stay]
                    positions, seen = [people], 0.0
                    while seen < found_s + 5 and positions[-1] > 1 + sum(not one.done() for one in waiting):
                        await asyncio.sleep(1)
                        answer = await last.fetch(f"/-/waitroom/status?shown={positions[-1]}")
                        positions.append(answer.json()["position"])
                        seen = time.monotonic() - left_at
                    for one in waiting:
                        one.cancel()

    times = [at for _, at in first_arrivals(shop)][inside_before:]
    used = (len(times) - 1) / ((times[-1] - times[0]) * rate)
    print(f"position {positions[1]} to {positions[-1]}, found after {seen:.0f} s; rate used meanwhile: {used:.3f}")
    assert seen <= found_s + 2
    assert positions[1] > 0.6 * people
    assert positions == sorted(positions, reverse=True)
    assert used >= 0.97


def connections_of(gateway: Gateway) -> list[int]:
    """How many connections each worker has."""
    return [
        sum("socket:" in str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir())
        for pid in gateway.workers()
    ]


def first_arrivals(shop: Shop) -> list[tuple[int, float]]:
    """(place, when) of the first request of each visitor let in, in order of arrival."""
    first: dict[int, float] = {}
    for arrival in shop.served():
        assert arrival.place is not None
        first.setdefault(arrival.place, arrival.at)
    return sorted(first.items(), key=lambda item: item[1])


def assert_served_once(shop: Shop, visitors: int) -> None:
    """P4: each came to the shop once, with a place of their own, and nobody else came."""
    assert sorted(arrival.target for arrival in shop.arrivals) == sorted(f"/{index}" for index in range(visitors))
    assert {arrival.place for arrival in shop.arrivals} == set(range(visitors))


def longest_overtaking_s(shop: Shop, seen: Witness) -> float:
    """P3: of all pairs where the later place came in first, by how much later it was called. 0 without any."""
    order, longest_s = first_arrivals(shop), 0.0
    for index, (place, _) in enumerate(order):
        for behind, _ in order[index + 1 :]:
            if behind < place:
                longest_s = max(longest_s, seen.called_at(place) - seen.called_at(behind))
    return longest_s
