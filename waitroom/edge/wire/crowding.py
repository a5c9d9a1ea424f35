"""Room for new connections when a worker holds as many as it may: idle ones go first.

Without this whoever opens connections and says nothing takes the last file of the process, and then nobody is let in.
"""

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from waitroom.edge.wire.connection import EdgeProtocol

PART = 16
"""So large a part of all connections is closed at a time, so that the search for them is seldom."""

log = structlog.get_logger()


def make_room(connections: "set[EdgeProtocol]", newest: "EdgeProtocol", most: int) -> None:
    """Close the longest idle, those first that never brought a request; where none is idle, the newest."""
    idle = [each for each in connections if each.running is None and each is not newest and not each.discarding]
    idle.sort(key=lambda each: (each.latest is not None, each.deadline or 0.0))
    victims = idle[: max(1, most // PART)] or [newest]
    for each in victims:
        each.discarding = True
        connections.discard(each)  # it counts no more, though its end is only told in the loop's next turn
        each.transport.close()
    log.warning("connections_ended", count=len(victims))
