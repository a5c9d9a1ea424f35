"""A simulated crowd: people who come, wait, leave, come back and shop, over real HTTP.

Everybody has cookies of their own and does what the waiting page does: asks for the status when told to,
lets the answer be held, claims when called. Some lose patience, some close the tab and come back to their place,
some are crawlers that keep no cookies. New people come as others get in, so that about the same number waits.

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
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from waitroom.demo.browser import Browser, NoAnswer
from waitroom.demo.goods import PRODUCTS

Habit = Literal["patient", "leaves", "wanders", "crawls"]
HABITS: dict[Habit, float] = {"patient": 0.72, "leaves": 0.12, "wanders": 0.12, "crawls": 0.04}
TICK_S = 0.25
REPORT_S = 0.5
RATE_SPAN_S = 30.0
ARRIVALS_PER_S = 25.0
SPARE_PEOPLE = 200
PATIENCE_TRIES = 6
ORDERS = "/-/waitroom/orders"


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
        self._pace = pace or Pace()
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

    @property
    def pace(self) -> Pace:
        return self._pace


class Person:
    """One visit, from the first page to the last."""

    def __init__(self, crowd: Crowd, browser: Browser, habit: Habit) -> None:
        self.crowd = crowd
        self.figures = crowd.figures
        self.browser = browser
        self.habit = habit

    async def visit(self) -> None:
        self.figures.waiting += 1
        try:
            inside = await self._come() and await self._wait_with_habit()
        finally:
            self.figures.waiting -= 1
        if not inside:
            return
        self.crowd.note_let_in()
        self.figures.inside += 1
        try:
            await self._shop()
        finally:
            self.figures.inside -= 1

    @property
    def _has_pass(self) -> bool:
        return any("waitroom_" in name and name.endswith("_pass") for name in self.browser.cookies)

    @property
    def _has_ticket(self) -> bool:
        return any("waitroom_" in name and name.endswith("_ticket") for name in self.browser.cookies)

    async def _come(self) -> bool:
        """Open the first page; again if there is neither the shop nor a place in line."""
        for _ in range(PATIENCE_TRIES):
            try:
                answer = await self.browser.open("/")
            except NoAnswer:
                await self._think()
                continue
            if answer.status == 200 or self._has_pass or self._has_ticket:
                return True
            if self.habit == "crawls":
                break
            self.figures.errors += 1
            await self._think()
        self.figures.gave_up += self.habit != "crawls"
        return False

    async def _wait_with_habit(self) -> bool:
        """True when inside."""
        if self._has_pass or not self._has_ticket:
            return True
        if self.habit == "patient":
            return await self._wait()
        try:
            async with asyncio.timeout(self.crowd.between(self.crowd.pace.patience_s)):
                return await self._wait()
        except TimeoutError:
            self.browser.close()
        if self.habit == "leaves":
            self.figures.left += 1
            return False
        self.figures.waiting -= 1
        self.figures.away += 1
        try:
            await asyncio.sleep(self.crowd.between(self.crowd.pace.away_s))
        finally:
            self.figures.waiting += 1
            self.figures.away -= 1
        return await self._come() and (self._has_pass or await self._wait())

    async def _wait(self) -> bool:
        """What the waiting page does: one request after the other, when the server says."""
        failures, hold_s, shown = 0, 0, ""
        while failures < PATIENCE_TRIES:
            try:
                answer = await self.browser.fetch(f"/-/waitroom/status?hold={hold_s}{shown}", wait_s=hold_s)
                facts = answer.json()
                if facts.get("state") == "called":
                    facts = (await self.browser.fetch("/-/waitroom/claim", method="POST", wait_s=30)).json()
                match facts.get("state"):
                    case "admitted":
                        return (await self.browser.open("/")).status == 200 or self._has_pass
                    case "lapsed" | "closed" | "sold_out":
                        self.figures.gave_up += 1
                        return False
                    case "none":
                        if not await self._come() or self._has_pass:
                            return self._has_pass
                    case None:
                        raise NoAnswer(f"no state in an answer with status {answer.status}")
                failures = 0
            except NoAnswer:
                failures += 1
                facts = {"next_poll_s": min(15, 2**failures)}
            hold_s = min(25, int(number_in(facts, "hold_s", 0)))
            shown = f"&shown={int(facts['position'])}" if isinstance(facts.get("position"), int) else ""
            await asyncio.sleep(number_in(facts, "next_poll_s", 5) * self.crowd.between((0.8, 1.2)))
        self.figures.gave_up += 1
        return False

    async def _shop(self) -> None:
        """Look, choose, perhaps order. The first page has been seen."""
        steps: list[tuple[str, dict[str, str] | None]] = [(f"/products/{self.crowd.pick()}", None)]
        if self.crowd.happens(0.4):
            steps.append((f"/products/{self.crowd.pick()}", None))
        if self.crowd.happens(0.8):
            steps += [("/basket", {"slug": self.crowd.pick()}), ("/checkout", None)]
            if self.crowd.happens(0.9):
                steps.append(("/checkout", {"name": "A visitor", "email": "a@example.org", "address": "Storgatan 1"}))
        for path, form in steps:
            await self._think()
            is_order = path == "/checkout" and form is not None
            done = await self._step(path, form, is_order=is_order)
            if is_order and not self.crowd.in_shop:
                await self._look_up()
            if not done:
                self.figures.gave_up += 1
                return

    async def _look_up(self) -> None:
        """Did it go through? The gateway's page of orders says so, whatever the shop's answer was."""
        try:
            orders = (await self.browser.fetch(ORDERS)).json().get("orders", [])
        except NoAnswer:
            return
        if any(order["outcome"] == "confirmed" for order in orders):
            self.figures.confirmed += 1
        elif orders:
            self.figures.unsure += 1

    async def _insist(self, url: str) -> None:
        """The gateway asks before it sends an order again of which nobody knows what became."""
        attempt = parse_qs(urlsplit(url).query).get("attempt", [""])[0]
        with contextlib.suppress(NoAnswer):
            await self.browser.open(f"{ORDERS}/again", form={"attempt": attempt})

    async def _step(self, path: str, form: dict[str, str] | None, *, is_order: bool) -> bool:
        """One page, tried again when the shop fails, as people do."""
        for _ in range(PATIENCE_TRIES):
            try:
                answer = await self.browser.open(path, form=form)
            except NoAnswer:
                answer = None
            if answer is not None and ORDERS in answer.url:
                await self._insist(answer.url)
                continue
            if answer is not None and answer.status < 400:
                self.figures.orders += is_order
                return True
            self.figures.errors += 1
            await self._think()
        return False

    async def _think(self) -> None:
        await asyncio.sleep(self.crowd.between(self.crowd.pace.think_s))


def number_in(facts: dict[str, object], name: str, default: float) -> float:
    value = facts.get(name)
    return min(60.0, max(0.0, value)) if isinstance(value, (int, float)) else default


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
