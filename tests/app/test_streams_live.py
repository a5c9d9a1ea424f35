"""Long bodies, long answers and clients that leave, through the whole gateway in processes of its own."""

import asyncio
import re
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from tests.app.live_support import cookies, pass_of, seat_end
from tests.bench.bench_streams import MOST_GROWTH_BYTES, WAYS, gateway_before_a_wild_shop, measure
from tests.bench.memory import MEGABYTE, MemoryWatch
from tests.edge.gateway_support import Client
from tests.edge.raw_origin import OK, RawOrigin, Received, Script, Wire, read_body
from tests.patience import until
from tests.support import Gateway, RedisServer, Shop, running_gateway, running_redis
from waitroom.demo.browser import Browser

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROMPTLY_S = 1.0
EVENT_LIMIT_S = 0.05


@dataclass
class Scene:
    """A gateway before an origin that does as it is told, and a visitor inside."""

    origin: RawOrigin
    gateway: Gateway
    redis: RedisServer
    browser: Browser
    clients: list[Client] = field(default_factory=list)

    async def client(self) -> Client:
        port = int(self.gateway.environment["WAITROOM_PORT"])
        client = Client(*await asyncio.open_connection("127.0.0.1", port, limit=2**20))
        self.clients.append(client)
        return client

    def request(self, line: bytes, *fields: bytes) -> bytes:
        cookie = b"cookie: " + cookies(self.browser)["cookie"].encode()
        return b"\r\n".join((line + b" HTTP/1.1", b"host: shop.example", cookie, *fields, b"", b""))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lasting() -> AsyncIterator[Scene]:
    with running_redis() as redis:
        async with RawOrigin() as origin:
            settings = {"rate": "unlimited", "session_idle": "30s"}
            async with running_gateway(Shop(port=origin.port), redis.url, **settings) as gateway:
                browser = Browser(gateway.url)
                for _ in range(2):
                    assert (await browser.open("/")).status == 200
                yield Scene(origin, gateway, redis, browser)


@pytest_asyncio.fixture(loop_scope="module")
async def scene(lasting: Scene) -> AsyncIterator[Scene]:
    """With nothing of the last test left."""
    lasting.origin.requests.clear()
    yield lasting
    lasting.browser.close()
    for client in lasting.clients:
        client.writer.transport.abort()
    lasting.clients.clear()
    lasting.origin.on_head = None
    lasting.origin.otherwise = OK
    lasting.origin.cut_all()


async def test_bodies_of_64_megabytes_cost_next_to_no_memory() -> None:
    async with gateway_before_a_wild_shop() as (gateway, visitor):
        runs = [await measure(gateway, visitor, *way, 64 * MEGABYTE) for way in WAYS]

    assert [(run.direction, run.framing) for run in runs if run.growth > MOST_GROWTH_BYTES] == []


async def test_slow_readers_slow_the_shop_and_a_slow_shop_costs_a_socket(scene: Scene) -> None:
    """64 MB for each of twenty clients that read nothing: the shop cannot send them, and the gateway holds little."""
    total, sent = 64 * MEGABYTE, [0]

    async def pour(wire: Wire, request: Received) -> None:
        if request.line.startswith(b"GET /never "):
            await wire.gone()
            return
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
        for _ in range(total // 65_536):
            await wire.send(b"x" * 65_536)
            sent[0] += 65_536

    scene.origin.otherwise = pour
    clients = [await scene.client() for _ in range(60)]
    with MemoryWatch(scene.gateway.workers()) as memory:
        for client in clients[:20]:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await client.send(scene.request(b"GET /large"))
        for client in clients[20:]:
            await client.send(scene.request(b"GET /never"))
        await until(lambda: len(scene.origin.requests) == 60, within_s=30)
        held = -1
        while held < sent[0]:
            held = sent[0]
            await asyncio.sleep(0.3)
        status = (await scene.browser.fetch("/-/waitroom/status")).status

    assert held < 20 * total / 2, "the kernel's buffers hold some; the gateway must not hold the rest"
    print(f"\n{memory.growth / MEGABYTE:.1f} MB for 20 slow readers and 40 that wait, {memory.curve()}")
    assert memory.growth < 20 * MEGABYTE
    assert status == 200


@pytest.mark.timed
async def test_events_arrive_within_50_ms_of_being_sent(scene: Scene) -> None:
    async def events(wire: Wire, request: Received) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        for _ in range(40):
            await asyncio.sleep(0.02)
            await wire.send(b"data: %.6f\n\n" % time.monotonic())
        wire.close()

    scene.origin.answers(events)
    client = await scene.client()
    await client.send(scene.request(b"GET /events"))
    await client.head()
    late = []
    while int(await client.reader.readuntil(b"\r\n"), 16):
        event = await client.reader.readuntil(b"\n\n\r\n")
        late.append(time.monotonic() - float(event.split()[1]))
    client.close()

    print(f"\nevents: median {statistics.median(late) * 1000:.1f} ms, worst {max(late) * 1000:.1f} ms after being sent")
    assert len(late) == 40
    assert max(late) < EVENT_LIMIT_S


def early(answer: bytes, *, closes: bool) -> Script:
    """Answer before the body; then close, or keep the connection and read on."""

    async def script(wire: Wire, request: Received) -> None:
        await wire.send(answer)
        if closes:
            wire.close()
        else:
            await read_body(wire, request)

    return script


@pytest.mark.parametrize("closes", [True, False], ids=["closes", "keeps"])
@pytest.mark.parametrize("status", [b"413 Too Large", b"200 OK"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_an_answer_before_the_body_arrives_and_nothing_is_smuggled(
    scene: Scene, framing: str, status: bytes, closes: bool
) -> None:
    """What comes later, body or not, never is a request: neither here nor at the shop."""
    hidden = b"GET /smuggled HTTP/1.1\r\nhost: shop.example\r\n\r\n"
    scene.origin.on_head = early(b"HTTP/1.1 %b\r\ncontent-length: 4\r\n\r\nsoon" % status, closes=closes)
    client = await scene.client()
    field = b"content-length: 5000000" if framing == "length" else b"transfer-encoding: chunked"
    await client.send(scene.request(b"POST /upload", field) + (b"5\r\nstart\r\n" if framing == "chunked" else b"start"))

    head, body = await client.answer()
    try:
        for _ in range(20):
            await client.send(hidden)
        rest = await client.reader.read()
    except ConnectionError:
        rest = b""
    client.close()
    await until(lambda: not scene.origin.open, within_s=30)
    scene.origin.on_head = None
    answer = await scene.browser.open("/after")

    assert head.startswith(b"HTTP/1.1 " + status[:3])
    assert body == b"soon"
    assert b"connection: close" in head
    assert rest == b""
    assert answer.body == b"ok"
    assert [request.line.split(b" ")[1] for request in scene.origin.requests] == [b"/upload", b"/after"]


@pytest.mark.timed
@pytest.mark.parametrize("moment", ["waiting", "download", "upload"])
async def test_a_client_that_leaves_ends_the_exchange_with_the_shop_promptly(scene: Scene, moment: str) -> None:
    ended: list[float] = []

    async def note_the_end(wire: Wire, request: Received) -> None:
        try:
            if moment == "download":
                await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
                while True:
                    await wire.send(b"x" * 65_536)
            await wire.gone()
        except ConnectionError:
            pass
        ended.append(time.monotonic())

    scene.origin.on_head = note_the_end
    client = await scene.client()
    if moment == "upload":
        await client.send(scene.request(b"POST /", b"content-length: 1000000") + b"x" * 200_000)
    else:
        await client.send(scene.request(b"GET /"))
    await until(lambda: bool(scene.origin.requests), within_s=30)
    if moment == "download":
        await client.reader.readexactly(1_000_000)
    left_at = time.monotonic()

    client.writer.transport.abort()

    await until(lambda: bool(ended), within_s=30)
    assert ended[0] - left_at < PROMPTLY_S


async def test_a_long_answer_counts_as_being_seen(scene: Scene) -> None:
    """P10, P2: the seat's end moves on while nothing but one answer is under way. The seat of a newcomer whose first
    request it is stays provisional: nobody knows yet whether the cookie is kept.
    """

    async def drip(wire: Wire, request: Received) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        while True:
            await wire.send(b": still here\n\n")
            await asyncio.sleep(0.2)

    scene.origin.otherwise = drip
    reader, newcomer = await scene.client(), await scene.client()
    await reader.send(scene.request(b"GET /events"))
    await newcomer.send(b"GET /events HTTP/1.1\r\nhost: shop.example\r\n\r\n")
    await reader.head()
    found = re.search(rb"set-cookie: (waitroom_shop_pass)=([^;]+);", await newcomer.head())
    assert found
    stranger = Browser(scene.gateway.url)
    stranger.cookies[found[1].decode()] = found[2].decode()
    seats = [pass_of(scene.browser), pass_of(stranger)]

    await asyncio.sleep(0.6)
    first = [seat_end(scene.redis, seat) for seat in seats]
    async with asyncio.timeout(10):
        while seat_end(scene.redis, seats[0]) <= first[0]:
            await asyncio.sleep(0.2)
    moved_ms = [seat_end(scene.redis, seat) - end for seat, end in zip(seats, first, strict=True)]

    assert 2500 <= moved_ms[0] < 16_000, "not only at the end"
    assert first[1] > 0
    assert moved_ms[1] == 0
