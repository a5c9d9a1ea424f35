"""Two sockets joined after an upgrade: a WebSocket, or whatever else client and shop agreed on (RFC 9110 §7.8).

Nothing is decoded. A side that is slow slows the other down: of what cannot be written yet, no more than one read
above the high-water mark is held for each direction. A side that ends its sending ends it on the other; one that
breaks breaks the other. Refused are protocols that carry HTTP themselves: requests inside them would pass the gate
unseen, with fields that only we may set.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from waitroom.core.errors import OriginFailure
from waitroom.core.requests import Header, tokens_of
from waitroom.edge.wire.exchange import reset_on_close

PROTOCOL = re.compile(rb"(?!http|h2|h3|spdy|tls)[!#$%&'*+.^_`|~0-9a-z-]+(?:/[!#$%&'*+.^_`|~0-9a-z-]+)?")
"""One that is carried (RFC 9110 §7.8), in lower case. Not `h2c-14` either, nor what a shop may strip to `h2c`."""
HIGH_WATER_BYTES = 65_536
CLOSE_S = 5.0  # what one side is owed may take this long to be sent after the other has closed
TUNNELS = 10_000  # of one worker


def protocols_asked(headers: Sequence[Header]) -> bytes:
    """The Upgrade field's value as it came, several joined; empty where one of its protocols is not carried."""
    asked = upgrade_of(headers)
    return asked if all(map(PROTOCOL.fullmatch, tokens_of(asked))) else b""


def protocols_agreed(asked: bytes, headers: Sequence[Header]) -> bytes:
    """The Upgrade field of a 101; raises OriginFailure where it names none, or one that was not asked for."""
    agreed = upgrade_of(headers)
    if not asked or not agreed or not tokens_of(agreed) <= tokens_of(asked):
        raise OriginFailure("garbage", "switched to a protocol that was not asked for", sent=True)
    return agreed


def upgrade_of(headers: Sequence[Header]) -> bytes:
    return b", ".join(value for name, value in headers if name == b"upgrade")


class Upgradable(Protocol):
    """What we need of the client's end of an exchange."""

    @property
    def can_hijack(self) -> bool: ...
    def hijack(self, protocol: asyncio.Protocol) -> asyncio.Transport: ...
    def abort(self) -> None: ...


class ShopSide(Protocol):
    """What we need of a connection to the shop."""

    transport: asyncio.Transport
    lost: bool

    def hand_over(self, protocol: asyncio.Protocol) -> asyncio.Transport: ...


class Tunnels:
    """The tunnels of one worker, and their limits."""

    def __init__(self, *, idle_s: float, seen_every_s: float) -> None:
        self.idle_s = idle_s
        self.seen_every_s = seen_every_s
        self.count = 0

    def refuse_if_full(self) -> None:
        if self.count >= TUNNELS:
            raise OriginFailure("busy", "too many tunnels")

    async def join(self, exchange: Upgradable, shop: ShopSide, first: bytes, seen: Callable[[], bool] | None) -> None:
        """Give the client the answer's head and what came behind it (`first`), join both sockets, wait for the end.

        `seen` is called every `seen_every_s` while the tunnel is open; False ends it.
        """
        if not exchange.can_hijack:
            exchange.abort()  # more came from the client than is held
            return
        tunnel = Tunnel(self, seen)
        self.count += 1
        try:
            tunnel.open(exchange, shop, first)
            await tunnel.gone
        finally:
            self.count -= 1
            tunnel.break_off()


class End(asyncio.Protocol):
    """One socket of a tunnel."""

    __slots__ = ("ended", "other", "transport", "tunnel")

    def __init__(self, tunnel: "Tunnel") -> None:
        self.tunnel = tunnel
        self.other: End
        self.transport: asyncio.Transport
        self.ended = False  # nothing more will come from here

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none of the base class

    def data_received(self, data: bytes) -> None:
        self.tunnel.moved_at = self.tunnel.loop.time()
        if not self.other.transport.is_closing():
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other.is_reading:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self.tunnel.moved_at = self.tunnel.loop.time()
        if self.other.is_reading:
            self.other.transport.resume_reading()

    @property
    def is_reading(self) -> bool:
        """More may come from here."""
        return not self.ended and not self.transport.is_closing()

    def eof_received(self) -> bool:
        self.ended = True
        other = self.other.transport
        is_half = not self.other.ended and not other.is_closing() and other.can_write_eof()
        if not is_half or not self.transport.can_write_eof():
            self.tunnel.close()  # TLS knows no half-closed connection
            return False
        other.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.tunnel.lose(self, exc)


class Tunnel:
    """One tunnel: its two ends, and its time."""

    def __init__(self, tunnels: Tunnels, seen: Callable[[], bool] | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.client, self.shop = End(self), End(self)
        self.client.other, self.shop.other = self.shop, self.client
        self.gone: asyncio.Future[None] = self.loop.create_future()
        self.moved_at = self.seen_at = self.loop.time()
        self._limits = tunnels
        self._seen = seen
        self._left = 2
        self._is_closing = False
        self._timer: asyncio.TimerHandle | None = None

    def open(self, exchange: Upgradable, shop: ShopSide, first: bytes) -> None:
        if shop.lost:  # it switched, said something and closed
            self.shop.transport = shop.transport
        else:
            self.shop.transport = shop.hand_over(self.shop)
        exchange.hijack(self.client).write(first)
        for end in (self.client, self.shop):
            if not end.transport.is_closing():
                end.transport.set_write_buffer_limits(HIGH_WATER_BYTES)
        self._tick()
        if shop.lost:
            self.lose(self.shop, None)

    def close(self) -> None:
        """Close both sides, after what they are owed."""
        self._is_closing = True
        for end in (self.client, self.shop):
            end.transport.close()
        self._wait(CLOSE_S)

    def break_off(self) -> None:
        """End at once."""
        if self._timer is not None:
            self._timer.cancel()
        for end in (self.client, self.shop):
            end.transport.abort()

    def lose(self, end: End, error: Exception | None) -> None:
        """One side is gone."""
        self._left -= 1
        if self._left == 0:
            if not self.gone.done():
                self.gone.set_result(None)
        elif error is not None:
            reset_on_close(end.other.transport)
            self.break_off()
        else:
            self.close()

    def _tick(self) -> None:
        """Time has passed: is the tunnel still wanted, and may it still be open?"""
        now, limits = self.loop.time(), self._limits
        if self._is_closing or now - self.moved_at >= limits.idle_s:
            self.break_off()
            return
        if self._seen is not None and now - self.seen_at >= limits.seen_every_s:
            self.seen_at = now
            if not self._seen():
                self.close()
                return
        next_at = self.moved_at + limits.idle_s
        self._wait((next_at if self._seen is None else min(next_at, self.seen_at + limits.seen_every_s)) - now)

    def _wait(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self._tick)
