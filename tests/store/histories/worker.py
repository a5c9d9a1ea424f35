"""What `store/line.py` does, one turn at a time: a worker's view of one line of the room.

Snapshot, outbox, memory, draw and holder of the lease are the product's own; here they are moved by hand, by a clock
that may be wrong, and over a wire that loses answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tests.store.histories.asking import SEAT_MS, SETTINGS, Asking, Call, Person
from tests.store.histories.events import Called, Place
from tests.store.room_support import announcing, drawing_of
from waitroom.core.errors import StoreUnavailable
from waitroom.core.meter import Limits
from waitroom.core.model import Snapshot
from waitroom.core.presence import epoch_of
from waitroom.core.table import EMPTY
from waitroom.store.holder import Holder
from waitroom.store.memory import Memory
from waitroom.store.outbox import Outbox
from waitroom.store.replies import AdoptNeeded, GenerationGone, Unsettled
from waitroom.store.room import Room
from waitroom.store.sale import latch
from waitroom.store.scripts import Value

if TYPE_CHECKING:
    from tests.store.histories.record import Line
    from tests.store.histories.world import World

FIRST_LIMITS = Limits(10, 10)
"""Of a room that nobody remembers."""


class Wire(Room):
    """The room as a worker reaches it: away at times, and answers get lost."""

    def __init__(self, room: Room, world: World) -> None:
        super().__init__(room.client, "", room.counts)
        self.keys, self.world = room.keys, world

    async def run(self, verb: str, keys: Sequence[str], args: Sequence[Value]) -> list[Any]:
        plain = super().run
        return await self.world.call(lambda: plain(verb, keys, args))


class Worker(Asking):
    """`wrong_s`: by how much its own clock is off until it syncs. `knew`: by generation, behind the last number that it
    ever knew of. `beside`: its view of the room's other line.
    """

    def __init__(self, world: World, name: str, line: Line) -> None:
        self.world, self.name, self.line = world, name, line
        self.wire = Wire(line.room, world)
        self.snapshot: Snapshot | None = None
        self.generation = ""
        self.outbox = Outbox()
        self.memory = Memory()
        self.knew: dict[str, int] = {}
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
