"""nginx, HAProxy and Caddy, with the recipes we give for them, ask the gateway about each request and send those that
may pass to the shop themselves. What is promised of the gateway in the way holds here, too.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.app.front_support import DOCUMENT, Front, Placement, facts_of, placed, program, repeated_through_socket
from tests.app.live_support import run
from tests.support import Arrival
from waitroom.verify import Verifier

RECIPES = ("nginx-auth", "haproxy-auth", "caddy-auth")
SHARED = "shared-with-the-shop-0123456789abcdef"
SETTINGS = {
    "forward_auth": "1",
    "shop_secret": SHARED,
    "guard": "/shop/*,/live,/line/*,/open*",
    "bypass": "/open/*,header:X-Hook=0123456789abcdef-hook",
}
FORGED = {
    "waitroom-place": "0",
    "waitroom-admitted-at": "1",
    "waitroom-signature": "v1 1 x",
    "waitroom_place": "0",
    "x-original-url": "/open/a",
    "x-forwarded-uri": "/open/a",
    "x-forwarded-method": "OPTIONS",
    "x-forwarded-for": "203.0.113.9",
    "x-forwarded-host": "evil.example",
    "x-real-ip": "203.0.113.9",
    "x_forwarded_for": "203.0.113.9",
    "x_original_url": "/open/a",
}
TO_HTTP_2 = {"upgrade": "h2c", "connection": "Upgrade, HTTP2-Settings", "http2-settings": "AAMAAABkAAQAAP__"}
FOR_CDNS = ("surrogate-control", "cdn-cache-control", "edge-control")
API = {"accept": "application/json", "sec-fetch-dest": "empty"}
COOKIE_OF_THE_SHOP = "basket=7"


def field(arrival: Arrival, name: str) -> list[str]:
    return [value for key, value in arrival.headers if key == name]


def came_through_the_gateway(arrival: Arrival) -> bool:
    return bool(field(arrival, "via"))


def is_signed(arrival: Arrival) -> bool:
    fields = {key: value.encode() for key, value in arrival.headers}
    return Verifier(SHARED).passes(
        fields.get("waitroom-signature", b""),
        method=arrival.method.encode(),
        host=fields["host"],
        target=arrival.target.encode(),
        place=fields.get("waitroom-place", b""),
        admitted_at=fields.get("waitroom-admitted-at", b""),
    )


@pytest.mark.parametrize("name", RECIPES)
async def test_who_is_in_is_sent_to_the_shop_by_the_proxy_and_nobody_else(name: str, tmp_path: Path) -> None:
    """P5, P6, P7, P10: the first request comes through the gateway, the next ones do not; the line is the line."""
    async with placed(name, tmp_path, SETTINGS) as place, place.browser() as first, place.browser() as second:
        await inside(place, first)
        await outside(place, first, second)
        await by_other_rules(place, second)
        await in_every_reading(place)
        await called(place, second)
        await without_gateway(place, first)


async def inside(place: Placement, first: httpx.AsyncClient) -> None:
    shop, told = place.shop, {"cookie": COOKIE_OF_THE_SHOP, **DOCUMENT, **FORGED}
    for_cdns = "".join(f"{each}: max-age=60\r\n" for each in ("cache-control", *FOR_CDNS)).encode()
    shop.answers["/shop/seen"] = (
        b"HTTP/1.1 200 OK\r\nset-cookie: theirs=1\r\n" + for_cdns + b"content-length: 2\r\n\r\nok"
    )
    came = await first.get("/shop", headers=told)
    cookies = "; ".join([COOKIE_OF_THE_SHOP, *(f"{each.name}={each.value}" for each in first.cookies.jar), "z=1"])
    proved = await first.get("/shop/seen?x=%2F;y", headers={**told, "cookie": cookies})
    again = await first.get("/shop/a%2Fb//c;d", headers=DOCUMENT)
    only_head = await first.head("/shop", headers=DOCUMENT)
    posted = await first.post("/shop/cart", content=bytes(2_000_000))
    in_chunks = await first.post("/shop/cart", content=pieces())
    heard = await repeated_through_socket(place, first, b"hello" * 100)
    seen_again = await first.get("/shop/seen", headers=DOCUMENT)
    assert {*FOR_CDNS, "cache-control"} <= seen_again.headers.keys(), "the shop's word, where no pass is renewed"
    assert seen_again.headers["cache-control"] == "max-age=60"
    assert shop.arrivals.pop().target == "/shop/seen"

    assert in_chunks.status_code == 200
    assert [came.status_code, proved.status_code, only_head.status_code, posted.status_code] == [200] * 4
    assert heard == b"hello" * 100
    on_the_way, *direct = shop.arrivals
    assert came_through_the_gateway(on_the_way)
    assert not any(map(came_through_the_gateway, direct))
    assert [each.target for each in direct] == [
        "/shop/seen?x=%2F;y",
        "/shop/a%2Fb//c;d",
        "/shop",
        "/shop/cart",
        "/shop/cart",
        "/live",
    ]
    assert [each.method for each in direct] == ["GET", "GET", "HEAD", "POST", "POST", "GET"]
    assert [len(direct[3].body), len(direct[4].body)] == [2_000_000, 500_000]
    for each in shop.arrivals:
        assert is_signed(each), each
        assert field(each, "waitroom-place") == [str(on_the_way.place)], "the client's own word"
        assert not field(each, "waitroom_place")
        assert "waitroom" not in "".join(field(each, "cookie")).lower()
        assert field(each, "host") == field(each, "x-forwarded-host") == [place.url.removeprefix("https://")]
        assert not {"203.0.113.9", "evil.example", "/open/a"} & {
            value for name, value in each.headers if name.startswith(("x-forwarded-for", "x-real", "x_"))
        }
    assert not field(direct[0], "x-original-url")
    assert [each.strip() for each in field(direct[0], "cookie")[0].split(";") if each.strip()] == [
        COOKIE_OF_THE_SHOP,
        "z=1",
    ]
    set_cookies = proved.headers.get_list("set-cookie")
    assert [each.partition("=")[0] for each in sorted(set_cookies)] == ["__Host-waitroom_shop_pass", "theirs"]
    assert "private" in proved.headers["cache-control"], "the provisional pass was seen again: a new one"
    assert not set(FOR_CDNS) & proved.headers.keys()
    assert "set-cookie" not in again.headers


async def pieces() -> AsyncIterator[bytes]:
    for _ in range(50):
        yield bytes(10_000)


async def outside(place: Placement, first: httpx.AsyncClient, second: httpx.AsyncClient) -> None:
    shop = place.shop
    shop.arrivals.clear()
    waits = await second.get("/shop/page", headers={**DOCUMENT, **FORGED})
    reloaded = await second.get("/shop", headers=DOCUMENT)
    same_site = {"origin": place.url, "sec-fetch-site": "same-origin"}
    held = await second.get("/-/waitroom/status?hold=1", headers=same_site)
    asked = await second.get("/shop/api", headers={**API, **FORGED})
    sent = await second.post("/shop/cart", content=b"x" * 100, headers=DOCUMENT)
    forged = dict(first.cookies)
    forged = {key: value[:-6] + ("AAAAAA" if value[-6:] != "AAAAAA" else "BBBBBB") for key, value in forged.items()}
    by_forgery = httpx.get(f"{place.url}/shop", headers=DOCUMENT, cookies=forged, verify=place.tls)
    whole = ("", "/", "/open/a", "?else=401", "?x=/open/a")
    questions = [await first.get(f"/-/waitroom/auth{rest}", headers=FORGED) for rest in whole]

    assert waits.status_code == reloaded.status_code == 503
    assert waits.headers["cache-control"] == "private, no-store"
    assert waits.headers["set-cookie"].startswith("__Host-waitroom_shop_ticket=")
    assert facts_of(waits)["number"] == facts_of(reloaded)["number"]
    assert held.json()["state"] == "waiting"
    assert held.elapsed.total_seconds() > 0.8
    assert asked.status_code == sent.status_code == by_forgery.status_code == 503
    assert asked.headers["content-type"] == "application/problem+json"
    assert asked.json()["number"] == facts_of(waits)["number"]
    assert "Nothing was sent" in sent.text
    assert [each.status_code for each in questions if each.status_code < 400] == []
    assert not shop.arrivals, "without a pass"


async def by_other_rules(place: Placement, second: httpx.AsyncClient) -> None:
    """A bypassed path goes straight there, what the gateway bounds or cleans by way of it."""
    shop = place.shop
    static = await second.get("/open/a.css", headers={"sec-fetch-dest": "style", **FORGED})
    secret = {"x-hook": "0123456789abcdef-hook", **FORGED}
    smuggled = await second.get("/robots.txt", headers=TO_HTTP_2)
    no_switch = shop.arrivals.pop()
    assert (smuggled.status_code, no_switch.target) == (200, "/robots.txt")
    assert not came_through_the_gateway(no_switch)
    assert not field(no_switch, "upgrade")
    assert "upgrade" not in "".join(field(no_switch, "connection")).lower()
    hook = await second.post("/shop/hook", content=pieces(), headers=secret)
    preflight = {"origin": "https://other.example", "access-control-request-method": "PUT"}
    allowed = await second.options("/shop/api", headers=preflight)
    bypassed, hooked, preflown = shop.arrivals
    assert [static.status_code, hook.status_code, allowed.status_code] == [200, 200, 200]
    assert [came_through_the_gateway(each) for each in shop.arrivals] == [False, True, True]
    assert len(hooked.body) == 500_000
    for each in (bypassed, hooked, preflown):
        assert is_signed(each)
        assert not field(each, "waitroom-place")
        assert not field(each, "x-original-url")
        assert not field(each, "x-hook")
        assert "waitroom" not in "".join(field(each, "cookie"))


async def called(place: Placement, second: httpx.AsyncClient, *, through_the_gateway: bool = True) -> None:
    """The turn comes, and the request that waits for it goes on to the shop; the next one goes there by itself."""
    await run(place.gateway, "set", "rate=50/s", "burst=50")
    deadline = time.monotonic() + 15
    while (answer := await second.get("/shop/next", headers=DOCUMENT)).status_code != 200:
        assert time.monotonic() < deadline, answer.text
        await asyncio.sleep(0.1)
    await second.post("/shop/cart", content=b"1", headers=DOCUMENT)

    through, direct = place.shop.arrivals[-2:]
    assert (through.target, came_through_the_gateway(through)) == ("/shop/next", through_the_gateway)
    assert (direct.target, came_through_the_gateway(direct)) == ("/shop/cart", False)
    assert through.place == direct.place is not None


async def without_gateway(place: Placement, first: httpx.AsyncClient) -> None:
    """Nobody gets in unasked."""
    await place.gateway.stop()
    place.shop.arrivals.clear()
    assert (await first.get("/shop", headers=DOCUMENT)).status_code in (500, 502, 503)
    assert not place.shop.arrivals


TARGETS = (
    "/open/a", "/open", "/open/../line/a", "/open/..%2fline/a", "/open/%2e%2e/line/a", "/open/..;/line/a",
    "//line/a", "/line//a", "/LINE/a", "/%6cine/a", "/%256cine/a", "/open//../line", "/x/%2e%2e/line/a",
    "/line%2Fa", "/open%2f..%2fline", "/open\\..\\line", "/line;x=1/a", "/open/a?x=/line/a", "/line?/../open/a",
    "/./line/a", "/other", "/other/../open/a", "/-/waitroom/../line/a", "/%2d/waitroom/status", "/open/%zz",
    "/-/waitroom/auth/../../../open/a", "/-/waitroom/auth/x/../../status", "/-/waitroom/./auth/../../../open/a",
    "//-/waitroom/auth/open/a", "/-//waitroom/auth/open/a", "/%2d/waitroom/auth/open/a", "/-/waitroom/auth/open/a",
)  # fmt: skip


async def in_every_reading(place: Placement) -> None:
    """Just those targets come to the shop that the gateway in the way sends there, byte for byte."""
    asked: dict[str, str | None] = {}
    through: dict[str, str | None] = {}
    for target in TARGETS:
        asked[target] = await raw(place, target)
        through[target] = await raw(place, target, port=int(place.gateway.environment["WAITROOM_PORT"]))
    passed_on = {target: got for target, got in asked.items() if got is not None}

    assert passed_on.items() <= through.items()
    for target in ("/-/waitroom/auth/open/a", "/-/waitroom/auth/x/../../status", "/-/waitroom/auth/../../../open/a"):
        assert b" 404 " in await answer_to(place, target), "nobody may ask from outside"
    assert {"/open/a", "/other", "/open/a?x=/line/a"} <= passed_on.keys()


async def raw(place: Placement, target: str, *, port: int | None = None) -> str | None:
    """What the shop gets of it, sent byte for byte; through the proxy, or to the gateway's own port."""
    place.shop.arrivals.clear()
    await answer_to(place, target, port=port)
    return place.shop.arrivals[0].target if place.shop.arrivals else None


async def answer_to(place: Placement, target: str, *, port: int | None = None) -> bytes:
    """The first line of it."""
    host = place.url.removeprefix("https://")
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(
            "localhost" if port is None else "127.0.0.1",
            int(host.rpartition(":")[2]) if port is None else port,
            ssl=place.tls if port is None else None,
        )
        accept = "accept: text/html\r\nsec-fetch-dest: document"
        writer.write(f"GET {target} HTTP/1.1\r\nhost: {host}\r\n{accept}\r\nconnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
    return answer.partition(b"\r\n")[0]


AS_TRAEFIK_DOES = """{
	admin off
	auto_https disable_redirects
}
https://localhost:%d {
	tls %s %s
	handle /-/waitroom/* {
		reverse_proxy 127.0.0.1:%d
	}
	handle {
		route {
			reverse_proxy 127.0.0.1:%d {
				method GET
				rewrite /-/waitroom/auth
				header_up X-Forwarded-Method {method}
				header_up X-Forwarded-Uri {uri}
				@renewed {
					status 200
					header Set-Cookie *
				}
				handle_response @renewed {
					header +Set-Cookie {rp.header.Set-Cookie}
					request_header Waitroom-Place {rp.header.Waitroom-Place}
				}
				@in {
					status 200
					header Waitroom-Place *
				}
				handle_response @in {
					request_header Waitroom-Place {rp.header.Waitroom-Place}
				}
				@free status 200
				handle_response @free {
					request_header -Waitroom-Place
				}
			}
			reverse_proxy 127.0.0.1:%d
		}
	}
}
"""


def as_traefik_does(front: Front) -> list[str]:
    """Asks, gives the answer as it is unless it is 200, and adds the cookies of a 200 to the shop's answer."""
    gateway = front.gateways[0]
    text = AS_TRAEFIK_DOES % (front.port, front.pem, front.pem, gateway, gateway, front.shop)
    return [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(front.write("Caddyfile", text))]


async def test_a_proxy_that_can_only_ask_is_given_the_whole_answer(tmp_path: Path) -> None:
    """P4, P6, P7: the page with its ticket, a problem, or in: on the spot, or when the turn has come."""
    async with placed("caddy", tmp_path, SETTINGS | {"trusted_proxies": "127.0.0.1/32"}, as_traefik_does) as place:
        first, second = place.browser(), place.browser()
        async with first, second:
            came = await first.get("/shop", headers=DOCUMENT)
            posted = await first.post("/shop/cart", content=b"1")
            waits = await second.get("/shop/deep?x=1", headers=DOCUMENT)
            reloaded = await second.get("/shop", headers=DOCUMENT)
            only_head = await second.head("/shop", headers=DOCUMENT)
            asked = await second.get("/shop/api", headers=API)
            sent = await second.post("/shop/cart", content=b"x", headers=DOCUMENT)
            with pytest.raises(AssertionError, match="503"):
                await repeated_through_socket(place, second, b"hello")
            free = await second.get("/open/a", headers=API)
            arrivals = [(each.method, each.target) for each in place.shop.arrivals]
            await questions(place)
            await called(place, second, through_the_gateway=False)

    assert [came.status_code, posted.status_code, free.status_code] == [200, 200, 200]
    assert came.headers["set-cookie"].startswith("__Host-waitroom_shop_pass=")
    assert arrivals == [("GET", "/shop"), ("POST", "/shop/cart"), ("GET", "/open/a")]
    assert [each.status_code for each in (waits, reloaded, only_head, asked, sent)] == [503] * 5
    assert waits.headers["set-cookie"].startswith("__Host-waitroom_shop_ticket=")
    assert waits.headers["cache-control"] == "private, no-store"
    assert facts_of(waits)["number"] == facts_of(reloaded)["number"] == asked.json()["number"]
    assert "/shop/deep?x=1" in waits.text
    assert only_head.content == b""
    assert "Nothing was sent" in sent.text


async def questions(place: Placement) -> None:
    """The route itself: who may ask, and how."""

    async def answer(rest: str, *fields: tuple[str, str], method: str = "GET", source: str = "127.0.0.1") -> int:
        port = int(place.gateway.environment["WAITROOM_PORT"])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        lines = [f"{method} /-/waitroom/auth{rest} HTTP/1.1", "host: gateway", *(f"{a}: {b}" for a, b in fields)]
        writer.write("\r\n".join([*lines, "connection: close", "", ""]).encode())
        head = (await reader.read()).split(b"\r\n")[0]
        writer.close()
        return int(head.split(b" ")[1])

    def about(target: str, method: str = "GET") -> tuple[tuple[str, str], ...]:
        return ("x-forwarded-method", method), ("x-forwarded-uri", target)

    free, behind = about("/open/a"), about("/shop")
    assert await answer("", *free) == 200
    assert await answer("", *behind) == 503
    assert await answer("?else=401", *free) == 200
    assert await answer("?else=401", *behind) == 401
    assert await answer("/open/a") == 200
    assert await answer("/shop", *free) == 429, "what stands in the path is what counts"
    assert await answer("/shop", method="POST") == 429
    assert await answer("/a/../shop") == 429, "ours in every reading"
    assert await answer("/../../../open/a") == 400, "not the proxy's question"
    assert await answer("/%2e%2e/%2e%2e/%2e%2e/open/a") == 400
    assert await answer("/shop", ("accept", "text/html"), method="HEAD") == 429
    assert await answer("", *free, source="127.0.0.2") == 404, "no trusted proxy"
    assert await answer("", ("x-forwarded-uri", "/open/a")) == 400
    assert await answer("", *free, ("x-forwarded-uri", "/open/a")) == 400
    assert await answer("", *free, ("x-forwarded-method", "GET")) == 400
    assert await answer("", *about("/open/a", "G ET")) == 400
    assert await answer("", *about("/open/a", "TRACE")) == 405
    assert await answer("", *about("/-/waitroom/status?hold=25")) == 404
    assert await answer("?else=401", *about("/-/waitroom/status")) == 401
    assert await answer("", *about("/-/waitroom/../shop")) == 400
    assert await answer("", *about("http://gateway/open/a")) == 400, "another host than the one that is asked"
