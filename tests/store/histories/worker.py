"""What `store/line.py` does, one turn at a time: a worker's view of one line of the room.

Snapshot, outbox, memory, draw and holder of the lease are the product's own; here they are moved by hand, by a clock
that may be wrong, and over a wire that loses answers.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.store.histories.events import Called, Place
from tests.store.room_support import announcing, drawing_of
from waitroom.core.errors import StoreUnavailable
from waitroom.core.meter import Limits
from waitroom.core.model import Snapshot
from waitroom.core.presence import epoch_of
from waitroom.core.settings import Settings
from waitroom.core.table import EMPTY
from waitroom.store.holder import Holder
from waitroom.store.memory import Memory
from waitroom.store.outbox import Outbox
from waitroom.store.replies import AdoptNeeded, Claimant, GenerationGone, Newcomer, PhaseDue, Unsettled
from waitroom.store.room import Room
from waitroom.store.sale import latch
from waitroom.store.scripts import Value

if TYPE_CHECKING:
    from tests.store.histories.world import Line, World

SEAT_MS = 33_000
TRIES = 3
SETTINGS = Settings.model_validate(
    {"origin": "http://127.0.0.1:1", "session_idle": "30s", "away_after": "45s", "turn_held": "10m"}
)
FIRST_LIMITS = Limits(10, 10)
"""Of a room that nobody remembers."""


@dataclass
class Person:
    """One browser with a ticket. `inside`: heard of the admission, to `place`. Who is not `there` never asks again."""

    ticket: Place
    visitor: str
    polls_s: float
    there: bool = True
    inside: bool = False
    lapsed: bool = False
    end_s: float = 0.0
    place: Place | None = None


@dataclass
class Call:
    """A claim or an entry on its way; asked again with the same id until somebody hears the answer."""

    id: str
    run: Callable[[], Awaitable[None]]
    tries: int = 0


class Wire(Room):
    """The room as a worker reaches it: away at times, and answers get lost."""

    def __init__(self, room: Room, world: World) -> None:
        super().__init__(room.client, "", room.counts)
        self.keys, self.world = room.keys, world

    async def run(self, verb: str, keys: Sequence[str], args: Sequence[Value]) -> list[Any]:
        plain = super().run
        return await self.world.call(lambda: plain(verb, keys, args))


class Worker:
    """`wrong_s`: by how much its own clock is off until it syncs. `beside`: its view of the room's other line."""

    def __init__(self, world: World, name: str, line: Line) -> None:
        self.world, self.name, self.line = world, name, line
        self.wire = Wire(line.room, world)
        self.snapshot: Snapshot | None = None
        self.generation = ""
        self.outbox = Outbox()
        self.memory = Memory()
        self.drawing = drawing_of(self.wire, source=world.draw_source)
        self.holder = Holder(line.room, name, SETTINGS)
        self.door: dict[int, Person] = {}
        self.calls: list[Call] = []
        self.wrong_s = 0.0
        self.stalled_until_s = 0.0
        self.paused: Snapshot | None = None
        self.beside: Worker | None = None

    def now_ms(self) -> float:
        return self.world.room.clock.now_ms + self.wrong_s * 1000

    def place_of(self, person: Person) -> Place:
        assert self.snapshot is not None
        return Place(person.ticket.generation, self.snapshot.place_of(person.ticket.number))

    def view_of(self, generation: str) -> Worker | None:
        """Whichever of its lines is in that generation."""
        views = [view for view in (self, self.beside) if view is not None and view.snapshot is not None]
        return next((view for view in views if view.generation == generation), None)

    async def turn(self) -> None:
        world = self.world
        try:
            if self.paused is not None:
                # It was stopped between its sync and its round: the world has moved on.
                paused, self.paused = self.paused, None
                await self.attend(paused, late=True)
            await self.sync()
            assert self.snapshot is not None
            if self.snapshot.state.sale.is_due(self.now_ms()):
                await self.latch()
            await self.drawing.settle(self.snapshot)
            if self.snapshot.is_holder:
                if world.dice.random() < 0.02:
                    self.paused, self.stalled_until_s = self.snapshot, world.now_s + world.dice.choice([0.5, 3])
                    return
                await self.attend(self.snapshot)
            if self.door:
                await self.claim([self.door[number] for number in sorted(self.door)])
            for call in self.calls[:]:
                self.calls.remove(call)
                await self.attempt(call)
        except AdoptNeeded:
            self.holder.step_down()
            with suppress(StoreUnavailable):
                await self.adopt()
        except GenerationGone:
            await self.follow_reset()
        except (StoreUnavailable, Unsettled):
            pass

    async def sync(self) -> None:
        world, before, mark = self.world, self.snapshot, self.memory.mark()
        parcel = self.outbox.take(before if self.generation else None, everything=False, now_s=world.now_s)
        try:
            snapshot = await self.wire.sync(
                self.generation,
                self.name,
                wants_lease=before is not None,
                known=before.table if before else None,
                known_version=before.state.table_version if before and before.table is not EMPTY else "",
                renewals=parcel.renewals,
                confirmed=parcel.confirmed,
                beats=parcel.beats,
                space=before.state.space if before else "p",
                epoch=epoch_of(self.now_ms()),
                away_after_ms=SETTINGS.away_after,
            )
        except Exception:
            self.outbox.give_back(parcel)
            raise
        self.wrong_s = 0.0
        self.snapshot = snapshot = self.drawing.attach(snapshot)
        state, self.generation = snapshot.state, snapshot.state.generation
        world.heard(self)
        if before is not None:
            if state.space != before.state.space:
                self.outbox.forget_beats()
            if state.adoption != before.state.adoption and state.ordinal == before.state.ordinal:
                self.memory.untold.append(before)
        if self.memory.untold:
            await self.memory.tell_untold(self.wire, snapshot, idle_ms=SEAT_MS)
            await world.read_limits()
            await self.note_front()
        self.memory.forget(mark)

    async def adopt(self) -> None:
        """With what it remembers; or create a room where nobody else remembers one."""
        told = await self.memory.tell(self.wire, self.snapshot, self.snapshot, idle_ms=SEAT_MS)
        if not told and not any(view.snapshot for view in self.world.views_of(self.line)):
            await self.wire.create(FIRST_LIMITS, self.first_fields(), wait_ms=2_000)
        await self.world.read_limits()
        await self.note_front()

    def first_fields(self) -> dict[str, str]:
        """Of a room that is created, beside its limits."""
        return {}

    async def follow_reset(self) -> None:
        with suppress(StoreUnavailable):
            await self.adopt()
            self.generation = ""
            self.outbox.forget_beats()
            self.door.clear()
            self.holder.step_down()

    async def latch(self) -> None:
        assert self.snapshot is not None
        announce = announcing(self.drawing, self.world.room.clock)
        await latch(self.wire, self.snapshot.state, keep_ms=600_000, announce=announce)

    async def attend(self, snapshot: Snapshot, *, late: bool = False) -> None:
        """A round with the lease; what it called is written down."""
        world, line = self.world, self.line
        if line.lease[0] != self.name:
            line.lease = self.name, world.now_s
        if world.is_away and not late:
            raise StoreUnavailable("away")
        outcome = await self.holder.round(snapshot)
        if outcome in ("ok", "gap"):
            line.lease = self.name, world.now_s
        if outcome == "ok":
            await self.note_front()

    async def note_front(self) -> None:
        """Where the front is, if it moved."""
        world, line = self.world, self.line
        fields = await world.fields(line)
        if fields and (front := Place(fields["generation"], int(fields["front"]))) != line.front:
            line.front = front
            world.note(Called(world.now_s, *front))

    async def attempt(self, call: Call) -> None:
        """Up to three tries, as the worker gives a request."""
        call.tries += 1
        try:
            await call.run()
        except StoreUnavailable:
            if call.tries < TRIES:
                self.calls.append(call)
        except PhaseDue:
            self.calls.append(call)
            if self.snapshot is not None:
                with suppress(StoreUnavailable, AdoptNeeded, GenerationGone):
                    await self.latch()
        except (AdoptNeeded, GenerationGone):
            pass

    async def enter(self, newcomers: list[Newcomer]) -> None:
        snapshot, world = self.snapshot, self.world
        if snapshot is None or not self.generation:
            return
        generation, issued, call_id = snapshot.state.generation, snapshot.state.issued, secrets.token_hex(8)
        room = self.line.room

        async def run() -> None:
            entries = await world.written(
                call_id,
                lambda: room.enter(
                    generation, issued, newcomers, call_id=call_id, seat_ms=SEAT_MS, now_ms=self.now_ms()
                ),
                lambda entries: world.events_of_entries(self.line, newcomers, entries),
            )
            for newcomer, entry in zip(newcomers, entries, strict=True):
                if entry is not None:
                    ticket = Place(entry.generation, entry.number)
                    self.memory.give_number(*ticket)
                    person = Person(ticket, newcomer.visitor, world.now_s + world.dice.uniform(1, 3))
                    if entry.admit_ms is not None:
                        person.inside, person.place = True, ticket
                        self.memory.give_seat(*ticket, entry.admit_ms + SEAT_MS)
                    world.join(person)

        await self.attempt(Call(call_id, run))

    async def claim(self, people: list[Person]) -> None:
        """One call, in order of place."""
        if self.snapshot is None or not self.generation:
            return
        here = [(self.place_of(p), p) for p in people if p.ticket.generation == self.generation]
        if not here:
            return
        here.sort(key=lambda one: one[0])
        claimants = [Claimant(place.number, person.visitor) for place, person in here]
        world, generation, call_id, room = self.world, self.generation, secrets.token_hex(8), self.line.room

        async def run() -> None:
            claims = await world.written(
                call_id,
                lambda: room.claim(
                    generation,
                    claimants,
                    call_id=call_id,
                    seat_ms=SEAT_MS,
                    repeat_ms=SETTINGS.claim_repeat,
                    now_ms=self.now_ms(),
                ),
                lambda claims: world.events_of_claims(self.line, here, claims),
            )
            for (place, person), claim in zip(here, claims, strict=True):
                self.door.pop(person.ticket.number, None)
                person.lapsed = claim.outcome == "lapsed"
                if claim.outcome == "door" and person.there:
                    self.door[person.ticket.number] = person
                elif claim.admit_ms is not None:
                    person.inside, person.place = True, place
                    if claim.outcome == "admit":
                        self.memory.give_seat(*place, claim.admit_ms + SEAT_MS)
                    person.end_s = max(person.end_s, world.true_s(claim.admit_ms) + SEAT_MS / 1000)

        await self.attempt(Call(call_id, run))
