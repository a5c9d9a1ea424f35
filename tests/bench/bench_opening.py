"""The opening of a sale with 100,000 people in its lobby: is there a stampede, and are the first inside at once?

    python -m tests.bench.bench_opening                  three runs of 100,000 people, 1,000 of them real connections
    python -m tests.bench.bench_opening --people 20000 --real 300 --runs 1

The real ones ask a gateway of two workers over HTTP as the page does. The others live in the memory of a third worker
(`Line`, `Status`, held polls: the gateway's own) and ask it without a socket, at the times the page would. A third of
the lobby has gone: they came, and never asked again. All workers share one Redis.
"""

import argparse
import asyncio
import gc
import random
import re
import secrets
import time
from collections import Counter
from statistics import median
from typing import Any, NamedTuple

from tests.support import SECRET, Gateway, most_in_window, running_gateway, running_redis, running_shop, wait_in_line
from waitroom.core.errors import StoreUnavailable
from waitroom.core.settings import Settings
from waitroom.core.tokens import Ticket, key_id
from waitroom.demo.browser import Browser
from waitroom.edge.status import Status
from waitroom.store.line import Line
from waitroom.store.replies import Claimant, Newcomer
from waitroom.store.room import Room
from waitroom.store.sale import change_sale

RATE = BURST = 50
LEAD_S, BEFORE_S, AFTER_S = 60, 25, 30
TICK_S = 0.05
FACTS = re.compile(rb'"position":(\d+|null).*"next_poll_s":([\d.]+),"hold_s":(\d+)')
GONE = 3
"""One in so many has gone."""


class Run(NamedTuple):
    """Polls a second: on average and at most, before the draw, in the lead, after the opening. Seconds, shares. `late`:
    the share of people who came in more than two seconds after somebody of a later place.
    """

    before: float
    before_most: int
    lead: float
    lead_most: int
    after: float
    after_most: int
    first_s: float
    used_1s: float
    used_10s: float
    most_in_1s: int
    overtaken_s: float
    late: float
    admitted: int


class Crowd:
    """People in the memory of one worker. Ticks are 50 ms; each tick has its people to ask for."""

    def __init__(self, line: Line) -> None:
        self.line, self.status = line, Status(line)
        self.polls: Counter[int] = Counter()
        self.admitted: list[tuple[float, int]] = []
        self._due: dict[int, list[Ticket]] = {}
        self._shown: dict[int, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._random = random.Random(7)

    async def join(self, people: int) -> None:
        """Numbers for so many, as fast as Redis gives them; their first polls come within one pause."""
        for at in range(0, people, 200):
            snapshot = self.line.snapshot
            assert snapshot is not None
            newcomers = [Newcomer(secrets.token_hex(16), True, False) for _ in range(min(200, people - at))]
            now_ms = self.line.now_ms()
            entries = await self.line.room.enter(
                snapshot.state.generation,
                snapshot.state.issued,
                newcomers,
                call_id=secrets.token_hex(8),
                seat_ms=30_000,
                now_ms=now_ms,
            )
            for newcomer, entry in zip(newcomers, entries, strict=True):
                if entry is not None and entry.number % GONE:
                    ticket = Ticket("shop", entry.generation, entry.number, newcomer.visitor, int(now_ms))
                    self.later(ticket, self._random.uniform(0, 20))

    def later(self, ticket: Ticket, seconds: float) -> None:
        self._due.setdefault(int((time.monotonic() + seconds) / TICK_S) + 1, []).append(ticket)

    async def live(self) -> None:
        """Ask when it is time to, until cancelled."""
        at = int(time.monotonic() / TICK_S)
        while True:
            await asyncio.sleep(max(0.0, at * TICK_S - time.monotonic()))
            for count, ticket in enumerate(self._due.pop(at, ())):
                self.ask(ticket)
                if count % 50 == 49:
                    await asyncio.sleep(0)
            at += 1

    def ask(self, ticket: Ticket) -> None:
        """A poll that is answered at once."""
        self.polls[int(self.line.now_ms() // 1000)] += 1
        self.hear(ticket)

    def hear(self, ticket: Ticket) -> None:
        """Take an answer, and do what the page does with it."""
        snapshot = self.line.snapshot
        assert snapshot is not None
        place = self.line.note(ticket.number)
        if place < snapshot.state.front:
            self.claim(ticket, place)
            return
        said = self.status.waiting_json(ticket, place, self._shown.get(ticket.number), self.line.now_ms())
        found = FACTS.search(said or b"")
        assert found is not None
        if found[1] != b"null":
            self._shown[ticket.number] = int(found[1])
        pause_s = float(found[2]) * self._random.uniform(0.8, 1.2)
        if found[3] != b"0":
            # Asked for again after the pause, and then held by the worker.
            asyncio.get_running_loop().call_later(pause_s, self.hold, ticket, int(found[3]))
        else:
            self.later(ticket, pause_s)

    def hold(self, ticket: Ticket, seconds: float) -> None:
        """A poll that is held."""
        self.polls[int(self.line.now_ms() // 1000)] += 1
        place = self.line.note(ticket.number)
        snapshot = self.line.snapshot
        if snapshot is not None and place < snapshot.state.front:
            self.claim(ticket, place)
            return
        answer = self.line.held.hold(place, seconds)
        answer.add_done_callback(lambda _: self.hear(ticket))

    def claim(self, ticket: Ticket, place: int) -> None:
        task = asyncio.create_task(self._claim(ticket, place))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _claim(self, ticket: Ticket, place: int) -> None:
        try:
            claimed = await self.line.claim(Claimant(place, ticket.visitor), wait_s=25)
        except StoreUnavailable:  # a machine that stalls
            self.later(ticket, 1)
            return
        if claimed.admit_ms is not None:
            self.admitted.append((claimed.admit_ms, place))
        elif claimed.outcome not in ("lapsed", "taken"):
            self.later(ticket, 1)


async def stay(gateway: Gateway, polls: Counter[int], begin_s: float) -> None:
    """One real visitor: joins, waits like the page, comes in."""
    await asyncio.sleep(begin_s)
    browser = Counted(gateway.url, timeout_s=30)
    browser.polls = polls
    try:
        await wait_in_line(browser, limit_s=400)
    finally:
        browser.close()


class Counted(Browser):
    """Counts what it asks for."""

    polls: Counter[int]

    async def fetch(self, *args: Any, **what: Any) -> Any:
        self.polls[int(time.time())] += 1
        return await super().fetch(*args, **what)


async def run(people: int, real: int) -> Run:
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 7200))
    lobby = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
    sale = {"opens_at": soon, "lobby_at": lobby, "draw_lead": f"{LEAD_S}s", "rate": f"{RATE}/s", "burst": str(BURST)}
    with running_redis() as redis:
        async with running_shop() as shop, running_gateway(shop, redis.url, workers="2", **sale) as gateway:
            given = {"origin": shop.url, "redis_url": redis.url, "secret": SECRET, **sale}
            settings = Settings.model_validate(given)
            line = Line(settings, Room.connect(redis.url, "shop"), key_ids=[key_id(SECRET).decode()])
            await line.open()
            while line.snapshot is None or line.snapshot.state.draw is None:
                await asyncio.sleep(0.1)
            crowd = Crowd(line)
            living = asyncio.create_task(crowd.live())
            await crowd.join(people - real)
            gc.freeze()
            polls: Counter[int] = Counter()
            visitors = [asyncio.create_task(stay(gateway, polls, 10 * at / real)) for at in range(real)]
            await asyncio.sleep(12)
            opens_ms = round(line.now_ms()) + (BEFORE_S + LEAD_S + 3) * 1000
            await change_sale(line.room, {"opens_at": str(opens_ms), "due": "1"}, by="bench")
            await asyncio.sleep(max(0, opens_ms - line.now_ms()) / 1000 + AFTER_S)
            arrived = [
                (int(dict(arrival.headers)["waitroom-admitted-at"]) / 1000, arrival.place or 0)
                for arrival in shop.served()
            ]
            for task in (living, *visitors):
                task.cancel()
            await asyncio.gather(living, *visitors, return_exceptions=True)
            await line.close()
    return summed_up(crowd, polls, arrived, opens_ms / 1000)


def summed_up(crowd: Crowd, polls: Counter[int], arrived: list[tuple[float, int]], opens_s: float) -> Run:
    every = crowd.polls + polls
    opened = int(opens_s)

    def rates(start: int, end: int) -> list[int]:
        return [every[second] for second in range(start, end)]

    before, lead = rates(opened - LEAD_S - BEFORE_S, opened - LEAD_S), rates(opened - LEAD_S, opened)
    after = rates(opened, opened + AFTER_S)
    came = sorted([(at_ms / 1000 - opens_s, place) for at_ms, place in crowd.admitted])
    came += [(at - opens_s, place) for at, place in arrived]
    came.sort()
    times = [at for at, _ in came]
    overtaken = [max((at - then for then, later in came if later > place), default=0.0) for at, place in came]
    return Run(
        before=sum(before) / len(before),
        before_most=max(before),
        lead=sum(lead) / len(lead),
        lead_most=max(lead),
        after=sum(after) / len(after),
        after_most=max(after),
        first_s=times[0],
        used_1s=sum(at < 1 for at in times) / (BURST + RATE),
        used_10s=sum(at < 10 for at in times) / (BURST + 10 * RATE),
        most_in_1s=most_in_window(times, 1.0),
        overtaken_s=max(overtaken),
        late=sum(each > 2 for each in overtaken) / len(overtaken),
        admitted=len(times),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--real", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    runs = []
    for _ in range(given.runs):
        runs.append(asyncio.run(run(given.people, given.real)))
        print({name: round(value, 3) for name, value in runs[-1]._asdict().items()}, flush=True)
    middle = Run(*(median(values) for values in zip(*runs, strict=True)))
    print(f"{given.people:,} people, {given.real:,} of them real; a third has gone; medians of {given.runs}")
    print(
        f"polls a second, mean (most): before the draw {middle.before:.0f} ({middle.before_most:.0f}), in the lead "
        f"{middle.lead:.0f} ({middle.lead_most:.0f}), after the opening {middle.after:.0f} ({middle.after_most:.0f})"
    )
    print(
        f"first inside after {middle.first_s:.2f} s; of the rate used in 1 s {middle.used_1s:.2f}, in 10 s "
        f"{middle.used_10s:.2f}"
    )
    print(
        f"most in any second {middle.most_in_1s:.0f} of {BURST + RATE} allowed; overtaken by at most "
        f"{middle.overtaken_s:.2f} s, by more than two {middle.late:.3f}"
    )


if __name__ == "__main__":
    main()
