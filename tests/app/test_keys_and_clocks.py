"""What may differ from worker to worker: the keys, half-way through a change, and the clock."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from tests.app.faults_support import LIMITS, check_promises, crowd
from tests.app.live_support import run
from tests.support import (
    ROOT,
    SECRET,
    Gateway,
    Shop,
    free_port,
    page_facts,
    running_gateway,
    running_redis,
    running_shop,
    wait_in_line,
)
from waitroom.demo.browser import Answer, Browser

OLD, NEW = SECRET, "the-next-secret-0123456789-0123456789abcd"
HOUR_S = 3600
SYNCED_S = 0.6
"""Within two syncs each worker has heard which keys the others hold."""
SHIFTED_CLOCK = """
import os, time
real = time.time
time.time = lambda: real() + float(os.environ["CLOCK_WRONG_BY_S"])
"""


class Hopping(Browser):
    """One visitor whose requests come to the gateways in turn, as behind a balancer."""

    def __init__(self, gateways: list[Gateway]) -> None:
        super().__init__(gateways[0].url)
        self.ways = [Browser(gateway.url, timeout_s=30) for gateway in gateways]
        self._next = cycle(self.ways)
        for way in self.ways:
            way.cookies = self.cookies

    async def open(self, path: str, **more: Any) -> Answer:
        return await next(self._next).open(path, **more)

    async def fetch(self, path: str, **more: Any) -> Answer:
        return await next(self._next).fetch(path, **more)

    def close(self) -> None:
        for way in self.ways:
            way.close()


async def restart(gateway: Gateway, secret: str) -> None:
    gateway.environment["WAITROOM_SECRET"] = secret
    assert await gateway.stop() == 0
    await gateway.start()


@pytest.mark.timed
async def test_a_new_secret_costs_nobody_their_place_also_half_way() -> None:
    """P7: one gateway signs with a key that the other does not know yet, while people hop between the two."""
    with running_redis() as redis:
        settings = {"rate": "20/min", "burst": "1", "session_idle": "30s", "secret": OLD}
        async with (
            running_shop() as shop,
            running_gateway(shop, redis.url, **settings) as one,
            running_gateway(shop, redis.url, **settings) as other,
        ):
            people = [Hopping([one, other]) for _ in range(9)]
            inside, line = people[0], people[1:]
            assert (await inside.open("/")).status == 200
            before = [page_facts(await person.open(f"/{at}"))["number"] for at, person in enumerate(line)]
            waiting = [asyncio.create_task(wait_in_line(person, f"/{at}")) for at, person in enumerate(line)]

            await restart(one, f"{NEW},{OLD}")
            await asyncio.sleep(SYNCED_S)
            newcomer = Hopping([one, other])
            number = page_facts(await newcomer.ways[0].open("/half-way"))["number"]
            unread = await newcomer.ways[1].open("/half-way")
            half_way = [await way.open("/inside") for way in inside.ways]
            await restart(other, f"{NEW},{OLD}")
            await run(one, "set", "rate=20/s")
            stories = await asyncio.gather(*waiting, wait_in_line(newcomer, "/half-way"))
            still_inside = [await way.open("/inside") for way in inside.ways]
            await restart(one, NEW)
            await restart(other, NEW)
            after = [await person.open("/after") for person in (inside, newcomer)]
            for person in (*people, newcomer):
                person.close()

    came = {arrival.target: arrival.place for arrival in reversed(shop.served())}
    assert all(story.inside_at for story in stories)
    assert [came[f"/{at}"] for at in range(len(line))] == before
    assert came["/half-way"] == number
    assert unread.status == 503
    assert page_facts(unread)["state"] == "retry"
    assert not unread.header("set-cookie")
    # A pass renewed with the new key is unread by the other gateway: a page that tries again, and nothing is lost.
    assert all(answer.status == 200 or page_facts(answer)["state"] == "retry" for answer in half_way)
    assert {answer.status for answer in (*still_inside, *after)} == {200}


@pytest.mark.timed
async def test_a_worker_whose_clock_is_an_hour_wrong_keeps_rate_order_and_places(tmp_path: Path) -> None:
    """P1, P3, P4: one gateway's clock is an hour ahead, the other's an hour behind; Redis time decides."""
    with running_redis() as redis:
        async with (
            running_shop() as shop,
            gateway_with_clock(shop, redis.url, tmp_path / "ahead", HOUR_S) as ahead,
            gateway_with_clock(shop, redis.url, tmp_path / "behind", -HOUR_S) as behind,
        ):
            clocks = [clock_of(gateway) - time.time() for gateway in (ahead, behind)]
            visits = await crowd([ahead, behind], 40)

    print(f"clocks wrong by {clocks[0]:.0f} and {clocks[1]:.0f} s")
    assert clocks[0] > HOUR_S - 60
    assert clocks[1] < 60 - HOUR_S
    check_promises(shop, visits)


@asynccontextmanager
async def gateway_with_clock(shop: Shop, redis_url: str, folder: Path, wrong_s: int) -> AsyncIterator[Gateway]:
    """All its processes take for the time what is wrong by so much."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SHIFTED_CLOCK)
    settings = {"origin": shop.url, "port": str(free_port()), "redis_url": redis_url, "secret": SECRET}
    gateway = Gateway(folder, settings | LIMITS)
    gateway.environment |= {"CLOCK_WRONG_BY_S": str(wrong_s), "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()


def clock_of(gateway: Gateway) -> float:
    """What a Python process of that gateway takes for the time."""
    command = [sys.executable, "-c", "import time; print(time.time())"]
    return float(subprocess.run(command, env=gateway.environment, capture_output=True, text=True, check=True).stdout)
