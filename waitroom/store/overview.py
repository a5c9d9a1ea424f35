"""A look at a room from outside, by plain reads: for people and programs that watch. Changes nothing there."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from waitroom.core.changes import rate_text
from waitroom.core.estimate import admitted_per_s
from waitroom.core.invites import SPLIT, read_split, whole_of
from waitroom.core.meter import Limits
from waitroom.core.model import State, read_state
from waitroom.core.orders.attempt import Outcome
from waitroom.core.probes import Tally
from waitroom.core.release import SOON_MS
from waitroom.core.shadow import NONE, Shadowed, read_shadowed
from waitroom.core.table import EMPTY, decode
from waitroom.core.times import iso_ms, iso_utc
from waitroom.store.client import store_errors
from waitroom.store.invites import invited_of
from waitroom.store.room import IN_SHADOW, Room

WORKER_MS = 5_000


@dataclass(frozen=True, slots=True)
class Overview:
    """The room at one moment of Redis time. Counts are of people; `waiting` counts those present.

    `findings`: what operators should know of, and how often it happened, the most frequent first. `in_shadow` counts
    workers; `shadowed` is what they let through without there being room for it. `orders` counts those kept.
    """

    state: State
    now_ms: int
    waiting: int
    inside: int
    door: int
    workers: int
    admitted_per_min: float
    estimates: Tally
    findings: tuple[tuple[str, int], ...]
    invited: "Overview | None" = None
    """The line of those with an invite, in a room that has one."""
    in_shadow: int = 0
    shadowed: Shadowed = NONE
    orders: Mapping[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))

    @property
    def away(self) -> int:
        """Numbers in line of people who are not there."""
        return max(0, self.state.issued - self.state.front - self.waiting)

    @property
    def expected(self) -> int:
        """People called in the last seconds who have neither come nor stand at the door."""
        fields = self.state.fields
        return int(fields.get("soon", 0)) if self.now_ms - int(fields.get("soon_at", 0)) < SOON_MS else 0

    @property
    def limits(self) -> Limits:
        """Those of the room, over both lines if there are two."""
        return whole_of(self.state.fields, self.state.limits)

    @property
    def admitted(self) -> int:
        """Since the room was made, over both lines."""
        return self.state.admitted + (self.invited.state.admitted if self.invited is not None else 0)

    @property
    def message(self) -> str:
        return self.state.message


async def overview(room: Room, name: str = "") -> Overview | None:
    """The room now; None where this Redis has no such room. With its `name` also the line of the invited, if there is
    one. Raises StoreUnavailable.
    """
    client, keys = room.client, room.keys
    with store_errors("overview"):
        seconds, micros = await client.time()
        now_ms = seconds * 1000 + micros // 1000
        fields: dict[bytes, bytes] = await client.hgetall(keys.state)
        if not fields:
            return None
        state = read_state({name.decode(): value.decode() for name, value in fields.items()})
        inside, ghosts, door, workers, blob, findings, shadowed, *orders = await asyncio.gather(
            client.zcount(keys.active, f"({now_ms}", "+inf"),
            client.hgetall(keys.ghosts),
            client.zcard(keys.door(state.generation)[0]),
            client.zrangebyscore(keys.workers, now_ms - WORKER_MS, "+inf"),
            client.get(keys.table(state.generation)),
            client.hgetall(keys.findings),
            client.hgetall(keys.shadow),
            *(client.zcard(keys.outcome(outcome)) for outcome in Outcome),
        )
    invited = await overview(invited_of(room, name)) if name and state.fields.get(SPLIT) else None
    table = decode(blob) if blob else EMPTY
    return Overview(
        state=state,
        now_ms=now_ms,
        waiting=table.ahead(state.front, state.issued),
        inside=inside + (int(ghosts.get(b"seats", 0)) if now_ms < int(ghosts.get(b"until", 0)) else 0),
        door=door,
        workers=len(workers),
        findings=tuple(sorted(((k.decode(), int(v)) for k, v in findings.items()), key=lambda found: -found[1])),
        admitted_per_min=admitted_per_s(table.facts.moves, now_ms) * 60,
        estimates=table.facts.tally,
        invited=invited,
        in_shadow=sum(name.endswith(b":" + IN_SHADOW.encode()) for name in workers),
        shadowed=read_shadowed({name.decode(): int(times) for name, times in shadowed.items()}),
        orders=dict(zip(Outcome, orders, strict=True)),
    )


async def read_log(room: Room, count: int) -> list[dict[str, str]]:
    """What was done to the room, the newest first: `at`, `event`, `by` and what else there is to say. Raises
    StoreUnavailable.
    """
    with store_errors("log"):
        entries = await room.client.xrevrange(room.keys.log, count=count)
    return [
        {"at": iso_ms(int(key.partition(b"-")[0]))}
        | {name.decode(): value.decode("utf-8", "replace") for name, value in fields.items()}
        for key, fields in entries
    ]


def invited_facts(found: Overview, invited: Overview) -> dict[str, Any]:
    """What `status --json` says of the line of the invited; `found` is the room's own."""
    split = read_split(found.state.fields, found.state.limits)
    return {
        "share": split.part if split is not None else 0,
        "waiting": invited.waiting,
        "at_the_door": invited.door,
        "admitted": invited.state.admitted,
        "admitted_per_min": round(invited.admitted_per_min, 1),
        "issued": invited.state.issued,
        "front": invited.state.front,
    }


def facts(room: str, found: Overview) -> dict[str, Any]:
    """The room for programs: `waitroom status --json` and `GET /api/room`. Names stay."""
    state, limits = found.state, found.limits
    return {
        "room": room,
        "hold": limits.hold,
        "message": state.message,
        "waiting": found.waiting,
        "at_the_door": found.door,
        "inside": found.inside,
        "admitted": found.admitted,
        "admitted_per_min": round(found.admitted_per_min, 1),
        "rate": rate_text(limits),
        "burst": limits.burst,
        "max_active": limits.max_active,
        "issued": state.issued,
        "front": state.front,
        "generation": state.generation,
        "workers": found.workers,
        "invited": None if found.invited is None else invited_facts(found, found.invited),
        "estimates": found.estimates._asdict(),
        "findings": dict(found.findings),
        "shadow": {"workers": found.in_shadow, "would_have_waited": found.shadowed.facts()},
        "sale": sale_facts(found),
        "orders": {outcome.value: count for outcome, count in found.orders.items()},
        "server_time": iso_ms(found.now_ms),
    }


def sale_facts(found: Overview) -> dict[str, Any]:
    """The sale for programs; `next` is what comes next by the clock."""
    sale = found.state.sale
    schedule, step = sale.schedule, sale.next_step()

    def when(ms: int) -> str | None:
        return iso_utc(ms) if schedule is not None and ms else None

    return {
        "phase": sale.phase(found.now_ms),
        "lobby_at": when(schedule.lobby_ms if schedule else 0),
        "draw_at": when(schedule.draw_ms if schedule else 0),
        "opens_at": when(sale.opening_ms if schedule else 0),
        "closes_at": when(schedule.closes_ms if schedule else 0),
        "at_close": schedule.at_close if schedule else None,
        "lobby_size": sale.lobby_size,
        "stock": sale.stock,
        "next": None if step is None or sale.is_sold_out else {"phase": step.phase, "at": iso_utc(int(step.at_ms))},
    }
