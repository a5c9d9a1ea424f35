"""A sale in Redis: its phases latched, its schedule, stock and end changed; and a worker's part in that.

A phase changes by the clock. Whoever comes first after the instant latches the change, once for all workers: the loop
of a worker that finds it due, or a call that must not be done before it (`PhaseDue`).
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, cast

import structlog

from waitroom.core.errors import WaitroomError
from waitroom.core.model import Snapshot, State
from waitroom.core.sale.changes import Refused, planned
from waitroom.core.sale.schedule import Phase, digest_of, write_new_sale
from waitroom.core.settings import Settings
from waitroom.store.drawing import Drawing
from waitroom.store.replies import checked, flatten
from waitroom.store.room import Room
from waitroom.store.scripts import Value

ANY = "*"
SHOP = "shop"
"""Who says so where the shop's own answers do."""

log = structlog.get_logger()


class Moved(WaitroomError):
    """The sale is in another phase than the change was meant for; nothing was changed."""


NO_ANNOUNCEMENT: Sequence[Value] = ("", "", "", 0, "", "")

Announce = Callable[[State, str], Sequence[Value]]
"""From the state and the id of a new generation: what a draw is announced with (`drawing.announcement`)."""


async def latch(room: Room, state: State, *, keep_ms: int, announce: Announce | None = None) -> Phase | None:
    """Bring the phase up to now; without `announce` not to a lobby. None without a sale, or right after an adoption:
    then it is still to be done.
    """
    new = secrets.token_hex(8)
    announced = NO_ANNOUNCEMENT if announce is None else announce(state, new)
    args: list[Value] = [state.generation, new, keep_ms, *announced]
    reply = await room.run("phase", room.generation_keys(state), args)
    if reply[0] == b"wait":
        return None
    (phase,) = checked(reply)
    return cast(Phase | None, phase.decode() or None)


async def change_sale(
    room: Room, fields: Mapping[str, str], *, by: str, generation: str = "", digest: str = "", phase: str = ANY
) -> bool:
    """Change a sale's fields; with a `digest` only if it is not the one in force, and only in this latched `phase`
    (`''` is no sale). Whether anything was changed. Raises Moved, and what every verb may.
    """
    args: list[Value] = [generation, by, digest, phase, *flatten(fields)]
    reply = await room.run("sale", [room.keys.state, room.keys.log, room.keys.beside], args)
    if reply[0] == b"moved":
        raise Moved("The sale went on meanwhile; nothing was changed. Look at `waitroom status`, and try again.")
    (changed,) = checked(reply)
    return bool(changed)


class SaleView(Protocol):
    """What a worker's part needs to know of the line."""

    @property
    def room(self) -> Room: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def snapshot(self) -> Snapshot | None: ...
    @property
    def drawing(self) -> Drawing: ...
    def now_ms(self) -> float: ...


class Selling:
    """A worker's part: latches what is due, puts the environment's schedule in force, tells what the shop said."""

    def __init__(self, line: SaleView) -> None:
        self._line = line
        self._room = line.room
        settings = line.settings
        self._keep_ms = settings.turn_held + settings.claim_repeat
        self._untold: dict[str, str] = {}

    # What the shop says; told with the next round of the loop.

    def sell_out(self) -> None:
        """There is nothing left: everybody in line is told."""
        self._untold["sold_out"] = "1"

    def set_stock(self, count: int) -> None:
        """So many are left; 0 is sold out, and only an operator takes that back."""
        self._untold["stock"] = str(max(0, count))
        if count <= 0:
            self.sell_out()

    # Within the loop.

    def first_fields(self) -> dict[str, str]:
        """The fields of a room that is made now."""
        schedule = self._line.settings.schedule
        return {} if schedule is None else {**write_new_sale(schedule), "sale_digest": digest_of(schedule)}

    async def settle(self) -> bool:
        """Latch what is due and tell what is untold; whether Redis has something new to hear of."""
        snapshot = self._line.snapshot
        if snapshot is None:
            return False
        is_due = snapshot.state.sale.is_due(self._line.now_ms())
        if is_due:
            await self.latch()
        told = self._untold
        if told and not snapshot.is_unsettled:
            self._untold = {}
            try:
                await change_sale(self._room, told, by=SHOP)
            except Exception:
                self._untold = {**told, **self._untold}
                raise
            return True
        return is_due

    async def latch(self) -> Phase | None:
        """Bring the phase up to now, from this worker's snapshot."""
        snapshot = self._line.snapshot
        assert snapshot is not None
        phase = await latch(self._room, snapshot.state, keep_ms=self._keep_ms, announce=self._announce)
        if phase != snapshot.state.sale.latched:
            log.info("phase_changed", room=self._line.settings.room, phase=phase)
        return phase

    def _announce(self, state: State, new_generation: str) -> Sequence[Value]:
        return self._line.drawing.announcement(state, new_generation=new_generation, now_ms=self._line.now_ms())

    async def apply_environment(self, snapshot: Snapshot) -> bool:
        """Put the environment's schedule in force, unless it is the one last put in force from there. False where the
        sale went on since the snapshot: then once more from a newer one.
        """
        schedule, sale = self._line.settings.schedule, snapshot.state.sale
        digest = digest_of(schedule)
        if snapshot.state.fields.get("sale_digest", digest_of(None)) == digest:
            return True
        try:
            fields = planned(sale, schedule, now_ms=self._line.now_ms()).fields
            changed = await change_sale(self._room, fields, by="environment", digest=digest, phase=sale.latched or "")
        except Moved:
            return False
        except Refused as refusal:
            log.warning("sale_kept", room=self._line.settings.room, why=str(refusal))
            return True
        if changed:
            log.info("sale_changed", room=self._line.settings.room, by="environment")
        return True
