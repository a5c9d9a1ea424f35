"""The line of people with an invite: the second line of a room, which goes by the limits and the phases of the first.

Its state, numbers, front, meter and door are its own; seats and ended passes are the room's. Numbers come from redeemed
invites alone (`store/lua/redeem.lua`). Its loop goes in step with the first one's.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace

import structlog

from waitroom.core.invites import limits_of_invited
from waitroom.core.model import write_limits
from waitroom.core.settings import Settings
from waitroom.store.environment import Environment
from waitroom.store.line import Line
from waitroom.store.room import Room

FRESH_US = 10e6
LONGEST_PAUSE_S = 2.0

log = structlog.get_logger()


class OfTheFirst(Environment):
    """The environment's limits are the first line's matter."""

    _line: "InvitedLine"

    def first_fields(self) -> dict[str, str]:
        """On hold until the first line is known: an operator may have changed its limits. Beside one that was there
        before it, without credit: what the room may admit at once may have come in by that one a moment ago.
        """
        limits, first = replace(self._line.limits, hold=True), self._line.first.snapshot
        if first is None or first.now_us < FRESH_US:
            return write_limits(limits)
        return {**write_limits(limits), "next_at": f"{1e6 + limits.burst * limits.spacing_us:.3f}"}

    async def apply(self) -> None:
        """Nothing: `_follow`."""


class InvitedLine(Line):
    """As one worker sees it."""

    def __init__(
        self,
        settings: Settings,
        room: Room,
        first: Line,
        *,
        key_ids: Sequence[str] = (),
        fresh_store: bool = False,
    ) -> None:
        """`settings` are the room's. Without a sale: this line is moved by the first one's phases."""
        alone = settings.model_copy(update={"opens_at": None, "closes_at": None})
        super().__init__(alone, room, key_ids=key_ids, fresh_store=fresh_store)
        self.first = first
        self.environment = OfTheFirst(self)
        first.room.keep_step(room)

    async def _pause(self, spent_s: float) -> None:
        """In step with the first line, so that what both ask of Redis is one call."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_PAUSE_S):
                await self.first.begins.wait()

    async def _sync(self, *, last: bool = False) -> None:
        if not last:
            await self._follow()
        await super()._sync(last=last)

    async def _follow(self) -> None:
        """Go by the first line, where the clock changed it, or a Redis that was lost; commands change both at once.
        What was seen of it with this one, or after, is never an older word than what this one goes by.
        """
        first, mine = self.first.snapshot, self.snapshot
        if first is None or mine is None or first.now_ms < mine.now_ms or mine.is_unsettled:
            return
        wanted = limits_of_invited(first.state.fields, first.state.limits, self.first.phase())
        if (wanted, first.state.message) != (mine.state.limits, mine.state.message):
            await self.room.configure({**write_limits(wanted), "message": first.state.message}, by="the first line")
            log.info("limits_changed", room=self.settings.room, by="the first line")
