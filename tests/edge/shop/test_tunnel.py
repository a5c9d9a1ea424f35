"""WebSockets and other upgraded connections: through the gateway they are as without it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trustme
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from tests.edge.gateway_support import QUICK, Client, Gateway, gateway, on_both_loops
from tests.edge.raw_origin import RawOrigin, Received, Script, Wire
from tests.patience import until
from waitroom.core.settings import Origin
from waitroom.edge.shop import tunnel
from waitroom.edge.shop.origin import OriginPool
from waitroom.edge.shop.tunnel import Tunnels

MEGABYTE = 1_048_576
ASK = b"GET /x HTTP/1.1\r\nhost: shop.example\r\nconnection: keep-alive, Upgrade\r\nupgrade: capitals\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Go\r\nupgrade: capitals\r\nconnection: upgrade\r\nx-b: 1\r\nx-a: 2\r\n\r\n"


@dataclass
class WebSocketShop:
    origin: Origin


Handler = Callable[[ServerConnection], Awaitable[None]]


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


@asynccontextmanager
async def websockets_through(
    handler: Handler = echo,
    *,
    tls: ssl.SSLContext | None = None,
    trusted: ssl.SSLContext | None = None,
    **options: object,
) -> AsyncIterator[tuple[Gateway, str]]:
    """A websockets server behind the gateway, and the address to connect to."""
    async with serve(handler, "127.0.0.1", 0, ssl=tls, **options) as server:  # type: ignore[arg-type]
        port = server.sockets[0].getsockname()[1]
        shop = WebSocketShop(Origin("https" if tls else "http", "127.0.0.1", port))
        pool = (lambda: OriginPool(shop.origin, limits=QUICK, tls=trusted)) if tls else None
        async with gateway(shop, pool=pool) as app:
            yield app, f"ws://127.0.0.1:{app.port}"


def switching(then: Script | None = None, *, first: bytes = SWITCH) -> Script:
    """Agree to the upgrade, and go on otherwise."""

    async def answer(wire: Wire, request: Received) -> None:
        await wire.send(first)
        await (then or in_capitals)(wire, request)

    return answer


async def in_capitals(wire: Wire, request: Received) -> None:
    while data := await wire.reader.read(65_536):
        await wire.send(data.upper())
    wire.close()


async def upgraded(app: Gateway, ask: bytes = ASK) -> tuple[Client, bytes]:
    client = await app.connect()
    await client.send(ask)
    return client, await client.head()


# What passes.


@on_both_loops
async def test_messages_of_every_kind_and_size_come_back_as_they_were() -> None:
    messages: list[str | bytes] = ["text ü", b"\x00\xff", "", b"", "x" * 70_000, bytes(range(256)) * 20_000]
    async with websockets_through(max_size=None) as (_, url), connect(url, max_size=None) as socket:
        for message in messages:
            await socket.send(message)
            assert await socket.recv() == message


@on_both_loops
@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_five_megabytes_both_ways_at_once(compression: str | None) -> None:
    message = b"waiting " * (5 * MEGABYTE // 8)
    async with (
        websockets_through(max_size=None, compression=compression) as (_, url),
        connect(url, max_size=None, compression=compression) as socket,
    ):
        sending = asyncio.create_task(socket.send(message))
        received = await socket.recv()
        await sending

        assert received == message
        assert socket.response is not None
        extensions = socket.response.headers.get("sec-websocket-extensions", "")
        assert ("permessage-deflate" in extensions) == (compression is not None)


@on_both_loops
async def test_fragments_stay_fragments() -> None:
    async def in_three(socket: ServerConnection) -> None:
        parts = [part async for part in socket.recv_streaming()]
        await socket.send(parts)

    # (The library ends a message in fragments with an empty one, each time it sends.)
    async with websockets_through(in_three) as (_, url), connect(url) as socket:
        await socket.send(["one ", "two ", "three"])

        assert [part async for part in socket.recv_streaming()] == ["one ", "two ", "three", "", ""]


@on_both_loops
async def test_pings_are_answered_by_the_other_end() -> None:
    pinged: list[bytes] = []

    async def pinging(socket: ServerConnection) -> None:
        await (await socket.ping(b"from the shop"))
        pinged.append(b"answered")
        await echo(socket)

    async with websockets_through(pinging, ping_interval=None) as (_, url), connect(url, ping_interval=None) as socket:
        await (await socket.ping(b"from the browser"))
        await socket.send("x")
        await socket.recv()

    assert pinged == [b"answered"]


@on_both_loops
@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
async def test_close_codes_and_reasons_pass_both_ways(code: int) -> None:
    heard: list[tuple[int | None, str | None]] = []

    async def closing(socket: ServerConnection) -> None:
        if await socket.recv() == "you close":
            await socket.wait_closed()
            heard.append((socket.close_code, socket.close_reason))
        else:
            await socket.close(code, "by the shop")

    async with websockets_through(closing) as (app, url):
        async with connect(url) as socket:
            await socket.send("I close")
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            assert (socket.close_code, socket.close_reason) == (code, "by the shop")
        async with connect(url) as socket:
            await socket.send("you close")
            await socket.close(code, "by the browser")
        await until(lambda: app.proxy.tunnels.count == 0 and bool(heard))

    assert heard == [(code, "by the browser")]
    assert [outcome.status for outcome in app.outcomes] == [101, 101]


@on_both_loops
async def test_the_subprotocol_and_the_request_are_seen_by_the_shop() -> None:
    seen: list[Request] = []

    async def look(socket: ServerConnection) -> None:
        assert socket.request is not None
        seen.append(socket.request)
        await echo(socket)

    async with websockets_through(look, subprotocols=[Subprotocol("chat.v2")]) as (_, url):
        wanted = [Subprotocol("chat.v1"), Subprotocol("chat.v2")]
        async with connect(f"{url}/live?a=%2F&b", subprotocols=wanted, origin="https://shop.example") as socket:  # type: ignore[arg-type]
            assert socket.subprotocol == "chat.v2"

    assert seen[0].path == "/live?a=%2F&b"
    assert seen[0].headers["origin"] == "https://shop.example"
    assert seen[0].headers["x-forwarded-for"] == "127.0.0.1"


@on_both_loops
async def test_over_tls_to_the_shop() -> None:
    authority = trustme.CA()
    tls, trusted = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.configure_trust(trusted)
    async with websockets_through(max_size=None, tls=tls, trusted=trusted) as (app, url):
        async with connect(url, max_size=None) as socket:
            await socket.send("x" * MEGABYTE)
            assert await socket.recv() == "x" * MEGABYTE
        await until(lambda: app.proxy.tunnels.count == 0)


@on_both_loops
async def test_a_hundred_at_once_take_no_room_of_the_pool() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        shop = WebSocketShop(Origin("http", "127.0.0.1", server.sockets[0].getsockname()[1]))
        async with gateway(shop, limits=QUICK._replace(connections=2, wait_s=5)) as app:
            opened: list[ClientConnection] = list(
                await asyncio.gather(*(connect(f"ws://127.0.0.1:{app.port}/{n}") for n in range(100)))
            )
            for number, socket in enumerate(opened):
                await socket.send(str(number))

            assert [await socket.recv() for socket in opened] == [str(number) for number in range(100)]
            assert app.proxy.tunnels.count == 100
            await asyncio.gather(*(socket.close() for socket in opened))
            await until(lambda: app.proxy.tunnels.count == 0)


# What is not switched.


@on_both_loops
async def test_a_refusal_of_the_shop_passes_as_http() -> None:
    def refuse(socket: ServerConnection, request: Request) -> Response:
        return socket.respond(403, "not you\n")

    async with websockets_through(process_request=refuse) as (app, url):
        with pytest.raises(InvalidStatus) as caught:
            await connect(url)

        assert caught.value.response.status_code == 403
        assert caught.value.response.body == b"not you\n"
        assert app.outcomes[0].status == 403


@on_both_loops
@pytest.mark.parametrize(
    "protocol",
    [b"h2c", b"HTTP/2.0", b"TLS/1.0", b"websocket, h2c", b"SPDY/3.1", b"h2c-14", b"\xa0h2c", b"h2c\x85", b","],
)
async def test_what_would_carry_http_past_the_gate_is_an_ordinary_request(protocol: bytes) -> None:
    """Over h2c a visitor could ask for anything, with a Waitroom-Place of their own."""
    async with RawOrigin() as origin, gateway(origin) as app:
        client, head = await upgraded(app, ASK.replace(b"capitals", protocol).replace(b"Upgrade", b"Upgrade, X-H"))

        assert head.startswith(b"HTTP/1.1 200 ")
        assert not origin.requests[0].values(b"upgrade")
        assert not origin.requests[0].values(b"connection")
        client.close()


@on_both_loops
@pytest.mark.parametrize("switched", [b"h2c", b"capitals, h2c", b"websocket", b""])
async def test_a_switch_to_what_was_not_asked_for_is_no_answer(switched: bytes) -> None:
    async with RawOrigin(otherwise=SWITCH.replace(b"capitals", switched)) as origin, gateway(origin) as app:
        _, head = await upgraded(app)

        assert head.startswith(b"HTTP/1.1 502 ")
        assert app.failures[0].kind == "garbage"
        await until(lambda: origin.open == 0)


@on_both_loops
@pytest.mark.parametrize(
    "ask",
    [
        ASK.replace(b"HTTP/1.1", b"HTTP/1.0"),
        ASK.replace(b"GET", b"OPTIONS"),
        ASK.replace(b"connection: keep-alive, Upgrade\r\n", b""),
        ASK.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\ncontent-length: 2\r\n\r\nhi"),
    ],
)
async def test_requests_that_cannot_switch_reach_the_shop_without_the_wish(ask: bytes) -> None:
    async with RawOrigin() as origin, gateway(origin) as app:
        _, head = await upgraded(app, ask)

        assert head.startswith(b"HTTP/1.1 200 ")
        assert not origin.requests[0].values(b"upgrade")


@on_both_loops
async def test_too_many_are_refused_before_the_shop_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "TUNNELS", 1)
    async with RawOrigin(otherwise=switching()) as origin, gateway(origin) as app:
        first, _ = await upgraded(app)
        _, head = await upgraded(app)

        assert head.startswith(b"HTTP/1.1 503 ")
        assert len(origin.requests) == 1
        first.close()


# The tunnel.


@on_both_loops
async def test_any_other_protocol_passes_byte_for_byte() -> None:
    async with RawOrigin(otherwise=switching(first=SWITCH + b"WELCOME ")) as origin, gateway(origin) as app:
        client, head = await upgraded(app, ASK + b"early ")

        await client.send(b"late")

        assert await client.reader.readexactly(18) == b"WELCOME EARLY LATE"
        assert origin.requests[0].values(b"upgrade") == [b"capitals"]
        assert origin.requests[0].values(b"connection") == [b"Upgrade"]
        lines = head.split(b"\r\n")
        assert lines[:3] == [b"HTTP/1.1 101 Switching Protocols", b"x-b: 1", b"x-a: 2"]
        assert lines[4:] == [b"connection: Upgrade", b"upgrade: capitals", b"", b""]
        client.close()
        await until(lambda: origin.open == 0 and app.proxy.tunnels.count == 0)


@on_both_loops
async def test_cookies_of_ours_come_with_the_switch() -> None:
    async with RawOrigin(otherwise=switching()) as origin, gateway(origin, to_client=[(b"set-cookie", b"p=1")]) as app:
        _, head = await upgraded(app)

        assert b"\r\nset-cookie: p=1\r\n" in head


@on_both_loops
async def test_the_client_may_end_its_side_first() -> None:
    async def at_the_end(wire: Wire, request: Received) -> None:
        received = await wire.reader.read()
        await asyncio.sleep(0.02)
        await wire.send(b"%d bytes" % len(received))
        wire.close()

    async with RawOrigin(otherwise=switching(at_the_end)) as origin, gateway(origin) as app:
        client, _ = await upgraded(app)
        await client.send(b"x" * 300_000)
        client.writer.write_eof()

        assert await client.reader.read() == b"300000 bytes"
        client.close()
        await until(lambda: app.proxy.tunnels.count == 0)


@on_both_loops
async def test_the_shop_may_end_its_side_first() -> None:
    received = bytearray()

    async def first(wire: Wire, request: Received) -> None:
        wire.writer.write_eof()
        received.extend(await wire.reader.read())
        wire.close()

    async with RawOrigin(otherwise=switching(first)) as origin, gateway(origin) as app:
        client, _ = await upgraded(app)
        assert await client.reader.read() == b""

        await client.send(b"x" * 300_000)
        client.close()
        await until(lambda: len(received) == 300_000 and app.proxy.tunnels.count == 0)


@on_both_loops
async def test_a_shop_that_switches_says_something_and_closes_is_heard() -> None:
    async def bye(wire: Wire, request: Received) -> None:
        wire.close()

    said = b"x" * 100_000
    async with RawOrigin(otherwise=switching(bye, first=SWITCH + said)) as origin, gateway(origin) as app:
        for _ in range(10):
            client, _ = await upgraded(app)
            assert await client.reader.read() == said
            client.close()
        await until(lambda: app.proxy.tunnels.count == 0)


@on_both_loops
async def test_a_side_that_breaks_breaks_the_other() -> None:
    async def breaks(wire: Wire, request: Received) -> None:
        await wire.reader.readexactly(1)
        wire.reset()

    async with RawOrigin(otherwise=switching(breaks)) as origin, gateway(origin) as app:
        client, _ = await upgraded(app)
        await client.send(b"x")

        with pytest.raises(ConnectionResetError):
            await client.reader.readexactly(1)
        await until(lambda: app.proxy.tunnels.count == 0)

        origin.otherwise = switching()
        client, _ = await upgraded(app)
        client.writer.transport.abort()
        await until(lambda: app.proxy.tunnels.count == 0 and origin.open == 0)


@pytest.mark.timed
@on_both_loops
async def test_a_silent_tunnel_ends_and_one_that_moves_does_not() -> None:
    async with RawOrigin(otherwise=switching()) as origin, gateway(origin) as app:
        app.proxy.tunnels = Tunnels(idle_s=0.6, seen_every_s=60)
        silent, _ = await upgraded(app)
        lively, _ = await upgraded(app)
        for _ in range(8):
            await asyncio.sleep(0.12)
            await lively.send(b"x")

        assert await lively.reader.readexactly(8) == b"X" * 8
        assert await silent.reader.read() == b""
        assert app.proxy.tunnels.count == 1
        assert await lively.reader.read() == b""
        await until(lambda: app.proxy.tunnels.count == 0 and origin.open == 0)


@on_both_loops
async def test_whoever_has_a_tunnel_is_seen_until_told_otherwise() -> None:
    sights: list[float] = []

    def seen() -> bool:
        sights.append(asyncio.get_running_loop().time())
        return len(sights) < 5

    async with RawOrigin(otherwise=switching()) as origin, gateway(origin) as app:
        app.forward["seen"] = seen
        app.proxy.tunnels = Tunnels(idle_s=60, seen_every_s=0.03)
        client, _ = await upgraded(app)

        assert await client.reader.read() == b""
        assert len(sights) == 5
        assert sights[-1] - sights[0] >= 0.12


@on_both_loops
async def test_a_slow_reader_slows_the_shop_and_little_is_held() -> None:
    sent = 0

    async def pour(wire: Wire, request: Received) -> None:
        nonlocal sent
        while True:
            await wire.send(b"x" * 65_536)
            sent += 65_536

    async with RawOrigin(otherwise=switching(pour)) as origin, gateway(origin) as app:
        reader, writer = await asyncio.open_connection("127.0.0.1", app.port, limit=65_536)
        writer.write(ASK)
        await reader.readuntil(b"\r\n\r\n")
        await settled(lambda: sent)

        held = sent
        assert held < 20 * MEGABYTE  # what the kernel's buffers on both ways take, and 320 KiB of ours
        taken = 0
        while taken < held + MEGABYTE:
            taken += len(await reader.read(65_536))
        assert sent > held
        writer.close()
        await until(lambda: app.proxy.tunnels.count == 0)


@on_both_loops
async def test_a_slow_shop_slows_the_client_and_little_is_held() -> None:
    go = asyncio.Event()
    received = 0

    async def slow(wire: Wire, request: Received) -> None:
        nonlocal received
        await go.wait()
        while data := await wire.reader.read(65_536):
            received += len(data)

    sent = 0
    async with RawOrigin(otherwise=switching(slow)) as origin, gateway(origin) as app:
        client, _ = await upgraded(app)

        async def pour() -> None:
            nonlocal sent
            while sent < 40 * MEGABYTE:
                await client.send(b"x" * 65_536)
                sent += 65_536

        pouring = asyncio.create_task(pour())
        await settled(lambda: sent)
        assert sent < 20 * MEGABYTE
        go.set()
        await pouring
        client.close()
        await until(lambda: received == sent and app.proxy.tunnels.count == 0)


async def settled(count: Callable[[], int]) -> None:
    """Wait until nothing has moved for a moment."""
    last = -1
    while last != count():
        last = count()
        await asyncio.sleep(0.1)


@on_both_loops
async def test_what_is_held_of_a_tunnel_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the kernel's buffers, but ours: the high-water mark and one read."""
    most = 0
    received = tunnel.End.data_received

    def counting(end: tunnel.End, data: bytes) -> None:
        nonlocal most
        received(end, data)
        most = max(most, end.other.transport.get_write_buffer_size())

    monkeypatch.setattr(tunnel.End, "data_received", counting)

    async def pour(wire: Wire, request: Received) -> None:
        for _ in range(1000):
            await wire.send(b"x" * 65_536)

    async with RawOrigin(otherwise=switching(pour)) as origin, gateway(origin) as app:
        client, _ = await upgraded(app)
        await asyncio.sleep(0.5)
        client.close()

    assert 0 < most <= tunnel.HIGH_WATER_BYTES + 262_144


@on_both_loops
async def test_a_stop_ends_tunnels() -> None:
    async with RawOrigin(otherwise=switching()) as origin:
        async with gateway(origin) as app:
            client, _ = await upgraded(app)
            other, _ = await upgraded(app)
            app.close_clients = lambda: None  # type: ignore[method-assign]
        assert app.proxy.tunnels.count == 0
        assert (await client.reader.read(), await other.reader.read()) == (b"", b"")
        client.close()
        other.close()
