"""A lobby, its draw and the opening, with a real gateway: the order at the shop is the drawn one."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis as sync_redis

from tests.app.live_support import all_workers_say, ask, browsers, run
from tests.app.test_verify_draw import run_program, verify
from tests.support import (
    Arrival,
    Gateway,
    RedisServer,
    Shop,
    most_in_window,
    page_facts,
    running_gateway,
    running_redis,
    running_shop,
    wait_in_line,
)
from waitroom.core.sale.draw_record import read_record
from waitroom.store.operating import settled
from waitroom.store.room import Room
from waitroom.store.sale import change_sale

PEOPLE, LEAVERS, LATE = 12, 4, 3
RATE = 5


def stated(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")


class Sale(NamedTuple):
    """A gateway whose lobby is open."""

    gateway: Gateway
    shop: Shop
    redis: RedisServer

    async def open_in(self, seconds: float) -> float:
        """State the opening; its time, in seconds since 1970."""
        room = Room.connect(self.redis.url, "shop")

        async def state() -> float:
            opens_s = time.time() + seconds
            await change_sale(room, {"opens_at": str(round(opens_s * 1000)), "due": "1"}, by="test")
            return opens_s

        try:
            return await settled(state)
        finally:
            await room.close()


@asynccontextmanager
async def sale(*, lead_s: int = 3, **more: str) -> AsyncIterator[Sale]:
    """Two workers, and a lobby that is open; when the sale opens is for the test to say."""
    now_s = time.time()
    settings = {"opens_at": stated(now_s + 3600), "lobby_at": stated(now_s - 60), "draw_lead": f"{lead_s}s"}
    settings |= {"rate": f"{RATE}/s", "burst": "1", "workers": "2"}
    with running_redis() as redis:
        async with running_shop() as shop, running_gateway(shop, redis.url, **settings, **more) as gateway:
            await all_workers_say(gateway, lambda answer: answer.status == 200, "/-/waitroom/draw")
            yield Sale(gateway, shop, redis)


async def record_of(gateway: Gateway) -> dict[str, Any]:
    answer = await ask(gateway, "GET", "/-/waitroom/draw")
    assert answer.status == 200
    return dict(json.loads(answer.body))


def overtaken_s(arrivals: list[Arrival]) -> float:
    """The longest that somebody came in after somebody of a later place."""
    came = [(arrival.place or 0, arrival.at) for arrival in arrivals]
    return max((at - then for place, at in came for later, then in came if later > place), default=0)


async def until(at_s: float) -> None:
    await asyncio.sleep(max(0, at_s - time.time()))


@pytest.mark.timed
async def test_people_come_in_by_the_drawn_places_from_the_very_opening_on(tmp_path: Path) -> None:
    """P1, P3, P4, P7, P11: a lobby of which a third has gone, people who come after the draw, and two workers."""
    async with sale() as held:
        gateway, shop, _ = held
        with browsers(gateway, PEOPLE) as here, browsers(gateway, LEAVERS) as gone, browsers(gateway, LATE) as late:
            for browser in (*here[:6], *gone, *here[6:]):
                facts = page_facts(await browser.open("/"))
                assert (facts["state"], facts["position"], facts["place"]) == ("lobby", None, None)
            announced = await record_of(gateway)
            opens_s = await held.open_in(5)
            waiting = [asyncio.create_task(wait_in_line(browser)) for browser in here]
            await until(opens_s - 1.5)
            drawn = await record_of(gateway)
            for browser in late:
                facts = page_facts(await browser.open("/"))
                assert facts["place"] == facts["number"] >= PEOPLE + LEAVERS
            waiting += [asyncio.create_task(wait_in_line(browser)) for browser in late]
            stories = await asyncio.gather(*waiting)

        arrivals = shop.served()
        places = [arrival.place for arrival in arrivals]
        text = json.dumps(drawn)
        record, _ = read_record(text)
        numbers = {story.number for story in stories[:PEOPLE]}
        assert announced["seed"] is None
        assert drawn["commitment"] == announced["commitment"]
        assert (drawn["people"], drawn["numbers"]) == (PEOPLE + LEAVERS, PEOPLE + LEAVERS)
        expected = sorted(record.places().of(number) for number in numbers if number is not None)
        expected += range(PEOPLE + LEAVERS, PEOPLE + LEAVERS + LATE)
        assert sorted(place for place in places if place is not None) == expected
        assert overtaken_s(arrivals) <= 2, "the drawn order, P3"
        assert all(before >= after for story in stories for before, after in pairwise(story.positions)), "P11"
        opened = time.monotonic() - (time.time() - opens_s)
        began = [arrival.at - opened for arrival in arrivals]
        print(f"first inside after {began[0]:.2f} s, the last of {len(began)} after {began[-1]:.2f} s")
        assert 0 <= began[0] < 2
        assert most_in_window(began, 1.0) <= 1 + RATE + 1, "P1: the burst, the rate, and one arrival's jitter"
        assert began[-1] < len(began) / RATE + 3, "the rate is used although a third has gone"

        number = sorted(numbers)[0]  # type: ignore[type-var]
        done = run_program(text, number, tmp_path)  # type: ignore[arg-type]
        assert done.stdout.strip() == str(record.places().of(number))  # type: ignore[arg-type]
        assert verify("-", "--commitment", announced["commitment"], given=text).exit_code == 0
        assert (await run(gateway, "draw", "--json")).strip() == text.replace(", ", ",").replace(": ", ":")


async def test_places_outlive_a_redis_that_loses_everything_again_and_again() -> None:
    """P4, P7: in the lobby, where all whom a worker remembers are in the draw; in the lead; after the opening."""
    async with sale(lead_s=4) as held:
        gateway, shop, redis = held
        with browsers(gateway, 8) as people:
            for browser in people[:4]:
                await browser.open("/")
            await lose(redis)
            for browser in people[4:]:
                await browser.open("/")
            opens_s = await held.open_in(6)
            waiting = [asyncio.create_task(wait_in_line(browser)) for browser in people]
            await until(opens_s - 2.5)
            before = await record_of(gateway)
            await lose(redis)
            await until(opens_s + 0.5)
            await lose(redis)
            stories = await asyncio.gather(*waiting)
            after = await record_of(gateway)

        record, _ = read_record(json.dumps(before))
        numbers = [story.number for story in stories if story.number is not None]
        assert after == before
        assert (before["people"], len(before["left_out"])) == (8, 1)
        assert sorted(map(record.places().of, numbers)) == list(range(8))
        assert sorted(arrival.place for arrival in shop.served() if arrival.place is not None) == list(range(8))


async def lose(redis: RedisServer) -> None:
    """FLUSHALL, and time for the workers to find out."""
    with sync_redis.Redis(unix_socket_path=str(redis.socket)) as client:
        client.flushall()
    await asyncio.sleep(1)


async def test_the_places_wait_for_the_note_that_an_operator_enters() -> None:
    async with sale(draw_source="a lottery") as held:
        gateway, shop, _ = held
        with browsers(gateway, 3) as people:
            waiting = [asyncio.create_task(wait_in_line(browser)) for browser in people]
            early = await asyncio.to_thread(gateway.command, "draw", "--note", "7 12 31")
            opens_s = await held.open_in(4)
            await until(opens_s + 0.5)
            before = await record_of(gateway)
            assert "missing: waitroom draw --note VALUE" in await run(gateway, "draw")
            assert "Done" in await run(gateway, "draw", "--note", "7 12 31")
            again = await asyncio.to_thread(gateway.command, "draw", "--note", "1 2 3")
            await asyncio.gather(*waiting)
            after = await record_of(gateway)

        opened = time.monotonic() - (time.time() - opens_s)
        assert (early.returncode, again.returncode) == (1, 1)
        assert "not fixed yet" in early.stderr
        assert (before["source"], before["note"], before["seed"] is None) == ("a lottery", None, False)
        assert (after["note"], len(shop.served())) == ("7 12 31", 3)
        assert all(arrival.at - opened > 3 for arrival in shop.served()), "everybody learnt their place first"
