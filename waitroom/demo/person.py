"""One of the crowd: somebody with cookies of their own, who does what the waiting page does: asks for the status when
told to, lets the answer be held, claims when called; and then shops.
"""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qs, urlsplit

from waitroom.demo.browser import Browser, NoAnswer

if TYPE_CHECKING:
    from waitroom.demo.crowd import Crowd

Habit = Literal["patient", "leaves", "wanders", "crawls"]
PATIENCE_TRIES = 6
ORDERS = "/-/waitroom/orders"


class Person:
    """One visit, from the first page to the last."""

    def __init__(self, crowd: "Crowd", browser: Browser, habit: Habit) -> None:
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
