"""Many who look at a room often, and what Redis notices of it."""

import asyncio

import redis

from tests.store.room_support import patient_room
from tests.support import running_redis
from waitroom.core.meter import Limits
from waitroom.store.room import Room
from waitroom.store.watch import Watch


def reads(url: str) -> int:
    """How often anybody has asked for the time, which every look at the room begins with."""
    client = redis.Redis.from_url(url)
    try:
        return int(client.info("commandstats").get("cmdstat_time", {}).get("calls", 0))
    finally:
        client.close()


async def test_a_storm_of_lookers_is_one_read_and_the_next_comes_when_it_is_old() -> None:
    with running_redis() as server:
        room = Room.connect(server.url, "shop")
        await room.create(Limits(1.0, 1.0), wait_ms=0)
        watch, before = Watch(room), reads(server.url)

        found = await asyncio.gather(*(watch.recent(max_age_s=60, wait_s=5) for _ in range(200)))
        again = await watch.recent(max_age_s=60, wait_s=5)
        one = reads(server.url) - before
        newer = await watch.recent(max_age_s=0, wait_s=5)
        two = reads(server.url) - before
        await room.close()

    assert found[0] is not None
    assert {id(each) for each in [*found, again]} == {id(found[0])}
    assert newer is not None
    assert newer is not again
    assert (one, two) == (1, 2)


async def test_while_redis_hangs_the_last_look_is_given_at_once_and_nobody_queues_up() -> None:
    with running_redis() as server:
        room = patient_room(server.url, "shop")
        await room.create(Limits(1.0, 1.0), wait_ms=0)
        watch = Watch(room)
        known = await watch.recent(max_age_s=0, wait_s=5)

        server.freeze()
        async with asyncio.timeout(20):
            hung = [await watch.recent(max_age_s=0, wait_s=0.01) for _ in range(20)]
        server.thaw()
        await room.close()

    assert known is not None
    assert all(each is known for each in hung)


async def test_without_a_room_or_a_redis_nothing_is_known() -> None:
    with running_redis() as server:
        room = Room.connect(server.url, "shop")
        watch = Watch(room)
        no_room = await watch.recent(max_age_s=0, wait_s=5)
        server.kill()
        no_redis = await watch.recent(max_age_s=0, wait_s=5)
        await room.close()

    assert (no_room, no_redis) == (None, None)
