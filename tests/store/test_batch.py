"""What arrives together goes as one call, in order, and nobody is forgotten."""

import asyncio
from statistics import median
from typing import Any

import pytest
import redis

from tests.store.room_support import room_in
from waitroom.core.errors import StoreUnavailable
from waitroom.core.meter import Limits
from waitroom.store import batch
from waitroom.store.batch import MOST, Batcher
from waitroom.store.replies import Newcomer


class Calls:
    """Answers each item with its double, and remembers the calls. `gate` holds a call up until it is set."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.running = self.most_running = 0

    async def run(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await self.gate.wait()
        self.running -= 1
        if 13 in items:
            raise StoreUnavailable("unlucky")
        return [item * 2 for item in items]


async def test_what_comes_together_is_one_call_and_everybody_gets_their_own_answer() -> None:
    calls = Calls()
    batcher = Batcher(calls.run)

    answers = await asyncio.gather(*(batcher.ask(item) for item in range(100, 150)))

    assert answers == [item * 2 for item in range(100, 150)]
    assert calls.batches == [list(range(100, 150))]


async def test_no_call_carries_more_than_two_hundred() -> None:
    """5,000 visitors in one script block Redis for 58 ms."""
    calls = Calls()
    batcher = Batcher(calls.run)

    answers = await asyncio.gather(*(batcher.ask(item) for item in range(1000, 1950)))

    assert MOST == 200
    assert answers == [item * 2 for item in range(1000, 1950)]
    assert [len(batch) for batch in calls.batches] == [200, 200, 200, 200, 150]


@pytest.mark.timed
async def test_a_crowd_that_comes_at_once_never_blocks_redis_for_long(
    one_redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Redis' own account. In one call 5,000 newcomers are tens of milliseconds in which nobody else is answered."""

    async def longest_ms() -> float:
        client: Any = redis.Redis.from_url(one_redis_url)
        async with room_in(one_redis_url, Limits(10, 10)) as room:
            client.config_set("slowlog-log-slower-than", 100)
            client.slowlog_reset()
            batcher = Batcher(room.enter_these)
            await asyncio.gather(*(batcher.ask(Newcomer(f"{at:032x}", True, False)) for at in range(5000)))
            took_ms = sorted(entry["duration"] / 1000 for entry in client.slowlog_get(100))
            client.config_set("slowlog-log-slower-than", 10_000)
            client.close()
            return float(median(took_ms[-5000 // batch.MOST :]))

    kept = await longest_ms()
    monkeypatch.setattr(batch, "MOST", 5000)
    taken_out = await longest_ms()

    print(f"a call takes Redis {kept:.1f} ms, with all in one {taken_out:.1f} ms")
    assert taken_out > 8 * kept


async def test_one_call_is_under_way_at_a_time() -> None:
    """While Redis is slow the next batch grows, not the number of calls."""
    calls = Calls()
    batcher = Batcher(calls.run)
    calls.gate.clear()

    asks = [asyncio.ensure_future(batcher.ask(100))]
    for item in range(101, 130):
        await asyncio.sleep(0)
        asks.append(asyncio.ensure_future(batcher.ask(item)))
    await asyncio.sleep(0.01)
    calls.gate.set()
    await asyncio.gather(*asks)

    assert calls.most_running == 1
    assert len(calls.batches) <= 3


async def test_an_error_is_everybodys_in_the_batch_and_nobody_elses() -> None:
    calls = Calls()
    batcher = Batcher(calls.run)

    unlucky = await asyncio.gather(batcher.ask(12), batcher.ask(13), return_exceptions=True)
    after = await batcher.ask(14)

    assert [type(answer) for answer in unlucky] == [StoreUnavailable, StoreUnavailable]
    assert after == 28


async def test_who_gave_up_before_the_call_is_not_asked_for() -> None:
    calls = Calls()
    batcher = Batcher(calls.run)
    calls.gate.clear()
    first = asyncio.ensure_future(batcher.ask(1))
    await asyncio.sleep(0.01)
    gone, stays = asyncio.ensure_future(batcher.ask(2)), asyncio.ensure_future(batcher.ask(3))
    await asyncio.sleep(0)

    gone.cancel()
    await asyncio.sleep(0)
    calls.gate.set()

    assert [await first, await stays] == [2, 6]
    assert calls.batches == [[1], [3]]


async def test_who_gives_up_during_the_call_disturbs_nobody() -> None:
    calls = Calls()
    batcher = Batcher(calls.run)
    calls.gate.clear()
    gone, stays = asyncio.ensure_future(batcher.ask(2)), asyncio.ensure_future(batcher.ask(3))
    await asyncio.sleep(0.01)

    gone.cancel()
    calls.gate.set()

    assert await stays == 6


async def test_closing_leaves_nobody_waiting_also_in_a_call_under_way() -> None:
    """Cause: only those not yet sent were cancelled. Effect: a request hung in a worker that stops."""
    calls = Calls()
    batcher = Batcher(calls.run)
    calls.gate.clear()
    under_way = asyncio.ensure_future(batcher.ask(1))
    await asyncio.sleep(0.01)
    waiting = asyncio.ensure_future(batcher.ask(2))
    await asyncio.sleep(0)

    await batcher.close()

    for ask in (under_way, waiting):
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(ask, 1)


class Someone:
    """Waits without a task."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.is_gone = False

    def done(self) -> bool:
        return self.is_gone or bool(self.told)

    def set_result(self, result: int) -> None:
        self.told.append(result)

    def set_exception(self, exception: Exception) -> None:
        self.told.append(exception)

    def cancel(self) -> None:
        if not self.done():
            self.told.append("cancelled")


async def test_who_waits_without_a_task_is_told_once_and_who_left_is_not_asked_for() -> None:
    calls = Calls()
    batcher = Batcher(calls.run)
    stays, leaves, unlucky = Someone(), Someone(), Someone()

    batcher.put(100, stays)
    batcher.put(101, leaves)
    leaves.is_gone = True
    await batcher.ask(102)
    batcher.put(13, unlucky)
    with pytest.raises(StoreUnavailable):
        await batcher.ask(14)

    assert stays.told == [200]
    assert leaves.told == []
    assert calls.batches == [[100, 102], [13, 14]]
    assert [type(told) for told in unlucky.told] == [StoreUnavailable]


async def test_who_waits_without_a_task_is_told_when_the_worker_stops() -> None:
    calls = Calls()
    batcher = Batcher(calls.run)
    calls.gate.clear()
    under_way, next_one = Someone(), Someone()

    batcher.put(100, under_way)
    await asyncio.sleep(0.01)
    batcher.put(101, next_one)
    await batcher.close()
    await asyncio.sleep(0)

    assert under_way.told == next_one.told == ["cancelled"]
