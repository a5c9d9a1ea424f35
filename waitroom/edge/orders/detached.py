"""An exchange with the shop that goes on although the client leaves, and the answer that is collected meanwhile.

An answer of up to `KEPT_BYTES` is held whole, so that whoever sent the same request again can have it, too. A larger
one is passed on as it comes, but for its last piece, which waits until it is noted what the answer says; a client that
takes too long over a piece is let go, and the rest is read without it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from starlette.types import Message, Receive, Scope

from waitroom.core.requests import Header
from waitroom.edge.answers import Answer
from waitroom.edge.request import Request
from waitroom.edge.wire.exchange import Exchange

KEPT_BYTES: Final = 65_536
CLIENT_S: Final = 10.0


class Detached:
    """The client's end, to whom forwards the request: one that never leaves. What breaks the answer off breaks the
    connection of the real one, if it has got some of it.
    """

    upgrade = in_task = can_answer = can_hijack = peer_lost = False

    def __init__(self, exchange: Exchange, collected: "Collected") -> None:
        self.target = exchange.target
        self.http_version = exchange.http_version
        self._collected = collected
        self.in_task = True

    def on_lost(self, callback: Callable[[], None]) -> None: ...

    def abort(self) -> None:
        self._collected.give_up()

    def answer(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        raise RuntimeError("a detached exchange is answered by messages")

    answer_sized = answer

    def attempt(self, step: Callable[[], Awaitable[None]]) -> None:
        raise RuntimeError("a detached exchange is within a task")

    def hijack(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        raise RuntimeError("a detached exchange has no connection")


class Collected:
    """Takes the answer to `request`."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._parts: list[bytes] = []
        self._size = 0
        self._last: Message | None = None
        self.is_passed_on = False
        self.is_given_up = False
        self.status = 0
        self.headers: list[Header] = []

    def request(self, receive: Receive) -> Request:
        """The request, to be forwarded for nobody in particular. `receive` brings its body."""
        old = self._request
        scope: Scope = {**old.scope, "extensions": {"waitroom": Detached(old.exchange, self)}}
        return Request(scope, receive, self.send, old.client)

    @property
    def body(self) -> bytes | None:
        """The whole body; None where it was too long to be held."""
        return None if self.is_passed_on else b"".join(self._parts)

    @property
    def answer(self) -> Answer | None:
        """The whole answer, to be given to everybody who asks; None where it was too long."""
        return None if self.body is None else Answer(self.status, self.headers, self.body)

    async def send(self, message: Message) -> None:
        """ASGI's send."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
            return
        if self.is_passed_on:
            await self._pass_on(message)
            return
        self._parts.append(message.get("body", b""))
        self._size += len(self._parts[-1])
        if self._size > KEPT_BYTES:
            self.is_passed_on = True
            held, self._parts = b"".join(self._parts), []
            await self._to_client({"type": "http.response.start", "status": self.status, "headers": self.headers})
            await self._pass_on({**message, "body": held})

    async def finish(self) -> None:
        """Let the last piece of an answer go that was passed on."""
        if self._last is not None:
            await self._to_client(self._last)

    def give_up(self) -> None:
        """The client gets nothing more."""
        if not self.is_given_up:
            self.is_given_up = True
            if self.is_passed_on:
                self._request.exchange.abort()

    async def _pass_on(self, message: Message) -> None:
        if message.get("more_body", False):
            await self._to_client(message)
        else:
            self._last = message

    async def _to_client(self, message: Message) -> None:
        if self.is_given_up:
            return
        try:
            async with asyncio.timeout(CLIENT_S):
                await self._request.send(message)
        except TimeoutError:
            self.give_up()
