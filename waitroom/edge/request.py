"""One request on its way through the gate: what came, who sent it, and how to answer it whole."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from secrets import token_hex
from typing import Final

from starlette.types import Receive, Scope, Send

from waitroom.core.requests import Fields, Header, Kind, fields_of
from waitroom.edge.answers import Answer, Asked, Head, asked_by, lines_of
from waitroom.edge.clients import Client
from waitroom.edge.wire.exchange import DONE, Exchange

REFUSED_BODY_S: Final = 0.25
REFUSED_BODY_BYTES: Final = 65_536
"""So long, and for so much, a refusal waits for a body that is on its way."""


class Request:
    """One request on its way through the gate."""

    __slots__ = ("_fields", "client", "exchange", "kind", "receive", "scope", "send")

    def __init__(self, scope: Scope, receive: Receive, send: Send, client: Client) -> None:
        self.scope, self.receive, self.send, self.client = scope, receive, send, client
        self.exchange: Exchange = scope["extensions"]["waitroom"]
        self.kind: Kind | None = None
        self._fields: Fields | None = None

    @property
    def fields(self) -> Fields:
        """The header's fields by name: one look at each for everything that judges by them."""
        fields = self._fields
        if fields is None:
            self._fields = fields = fields_of(self.scope["headers"])
        return fields

    @property
    def secure(self) -> bool:
        return self.client.scheme == "https"

    @property
    def path(self) -> str:
        """The path and query as asked for, in origin form; for links and redirects on our own pages."""
        target = self.exchange.target
        return target.decode("latin-1") if target.startswith(b"/") and not target.startswith(b"//") else "/"

    def asked(self) -> Asked:
        return asked_by(self.scope["method"], self.fields, request_id=token_hex(6))

    def answer(self, answer: Answer, *more: Header) -> Awaitable[None]:
        """The whole answer: given at once where nothing stands in its way, else when it is awaited."""
        body = b"" if self.scope["method"] == "HEAD" else answer.body
        headers = [*answer.headers, *more]
        if self.exchange.can_answer:
            self.exchange.answer(answer.status, headers, body)
            return DONE
        return self._send(answer.status, headers, body)

    def refuse(self, answer: Answer) -> Awaitable[None]:
        """`answer` to what is not sent on. Behind a small body that is on its way: some proxies in front (those on Go's
        HTTP client) break an answer off that overtakes the body they send, and the connection can be kept.
        """
        return self._answer_behind_body(answer) if self.exchange.is_body_coming else self.answer(answer)

    async def _answer_behind_body(self, answer: Answer) -> None:
        left_bytes = REFUSED_BODY_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(REFUSED_BODY_S):
                while left_bytes > 0 and self.exchange.is_body_coming:
                    message = await self.receive()
                    if message["type"] == "http.disconnect":
                        return
                    left_bytes -= len(message["body"])
        await self.answer(answer)

    def answer_under(self, status: int, head: Head, parts: tuple[bytes, bytes], *more: Header) -> Awaitable[None]:
        """`answer`, of which most of the header is always the same; without its length. The body comes in two."""
        if self.exchange.can_answer:
            self.exchange.answer_ready(status, head.lines + lines_of(more) if more else head.lines, *parts)
            return DONE
        body = b"".join(parts)
        length = (b"content-length", b"%d" % len(body))
        return self.answer(Answer(status, [*head.fields, length], body), *more)

    async def _send(self, status: int, headers: list[Header], body: bytes) -> None:
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})
