"""Connections to the origin: which are kept, which are not, what is tried again, and every way to fail."""

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from tests.edge.gateway_support import QUICK, Gateway, gateway, on_both_loops
from tests.edge.raw_origin import OK, RawOrigin, Received, Script, Wire, close_after, in_pieces
from tests.patience import until
from waitroom.core.errors import OriginFailure
from waitroom.edge.shop.connection import Connection
from waitroom.edge.shop.origin import OriginPool

POST = b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nhi"


async def silent(wire: Wire, request: Received) -> None:
    await wire.gone()


async def reset(wire: Wire, request: Received) -> None:
    wire.reset()


def then(data: bytes, after: Script) -> Script:
    """Send the bytes, let them arrive, and go on otherwise."""

    async def answer(wire: Wire, request: Received) -> None:
        await wire.send(data)
        await asyncio.sleep(0.03)
        await after(wire, request)

    return answer


async def status_of(app: Gateway, raw: bytes = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n") -> int:
    client = await app.connect()
    await client.send(raw)
    head, _ = await client.answer()
    return int(head.split(b" ")[1])


# Kept or not.


@on_both_loops
async def test_the_connection_used_last_is_used_first() -> None:
    go = asyncio.Event()

    async def later(wire: Wire, request: Received) -> None:
        await go.wait()
        await wire.send(OK)

    async with RawOrigin() as origin, gateway(origin) as app:
        origin.answers(later, later)
        first, second = await app.connect(), await app.connect()
        pending = [asyncio.create_task(first.get()), asyncio.create_task(second.get())]
        await until(lambda: len(origin.requests) == 2)
        go.set()
        await asyncio.gather(*pending)

        for _ in range(4):
            await first.get()

        assert origin.connections == 2
        assert len({request.connection for request in origin.requests[2:]}) == 1


@on_both_loops
@pytest.mark.parametrize(
    "answer",
    [
        OK + b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen",
        OK + b"x",
        OK + b"\r\n",
        b"HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen",
        b"HTTP/1.1 304 No\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nkeep-alive: timeout=1\r\n\r\nok",
    ],
)
async def test_a_connection_with_anything_after_the_answer_is_not_used_again(answer: bytes) -> None:
    async with RawOrigin() as origin, gateway(origin) as app:
        origin.answers(answer)
        client = await app.connect()

        await client.get()
        _, body = await client.get()

        assert body == b"ok"
        assert origin.connections == 2


@on_both_loops
async def test_bytes_on_an_idle_connection_discard_it() -> None:
    async with RawOrigin() as origin, gateway(origin) as app:

        async def talkative(wire: Wire, request: Received) -> None:
            await wire.send(OK)
            await asyncio.sleep(0.02)
            await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen")

        origin.answers(talkative)
        client = await app.connect()
        await client.get()
        await asyncio.sleep(0.05)

        _, body = await client.get()

        assert body == b"ok"
        assert origin.connections == 2


@on_both_loops
@pytest.mark.parametrize("framing", [b"content-length: 44", b"transfer-encoding: chunked"])
async def test_a_body_that_a_204_announces_never_reaches_the_next_visitor(framing: bytes) -> None:
    """It comes when the next request is under way on that connection; nothing would tell it from that one's answer."""
    async with RawOrigin() as origin, gateway(origin) as app:
        origin.answers(
            b"HTTP/1.1 204 No Content\r\n" + framing + b"\r\n\r\n",
            in_pieces(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen", OK),
        )
        client = await app.connect()

        await client.get()
        await client.get()

        assert [request.connection for request in origin.requests] == [0, 1]


@on_both_loops
async def test_a_body_after_the_head_of_a_head_answer_never_reaches_the_next_visitor() -> None:
    async with RawOrigin() as origin, gateway(origin) as app:
        origin.answers(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen")
        client = await app.connect()

        await client.get(method=b"HEAD")
        _, body = await client.get()

        assert body == b"ok"
        assert origin.connections == 2


@on_both_loops
async def test_trailers_are_dropped() -> None:
    async with RawOrigin() as origin, gateway(origin) as app:
        origin.answers(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: set-cookie\r\n\r\n"
            b"2\r\nok\r\n0\r\nset-cookie: evil=1\r\n\r\n"
        )
        client = await app.connect()

        head, body = await client.get()
        await client.get()

        assert body == b"ok"
        assert b"cookie" not in head
        assert origin.connections == 1


@on_both_loops
async def test_an_idle_connection_is_closed_in_time() -> None:
    async with RawOrigin() as origin, gateway(origin, limits=QUICK._replace(keep_s=0.05)) as app:
        await (await app.connect()).get()

        await until(lambda: not origin.open)

        assert app.pool.take(4.0) is None


# Tried again or not.


@on_both_loops
@pytest.mark.parametrize("ending", ["close", "reset"])
async def test_a_get_is_tried_again_on_a_kept_connection_that_broke_before_the_answer(ending: str) -> None:
    async with RawOrigin() as origin, gateway(origin) as app:
        client = await app.connect()
        origin.answers(OK, close_after(b"") if ending == "close" else reset)
        await client.get()

        _, body = await client.get(b"/again")

        assert body == b"ok"
        assert [request.line for request in origin.requests[1:]] == [b"GET /again HTTP/1.1"] * 2


@on_both_loops
async def test_a_second_failure_is_not_tried_again() -> None:
    async with RawOrigin() as origin, gateway(origin) as app:
        client = await app.connect()
        origin.answers(OK, reset, reset, reset)
        await client.get()

        head, _ = await client.get()

        assert head.startswith(b"HTTP/1.1 502 ")
        assert len(origin.requests) == 3


@on_both_loops
async def test_nothing_is_tried_again_after_the_first_byte_of_an_answer_or_on_a_new_connection() -> None:
    async with RawOrigin() as origin, gateway(origin) as app:
        client = await app.connect()
        origin.answers(reset, OK, close_after(b"H"))

        statuses = [int((await client.get())[0].split(b" ")[1]) for _ in range(3)]

        assert statuses == [502, 200, 502]
        assert len(origin.requests) == 3


@on_both_loops
async def test_trying_again_can_be_turned_off() -> None:
    async with RawOrigin() as origin, gateway(origin, retry=False) as app:
        client = await app.connect()
        origin.answers(OK, reset)
        await client.get()

        head, _ = await client.get()

        assert head.startswith(b"HTTP/1.1 502 ")


@on_both_loops
@pytest.mark.parametrize("request_", [POST, b"DELETE / HTTP/1.1\r\nhost: h\r\n\r\n", POST.replace(b"POST", b"GET")])
async def test_what_must_not_be_sent_twice_is_sent_once(request_: bytes) -> None:
    async with RawOrigin() as origin, gateway(origin) as app:
        client = await app.connect()
        origin.answers(OK, reset)
        await client.get()

        assert await status_of(app, request_) == 502
        assert len(origin.requests) == 2
        assert app.failures[0].sent


@on_both_loops
async def test_what_must_not_be_sent_twice_takes_no_connection_that_lay_idle() -> None:
    async with RawOrigin() as origin, gateway(origin, limits=QUICK._replace(fresh_s=0.05)) as app:
        client = await app.connect()
        await client.get()
        await client.send(POST)
        await client.answer()
        await asyncio.sleep(0.1)
        await client.get()
        await asyncio.sleep(0.1)

        await client.send(POST)
        await client.answer()

        assert [request.connection for request in origin.requests] == [0, 0, 0, 1]


# Failures before the first byte.


@on_both_loops
@pytest.mark.parametrize(
    "answer",
    [
        b"hello\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 99 Low\r\n\r\n",
        b"HTTP/1.1 099 Low\r\n\r\n",
        b"HTTP/1.1 000 None\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 600 High\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nbytes",
        b"HTTP/1.1 200 OK\n\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nokk",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2, 3\r\n\r\nokk",
        b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx : y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\x00b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 70000 + b"\r\n\r\n",
        b"HTTP/1.1 103 Hints\r\n\r\n" * 4000,
    ],
    ids=lambda raw: repr(raw[:60]),
)
async def test_what_is_no_answer_becomes_502(answer: bytes) -> None:
    async with RawOrigin() as origin, gateway(origin) as app:
        origin.answers(answer)

        assert await status_of(app) == 502
        assert app.failures[0].kind == "garbage"
        assert not app.pool.under_way


@on_both_loops
async def test_a_refused_connection_is_502_and_certainly_sent_nothing() -> None:
    async with RawOrigin() as origin, gateway(origin) as app:
        await origin.stop()

        assert await status_of(app, POST) == 502
        assert (app.failures[0].kind, app.failures[0].sent) == ("refused", False)


@on_both_loops
async def test_a_name_that_does_not_resolve_is_502() -> None:
    async with RawOrigin(host="localhost") as origin:
        bad = origin.origin._replace(host="shop.invalid")
        async with gateway(origin, pool=lambda: OriginPool(bad, limits=QUICK)) as app:
            assert await status_of(app) == 502
            assert app.failures[0].kind == "refused"


@on_both_loops
async def test_a_connection_that_takes_too_long_is_504() -> None:
    """A TLS origin that never speaks: the connection is there, the handshake never ends."""
    async with RawOrigin() as origin:
        tls = origin.origin._replace(scheme="https")
        limits = QUICK._replace(connect_s=0.1)
        async with gateway(origin, pool=lambda: OriginPool(tls, limits=limits)) as app:
            assert await status_of(app) == 504
            assert (app.failures[0].kind, app.failures[0].sent) == ("connect_timeout", False)


@on_both_loops
@pytest.mark.parametrize("answer", [silent, then(b"HTTP/1.1 200 OK\r\nx", silent)])
async def test_an_origin_that_says_nothing_is_504(answer: Script) -> None:
    async with RawOrigin() as origin, gateway(origin, limits=QUICK._replace(first_byte_s=0.1)) as app:
        origin.answers(answer)

        assert await status_of(app) == 504
        assert app.failures[0].kind == "timeout"
        await until(lambda: not origin.open)


@on_both_loops
async def test_a_body_that_stops_coming_is_408() -> None:
    async with RawOrigin() as origin, gateway(origin, limits=QUICK._replace(upload_s=0.1)) as app:
        assert await status_of(app, POST.replace(b"content-length: 2", b"content-length: 9")) == 408
        await until(lambda: not origin.open)


@on_both_loops
async def test_a_request_that_came_through_here_before_is_508() -> None:
    async with RawOrigin() as origin, gateway(origin) as app:
        client = await app.connect()
        await client.get()
        (via,) = origin.requests[0].values(b"via")

        head, body = await client.get(b"/", b"via: 1.0 fred, " + via)

        assert head.startswith(b"HTTP/1.1 508 ")
        assert body == b"loop"
        assert len(origin.requests) == 1


# Failures after the first byte.


@on_both_loops
@pytest.mark.parametrize(
    ("start", "after"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", close_after(b"")),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", reset),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", silent),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", close_after(b"")),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", close_after(b"0\r\n")),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", close_after(b"zz\r\n")),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", reset),
    ],
)
async def test_a_cut_answer_is_never_passed_off_as_whole(start: bytes, after: Script) -> None:
    async with RawOrigin() as origin, gateway(origin, limits=QUICK._replace(idle_s=0.1)) as app:
        origin.answers(then(start, after))
        client = await app.connect()
        await client.send(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
        head = await client.head()
        body = b""
        try:
            while piece := await client.reader.read(100):
                body += piece
        except ConnectionResetError:
            pass

        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"hello" in body
        assert not body.endswith(b"0\r\n\r\n")
        assert [(outcome.whole, outcome.left) for outcome in app.outcomes] == [(False, False)]


@on_both_loops
async def test_a_client_that_takes_nothing_is_cut_off() -> None:
    async def flood(wire: Wire, request: Received) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while not wire.writer.is_closing():
            await wire.send(b"x" * 65536)

    async with RawOrigin(otherwise=flood) as origin, gateway(origin, limits=QUICK._replace(client_s=0.1)) as app:
        client = await app.connect()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")

        await until(lambda: bool(app.outcomes))

        assert not app.outcomes[0].whole
        await until(lambda: not origin.open)


@on_both_loops
async def test_a_body_that_drips_is_408_and_one_that_comes_slowly_is_not() -> None:
    limits = QUICK._replace(upload_s=0.8, upload_bytes=100)
    async with RawOrigin() as origin, gateway(origin, limits=limits) as app:
        dripping, slow = await app.connect(), await app.connect()
        head = b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1000\r\n\r\n"
        await dripping.send(head)
        await slow.send(head)
        for _ in range(20):
            await asyncio.sleep(0.08)
            await slow.send(b"x" * 50)
            with suppress(ConnectionError):
                await dripping.send(b"x")

        answers = [await dripping.answer(), await slow.answer()]

        assert [body for _, body in answers] == [b"upload", b"ok"]


@on_both_loops
@pytest.mark.parametrize("direction", ["up", "down"])
async def test_where_requests_wait_for_room_the_slowest_clients_make_it(direction: str) -> None:
    async def serve(wire: Wire, request: Received) -> None:
        if request.line.startswith(b"POST"):
            await wire.gone()
        elif request.line.startswith(b"GET /large"):
            await wire.send(b"HTTP/1.1 200 OK\r\n\r\n")
            while not wire.writer.is_closing():
                await wire.send(b"x" * 65536)
        else:
            await wire.send(OK)

    limits = QUICK._replace(connections=2, crowded_s=0.2)
    async with RawOrigin() as origin, gateway(origin, limits=limits) as app:
        origin.on_head = serve
        slow = [await app.connect() for _ in range(2)]
        for client in slow:
            if direction == "up":
                await client.send(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1000\r\n\r\nx")
            else:
                client.writer.transport.pause_reading()  # type: ignore[attr-defined]
                await client.send(b"GET /large HTTP/1.1\r\nhost: h\r\n\r\n")
        await until(lambda: len(origin.requests) == 2)

        _, body = await (await app.connect()).get()

        assert body == b"ok"
        assert len(app.pool.under_way) <= 1, "the other one keeps its connection"


# Long exchanges.


@on_both_loops
async def test_whoever_has_an_exchange_under_way_is_seen_until_it_ends_and_nothing_cuts_it() -> None:
    sights: list[bool] = []
    go = asyncio.Event()

    def seen() -> bool:
        sights.append(True)
        return False

    async def stream(wire: Wire, request: Received) -> None:
        await go.wait()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab")
        go.clear()
        await go.wait()
        await wire.send(b"cd")

    limits = QUICK._replace(seen_s=0.05)
    async with RawOrigin(otherwise=stream) as origin, gateway(origin, limits=limits) as app:
        app.forward["seen"] = seen
        client = await app.connect()
        await client.send(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
        await until(lambda: len(sights) >= 2)
        go.set()
        await client.head()
        in_the_body = len(sights)
        await until(lambda: len(sights) >= in_the_body + 2)
        go.set()

        assert await client.reader.readexactly(4) == b"abcd"
        await until(lambda: not app.pool.under_way)
        told = len(sights)
        await asyncio.sleep(0.2)

        assert len(sights) == told
        assert [outcome.whole for outcome in app.outcomes] == [True]


# The client leaves.


@on_both_loops
@pytest.mark.parametrize("raw", [b"GET / HTTP/1.1\r\nhost: h\r\n\r\n", POST, POST[:-1]])
async def test_a_client_that_leaves_ends_the_exchange_with_the_origin(raw: bytes) -> None:
    async with RawOrigin() as origin, gateway(origin) as app:
        origin.on_head = silent
        client = await app.connect()
        await client.send(raw)
        await until(lambda: bool(origin.requests))

        client.close()

        await until(lambda: not origin.open)
        await until(lambda: bool(app.outcomes))
        assert app.outcomes[0].left
        assert not app.failures


@on_both_loops
async def test_an_upload_cut_by_the_client_is_not_ended_for_it() -> None:
    received = b""

    async def note(wire: Wire, request: Received) -> None:
        nonlocal received
        while data := await wire.reader.read(1000):
            received += data

    async with RawOrigin() as origin, gateway(origin) as app:
        origin.on_head = note
        client = await app.connect()
        await client.send(b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await until(lambda: b"abc" in received)

        client.close()

        await until(lambda: not origin.open)
        assert received == b"3\r\nabc\r\n"


# The cap.


@on_both_loops
async def test_over_the_cap_requests_wait_their_turn() -> None:
    async with RawOrigin() as origin, gateway(origin, limits=QUICK._replace(connections=2)) as app:
        clients = [await app.connect() for _ in range(8)]

        answers = await asyncio.gather(*(client.get() for client in clients))

        assert [body for _, body in answers] == [b"ok"] * 8
        assert origin.connections <= 2


@on_both_loops
async def test_who_waits_too_long_for_a_connection_gets_503() -> None:
    limits = QUICK._replace(connections=1, wait_s=0.1)
    async with RawOrigin() as origin, gateway(origin, limits=limits) as app:
        origin.answers(silent)
        first = await app.connect()
        await first.send(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
        await until(lambda: bool(origin.requests))

        assert await status_of(app) == 503
        assert (app.failures[0].kind, app.failures[0].sent) == ("busy", False)

        first.close()
        await until(lambda: not app.pool.under_way)
        assert await status_of(app) == 200


@on_both_loops
async def test_a_connection_that_ends_makes_room_for_who_waits() -> None:
    async with RawOrigin() as origin, gateway(origin, limits=QUICK._replace(connections=1)) as app:
        origin.answers(in_pieces(b"HTTP/1.1 200 OK\r\nconnection: close\r\n", b"content-length: 2\r\n\r\nok"))
        clients = [await app.connect() for _ in range(3)]

        answers = await asyncio.gather(*(client.get() for client in clients))

        assert [body for _, body in answers] == [b"ok"] * 3
        assert origin.connections == 2


async def test_room_is_given_back_by_who_stops_waiting() -> None:
    async with RawOrigin() as origin:
        pool = OriginPool(origin.origin, limits=QUICK._replace(connections=1))
        first = await pool.open()
        waiting = [asyncio.create_task(pool.open()) for _ in range(2)]
        await asyncio.sleep(0)

        first.discard()
        waiting[0].cancel()  # the room was just handed to it
        second = await waiting[1]

        assert isinstance(second, Connection)
        assert not second.lost
        await pool.close()


async def test_closing_the_pool_cuts_everything_and_refuses_who_waits() -> None:
    async with RawOrigin() as origin:
        pool = OriginPool(origin.origin, limits=QUICK._replace(connections=1))
        connection = await pool.open()
        waiting = asyncio.create_task(pool.open())
        await asyncio.sleep(0)

        await pool.close()

        with pytest.raises(OriginFailure, match="busy"):
            await waiting
        assert connection.lost


# Where the origin may be.


@on_both_loops
async def test_an_origin_on_a_unix_socket(tmp_path: Path) -> None:
    async with RawOrigin(unix=tmp_path / "shop.sock") as origin, gateway(origin) as app:
        assert await status_of(app) == 200


@on_both_loops
async def test_an_origin_on_ipv6() -> None:
    async with RawOrigin(host="::1") as origin, gateway(origin) as app:
        assert await status_of(app) == 200


@on_both_loops
async def test_an_https_origin_is_verified() -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)

    def pool_trusting(trusted: trustme.CA, host: str) -> OriginPool:
        context = ssl.create_default_context()
        trusted.configure_trust(context)
        return OriginPool(origin.origin._replace(host=host), limits=QUICK, tls=context)

    async with RawOrigin(host="localhost", tls=server) as origin:
        for trusted, host, status in (
            (authority, "localhost", 200),
            (stranger, "localhost", 502),
            (authority, "127.0.0.1", 502),
        ):
            async with gateway(origin, pool=lambda: pool_trusting(trusted, host)) as app:  # noqa: B023
                assert await status_of(app) == status
                assert await status_of(app, POST) == status
        assert origin.connections >= 1
        assert len(origin.requests) == 2
