"""The attempts at orders of one worker: noted before the shop hears of them, decided, remembered.

An order never waits for Redis for more than a quarter of a second. What could not be written by then is written later,
and what Redis lost, again: a worker remembers what it forwarded in the last hour. So Redis may be away, and an order
goes through all the same; then only this worker knows of it, and keeps it from being sent twice as far as it can see.

The worker that holds the lease also writes down as unknown what dead workers left under way.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

import structlog

from waitroom.core.errors import StoreUnavailable
from waitroom.core.orders.attempt import Attempt, Outcome
from waitroom.store.line import Line
from waitroom.store.orders import WORKER_SEEN_MS, Found, OrderBook

WAIT_S: Final = 0.23
GRACE_S: Final = 0.02
"""After `WAIT_S`, for an answer that is here already and only waits for a loop that was busy."""
PAUSE_S: Final = 0.03
ROUND_S: Final = 0.25
REMEMBERED_MS: Final = 3_600_000
MOST_REMEMBERED: Final = 10_000
AT_A_TIME: Final = 200
"""So many are written again in one round."""
TOGETHER: Final = 8
"""Of these so many at once, on half of the connections."""
SWEEP_MS: Final = 5_000

T = TypeVar("T")

log = structlog.get_logger()


class Own:
    """One attempt of this worker: what is known of it, and what Redis is believed to hold."""

    __slots__ = ("attempt", "digests", "written")

    def __init__(self, attempt: Attempt, digests: Sequence[str]) -> None:
        self.attempt = attempt
        self.digests = tuple(digests)
        self.written: Attempt | None = None


class Attempts:
    """Writes and remembers. `open` and `close` it with the line."""

    def __init__(self, line: Line, book: OrderBook) -> None:
        self.line = line
        self.book = book
        self._own: OrderedDict[str, Own] = OrderedDict()
        self._last: dict[str, str] = {}
        self._untold: dict[str, Own] = {}
        self._adoption: object = None
        self._well_since_ms = 0.0
        self._swept_ms = 0.0
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._task = asyncio.create_task(self._run(), name="orders")

    async def close(self) -> None:
        """After a last try to tell what is untold."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        with contextlib.suppress(StoreUnavailable):
            await self._tell()

    # For requests: none of these raises, or takes much longer than WAIT_S.

    async def begin(
        self, attempt: Attempt, digests: Sequence[str], *, after: str = "", by_word: bool = False
    ) -> Attempt | Found:
        """Begin it, or find the last one at the same order (`OrderBook.begin`).

        While Redis is away an attempt begins `recorded=False`, unless this worker remembers one at the same order.
        """
        own = Own(attempt, digests)
        last = self._last_at(digests)
        try:
            found = await in_time(self._begin(attempt, digests, last, after=after, by_word=by_word))
        except StoreUnavailable:
            if last is not None and last.attempt.id != after:
                return Found(last.attempt, False)
            own.attempt = replace(attempt, recorded=False)
            self._untold[attempt.id] = own
            log.warning("order_not_recorded", attempt=attempt.id)
        else:
            if found is not None:
                mine = self._own.get(found.attempt.id)
                return found if mine is None else Found(mine.attempt, found.may_repeat)  # perhaps not written yet
            own.written = attempt
        self._remember(own)
        return own.attempt

    async def decide(self, attempt: Attempt) -> Attempt:
        """Note what came of an attempt of this worker's; the attempt as it stands then."""
        own = self._own.get(attempt.id)
        if own is None:
            own = Own(attempt, ())
            self._remember(own)
        own.attempt = attempt
        self._untold[attempt.id] = own
        try:
            await in_time(self._put(own))
        except StoreUnavailable:
            log.warning("order_not_recorded", attempt=attempt.id)
        return own.attempt

    async def of_visitor(self, visitor: str) -> tuple[list[Attempt], bool]:
        """The visitor's attempts, newest first, and whether these are all: False while Redis is away, when only this
        worker's own are known.
        """
        mine = {each.attempt.id: each.attempt for each in self._own.values() if each.attempt.visitor == visitor}
        try:
            found = await in_time(self.book.of_visitor(visitor, now_ms=self.line.now_ms()))
        except StoreUnavailable:
            return sorted(mine.values(), key=lambda attempt: attempt.id, reverse=True), False
        untold = {id_: attempt for id_, attempt in mine.items() if id_ in self._untold}
        merged = {attempt.id: attempt for attempt in found} | untold
        return sorted(merged.values(), key=lambda attempt: attempt.id, reverse=True), True

    async def _begin(
        self, attempt: Attempt, digests: Sequence[str], last: Own | None, *, after: str, by_word: bool
    ) -> Found | None:
        """Tried again within the time there is: connections break when Redis restarts."""
        while True:
            if self.line.is_away:
                raise StoreUnavailable("begin_order: Redis is away")
            try:
                if last is not None:
                    await self._put(last)  # what Redis may have lost since
                return await self.book.begin(attempt, digests, after=after, by_word=by_word)
            except StoreUnavailable:
                await asyncio.sleep(PAUSE_S)

    def _last_at(self, digests: Sequence[str]) -> Own | None:
        """The last attempt of this worker's at the same order."""
        return self._own.get(max((self._last[digest] for digest in digests if digest in self._last), default=""))

    def _remember(self, own: Own) -> None:
        self._own[own.attempt.id] = own
        for digest in own.digests:
            self._last[digest] = own.attempt.id
        oldest = next(iter(self._own.values()))
        while len(self._own) > MOST_REMEMBERED or oldest.attempt.begun_ms < own.attempt.begun_ms - REMEMBERED_MS:
            del self._own[oldest.attempt.id]
            for digest in oldest.digests:
                if self._last.get(digest) == oldest.attempt.id:
                    del self._last[digest]
            oldest = next(iter(self._own.values()))

    # Later.

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(ROUND_S)
            try:
                await self._round()
            except StoreUnavailable:
                self._well_since_ms = 0.0
            except Exception:
                log.exception("orders_failed")

    async def _round(self) -> None:
        await self._tell()  # also while the line waits for Redis to get well: whoever dies now takes it along
        line, snapshot = self.line, self.line.snapshot
        if line.is_away or snapshot is None:
            self._well_since_ms = 0.0
            return
        now_ms = line.now_ms()
        self._well_since_ms = self._well_since_ms or now_ms
        if snapshot.state.adoption != self._adoption:
            if self._adoption is not None:  # Redis restarted: nobody knows what it lost
                for own in self._own.values():
                    own.written = None
                    self._untold[own.attempt.id] = own
            self._adoption = snapshot.state.adoption
        # After a pause nobody can tell the dead from those who could not sync: as long as a worker may be unseen.
        long_well = now_ms - self._well_since_ms > 2 * WORKER_SEEN_MS
        if snapshot.is_holder and long_well and now_ms - self._swept_ms >= SWEEP_MS:
            self._swept_ms = now_ms
            for attempt in await self.book.give_up_lost(now_ms=now_ms):
                log.warning("order_given_up", attempt=attempt.id, route=attempt.route)

    async def _tell(self) -> None:
        untold = list(self._untold.values())[:AT_A_TIME]
        for at in range(0, len(untold), TOGETHER):
            await asyncio.gather(*(in_time(self._put(own)) for own in untold[at : at + TOGETHER]))

    async def _put(self, own: Own) -> None:
        """Write it, or learn what somebody else wrote."""
        before = own.attempt
        attempt = replace(before, recorded=True)
        own.written = there = await self.book.put(attempt, own.written)
        if own.attempt is not before:
            return  # decided meanwhile: told in its turn
        given_up = before.outcome is Outcome.UNDER_WAY and there.outcome is Outcome.UNKNOWN
        own.attempt = attempt if given_up else there  # the last word on what is under way here is ours
        self._untold.pop(attempt.id, None)


async def in_time(call: Coroutine[Any, Any, T]) -> T:
    """What comes of it within a quarter of a second; StoreUnavailable if nothing does."""
    task = asyncio.ensure_future(call)
    try:
        for wait_s in (WAIT_S, GRACE_S):
            if not task.done():
                await asyncio.wait((task,), timeout=wait_s)
        if not task.done():
            raise StoreUnavailable("orders: no answer in time")
        return task.result()
    finally:
        task.cancel()
