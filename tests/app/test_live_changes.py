"""Live changes, made from another process and seen by every worker; and what a restart does to them."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis as sync_redis

from tests.app.live_support import browsers, run
from tests.support import Gateway, RedisServer, page_facts, running_gateway, running_redis, running_shop, wait_in_line
from waitroom.demo.browser import Browser

pytestmark = pytest.mark.timed

PEOPLE = 12
SLOW = {"workers": "2", "rate": "2/h", "burst": "1"}
"""Nobody is called meanwhile, however slow the machine. Connections are kept and taken by both workers, so that a dozen
people ask both.
"""


async def statuses(line: list[Browser]) -> list[dict[str, Any]]:
    answers = await asyncio.gather(*(browser.fetch("/-/waitroom/status") for browser in line))
    return [answer.json() for answer in answers]


async def until(line: list[Browser], seen: Callable[[dict[str, Any]], bool], *, within_s: float) -> float:
    """How long it took until everybody in line was told so."""
    began = time.monotonic()
    while not all(seen(facts) for facts in await statuses(line)):
        assert time.monotonic() - began < within_s, await statuses(line)
        await asyncio.sleep(0.05)
    return time.monotonic() - began


async def room(gateway: Gateway) -> dict[str, Any]:
    found = json.loads(await run(gateway, "status", "--json"))
    assert isinstance(found, dict)
    return found


async def seen_after_s(
    redis: RedisServer, gateway: Gateway, line: list[Browser], seen: Callable[[dict[str, Any]], bool], *words: str
) -> float:
    """How long after the change in Redis everybody was told; the command that makes it ends some time later."""
    began = time.time()
    seeing = asyncio.create_task(until(line, seen, within_s=20))
    await run(gateway, *words)
    seen_at = began + await seeing
    with sync_redis.Redis(unix_socket_path=str(redis.socket)) as client:
        changed_ms: Any = client.hget("waitroom:{shop}:state", "changed")
    return seen_at - int(changed_ms) / 1000


async def test_a_new_rate_a_hold_and_its_end_are_seen_by_every_worker_within_a_second() -> None:
    changes: list[tuple[tuple[str, ...], Callable[[dict[str, Any]], bool]]] = [
        (("set", "rate=3/h", "message=Nearly"), lambda f: (f["rate_per_min"], f["message"]) == (0.05, "Nearly")),
        (("hold", "The till is being mended"), lambda f: f["state"] == "held"),
        (("resume",), lambda f: (f["state"], f["rate_per_min"]) == ("waiting", 0.05)),
    ]
    took_s, held, page = [], None, None
    with running_redis() as redis:
        async with running_shop() as shop, running_gateway(shop, redis.url, **SLOW) as gateway:
            with browsers(gateway, PEOPLE) as people:
                for browser in people:
                    await browser.open("/")
                line = people[2:]
                for words, seen in changes:
                    took_s.append(await seen_after_s(redis, gateway, line, seen, *words))
                    if words[0] == "hold":
                        page, held = await line[0].open("/page"), await statuses(line)

    print("seen by every worker within", [round(seconds, 2) for seconds in took_s])
    assert max(took_s) <= 1
    assert page is not None
    assert held is not None
    assert page.status == 503
    assert b"The till is being mended" in page.body
    assert {facts["message"] for facts in held} == {"The till is being mended"}
    assert all(facts["wait_s"] is None for facts in held)


async def test_a_hold_stops_admissions_within_two_seconds_and_resume_starts_them() -> None:
    with running_redis() as redis:
        async with (
            running_shop() as shop,
            running_gateway(shop, redis.url, workers="2", rate="10/s", burst="1") as gateway,
        ):
            with browsers(gateway, 120) as people:
                waiting = [asyncio.create_task(wait_in_line(one, f"/{at}")) for at, one in enumerate(people)]
                await asyncio.sleep(1.5)

                await run(gateway, "hold", "A moment")
                held_at = time.monotonic()
                await asyncio.sleep(4)
                resuming_at = time.monotonic()
                await run(gateway, "resume")
                resumed_at = time.monotonic()
                stories = await asyncio.gather(*waiting)

    times = [arrival.at for arrival in shop.served()]
    assert all(story.inside_at for story in stories)
    assert not [at for at in times if held_at + 2 < at < resuming_at]
    after = sorted(at for at in times if at >= resuming_at)
    print(f"{len(after)} came after the hold, the first {after[0] - resumed_at:.2f} s after it")
    assert after[0] - resumed_at < 1.5
    for story in stories:
        assert story.positions == sorted(story.positions, reverse=True)


async def test_a_reset_gives_new_numbers_and_leaves_those_inside_alone() -> None:
    """P9"""
    with running_redis() as redis:
        async with running_shop() as shop, running_gateway(shop, redis.url, **SLOW) as gateway:
            with browsers(gateway, PEOPLE + 1) as people:
                pages = [await browser.open("/") for browser in people]
                inside, *line = people
                before = [facts["number"] for facts in await statuses(line)]
                tickets = {browser.cookies["waitroom_shop_ticket"] for browser in line}

                await run(gateway, "reset", "--yes")
                took_s = await until(line, lambda facts: facts["state"] == "none", within_s=1)
                numbers = [page_facts(await browser.open("/"))["number"] for browser in line]
                still = await inside.open("/cart")

    print(f"the reset was seen by every worker within {took_s:.2f} s")
    assert pages[0].status == 200
    assert before == list(range(1, PEOPLE + 1))
    assert numbers == list(range(PEOPLE))
    assert not {browser.cookies["waitroom_shop_ticket"] for browser in line} & tickets
    assert still.status == 200


async def test_a_restart_keeps_a_live_change_unless_the_environment_has_changed() -> None:
    with running_redis() as redis:
        async with running_shop() as shop, running_gateway(shop, redis.url, rate="5/s") as gateway:
            await run(gateway, "set", "rate=7/s", "max_active=40")
            await gateway.stop()
            await gateway.start()
            same = await room(gateway)

            await gateway.stop()
            gateway.environment["WAITROOM_RATE"] = "6/s"
            await gateway.start()
            changed = await room(gateway)

            await run(gateway, "set", "max_active=40")
            await run(gateway, "set", "--from-environment")
            returned = await room(gateway)

    assert (same["rate"], same["max_active"]) == ("7/s", 40)
    assert (changed["rate"], changed["max_active"]) == ("6/s", 0)
    assert (returned["rate"], returned["max_active"]) == ("6/s", 0)


async def test_going_live_in_front_of_a_running_shop_throws_nobody_out() -> None:
    """P9: `unlimited` while everybody gets a pass, then a limit: whoever is inside stays, whoever is new waits."""
    with running_redis() as redis:
        async with running_shop() as shop, running_gateway(shop, redis.url, rate="unlimited", workers="2") as gateway:
            with browsers(gateway, PEOPLE) as inside, browsers(gateway, 3) as new:
                for _ in range(2):
                    await asyncio.gather(*(browser.open("/") for browser in inside))
                said = await run(gateway, "set", "rate=1/min", "burst=1", "max_active=5")
                await asyncio.sleep(1)
                first = await new[0].open("/")
                waits = [await browser.open("/") for browser in new[1:]]
                pages = [await browser.open(f"/{n}") for n, browser in enumerate(inside)]

    assert f"{PEOPLE}" in said  # how many hold a pass
    assert [page.status for page in pages] == [200] * PEOPLE
    assert [answer.status for answer in (first, *waits)] == [503] * 3
    assert all(page_facts(answer)["state"] == "waiting" for answer in (first, *waits))
