"""What an app sees of a request beside its scope: ``scope["extensions"]["waitroom"]``.

By it an app may answer without a task, hear of a lost client, take the connection over, or break it.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, Final

from waitroom.edge.wire.hijack import can_hijack, hijack

if TYPE_CHECKING:
    from waitroom.core.requests import Header
    from waitroom.edge.wire.connection import EdgeProtocol

NO_LINGER: Final = struct.pack("ii", 1, 0)


class Done:
    """Awaited at once. An app that returns it from its call has answered, or will by a callback: it needs no task."""

    def __await__(self) -> Generator[Any, Any, None]:
        return
        yield


DONE: Final = Done()


class Exchange:
    """What a request has beside its ASGI scope.

    `target` is the request target exactly as received: absolute form, an empty query, a fragment and all. `in_task` is
    false as long as the app may return `DONE`.
    """

    __slots__ = ("_callbacks", "_protocol", "http_version", "in_task", "target", "upgrade")

    def __init__(self, protocol: "EdgeProtocol", target: bytes, http_version: str, *, upgrade: bool = False) -> None:
        self._protocol = protocol
        self._callbacks: list[Callable[[], None]] | None = None
        self.target = target
        self.http_version = http_version
        self.upgrade = upgrade
        self.in_task = False

    @property
    def peer_lost(self) -> bool:
        """The client's connection is gone, also where data stands behind this request."""
        return self._protocol.lost

    @property
    def is_body_coming(self) -> bool:
        """The client is sending a body, not all of which is here. Not where it first asks to be told to."""
        running = self._protocol.running
        return running is not None and running.exchange is self and running.more_body and not running.expects_continue

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, from the loop, when the client's connection is lost before the answer is whole.

        Called at once (by the loop) if it is lost already. After `hijack` the new protocol is told instead.
        """
        if self._protocol.lost:
            self._protocol.loop.call_soon(callback)
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)

    @property
    def can_answer(self) -> bool:
        """`answer` may be called: outside of a task, before anything else was answered, with a client that reads."""
        protocol = self._protocol
        running = protocol.running
        return (
            not self.in_task
            and running is not None
            and running.exchange is self
            and not (running.response_started or protocol.lost or protocol.flow.write_paused)
        )

    def answer(self, status: int, headers: Sequence["Header"], body: bytes) -> None:
        """The whole answer, without waiting."""
        cycle = self._protocol.running
        assert cycle is not None
        cycle.start(status, headers)
        cycle.write(body, more=False)

    def answer_ready(self, status: int, lines: bytes, body: bytes, rest: bytes = b"") -> None:
        """`answer`, whose header is ready but for the framing (`Cycle.answer`). For HEAD the body is left out here."""
        cycle = self._protocol.running
        assert cycle is not None
        cycle.answer(status, lines, body, rest)

    def attempt(self, step: Callable[..., Awaitable[None]], *given: object) -> None:
        """Go on with a request for which `DONE` was returned; what `step` leaves to be awaited becomes a task."""
        cycle = self._protocol.running
        if cycle is None or cycle.exchange is not self:
            raise RuntimeError("this request is not under way")
        cycle.attempt(step, *given)

    @property
    def can_hijack(self) -> bool:
        """This request asked for an upgrade, has no body, and nothing was answered yet."""
        return self.upgrade and can_hijack(self._protocol, self)

    def hijack(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        """Give the client's connection to `protocol` (RFC 9110 §7.8); the caller writes the 101 head itself.

        `protocol` gets `connection_made`, then at once the bytes that already came behind the request. The app
        stays in its call while the tunnel lives, so that a stopping server waits for it. RuntimeError if
        `can_hijack` is false.
        """
        return hijack(self._protocol, self, protocol)

    def abort(self) -> None:
        """Break the connection now: the only honest error after the first byte of an answer."""
        self._protocol.break_off()

    def tell_lost(self) -> None:
        for callback in self._callbacks or ():
            self._protocol.loop.call_soon(callback)
        self._callbacks = None


def reset_on_close(transport: asyncio.Transport) -> None:
    """Make the close a reset: where an answer ends by close, an orderly one would say that it is whole."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
