"""Which other origins may read our JSON, and what tells their browsers so (Fetch standard, CORS protocol)."""

from collections.abc import Iterable

from waitroom.core.requests import Header

ORIGIN_VARIES: Header = (b"vary", b"origin")


class Cors:
    """The shop's own origins, as `WAITROOM_CORS_ORIGINS` names them. False where there are none."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)

    def __bool__(self) -> bool:
        return bool(self._origins)

    def __contains__(self, origin: object) -> bool:
        return origin in self._origins

    def fields(self, origin: bytes | None) -> list[Header]:
        """What lets `origin` read an answer, cookies and all; nothing for anybody else."""
        if origin not in self._origins or origin is None:
            return []
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-expose-headers", b"retry-after, waitroom-ticket, waitroom-pass"),
        ]
