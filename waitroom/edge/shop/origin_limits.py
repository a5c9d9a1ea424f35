"""What a worker's connections to the shop may take: time, room, memory."""

from typing import NamedTuple

from waitroom.core.settings import Settings
from waitroom.edge.visitor import RENEW_PART


class Limits(NamedTuple):
    """What is waited for, and how much is held.

    `keep_s`: Node, Apache and uvicorn close an idle connection after 5 s. A second less, so that a
    request seldom meets the closing; a shop that announces a shorter time (`Keep-Alive: timeout=`) is heeded.
    `fresh_s`: only a connection used this recently may carry what must not be sent twice.
    `connections`: per worker, open and opening. `waiting`: requests that wait for one.
    `upload_s`: so long a client may take for `upload_bytes` of a body, or for the rest of it.
    `crowded_s`: while requests wait for a connection, clients that have kept one waiting this long make room.
    `seen_s`: so often the visitors of exchanges under way, and of tunnels, count as seen.
    """

    connect_s: float = 5.0
    first_byte_s: float = 60.0
    idle_s: float = 60.0
    upload_s: float = 60.0
    upload_bytes: int = 16_384
    client_s: float = 60.0
    wait_s: float = 5.0
    crowded_s: float = 1.0
    keep_s: float = 4.0
    fresh_s: float = 1.0
    go_ahead_s: float = 1.0
    connections: int = 1000
    waiting: int = 1000
    buffer_bytes: int = 131_072
    sweep_s: float = 1.0
    seen_s: float = 60.0


def limits_of(settings: Settings) -> Limits:
    """The limits that an operator can set, and the others' defaults."""
    timeout_s = settings.origin_timeout / 1000
    return Limits(
        first_byte_s=timeout_s,
        idle_s=timeout_s,
        connections=settings.origin_connections,
        seen_s=settings.session_idle / 1000 / RENEW_PART,
    )
