"""A worker's part in the draw: it announces one, reveals the seed, and knows everybody's place from then on.

A worker without the key that a draw was announced with cannot reveal it; it says so, and waits for one that can.
"""

import secrets
from dataclasses import replace
from typing import Literal, cast

import structlog

from waitroom.core.model import Snapshot, State
from waitroom.core.sale.draw import Places
from waitroom.core.sale.draw_state import Draw, DrawKeys
from waitroom.core.settings import Settings
from waitroom.core.table import EMPTY
from waitroom.store.replies import checked
from waitroom.store.room import Room
from waitroom.store.scripts import Value

NONCE_BYTES = 16

Entered = Literal["done", "known", "other", "early", "none", "late"]
"""What became of a seed or a note; see draw.lua."""

log = structlog.get_logger()


def announcement(keys: DrawKeys, state: State, *, new_generation: str, source: str, now_ms: int) -> list[Value]:
    """What phase.lua announces a draw with, should it open a lobby."""
    nonce = secrets.token_hex(NONCE_BYTES)
    commitments = (
        keys.commitment(generation=generation, nonce=nonce, source=source, opened_ms=now_ms)
        for generation in (state.generation, new_generation)
    )
    return [nonce, keys.signing_id, source, now_ms, *commitments]


async def enter_note(room: Room, state: State, note: str, *, by: str) -> Entered:
    """The value of the note's source, once, while the lobby waits for it."""
    return await _enter(room, state, "draw_note", note, by=by)


async def _enter(room: Room, state: State, field: str, value: str, *, by: str) -> Entered:
    reply = await room.run("draw", [room.keys.state, room.keys.log], [state.generation, field, value, by])
    (said,) = checked(reply)
    return cast(Entered, said.decode())


class Drawing:
    """One worker's. `attach` with each snapshot, `settle` with each round of the loop."""

    def __init__(self, settings: Settings, room: Room) -> None:
        self._room = room
        self._name = settings.room
        self._source = settings.draw_source
        self._keys = DrawKeys(settings.room, settings.signing_keys)
        self._draw: Draw | None = None
        self._places: Places | None = None
        self._announced = ""
        self._said = ""

    def announcement(self, state: State, *, new_generation: str, now_ms: float) -> list[Value]:
        """For phase.lua."""
        return announcement(self._keys, state, new_generation=new_generation, source=self._source, now_ms=int(now_ms))

    def attach(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with the places drawn. A table of numbers says nothing of places: then nobody is known to be
        away, and everybody of the lobby counts.
        """
        state = snapshot.state
        if state.draw != self._draw:
            self._draw = state.draw
            self._places = state.draw.places() if state.draw is not None and state.draw.is_known else None
            self._say_announced(state.draw)
        table = snapshot.table if snapshot.table.facts.space == state.space else EMPTY
        return replace(snapshot, places=self._places, table=table)

    async def settle(self, snapshot: Snapshot) -> bool:
        """Reveal the seed where it is fixed who takes part; whether Redis has something new to hear of."""
        draw = snapshot.state.draw
        if draw is None or not draw.lacks_seed:
            self._said = ""
            return False
        seed = self._keys.seed(draw)
        if seed is None:
            self._say_missing(draw)
            return False
        if await _enter(self._room, snapshot.state, "draw_seed", seed.hex(), by="gateway") == "done":
            log.info("draw_revealed", room=self._name, numbers=draw.numbers, seed=seed.hex())
        return True

    def _say_announced(self, draw: Draw | None) -> None:
        """Logged by every worker: with the logs elsewhere, that is where a commitment can be seen to be the old one."""
        if draw is not None and draw.numbers is None and draw.commitment != self._announced:
            self._announced = draw.commitment
            log.info("draw_announced", room=self._name, commitment=draw.commitment, source=draw.source)

    def _say_missing(self, draw: Draw) -> None:
        if self._said != draw.commitment:
            self._said = draw.commitment
            log.error("draw_key_missing", room=self._name, key_id=draw.key_id)
