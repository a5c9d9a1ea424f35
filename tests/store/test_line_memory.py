"""What several workers remember of a room that Redis lost, put together again."""

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import structlog

from tests.support import running_redis
from waitroom.core.errors import StoreUnavailable
from waitroom.core.model import Snapshot
from waitroom.core.settings import Settings
from waitroom.store.line import Line
from waitroom.store.replies import Claimant, Newcomer
from waitroom.store.room import Room

SETTINGS = Settings.model_validate({"origin": "http://shop.test", "rate": "100/s", "burst": "10"})


@asynccontextmanager
async def working(url: str) -> AsyncIterator[Line]:
    line = Line(SETTINGS, Room.connect(url, "shop"), fresh_store=True)
    await line.open()
    try:
        await until(line, lambda snapshot: True)
        yield line
    finally:
        await line.close()


async def until(line: Line, holds: Callable[[Snapshot], bool]) -> Snapshot:
    async with asyncio.timeout(20):
        while line.snapshot is None or not holds(line.snapshot):
            await line.next_sync()
    return line.snapshot


async def come(line: Line, people: int) -> list[int]:
    visitors = [Newcomer(f"{at:032x}", True, True) for at in range(people)]
    entries = await asyncio.gather(*(line.enter(visitor) for visitor in visitors))
    return [entry.number for entry in entries if entry is not None]


async def lose_all_but(line: Line, stale: Snapshot | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty Redis, and let another worker adopt with what it remembers before this one comes."""
    adopted = asyncio.Event()
    sync = line.room.sync

    async def sync_after(*arguments: Any, **named: Any) -> Snapshot:
        await adopted.wait()
        return await sync(*arguments, **named)

    monkeypatch.setattr(line.room, "sync", sync_after)
    await line.next_sync()
    await line.room.client.flushall()
    await line.room.adopt(stale, session_idle_ms=SETTINGS.session_idle)
    adopted.set()


async def test_a_worker_that_remembers_more_than_the_one_that_adopted_adds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """P4, P7: whoever a stale memory called waiting was called, and numbers beyond it are people."""
    with running_redis() as redis:
        async with working(redis.url) as other:
            stale = other.snapshot
            numbers = await come(other, 5)
            known = await until(other, lambda snapshot: snapshot.state.issued == 5 and snapshot.state.front == 5)

            await lose_all_but(other, stale, monkeypatch)
            await until(other, lambda snapshot: snapshot.state.hole != known.state.hole)
            merged = await until(other, lambda snapshot: snapshot.state.hole[0] == 5)
            later = await come(other, 1)

    assert numbers == list(range(5))
    assert merged.state.front >= 5
    assert merged.state.admitted >= 5
    assert later[0] >= merged.state.hole[1]


async def test_a_log_that_cannot_be_written_does_not_end_the_loop() -> None:
    """The line that tells of an adoption raised, in the middle of handling the loss, and the loop ended for ever."""
    closed = io.StringIO()
    closed.close()
    with running_redis() as redis:
        async with working(redis.url) as line:
            await come(line, 5)
            structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=closed))

            await line.room.client.flushall()

            after = await until(line, lambda snapshot: snapshot.state.issued > 5)
            assert await come(line, 1) == [after.state.issued]


async def test_a_memory_that_could_not_be_told_at_once_is_told_with_the_next_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """P2, P4, P7: the call that adds it fails, also the seats given since are not forgotten over it."""
    with running_redis() as redis:
        async with working(redis.url) as other:
            stale = other.snapshot
            await come(other, 5)
            known = await until(other, lambda snapshot: snapshot.state.issued == 5 and snapshot.seats == 5)
            adopt, failed = other.room.adopt, asyncio.Event()

            async def adopt_later(remembered: Snapshot | None, **named: Any) -> bool:
                if remembered is not stale and not failed.is_set():
                    failed.set()
                    raise StoreUnavailable("lost on the way")
                return await adopt(remembered, **named)

            monkeypatch.setattr(other.room, "adopt", adopt_later)
            await lose_all_but(other, stale, monkeypatch)
            await failed.wait()
            merged = await until(other, lambda snapshot: snapshot.state.hole[0] == 5)

    assert merged.state.hole != known.state.hole
    assert merged.state.admitted == 5
    assert merged.seats == 5


async def test_a_memory_that_missed_a_reset_gives_way_to_one_that_did_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """P5: tickets from before the reset stay void."""
    with running_redis() as redis:
        async with working(redis.url) as other:
            stale = other.snapshot
            assert stale is not None
            generation = await other.room.reset(stale.state, by="test", keep_ms=1000)
            await until(other, lambda snapshot: snapshot.state.generation == generation)

            await lose_all_but(other, stale, monkeypatch)
            after = await until(other, lambda snapshot: snapshot.state.hole[1] > 0)

    assert after.state.generation == generation


async def test_a_ticket_of_before_a_reset_claims_nobodys_place_after_it() -> None:
    """A claim that waited for its batch while the room was reset was made with the old number in the new generation:
    it took the place of whoever has that number now.
    """
    with running_redis() as redis:
        async with working(redis.url) as line:
            assert line.snapshot is not None
            before = line.snapshot.state
            await line.room.reset(before, by="a test", keep_ms=60_000)
            await until(line, lambda snapshot: snapshot.state.ordinal > before.ordinal)
            [number] = await come(line, 1)
            thief = Claimant(number, "f" * 32, before.generation)

            claimed = await line.claim(thief, wait_s=0)

            assert claimed.outcome == "waiting"


@pytest.mark.timed
async def test_a_worker_whose_rounds_fail_leaves_the_lease_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """A holder that kept the lease and failed would stop the line for ever."""
    with running_redis() as server:
        async with AsyncExitStack() as workers:
            ill = await workers.enter_async_context(working(server.url))
            await until(ill, lambda snapshot: snapshot.is_holder)
            well = await workers.enter_async_context(working(server.url))
            monkeypatch.setattr(ill._holder, "round", fail)
            began = asyncio.get_running_loop().time()
            await come(well, 60)
            await until(well, lambda snapshot: snapshot.is_holder)
            took_s = asyncio.get_running_loop().time() - began
            wants_it_back = ill._holder.wants_lease(time.monotonic())
            moved = await until(well, lambda snapshot: snapshot.state.front >= 60)
            await until(ill, lambda snapshot: snapshot.state.front >= 60)  # its loop goes on all the same

    print(f"the other had the lease after {took_s:.1f} s")
    assert took_s < 4
    assert not wants_it_back
    assert moved.state.front == 60


async def fail(_: Snapshot) -> str:
    raise RuntimeError("a fault of ours")
