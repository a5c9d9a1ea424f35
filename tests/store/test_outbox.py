"""What a worker tells Redis: the latest end of a seat, and each pass seen again once."""

import time
from collections.abc import AsyncIterator

import pytest

from tests.store.room_support import TestRoom, room_in
from waitroom.core.meter import Limits
from waitroom.core.presence import CHUNK
from waitroom.store.ended import Ended
from waitroom.store.outbox import Outbox
from waitroom.store.replies import Renewal


def test_an_earlier_end_does_not_take_the_place_of_a_later_one() -> None:
    """The way to the bank renews for 30 minutes, a request with the older cookie for 11: the seat was then uncounted
    while the longer pass was good (P2).
    """
    outbox = Outbox()
    for end_ms in (30, 11):
        outbox.renew("g", 7, end_ms, confirms=False)

    parcel = outbox.take(None, now_s=0)
    outbox.renew("g", 7, 20, confirms=False)
    outbox.give_back(parcel)

    assert parcel.renewals == [Renewal("g", 7, 30)]
    assert outbox.take(None, now_s=0).renewals == [Renewal("g", 7, 30)]


def test_giving_a_seat_back_is_the_last_word() -> None:
    outbox = Outbox()
    for end_ms in (30, 0, 40):
        outbox.renew("g", 7, end_ms, confirms=False)

    assert outbox.take(None, now_s=0).renewals == [Renewal("g", 7, 0)]


def test_a_pass_seen_again_many_times_proves_one_cookie() -> None:
    """A browser's parallel requests with one provisional pass hid as many bots from the count."""
    outbox = Outbox()
    for place in (1, 1, 2, 1, 2):
        outbox.renew("g", place, 30, confirms=True)

    assert outbox.take(None, now_s=0).confirmed == 2
    outbox.renew("g", 1, 30, confirms=True)
    assert outbox.take(None, now_s=0).confirmed == 0


def test_an_ended_pass_is_remembered_for_the_life_of_a_pass() -> None:
    ended = Ended(1000)

    ended.add([b"g:1"], 0)
    ended.add([b"g:1", b"g:2"], 600)
    before = (ended.has("g", 1), ended.has("g", 2), ended.has("h", 1))
    ended.add([], 1000)

    assert before == (True, True, False)
    assert (ended.has("g", 1), ended.has("g", 2), len(ended)) == (False, True, 1)


@pytest.mark.timed
def test_passes_that_are_forgotten_at_one_time_hold_nobody_up() -> None:
    """A worker that starts hears of all that ended in two hours at once, and forgets them at once: of 72,000 it looked
    for each through all that had gone before it, and answered nobody for 1.7 s.
    """
    ended = Ended(1000)
    ended.add([b"0123456789abcdef:%d" % place for place in range(100_000)], 0)
    began = time.process_time()

    ended.add([], 1000)

    assert len(ended) == 0
    assert time.process_time() - began < 0.5


@pytest.fixture
async def settled(one_redis_url: str) -> AsyncIterator[TestRoom]:
    """A room whose last gap is long past."""
    async with room_in(one_redis_url, Limits(10, 10)) as room:
        await room.set(issued=10_000_000, front=70_000)
        await room.clock.pass_s(3600)
        await room.sync()
        yield room


def note_everywhere(outbox: Outbox) -> None:
    for chunk in range(153):
        outbox.beats.note(chunk * CHUNK)


async def test_each_sync_carries_the_beats_at_the_front_and_a_part_of_the_others(settled: TestRoom) -> None:
    """Ten million people are 1.2 MB of beats every five seconds: at once they would hold Redis up."""
    outbox = Outbox()
    carried: list[set[int]] = []
    outbox.take(settled.snapshot, now_s=1000)

    for at in range(1, 21):
        note_everywhere(outbox)
        parcel = outbox.take(settled.snapshot, now_s=1000 + at / 4)
        carried.append({beat.chunk for beat in parcel.beats})

    assert all(chunks >= {1, 2} for chunks in carried)
    assert max(map(len, carried)) <= 2 + 153 // 20 + 1
    assert set().union(*carried) == set(range(153))


async def test_nothing_waits_after_a_gap_or_at_the_end(settled: TestRoom) -> None:
    """P3: absence is found anew, from what all workers have seen."""
    outbox = Outbox()
    outbox.take(settled.snapshot, now_s=1000)
    note_everywhere(outbox)
    last = outbox.take(settled.snapshot, now_s=1000.1, everything=True)
    await settled.set(gap=int(settled.clock.now_ms))
    note_everywhere(outbox)

    after_gap = outbox.take(await settled.sync(), now_s=1000.2)

    assert len(last.beats) == len(after_gap.beats) == 153
