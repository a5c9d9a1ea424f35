"""What the holder of the lease does with each sync: look who is there, move the front, publish the table.

What the looks mean is judged in `core.watch`; here they are taken, and what comes of them is written.
"""

import time

from waitroom.core.model import Snapshot
from waitroom.core.presence import epochs_seen
from waitroom.core.settings import Settings
from waitroom.core.watch import Watch
from waitroom.store.room import Room

LEASE_PAUSE_S = 3.0
LOOKS_A_CALL = 4


class Holder:
    """Lives as long as its worker; `start` is called whenever the lease is gained or the generation changes."""

    def __init__(self, room: Room, worker: str, settings: Settings) -> None:
        self.room = room
        self.worker = worker
        self.settings = settings
        self._is_attending = False
        self._no_lease_before_s = 0.0
        self.start(None)

    def start(self, snapshot: Snapshot | None) -> None:
        """Forget everything but what the last holder published."""
        self.generation = snapshot.state.generation if snapshot else ""
        self.watch = Watch(self.settings, snapshot)

    def wants_lease(self, now_s: float) -> bool:
        """Not for a while after a round that failed: another worker may do better."""
        return now_s >= self._no_lease_before_s

    async def attend(self, snapshot: Snapshot) -> None:
        """One round with the lease, from what the last holder published if it was not ours; an error gives it up."""
        if not self._is_attending:
            self.start(snapshot)
        self._is_attending = False
        self._no_lease_before_s = time.monotonic() + LEASE_PAUSE_S
        outcome = await self.round(snapshot)
        self._is_attending = outcome in ("ok", "gap")
        if outcome != "refused":
            self._no_lease_before_s = 0.0

    def step_down(self) -> None:
        """What is known may be out of date: start anew with the next lease."""
        self._is_attending = False

    async def round(self, snapshot: Snapshot) -> str:
        """One round; what the script said: ok, lost, gap or refused."""
        if snapshot.state.generation != self.generation or snapshot.state.space != self.watch.space:
            self.start(snapshot)
        at_door = await self._look(snapshot)
        verdict = self.watch.judge(snapshot, at_door)
        return await self.room.release(
            self.generation,
            self.worker,
            front=verdict.front,
            lapsed=verdict.lapsed,
            lapsed_before=snapshot.state.lapsed,
            soon=verdict.soon,
            table=verdict.table,
            keep_ms=self.settings.turn_held + self.settings.claim_repeat,
        )

    async def _look(self, snapshot: Snapshot) -> list[int]:
        """Read presence. Returns the places at the door."""
        recent, chunks = self.watch.due(snapshot)
        epochs = epochs_seen(snapshot.now_ms, self.settings.away_after)
        at_door: list[int] = []
        for at in range(0, len(chunks), LOOKS_A_CALL):
            part = chunks[at : at + LOOKS_A_CALL]
            door, looks = await self.room.look(
                self.generation, self.worker, part, epochs, door_from=recent, space=self.watch.space
            )
            at_door = at_door or door
            for chunk, look in zip(part, looks, strict=True):
                self.watch.note(chunk, seen=look.seen, claimed=look.claimed, now_ms=snapshot.now_ms)
        return at_door
