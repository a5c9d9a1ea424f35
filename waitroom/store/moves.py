"""Places taken to another device: each link once, and no place too often."""

from hashlib import sha256

from waitroom.core.tokens import Move
from waitroom.store.replies import checked
from waitroom.store.room import Room
from waitroom.store.scripts import Value

MOST_MOVES = 5
"""So often a place is taken along: whoever shares one shops as one, so a place is no key to hand around."""
REMEMBERED_MS = 600_000
"""Longer than any link is good for."""


async def take(room: Room, move: Move, *, taker: str, life_ms: int) -> bool:
    """Whether `taker` has the place now. Of any number of takers of one link one is told so, and told so again if it
    asks again. `life_ms` is that of a ticket. Raises StoreUnavailable, AdoptNeeded, GenerationGone.
    """
    ticket = move.ticket
    link = sha256(f"{ticket.generation}.{ticket.number}.{ticket.visitor}.{move.expires_ms}".encode()).hexdigest()[:32]
    keys = [room.keys.state, room.keys.moved(link), room.keys.moves(ticket.generation, ticket.number)]
    args: list[Value] = [ticket.generation, taker, REMEMBERED_MS, life_ms, MOST_MOVES]
    (taken,) = checked(await room.run("move", keys, args))
    return bool(taken)
