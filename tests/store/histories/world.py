"""The world of a random history: a crowd, several workers, and one Redis whose clock the history turns.

Time is virtual. Each worker syncs when its turn comes, and may stall, die, or lose answers; what Redis and the
operators do is in `mishaps`. What happened is written down as `claims` reads it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.store.histories.asking import Person
from tests.store.histories.events import Event, Mishap, Place, Stands
from tests.store.histories.record import Line, Record
from tests.store.histories.worker import Worker
from waitroom.core.errors import StoreUnavailable
from waitroom.core.meter import Limits
from waitroom.core.model import read_limits, write_limits
from waitroom.store.replies import AdoptNeeded, GenerationGone, PhaseDue, Unsettled

HOUR_S = 3600.0
STEP_S = 0.25
LEASE_S = 2.0
SETTLED_S = 2.0
LOST_ANSWERS = 0.02
LATE_CALLS = 0.02
MOST_PEOPLE = 120
MOST_TRIES = 40
CALM = Limits(20, 20)
Answer = TypeVar("Answer")


@dataclass
class World(Record):
    """`slips`: by how much the clock of Redis may go back (s)."""

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
        super().__post_init__()
        self.redis = self.room.redis
        self.lines = [Line(self.room.room)]
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

    # What operators are shown.

    async def fields(self, line: Line) -> dict[str, str]:
        fields = await self.redis.hgetall(line.room.keys.state)
        return {name.decode(): value.decode() for name, value in fields.items()}

    async def read_limits(self) -> None:
        """What operators are shown to be in force."""
        if fields := await self.fields(self.lines[0]):
            self.limits_are("", read_limits(fields))

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

    async def look_for_the_forgotten(self) -> None:
        """Numbers beyond those that Redis has, or any worker that lives ever knew."""
        for line in self.lines:
            for view in self.views_of(line):
                known = [] if view.snapshot is None else [(view.snapshot.state.generation, view.snapshot.state.issued)]
                for generation, issued in (*known, *view.memory.numbers):
                    view.knew[generation] = max(issued, view.knew.get(generation, 0))
            fields = await self.fields(line)
            memories = [{fields["generation"]: int(fields["issued"])} if fields else {}]
            memories += [view.knew for view in self.views_of(line)]
            for generation in {generation for memory in memories for generation in memory}:
                issued = max(memory.get(generation, 0) for memory in memories)
                for ticket, person in self.people.items():
                    if ticket.generation == generation and ticket.number >= issued and not person.forgotten:
                        person.forgotten = True
                        self.note(Mishap(self.now_s, f"nobody remembers number {ticket}"))

    async def step(self) -> None:
        await self.look_for_the_forgotten()
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
        waiting = [p for p in self.people.values() if p.there and not (p.inside or p.lapsed or p.forgotten)]
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


Mishaps = Mapping[Callable[[Any], Awaitable[str | None]], float]
"""What may happen, with how often it does beside the others."""
