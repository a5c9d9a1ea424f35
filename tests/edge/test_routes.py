"""Forms sent to our own routes: read whole and in time, or not at all."""

import asyncio

import pytest
from starlette.types import Message

from waitroom.core.errors import OriginFailure
from waitroom.core.settings import Origin, Settings
from waitroom.edge.clients import Clients
from waitroom.edge.request import Request
from waitroom.edge.routes import FORM_LIMIT_BYTES, read_form

FORM = (b"content-type", b"application/x-www-form-urlencoded")


def post(*messages: Message, forever: Message | None = None) -> Request:
    """A request whose body comes in these messages; then `forever` again and again, or nothing more."""
    due = [*messages]

    async def receive() -> Message:
        if due:
            return due.pop(0)
        await asyncio.sleep(0.001 if forever else 60)
        assert forever is not None
        return forever

    async def send(message: Message) -> None:
        raise AssertionError(message)

    settings = Settings(origin=Origin("http", "shop.example", 80))
    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "client": ("192.0.2.1", 1),
        "headers": [FORM],
        "extensions": {"waitroom": None},
    }
    return Request(scope, receive, send, Clients(settings).of(scope))


def piece(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_form_is_read_whole_however_it_is_cut() -> None:
    request = post(piece(b"to=%2Fa"), piece(b""), piece(b"&t=1", more=False))

    assert await read_form(request) == {"to": "/a", "t": "1"}


async def test_a_form_that_trickles_in_is_given_up() -> None:
    """A byte a minute held a connection for days: whatever arrives, the whole of a form has one limit."""
    request = post(forever=piece(b"a"))

    with pytest.raises(OriginFailure, match="upload"):
        await read_form(request, limit_s=0.05)


async def test_a_form_whose_client_has_left_is_no_form() -> None:
    """P10: the button of somebody who is gone took a number."""
    request = post(piece(b"to=%2Fa"), {"type": "http.disconnect"})

    with pytest.raises(OriginFailure, match="left"):
        await read_form(request)


async def test_a_form_without_end_is_read_no_further_than_its_limit() -> None:
    request = post(piece(b"t="), forever=piece(b"a" * 1_000))

    assert await read_form(request) == {"t": "a" * (FORM_LIMIT_BYTES - len(b"t="))}
