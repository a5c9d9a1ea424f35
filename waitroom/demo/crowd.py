"""A simulated crowd: people who come, wait, leave, come back and shop, over real HTTP.

What each of them does is in `person`. Some lose patience, some close the tab and come back to their place, some are
crawlers that keep no cookies. New people come as others get in, so that about the same number waits.

A process of its own: `python -m waitroom.demo.crowd <address> <people> <line or shop>`; it writes a line
of JSON with its figures twice a second, and ends when nobody reads them.
"""

import asyncio
import contextlib
import json
import random
import signal
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass

from waitroom.demo.browser import Browser, NoAnswer
from waitroom.demo.goods import PRODUCTS
from waitroom.demo.person import Habit, Person

HABITS: dict[Habit, float] = {"patient": 0.72, "leaves": 0.12, "wanders": 0.12, "crawls": 0.04}
TICK_S = 0.25
REPORT_S = 0.5
RATE_SPAN_S = 30.0
ARRIVALS_PER_S = 25.0
SPARE_PEOPLE = 200


@dataclass(slots=True)
class Figures:
    """`waiting`, `away` and `inside` are now; the others count from the start. `orders` were placed as the shop said;
    of those who sent one and looked it up, the gateway had it `confirmed`, or did not know (`unsure`).
    """

    came: int = 0
    waiting: int = 0
    away: int = 0
    inside: int = 0
    let_in: int = 0
    let_in_per_min: int = 0
    left: int = 0
    orders: int = 0
    confirmed: int = 0
    unsure: int = 0
    errors: int = 0
    gave_up: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long people take, in seconds: the least and the most of each."""

    think_s: tuple[float, float] = (0.8, 3.2)
    patience_s: tuple[float, float] = (6, 40)
    away_s: tuple[float, float] = (8, 30)


class Crowd:
    """Keeps about `people` in front of the gateway, or (`in_shop`) that many in a shop without one."""

    def __init__(
        self, base_url: str, people: int, *, in_shop: bool = False, pace: Pace | None = None, seed: int | None = None
    ) -> None:
        self.figures = Figures()
        self._base_url = base_url
        self._people = people
        self.in_shop = in_shop
        self.pace = pace or Pace()
        self._random = random.Random(seed)  # noqa: S311 - habits, not secrets
        self._let_in: deque[float] = deque(maxlen=10_000)
        self._begun = time.monotonic()

    async def run(self) -> None:
        """Until cancelled. The number of people alive is bounded, whatever the gateway does."""
        async with asyncio.TaskGroup() as visits:
            alive: set[asyncio.Task[None]] = set()
            most_at_once = max(1, round(max(ARRIVALS_PER_S, self._people / 3) * TICK_S))
            while True:
                there = self.figures.waiting + (self.figures.inside if self.in_shop else 0)
                room = self._people * 3 + SPARE_PEOPLE - len(alive)
                for _ in range(min(self._people - there, most_at_once, room)):
                    visit = visits.create_task(self._visit())
                    alive.add(visit)
                    visit.add_done_callback(alive.discard)
                await asyncio.sleep(TICK_S)

    def report(self) -> dict[str, int]:
        now = time.monotonic()
        while self._let_in and self._let_in[0] < now - RATE_SPAN_S:
            self._let_in.popleft()
        span_s = max(1.0, min(RATE_SPAN_S, now - self._begun))
        self.figures.let_in_per_min = round(len(self._let_in) * 60 / span_s)
        return asdict(self.figures)

    async def _visit(self) -> None:
        [habit] = self._random.choices(list(HABITS), list(HABITS.values()))
        self.figures.came += 1
        browser = Browser(self._base_url, keeps_cookies=habit != "crawls")
        try:
            await Person(self, browser, habit).visit()
        except NoAnswer:
            self.figures.gave_up += 1
        finally:
            browser.close()

    def note_let_in(self) -> None:
        self.figures.let_in += 1
        self._let_in.append(time.monotonic())

    def between(self, bounds: tuple[float, float]) -> float:
        return self._random.uniform(*bounds)

    def happens(self, probability: float) -> bool:
        return self._random.random() < probability

    def pick(self) -> str:
        return self._random.choice(PRODUCTS).slug


async def perform(base_url: str, people: int, *, in_shop: bool) -> None:
    """Run a crowd until SIGTERM, or until nobody reads its figures."""
    crowd = Crowd(base_url, people, in_shop=in_shop)
    running = asyncio.ensure_future(crowd.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        while not running.done():
            await asyncio.wait([running], timeout=REPORT_S)
            try:
                sys.stdout.write(json.dumps(crowd.report()) + "\n")
                sys.stdout.flush()
            except BrokenPipeError:
                running.cancel()
        await running


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(perform(sys.argv[1], int(sys.argv[2]), in_shop=sys.argv[3] == "shop"))
