"""The body of an order: read whole before the shop hears of it, within limits of size, time and memory."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from starlette.types import Message, Receive

from waitroom.core.errors import OriginFailure
from waitroom.edge.shop.origin_limits import Limits

HELD_BYTES: Final = 64 * 1024 * 1024
"""Bodies held at once, per worker; beyond that orders are sent on like those that are too large."""
HELD_OF_ONE: Final = 4
"""Of these so many of the longest for one visitor: nobody takes the others' protection by sending slowly."""


class Upload(NamedTuple):
    """A request's body as far as it was read: `is_whole`, or more is to come from the client."""

    parts: list[bytes]
    is_whole: bool

    def again(self, receive: Receive) -> Receive:
        """ASGI's receive, as if nothing had been read yet."""
        parts: list[bytes] | None = self.parts

        async def read() -> Message:
            nonlocal parts
            if parts is None:
                return await receive()
            body, parts = b"".join(parts), None
            return {"type": "http.request", "body": body, "more_body": not self.is_whole}

        return read


async def read_body(receive: Receive, limit_bytes: int, pace: Limits) -> Upload | None:
    """The body, whole or the beginning of it that exceeds the limit; None if the client left meanwhile. Raises
    OriginFailure for one slower than `upload_bytes` in `upload_s`, as everywhere.
    """
    parts: list[bytes] = []
    size = fresh = 0
    try:
        async with asyncio.timeout(pace.upload_s) as clock:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                more = message.get("more_body", False)
                if not more or size > limit_bytes:
                    return Upload(parts, not more and size <= limit_bytes)
                fresh += len(parts[-1])
                if fresh >= pace.upload_bytes:  # a byte now and then is no progress
                    fresh = 0
                    clock.reschedule(asyncio.get_running_loop().time() + pace.upload_s)
    except TimeoutError:
        raise OriginFailure("upload", "no more of the request's body") from None


class HeldBodies:
    """How many bytes of orders a worker holds, so that it stays within what it has for them."""

    def __init__(self, longest_bytes: int) -> None:
        """`longest_bytes` is that of one order."""
        self._longest_bytes = longest_bytes
        self._held_bytes = 0
        self._held_of: Counter[str] = Counter()

    def has_room(self, visitor: str, size: int) -> bool:
        """For `size` bytes more of this visitor's."""
        of_visitor = self._held_of[visitor] + size
        return self._held_bytes + size <= HELD_BYTES and of_visitor <= HELD_OF_ONE * self._longest_bytes

    @contextmanager
    def holding(self, visitor: str, size: int) -> Iterator[None]:
        """Counts them as held for a while."""
        self._held_bytes += size
        self._held_of[visitor] += size
        try:
            yield
        finally:
            self._held_bytes -= size
            self._held_of[visitor] -= size
            if not self._held_of[visitor]:
                del self._held_of[visitor]
