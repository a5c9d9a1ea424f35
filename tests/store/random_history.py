"""Random histories: a crowd, several workers and every fault, before the real scripts and the real holder of the lease.

Time is virtual. Each worker has its own snapshot, outbox and (wrong) clock, syncs when its turn comes, and may stall,
die, or lose answers; Redis may restart, lose its last second or everything, or go back in time. What happened is
written down as `tests.store.history` reads it. The end is calm: whoever is there has to come in.
"""

import random
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from tests.store import history as past
from tests.store.room_support import TestRoom, announcing, drawing_of, room_in
from waitroom.core.errors import StoreUnavailable
from waitroom.core.meter import Limits
from waitroom.core.model import Snapshot, read_limits, write_limits
from waitroom.core.presence import epoch_of
from waitroom.core.settings import Settings
from waitroom.core.table import EMPTY
from waitroom.store.holder import Holder
from waitroom.store.outbox import Outbox
from waitroom.store.replies import (
    AdoptNeeded,
    Claimant,
    Claimed,
    Entry,
    GenerationGone,
    Newcomer,
    PhaseDue,
    Renewal,
    Unsettled,
)
from waitroom.store.sale import latch

STEP_S = 0.25
LEASE_S = 2.0
SETTLED_S = 2.0
CALM_S = 60.0
HOUR_S = 3600.0
SEAT_MS = 33_000
LOST_ANSWERS = 0.02
LATE_CALLS = 0.02
MOST_PEOPLE = 120
SETTINGS = Settings.model_validate(
    {"origin": "http://127.0.0.1:1", "session_idle": "30s", "away_after": "45s", "turn_held": "10m"}
)
RATES = [Limits(2, 1), Limits(5, 5), Limits(10, 10), Limits(10, 1), Limits(40, 8), Limits(0.5, 3)]
Answer = TypeVar("Answer")


@dataclass
class Person:
    """One browser. `inside`: heard of the admission. Whoever is not `there` never asks again."""

    place: past.Place
    visitor: str
    polls_s: float
    there: bool = True
    inside: bool = False
    lapsed: bool = False
    end_s: float = 0.0


@dataclass
class Call:
    """A claim or an entry on its way; asked again with the same id until somebody hears the answer."""

    id: str
    run: Callable[[], Awaitable[None]]
    tries: int = 0


class Worker:
    """What `store/line.py` does, one turn at a time. `wrong_s`: by how much its own clock is off until it syncs."""

    def __init__(self, world: "World", name: str) -> None:
        self.world, self.name = world, name
        self.snapshot: Snapshot | None = None
        self.generation = ""
        self.outbox = Outbox()
        self.holder = Holder(world.room.room, name, SETTINGS)
        self.door: dict[int, Person] = {}
        self.calls: list[Call] = []
        self.granted: list[Renewal] = []
        self.wrong_s = 0.0
        self.stalled_until_s = 0.0
        self.paused: Snapshot | None = None

    def now_ms(self) -> float:
        return self.world.room.clock.now_ms + self.wrong_s * 1000

    async def turn(self) -> None:
        world = self.world
        try:
            if self.paused is not None:
                # It was stopped between its sync and its round: the world has moved on.
                paused, self.paused = self.paused, None
                await world.attend(self, paused)
            await self.sync()
            assert self.snapshot is not None
            if self.snapshot.state.sale.is_due(self.now_ms()):
                await world.latch(self.snapshot)
            if self.snapshot.is_holder:
                if world.dice.random() < 0.02:
                    self.paused, self.stalled_until_s = self.snapshot, world.now_s + world.dice.choice([0.5, 3])
                    return
                await world.attend(self, self.snapshot)
            if self.door:
                await self.claim([self.door[number] for number in sorted(self.door)])
            for call in self.calls[:]:
                self.calls.remove(call)
                await self.attempt(call)
        except AdoptNeeded:
            self.holder.step_down()
            await world.adopt(self)
        except GenerationGone:
            await world.adopt(self)
            self.generation = ""
            self.outbox.forget_beats()
            self.door.clear()
            self.holder.step_down()
        except StoreUnavailable:
            pass

    async def sync(self) -> None:
        world, before, granted = self.world, self.snapshot, len(self.granted)
        parcel = self.outbox.take(before if self.generation else None, everything=False, now_s=world.now_s)
        try:
            snapshot = await world.call(
                lambda: world.room.room.sync(
                    self.generation,
                    self.name,
                    wants_lease=before is not None,
                    known=before.table if before else None,
                    known_version=before.state.table_version if before and before.table is not EMPTY else "",
                    renewals=parcel.renewals,
                    confirmed=parcel.confirmed,
                    beats=parcel.beats,
                    epoch=epoch_of(self.now_ms()),
                    away_after_ms=SETTINGS.away_after,
                )
            )
        except Exception:
            self.outbox.give_back(parcel)
            raise
        self.wrong_s = 0.0
        self.snapshot, self.generation = snapshot, snapshot.state.generation
        state = snapshot.state
        if before and state.adoption != before.state.adoption and state.ordinal == before.state.ordinal:
            await world.adopt(self, before)
        del self.granted[:granted]

    async def attempt(self, call: Call) -> None:
        """Up to three tries, as the worker gives a request."""
        call.tries += 1
        try:
            await call.run()
        except StoreUnavailable:
            if call.tries < 3:
                self.calls.append(call)
        except PhaseDue:
            self.calls.append(call)
            if self.snapshot is not None:
                with suppress(StoreUnavailable, AdoptNeeded, GenerationGone):
                    await self.world.latch(self.snapshot)
        except (AdoptNeeded, GenerationGone):
            pass

    async def enter(self, newcomers: list[Newcomer]) -> None:
        snapshot, world = self.snapshot, self.world
        if snapshot is None or not self.generation:
            return
        generation, issued, call_id = snapshot.state.generation, snapshot.state.issued, secrets.token_hex(8)

        async def run() -> None:
            entries = await world.written(
                call_id,
                lambda: world.room.room.enter(
                    generation, issued, newcomers, call_id=call_id, seat_ms=SEAT_MS, now_ms=self.now_ms()
                ),
                lambda entries: world.events_of_entries(newcomers, entries),
            )
            for newcomer, entry in zip(newcomers, entries, strict=True):
                if entry is not None:
                    place = past.Place(entry.generation, entry.number)
                    person = Person(place, newcomer.visitor, world.now_s + world.dice.uniform(1, 3))
                    person.inside = entry.admit_ms is not None
                    if entry.admit_ms is not None:
                        self.granted.append(Renewal(*place, round(entry.admit_ms) + SEAT_MS))
                    world.join(person)

        await self.attempt(Call(call_id, run))

    async def claim(self, people: list[Person]) -> None:
        """One call, in order of place."""
        people = [p for p in people if p.place.generation == self.generation]
        if not people or not self.generation:
            return
        people.sort(key=lambda person: person.place)
        world, generation, call_id = self.world, self.generation, secrets.token_hex(8)

        async def run() -> None:
            claims = await world.written(
                call_id,
                lambda: world.room.room.claim(
                    generation,
                    [Claimant(person.place.number, person.visitor) for person in people],
                    call_id=call_id,
                    seat_ms=SEAT_MS,
                    repeat_ms=SETTINGS.claim_repeat,
                    now_ms=self.now_ms(),
                ),
                lambda claims: world.events_of_claims(people, claims),
            )
            for person, claim in zip(people, claims, strict=True):
                self.door.pop(person.place.number, None)
                person.lapsed = claim.outcome == "lapsed"
                if claim.outcome == "door" and person.there:
                    self.door[person.place.number] = person
                elif claim.admit_ms is not None:
                    person.inside = True
                    if claim.outcome == "admit":
                        self.granted.append(Renewal(*person.place, round(claim.admit_ms) + SEAT_MS))
                    person.end_s = max(person.end_s, world.true_s(claim.admit_ms) + SEAT_MS / 1000)

        await self.attempt(Call(call_id, run))


@dataclass
class World:
    """`offset_s`: how far the clock of Redis is from the stop-watch."""

    room: TestRoom
    dice: random.Random
    now_s: float = 0.0
    offset_s: float = 0.0
    is_away: bool = False
    is_calm: bool = False
    people: dict[past.Place, Person] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    late: list[tuple[float, Callable[[], Awaitable[Any]]]] = field(default_factory=list)
    backup: tuple[float, dict[bytes, bytes]] | None = None
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.start_ms = self.room.clock.now_ms
        self._events: list[tuple[past.Event, str]] = []
        self._answers: dict[str, tuple[object, str]] = {}
        self._heard: set[str] = {""}
        self._lease: tuple[str, float] = ("", 0.0)
        self._limits: Limits | None = None
        self._front = past.Place("", 0)
        self._begins: dict[tuple[past.Place, float], float] = {}
        self.redis = self.room.redis
        self._named = 0
        self.mishaps = MISHAPS

    # What the workers go through.

    async def call(self, run: Callable[[], Awaitable[Answer]]) -> Answer:
        """One call to Redis, whose answer may be lost and which may arrive a second time, late."""
        if self.is_away:
            raise StoreUnavailable("away")
        answer = await run()
        if not self.is_calm and self.dice.random() < LOST_ANSWERS:
            raise StoreUnavailable("answer lost")
        return answer

    async def written(
        self, call_id: str, run: Callable[[], Awaitable[Answer]], events: Callable[[Answer], list[past.Event]]
    ) -> Answer:
        """A call whose answer is written down: once, however often it is repeated, and only if somebody hears it."""

        async def executed() -> Answer:
            answer = await run()
            known, mark = self._answers.get(call_id, (None, ""))
            if known != answer:
                mark = f"{call_id} {len(self._events)}"
                self._answers[call_id] = answer, mark
                happened = events(answer)
                self._events += [(event, "" if isinstance(event, past.Stands) else mark) for event in happened]
                await self.executed(happened)
            return answer

        answer = await self.call(executed)
        self._heard.add(self._answers[call_id][1])
        if not self.is_calm and self.dice.random() < LATE_CALLS:
            self.late.append((self.now_s + self.dice.uniform(0, 10), executed))
        return answer

    async def executed(self, events: list[past.Event]) -> None:
        """Right after the script that made them."""

    async def attend(self, worker: Worker, snapshot: Snapshot) -> None:
        if self._lease[0] != worker.name:
            self._lease = worker.name, self.now_s
        if worker.paused is None and self.is_away:
            raise StoreUnavailable("away")
        outcome = await worker.holder.round(snapshot)
        if outcome in ("ok", "gap"):
            self._lease = worker.name, self.now_s
        place = past.Place(snapshot.state.generation, int(await self.redis.hget(self.room.room.keys.state, "front")))
        if outcome == "ok" and place != self._front:
            self._front = place
            self.note(past.Called(self.now_s, *place))

    async def latch(self, snapshot: Snapshot) -> None:
        room = self.room.room
        announce = announcing(drawing_of(room), self.room.clock)
        await self.call(lambda: latch(room, snapshot.state, keep_ms=600_000, announce=announce))

    async def adopt(self, worker: Worker, remembered: Snapshot | None = None) -> None:
        room = self.room.room
        try:
            if not await self.call(
                lambda: room.adopt(remembered or worker.snapshot, session_idle_ms=SEAT_MS, granted=worker.granted)
            ) and not any(other.snapshot for other in self.workers):
                await self.call(lambda: room.create(RATES[2], wait_ms=2_000))
        except StoreUnavailable:
            return
        await self.read_limits()

    # What is written down.

    def note(self, event: past.Event) -> None:
        self._events.append((event, ""))

    def true_s(self, redis_ms: float) -> float:
        return (redis_ms - self.start_ms) / 1000 - self.offset_s

    def history(self) -> list[past.Event]:
        return [event for event, mark in self._events if mark in self._heard]

    def events_of_entries(self, newcomers: list[Newcomer], entries: list[Entry | None]) -> list[past.Event]:
        found: list[past.Event] = []
        for newcomer, entry in zip(newcomers, entries, strict=True):
            if entry is not None:
                place = past.Place(entry.generation, entry.number)
                found.append(past.Issued(self.now_s, place, newcomer.visitor))
                if entry.admit_ms is not None:
                    begins = self._begins[place, entry.admit_ms] = self.true_s(entry.admit_ms)
                    end = begins + SEAT_MS / 1000
                    found.append(past.Admitted(self.now_s, place, newcomer.visitor, begins, end, on_the_spot=True))
        return found

    def events_of_claims(self, people: list[Person], claims: list[Claimed]) -> list[past.Event]:
        found: list[past.Event] = []
        for person, claim in zip(people, claims, strict=True):
            if claim.outcome == "door":
                found.append(past.Stands(self.now_s, person.place))
            elif claim.admit_ms is not None:
                begins = self._begins.setdefault((person.place, claim.admit_ms), self.true_s(claim.admit_ms))
                counts = claim.outcome == "admit"
                end = max(begins, self.now_s) + SEAT_MS / 1000 if counts else 0.0
                found.append(past.Admitted(self.now_s, person.place, person.visitor, begins, end, counts))
        return found

    async def read_limits(self) -> None:
        fields = await self.redis.hgetall(self.room.room.keys.state)
        if not fields:
            return
        limits = read_limits({name.decode(): value.decode() for name, value in fields.items()})
        if limits != self._limits:
            self._limits = limits
            self.note(past.Limited(self.now_s, limits))

    # What goes on.

    def join(self, person: Person) -> None:
        person.there = self.dice.random() < 0.8
        self.people.setdefault(person.place, person)

    def any_worker(self) -> Worker:
        return self.dice.choice(self.workers)

    def start_worker(self) -> None:
        self._named += 1
        self.workers.append(Worker(self, f"w{self._named}"))

    async def pass_s(self, seconds: float) -> None:
        """The lease is the one thing that Redis lets run out by its own clock within these times."""
        self.now_s += seconds
        await self.room.clock.pass_s(seconds)
        if self.now_s - self._lease[1] >= LEASE_S:
            self._lease = "", self.now_s
            await self.redis.delete(self.room.room.keys.lease)

    async def step(self) -> None:
        await self.pass_s(2 * STEP_S if self.is_calm else STEP_S * self.dice.choice([0.2, 0.5, 1, 1, 1.3]))
        for worker in self.dice.sample(self.workers, len(self.workers)):
            if worker.stalled_until_s <= self.now_s:
                await worker.turn()
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
                snapshot = worker.snapshot
                if snapshot is None or worker.generation != person.place.generation:
                    continue
                worker.outbox.beats.note(person.place.number)
                if snapshot.standing(person.place.number) != "waiting":
                    claims.setdefault(worker.name, []).append(person)
        for worker in self.workers:
            if worker.name in claims and worker.stalled_until_s <= self.now_s:
                unique = {person.place: person for person in claims[worker.name]}
                await worker.claim(list(unique.values()))

    async def mishap(self) -> None:
        """One thing that changes: people, limits, workers, Redis."""
        dice = self.dice
        what = dice.choices(list(self.mishaps), weights=list(self.mishaps.values()))[0]
        note = await getattr(self, what)()
        if what not in ("arrive", "come_and_go", "set_limits"):
            self.note(past.Mishap(self.now_s, f"{what.replace('_', ' ')} {note or ''}".strip()))

    async def arrive(self) -> None:
        if len(self.people) < MOST_PEOPLE:
            flags = [(True, self.dice.random() < 0.7) for _ in range(self.dice.choice([1, 2, 5, 20, 40]))]
            await self.any_worker().enter([Newcomer(self.dice.randbytes(16).hex(), *flag) for flag in flags])

    async def come_and_go(self) -> None:
        """Some inside are seen again, some leave; some in the line go away or come back."""
        for person in list(self.people.values()):
            throw = self.dice.random()
            if person.inside and self.now_s < person.end_s and throw < 0.3:
                ends_s = self.now_s + SEAT_MS / 1000 if throw < 0.2 else self.now_s
                worker = self.any_worker()
                end_ms = round(self.room.clock.now_ms) + SEAT_MS if throw < 0.2 else 0
                worker.outbox.renew(person.place.generation, person.place.number, end_ms, confirms=False)
                person.end_s = ends_s
                self.note(past.Seated(self.now_s, person.place, ends_s))
            elif not person.inside and throw < 0.1:
                person.there = not person.there
                for worker in self.workers:
                    worker.door.pop(person.place.number, None)

    async def set_limits(self) -> None:
        if self.is_away:
            return
        dice = self.dice
        limits = replace(
            dice.choice(RATES),
            max_active=dice.choice([0, 0, 3, 10]),
            unlimited=dice.random() < 0.05,
            hold=dice.random() < 0.2,
        )
        await self.put_in_force(limits)

    async def put_in_force(self, limits: Limits) -> None:
        try:
            await self.room.room.configure(write_limits(limits), by="test")
        except (AdoptNeeded, Unsettled):
            return
        await self.read_limits()

    async def crash(self) -> str:
        """With everything it had not told Redis. One who remembers is always left."""
        others = [w for w in self.workers if any(o.snapshot and o is not w for o in self.workers)]
        if others:
            worker = self.dice.choice(others)
            self.workers.remove(worker)
            self.start_worker()
            return worker.name
        return "of nobody"

    async def stall(self) -> str:
        worker, seconds = self.any_worker(), self.dice.choice([0.5, 1.5, 3, 7])
        worker.stalled_until_s = self.now_s + seconds
        return f"of {worker.name} for {seconds} s"

    async def worker_clock_jumps(self) -> str:
        worker = self.any_worker()
        worker.wrong_s = self.dice.choice([-HOUR_S, HOUR_S])
        return f"by {worker.wrong_s:.0f} s at {worker.name}"

    async def redis_clock_goes_back(self) -> str:
        back_s = self.dice.choice([0.5, 5, HOUR_S])
        self.offset_s -= back_s
        await self.room.clock.pass_s(-back_s)
        return f"by {back_s} s"

    async def away(self) -> str:
        self.is_away = not self.is_away
        return "begins" if self.is_away else "ends"

    async def restart(self) -> None:
        """With its data."""
        await self.become_another_server()

    async def copy_to_replica(self) -> None:
        keys = await self.redis.keys(f"{self.room.room.keys.prefix}*")
        self.backup = self.now_s, {key: await self.redis.dump(key) for key in keys}

    async def fail_over(self) -> None:
        """To a replica that is up to a second behind, sometimes with a slow clock."""
        if self.backup is None or self.now_s - self.backup[0] > 1:
            await self.copy_to_replica()
            self.fail_over_due_s = self.now_s + self.dice.uniform(0, 0.9)
            return
        since_s, dumps = self.backup
        self.backup = None
        await self.forget_everything()
        for key, dump in dumps.items():
            if dump is not None:
                await self.redis.restore(key, 0, dump)
        self.note(past.Lost(self.now_s, since_s))
        await self.become_another_server()
        if self.dice.random() < 0.3:
            await self.redis_clock_goes_back()

    async def empty(self) -> None:
        await self.forget_everything()
        await self.become_another_server()
        self.note(past.Lost(self.now_s, 0.0))

    async def become_another_server(self) -> None:
        """A replica that is promoted has a new replication id."""
        await self.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
        await self.redis.execute_command("REPLICAOF", "NO", "ONE")

    async def forget_everything(self) -> None:
        keys = await self.redis.keys(f"{self.room.room.keys.prefix}*")
        if keys:
            await self.redis.delete(*keys)

    async def reset(self) -> None:
        snapshot = self.any_worker().snapshot
        if snapshot is None or self.is_away:
            return
        with suppress(AdoptNeeded, GenerationGone, Unsettled):
            await self.room.room.reset(snapshot.state, by="test", keep_ms=600_000)

    def still_waiting(self) -> list[past.Place]:
        """Whoever is there, holds a ticket of this run and is neither inside nor too late."""
        generation = self.workers[0].generation
        waiting = [p for p in self.people.values() if p.there and not p.inside and not p.lapsed]
        return [person.place for person in waiting if person.place.generation == generation]

    async def calm_down(self) -> None:
        """No more faults; twenty a second, no cap. Everybody there is asked for again."""
        self.is_away, self.is_calm = False, True
        for worker in self.workers:
            worker.stalled_until_s = 0.0
        while not all(worker.snapshot for worker in self.workers):
            await self.step()
        for _ in range(round(SETTLED_S / STEP_S)):
            await self.step()
        await self.put_in_force(Limits(20, 20))


MISHAPS = {
    "arrive": 12,
    "come_and_go": 8,
    "set_limits": 3,
    "crash": 1.5,
    "stall": 2,
    "worker_clock_jumps": 2,
    "redis_clock_goes_back": 0.5,
    "away": 1,
    "restart": 0.7,
    "fail_over": 2,
    "empty": 0.5,
    "reset": 0.4,
}


@dataclass(frozen=True)
class Outcome:
    """A history, and who was there in the calm at its end and did not come in."""

    seed: int
    history: list[past.Event]
    starved: list[past.Place]
    broken: tuple[str, ...] = ()
    """What the world itself found."""

    def faults(self) -> list[past.Fault]:
        found = [*past.faults(self.history), *(past.Fault("sale", len(self.history) - 1, says) for says in self.broken)]
        if self.starved:
            names = ", ".join(map(str, self.starved[:5]))
            about = tuple(i for i, e in enumerate(self.history) if not isinstance(e, past.Issued))[-past.MOST_TOLD :]
            says = f"{len(self.starved)} starved in the calm: {names}"
            found.append(past.Fault("P3", len(self.history) - 1, says, about))
        return found


async def random_history(
    url: str, seed: int, *, steps: int = 60, without: Any = (), world_of: "type[World]" = World
) -> Outcome:
    """One history, the same for the same seed."""
    dice = random.Random(seed)
    first = replace(dice.choice(RATES), max_active=dice.choice([0, 0, 0, 3, 10]))
    async with room_in(url, first, without=without) as room:
        world = world_of(room, dice)
        await world.read_limits()
        for _ in range(dice.choice([1, 2, 2])):
            world.start_worker()
        for _ in range(2):
            await world.step()
        for _ in range(steps):
            if dice.random() < 0.35:
                await world.mishap()
            elif world.backup is not None and world.now_s >= world.fail_over_due_s:
                await world.fail_over()
            if world.is_away and dice.random() < 0.1:
                world.is_away = False
            await world.step()
        await world.calm_down()
        calm_until_s = world.now_s + CALM_S
        while world.now_s < calm_until_s and world.still_waiting():
            await world.step()
        await world.forget_everything()
        return Outcome(seed, world.history(), world.still_waiting(), tuple(world.broken))
