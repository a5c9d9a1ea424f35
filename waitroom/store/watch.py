"""The room as last seen, for whoever looks often: one read at a time, and not more often than asked for."""

import asyncio
import time

from waitroom.core.errors import StoreUnavailable
from waitroom.store.overview import Overview, overview
from waitroom.store.room import Room

KEPT_S = 10.0


class Watch:
    """Of one room; `name` as in `overview`."""

    def __init__(self, room: Room, name: str = "") -> None:
        self._room, self._name = room, name
        self._found: Overview | None = None
        self._found_at = self._asked_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def recent(self, *, max_age_s: float, wait_s: float) -> Overview | None:
        """The room as it was at most `max_age_s` ago; while Redis takes longer than `wait_s`, as it was last seen, up
        to ten seconds ago. None if nothing is known. However many ask, Redis is asked once in `max_age_s`.
        """
        now = time.monotonic()
        if self._reading is None and now - self._asked_at >= max_age_s:
            self._asked_at = now
            self._reading = asyncio.create_task(self._read())
        if self._reading is not None:
            await asyncio.wait((self._reading,), timeout=wait_s)
        return self._found if time.monotonic() - self._found_at < KEPT_S else None

    async def _read(self) -> None:
        try:
            self._found = await overview(self._room, self._name)
            self._found_at = time.monotonic()
        except StoreUnavailable:
            pass
        finally:
            self._reading = None
