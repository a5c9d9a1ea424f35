"""What a worker asks for on behalf of its visitors: numbers, and admissions, a call at a time."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.store.histories.events import Place
from waitroom.core.errors import StoreUnavailable
from waitroom.core.model import Snapshot
from waitroom.core.settings import Settings
from waitroom.store.memory import Memory
from waitroom.store.replies import AdoptNeeded, Claimant, GenerationGone, Newcomer, PhaseDue

if TYPE_CHECKING:
    from tests.store.histories.record import Line
    from tests.store.histories.world import World

SEAT_MS = 33_000
TRIES = 3
SETTINGS = Settings.model_validate(
    {"origin": "http://127.0.0.1:1", "session_idle": "30s", "away_after": "45s", "turn_held": "10m"}
)


@dataclass
class Person:
    """One browser with a ticket. `inside`: heard of the admission, to `place`. Who is not `there` never asks again.
    `forgotten`: Redis lost the number, and whoever gave it died before it told.
    """

    ticket: Place
    visitor: str
    polls_s: float
    there: bool = True
    inside: bool = False
    lapsed: bool = False
    forgotten: bool = False
    end_s: float = 0.0
    place: Place | None = None


@dataclass
class Call:
    """A claim or an entry on its way; asked again with the same id until somebody hears the answer."""

    id: str
    run: Callable[[], Awaitable[None]]
    tries: int = 0


class Asking:
    """A worker's visitors; the rest of it is in `worker`."""

    world: World
    line: Line
    snapshot: Snapshot | None
    generation: str
    memory: Memory
    door: dict[int, Person]
    calls: list[Call]

    def now_ms(self) -> float:
        raise NotImplementedError

    async def latch(self) -> None:
        raise NotImplementedError

    def place_of(self, person: Person) -> Place:
        assert self.snapshot is not None
        return Place(person.ticket.generation, self.snapshot.place_of(person.ticket.number))

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
