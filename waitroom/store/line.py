"""A worker's view of the line: the snapshot every request reads, and the loop that renews it.

What waits for Redis is in `store/asking.py`. The loop never ends while the process lives: errors are logged, once
per change.
"""

import asyncio
import contextlib
import math
import random
import secrets
import time
from collections.abc import Sequence

import structlog

from waitroom.core.commands import LONGEST_EXTENSION_MS
from waitroom.core.errors import StoreUnavailable
from waitroom.core.figures import STORE_TIME, observe
from waitroom.core.meter import Limits
from waitroom.core.model import Snapshot
from waitroom.core.presence import Beats, epoch_of
from waitroom.core.proofs import Proofs
from waitroom.core.sale.schedule import NO_SALE, Phase
from waitroom.core.settings import Settings
from waitroom.core.table import EMPTY
from waitroom.store.asking import Asking
from waitroom.store.circuit import Circuit
from waitroom.store.drawing import Drawing
from waitroom.store.ended import Ended
from waitroom.store.environment import Environment, limits_of
from waitroom.store.held import HeldPolls, wake_changed
from waitroom.store.holder import Holder
from waitroom.store.memory import Memory
from waitroom.store.notices import Notices
from waitroom.store.outbox import Outbox
from waitroom.store.replies import AdoptNeeded, GenerationGone, Unsettled
from waitroom.store.room import Room
from waitroom.store.sale import Selling

AWAY_S = 2.0
SHORTEST_S = 0.02
LATE_MS = 100
"""So long after a change of phase was due it is looked for in a hurry: clocks differ by less. What takes longer waits
for something else, and would be asked fifty times a second."""
CREATE_WAIT_MS = 2_000
PROVISIONAL_MS = 30_000

log = structlog.get_logger()


class Line:
    """One room, as one worker sees it. `snapshot` is None until the first sync."""

    def __init__(
        self, settings: Settings, room: Room, *, key_ids: Sequence[str] = (), fresh_store: bool = False
    ) -> None:
        self.settings = settings
        self.room = room
        self.counts = room.counts
        self.worker = secrets.token_hex(8)
        self.snapshot: Snapshot | None = None
        self.held = HeldPolls()
        self._notices = Notices(room)
        self.findings, self.shadowed = self._notices.findings, self._notices.shadowed
        self._key_ids = key_ids
        self._fresh_store = fresh_store
        self.drawing = Drawing(settings, room)
        self.selling = Selling(self)
        self.sell_out, self.set_stock = self.selling.sell_out, self.selling.set_stock
        self.environment = Environment(self)
        self.memory = Memory()
        self.asking = Asking(self, self.memory)
        self.enter, self.put_newcomer = self.asking.enter, self.asking.put_newcomer
        self.claim, self.seat_end = self.asking.claim, self.asking.seat_end
        self._proofs = Proofs()
        self._outbox = Outbox()
        self._circuit = Circuit()
        self.ended = Ended(max(self.seat_ms(), settings.payment_held, LONGEST_EXTENSION_MS))
        self._holder = Holder(room, self.worker, settings)
        self._generation = ""
        self._offset_ms = time.time() * 1000 - time.monotonic() * 1000
        self._synced_at = time.monotonic()
        self._said = self._found = ""
        self._is_closing = False
        self._task: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self.begins = asyncio.Event()  # set for a moment as each round of the loop begins

    async def open(self) -> None:
        """Start the loop; returns at once, the first snapshot may take longer than that."""
        self._synced_at = time.monotonic()
        self._task = asyncio.create_task(self._run(), name="sync")

    async def close(self) -> None:
        """Stop the loop, after one last flush."""
        self._is_closing = True
        self.room.fall_out_of_step()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        with contextlib.suppress(Exception):
            await self._sync(last=True)
        await self.asking.close()
        await self.room.close()

    # What requests read: memory only.

    @property
    def is_away(self) -> bool:
        """Redis has not answered for two seconds; at the start it is given as long."""
        return time.monotonic() - self._synced_at >= AWAY_S

    @property
    def is_well(self) -> bool:
        """The last round of the loop went well. While not, only the loop calls Redis."""
        return self._circuit.is_closed

    @property
    def away_since_ms(self) -> int:
        """Since when Redis has not answered (ms, Redis time); 0 if it does."""
        away_s = time.monotonic() - self._synced_at
        return int(self.now_ms() - away_s * 1000) if away_s >= AWAY_S else 0

    def now_ms(self) -> float:
        """Redis time, as this worker knows it."""
        return time.monotonic() * 1000 + self._offset_ms

    @property
    def limits(self) -> Limits:
        """The limits in force; the settings' until the first snapshot."""
        return self.snapshot.state.limits if self.snapshot else limits_of(self.settings)

    @property
    def is_flooded(self) -> bool:
        """More than half of the last minute's provisional passes never came back, over all workers."""
        return self._proofs.is_flooded

    def renew(self, generation: str, place: int, end_ms: int, *, confirms: bool = False) -> None:
        """Count a seat until `end_ms`, with the next sync; `confirms` a provisional pass."""
        self._outbox.renew(generation, place, end_ms, confirms=confirms)

    def end_pass(self, generation: str, place: int) -> None:
        """The pass is worth nothing from now on, at any worker with its next sync, and the seat is free."""
        self._outbox.renew(generation, place, 0, confirms=False)
        self.ended.add((b"%b:%d" % (generation.encode(), place),), self.now_ms())

    @property
    def beats(self) -> Beats:
        """Where requests note the places they have seen."""
        return self._outbox.beats

    def place_of(self, number: int) -> int:
        """The place of a ticket's number, as far as it is drawn and known here."""
        return number if self.snapshot is None else self.snapshot.place_of(number)

    def note(self, number: int) -> int:
        """Note that the visitor with this number is there; the place it was noted by."""
        place = self.place_of(number)
        self.beats.note(place)
        return place

    def seat_ms(self) -> int:
        """How long a pass lasts that is signed now."""
        return self.settings.session_idle * 11 // 10

    def provisional_ms(self) -> int:
        """How long a seat taken on the spot is counted until its pass is seen again."""
        return PROVISIONAL_MS

    async def next_sync(self) -> None:
        """Until another round of the loop went well, at most a second."""
        self._moved.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._moved.wait()

    def phase(self) -> Phase | None:
        """The phase of the sale in force now; None without one. Before the first snapshot, as the settings have it."""
        now_ms = self.now_ms()
        if self.snapshot is not None:
            return self.snapshot.state.sale.phase(now_ms)
        return None if self.settings.schedule is None else "before"

    # The loop.

    def _due_in_s(self) -> float:
        """Until a change of phase is due: all workers look at that moment, so that all know of it at once."""
        sale = self.snapshot.state.sale if self.snapshot else NO_SALE
        wait_ms = sale.due_ms - self.now_ms()
        return wait_ms / 1000 if sale.due_ms and self.is_well and wait_ms > -LATE_MS else math.inf

    async def _run(self) -> None:
        # Python 3.11's wait_for, in which the client sends, may swallow a cancellation: the flag ends the loop then.
        while not self._is_closing:
            started = time.monotonic()
            self.begins.set()
            self.begins.clear()
            try:
                await self._round()
            except Exception as error:
                with contextlib.suppress(Exception):  # not even a log that cannot be written ends the loop
                    self._say(repr(error))
                    log.exception("sync_failed", room=self.settings.room)
            await self._pause(time.monotonic() - started)

    async def _pause(self, spent_s: float) -> None:
        pause_s = self._circuit.next_in_s(random.random()) - spent_s  # noqa: S311
        await asyncio.sleep(max(SHORTEST_S, min(pause_s, self._due_in_s())))

    async def _round(self) -> None:
        """One turn of the loop. What it raises is a fault of ours, also on the way back from a loss."""
        try:
            await self._sync()
            await self.environment.apply()
            if await self.selling.settle():
                await self._sync()
            if self.snapshot is not None and await self.drawing.settle(self.snapshot):
                await self._sync()
            if self.snapshot is not None and self.snapshot.is_holder:
                await self._holder.attend(self.snapshot)
            await self.asking.door.ask()
            await self._notices.tell()
            self._circuit.succeeded()
            self._moved.set()
            self._say("")
        except AdoptNeeded:
            await self._recover()
        except GenerationGone:
            await self._follow_reset()
        except Unsettled:
            pass  # another worker adopted meanwhile; the next round knows
        except StoreUnavailable as error:
            self._fail(error)

    async def _sync(self, *, last: bool = False) -> None:
        before, mark = self.snapshot, self.memory.mark()
        sent_at = time.monotonic()
        parcel = self._outbox.take(before if self._generation else None, now_s=sent_at, everything=last)
        try:
            snapshot = await self.room.sync(
                self._generation,
                self.worker,
                key_ids=self._key_ids,
                in_shadow=self.settings.shadow,
                wants_lease=not last and before is not None and self._holder.wants_lease(sent_at),
                known=before.table if before else None,
                known_version=before.state.table_version if before and before.table is not EMPTY else "",
                renewals=parcel.renewals,
                confirmed=parcel.confirmed,
                beats=parcel.beats,
                space=before.state.space if before else "p",
                epoch=epoch_of(self.now_ms()),
                away_after_ms=self.settings.away_after,
                ended_since_ms=before.now_ms - 1000 if before else 0,
                ended_kept_ms=self.ended.kept_ms,
            )
        except Exception:
            self._outbox.give_back(parcel)
            raise
        heard_at = time.monotonic()
        self._offset_ms = snapshot.now_ms - (sent_at + heard_at) / 2 * 1000
        observe(self.counts, STORE_TIME, (heard_at - sent_at) * 1000)
        self._hear(heard_at)
        self.snapshot = snapshot = self.drawing.attach(snapshot)
        self._generation = snapshot.state.generation
        self.ended.add(snapshot.ended, snapshot.now_ms)
        self._proofs.add(snapshot.now_ms, snapshot.state.on_the_spot, snapshot.state.confirmed)
        if before is not None:
            wake_changed(self.held, before.state, snapshot.state)
            if snapshot.state.space != before.state.space:
                self._outbox.forget_beats()
            if snapshot.state.adoption != before.state.adoption and snapshot.state.ordinal == before.state.ordinal:
                # Another worker adopted; this one may remember more.
                self.memory.untold.append(before)
        await self.memory.tell_untold(self.room, snapshot, idle_ms=self.seat_ms())
        self.memory.forget(mark)

    async def _adopt(self) -> bool:
        return await self.memory.tell(self.room, self.snapshot, self.snapshot, idle_ms=self.seat_ms())

    def _hear(self, at_s: float) -> None:
        """Redis answered. Whoever was told that the line is paused is told that it goes on."""
        was_away, self._synced_at = self.is_away, at_s
        if was_away:
            self.held.wake_all()
        if self.room.client.found != self._found:
            self._found = self.room.client.found
            log.info("store_found", room=self.settings.room, address=self._found)

    async def _recover(self) -> None:
        """Redis has no room, or another server's: adopt it with what this worker remembers, or create one."""
        self._holder.step_down()
        try:
            if await self._adopt():
                log.warning("store_adopted", room=self.settings.room)
            else:
                wait_ms = 0 if self._fresh_store else CREATE_WAIT_MS
                fields = self.environment.first_fields()
                if await self.room.create(limits_of(self.settings), fields, wait_ms=wait_ms) == "ok":
                    log.info("room_created", room=self.settings.room)
            # Not away: whoever comes now waits a moment for the room instead of being sent off.
            self._hear(time.monotonic())
            self._circuit.succeeded()
        except StoreUnavailable as error:
            self._fail(error)

    async def _follow_reset(self) -> None:
        """The room started a new generation: what was seen of the old one means nothing in the new.

        Unless it is the room that is old: adopted from a memory that missed a reset. Then this one's counts.
        """
        try:
            await self._adopt()
        except StoreUnavailable as error:
            self._fail(error)
            return
        self._generation = ""
        self._outbox.forget_beats()
        self._holder.step_down()

    def _fail(self, error: StoreUnavailable) -> None:
        self._circuit.failed()
        self._say(str(error))

    def _say(self, error: str) -> None:
        """Log a change between well and ill, once."""
        kind = error.split(":")[0]
        if kind != self._said:
            self._said = kind
            if error:
                log.error("store_away", room=self.settings.room, cause=error)
            else:
                log.info("store_back", room=self.settings.room)
