"""Held polls: woken exactly when something changes, and the farthest first when there are too many."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.room_support import room_in
from waitroom.core.meter import Limits
from waitroom.store.held import MOST_OF_ONE, HeldPolls, wake_changed


async def answered(futures: "dict[int, asyncio.Future[None]]") -> set[int]:
    await asyncio.sleep(0)
    return {place for place, future in futures.items() if future.done()}


def hold(held: HeldPolls, *places: int, seconds: float = 60) -> "dict[int, asyncio.Future[None]]":
    return {place: held.hold(place, seconds) for place in places}


@pytest.mark.parametrize("far_moves", [False, True])
async def test_a_moved_front_wakes_exactly_those_it_called(far_moves: bool) -> None:
    """Whether the move is shorter than the list of the held, or longer."""
    held = HeldPolls()
    futures = hold(held, *range(100, 200))

    held.wake(0 if far_moves else 120, 130)

    assert await answered(futures) == set(range(100 if far_moves else 120, 130))
    assert len(held) == 100 - len(await answered(futures))
    held.wake_all()


async def test_two_tabs_of_one_visitor_are_both_woken() -> None:
    held = HeldPolls()
    one, two = held.hold(7, 60), held.hold(7, 60)

    held.wake(7, 8)
    await asyncio.sleep(0)

    assert one.done()
    assert two.done()
    assert len(held) == 0


async def test_one_ticket_holds_few_polls_and_keeps_nobody_else_from_it() -> None:
    """Near the front, one ticket on twenty thousand connections had everybody farther back answered at once."""
    held = HeldPolls(most=100)
    others = hold(held, *range(1000, 1050))
    mine = [held.hold(3, 60) for _ in range(500)]

    assert await answered(others) == set()
    assert [future.done() for future in mine] == [True] * (500 - MOST_OF_ONE) + [False] * MOST_OF_ONE
    assert len(held) == len(others) + MOST_OF_ONE
    held.wake_all()


async def test_the_time_is_up() -> None:
    held = HeldPolls()
    future = held.hold(7, 0.01)

    await asyncio.wait_for(future, 2)
    await asyncio.sleep(0)

    assert len(held) == 0


async def test_everybody_is_answered_when_the_phase_or_the_message_changes() -> None:
    held = HeldPolls()
    futures = hold(held, 5, 500_000, 7)

    held.wake_all()

    assert await answered(futures) == {5, 7, 500_000}


async def test_a_sync_wakes_those_called_since_the_last_and_everybody_where_all_are_concerned(
    one_redis_url: str,
) -> None:
    async with room_in(one_redis_url, Limits(10, 10)) as room:
        held, woken = HeldPolls(), []
        futures = hold(held, *range(10))
        await room.enter(10)
        before = room.state
        await room.move_front(4)
        wake_changed(held, before, room.state)
        woken.append(await answered(futures))
        before = room.state
        await room.sync()
        wake_changed(held, before, room.state)
        woken.append(await answered(futures))
        await room.room.configure({"message": "Soon."}, by="test")
        await room.sync()
        wake_changed(held, before, room.state)
        woken.append(await answered(futures))

    assert woken == [set(range(4)), set(range(4)), set(range(10))]


async def test_over_the_cap_the_farthest_are_answered_first() -> None:
    held = HeldPolls(most=3)
    futures = hold(held, 50, 900, 20)

    futures |= hold(held, 30)
    first = await answered(futures)
    futures |= hold(held, 1000)
    second = await answered(futures)
    futures |= hold(held, 10)
    third = await answered(futures)

    assert first == {900}
    assert second == {900, 1000}
    assert third == {900, 1000, 50}
    assert len(held) == 3
    held.wake_all()


async def test_a_client_that_left_is_let_go() -> None:
    held = HeldPolls()
    future = held.hold(7, 60)

    future.cancel()
    await asyncio.sleep(0)

    assert len(held) == 0


async def test_a_closed_worker_holds_nobody() -> None:
    held = HeldPolls()
    before = held.hold(7, 60)

    held.close()
    after = held.hold(8, 60)
    await asyncio.sleep(0)

    assert before.done()
    assert after.done()
    assert len(held) == 0


async def test_memory_follows_those_who_are_held() -> None:
    """The heap of the farthest forgets places that were answered long ago."""
    held = HeldPolls()
    for round_ in range(200):
        hold(held, *range(round_ * 100, round_ * 100 + 100))
        held.wake_all()
        await asyncio.sleep(0)

    assert len(held) == 0
    assert len(held._farthest) < 500


actions = st.one_of(
    st.tuples(st.just("hold"), st.integers(0, 30)),
    st.tuples(st.just("wake"), st.integers(0, 30)),
    st.tuples(st.just("leave"), st.integers(0, 30)),
)


@settings(max_examples=60)
@given(st.lists(actions, max_size=40), st.integers(1, 6))
def test_never_more_are_held_than_the_cap_and_nobody_is_lost(history: list[tuple[str, int]], most: int) -> None:
    async def play() -> None:
        held = HeldPolls(most)
        futures: list[tuple[int, asyncio.Future[None]]] = []
        for what, place in history:
            if what == "hold":
                futures.append((place, held.hold(place, 60)))
            elif what == "wake":
                held.wake(place, place + 5)
            else:
                for mine, future in futures:
                    if mine == place:
                        future.cancel()
            await asyncio.sleep(0)
            open_now = [mine for mine, future in futures if not future.done()]
            assert len(held) == len(open_now) <= most
            if what == "wake":
                assert not any(place <= mine < place + 5 for mine in open_now)
        held.wake_all()
        await asyncio.sleep(0)
        assert all(future.done() for _, future in futures)

    asyncio.run(play())
