"""Invites in Redis: redeemed for a number in the line of the invited, and revoked.

What a link says is signed; here stands who used it, and for seven days after a reset, who was admitted by it. If Redis
loses all its data, that is forgotten, and so is what was revoked: each link works again as often as at first, until it
expires. Who redeemed one keeps the place (`adopt`).
"""

import time
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, cast

from waitroom.core.invites import Invite
from waitroom.core.presence import chunk_of
from waitroom.store.client import store_errors
from waitroom.store.keys import INVITED
from waitroom.store.memory import Memory
from waitroom.store.replies import checked
from waitroom.store.room import Room
from waitroom.store.scripts import Value

DAY_MS: Final = 86_400_000

Refusal = Literal["expired", "revoked", "used"]


class Redeemed(NamedTuple):
    """The number that a visitor has by an invite."""

    generation: str
    number: int


def invited_of(room: Room, name: str) -> Room:
    """The line of the invited, by the same connection."""
    return Room(room.client, name, room.counts, line=INVITED)


async def redeem(invited: Room, invite: Invite, visitor: str, *, memory: Memory | None = None) -> Redeemed | Refusal:
    """One number for each visitor, at most `invite.uses` visitors, whoever asks at the same time. What is given goes
    into `memory`. Raises StoreUnavailable, AdoptNeeded, and PhaseDue where the line begins anew first.
    """
    keys = [invited.keys.state, invited.keys.invite(invite.id), invited.keys.batch(invite.batch)]
    args: list[Value] = ["", visitor, invite.uses, invite.expires_ms, invite.serial]
    known = Redeemed("none", 0)
    while True:
        bits = invited.keys.claims(known.generation, chunk_of(known.number))[1]
        reply = await invited.run("redeem", [*keys, bits], [*args, f"{known.generation} {known.number}"])
        if reply[0] in (b"expired", b"revoked", b"used"):
            return cast(Refusal, reply[0].decode())
        if reply[0] != b"bits":
            break
        known = Redeemed(reply[1].decode(), int(reply[2]))
    given, number = checked(reply)
    redeemed = Redeemed(given.decode(), int(number))
    if memory is not None:
        memory.give_number(*redeemed)
    return redeemed


async def note_batch(room: Room, batch: str, facts: Mapping[str, str], *, expires_ms: int) -> None:
    """Remember that a batch of invites was made, so that it can be revoked. Raises StoreUnavailable."""
    client, key = room.client, room.keys.batch(batch)
    with store_errors("batch"):
        await client.hset(key, mapping=dict(facts))
        await client.pexpireat(key, expires_ms + DAY_MS)


async def revoke(room: Room, batch: str, serial: int | None, *, by: str) -> dict[str, str] | None:
    """Make an invite, or the whole batch without a `serial`, worth nothing; the batch as it was noted, None if there is
    no such one. Raises StoreUnavailable.
    """
    client, key = room.client, room.keys.batch(batch)
    with store_errors("revoke"):
        noted: dict[bytes, bytes] = await client.hgetall(key)
        if not noted:
            return None
        what = "revoked" if serial is None else f"revoked:{serial}"
        await client.hset(key, what, str(int(time.time() * 1000)))
        entry = {"event": "invites_revoked", "by": by, "batch": batch, **({} if serial is None else {"serial": serial})}
        await client.xadd(room.keys.log, entry, maxlen=1000, approximate=True)
    return {name.decode(): value.decode() for name, value in noted.items()}
