"""What a worker could put back: the room as it last saw it, and what it was given since, which no snapshot has yet."""

import math
from typing import NamedTuple

from waitroom.core.model import Snapshot
from waitroom.store.replies import Renewal
from waitroom.store.room import Room


class Given(NamedTuple):
    """Behind the last number of a call."""

    generation: str
    issued: int


class Mark(NamedTuple):
    """How much was known when a sync was sent: with its answer that is in the snapshot."""

    seats: int
    numbers: int


class Memory:
    """Of one worker and line. `untold`: snapshots of before an adoption that another worker made."""

    def __init__(self) -> None:
        self.seats: list[Renewal] = []
        self.numbers: list[Given] = []
        self.untold: list[Snapshot] = []

    def give_seat(self, generation: str, place: int, end_ms: float) -> None:
        self.seats.append(Renewal(generation, place, math.ceil(end_ms)))

    def give_number(self, generation: str, number: int) -> None:
        self.numbers.append(Given(generation, number + 1))

    def mark(self) -> Mark:
        return Mark(len(self.seats), len(self.numbers))

    def forget(self, mark: Mark) -> None:
        """What is in a snapshot now."""
        del self.seats[: mark.seats], self.numbers[: mark.numbers]

    async def tell(self, room: Room, remembered: Snapshot | None, current: Snapshot | None, *, idle_ms: int) -> bool:
        """Adopt with what is `remembered`; False if there is nothing. `current` is the latest snapshot. Raises
        StoreUnavailable.
        """
        issued = 0
        if remembered is not None:
            # Numbers beyond the hole were given by the Redis that another worker adopted meanwhile.
            end = math.inf if current is remembered or current is None else current.state.hole[1]
            generation = remembered.state.generation
            issued = max((to for of, to in self.numbers if of == generation and to <= end), default=0)
        return await room.adopt(remembered, session_idle_ms=idle_ms, granted=self.seats, issued=issued)

    async def tell_untold(self, room: Room, current: Snapshot, *, idle_ms: int) -> None:
        """What this worker remembers may be more than what another one adopted with. Raises StoreUnavailable."""
        while self.untold:
            await self.tell(room, self.untold[0], current, idle_ms=idle_ms)
            del self.untold[0]
