"""How much a small shop can bear: few requests at once, slower the more of them there are, then no more.

Real shops behave like this: a few workers share two cores and a database, requests beyond them wait in
line inside the shop, and whoever waits too long, or comes when that line is full, gets an error.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass


class Overrun(Exception):
    """The request was not served: too many before it, or it waited too long."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many requests are served and how many wait, how long one waits at most, and what a page or an order takes."""

    workers: int = 4
    queue: int = 40
    patience_s: float = 4.0
    page_s: float = 0.09
    order_s: float = 0.4


@dataclass(slots=True)
class Load:
    """The shop's load, as its footer and `/load` show it."""

    workers: int
    busy: int = 0
    queued: int = 0
    served: int = 0
    refused: int = 0
    orders: int = 0
    page_ms: int = 0

    def as_json(self) -> dict[str, int]:
        return asdict(self)


def slowed(share_busy: float) -> float:
    """Workers share the database: with all of them busy each takes 1.8 times as long."""
    return 1 + 0.8 * share_busy


class Capacity:
    """Workers, and a queue before them. `seed` makes the service times the same each time."""

    def __init__(self, limits: Limits, *, seed: int | None = None) -> None:
        self.limits = limits
        self.load = Load(limits.workers)
        self._free = asyncio.Semaphore(limits.workers)
        self._random = random.Random(seed)  # noqa: S311 - service times, not secrets
        self._recent: deque[float] = deque(maxlen=20)

    @asynccontextmanager
    async def serve(self, work_s: float) -> AsyncIterator[None]:
        """Take a worker for about `work_s`, then let the caller answer. Raises Overrun instead of serving."""
        begun = asyncio.get_running_loop().time()
        await self._take()
        try:
            self.load.busy += 1
            share = self.load.busy / self.limits.workers
            await asyncio.sleep(work_s * slowed(share) * self._random.lognormvariate(0, 0.25))
            yield
            self.load.served += 1
            self._recent.append(asyncio.get_running_loop().time() - begun)
            self.load.page_ms = round(1000 * sum(self._recent) / len(self._recent))
        finally:
            self.load.busy -= 1
            self._free.release()

    async def _take(self) -> None:
        if self.load.queued >= self.limits.queue:
            self.load.refused += 1
            raise Overrun
        self.load.queued += 1
        try:
            async with asyncio.timeout(self.limits.patience_s):
                await self._free.acquire()
        except TimeoutError:
            self.load.refused += 1
            raise Overrun from None
        finally:
            self.load.queued -= 1
