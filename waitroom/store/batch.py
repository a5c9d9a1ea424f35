"""Gathers what arrives together into one call.

One call of a kind is under way at a time: while Redis is slow the next batch grows instead of the number of calls.
A single arrival goes at once, and so does whatever came in one turn of the loop; only where small batches follow
each other closely is the next one given a few milliseconds to grow.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

MOST = 200
GATHER_S = 0.001
SMALL = 16

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Told = TypeVar("Told", contravariant=True)


class Waiter(Protocol[Told]):
    """Who is told the answer: a future, or what behaves like one and needs no task. One that is done, because nobody
    waits any more, is not asked for, and told nothing.
    """

    def done(self) -> bool: ...
    def set_result(self, result: Told, /) -> None: ...
    def set_exception(self, exception: Exception, /) -> None: ...
    def cancel(self) -> object: ...


class Batcher(Generic[Item, Answer]):
    """`run` is given at most 200 items and answers in their order; its error is everybody's in the batch."""

    def __init__(self, run: Callable[[list[Item]], Awaitable[list[Answer]]]) -> None:
        self._run = run
        self._waiting: list[tuple[Item, Waiter[Answer]]] = []
        self._task: asyncio.Task[None] | None = None
        self._last_size = 0
        self._last_at = 0.0

    async def ask(self, item: Item) -> Answer:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.put(item, future)
        return await future

    def put(self, item: Item, waiter: Waiter[Answer]) -> None:
        """Ask without waiting: `waiter` is told."""
        self._waiting.append((item, waiter))
        if self._task is None:
            self._task = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(GATHER_S if self._is_hasty() else 0)
                batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                batch = [(item, waiter) for item, waiter in batch if not waiter.done()]
                if not batch:
                    continue
                self._last_size = len(batch)
                try:
                    answers = await self._run([item for item, _ in batch])
                except Exception as error:  # noqa: BLE001 - whoever waits for an answer gets it
                    for _, waiter in batch:
                        if not waiter.done():
                            waiter.set_exception(error)
                else:
                    for (_, waiter), answer in zip(batch, answers, strict=True):
                        if not waiter.done():
                            waiter.set_result(answer)
                finally:
                    for _, waiter in batch:
                        if not waiter.done():
                            waiter.cancel()
                self._last_at = asyncio.get_running_loop().time()
        finally:
            self._task = None

    def _is_hasty(self) -> bool:
        """The last call ended a moment ago and carried little."""
        return self._last_size < SMALL and asyncio.get_running_loop().time() - self._last_at < GATHER_S

    async def close(self) -> None:
        """Whoever still waits is cancelled, also in a call that is under way."""
        for _, waiter in self._waiting:
            if not waiter.done():
                waiter.cancel()
        if self._task is not None:
            self._task.cancel()
