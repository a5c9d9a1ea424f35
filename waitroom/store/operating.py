"""What operators do to a room: looked at first, said in sentences, then done; the same for commands and the API."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from waitroom.core.changes import Misused, Situation, Wanted, effects
from waitroom.core.errors import StoreUnavailable, WaitroomError
from waitroom.core.invites import fields_of, is_too_small, limits_of_invited, read_split
from waitroom.core.model import State, read_limits, write_limits
from waitroom.core.sale.changes import GOODS, plan_sale
from waitroom.core.sentences import people
from waitroom.core.settings import Settings
from waitroom.store.invites import invited_of
from waitroom.store.overview import Overview, overview
from waitroom.store.reasons import redis_fault
from waitroom.store.replies import AdoptNeeded, GenerationGone, Unsettled
from waitroom.store.room import Room
from waitroom.store.sale import ANY, change_sale

SETTLE_S = 0.25
SETTLE_TRIES = 12

Done = TypeVar("Done")

NOTHING = "It is so already: nothing changes."


class NoRoom(WaitroomError):
    """This Redis has no such room."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done: sentences for people, fields for Redis (none if nothing changes), those of the sale apart, and
    to which run of the room: one that was reset meanwhile is left alone.
    """

    effects: tuple[str, ...]
    fields: dict[str, str]
    found: Overview
    room: str
    sale: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> State:
        return self.found.state

    @property
    def changes(self) -> dict[str, str]:
        return {**self.fields, **self.sale}


async def look(room: Room, name: str) -> Overview:
    """The room now. Raises NoRoom and StoreUnavailable."""
    found = await overview(room, name)
    if found is None:
        raise NoRoom(f"There is no room {name!r} in this Redis yet: the first gateway that runs makes it.")
    return found


async def plan_change(room: Room, name: str, wanted: Wanted) -> Plan:
    """What the change will do. Fields that stay as they are will not be written. Raises like `look`, and Refused
    where the sale cannot be changed like that.
    """
    found = await look(room, name)
    before = Situation(found.limits, found.message, found.waiting, found.inside)
    after = wanted.applied_to(before)
    split = read_split(found.state.fields, found.state.limits)
    part = 0.0 if split is None else split.part
    if is_too_small(after.limits, part):
        if "burst" in wanted.given:
            raise Misused("burst has to be 2 or more here: it is split with the line of those with an invite")
        after = replace(after, limits=replace(after.limits, burst=2.0))
    old, new = fields_of(before.limits, part), fields_of(after.limits, part)
    fields = {field: text for field, text in new.items() if old[field] != text}
    if after.message != before.message:
        fields["message"] = after.message
    sale = plan_sale(found.state.sale, wanted.given, now_ms=found.now_ms, waiting=found.waiting)
    said = (*(effects(before, after) if fields else ()), *sale.effects)
    return Plan((*shadow_effects(found), *(said or (NOTHING,))), fields, found, name, sale.fields)


def shadow_effects(found: Overview) -> tuple[str, ...]:
    """Above all else: that nothing of it holds anybody."""
    if not found.in_shadow:
        return ()
    return (
        f"IN SHADOW ({found.in_shadow} of {found.workers} workers): everybody is let through, whatever the limits are. "
        "To go live, unset WAITROOM_SHADOW and restart the gateways one by one.",
    )


async def change(room: Room, plan: Plan, *, by: str) -> None:
    """Do what `plan_change` said. Raises StoreUnavailable, AdoptNeeded and GenerationGone, and Moved where the sale has
    come to another phase meanwhile.
    """
    if plan.sale:
        phase = (plan.state.sale.latched or "") if plan.sale.keys() - GOODS else ANY
        generation, sale = plan.state.generation, plan.sale
        await settled(lambda: change_sale(room, sale, by=by, generation=generation, phase=phase))
    if plan.fields:
        fields, generation = {**plan.state.fields, **plan.fields}, plan.state.generation
        phase_now = plan.state.sale.phase(plan.found.now_ms)
        invited = write_limits(limits_of_invited(fields, read_limits(fields), phase_now))
        await settled(lambda: room.configure(plan.fields, by=by, generation=generation, invited=invited))


async def settled(change: Callable[[], Awaitable[Done]]) -> Done:
    """Right after a Redis was adopted a change waits for the workers that remember more, about two seconds."""
    for _ in range(SETTLE_TRIES):
        try:
            return await change()
        except Unsettled:
            await asyncio.sleep(SETTLE_S)
    return await change()


async def plan_reset(room: Room, name: str) -> Plan:
    """What a reset will do. Raises like `look`."""
    found = await look(room, name)
    said = (
        f"The line starts again from number 0: places are lost ({people(found.waiting)}), "
        "and new numbers are taken with the next page.",
        f"Whoever is inside stays inside ({people(found.inside)}).",
    )
    return Plan(said, {}, found, name)


async def reset(room: Room, plan: Plan, settings: Settings, *, by: str) -> str:
    """Start a new run of the room; its generation. Raises like `change`."""
    keep_ms = settings.turn_held + settings.claim_repeat
    generation = await settled(lambda: room.reset(plan.state, by=by, keep_ms=keep_ms))
    if (invited := plan.found.invited) is not None:
        beside = invited_of(room, settings.room)
        await settled(lambda: beside.reset(invited.state, by=by, keep_ms=keep_ms))
    return generation


def explain(error: WaitroomError, *, redis: str) -> str:
    """Why it could not be done, for people. `redis` is an address that may be shown."""
    match error:
        case StoreUnavailable():
            return f"The Redis at {redis} cannot be used: {redis_fault(error)}."
        case AdoptNeeded() | Unsettled():
            return "Redis has just restarted and no gateway has taken it over yet. Try again in a moment."
        case GenerationGone():
            return "The room was reset meanwhile; nothing was changed. Look at `waitroom status`, and try again."
        case _:
            return str(error)
