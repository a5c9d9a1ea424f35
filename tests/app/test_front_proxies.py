"""TLS ends at a real proxy with the recipe we give for it; behind it the gateway, a line, and a shop.

Cookies secure and prefixed, scheme and client address right, nothing cached, nothing tried twice, no gateway taken out
for its waiting pages, held polls and WebSockets left alone.
"""

import asyncio
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.app.front_support import (
    DOCUMENT,
    PROXIES,
    Front,
    facts_of,
    placed,
    program,
    repeated_through_socket,
    until_ready,
)
from tests.support import Gateway, free_port, running_gateway, running_redis, running_shop
from waitroom.cli.placement.findings import Finding
from waitroom.cli.placement.outside import outside_findings
from waitroom.cli.placement.store import redis_findings
from waitroom.config import load

RECIPES = ("nginx", "haproxy", "caddy", "apache")


def look_from_outside(gateway: Gateway, *, hold_s: int = 1) -> list[Finding]:
    """What `waitroom check --deep` says of the way from outside, with a shorter held poll."""
    settings = load({name: text for name, text in gateway.environment.items() if name.startswith("WAITROOM_")})
    _, room = redis_findings(gateway.environment["WAITROOM_REDIS_URL"], settings)
    assert room is not None
    return list(outside_findings(settings, room, hold_s=hold_s))


@pytest.mark.parametrize("name", RECIPES)
async def test_a_recipe_puts_the_gateway_behind_tls(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One walks in, the others wait with numbers of their own; what the shop is told is what the proxy saw. The deep
    check finds nothing in front of the gateway, and nothing of it reaches the shop.
    """
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    async with placed(name, tmp_path) as place, place.browser() as first, place.browser() as second:
        forged = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "http", "x-forwarded-host": "evil.example"}
        forged["x-real-ip"] = "203.0.113.9"
        inside = await first.get("/a%2Fb//c?x=1;y", headers={**DOCUMENT, **forged})
        waits = await second.get("/", headers=DOCUMENT)
        same_site = {"origin": place.url, "sec-fetch-site": "same-origin"}
        held = await second.get("/-/waitroom/status?hold=1", headers=same_site)
        numbers = []
        for _ in range(12):
            async with place.browser() as newcomer:
                numbers.append(facts_of(await newcomer.get("/", headers=DOCUMENT))["number"])
        upload = await first.post("/upload", content=bytes(3_000_000), headers=same_site)
        heard = await repeated_through_socket(place, first, b"hello" * 100)
        findings = await asyncio.to_thread(look_from_outside, place.gateway)

    asked, posted, switched = place.shop.served()
    told = dict(asked.headers)
    host = place.url.removeprefix("https://")
    assert inside.status_code == 200
    assert asked.target == "/a%2Fb//c?x=1;y"
    assert (told["host"], told["x-forwarded-proto"], told["x-forwarded-host"]) == (host, "https", host)
    assert set(told["x-forwarded-for"].split(", ")) <= {"127.0.0.1", "::1"}, "what the client claimed"
    assert told.get("x-real-ip", "::1") in {"127.0.0.1", "::1"}
    name_and_value, *attributes = inside.headers["set-cookie"].split("; ")
    assert name_and_value.startswith("__Host-waitroom_shop_pass=")
    assert {"Secure", "HttpOnly", "SameSite=None", "Path=/"} <= set(attributes)

    assert waits.status_code == 503
    assert waits.headers["cache-control"] == "private, no-store"
    assert waits.headers["set-cookie"].startswith("__Host-waitroom_shop_ticket=")
    assert held.json()["state"] == "waiting"
    assert held.elapsed.total_seconds() > 0.8
    assert numbers == [*range(facts_of(waits)["number"] + 1, facts_of(waits)["number"] + 13)], "cached, or tried twice"

    assert upload.status_code == 200
    assert len(posted.body) == 3_000_000
    assert switched.target == "/live"
    assert heard == b"hello" * 100
    assert findings == []
    assert len(place.shop.arrivals) == 3


@pytest.mark.parametrize(
    ("careless", "words"),
    [
        (
            {"proxy_intercept_errors off": "proxy_intercept_errors on; error_page 503 =200 /sorry"},
            ["turns our 503 into 200"],
        ),
        (
            {"proxy_set_header Upgrade $http_upgrade;": "", "proxy_read_timeout 15m": "proxy_read_timeout 1s"},
            ["does not pass WebSockets on", "answers 504 to a held poll after 1 s"],
        ),
    ],
    ids=["own error pages", "short of time, without upgrades"],
)
async def test_the_deep_check_names_what_a_careless_nginx_does(
    careless: dict[str, str], words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))

    def command(front: Front) -> list[str]:
        started = PROXIES["nginx"](front)
        text = (tmp_path / "nginx.conf").read_text()
        for good, bad in careless.items():
            assert good in text
            text = text.replace(good, bad)
        front.write("nginx.conf", text)
        return started

    async with placed("nginx", tmp_path, {"bypass": "/sorry"}, command) as place:
        findings = await asyncio.to_thread(look_from_outside, place.gateway, hold_s=3)

    assert len(findings) == len(words)
    assert all(word in finding.sentence for word, finding in zip(words, findings, strict=True)), findings


async def switch(port: int, cookie: str) -> bytes:
    """What comes through plain HTTP: to a handshake, and to what is sent after it; up to the end, or `hello`."""
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"GET /live HTTP/1.1\r\nhost: shop.example\r\ncookie: {cookie}\r\nx-forwarded-proto: https\r\n"
            "upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\n"
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        got = await reader.readuntil(b"\r\n\r\n")
        if b" 101 " in got:
            writer.write(b"hello")
            got += await reader.readexactly(5)
        else:
            writer.write(b"GET /page HTTP/1.1\r\nhost: shop.example\r\n\r\n")
            got += await reader.read()
        writer.close()
        return got


async def test_varnish_keeps_static_files_and_nothing_else(tmp_path: Path) -> None:
    """The shop is asked once for a file that may be kept, and for each page; a waiting page is nobody else's."""
    varnish = program("varnishd")
    url = "https://shop.example"
    given = {"public_url": url, "trusted_proxies": "127.0.0.1/32", "rate": "1/h", "burst": "1", "guard": "/*"}
    with running_redis() as redis:
        async with running_shop() as shop, running_gateway(shop, redis.url, **given) as gateway:
            for path in ("/static/a.css", "/page"):
                shop.answers[path] = b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 2\r\n\r\nok"
            front = Front(tmp_path, free_port(), [int(gateway.environment["WAITROOM_PORT"])])
            text = front.recipe("varnish.vcl").replace('.port = "8080"', f'.port = "{front.gateways[0]}"')
            recipe = front.write("varnish.vcl", text)
            listening = f"127.0.0.1:{front.port}"
            command = [varnish, "-j", "none", "-F", "-a", listening, "-f", str(recipe), "-n", str(tmp_path / "v")]
            with (tmp_path / "out").open("wb") as out:
                process = subprocess.Popen([*command, "-s", "malloc,16m"], stdout=out, stderr=out)
            try:
                here = f"http://{listening}"
                await until_ready(here, None, process, tmp_path)
                async with httpx.AsyncClient(base_url=here, trust_env=False, timeout=20) as client:
                    secure = {**DOCUMENT, "x-forwarded-proto": "https", "host": "shop.example"}
                    inside = await client.get("/", headers=secure)
                    cookie = inside.headers["set-cookie"].partition(";")[0]
                    confirmed = await client.get("/", headers={**secure, "cookie": cookie})
                    cookie = confirmed.headers["set-cookie"].partition(";")[0]
                    for _ in range(2):
                        await client.get("/static/a.css", headers={"host": "shop.example", "cookie": cookie})
                        await client.get("/page", headers={**secure, "cookie": cookie})
                    to_http_2 = {"upgrade": "h2c", "connection": "Upgrade"}
                    no_pipe = await client.get("/page", headers={**secure, **to_http_2, "cookie": cookie})
                    switched = await switch(front.port, cookie)
                    refused = await switch(front.port, "")
                    waits = [facts_of(await client.get("/page", headers=secure))["number"] for _ in range(3)]
            finally:
                process.terminate()
                await asyncio.to_thread(process.wait, 20)

    assert cookie.startswith("__Host-waitroom_shop_pass=")
    assert [arrival.target for arrival in shop.served()] == [
        "/",
        "/",
        "/static/a.css",
        "/page",
        "/page",
        "/page",
        "/live",
    ]
    assert no_pipe.status_code == 200
    assert "x-varnish" in no_pipe.headers, "not piped"
    assert switched.startswith(b"HTTP/1.1 101 ")
    assert switched.endswith(b"\r\n\r\nhello")
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert refused.count(b"HTTP/1.1 ") == 1, "what follows a refused handshake is nobody's request"
    assert waits == [waits[0], waits[0] + 1, waits[0] + 2]
