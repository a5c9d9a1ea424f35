"""What operators should know of: counted by a worker as it happens, told to Redis every few seconds."""

import time
from collections import Counter

from waitroom.store.room import Room

TOLD_EVERY_S = 5.0


class Notices:
    """Of one worker. `findings` are sentences; `shadowed` is who would have waited (`core.shadow`)."""

    def __init__(self, room: Room) -> None:
        self.findings: Counter[str] = Counter()
        self.shadowed: Counter[str] = Counter()
        self._room = room
        self._told_at = 0.0

    async def tell(self) -> None:
        """Every five seconds, if there is anything. What Redis did not take is told the next time."""
        now = time.monotonic()
        if not (self.findings or self.shadowed) or now - self._told_at < TOLD_EVERY_S:
            return
        self._told_at = now
        for told, key in ((self.findings, self._room.keys.findings), (self.shadowed, self._room.keys.shadow)):
            if told:
                counts = dict(told)
                await self._room.note(counts, key=key)
                told.subtract(counts)
                for what in [what for what, times in told.items() if not times]:
                    del told[what]
