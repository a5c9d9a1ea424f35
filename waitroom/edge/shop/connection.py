"""One connection to the shop. It carries one exchange at a time, and is kept only if the answer ended where it should,
the request was sent whole, and not one byte came that belongs to no answer.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from waitroom.edge.shop.answer import Answer
from waitroom.edge.shop.framing import CLIENT

if TYPE_CHECKING:
    from waitroom.edge.shop.origin import OriginPool

Seen = Callable[[], bool]
"""Counts a visitor as seen; False once the pass has ended for good."""


class Connection(asyncio.Protocol):
    """One connection to the shop."""

    __slots__ = (
        "_pool",
        "_reading",
        "_writable",
        "answer",
        "counted",
        "idle_since",
        "keep_s",
        "lost",
        "sending",
        "transport",
        "used",
    )

    def __init__(self, pool: "OriginPool") -> None:
        self._pool = pool
        self.transport: asyncio.Transport
        self._reading = True
        self._writable: asyncio.Future[None] | None = None
        self.answer: Answer | None = None
        self.sending = False  # the request's body is not sent whole yet
        self.lost = False  # the shop closed it
        self.counted = False  # it takes up room of the pool
        self.used = False  # it carried an exchange before
        self.idle_since = 0.0
        self.keep_s = pool.limits.keep_s

    # What the proxy does with it.

    def ask(self, answer: Answer, head: bytes, *, whole: bool, seen: Seen | None = None) -> None:
        """Send a request's head; `whole` if it has no body. The answer arrives in `answer`.

        `seen` is called from time to time until the proxy leaves the answer.
        """
        self._pool.under_way[answer] = seen
        if self.lost:
            answer.finish(None)
            return
        self.answer = answer
        self.sending = not whole
        self.transport.write(head)

    def send_body(self, data: bytes, *, last: bool) -> asyncio.Future[None] | None:
        """Send a piece of the request's body. Wait for what is returned before sending the next."""
        if data:
            self.transport.write(data)
        if last:
            self.sending = False
        return self._writable

    def resume(self) -> None:
        """The client took what there was."""
        if not self._reading:
            self._reading = True
            self.transport.resume_reading()

    def leave(self, answer: Answer) -> None:
        """The proxy is done with this answer; cut the exchange if it is not over."""
        self._pool.under_way.pop(answer, None)
        answer.let_go()
        if self.answer is answer:
            self.answer = None
            self.discard()

    def hand_over(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        """After an upgrade the socket is `protocol`'s, and takes up no room of the pool any more."""
        answer, self.answer = self.answer, None
        if answer is not None:
            self._pool.under_way.pop(answer, None)
        self.resume()
        self._pool.forget(self)
        self._pool.gone(self)
        self.transport.set_protocol(protocol)
        return self.transport

    def discard(self) -> None:
        """Close at once."""
        self._pool.forget(self)
        self.transport.abort()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # No isinstance: uvloop's transports are none of the base class.
        self.transport = cast(asyncio.Transport, transport)
        self._pool.remember(self)

    def data_received(self, data: bytes) -> None:
        answer = self.answer
        if answer is None:
            self.discard()  # bytes outside an exchange: nothing on this connection can be trusted
            return
        listener, answer.listener = answer.listener, None  # told from here, when the connection is done with the answer
        answer.feed(data)
        if answer.over:
            self._release(answer)
        elif self._reading and (answer.phase is CLIENT or answer.buffered > self._pool.limits.buffer_bytes):
            # While the client takes nothing one read is enough: a thousand slow readers share this memory.
            self._reading = False
            self.transport.pause_reading()
        if listener is not None:
            if answer.headed or answer.over:
                listener()
            else:
                answer.listener = listener

    def eof_received(self) -> None:
        self._closed_by_shop(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed_by_shop(exc)
        self.resume_writing()
        self._pool.gone(self)

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = self._pool.loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None:
            self._writable.set_result(None)
            self._writable = None

    def _closed_by_shop(self, error: Exception | None) -> None:
        self.lost = True
        answer, self.answer = self.answer, None
        if answer is not None:
            answer.finish(error)
        self.discard()

    def _release(self, answer: Answer) -> None:
        """The answer is over: keep the connection if nothing speaks against it."""
        self.answer = None
        if answer.keep_s is not None:
            self.keep_s = min(self._pool.limits.keep_s, answer.keep_s - 1.0)
        fit = answer.done and answer.keep_alive and not answer.stray and not self.sending
        if fit and self.keep_s > 0:
            self.resume()
            self._pool.give_back(self)
        else:
            self.discard()
