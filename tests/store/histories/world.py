"""The world of a random history: a crowd, several workers, and one Redis whose clock the history turns.

Time is virtual. Each worker syncs when its turn comes, and may stall, die, or lose answers; what Redis and the
operators do is in `mishaps`. What happened is written down as `claims` reads it.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.store.histories.events import Admitted, Event, Issued, Limited, Place, Restarted, Stands
from tests.store.histories.worker import SEAT_MS, Person, Worker
from tests.store.room_support import TestRoom
from waitroom.core.errors import StoreUnavailable
from waitroom.core.meter import Limits
from waitroom.core.model import read_limits, write_limits
from waitroom.store.replies import AdoptNeeded, Claimed, Entry, GenerationGone, Newcomer, PhaseDue, Unsettled
from waitroom.store.room import Room

HOUR_S = 3600.0
STEP_S = 0.25
LEASE_S = 2.0
SETTLED_S = 2.0
LOST_ANSWERS = 0.02
LATE_CALLS = 0.02
MOST_PEOPLE = 120
MOST_TRIES = 40
CALM = Limits(20, 20)
NOWHERE = Place("", 0)
Answer = TypeVar("Answer")


@dataclass
class Line:
    """One line of the room. `lease`: who has it, and since when; `front`: where it was last seen."""

    room: Room
    name: str = ""
    lease: tuple[str, float] = ("", 0.0)
    front: Place = NOWHERE


@dataclass
class World:
    """`offset_s`: how far the clock of Redis is from the stop-watch; `slips`: by how much it may go back (s)."""

    room: TestRoom
    dice: random.Random
    now_s: float = 0.0
    offset_s: float = 0.0
    is_away: bool = False
    is_calm: bool = False
    draw_source: str = ""
    slips: tuple[float, ...] = (0.5, 5, HOUR_S)
    people: dict[Place, Person] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    late: list[tuple[float, Callable[[], Awaitable[Any]]]] = field(default_factory=list)
    backup: tuple[float, dict[bytes, bytes]] | None = None
    fail_over_due_s: float = 0.0
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start_ms = self.room.clock.now_ms
        self.redis = self.room.redis
        self.lines = [Line(self.room.room)]
        self._events: list[tuple[Event, str]] = []
        self._answers: dict[str, tuple[object, str]] = {}
        self._heard: set[str] = {""}
        self._limits: dict[str, Limits] = {}
        self._begins: dict[tuple[Place, float], float] = {}
        self._named = 0

    async def begin(self, first: Limits) -> None:
        """Before the first worker starts."""
        await self.read_limits()

    # What the workers go through.

    async def call(self, run: Callable[[], Awaitable[Answer]]) -> Answer:
        """One call to Redis, whose answer may be lost."""
        if self.is_away:
            raise StoreUnavailable("away")
        answer = await run()
        if not self.is_calm and self.dice.random() < LOST_ANSWERS:
            raise StoreUnavailable("answer lost")
        return answer

    async def written(
        self, call_id: str, run: Callable[[], Awaitable[Answer]], events: Callable[[Answer], list[Event]]
    ) -> Answer:
        """A call whose answer is written down: once, however often it is repeated, and only if somebody hears it. It
        may arrive a second time, late.
        """

        async def executed() -> Answer:
            answer = await run()
            known, mark = self._answers.get(call_id, (None, ""))
            if known != answer:
                mark = f"{call_id} {len(self._events)}"
                self._answers[call_id] = answer, mark
                happened = events(answer)
                self._events += [(event, "" if isinstance(event, Stands) else mark) for event in happened]
                await self.executed(happened)
            return answer

        answer = await self.call(executed)
        self._heard.add(self._answers[call_id][1])
        if not self.is_calm and self.dice.random() < LATE_CALLS:
            self.late.append((self.now_s + self.dice.uniform(0, 10), executed))
        return answer

    async def executed(self, events: list[Event]) -> None:
        """Right after the script that made them."""

    def heard(self, worker: Worker) -> None:
        """A worker has a new snapshot."""

    def told(self, worker: Worker, person: Person) -> None:
        """Somebody in line asked this worker how things stand."""

    # What is written down.

    def note(self, event: Event) -> None:
        self._events.append((event, ""))

    def note_restart(self) -> None:
        self.note(Restarted(self.now_s))

    def true_s(self, redis_ms: float) -> float:
        return (redis_ms - self.start_ms) / 1000 - self.offset_s

    def history(self) -> list[Event]:
        return [event for event, mark in self._events if mark in self._heard]

    def events_of_entries(self, line: Line, newcomers: list[Newcomer], entries: list[Entry | None]) -> list[Event]:
        found: list[Event] = []
        for newcomer, entry in zip(newcomers, entries, strict=True):
            if entry is not None:
                place = Place(entry.generation, entry.number)
                found.append(Issued(self.now_s, place, newcomer.visitor, line.name))
                if entry.admit_ms is not None:
                    begins = self._begins[place, entry.admit_ms] = self.true_s(entry.admit_ms)
                    end = begins + SEAT_MS / 1000
                    found.append(Admitted(self.now_s, place, newcomer.visitor, begins, end, True, True, line.name))
        return found

    def events_of_claims(self, line: Line, people: list[tuple[Place, Person]], claims: list[Claimed]) -> list[Event]:
        found: list[Event] = []
        for (place, person), claim in zip(people, claims, strict=True):
            if claim.outcome == "door":
                found.append(Stands(self.now_s, place))
            elif claim.admit_ms is not None:
                begins = self._begins.setdefault((place, claim.admit_ms), self.true_s(claim.admit_ms))
                counts = claim.outcome == "admit"
                end = max(begins, self.now_s) + SEAT_MS / 1000 if counts else 0.0
                found.append(Admitted(self.now_s, place, person.visitor, begins, end, counts, False, line.name))
        return found

    async def fields(self, line: Line) -> dict[str, str]:
        fields = await self.redis.hgetall(line.room.keys.state)
        return {name.decode(): value.decode() for name, value in fields.items()}

    async def read_limits(self) -> None:
        """What operators are shown to be in force."""
        if fields := await self.fields(self.lines[0]):
            self.limits_are("", read_limits(fields))

    def limits_are(self, of: str, limits: Limits) -> None:
        if limits != self._limits.get(of):
            self._limits[of] = limits
            self.note(Limited(self.now_s, limits, of))

    # What goes on.

    def join(self, person: Person) -> None:
        person.there = self.dice.random() < 0.8
        self.people.setdefault(person.ticket, person)

    def any_worker(self) -> Worker:
        return self.dice.choice(self.workers)

    def start_worker(self) -> None:
        self._named += 1
        self.workers.append(Worker(self, f"w{self._named}", self.lines[0]))

    def views_of(self, line: Line) -> Iterator[Worker]:
        for worker in self.workers:
            yield from (view for view in (worker, worker.beside) if view is not None and view.line is line)

    async def pass_s(self, seconds: float) -> None:
        """The lease is the one thing that Redis lets run out by its own clock within these times."""
        self.now_s += seconds
        await self.room.clock.pass_s(seconds)
        for line in self.lines:
            if self.now_s - line.lease[1] >= LEASE_S:
                line.lease = "", self.now_s
                await self.redis.delete(line.room.keys.lease)

    async def step(self) -> None:
        await self.pass_s(2 * STEP_S if self.is_calm else STEP_S * self.dice.choice([0.2, 0.5, 1, 1, 1.3]))
        for worker in self.dice.sample(self.workers, len(self.workers)):
            if worker.stalled_until_s <= self.now_s:
                await worker.turn()
                if worker.beside is not None:
                    await worker.beside.turn()
        await self.polls()
        for at_s, again in [late for late in self.late if late[0] <= self.now_s]:
            self.late.remove((at_s, again))
            with suppress(AdoptNeeded, GenerationGone, PhaseDue, StoreUnavailable):
                await again()

    async def polls(self) -> None:
        """Everybody who is there and waits, when their time has come; sometimes in two tabs at two workers."""
        claims: dict[str, list[Person]] = {}
        for person in list(self.people.values()):
            if not person.there or person.lapsed or person.polls_s > self.now_s:
                continue
            person.polls_s = self.now_s + self.dice.uniform(0.5, 6)
            if person.inside and self.dice.random() < 0.9:
                continue
            for _ in range(1 if self.is_calm else self.dice.choice([1, 1, 1, 2])):
                worker = self.any_worker()
                view = worker.view_of(person.ticket.generation)
                if view is None or view.snapshot is None:
                    continue
                place = view.place_of(person).number
                view.outbox.beats.note(place)
                self.told(view, person)
                if view.snapshot.standing(place) != "waiting":
                    claims.setdefault(worker.name, []).append(person)
        for worker in self.workers:
            if worker.name in claims and worker.stalled_until_s <= self.now_s:
                unique = {person.ticket: person for person in claims[worker.name]}
                for view in (worker, worker.beside):
                    if view is not None:
                        await view.claim(list(unique.values()))

    def still_waiting(self) -> list[Place]:
        """Whoever is there, holds a ticket of this run and is neither inside nor too late."""
        generations = {view.generation for line in self.lines for view in self.views_of(line)}
        waiting = [p for p in self.people.values() if p.there and not p.inside and not p.lapsed]
        return [person.ticket for person in waiting if person.ticket.generation in generations]

    async def put_in_force(self, limits: Limits) -> bool:
        """False right after a loss of Redis: then once more, a little later."""
        try:
            await self.room.room.configure(write_limits(limits), by="test")
        except (AdoptNeeded, Unsettled):
            return False
        await self.read_limits()
        return True

    async def change_limits(self, limits: Limits) -> None:
        """As an operator who has something new in mind does."""
        await self.put_in_force(limits)

    async def restart_line(self) -> None:
        """A reset, by an operator."""
        snapshot = self.any_worker().snapshot
        if snapshot is not None and not self.is_away:
            with suppress(AdoptNeeded, GenerationGone, Unsettled):
                await self.room.room.reset(snapshot.state, by="test", keep_ms=600_000)
                self.note_restart()

    async def calm_down(self) -> None:
        """No more faults; twenty a second, no cap. Everybody there is asked for again."""
        self.is_away, self.is_calm = False, True
        for worker in self.workers:
            worker.stalled_until_s = 0.0
        while not all(worker.snapshot for worker in self.workers):
            await self.step()
        for _ in range(round(SETTLED_S / STEP_S)):
            await self.step()
        for _ in range(MOST_TRIES):
            if await self.put_in_force(CALM):
                return
            await self.step()


Mishap = Callable[[Any], Awaitable[str | None]]
Mishaps = Mapping[Mishap, float]
"""What may happen, with how often it does beside the others."""
