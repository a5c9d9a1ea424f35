"""The limits that a worker's environment sets: those of a room that is made now, and put in force at its start.

A live change outlives a restart: an environment counts once, until it is another one.
"""

from typing import Protocol

import structlog

from waitroom.core.invites import SPLIT, fields_of, invited_part, limits_of_invited
from waitroom.core.meter import Limits
from waitroom.core.model import read_limits, write_limits
from waitroom.core.sale.schedule import Phase
from waitroom.core.settings import Settings
from waitroom.store.sale import SaleView, Selling

log = structlog.get_logger()


def limits_of(settings: Settings) -> Limits:
    """The limits as the environment sets them."""
    rate = settings.rate
    return Limits(rate.per_s, settings.burst_now, settings.max_active, rate.unlimited, rate.hold)


class View(SaleView, Protocol):
    """What needs to be known of the line."""

    @property
    def selling(self) -> Selling: ...
    def phase(self) -> Phase | None: ...


class Environment:
    """Of one worker. `apply` with each round of its loop."""

    def __init__(self, line: View) -> None:
        self._line = line
        self._is_applied = False
        self._hole: tuple[int, int] | None = None

    def first_fields(self) -> dict[str, str]:
        """The limits and the sale of a room that is made now."""
        return {**self._limits(), **self._line.selling.first_fields()}

    async def apply(self) -> None:
        """At a worker's start: what the environment sets, if it is not what was last put in force from there.

        Once more if Redis was lost right after that: who adopted it may not know of it. Raises what `configure` may.
        """
        line, snapshot = self._line, self._line.snapshot
        if self._is_applied or snapshot is None:
            return
        if snapshot.state.hole == self._hole:
            self._is_applied = True
            return
        if snapshot.is_unsettled or not await line.selling.apply_environment(snapshot):
            return
        fields = self._limits()
        if snapshot.state.fields.get(SPLIT):
            fields = {SPLIT: "", **fields}
        invited = write_limits(limits_of_invited(fields, read_limits(fields), line.phase()))
        digest = ",".join(fields.values())
        change = await line.room.configure(fields, by="environment", digest=digest, invited=invited)
        self._hole = snapshot.state.hole
        if change.applied and change.before != change.after:
            log.info("limits_changed", room=line.settings.room, by="environment")

    def _limits(self) -> dict[str, str]:
        settings = self._line.settings
        return fields_of(limits_of(settings), invited_part(settings))
