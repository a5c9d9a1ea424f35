"""The loops of a room's two lines keep step: what both ask of Redis is one call, and answered as if it were two."""

import asyncio
from typing import Any

import pytest

from tests.store.test_invites import invite, two_lines
from tests.support import running_redis
from waitroom.app import open_lines
from waitroom.core.errors import StoreUnavailable
from waitroom.core.figures import Figures
from waitroom.core.model import Snapshot
from waitroom.core.settings import Settings
from waitroom.store.invites import redeem
from waitroom.store.replies import GenerationGone, Newcomer

ROUNDS = 8
SECRET = "a-key-of-this-test-0123456789abcdef"


async def scripts_run(redis: Any) -> int:
    stats = await redis.info("commandstats")
    return sum(int(stats[f"cmdstat_{name}"]["calls"]) for name in ("eval", "evalsha") if f"cmdstat_{name}" in stats)


async def test_each_of_two_calls_made_one_is_answered_as_if_alone(redis_url: str) -> None:
    """Also where one of them is refused, and where the server does not know the script."""
    async with two_lines(redis_url) as (first, invited):
        first.room.keep_step(invited.room)
        await first.enter(3)
        await first.redis.script_flush()
        for _ in range(2):
            one, other = await asyncio.gather(first.sync(lease=True), invited.sync(lease=True))
            assert (one.state.issued, other.state.issued) == (3, 0)
            assert one.state.generation != other.state.generation
            assert one.is_holder
            assert other.is_holder

        (front, refused) = await asyncio.gather(
            first.move_front(2), invited.sync(generation="of yesterday"), return_exceptions=True
        )

        assert isinstance(refused, GenerationGone)
        assert (front, first.state.front) == ("ok", 2)


async def test_a_fault_of_one_line_is_none_of_the_other(redis_url: str) -> None:
    async with two_lines(redis_url) as (first, invited):
        first.room.keep_step(invited.room)
        await first.redis.set(invited.room.keys.workers, "not a set")
        one, other = await asyncio.gather(first.sync(), invited.sync(), return_exceptions=True)
        assert isinstance(one, Snapshot)
        assert isinstance(other, StoreUnavailable)
        assert "WRONGTYPE" in str(other)

        await first.redis.set(first.room.keys.workers, "nor this")
        one, other = await asyncio.gather(first.sync(), invited.sync(), return_exceptions=True)

        assert isinstance(one, StoreUnavailable)
        assert isinstance(other, StoreUnavailable)


async def test_a_worker_with_two_lines_calls_redis_no_more_often_than_with_one() -> None:
    """P12. With people in both, a round of the loop syncs, looks and releases both with three calls. It were six."""
    with running_redis() as redis:
        settings = Settings.model_validate(
            {"origin": "http://x", "redis_url": redis.url, "secret": SECRET, "invite_share": "20%", "rate": "0"}
        )
        lines = open_lines(settings, Figures(), fresh_store=True)
        for line in lines:
            await line.open()
        try:
            async with asyncio.timeout(10):
                while not all(line.snapshot and line.snapshot.is_holder for line in lines):
                    await lines[0].next_sync()
                await lines[0].enter(Newcomer("a" * 32, True, False))
                await redeem(lines[1].room, invite(), "b" * 32)
                for _ in range(2):
                    await lines[0].begins.wait()
                before = await scripts_run(lines[0].room.client)
                for _ in range(ROUNDS):
                    await lines[0].begins.wait()
                sent = await scripts_run(lines[0].room.client) - before
        finally:
            await asyncio.gather(*(line.close() for line in lines))

    assert 2 * ROUNDS <= sent <= 4 * ROUNDS


@pytest.mark.parametrize("leaving", [0, 1])
async def test_a_line_that_closes_leaves_the_other_to_call_for_itself(redis_url: str, leaving: int) -> None:
    async with two_lines(redis_url) as (first, invited):
        first.room.keep_step(invited.room)

        (first, invited)[leaving].room.fall_out_of_step()
        one, other = await asyncio.gather(first.sync(), invited.sync())

        assert one.state.generation != other.state.generation
