"""Purchases as they happen: double clicks, reloads, lost connections, tired shops, dead workers, a Redis that restarts.

Afterwards the shop's book is laid beside what the gateway says (`Reckoning`). A story is honest about the shopper's
word: an order may be sent once for each time that somebody who knew what had come of it wanted it sent.
"""

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.app.orders_support import DOCUMENT_HEADERS, ROUTES, SCRIPT_HEADERS, Shopper
from tests.app.till import BEHAVIOURS, CLEAR, Till, running_till
from tests.support import SECRET, Gateway, RedisServer, Shop, running_gateway, running_redis
from waitroom.core.orders.attempt import Attempt, Outcome
from waitroom.core.tokens import Tokens, Unreadable
from waitroom.demo.browser import Answer, NoAnswer
from waitroom.store.orders import OrderBook
from waitroom.store.room import Room

GONE = (OSError, EOFError, TimeoutError, NoAnswer, ValueError)
WEIGHTS = {"well": 6, "late": 6, "shop-json": 2}
PRESSES = ("once", "once", "twice at once", "thrice at once", "reloads", "leaves", "leaves and comes back")
KILL_EVERY_S, RESTART_EVERY_S, DOWN_S = 4.0, 5.0, 1.0
SENT_ANEW = (Outcome.REFUSED, Outcome.ANSWERED)
"""Whoever presses again then wants another try: nothing was ordered."""
KILL_REACHES_MS = 3_000
"""An order is under way for so long at most, but for a shop that never answers."""


@dataclass
class Purchase:
    """One order of one shopper. `words`: how often it may have been sent."""

    order: str
    behaviour: str
    words: int = 1
    presses: int = 0
    lines: list[str] = field(default_factory=list)


@dataclass
class Told:
    """One shopper's story."""

    visitor: str
    cookies: dict[str, str]
    purchases: list[Purchase]


@dataclass
class Chaos:
    """When (ms) workers were killed and Redis was down."""

    kills: list[int] = field(default_factory=list)
    downs: list[tuple[int, int]] = field(default_factory=list)

    def killed_during(self, attempt: Attempt) -> bool:
        return any(attempt.begun_ms - 200 <= at <= attempt.begun_ms + KILL_REACHES_MS for at in self.kills)


def now_ms() -> int:
    return round(time.time() * 1000)


class Buyer:
    """Lives through one story."""

    def __init__(self, gateway: Gateway, chance: random.Random, number: int) -> None:
        self.shopper, self.chance, self.number = Shopper(gateway.url), chance, number

    async def live(self) -> Told:
        try:
            await self.enter()
            purchases = []
            for at in range(self.chance.choice((1, 1, 2))):
                purchase = Purchase(f"{self.number}-{at}", self.behaviour())
                purchases.append(purchase)
                await self.buy(purchase)
        finally:
            self.shopper.close()
        value = next(value for name, value in self.shopper.cookies.items() if name.endswith("_pass"))
        pass_ = Tokens("shop", [SECRET]).read_pass(value, now_ms())
        assert pass_ is not None
        assert not isinstance(pass_, Unreadable)
        return Told(pass_.visitor, self.shopper.cookies, purchases)

    def behaviour(self) -> str:
        return self.chance.choices(BEHAVIOURS, [WEIGHTS.get(behaviour, 1) for behaviour in BEHAVIOURS])[0]

    async def enter(self) -> None:
        seen = 0
        async with asyncio.timeout(60):
            while seen < 2:
                try:
                    seen += (await self.shopper.open("/")).status == 200
                except GONE:
                    await asyncio.sleep(0.1)

    async def buy(self, purchase: Purchase) -> None:
        as_app = self.chance.random() < 0.3
        how = self.chance.choice(PRESSES)
        purchase.lines.append(f"{how}{' by an app' if as_app else ''}")
        match how:
            case "twice at once" | "thrice at once":
                count = 2 if how.startswith("twice") else 3
                # Whoever presses while the first is refused orders once more: nothing was ordered yet.
                answers = await asyncio.gather(*(self.press(purchase, as_app=as_app, late=True) for _ in range(count)))
            case "leaves" | "leaves and comes back":
                answers = [await self.press(purchase, as_app=as_app, leaves=True)]
                if how != "leaves":
                    await asyncio.sleep(self.chance.random())
                    answers = [await self.press(purchase, as_app=as_app)]
            case _:
                answers = [await self.press(purchase, as_app=as_app)]
                if how == "reloads":
                    answers = [await self.press(purchase, as_app=as_app)]
        for _ in range(2):
            if answers[0] is None:  # the network, or a worker, has gone: once more, not knowing anything
                await asyncio.sleep(self.chance.random())
                answers = [await self.press(purchase, as_app=as_app)]
            elif attempt := asked_about(answers[0]):
                if self.chance.random() < 0.5:
                    return
                answers = [await self.insist(purchase, attempt, as_app=as_app)]

    async def press(
        self, purchase: Purchase, *, as_app: bool, leaves: bool = False, late: bool = False, again: str = ""
    ) -> Answer | None:
        """Send the form; None if no answer came."""
        if late:
            await asyncio.sleep(self.chance.choice((0, 0.01, 0.1)))
        purchase.presses += 1
        form = {"order": purchase.order, "as": purchase.behaviour, "csrf_token": f"{self.chance.random()}"}
        kind = {
            **(SCRIPT_HEADERS if as_app else DOCUMENT_HEADERS),
            **({"waitroom-order-again": again} if again else {}),
        }
        try:
            answer = await self.shopper.send(form, kind=kind, leaves=leaves)
        except GONE as error:
            purchase.lines.append(f"{now_ms()} {error!r}")
            return None
        place = answer.header("location") or answer.header("idempotent-replayed") or ""
        purchase.lines.append(f"{now_ms()} {answer.status} {place}")
        return answer

    async def insist(self, purchase: Purchase, attempt: str, *, as_app: bool) -> Answer | None:
        """Say that the order is to be sent again, and send it."""
        purchase.words += 1
        if as_app:
            return await self.press(purchase, as_app=True, again=attempt)
        try:
            form = {"attempt": attempt}
            said = await self.shopper.send(form, path="/-/waitroom/orders/again", origin=self.shopper.base)
        except GONE:
            return None
        purchase.lines.append(f"{now_ms()} said again: {said.status}")
        return await self.press(purchase, as_app=False)


def asked_about(answer: Answer) -> str:
    """The attempt that the visitor is asked about; empty if there is no question."""
    location = answer.header("location") or ""
    if "again=ask" in location:
        return location.partition("attempt=")[2].partition("&")[0]
    if answer.status == 409 and "again" in answer.json():
        return str(answer.json()["attempt"])
    return ""


async def make_trouble(gateway: Gateway, redis: RedisServer, chance: random.Random, chaos: Chaos) -> None:
    """One thing at a time: a worker is killed, or Redis restarts."""
    kill_at = time.monotonic() + KILL_EVERY_S * chance.uniform(0.3, 0.6)
    down_at = time.monotonic() + RESTART_EVERY_S * chance.uniform(0.4, 0.8)
    while True:
        await asyncio.sleep(0.05)
        if time.monotonic() >= kill_at:
            workers = gateway.workers()
            if workers:
                os.kill(chance.choice(workers), signal.SIGKILL)
                chaos.kills.append(now_ms())
            kill_at = time.monotonic() + KILL_EVERY_S * chance.uniform(0.7, 1.3)
            down_at = max(down_at, time.monotonic() + 2)
        elif time.monotonic() >= down_at:
            began = now_ms()
            redis.kill()
            await asyncio.sleep(DOWN_S * chance.random())
            await asyncio.to_thread(redis.start)
            chaos.downs.append((began, now_ms()))
            down_at = time.monotonic() + RESTART_EVERY_S * chance.uniform(0.7, 1.3)
            kill_at = max(kill_at, time.monotonic() + 2)


@dataclass
class Reckoning:
    """The shop's book beside what the gateway says, in sentences. `without_redis`: what an attempt was in that Redis,
    being away, took no note of in time.
    """

    faults: list[str] = field(default_factory=list)
    without_redis: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    orders: int = 0
    sent: int = 0

    def tell(self, fault: str, *, excused: bool) -> None:
        (self.without_redis if excused else self.faults).append(fault)


async def reckon(scene: "Scene", stories: list[Told], chaos: Chaos) -> Reckoning:
    till, found = scene.till, Reckoning()
    unnoted = {str(json.loads(line)["attempt"]) for line in scene.gateway.events("order_not_recorded")}
    received = Counter(head.get("waitroom-order-attempt", "") for head in till.heads if head[":"] == "POST /order")
    found.faults += [f"attempt {id_} reached the shop {times} times" for id_, times in received.items() if times > 1]
    room = Room.connect(scene.redis.url, "shop")
    book = OrderBook(room, keep_ms=30 * 86_400_000)
    try:
        for told in stories:
            attempts = {each.id: each for each in await book.of_visitor(told.visitor, now_ms=now_ms())}
            reckon_story(found, told, attempts, till, unnoted, chaos)
            shown = await what_is_shown(scene.gateway, told)
            if shown != {each.id: each.outcome.value for each in attempts.values()}:
                found.faults.append(f"shown {shown}, noted {attempts}")
    finally:
        await room.close()
    return found


async def what_is_shown(gateway: Gateway, told: Told) -> dict[str, str]:
    """Attempt → outcome, as the shopper finds it."""
    shopper = Shopper(gateway.url)
    shopper.cookies = told.cookies
    try:
        page = (await shopper.fetch("/-/waitroom/orders")).json()
    finally:
        shopper.close()
    assert page["complete"], page
    return {order["id"]: order["outcome"] for order in page["orders"]}


def reckon_story(
    found: Reckoning, told: Told, attempts: dict[str, Attempt], till: Till, unnoted: set[str], chaos: Chaos
) -> None:
    """Each order sent no oftener than its shopper said; each attempt told as the shop has it."""
    for purchase in told.purchases:
        about = f"{purchase.order} ({purchase.behaviour}, {purchase.words} words)" + "".join(
            f"\n    {line}" for line in purchase.lines
        )
        sent = [id_ for id_, (order, _) in till.asked.items() if order == purchase.order]
        booked = [sale.attempt for sale in till.booked(purchase.order)]
        found.orders += 1
        found.sent += len(sent)
        may_send = purchase.presses if CLEAR.get(purchase.behaviour) in SENT_ANEW else purchase.words
        if len(sent) > may_send:
            found.tell(f"sent {len(sent)} times: {about}", excused=not unnoted.isdisjoint(sent))
        for id_ in sent:
            attempt = attempts.get(id_)
            if attempt is None:
                found.tell(f"sent, and nothing is noted of {id_}: {about}", excused=id_ in unnoted)
                continue
            expected = CLEAR.get(purchase.behaviour, Outcome.UNKNOWN)
            if attempt.outcome is not expected and not (
                attempt.outcome is Outcome.UNKNOWN and chaos.killed_during(attempt)
            ):
                fault = f"{attempt.outcome.value}, not {expected.value}: {attempt}, {chaos}, {about}"
                found.tell(fault, excused=attempt.outcome is Outcome.UNKNOWN and id_ in unnoted)
        for attempt in attempts.values():
            if attempt.id not in till.asked and attempt.outcome is Outcome.CONFIRMED:
                found.faults.append(f"confirmed, and the shop has not seen it: {attempt}")
            if attempt.id in booked and attempt.outcome in (Outcome.FAILED, Outcome.REFUSED, Outcome.ANSWERED):
                found.faults.append(f"denied, and the shop has it: {attempt}")
    for attempt in attempts.values():
        found.outcomes[attempt.outcome.value] += 1
        is_excused = attempt.id in unnoted or chaos.killed_during(attempt)
        unsent = attempt.id not in till.asked and attempt.outcome is Outcome.UNKNOWN
        if attempt.outcome is Outcome.UNDER_WAY or (unsent and not is_excused):
            found.faults.append(f"nobody can know? {attempt}, {chaos.kills}")


@dataclass
class Scene:
    gateway: Gateway
    till: Till
    redis: RedisServer


@asynccontextmanager
async def a_scene() -> AsyncIterator[Scene]:
    """A gateway of two workers, a Redis that keeps what it said it has, a till."""
    with running_redis(keeps=True) as redis:
        async with running_till() as till:
            shop = Shop(port=till.port)
            settings = {"workers": "2", "rate": "unlimited", "origin_timeout": "1s", "order_routes": ROUTES}
            async with running_gateway(shop, redis.url, **settings) as gateway:
                yield Scene(gateway, till, redis)


async def run_stories(scene: Scene, count: int, *, at_once: int, seed: int) -> tuple[Reckoning, Chaos]:
    """So many stories, with trouble all the while."""
    chaos, room = Chaos(), asyncio.Semaphore(at_once)

    async def one(number: int) -> Told:
        async with room:
            return await Buyer(scene.gateway, random.Random(f"{seed}.{number}"), number).live()

    trouble = asyncio.create_task(make_trouble(scene.gateway, scene.redis, random.Random(seed), chaos))
    try:
        stories = await asyncio.gather(*(one(number) for number in range(count)))
    finally:
        trouble.cancel()
        await asyncio.gather(trouble, return_exceptions=True)
    if scene.redis.process is None:
        scene.redis.start()
    await asyncio.sleep(6)  # until whoever died is known to be dead, and everybody has told
    return await reckon(scene, stories, chaos), chaos
