"""What is written down of a random history, as its workers and visitors were answered."""

import random
from dataclasses import dataclass

from tests.store.histories.asking import SEAT_MS, Person
from tests.store.histories.events import Admitted, Event, Issued, Limited, Place, Restarted, Stands
from tests.store.room_support import TestRoom
from waitroom.core.meter import Limits
from waitroom.store.replies import Claimed, Entry, Newcomer
from waitroom.store.room import Room

NOWHERE = Place("", 0)


@dataclass
class Line:
    """One line of the room. `lease`: who has it, and since when; `front`: where it was last seen."""

    room: Room
    name: str = ""
    lease: tuple[str, float] = ("", 0.0)
    front: Place = NOWHERE


@dataclass
class Record:
    """By a stop-watch; `offset_s`: how far the clock of Redis is from it. What nobody heard of is no part of it."""

    room: TestRoom
    dice: random.Random
    now_s: float = 0.0
    offset_s: float = 0.0

    def __post_init__(self) -> None:
        self.start_ms = self.room.clock.now_ms
        self._events: list[tuple[Event, str]] = []
        self._answers: dict[str, tuple[object, str]] = {}
        self._heard: set[str] = {""}
        self._limits: dict[str, Limits] = {}
        self._begins: dict[tuple[Place, float], float] = {}

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

    def limits_are(self, of: str, limits: Limits) -> None:
        if limits != self._limits.get(of):
            self._limits[of] = limits
            self.note(Limited(self.now_s, limits, of))
