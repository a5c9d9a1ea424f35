"""Three workers, hundreds of people at once, repeated claims, and a worker that dies: what may never happen."""

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from tests.support import most_in_window, running_redis
from waitroom.core.errors import StoreUnavailable
from waitroom.core.settings import Settings
from waitroom.store.line import Line
from waitroom.store.replies import Claimant, Claimed, Newcomer
from waitroom.store.room import Room

PEOPLE, RATE, BURST, SEATS = 300, 80, 20, 60
STAYS_S = 0.6
Answer = TypeVar("Answer")


@dataclass
class Crowd:
    """What the actors share: the workers, and what happened."""

    lines: list[Line]
    dice: random.Random = field(default_factory=lambda: random.Random(4))
    admits: dict[int, set[float]] = field(default_factory=dict)
    called_s: dict[int, float] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    def line(self) -> Line:
        """Any worker that lives: browsers go wherever the balancer sends them."""
        return self.dice.choice(self.lines)


async def steadfast(crowd: Crowd, ask: Callable[[Line], Awaitable[Answer]]) -> Answer:
    """Ask any worker, again and again: some die in the middle."""
    while True:
        line = crowd.line()
        try:
            return await asyncio.wait_for(ask(line), 3)
        except (StoreUnavailable, TimeoutError):
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            if line in crowd.lines:
                raise  # this actor was ended; else only its worker was


async def visit(crowd: Crowd) -> None:
    """One visitor: a number, polls, the claim in several tabs at once, a short stay."""
    visitor = secrets.token_hex(16)
    await asyncio.sleep(crowd.dice.uniform(0, 1))
    newcomer = Newcomer(visitor, True, crowd.dice.random() < 0.5)
    entry = await steadfast(crowd, lambda line: line.enter(newcomer))
    assert entry is not None
    place, admit_ms = entry.number, entry.admit_ms
    crowd.numbers.append(place)
    while admit_ms is None:
        line = crowd.line()
        line.beats.note(place)
        snapshot = line.snapshot
        if snapshot is None or snapshot.standing(place) == "waiting":
            await asyncio.wait([line.held.hold(place, 0.3)])
            continue
        crowd.called_s.setdefault(place, asyncio.get_running_loop().time())
        tabs = await asyncio.gather(
            *(claim(crowd, Claimant(place, visitor)) for _ in range(crowd.dice.choice([1, 1, 3])))
        )
        for claimed in tabs:
            assert claimed.outcome in ("admit", "again", "door", "waiting")
            if claimed.admit_ms is not None:
                admit_ms = claimed.admit_ms
                crowd.admits.setdefault(place, set()).add(admit_ms)
        if admit_ms is not None and place % 10 == 0:
            crowd.refused.append((await claim(crowd, Claimant(place, secrets.token_hex(16)))).outcome)
    crowd.admits.setdefault(place, set()).add(admit_ms)
    line = crowd.line()
    await asyncio.sleep(max(0.0, (admit_ms - line.now_ms()) / 1000) + STAYS_S)
    crowd.line().renew(entry.generation, place, 0)


async def claim(crowd: Crowd, claimant: Claimant) -> Claimed:
    return await steadfast(crowd, lambda line: line.claim(claimant, wait_s=1))


@pytest.mark.parametrize("max_active", [0, SEATS])
async def test_what_hundreds_of_simultaneous_actors_may_never_see(max_active: int) -> None:
    """P1 windows, P2 seats, P3 order, P4 once; one worker of three is lost on the way and another takes its place."""
    settings = Settings.model_validate(
        {
            "origin": "http://127.0.0.1:1",
            "rate": f"{RATE}/s",
            "burst": str(BURST),
            "max_active": str(max_active),
        }
    )
    most_seats = 0
    with running_redis() as redis:

        async def start() -> Line:
            line = Line(settings, Room.connect(redis.url, "shop"), fresh_store=True)
            await line.open()
            while line.snapshot is None:
                await asyncio.sleep(0.02)
            return line

        crowd = Crowd([await start() for _ in range(3)])
        actors = [asyncio.create_task(visit(crowd)) for _ in range(PEOPLE)]

        async def lose_a_worker() -> None:
            await asyncio.sleep(1.5)
            holder = next(line for line in crowd.lines if line.snapshot and line.snapshot.is_holder)
            crowd.lines.remove(holder)
            assert holder._task is not None
            holder._task.cancel()  # without a last word: no flush, no release, its batches and door are lost
            await holder.asking.close()
            holder.held.close()
            await asyncio.sleep(0.5)
            crowd.lines.append(await start())
            await holder.room.close()

        async def count_seats() -> None:
            nonlocal most_seats
            while True:
                line = crowd.lines[0]
                most_seats = max(most_seats, line.snapshot.seats if line.snapshot else 0)
                await asyncio.sleep(0.05)

        watcher = asyncio.create_task(count_seats())
        await asyncio.gather(lose_a_worker(), asyncio.wait_for(asyncio.gather(*actors), 40))
        watcher.cancel()
        state = await crowd.lines[0].room.sync("", "the test")
        for line in crowd.lines:
            await line.close()

    times = sorted(min(admits) / 1000 for admits in crowd.admits.values())
    print(f"{len(times)} inside in {times[-1] - times[0]:.1f} s, at most {most_seats} seats")
    assert sorted(crowd.admits) == sorted(crowd.numbers)
    assert len(set(crowd.numbers)) == len(crowd.numbers) == PEOPLE  # P4
    assert all(len(admits) == 1 for admits in crowd.admits.values())  # P4: the same pass in every tab
    assert state.state.admitted == PEOPLE
    assert set(crowd.refused) == {"taken"}
    for seconds in (0.1, 0.5, 1, 2):
        assert most_in_window(times, seconds) <= BURST + RATE * seconds + 1e-6  # P1
    if max_active:
        assert most_seats <= max_active  # P2
        assert most_in_window(times, STAYS_S) <= max_active  # whoever came in that lately is still there
    at = {place: min(admits) for place, admits in crowd.admits.items()}
    for place, called_s in crowd.called_s.items():
        overtakers = [
            other
            for other, other_called_s in crowd.called_s.items()
            if other > place and other_called_s > called_s + 2 and at[other] < at[place]
        ]
        assert not overtakers, f"{place} was overtaken by {overtakers}"  # P3
