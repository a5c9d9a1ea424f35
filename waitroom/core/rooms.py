"""Which room's line stands before a request target, where a gateway has several rooms.

    a reading      belongs to the room with the most specific guard that matches it, or to none
    most specific  the longest text before the first `*`; then a pattern without one; then the longest text in all;
                   then the room named first
    a room         stands before a target if any reading belongs to it, unless every reading matches its bypass

A shop may read one target in several ways (waitroom.core.readings), and so its readings may belong to different rooms:
`/a/..%2fdrop` is in `/*` as it came and in `/drop*` once decoded. Nobody knows which one the shop will take, so *every*
one of these rooms stands before it: without a pass of each, nothing goes through. So no spelling is a way around a
room, neither the narrow one nor the wide one. What has more readings than are made, and `OPTIONS *`, is behind all.
The last of them is the room of the path as it was received: its shop gets the request.

For one room this is what `TargetRules` says.
"""

from collections.abc import Sequence
from typing import NamedTuple

from waitroom.core.readings import even_out
from waitroom.core.targets import FREE, Guarded, Pattern, Ruling, TargetRules, as_written, guard_patterns, matches_all


class RoomGuards(NamedTuple):
    """What a room guards and lets by, as patterns."""

    guards: Sequence[str]
    bypasses: Sequence[str]


class RoomRules(TargetRules):
    """The rules of several rooms. `Guarded.rooms` are their places in the list given, the most specific first, but for
    the room of the path as received, which comes last.
    """

    def __init__(self, rooms: Sequence[RoomGuards]) -> None:
        super().__init__((), ())
        self._ranked = [
            (pattern, at) for at, room in enumerate(rooms) for text in room.guards for pattern in guard_patterns(text)
        ]
        self._ranked.sort(key=lambda one: specificity(one[0]), reverse=True)  # stable: the room named first
        self._order = {room: rank for rank, room in enumerate(dict.fromkeys(room for _, room in self._ranked))}
        self._room_bypasses = [tuple(Pattern(as_written(text)) for text in room.bypasses) for room in rooms]
        self._everything = Guarded(tuple(self._order)) if self._order else FREE

    def home(self, target: bytes) -> int:
        """The room whose guard matches a target as it was received, whose shop it goes to if it is free; else the
        first room.
        """
        return self._owner(target.partition(b"?")[0]) or 0

    def _rule(self, path: bytes, readings: set[bytes]) -> Ruling:
        owners = {self._owner(reading) for reading in readings}
        before = [room for room in owners if room is not None and not matches_all(self._room_bypasses[room], readings)]
        last = self._owner(path)
        before.sort(key=lambda room: (room == last, self._order[room]))
        return Guarded(tuple(before)) if before else FREE

    def _owner(self, path: bytes) -> int | None:
        lowered = even_out(path).lower()
        return next((room for pattern, room in self._ranked if pattern.matches(lowered)), None)


def specificity(pattern: Pattern) -> tuple[int, bool, int]:
    """The greater, the more specific."""
    behind = pattern.last or b""
    return len(pattern.first), pattern.last is None, sum(map(len, pattern.middle)) + len(behind)
