"""Attempts at orders in Redis: one at a time for the same order, what came of each, whose they are, how long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from tests.store.room_support import TestRoom, room_in
from waitroom.core.meter import Limits
from waitroom.core.orders.attempt import Attempt, Outcome
from waitroom.store import orders
from waitroom.store.orders import MOST_OF_VISITOR, WORD_MS, OrderBook, is_id, new_id, owner_of

ANN, BEN = "a" * 32, "b" * 32
DAY_MS = 86_400_000
KEEP_MS = 30 * DAY_MS
FINAL = [Outcome.CONFIRMED, Outcome.ANSWERED, Outcome.REFUSED, Outcome.FAILED]


class Book(OrderBook):
    """The book of a room whose clock the test turns."""

    def __init__(self, room: TestRoom) -> None:
        super().__init__(room.room, keep_ms=KEEP_MS)
        self.room = room

    @property
    def now_ms(self) -> float:
        return self.room.clock.now_ms

    def attempt(self, visitor: str = ANN, *, same: str = "same", worker: str = "w") -> Attempt:
        now_ms = int(self.now_ms)
        id_ = new_id(visitor, now_ms)
        return Attempt(
            id=id_,
            visitor=visitor,
            route="POST /order",
            begun_ms=now_ms,
            deadline_ms=now_ms + 60_000,
            worker=worker,
            idempotency_key=id_,
            sameness=same,
        )

    async def begun(self, visitor: str = ANN, *, same: str = "same", worker: str = "w") -> Attempt:
        attempt = self.attempt(visitor, same=same, worker=worker)
        assert await self.begin(attempt, [same]) is None
        return attempt

    async def decided(self, attempt: Attempt, outcome: Outcome) -> Attempt:
        found = await self.decide(attempt.id, outcome, by="gateway", now_ms=self.now_ms)
        assert found is not None
        return found

    async def with_outcome(self, outcome: Outcome) -> list[Attempt]:
        return (await self.list_by_outcome(outcome, now_ms=self.now_ms)).attempts

    async def mine(self, visitor: str = ANN) -> list[Attempt]:
        return await self.of_visitor(visitor, now_ms=self.now_ms)


@asynccontextmanager
async def a_book(url: str) -> AsyncIterator[Book]:
    async with room_in(url, Limits(10, 5)) as room:
        yield Book(room)


async def test_of_many_who_begin_the_same_order_at_once_one_begins_it(redis_url: str) -> None:
    async with a_book(redis_url) as book:
        attempts = [book.attempt() for _ in range(50)]

        found = await asyncio.gather(*(book.begin(attempt, ["same"]) for attempt in attempts))

        begun = [attempt for attempt, before in zip(attempts, found, strict=True) if before is None]
        assert len(begun) == 1
        assert all(before is None or before.attempt == begun[0] for before in found)
        assert await book.mine() == begun


async def test_another_order_another_visitor_and_one_without_sameness_begin(redis_url: str) -> None:
    async with a_book(redis_url) as book:
        await book.begun()

        assert await book.begin(book.attempt(same="other"), ["other"]) is None
        assert await book.begin(book.attempt(BEN), ["same"]) is None
        assert [await book.begin(book.attempt(same=""), []) for _ in range(2)] == [None, None]


async def test_a_call_whose_answer_was_lost_may_be_repeated(redis_url: str) -> None:
    async with a_book(redis_url) as book:
        attempt = await book.begun()

        assert await book.begin(attempt, ["same"]) is None
        assert len(await book.mine()) == 1


async def test_one_may_follow_only_the_attempt_it_was_judged_by(redis_url: str) -> None:
    """Two repeats that both find a refused attempt: the second finds the first's."""
    async with a_book(redis_url) as book:
        refused = await book.decided(await book.begun(), Outcome.REFUSED)
        first, second = book.attempt(), book.attempt()

        assert await book.begin(first, ["same"], after=refused.id) is None
        found = await book.begin(second, ["same"], after=refused.id)

        assert found is not None
        assert found.attempt == first


async def test_the_visitors_word_counts_once_and_for_ten_minutes(redis_url: str) -> None:
    async with a_book(redis_url) as book:
        unknown = await book.decided(await book.begun(), Outcome.UNKNOWN)
        tries = [book.attempt() for _ in range(4)]

        async def follow(attempt: Attempt) -> bool:
            return await book.begin(attempt, ["same"], after=unknown.id, by_word=True) is None

        before = await follow(tries[0])
        assert await book.allow_again(unknown.id)
        await book.room.clock.pass_s(WORD_MS / 1000 + 1)
        too_late = await follow(tries[1])
        assert await book.allow_again(unknown.id)
        found = await book.begin(tries[2], ["same"])
        by_word = await asyncio.gather(follow(tries[2]), follow(tries[3]))

        assert found is not None
        assert found.may_repeat
        assert (before, too_late, sorted(by_word)) == (False, False, [False, True])


async def test_no_word_can_be_given_for_what_is_no_attempt(redis_url: str) -> None:
    async with a_book(redis_url) as book:
        assert not await book.allow_again(book.attempt().id)
        assert not await book.allow_again("../state")


async def test_an_order_is_known_by_the_digest_of_either_secret_while_it_is_rotated(redis_url: str) -> None:
    async with a_book(redis_url) as book:
        old = await book.begun(same="old")

        found = await book.begin(book.attempt(same="new"), ["new", "old"])
        new = book.attempt(same="new")
        followed = await book.begin(new, ["new", "old"], after=old.id)
        again = await book.begin(book.attempt(same="new"), ["new", "old"])

        assert found is not None
        assert again is not None
        assert (found.attempt, followed, again.attempt) == (old, None, new)


async def test_the_first_who_knows_for_sure_is_right(redis_url: str) -> None:
    async with a_book(redis_url) as book:
        for first in FINAL:
            attempt = await book.decided(await book.begun(same=first), first)
            for second in FINAL:
                assert await book.decided(attempt, second) == attempt
        assert [len(await book.with_outcome(outcome)) for outcome in Outcome] == [0, 1, 1, 1, 1, 0]


async def test_the_shop_turns_all_but_confirmed_into_the_truth(redis_url: str) -> None:
    async with a_book(redis_url) as book:
        for before in Outcome:
            attempt = await book.begun(same=before)
            if before is not Outcome.UNDER_WAY:
                await book.decided(attempt, before)
            refused = await book.decide(attempt.id, Outcome.REFUSED, by="shop", now_ms=book.now_ms)
            confirmed = await book.decide(
                attempt.id, Outcome.CONFIRMED, by="shop", now_ms=book.now_ms, reference="A-17"
            )
            late = await book.decided(attempt, Outcome.UNKNOWN)

            assert refused is not None
            assert confirmed is not None
            assert refused.outcome is (Outcome.CONFIRMED if before is Outcome.CONFIRMED else Outcome.REFUSED)
            assert confirmed.outcome is late.outcome is Outcome.CONFIRMED
            assert (late.reference, late.decided_by) == (
                (None, "gateway") if before is Outcome.CONFIRMED else ("A-17", "shop")
            )
        assert len(await book.with_outcome(Outcome.CONFIRMED)) == len(Outcome)


async def test_of_gateway_and_shop_who_decide_at_once_one_counts_and_the_lists_agree(redis_url: str) -> None:
    async with a_book(redis_url) as book:
        for at in range(20):
            attempt = await book.begun(same=str(at))
            await asyncio.gather(
                book.decide(attempt.id, Outcome.UNKNOWN, by="gateway", now_ms=book.now_ms),
                book.decide(attempt.id, Outcome.CONFIRMED, by="shop", now_ms=book.now_ms),
                book.put(replace(attempt, outcome=Outcome.ANSWERED, decided_by="gateway"), attempt),
            )
            stands = await book.get(attempt.id)

            assert stands is not None
            assert stands.outcome is Outcome.CONFIRMED
        assert await book.counts() == {outcome: 20 * (outcome is Outcome.CONFIRMED) for outcome in Outcome}


async def test_what_redis_lost_is_written_again_and_does_not_undo_what_is_known(redis_url: str) -> None:
    async with a_book(redis_url) as book:
        begun = await book.begun()
        confirmed = replace(begun, outcome=Outcome.CONFIRMED, decided_ms=begun.begun_ms, decided_by="gateway")
        await book.room.redis.delete(book.room.room.keys.orders(owner_of(ANN)))

        assert await book.put(confirmed, begun) == confirmed
        assert await book.put(begun, None) == confirmed
        found = await book.begin(book.attempt(), ["same"])

        assert found is not None
        assert found.attempt == confirmed
        assert await book.mine() == [confirmed]


async def test_an_older_attempt_written_again_is_not_taken_for_the_last(redis_url: str) -> None:
    async with a_book(redis_url) as book:
        older = book.attempt()
        await book.room.clock.pass_s(1)
        newer = await book.begun()

        await book.put(older, None)
        found = await book.begin(book.attempt(), ["same"])

        assert found is not None
        assert found.attempt == newer


async def test_under_way_is_only_what_a_living_worker_can_still_tell_of(redis_url: str) -> None:
    async with a_book(redis_url) as book:
        await book.room.sync("lives")
        late = await book.begun(same="late", worker="lives")
        await book.room.clock.pass_s(50)
        await book.room.sync("lives")
        lives, dead = await book.begun(same="1", worker="lives"), await book.begun(same="2", worker="dead")
        await book.room.clock.pass_s(10)
        await book.room.sync("lives")

        read = {attempt.id: attempt.outcome for attempt in await book.mine()}
        given_up = await book.give_up_lost(now_ms=book.now_ms)

        assert read == {late.id: Outcome.UNKNOWN, lives.id: Outcome.UNDER_WAY, dead.id: Outcome.UNKNOWN}
        assert {attempt.id for attempt in given_up} == {late.id, dead.id}
        assert {attempt.id for attempt in await book.with_outcome(Outcome.UNKNOWN)} == {late.id, dead.id}
        assert await book.with_outcome(Outcome.UNDER_WAY) == [lives]
        assert (await book.decided(dead, Outcome.CONFIRMED)).outcome is Outcome.CONFIRMED, "it was alive after all"


async def test_a_visitor_sees_the_newest_first_and_nobody_elses(redis_url: str) -> None:
    async with a_book(redis_url) as book:
        for at in range(5):
            await book.room.clock.pass_s(1)
            await book.begun(same=str(at))
        await book.begun(BEN)

        assert [attempt.sameness for attempt in await book.mine()] == ["4", "3", "2", "1", "0"]
        assert [attempt.sameness for attempt in await book.of_visitor(ANN, now_ms=book.now_ms, limit=2)] == ["4", "3"]
        assert [attempt.visitor for attempt in await book.mine(BEN)] == [BEN]


async def test_the_oldest_of_a_visitor_make_room(redis_url: str) -> None:
    async with a_book(redis_url) as book:
        for at in range(MOST_OF_VISITOR + 5):
            await book.room.clock.pass_s(0.01)
            await book.begun(same=str(at))

        kept = await book.mine()
        fields = await book.room.redis.hlen(book.room.room.keys.orders(owner_of(ANN)))

        assert [attempt.sameness for attempt in kept] == [str(at) for at in range(MOST_OF_VISITOR + 4, 4, -1)]
        assert fields == 2 * MOST_OF_VISITOR
        assert (await book.counts())[Outcome.UNDER_WAY] == MOST_OF_VISITOR


async def test_attempts_are_gone_after_the_time_they_are_kept(redis_url: str) -> None:
    async with a_book(redis_url) as book:
        old = await book.decided(await book.begun(same="old"), Outcome.UNKNOWN)
        await book.room.clock.pass_s(KEEP_MS / 1000 - 60)
        assert await book.mine() == [old]
        young = await book.begun(same="young")
        await book.room.clock.pass_s(61)

        assert [attempt.id for attempt in await book.mine()] == [young.id]
        assert await book.with_outcome(Outcome.UNKNOWN) == []
        await book.begun(same="youngest")
        assert await book.get(old.id) is None
        assert (await book.counts())[Outcome.UNKNOWN] == 0


async def test_pages_meet_every_attempt_once(redis_url: str) -> None:
    async with a_book(redis_url) as book:
        begun = {(await book.begun(same=str(at))).id for at in range(25)}
        met: list[str] = []
        page = await book.list_by_outcome(Outcome.UNDER_WAY, now_ms=book.now_ms, limit=10)
        while True:
            met += [attempt.id for attempt in page.attempts]
            if page.after is None:
                break
            page = await book.list_by_outcome(Outcome.UNDER_WAY, now_ms=book.now_ms, after=page.after, limit=10)

        assert met == sorted(begun, reverse=True)


async def test_orders_outlive_a_reset(redis_url: str) -> None:
    async with a_book(redis_url) as book:
        attempt = await book.decided(await book.begun(), Outcome.CONFIRMED)

        await book.room.room.reset(book.room.state, by="test", keep_ms=1000)

        assert await book.mine() == [attempt]


@pytest.mark.parametrize("text", ["", "state", "0" * 33, "x" * 16 + "-" + "0" * 16, "0" * 16 + ":" + "0" * 16])
async def test_what_is_no_id_is_no_key(one_redis_url: str, text: str) -> None:
    async with a_book(one_redis_url) as book:
        assert not is_id(text)
        assert await book.get(text) is None


def test_an_id_does_not_tell_its_visitor_and_sorts_by_time() -> None:
    ids = [new_id(ANN, now_ms) for now_ms in (999, 1_000_000, 1_800_000_000_000)]

    assert ids == sorted(ids)
    assert all(is_id(id_) and ANN[:8] not in id_ for id_ in ids)
    assert orders.lowest_id(1_000_000) <= ids[1] < orders.lowest_id(1_000_001)
