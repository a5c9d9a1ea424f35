"""The door of one worker: asked for with each sync, the lowest first, and only while their request is open."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from waitroom.core.errors import StoreUnavailable
from waitroom.store import door as door_module
from waitroom.store.batch import MOST
from waitroom.store.door import Door
from waitroom.store.replies import Claimant, Claimed


class Store:
    """Grants the places below `granted`; the others stand at the door."""

    def __init__(self) -> None:
        self.granted = 0
        self.calls: list[list[int]] = []
        self.is_away = False

    async def claim(self, claimants: list[Claimant]) -> Sequence[Claimed]:
        await asyncio.sleep(0)
        if self.is_away:
            raise StoreUnavailable("away")
        self.calls.append([claimant.place for claimant in claimants])
        return [Claimed("admit", 5.0) if c.place < self.granted else Claimed("door", rank=3) for c in claimants]


def visitor(place: int) -> Claimant:
    return Claimant(place, f"{place:032x}")


async def standing(door: Door, *places: int, seconds: float = 30) -> "list[asyncio.Task[Claimed | None]]":
    tasks = [asyncio.create_task(door.wait(visitor(place), seconds)) for place in places]
    await asyncio.sleep(0)
    return tasks


async def finish(tasks: "list[asyncio.Task[Claimed | None]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_nobody_at_the_door_costs_no_call() -> None:
    store = Store()

    await Door(store.claim).ask()

    assert store.calls == []


async def test_the_granted_are_answered_and_the_others_stay() -> None:
    store = Store()
    door = Door(store.claim)
    tasks = await standing(door, 3, 1, 2)
    store.granted = 2

    await door.ask()
    await asyncio.sleep(0)

    assert [task.done() for task in tasks] == [False, True, False]
    assert tasks[1].result() == Claimed("admit", 5.0)
    assert len(door) == 2
    await finish(tasks)


async def test_they_are_asked_for_in_order_of_place() -> None:
    store = Store()
    door = Door(store.claim)
    tasks = await standing(door, 30, 10, 20)

    await door.ask()

    assert store.calls == [[10, 20, 30]]
    await finish(tasks)


async def test_the_lowest_each_time_and_everybody_every_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody drops out of the order, whose entries last five seconds, and a thousand cost no thousand each time."""
    now_s = 1000.0
    monkeypatch.setattr(door_module, "time", SimpleNamespace(monotonic=lambda: now_s))
    store = Store()
    door = Door(store.claim)
    tasks = await standing(door, *range(500))

    await door.ask()
    first, store.calls = store.calls, []
    now_s += 1
    await door.ask()
    second, store.calls = store.calls, []
    now_s += 1.1
    await door.ask()

    assert [len(call) for call in first] == [MOST, MOST, 100]
    assert second == [list(range(MOST))]
    assert [len(call) for call in store.calls] == [MOST, MOST, 100]
    await finish(tasks)


async def test_who_left_is_not_asked_for() -> None:
    """An admission nobody takes would be lost."""
    store = Store()
    door = Door(store.claim)
    stays, leaves = await standing(door, 1, 2)

    leaves.cancel()
    await asyncio.gather(leaves, return_exceptions=True)
    await door.ask()

    assert store.calls == [[1]]
    await finish([stays])


async def test_whose_time_is_up_leaves_the_door() -> None:
    store = Store()
    door = Door(store.claim)

    answer = await door.wait(visitor(1), 0.01)

    assert answer is None
    assert len(door) == 0


async def test_two_tabs_of_one_visitor_are_asked_for_once_and_both_answered() -> None:
    store = Store()
    door = Door(store.claim)
    tasks = await standing(door, 1, 1)
    store.granted = 5

    await door.ask()

    assert [await task for task in tasks] == [Claimed("admit", 5.0)] * 2
    assert store.calls == [[1]]


async def test_one_tab_that_leaves_takes_nothing_from_the_other() -> None:
    store = Store()
    door = Door(store.claim)
    leaves, stays = await standing(door, 1, 1)
    leaves.cancel()
    await asyncio.gather(leaves, return_exceptions=True)
    store.granted = 5

    await door.ask()

    assert await stays == Claimed("admit", 5.0)


async def test_a_store_that_is_away_sends_nobody_off() -> None:
    store = Store()
    door = Door(store.claim)
    tasks = await standing(door, 1, 2)
    store.is_away = True

    with pytest.raises(StoreUnavailable):
        await door.ask()
    store.is_away, store.granted = False, 5
    await door.ask()

    assert [await task for task in tasks] == [Claimed("admit", 5.0)] * 2
