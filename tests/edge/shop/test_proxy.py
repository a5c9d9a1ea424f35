"""Requests through the real server's edge to an origin that records bytes."""

import asyncio
import gc
from collections.abc import Sequence
from typing import Any

import pytest

from tests.edge.gateway_support import QUICK, TEST_LIMIT_S, gateway, on_both_loops
from tests.edge.raw_origin import OK, RawOrigin, Received, Wire
from waitroom.core.requests import Header
from waitroom.edge.shop.answer import Answer
from waitroom.edge.shop.connection import Connection
from waitroom.edge.shop.headers import REWRITES
from waitroom.edge.shop.origin_limits import Limits

MEGABYTE = 1_048_576


# What passes.


@on_both_loops
async def test_targets_pass_byte_for_byte_on_a_kept_connection() -> None:
    targets = [b"/a//b?x=%2F", b"/second?", b"/%zz/../x;y=1", b"/a?b#c"]
    async with RawOrigin() as origin, gateway(origin) as app:
        client = await app.connect()

        answers = [await client.get(target) for target in targets]

        assert [body for _, body in answers] == [b"ok"] * 4
        assert [request.line for request in origin.requests] == [b"GET %b HTTP/1.1" % target for target in targets]
        assert origin.connections == 1
        assert [outcome.whole for outcome in app.outcomes] == [True] * 4


@on_both_loops
async def test_an_absolute_target_reaches_the_origin_in_origin_form() -> None:
    async with RawOrigin() as origin, gateway(origin) as app:
        client = await app.connect()

        await client.get(b"http://shop.example/a//b?c")
        await client.get(b"http://shop.example?c")
        await client.get(b"*", method=b"OPTIONS")

        lines = [request.line for request in origin.requests]
        assert lines == [b"GET /a//b?c HTTP/1.1", b"GET /?c HTTP/1.1", b"OPTIONS * HTTP/1.1"]


@on_both_loops
async def test_request_fields_keep_order_repetition_and_bytes() -> None:
    sent = [b"x-b: 2", b"x-a: \xff\x80 \t x", b"x-b: 1", b"accept: */*", b"x-empty: "]
    async with RawOrigin() as origin, gateway(origin) as app:
        client = await app.connect()

        await client.get(b"/", *sent)

        head = origin.requests[0].head
        assert head.startswith(b"\r\n".join([b"GET / HTTP/1.1", b"host: shop.example", *sent]) + b"\r\nvia: ")


@on_both_loops
async def test_answer_fields_keep_order_repetition_and_bytes() -> None:
    fields = b"Set-Cookie: a=1\r\nX-B: 2\r\nSet-Cookie: b=\xff; Path=/\r\nX-B: 1\r\nX-Empty: \r\n"
    async with RawOrigin() as origin, gateway(origin) as app:
        origin.answers(b"HTTP/1.1 201 Fine\r\n" + fields + b"content-length: 2\r\n\r\nok")
        client = await app.connect()

        head, _ = await client.get()

        expected = b"set-cookie: a=1\r\nx-b: 2\r\nset-cookie: b=\xff; Path=/\r\nx-b: 1\r\nx-empty: \r\n"
        assert head.startswith(b"HTTP/1.1 201 Created\r\n" + expected + b"content-length: 2\r\nvia: 1.1 waitroom-")


@on_both_loops
@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n", b"hello"),
        (b"HTTP/1.0 200 OK\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 500\r\netag: x\r\n\r\n", b""),
        (b"HTTP/1.1 500 Oops\r\ncontent-length: 5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 599 Odd\r\ncontent-length: 5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.0 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", b"hello"),
    ],
)
async def test_every_framing_comes_back_whole_however_it_is_cut_into_packets(raw: bytes, body: bytes) -> None:
    status = raw.rpartition(b"HTTP/1.")[2].split(b" ")[1]
    bytewise = [raw[at : at + 1] for at in range(len(raw))]
    for pieces in ([raw], bytewise, [raw[:-3], raw[-3:]]):
        closes = b"content-length" not in raw and b"chunked" not in raw

        async def answer(
            wire: Wire, request: Received, pieces: Sequence[bytes] = pieces, closes: bool = closes
        ) -> None:
            for piece in pieces:
                await wire.send(piece)
                await asyncio.sleep(0)
            if closes:
                wire.close()

        async with RawOrigin(otherwise=answer) as origin, gateway(origin) as app:
            client = await app.connect()

            found = [await client.get() for _ in range(2)]

            assert [content for _, content in found] == [body] * 2
            assert all(head.startswith(b"HTTP/1.1 " + status) for head, _ in found)
            assert [outcome.whole for outcome in app.outcomes] == [True] * 2
            assert origin.connections == (2 if closes else 1)


@on_both_loops
async def test_head_keeps_the_length_and_the_connection() -> None:
    """A parser that does not know of HEAD takes the next answer for this one's body; so we end at the header."""
    async with RawOrigin() as origin, gateway(origin) as app:
        origin.answers(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n", b"HTTP/1.1 200 OK\r\nx-n: 2\r\n\r\n")
        client = await app.connect()

        first, _ = await client.get(method=b"HEAD")
        second, _ = await client.get(method=b"HEAD")
        _, body = await client.get()

        assert b"content-length: 500\r\n" in first
        assert b"x-n: 2\r\n" in second
        assert body == b"ok"
        assert origin.connections == 1


# Bodies.


@on_both_loops
async def test_a_body_with_a_length_passes_with_its_length() -> None:
    async with RawOrigin() as origin, gateway(origin) as app:
        client = await app.connect()

        await client.send(b"POST /o HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\n01234")
        await asyncio.sleep(0.02)
        await client.send(b"56789")
        _, body = await client.answer()

        assert body == b"ok"
        assert origin.requests[0].values(b"content-length") == [b"10"]
        assert origin.requests[0].body == b"0123456789"


@on_both_loops
async def test_a_chunked_body_passes_chunked_without_trailers() -> None:
    async with RawOrigin() as origin, gateway(origin) as app:
        client = await app.connect()

        await client.send(b"POST /o HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\ntrailer: x-t\r\n\r\n")
        await client.send(b"3\r\nabc\r\n2;e=1\r\nde\r\n0\r\nx-t: 1\r\n\r\n")
        await client.answer()

        (request,) = origin.requests
        assert request.values(b"transfer-encoding") == [b"chunked"]
        assert not request.values(b"content-length")
        assert not request.values(b"trailer")
        assert request.content == b"abcde"
        assert b"x-t" not in request.body


@on_both_loops
async def test_an_early_answer_arrives_before_the_body_is_sent() -> None:
    async with RawOrigin() as origin, gateway(origin) as app:

        async def refuse(wire: Wire, request: Received) -> None:
            await wire.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig")
            await wire.gone()

        origin.on_head = refuse
        client = await app.connect()
        await client.send(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1000000\r\n\r\nstart")

        head, body = await client.answer()

        assert head.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close" in head
        assert body == b"big"


@on_both_loops
async def test_an_answer_before_the_end_of_the_body_spoils_the_connection() -> None:
    async with RawOrigin() as origin, gateway(origin) as app:

        async def early(wire: Wire, request: Received) -> None:
            await wire.send(OK)
            await wire.gone()

        origin.on_head = early
        client = await app.connect()
        await client.send(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\n01")
        await client.answer()
        origin.on_head = None

        _, body = await (await app.connect()).get()

        assert body == b"ok"
        assert origin.connections == 2


@on_both_loops
async def test_both_directions_stream_at_once() -> None:
    async with RawOrigin() as origin, gateway(origin) as app:

        async def echo(wire: Wire, request: Received) -> None:
            await wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            while True:
                size = int(await wire.reader.readuntil(b"\r\n"), 16)
                data = await wire.reader.readexactly(size + 2)
                await wire.send(b"%x\r\n%b" % (size, data))
                if not size:
                    return

        origin.on_head = echo
        client = await app.connect()
        await client.send(b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n")
        head = await client.head()
        for word in (b"one", b"three"):
            await client.send(b"%x\r\n%b\r\n" % (len(word), word))

            assert await client.reader.readexactly(len(word) + 5) == b"%x\r\n%b\r\n" % (len(word), word)

        await client.send(b"0\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"


@on_both_loops
async def test_expect_continue_waits_for_the_origin() -> None:
    async with RawOrigin() as origin, gateway(origin) as app:

        async def go_on(wire: Wire, request: Received) -> None:
            await wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.body = await wire.reader.readexactly(5)
            await wire.send(OK)

        origin.on_head = go_on
        client = await app.connect()
        await client.send(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")
        interim = await client.head()
        await client.send(b"hello")
        _, body = await client.answer()

        assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert origin.requests[0].body == b"hello"
        assert origin.requests[0].values(b"expect") == [b"100-continue"]
        assert body == b"ok"


@on_both_loops
async def test_a_go_ahead_that_comes_at_once_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvloop may read before it runs a task made earlier: the shop's 100 came before anybody waited for it, and the
    body was sent only when the time for it was up.
    """
    ask = Connection.ask

    def ask_one_that_is_quick(connection: Connection, answer: Answer, head: bytes, **how: Any) -> None:
        ask(connection, answer, head, **how)
        answer.feed(b"HTTP/1.1 100 Continue\r\n\r\n")

    monkeypatch.setattr(Connection, "ask", ask_one_that_is_quick)
    async with RawOrigin() as origin, gateway(origin, limits=Limits(go_ahead_s=TEST_LIMIT_S)) as app:
        client = await app.connect()
        await client.send(b"POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")

        assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"hi")
        _, body = await client.answer()

        assert body == b"ok"


@on_both_loops
async def test_a_refused_expectation_asks_for_no_body() -> None:
    async with RawOrigin() as origin, gateway(origin) as app:

        async def refuse(wire: Wire, request: Received) -> None:
            await wire.send(b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n")
            await wire.gone()

        origin.on_head = refuse
        client = await app.connect()
        await client.send(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")

        head, _ = await client.answer()

        assert head.startswith(b"HTTP/1.1 401 ")


@on_both_loops
async def test_an_origin_that_knows_no_100_gets_the_body_all_the_same() -> None:
    limits = QUICK._replace(go_ahead_s=0.05)
    async with RawOrigin() as origin, gateway(origin, limits=limits) as app:
        client = await app.connect()
        await client.send(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")
        await client.head()
        await client.send(b"hello")

        _, body = await client.answer()

        assert body == b"ok"
        assert origin.requests[0].body == b"hello"


@on_both_loops
@pytest.mark.parametrize("kept", [False, True])
async def test_events_pass_one_by_one(kept: bool) -> None:
    """Also on a kept connection, where an exchange begins without a task: the head comes before the first event."""
    async with RawOrigin() as origin, gateway(origin) as app:
        go = asyncio.Event()

        async def events(wire: Wire, request: Received) -> None:
            await wire.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
            await go.wait()
            for number in range(3):
                await wire.send(b"data: %d\n\n" % number)
                go.clear()
                await go.wait()
            wire.close()

        origin.answers(*([OK] if kept else []), events)
        client = await app.connect()
        if kept:
            await client.send(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
            await client.head()
            await client.reader.readexactly(2)
        await client.send(b"GET /events HTTP/1.1\r\nhost: h\r\n\r\n")
        head = await client.head()  # before the first event

        assert b"text/event-stream" in head
        for number in range(3):
            go.set()
            assert await client.reader.readexactly(14) == b"9\r\ndata: %d\n\n\r\n" % number
        go.set()
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"


@on_both_loops
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_a_slow_client_slows_the_origin_down(framing: str) -> None:
    total = 24 * MEGABYTE
    sent = 0

    async def flood(wire: Wire, request: Received) -> None:
        nonlocal sent
        field = {
            "length": b"content-length: %d\r\n" % total,
            "chunked": b"transfer-encoding: chunked\r\n",
            "close": b"",
        }
        await wire.send(b"HTTP/1.1 200 OK\r\n" + field[framing] + b"\r\n")
        piece = b"x" * 65536
        while sent < total:
            await wire.send(b"10000\r\n%b\r\n" % piece if framing == "chunked" else piece)
            sent += len(piece)
        await wire.send(b"0\r\n\r\n" if framing == "chunked" else b"")
        wire.close()

    async with RawOrigin(otherwise=flood) as origin, gateway(origin, limits=QUICK._replace(buffer_bytes=65536)) as app:
        client = await app.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
        await asyncio.sleep(0.3)
        held = sent
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]

        _, body = await client.answer()

        assert len(body) == total
        assert held < total - 4 * MEGABYTE, "the kernel's buffers hold some; the gateway must not hold the rest"


@on_both_loops
async def test_a_slow_origin_slows_the_upload_down() -> None:
    total = 24 * MEGABYTE
    go = asyncio.Event()
    taken = 0

    async def slow(wire: Wire, request: Received) -> None:
        nonlocal taken
        await go.wait()
        while taken < total:
            taken += len(await wire.reader.read(65536))
        await wire.send(OK)

    async with RawOrigin() as origin, gateway(origin) as app:
        origin.on_head = slow
        client = await app.connect()
        client.writer.write(b"PUT / HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n" % total + b"x" * total)
        await asyncio.sleep(0.3)
        left = client.writer.transport.get_write_buffer_size()
        go.set()

        _, body = await client.answer()

        assert body == b"ok"
        assert taken == total
        assert left > 4 * MEGABYTE


# Changes by the gate.


@on_both_loops
async def test_fields_are_added_and_dropped_as_the_gate_asks() -> None:
    async with (
        RawOrigin() as origin,
        gateway(
            origin,
            to_origin=[(b"waitroom-place", b"7")],
            to_client=[(b"set-cookie", b"waitroom_shop_pass=new")],
            drop=REWRITES | {b"x-monitor"},
        ) as app,
    ):
        origin.answers(
            b"HTTP/1.1 200 OK\r\ncache-control: public, s-maxage=9, max-age=5\r\nsurrogate-control: max-age=9\r\n"
            b"set-cookie: waitroom_shop_ticket=theirs\r\nset-cookie: own=1\r\nwaitroom-command: complete\r\n"
            b"content-length: 0\r\n\r\n"
        )
        client = await app.connect()

        forged = (
            b"WAITROOM_place: 1",
            b"waitroom-Place: 2",
            b"X-Original_URL: /admin",
            b"x-rewrite-url: /",
            b"x_monitor: s",
        )
        head, _ = await client.get(b"/", *forged, b"cookie: a=1; waitroom_shop_pass=t; b=2")

        (request,) = origin.requests
        names = [name.lower() for name, _ in request.fields]
        assert [name for name in names if name.replace(b"_", b"-").startswith(b"waitroom")] == [b"waitroom-place"]
        assert request.values(b"waitroom-place") == [b"7"]
        assert not any(b"url" in name or b"monitor" in name for name in names)
        assert request.values(b"cookie") == [b"a=1; b=2"]
        assert b"set-cookie: own=1\r\n" in head
        assert b"set-cookie: waitroom_shop_pass=new\r\n" in head
        assert b"theirs" not in head
        assert b"waitroom-command" not in head
        assert b"s-maxage" not in head
        assert b"surrogate" not in head
        assert b"private" in head
        assert app.outcomes[0].commands == ((b"waitroom-command", b"complete"),)


@on_both_loops
async def test_what_is_added_for_the_client_may_depend_on_the_answer() -> None:
    def added(status: int, headers: Sequence[Header], commands: Sequence[Header]) -> list[Header]:
        return [(b"x-saw", b"%d %b %b" % (status, dict(headers)[b"x-in"], dict(commands)[b"waitroom-command"]))]

    async with RawOrigin() as origin, gateway(origin, to_client=added) as app:
        origin.answers(b"HTTP/1.1 202 OK\r\nX-In: here\r\nWaitroom-Command: revoke\r\ncontent-length: 0\r\n\r\n")

        head, _ = await (await app.connect()).get()

        assert b"x-saw: 202 here revoke\r\n" in head


async def test_a_fault_of_ours_in_an_answer_given_without_a_task_is_a_500() -> None:
    def breaks(status: int, headers: Sequence[Header], commands: Sequence[Header]) -> Sequence[Header]:
        raise ZeroDivisionError

    async with RawOrigin() as origin, gateway(origin, to_client=breaks) as app:
        await (await app.connect()).get(b"/opens-a-connection")
        head, _ = await (await app.connect()).get(b"/finds-it-idle")

        assert head.startswith(b"HTTP/1.1 500 ")
        assert app.pool.open_count == 1


# Memory.


async def test_a_small_exchange_leaves_nothing_for_the_collector() -> None:
    """Cycles between an answer, its parser and the client's end cost a collection every few dozen requests."""
    async with RawOrigin() as origin, gateway(origin) as app:
        client = await app.connect()
        await client.get()
        left = []
        gc.disable()
        try:
            for _ in range(3):  # what others leave meanwhile is not left each time
                gc.collect()
                for _ in range(5):
                    await client.get()
                app.forget()
                left.append(gc.collect())
        finally:
            gc.enable()

    assert min(left) == 0
