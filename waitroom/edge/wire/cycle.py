"""ASGI's receive and send for one request: its body as it arrives, and its answer as messages."""

from typing import Final

import structlog
from starlette.types import ASGIApp, Message, Scope

from waitroom.edge.wire.exchange import Exchange

log = structlog.get_logger()

HIGH_WATER_BYTES: Final = 65_536


class Cycle(Exchange):
    """An exchange that an ASGI app may carry out."""

    __slots__ = ()

    def answer_at_once(self) -> bool:
        """Whether this was a poll, whose answer is sent: the request is over without an app, a scope or a task."""
        protocol = self.protocol
        poll = protocol.edge.poll
        if poll is None or self.method != "GET" or protocol.lost or protocol.flow.write_paused:
            return False
        client = protocol.client
        try:
            answer = poll(self.target, self.headers, protocol.scheme or "", client[0] if client else "")
        except Exception:
            log.exception("request_failed", method=self.method)
            return False
        if answer is None:
            return False
        lines, body = answer
        self.answer_ready(200, lines, body)
        return True

    def open(self) -> Scope:
        """The scope for the app, which is to be called now."""
        scope = self.protocol.scope_of(self.method, self.http_version, self.target, self.headers)
        scope["extensions"] = {"waitroom": self}
        return scope

    async def call(self, app: ASGIApp) -> None:
        """In a task, where the app may not return `DONE`."""
        self.in_task = True
        await app(self.open(), self.receive, self.send)

    def take(self, body: bytes) -> None:
        if self.chunks is None:
            self.chunks = [body]
        else:
            self.chunks.append(body)
        self.buffered_bytes += len(body)
        self.wake()

    async def receive(self) -> Message:
        if self.expects_continue:
            self.expects_continue = False
            if not self.disconnected and self.more_body:
                self.protocol.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self.disconnected and not self.response_complete:
            self.protocol.flow.resume_reading()
            while not self.news:
                self.waiter = self.protocol.loop.create_future()
                try:
                    await self.waiter
                finally:
                    self.waiter = None
            self.news = False
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        chunks = self.chunks
        if chunks is None:
            return {"type": "http.request", "body": b"", "more_body": self.more_body}
        self.chunks = None
        self.buffered_bytes = 0
        return {"type": "http.request", "body": b"".join(chunks), "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        flow = self.protocol.flow
        if flow.write_paused and not self.disconnected:
            await flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            if message["type"] != "http.response.start":
                raise RuntimeError(f"expected http.response.start, got {message['type']}")
            self.start(message["status"], message.get("headers", ()))
        elif not self.response_complete:
            if message["type"] != "http.response.body":
                raise RuntimeError(f"expected http.response.body, got {message['type']}")
            more = message.get("more_body", False)
            self.write(message.get("body", b""), more=more)
            if more and flow.write_paused:
                await flow.drain()  # here, and not with the next piece in hand
        else:
            raise RuntimeError(f"got {message['type']} after the answer was whole")
