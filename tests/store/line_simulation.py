"""A crowd in virtual time before the real scripts and the real holder of the lease.

One worker: it flushes beats, syncs, holds a round and asks for those at the door four times a second, like
`store/line.py`. The clock of Redis is turned by the simulation, so that minutes take a second.
"""

import heapq
import itertools
import random
from bisect import bisect, insort
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.store.room_support import TestRoom
from waitroom.core.presence import Beats, chunk_of
from waitroom.core.settings import Settings
from waitroom.store.batch import MOST
from waitroom.store.door import RENEW_S
from waitroom.store.holder import Holder
from waitroom.store.replies import Beat, Claimant, Renewal

STEP_S = 0.05
SYNC_STEPS = 5
POLL_S = 20.0
SLOW_TAB_S = 60.0
LATENCY_S = (0.05, 0.25)
"""From being called to the claim."""


@dataclass
class Person:
    """One visitor. `slow` tabs learn of their turn only once a minute; who `leaves_at` never polls again."""

    place: int
    joined_s: float
    slow: bool = False
    leaves_at: float = float("inf")
    offline: tuple[float, float] = (float("inf"), float("inf"))
    called_s: float | None = None
    asked_s: float | None = None
    admit_s: float | None = None
    outcome: str = ""

    def is_there(self, now_s: float) -> bool:
        return now_s < self.leaves_at and not self.offline[0] <= now_s < self.offline[1]


@dataclass
class LineSimulation:
    """`stays_s` says how long somebody let in keeps their seat; None keeps it to the end."""

    room: TestRoom
    settings: Settings
    seed: int = 1
    stays_s: Callable[[], float] | None = None
    latency_s: tuple[float, float] = LATENCY_S
    people: list[Person] = field(default_factory=list)
    fronts: list[tuple[float, int]] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.now_s = 0.0
        self.random = random.Random(self.seed)
        self.holder = Holder(self.room.room, "w", self.settings)
        self.beats = Beats()
        self.is_silent = False
        self.furthest_ahead_s = 0.0
        self._door: set[int] = set()
        self._events: list[tuple[float, int, str, Person]] = []
        self._order = itertools.count()
        self._steps = 0
        self._far_flush_s = 0.0
        self._renewed_s = 0.0
        self._renewals: list[Renewal] = []
        self._ends: list[tuple[float, int]] = []

    async def join(self, count: int, *, slow: float = 0.0, leaving: float = 0.0, leave_s: float = 20.0) -> list[Person]:
        """So many people take numbers now; parts of them have slow tabs, or leave within `leave_s`."""
        new = []
        while count > 0:
            for entry in await self.room.enter(min(count, MOST)):
                assert entry is not None
                person = Person(entry.number, self.now_s, slow=self.random.random() < slow)
                if self.random.random() < leaving:
                    person.leaves_at = self.now_s + self.random.uniform(0, leave_s)
                self.people.append(person)
                assert self.people[person.place] is person
                new.append(person)
                self._at(self.random.uniform(2, 4), "poll", person)
            count -= MOST
        return new

    async def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            await self._step()

    async def run_until_all_inside(self, limit_s: float) -> None:
        """Until whoever is there and awake has come in."""
        while self.now_s < limit_s and any(p.admit_s is None and p.leaves_at == float("inf") for p in self.people):
            await self.run(1)

    async def _step(self) -> None:
        self._steps += 1
        self.now_s = self._steps * STEP_S
        await self.room.clock.pass_s(STEP_S)
        claimants: list[Person] = []
        while self._events and self._events[0][0] <= self.now_s:
            _, _, what, person = heapq.heappop(self._events)
            if not person.is_there(self.now_s):
                if person.offline[0] <= self.now_s < person.offline[1]:
                    self._at(person.offline[1] - self.now_s + self.random.uniform(*self.latency_s), "poll", person)
                continue
            if what == "poll":
                self._poll(person)
            if person.called_s is not None and person.admit_s is None and person.place not in self._door:
                claimants.append(person)
        await self._claim(claimants)
        if self._steps % SYNC_STEPS == 0 and not self.is_silent:
            await self._sync()

    def _poll(self, person: Person) -> None:
        """Seen; asks again in a while. A slow tab learns here that it was called."""
        if person.admit_s is not None or person.outcome == "lapsed":
            return
        self.beats.note(person.place)
        if self.fronts and person.place < self.fronts[-1][1] and person.called_s is None:
            person.called_s = self.now_s
        pause_s = SLOW_TAB_S if person.slow else POLL_S
        self._at(self.random.uniform(0.9, 1.0) * pause_s, "poll", person)

    async def _claim(self, people: list[Person]) -> None:
        people = sorted({person.place: person for person in people}.values(), key=lambda person: person.place)
        for at in range(0, len(people), MOST):
            batch = people[at : at + MOST]
            claims = await self.room.room.claim(
                self.room.generation,
                [Claimant(person.place, f"{person.place:032x}") for person in batch],
                call_id=f"{self._steps}-{at}-{self.random.random()}",
                seat_ms=self.settings.session_idle,
                repeat_ms=self.settings.claim_repeat,
                now_ms=self.room.clock.now_ms,
            )
            for person, claim in zip(batch, claims, strict=True):
                person.outcome = claim.outcome
                person.asked_s = self.now_s if person.asked_s is None else person.asked_s
                self._door.discard(person.place)
                if claim.outcome == "door":
                    self._door.add(person.place)
                elif claim.admit_ms is not None and person.admit_s is None:
                    ahead_s = (claim.admit_ms - self.room.clock.now_ms) / 1000
                    person.admit_s = self.now_s + ahead_s
                    self.furthest_ahead_s = max(self.furthest_ahead_s, ahead_s)
                    if self.stays_s is not None:
                        heapq.heappush(self._ends, (person.admit_s + self.stays_s(), person.place))

    async def _sync(self) -> None:
        near = chunk_of(self.room.state.front)
        chunks = [near, near + 1]
        if self.now_s - self._far_flush_s >= 5:
            self._far_flush_s, chunks = self.now_s, self.beats.chunks()
        while self._ends and self._ends[0][0] <= self.now_s:
            self._renewals.append(Renewal(self.room.generation, heapq.heappop(self._ends)[1], 0))
        before = self.room.state.front
        beats = [Beat(*taken) for taken in self.beats.take(chunks)]
        snapshot = await self.room.sync(lease=True, beats=beats, renewals=self._renewals)
        self._renewals = []
        front = snapshot.state.front
        self.fronts.append((self.now_s, front))
        for person in self.people[before:front]:
            if person.called_s is None and person.is_there(self.now_s) and not person.slow:
                person.called_s = self.now_s
                self._at(self.random.uniform(*self.latency_s), "claim", person)
        if self.holder.generation != snapshot.state.generation:
            self.holder.start(snapshot)
        if snapshot.is_holder:
            self.outcomes.append(await self.holder.round(snapshot))
        standing = sorted(self._door)
        if self.now_s - self._renewed_s < RENEW_S:
            standing = standing[:MOST]
        else:
            self._renewed_s = self.now_s
        await self._claim([self.people[place] for place in standing])

    def _at(self, in_s: float, what: str, person: Person) -> None:
        heapq.heappush(self._events, (self.now_s + in_s, next(self._order), what, person))

    # What came of it.

    def admissions(self) -> list[float]:
        return sorted(person.admit_s for person in self.people if person.admit_s is not None)

    def rate_used(self, rate_per_s: float, *, burst: float, start_s: float = 0.0, end_s: float = 1e9) -> float:
        """The part of the rate that was used between two moments, or up to the last admission but two seconds."""
        times = self.admissions()
        end_s = min(end_s, times[-1] - 2)
        return sum(start_s <= at < end_s for at in times) / ((end_s - start_s) * rate_per_s)

    def most_over(self, rate_per_s: float, burst: float) -> float:
        """By how much the worst span exceeds burst + rate · t."""
        level, last, worst = 0.0, 0.0, 0.0
        for at in self.admissions():
            level = max(0.0, level - (at - last) * rate_per_s) + 1
            last = at
            worst = max(worst, level - burst)
        return worst

    def overtaken(self) -> int:
        """The most people with a higher place, called over two seconds later, who came in before somebody awake."""
        came = [p for p in self.people if p.admit_s is not None and p.called_s is not None]
        before: list[tuple[int, float]] = []
        worst = 0
        for person in sorted(came, key=lambda person: person.admit_s or 0.0):
            assert person.called_s is not None
            if not person.slow and person.offline[0] == float("inf"):
                higher = before[bisect(before, (person.place, 0.0)) :]
                worst = max(worst, sum(called_s > person.called_s + 2 for _, called_s in higher))
            insort(before, (person.place, person.called_s))
        return worst
