"""What a long line and a long life cost Redis: the same calls, a few bits a person, and nothing that stays (P12)."""

import time
from collections.abc import Iterator

import pytest

from tests.store.room_support import TestRoom, room_in
from tests.support import RedisServer, running_redis
from waitroom.core.meter import Limits
from waitroom.core.presence import CHUNK, CHUNK_BYTES, EPOCH_MS, chunk_of
from waitroom.core.settings import Settings
from waitroom.store.holder import Holder
from waitroom.store.replies import Beat, Renewal

SETTINGS = Settings.model_validate({"origin": "http://127.0.0.1:1"})
LIMITS = Limits(10, 10)
FULL = b"\xff" * CHUNK_BYTES
SYNC_S = 0.25


@pytest.fixture(scope="module")
def own_redis() -> Iterator[RedisServer]:
    """Whose memory and calls are of these tests alone."""
    with running_redis() as server:
        yield server


async def line_of(room: TestRoom, people: int) -> None:
    """So many numbers given out, and everybody seen in the present epoch. They did not come one by one."""
    await room.set(issued=people, front=0, gap=0, released=int(room.clock.now_ms))
    await seen(room, people)


async def seen(room: TestRoom, people: int) -> None:
    beats = [Beat(chunk, 0, FULL) for chunk in range(people // CHUNK)]
    beats.append(Beat(people // CHUNK, 0, ((1 << people % CHUNK) - 1).to_bytes(CHUNK_BYTES, "little")))
    for at in range(0, len(beats), 16):
        await room.sync(lease=True, beats=beats[at : at + 16])


async def scripts_run(room: TestRoom) -> int:
    stats = await room.redis.info("commandstats")
    return sum(int(stats[f"cmdstat_{name}"]["calls"]) for name in ("eval", "evalsha") if f"cmdstat_{name}" in stats)


@pytest.mark.parametrize("people", [10, 1_000_000, 10_000_000])
async def test_a_holder_sends_as_many_calls_however_many_wait(own_redis: RedisServer, people: int) -> None:
    """P12: sync, look and release four times a second, and for each far chunk at most one more in five seconds."""
    async with room_in(own_redis.url, LIMITS) as room:
        await line_of(room, people)
        holder = Holder(room.room, "w", SETTINGS)
        for _ in range(20):
            await holder.round(await room.sync(lease=True))
            await room.clock.pass_s(SYNC_S)
        before = await scripts_run(room)

        outcomes = set()
        for _ in range(20):
            outcomes.add(await holder.round(await room.sync(lease=True)))
            await room.clock.pass_s(SYNC_S)

        assert outcomes == {"ok"}
        assert await scripts_run(room) - before <= 20 * 3 + chunk_of(people)
        assert (await room.sync()).count_waiting() == people - room.state.front


@pytest.mark.timed
async def test_a_round_with_ten_million_waiting_leaves_the_worker_to_others(own_redis: RedisServer) -> None:
    """The CPU of the whole round, which gives way to others where it waits for Redis. Also just after a gap, when
    everybody counts as present.
    """
    async with room_in(own_redis.url, LIMITS) as room:
        await line_of(room, 10_000_000)
        holder = Holder(room.room, "w", SETTINGS)
        worst = {}
        for gap_ms in (0, int(room.clock.now_ms)):
            await room.set(gap=gap_ms)
            spent = []
            for _ in range(20):
                snapshot = await room.sync(lease=True)
                began_s = time.thread_time()
                assert await holder.round(snapshot) == "ok"
                spent.append(time.thread_time() - began_s)
                await room.clock.pass_s(SYNC_S)
            worst[gap_ms] = sorted(spent)[-3]

        assert max(worst.values()) < 0.05, worst


async def test_a_line_is_known_to_a_new_holder_within_three_seconds(own_redis: RedisServer) -> None:
    """Ten million people in 153 chunks, sixteen a round; until then nobody behind them is called."""
    async with room_in(own_redis.url, LIMITS) as room:
        await line_of(room, 10_000_000)
        holder = Holder(room.room, "w", SETTINGS)
        holder.start(await room.sync(lease=True))

        rounds = 0
        while (await room.sync(lease=True)).table.end < 10_000_000:
            assert await holder.round(await room.sync(lease=True)) == "ok"
            await room.clock.pass_s(SYNC_S)
            rounds += 1

        assert rounds * SYNC_S <= 3
        assert room.snapshot is not None
        assert room.snapshot.count_waiting() == 10_000_000 - room.state.front


async def test_somebody_waiting_costs_redis_less_than_two_bytes(own_redis: RedisServer) -> None:
    """With beats of every epoch that is kept, by the size of each key as Redis counts it."""
    people = 1_000_000
    async with room_in(own_redis.url, LIMITS) as room:
        await line_of(room, people)
        for _ in range(12):
            await room.pass_time(EPOCH_MS / 1000)
            await seen(room, people)
        holder = Holder(room.room, "w", SETTINGS)
        await holder.round(await room.sync(lease=True))

        beats = [key for key in await room.keys() if ":beat:" in key]
        sizes = [await room.redis.memory_usage(key) for key in await room.keys()]

        assert len(beats) <= 16 * (SETTINGS.away_after // EPOCH_MS + 3)
        assert sum(sizes) / people < 2


async def test_weeks_of_a_room_leave_nothing_behind(own_redis: RedisServer) -> None:
    """A room that never closes: people come, some leave, the others are let in and go. Forty-four thousand numbers a
    day, so that the line moves on through thirteen chunks; those who are not played here came and left unseen.
    """
    async with room_in(own_redis.url, Limits(100, 50)) as room:
        holder = Holder(room.room, "w", SETTINGS)
        keys, sizes = [], []
        for _ in range(20):
            await one_day(room, holder)
            names = await room.keys()
            keys.append(len(names))
            sizes.append(sum([await room.redis.memory_usage(name) for name in names]))
            chunks = {int(name.rsplit(":", 1)[1]) for name in names if ":claim" in name or ":beat:" in name}
            assert min(chunks, default=10**9) >= chunk_of(room.state.lapsed) - 1

        assert chunk_of(room.state.issued) >= 13
        assert max(keys[10:]) <= max(keys[:10])
        assert max(sizes[10:]) <= 1.5 * max(sizes[:10])


async def one_day(room: TestRoom, holder: Holder) -> None:
    await room.sync()
    await room.set(issued=room.state.issued + 44_000, front=room.state.issued + 44_000)
    await room.sync()
    people = [entry.number for entry in await room.enter(200) + await room.enter(200) if entry is not None]
    staying, inside = set(people[::2]), set[int]()
    for _ in range(120):
        await room.beat(*(staying - inside))
        snapshot = await room.sync(lease=True)
        if snapshot.is_holder:
            await holder.attend(snapshot)
        called = [place for place in sorted(staying - inside) if place < room.state.front][:200]
        if called:
            claims = await room.claim(*called)
            inside |= {place for place, claim in zip(called, claims, strict=True) if claim.outcome == "admit"}
        if inside == staying:
            break
        await room.clock.pass_s(0.5)
    assert inside == staying
    # Half of them say that they are done; the seats of the others run out.
    await room.sync(renewals=[Renewal(room.generation, place, 0) for place in sorted(inside)[::2]])
    for _ in range(6):
        await room.pass_time(4 * 3600)
        await room.set(usable=(await room.sync()).state.usable_ms + 4 * 3600_000)  # the rounds not played here
        for _ in range(3):
            await holder.attend(await room.sync(lease=True))
            await room.clock.pass_s(0.6)
