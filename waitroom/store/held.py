"""Held polls: answers kept back until something changes for that visitor.

Kept by place, so that a moved front wakes exactly those it called. Bounded: over the cap the farthest is
answered first, and of one place the oldest, so that nobody takes the others' room with a single ticket.
"""

import asyncio
import heapq
from collections.abc import Iterable

from waitroom.core.model import State
from waitroom.core.sale.schedule import Sale

MOST_HELD = 20_000
MOST_OF_ONE = 8


class HeldPolls:
    """Of one line and one worker: at most `most` at once, and eight of one place."""

    def __init__(self, most: int = MOST_HELD) -> None:
        self._by_place: dict[int, list[asyncio.Future[None]]] = {}
        self._farthest: list[int] = []
        self._count = 0
        self._most = most

    def __len__(self) -> int:
        return self._count

    def hold(self, place: int, seconds: float) -> "asyncio.Future[None]":
        """Done when the place is woken, the time is up, or there are too many and nobody waits farther back."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, finish, future)
        here = self._by_place.setdefault(place, [])
        here.append(future)
        heapq.heappush(self._farthest, -place)
        self._count += 1
        future.add_done_callback(lambda done: self._let_go(place, done, timer))
        if self._most == 0:
            finish(future)
        elif len(here) > MOST_OF_ONE:
            finish(here[-1 - MOST_OF_ONE])
        elif self._count > self._most:
            self._drop_farthest()
        return future

    def _let_go(self, place: int, future: "asyncio.Future[None]", timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        self._count -= 1
        here = self._by_place[place]
        here.remove(future)
        if not here:
            del self._by_place[place]
        if len(self._farthest) > 2 * self._count + 64:
            self._farthest = [-held for held in self._by_place]
            heapq.heapify(self._farthest)

    def wake(self, start: int, end: int) -> None:
        """Answer those with places start … end − 1."""
        if end - start < len(self._by_place):
            self._finish(range(start, end))
        else:
            self._finish([place for place in self._by_place if start <= place < end])

    def close(self) -> None:
        """Answer everybody, and hold nobody from now on."""
        self._most = 0
        self.wake_all()

    def wake_all(self) -> None:
        self._finish(list(self._by_place))

    def _finish(self, places: Iterable[int]) -> None:
        for place in places:
            for future in tuple(self._by_place.get(place, ())):
                finish(future)

    def _drop_farthest(self) -> None:
        while self._farthest:
            place = -heapq.heappop(self._farthest)
            if place in self._by_place:
                self._finish((place,))
                return


def finish(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def wake_changed(held: HeldPolls, old: State, new: State) -> None:
    """Answer the polls of those for whom something changed."""
    is_other_line = (old.generation, old.message, old.changed_ms) != (new.generation, new.message, new.changed_ms)
    if is_other_line or is_other_sale(old.sale, new.sale) or old.space != new.space:
        held.wake_all()
    elif new.front > old.front:
        held.wake(old.front, new.front)


def is_other_sale(old: Sale, new: Sale) -> bool:
    """Whether people in line have to hear of it at once. The opening wakes those it calls, one after the other."""
    if old.is_sold_out != new.is_sold_out:
        return True
    return old.latched != new.latched and new.latched not in ("lobby", "drawn", "open")
