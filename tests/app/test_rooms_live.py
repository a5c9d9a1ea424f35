"""Several rooms in one running gateway: two lines before one shop, each with its own tickets, passes and figures."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.app.live_support import ask, browsers, cookies, run
from tests.support import (
    Gateway,
    RedisServer,
    Shop,
    free_port,
    page_facts,
    running_gateway,
    running_redis,
    running_shop,
)
from waitroom.demo.browser import Answer, Browser

TOKEN = "t" * 32
ROOMS = """
shop_name = "Kiosk"
rate = "unlimited"

[rooms.drop]
guard = "/products/one*"
rate = "1/h"
shop_name = "The Drop"
order_routes = "POST /products/one/buy"
"""


@asynccontextmanager
async def shop_with_rooms(redis: RedisServer, folder: Path, **more: str) -> AsyncIterator[tuple[Shop, Gateway]]:
    path = folder / "waitroom.toml"
    path.write_text(ROOMS)
    async with running_shop() as shop, running_gateway(shop, redis.url, config=str(path), **more) as gateway:
        yield shop, gateway


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


async def until_ok(get: Callable[[], Awaitable[Answer]]) -> Answer:
    """Somebody who tries again until let in, within ten seconds."""
    for _ in range(50):
        answer = await get()
        if answer.status == 200:
            return answer
        await asyncio.sleep(0.2)
    return answer


AROUND = ("/a/..%2fproducts/one", "/products%2fone", "/%70roducts/one", "//products/one", "/x\\..\\products/one")


async def take_the_one_seat(gateway: Gateway, visitor: Browser) -> None:
    """The drop lets one person in an hour: this one."""
    assert b"The shop" in (await visitor.open("/products/one")).body


async def test_one_room_has_a_line_while_another_lets_everybody_through(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with shop_with_rooms(redis_server, tmp_path, workers="2") as (shop, gateway):
        with browsers(gateway, 6) as (first, *others):
            await take_the_one_seat(gateway, first)

            pages = [await other.open("/products/one-red") for other in others]
            walks = [await other.open("/products/two") for other in others]
            again = [await other.open("/products/one") for other in others]

            # A line before the drop, with a place each; the rest of the shop is open, also to who waits for the drop.
            assert [page.status for page in pages] == [503] * 5
            assert sorted(page_facts(page)["number"] for page in pages) == [1, 2, 3, 4, 5]
            assert all(b"The Drop" in page.body and b"room=drop" in page.body for page in pages)
            assert [walk.status for walk in walks] == [200] * 5
            # A pass of the one room is nothing in the other: they hold the shop's, and wait on for the drop.
            assert [page.status for page in again] == [503] * 5
            for other in others:
                assert {"waitroom_drop_ticket", "waitroom_shop_pass"} <= other.cookies.keys()
            # Nothing of the drop reached the shop but for the one who was let in.
            assert len([one for one in shop.arrivals if one.target.startswith("/products/one")]) == 1
            # The token itself is the room's, whatever cookie it comes in.
            stolen = {"waitroom_drop_pass": others[0].cookies["waitroom_shop_pass"]}
            field = "; ".join(f"{name}={value}" for name, value in stolen.items())
            answer = await ask(gateway, "GET", "/products/one", ("cookie", field), ("accept", "application/json"))
            assert answer.status == 503

            # Own routes are the environment's room's, unless they name another.
            here = (await others[0].fetch("/-/waitroom/status")).json()
            there = (await others[0].fetch("/-/waitroom/status?room=drop&shown=9")).json()
            nowhere = await others[0].fetch("/-/waitroom/status?room=none")
            assert (here["state"], there["state"], nowhere.status) == ("admitted", "waiting", 404)
            refused = (await ask(gateway, "GET", "/products/one/data", ("accept", "application/json"))).json()
            assert refused["enter_url"].endswith("/-/waitroom/enter?room=drop&to=/products/one")


async def test_no_spelling_of_a_path_is_a_way_around_a_room(redis_server: RedisServer, tmp_path: Path) -> None:
    """P6: whatever the shop may read as the drop needs a pass of the drop, and of the other room that it may be in."""
    async with shop_with_rooms(redis_server, tmp_path) as (shop, gateway):
        with browsers(gateway, 3) as (inside, outside, new):
            await take_the_one_seat(gateway, inside)
            await outside.open("/")  # holds the shop's pass
            assert (await outside.open("/products/one")).status == 503
            before = len(shop.arrivals)
            for target in AROUND:
                refused = await ask(gateway, "GET", target, *cookies(outside).items(), ("accept", "text/html"))
                assert refused.status == 503, target
            assert len(shop.arrivals) == before

            # Who holds the drop's pass alone gets the other one on the spot, and goes on with the same request.
            only = ("cookie", f"waitroom_drop_pass={inside.cookies['waitroom_drop_pass']}")
            for target in AROUND:
                got = await ask(gateway, "GET", target, only, ("accept", "text/html"))
                assert got.status == 200
                assert any("waitroom_shop_pass=" in value for name, value in got.headers if name == "set-cookie")
                assert shop.arrivals[-1].target == target

            # Where there is room in both, a newcomer gets both on the way.
            await run(gateway, "set", "rate=unlimited", "--room", "drop")
            await until_ok(lambda: new.open("//products/one"))
            assert {"waitroom_drop_pass", "waitroom_shop_pass"} <= new.cookies.keys()


async def test_no_field_that_names_another_path_leads_from_one_room_into_another(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """P6: a shop that serves what X-Original-URL names would hand out the drop to whoever holds a pass of the rest."""
    async with shop_with_rooms(redis_server, tmp_path) as (shop, gateway):
        with browsers(gateway, 1) as (visitor,):
            await visitor.open("/")
            for name in ("x-original-url", "x-rewrite-url", "X_Original_URL", "x-rewrite.url"):
                asked = await ask(
                    gateway, "GET", "/products/two", *cookies(visitor).items(), (name, "/products/one"), ("dnt", "1")
                )
                assert asked.status == 200
                names = {each for each, _ in shop.arrivals[-1].headers}
                assert "dnt" in names
                assert name.lower() not in names


async def test_a_cookie_of_the_first_of_two_rooms_keeps_an_answer_out_of_shared_caches(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """The shop lets a CDN keep the answer, and only the gate in front adds a pass to it: kept, it would be everybody's
    pass. So the answer is private.
    """
    async with shop_with_rooms(redis_server, tmp_path) as (shop, gateway):
        kept = b"cache-control: public, s-maxage=600\r\nsurrogate-control: max-age=600\r\n"
        shop.answers[AROUND[0]] = b"HTTP/1.1 200 OK\r\n" + kept + b"content-length: 2\r\n\r\nok"
        with browsers(gateway, 1) as (visitor,):
            await visitor.open("/")
            await visitor.open("/")  # a pass of the wide room that is not due yet

            got = await ask(gateway, "GET", AROUND[0], *cookies(visitor).items(), ("accept", "text/html"))

            set_ = [value for name, value in got.headers if name == "set-cookie"]
            assert [value.partition("=")[0] for value in set_] == ["waitroom_drop_pass"]
            assert [value for name, value in got.headers if name == "cache-control"] == [
                'private, no-cache="set-cookie"'
            ]
            assert "surrogate-control" not in dict(got.headers)


async def test_an_order_of_a_further_room_is_asked_about_on_that_rooms_page(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """The shop fails, so nobody knows what came of the order; sent again, it leads to a page. The environment's room
    has no orders: without the room in its address there would be nothing.
    """
    async with shop_with_rooms(redis_server, tmp_path) as (shop, gateway):
        shop.answers["/products/one/buy"] = b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"
        with browsers(gateway, 1) as (visitor,):
            await take_the_one_seat(gateway, visitor)
            form = [*cookies(visitor).items(), ("accept", "text/html"), ("sec-fetch-site", "same-origin")]
            form.append(("content-type", "application/x-www-form-urlencoded"))

            async def post(target: str, body: bytes) -> Answer:
                return await ask(gateway, "POST", target, *form, body=body)

            first, again = [await post("/products/one/buy", b"basket=7") for _ in range(2)]
            page = dict(again.headers)["location"]
            asked = await ask(gateway, "GET", page, *form)
            said = await post("/-/waitroom/orders/again?room=drop", page.partition("?")[2].encode())

            assert (first.status, again.status) == (500, 303)
            assert page.startswith("/-/waitroom/orders?room=drop&attempt=")
            assert (asked.status, b'data-view="unsure"' in asked.body) == (200, True)
            assert (said.status, dict(said.headers)["location"]) == (303, page.replace("again=ask", "again=said"))


IN_METRICS = {
    'waitroom_room_issued{room="drop"} 4.0',
    'waitroom_numbers_total{room="drop"} 3.0',
    'waitroom_numbers_total{room="shop"} 0.0',
    'waitroom_worker_ready{worker="1"} 1.0',
}


async def test_commands_and_the_admin_listener_know_every_room(redis_server: RedisServer, tmp_path: Path) -> None:
    admin_at = {"admin_listen": f"127.0.0.1:{free_port()}", "admin_token": TOKEN}
    async with shop_with_rooms(redis_server, tmp_path, workers="2", **admin_at) as (_, gateway):
        with browsers(gateway, 4) as visitors:
            for visitor in visitors:
                await visitor.open("/products/one")
            await visitors[0].open("/")
            greeting = gateway.log.read_text()
            assert "Guarding /products/one* of" in greeting
            assert "(room drop)" in greeting

            for _ in range(50):
                told = [json.loads(line) for line in (await run(gateway, "status", "--json")).splitlines()]
                if told[1]["issued"] >= 4:
                    break
                await asyncio.sleep(0.1)
            assert [room["room"] for room in told] == ["shop", "drop"]
            assert (told[0]["rate"], told[1]["rate"]) == ("unlimited", "1/h")
            (only,) = (await run(gateway, "status", "--json", "--room", "drop")).splitlines()
            assert json.loads(only)["room"] == "drop"
            await run(gateway, "hold", "Counting", "--room", "drop")
            held = await run(gateway, "status")
            assert held.index("shop") < held.index("drop") < held.index("on hold")
            assert held.count("on hold") == 1
            await run(gateway, "resume", "--room", "drop")
            wrong = await asyncio.to_thread(gateway.command, "hold", "x", "--room", "dorp")
            assert (wrong.returncode, "there are shop, drop" in wrong.stderr) == (2, True)

            async with httpx.AsyncClient(
                base_url=f"http://{gateway.environment['WAITROOM_ADMIN_LISTEN']}",
                headers={"authorization": f"Bearer {TOKEN}"},
            ) as admin:
                rooms = (await admin.get("/api/rooms")).json()["rooms"]
                drop = (await admin.get("/api/room?room=drop")).json()
                changed = await admin.post("/api/set?room=drop", json={"rate": "2/h"})
                assert (changed.status_code, changed.json()["changed"]) == (200, True)
                after = [(await admin.get(f"/api/room?room={name}")).json()["rate"] for name in ("shop", "drop")]
                unknown = await admin.get("/api/room?room=x")
                async with asyncio.timeout(20):  # a scrape is of the last two seconds
                    while not {*(await admin.get("/metrics")).text.splitlines()} >= IN_METRICS:
                        await asyncio.sleep(0.1)
                health = (await admin.get("/health")).json()
            assert [room["room"] for room in rooms] == ["shop", "drop"]
            assert (drop["room"], drop["issued"]) == ("drop", 4)
            assert after == ["unlimited", "2/h"]
            assert (unknown.status_code, "there are shop, drop" in unknown.json()["detail"]) == (404, True)
            assert (health["status"], [*health["rooms"]]) == ("ok", ["shop", "drop"])


async def test_forward_auth_asks_the_room_of_the_target(redis_server: RedisServer, tmp_path: Path) -> None:
    more = {"forward_auth": "1", "trusted_proxies": "127.0.0.1/32"}
    async with shop_with_rooms(redis_server, tmp_path, **more) as (_, gateway):
        with browsers(gateway, 2) as (first, second):
            await second.open("/")
            # The seat is taken, or this one takes it: either way the second waits.
            await first.open("/products/one")
            await second.open("/products/one")

            async def asked(target: str, query: str = "") -> int:
                fields = [("x-forwarded-method", "GET"), ("x-forwarded-uri", target), ("accept", "text/html")]
                return (await ask(gateway, "GET", f"/-/waitroom/auth{query}", *fields, *cookies(second).items())).status

            assert await asked("/products/two") == 200
            assert await asked("/products/one") == 503
            assert await asked("/a/..%2fproducts/one") == 503
            assert await asked("/products/two", "?else=401") == 200
            assert await asked("/products/one", "?else=401") == 401
            assert await asked("/a/..%2fproducts/one", "?else=401") == 401
