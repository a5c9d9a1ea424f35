"""Presence as a worker has it, for tests of what is made of it."""

from collections.abc import Sequence

from waitroom.core.presence import Beats, Presence


def presence_of(seen: set[int], assumed: Sequence[tuple[int, int]] = ()) -> Presence:
    """The way the bits really go: noted, taken, merged in Redis as bytes, read back. `assumed` are ranges of places."""
    beats = Beats()
    for place in seen:
        beats.note(place)
    presence = Presence()
    for chunk, start, body in beats.take(beats.chunks()):
        presence.update(chunk, b"\0" * start + body)
    presence.assume(assumed)
    return presence
