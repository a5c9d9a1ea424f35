"""How the estimates do: who was let in within the range first shown, and within the one shown half-way.

Run: python -m tests.bench.bench_estimates [part of a scenario's name …]

A crowd in virtual time before the real scripts, the real holder of the lease and the real words of the status page.
The range counts as seconds, not as the rounder words of the page. `width` is the median of high / low. No range can
know that the operator will change the rate: who was in line then counts from the first range shown after it, and is
numbered in `outd`. `unkn` were let in before anybody could know a wait. `probes` is what the room itself found, by the
few places that it watches (`waitroom status`): first, half-way, and those given up because of a change.
"""

import asyncio
import itertools
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.store.line_simulation import LineSimulation, Person
from tests.store.room_support import room_in
from tests.support import running_redis
from waitroom.core.judge import Holds
from waitroom.core.meter import Limits
from waitroom.core.model import Snapshot
from waitroom.core.probes import Tally
from waitroom.core.settings import Settings
from waitroom.core.tokens import Ticket
from waitroom.edge.status import Status
from waitroom.edge.visitor import Visitor

WAITED_S = 10.0
SETTINGS = Settings.model_validate({"origin": "http://127.0.0.1:1"})
INF = float("inf")


@dataclass(frozen=True)
class Scenario:
    """`arrivals`: people a second at a time. `leaving`: the part of the people who go before their turn, at some moment
    within `patience_s`, or with `bounce` in their first 15 s. `no_shows`: stay to the end and do not come when called.
    """

    name: str
    limits: Limits
    seconds: float
    arrivals: Callable[[float], float]
    leaving: float = 0.0
    patience_s: float = 600.0
    bounce: float = 0.0
    no_shows: float = 0.0
    stays_s: Callable[[Any], float] | None = None
    changes: tuple[tuple[float, dict[str, str]], ...] = ()


@dataclass
class Shown:
    at_s: float
    low_s: float
    high_s: float


@dataclass
class Screen:
    """What one visitor was shown: every range, and the positions."""

    ranges: list[Shown] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)


class Watched(LineSimulation):
    """The simulation, with a page for everybody."""

    scenario: Scenario

    def watch(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.screens: list[Screen] = []
        self.snapshot: Snapshot | None = None
        self.is_away = False
        line: Any = self
        self.status = Status(line)

    def now_ms(self) -> float:
        return self.room.clock.now_ms

    def look(self, person: Person) -> None:
        """Show the page, as `status` answers it."""
        self.snapshot = self.room.snapshot
        screen = self.screens[person.place]
        ticket = Ticket("r", self.room.generation, person.place, "v", int(self.now_ms()))
        visitor = Visitor(Holds.WAITING, ticket, None, False, False)
        facts = self.status.facts(visitor, shown=screen.positions[-1] if screen.positions else None)
        if facts.position is not None:
            screen.positions.append(facts.position)
        if facts.wait_high_s is not None and facts.wait_low_s is not None:
            screen.ranges.append(Shown(self.now_s, facts.wait_low_s, facts.wait_high_s))

    async def arrive(self, count: int) -> None:
        scenario, draw = self.scenario, self.random
        for person in await self.join(count):
            self.screens.append(Screen())
            if draw.random() < scenario.bounce:
                person.leaves_at = self.now_s + draw.uniform(2, 15)
            elif draw.random() < scenario.leaving:
                person.leaves_at = self.now_s + draw.uniform(0, scenario.patience_s)
            self.look(person)

    def _poll(self, person: Person) -> None:
        super()._poll(person)
        if person.called_s is None:
            self.look(person)

    async def _sync(self) -> None:
        before = self.room.state.front
        await super()._sync()
        for person in self.people[before : self.room.state.front]:
            if self.random.random() < self.scenario.no_shows:
                person.leaves_at = min(person.leaves_at, self.now_s)


def within(shown: Shown, admit_s: float) -> bool:
    return shown.low_s <= admit_s - shown.at_s <= shown.high_s


@dataclass
class Result:
    people: int
    first: float
    half: float
    width_first: float
    width_half: float
    early: float
    unknown: int
    outdated: int
    tally: Tally


def judge(simulation: Watched, changed_s: tuple[float, ...]) -> Result:
    first: list[tuple[Shown, float]] = []
    half: list[tuple[Shown, float]] = []
    unknown = outdated = 0
    for person, screen in zip(simulation.people, simulation.screens, strict=True):
        if person.admit_s is None or person.admit_s - person.joined_s < WAITED_S:
            continue
        last_change = max((at for at in changed_s if person.joined_s <= at < person.admit_s), default=None)
        outdated += last_change is not None
        ranges = [shown for shown in screen.ranges if last_change is None or shown.at_s > last_change + 1]
        if not ranges:
            unknown += last_change is None
            continue
        first.append((ranges[0], person.admit_s))
        middle = (ranges[0].at_s + person.admit_s) / 2
        half.append(([shown for shown in ranges if shown.at_s <= middle][-1], person.admit_s))

    def share(found: list[tuple[Shown, float]]) -> float:
        return sum(within(*one) for one in found) / max(1, len(found))

    def width(found: list[tuple[Shown, float]]) -> float:
        return statistics.median([shown.high_s / max(1, shown.low_s) for shown, _ in found] or [0])

    early = sum(admit - shown.at_s < shown.low_s for shown, admit in first) / max(1, len(first))
    assert simulation.room.snapshot is not None
    return Result(
        len(first), share(first), share(half), width(first), width(half), early, unknown, outdated,
        simulation.room.snapshot.table.facts.tally,
    )  # fmt: skip


async def play(scenario: Scenario, url: str, seed: int) -> Result:
    async with room_in(url, scenario.limits) as room:
        simulation = Watched(room, SETTINGS, seed=seed)
        if scenario.stays_s is not None:
            draw = scenario.stays_s
            simulation.stays_s = lambda: draw(simulation.random)
        simulation.watch(scenario)
        due, changes = 0.0, list(scenario.changes)
        limit_s = scenario.seconds + 1800
        while simulation.now_s < limit_s:
            if simulation.now_s < scenario.seconds:
                due += scenario.arrivals(simulation.now_s) * simulation.random.uniform(0.5, 1.5)
                if due >= 1:
                    await simulation.arrive(int(due))
                    due -= int(due)
            elif all(p.admit_s is not None or p.leaves_at < INF for p in simulation.people):
                break
            while changes and simulation.now_s >= changes[0][0]:
                await room.room.configure(changes.pop(0)[1], by="bench")
            await simulation.run(1)
        for screen in simulation.screens:
            assert screen.positions == sorted(screen.positions, reverse=True), "a position rose"
        return judge(simulation, tuple(at for at, _ in scenario.changes))


def spike(people: int, then_per_s: float = 0.0) -> Callable[[float], float]:
    """Everybody within three seconds, and so many a second after that."""
    return lambda at_s: people / 3 if at_s < 3 else then_per_s


def steady(per_s: float) -> Callable[[float], float]:
    return lambda at_s: per_s


FIVE = Limits(5, 5)
ROOM = Limits(5, 5, max_active=120)


def scenarios() -> Iterator[Scenario]:
    for part in (0.0, 0.2, 0.4, 0.6):
        yield Scenario(f"spike, {part:.0%} leave", FIVE, 3, spike(3000), leaving=part)
    for part in (0.0, 0.2, 0.4, 0.6):
        yield Scenario(f"steady above the rate, {part:.0%} leave", FIVE, 600, steady(9), leaving=part)
    yield Scenario("spike and more, 30% leave", FIVE, 600, spike(1500, 3), leaving=0.3, patience_s=400)
    yield Scenario("steady, 30% bounce", FIVE, 600, steady(9), bounce=0.3)
    yield Scenario("steady, 30% no-shows", FIVE, 600, steady(8), no_shows=0.3)
    yield Scenario("steady, 30% leave, 30% no-shows", FIVE, 600, steady(9), leaving=0.3, no_shows=0.3)
    stays = lambda draw: draw.expovariate(1 / 60)  # noqa: E731
    yield Scenario("120 seats, stays exponential", ROOM, 600, steady(3), stays_s=stays)
    stays = lambda draw: draw.lognormvariate(math.log(60), 0.4)  # noqa: E731
    yield Scenario("120 seats, stays much alike", ROOM, 600, steady(3), stays_s=stays)
    yield Scenario("120 seats, 30% leave", ROOM, 600, steady(4), stays_s=stays, leaving=0.3)
    half, twice = {"rate": "2.5", "burst": "2.5"}, {"rate": "10.0", "burst": "10.0"}
    yield Scenario("spike, rate halved", FIVE, 3, spike(2000), changes=((120, half),))
    yield Scenario("spike, rate doubled, 20% leave", FIVE, 3, spike(3000), leaving=0.2, changes=((120, twice),))
    yield Scenario("steady, held for 2 min", FIVE, 600, steady(8), changes=((200, {"hold": "1"}), (320, {"hold": "0"})))


async def main(wanted: list[str]) -> None:
    print(f"{'scenario':36} {'people':>6} {'first':>6} {'half':>6} {'width':>6} {'width½':>6} {'early':>6}"
          f" {'unkn':>5} {'outd':>5}  probes")  # fmt: skip
    with running_redis() as redis:
        for seed, scenario in zip(itertools.count(1), scenarios(), strict=False):
            if wanted and not any(part in scenario.name for part in wanted):
                continue
            began = time.monotonic()
            r = await play(scenario, redis.url, seed)
            t = r.tally
            print(
                f"{scenario.name:36} {r.people:6} {r.first:6.1%} {r.half:6.1%} {r.width_first:6.2f} {r.width_half:6.2f}"
                f" {r.early:6.1%} {r.unknown:5} {r.outdated:5}  {t.first_within}/{t.first} {t.half_within}/{t.half}"
                f" {-t.outdated} ({time.monotonic() - began:.0f} s)",
                flush=True,
            )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
