"""`waitroom check --deep`: one thing is wrong at a time, on real servers; the sentence names it, and what mends it."""

import asyncio
import json
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from time import time

import pytest
import redis as sync_redis
import trustme

from tests.app.placement_support import Front, Message, PlantedShop, later, page, planted_shop, serving
from tests.redis_sets import running_sentinel
from tests.support import SECRET, Gateway, RedisServer, free_port, running_redis
from waitroom.cli.console import Progress
from waitroom.cli.placement.findings import Finding
from waitroom.cli.placement.limits import machine_findings, settings_findings
from waitroom.cli.placement.outside import outside_findings
from waitroom.cli.placement.shop import shop_findings
from waitroom.cli.placement.store import Seen, redis_findings, role_findings, speed_findings
from waitroom.config import load
from waitroom.core.settings import Settings
from waitroom.store.overview import Overview

Answer = Callable[[Message], Message]
FAULT, WARNING = "fault", "warning"


def settings(**given: str) -> Settings:
    usual = {"origin": "http://127.0.0.1:1", "public_url": "https://shop.example", "trusted_proxies": "127.0.0.1"}
    return load({f"WAITROOM_{name.upper()}": text for name, text in ({**usual, "secret": SECRET} | given).items()})


def found(findings: list[Finding], severity: str, *words: str) -> bool:
    return any(each.severity == severity and all(word in each.sentence for word in words) for each in findings)


# The shop


def redirect(to: str) -> Answer:
    return lambda request: page(("location", to.replace("ORIGIN", request.get("x-port"))), status=302)


def html(body: str) -> Answer:
    return lambda request: page(body=body.encode())


def cookie(value: str) -> Answer:
    return lambda request: page(("set-cookie", value))


def only_own_name(request: Message) -> Message:
    return page(status=200 if request.get("host").startswith("127.0.0.1") else 400)


def believes_nothing(request: Message) -> Message:
    return page(("location", f"https://{request.get('host')}/"), status=301)


def wrong_clock(request: Message) -> Message:
    return page(("date", formatdate(time() - 300, usegmt=True)))


PORT = [0]
HTTP = {"public_url": "http://shop.example"}
SHOPS: dict[str, tuple[Answer, dict[str, str], str, tuple[str, ...]]] = {
    "redirects to itself": (
        lambda request: page(("location", f"http://127.0.0.1:{PORT[0]}/de/"), status=302),
        {},
        FAULT,
        ("redirects / to http://127.0.0.1", "past the gateway", "X-Forwarded-Host"),
    ),
    "redirects to another scheme": (redirect("http://shop.example/de"), {}, FAULT, ("to http,", "X-Forwarded-Proto")),
    "wants https": (redirect("https://shop.example/"), HTTP, FAULT, ("to https,", "WAITROOM_PUBLIC_URL")),
    "redirects for ever": (believes_nothing, {}, FAULT, ("to itself, for ever", "X-Forwarded-Proto")),
    "redirects elsewhere": (redirect("https://www.other.example/"), {}, WARNING, ("https://www.other.example",)),
    "a later step redirects away": (
        lambda request: (
            page(("location", "/de"), status=302)
            if request.target == "/"
            else page(("location", "http://shop.example/x"), status=302)
        ),
        {},
        FAULT,
        ("redirects /de to http,",),
    ),
    "canonical": (
        lambda request: page(body=b'<link rel="canonical" href="http://127.0.0.1:%d/">' % PORT[0]),
        {},
        FAULT,
        ("own address in <link>", "past the gateway"),
    ),
    "base": (
        lambda request: page(body=b"<base href=//127.0.0.1:%d/>" % PORT[0]),
        {},
        FAULT,
        ("own address in <base>",),
    ),
    "links to http": (html('<a class="x" href="http://shop.example/cart">'), {}, WARNING, ("links to http",)),
    "Secure under http": (cookie("basket=1; Secure; Path=/"), HTTP, FAULT, ("basket", "it is Secure", "PUBLIC_URL")),
    "another Domain": (cookie("basket=1; Domain=.other.example"), {}, FAULT, ("Domain=other.example", "shop.example")),
    "__Host- with Domain": (
        cookie("__Host-b=1; Secure; Path=/; Domain=shop.example"),
        {},
        FAULT,
        ("__Host- name needs Secure, Path=/ and no Domain",),
    ),
    "None without Secure": (cookie("b=1; SameSite=None"), {}, FAULT, ("SameSite=None without Secure",)),
    "a short session": (cookie("sessionid=1; Max-Age=120"), {}, WARNING, ("lives 2m", "WAITROOM_SESSION_IDLE")),
    "refuses the Host": (only_own_name, {}, FAULT, ("400 to the Host shop.example", "WAITROOM_ORIGIN_HOST=127.0.0.1:")),
    "refuses every Host": (lambda request: page(status=421), {}, WARNING, ("with 421", "WAITROOM_ORIGIN_HOST")),
    "5xx": (lambda request: page(status=500), {}, FAULT, ("answers GET / with 500",)),
    "slow": (
        lambda request: later(1.1, page()) if request.target == "/" else page(),
        {},
        WARNING,
        ("1.1 s to begin", "WAITROOM_RATE"),
    ),
    "public": (lambda request: page(("cache-control", "public, max-age=60")), {}, WARNING, ("public", "CDN")),
    "s-maxage": (lambda request: page(("cache-control", "s-maxage=60")), {}, WARNING, ("s-maxage=60", "CDN")),
    "clock": (wrong_clock, {}, WARNING, ("300 s behind", "NTP")),
    "clock and signature": (
        wrong_clock,
        {"shop_secret": SECRET + "2"},
        FAULT,
        ("300 s behind", "WAITROOM_SHOP_SECRET"),
    ),
    "closes": (lambda request: page(("connection", "close")), {}, WARNING, ("closes the connection", "keep-alive")),
    "a gateway": (
        lambda request: page(body=b'{"state":"none","next_poll_s":5.0}'),
        {},
        FAULT,
        ("is a waiting room", "WAITROOM_ORIGIN"),
    ),
}


@pytest.mark.parametrize("name", SHOPS)
def test_what_is_wrong_with_a_shop_is_said(name: str) -> None:
    answer, given, severity, words = SHOPS[name]

    with planted_shop(answer) as shop:
        PORT[0] = shop.port
        findings = list(shop_findings(settings(origin=f"http://127.0.0.1:{shop.port}", **given), idle_s=0.05))

    assert found(findings, severity, *words), findings
    assert len(findings) <= 2


def test_a_shop_that_closes_idle_connections_soon_is_named() -> None:
    with planted_shop(idle_s=0.2) as shop:
        findings = list(shop_findings(settings(origin=f"http://127.0.0.1:{shop.port}", retry="0")))

    assert found(findings, WARNING, "closes idle connections", "WAITROOM_RETRY=1")


def test_nothing_is_said_of_a_shop_that_is_well_and_it_is_asked_as_by_the_gateway() -> None:
    with planted_shop(lambda request: page(("set-cookie", "s=1; Secure; HttpOnly; Path=/"))) as shop:
        findings = list(
            shop_findings(settings(origin=f"http://127.0.0.1:{shop.port}", shop_secret=SECRET), idle_s=0.05)
        )

    (_, request) = shop.requests
    assert findings == []
    assert (request.target, request.get("host")) == ("/", "shop.example")
    assert (request.get("x-forwarded-proto"), request.get("x-forwarded-port")) == ("https", "443")
    assert request.get("waitroom-signature").startswith("v1 ")


# The settings, and the machine

SETTINGS: list[tuple[dict[str, str], str, tuple[str, ...]]] = [
    ({"rate": "0"}, WARNING, ("WAITROOM_RATE=0",)),
    ({"rate": "1/s", "burst": "50"}, WARNING, ("WAITROOM_BURST=50", "50 s")),
    ({"rate": "20/s", "max_active": "10"}, WARNING, ("WAITROOM_MAX_ACTIVE=10", "burst of 20")),
    ({"bypass": "/*"}, FAULT, ("nobody ever waits",)),
    ({"bypass": "/*.css"}, WARNING, ("/*.css", "ending")),
    ({"guard": "/checkout/*", "bypass": "/feeds/*"}, WARNING, ("/feeds/*", "does nothing")),
    ({"guard": "/shop/*,/api/*", "bypass": "/api/*"}, FAULT, ("WAITROOM_GUARD holds /api/*", "lets all of it through")),
    ({"guard": "/*,/cart"}, WARNING, ("WAITROOM_GUARD holds /cart", "covers already")),
    ({"bypass": "0.0.0.0/0"}, FAULT, ("WAITROOM_BYPASS holds 0.0.0.0/0",)),
    ({"trusted_proxies": "::/0"}, FAULT, ("WAITROOM_TRUSTED_PROXIES holds ::/0", "claim any address")),
    ({"trusted_proxies": ""}, WARNING, ("WAITROOM_TRUSTED_PROXIES is not set",)),
    ({"public_url": ""}, WARNING, ("WAITROOM_PUBLIC_URL is not set",)),
    ({"secret": "abcd" * 8}, FAULT, ("WAITROOM_SECRET", "guessed")),
    ({"secret": f"{SECRET},{'x' * 40}"}, FAULT, ("WAITROOM_SECRET (number 2)", "guessed")),
    ({"admin_listen": "0.0.0.0:9000"}, WARNING, ("WAITROOM_ADMIN_LISTEN=0.0.0.0:9000",)),
    ({"shadow": "1"}, WARNING, ("WAITROOM_SHADOW=1",)),
]


@pytest.mark.parametrize(("given", "severity", "words"), SETTINGS, ids=lambda value: str(value)[:40])
def test_settings_that_look_wrong_are_named(given: dict[str, str], severity: str, words: tuple[str, ...]) -> None:
    findings = list(settings_findings(settings(**given)))

    assert found(findings, severity, *words), findings
    assert len(findings) == 1


def test_nothing_is_said_of_the_usual_settings() -> None:
    assert list(settings_findings(settings())) == []
    assert list(machine_findings(settings(), files=65_536, cores=1)) == []


@pytest.mark.parametrize(
    ("given", "files", "cores", "words"),
    [
        ({"rate": "50/s"}, 4096, 1, ("4,096 open files", "6,000 held polls", "LimitNOFILE")),
        ({"workers": "8"}, 65_536, 2, ("WAITROOM_WORKERS=8", "2 cores")),
        ({}, 65_536, 8, ("One worker", "8 cores")),
    ],
)
def test_a_machine_too_small_or_not_used_is_named(
    given: dict[str, str], files: int, cores: int, words: tuple[str, ...]
) -> None:
    assert found(list(machine_findings(settings(**given), files=files, cores=cores)), WARNING, *words)


# Redis


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


REDIS: list[tuple[dict[str, str], str, tuple[str, ...]]] = [
    ({"appendonly": "no"}, WARNING, ("No append-only file", "appendonly yes")),
    ({"maxmemory": "1mb"}, FAULT, ("of its maxmemory (1 MB)",)),
    ({"maxclients": "10"}, WARNING, ("maxclients", "WAITROOM_WORKERS=1")),
    ({"replicaof": "127.0.0.1 1"}, FAULT, ("leads to a replica",)),
]


@pytest.mark.parametrize(("config", "severity", "words"), REDIS, ids=lambda value: str(value)[:30])
def test_what_is_wrong_with_a_redis_is_said(
    redis: RedisServer, config: dict[str, str], severity: str, words: tuple[str, ...]
) -> None:
    (name, value) = next(iter(config.items()))
    with sync_redis.Redis(unix_socket_path=str(redis.socket)) as client:
        before = client.config_get(name).get(name, "")
        client.execute_command(
            *(["REPLICAOF", *value.split()] if name == "replicaof" else ["CONFIG", "SET", name, value])
        )
        try:
            findings, room = redis_findings(redis.url, settings())
        finally:
            undo = ["REPLICAOF", "NO", "ONE"] if name == "replicaof" else ["CONFIG", "SET", name, before]
            client.execute_command(*undo)

    assert room is None
    assert found(findings, severity, *words), findings


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (Seen({}, [7.0] * 20, 1.0, 0.0, "", None), ("7.0 ms", "WAITROOM_REDIS_URL")),
        (Seen({}, [1.0] * 19 + [150.0], 1.0, 0.0, "", None), ("at worst in 150.0 ms",)),
        (Seen({}, [1.0] * 20, 1.0, -30.0, "", None), ("30 s behind", "NTP")),
        (Seen({"connected_slaves": 1}, [1.0], 1.0, 0.0, "", None), ("min-replicas-to-write 1",)),
    ],
)
def test_a_redis_far_away_with_a_wrong_clock_or_careless_is_named(seen: Seen, words: tuple[str, ...]) -> None:
    assert found([*speed_findings(seen), *role_findings(seen)], WARNING, *words)


def test_a_sentinel_that_is_not_there_is_named_and_one_that_is_well_is_not() -> None:
    with running_sentinel() as watched:
        findings, _ = redis_findings(watched.url, settings())

    (said,) = [each for each in findings if "Sentinel" in each.sentence]
    assert (said.severity, "127.0.0.1:1:" in said.sentence) == (WARNING, True)
    assert found(findings, WARNING, "min-replicas-to-write 1")


def test_a_cluster_that_is_down_is_a_fault() -> None:
    assert found(list(role_findings(Seen({}, [1.0], 1.0, 0.0, "fail", None))), FAULT, "state fail")


# The way from outside: a real gateway, and something in front of it


@pytest.fixture(scope="module")
def gateway(redis: RedisServer) -> Iterator[tuple[Gateway, PlantedShop]]:
    with planted_shop() as shop, tempfile.TemporaryDirectory(prefix="wr-") as folder:
        given = {"origin": f"http://127.0.0.1:{shop.port}", "port": str(free_port()), "redis_url": redis.url}
        running = Gateway(Path(folder), given | {"secret": SECRET, "rate": "2/s"})
        asyncio.run(running.start())
        try:
            yield running, shop
        finally:
            asyncio.run(running.stop())


@pytest.fixture
def room(redis: RedisServer, gateway: tuple[Gateway, PlantedShop]) -> Overview:
    _, seen = redis_findings(redis.url, settings())
    assert seen is not None
    return seen


def own_error_page(request: Message, answer: Message) -> Message:
    return page(status=503, body=b"<h1>Sorry</h1>") if " 503 " in answer.line else answer


def eats_503(request: Message, answer: Message) -> Message:
    return page(status=200, body=b"<h1>Sorry</h1>") if " 503 " in answer.line else answer


def caching() -> Callable[[Message, Message], Message]:
    kept: dict[str, Message] = {}
    return lambda request, answer: kept.setdefault(request.line, answer) if "GET" in request.line else answer


def with_age(request: Message, answer: Message) -> Message:
    return Message(answer.line, [*answer.fields, ("age", "12")], answer.body)


def plain_cookies(request: Message, answer: Message) -> Message:
    return Message(answer.line, [(n, v.replace("waitroom_", "renamed_")) for n, v in answer.fields], answer.body)


def no_posts(request: Message) -> Message:
    return page(status=405) if request.line.startswith("POST") else request


HELD = "cuts held polls"
FRONTS: dict[str, tuple[Callable[[int], Front], str, tuple[str, ...]]] = {
    "eats the status": (lambda port: Front(port, answer=eats_503), FAULT, ("our 503 into 200", "WAITING_STATUS=200")),
    "its own page": (lambda port: Front(port, answer=own_error_page), FAULT, ("its own answer", "WAITING_STATUS=200")),
    "caches": (lambda port: Front(port, answer=caching()), FAULT, ("caches what says no-store",)),
    "says Age": (lambda port: Front(port, answer=with_age), FAULT, ("caches", "age: 12")),
    "takes Cache-Control": (
        lambda port: Front(port, answer=lambda request, answer: answer.without("cache-control")),
        FAULT,
        ("takes our Cache-Control away",),
    ),
    "takes Set-Cookie": (
        lambda port: Front(port, answer=lambda request, answer: answer.without("set-cookie")),
        FAULT,
        ("takes our Set-Cookie away",),
    ),
    "renames cookies": (lambda port: Front(port, answer=plain_cookies), FAULT, ("renamed_shop_pass", "rename")),
    "no POST": (lambda port: Front(port, request=no_posts), FAULT, ("POST /-/waitroom/leave gets 405",)),
    "no WebSocket": (
        lambda port: Front(port, request=lambda request: request.without("upgrade", "connection")),
        WARNING,
        ("does not pass WebSockets on",),
    ),
    HELD: (lambda port: Front(port, patience_s=0.4), FAULT, ("504", "held poll", "above 30 s")),
    "does not reach it": (lambda port: Front(port, request=lambda request: page(status=502)), FAULT, ("502", "reach")),
    "goes round": (lambda port: Front(port, request=lambda request: page(status=508)), FAULT, ("go round",)),
    "leads elsewhere": (lambda port: Front(port, request=lambda request: page()), WARNING, ("no gateway answers yet",)),
}


@pytest.mark.parametrize("name", FRONTS)
def test_what_is_wrong_in_front_is_said(name: str, gateway: tuple[Gateway, PlantedShop], room: Overview) -> None:
    make, severity, words = FRONTS[name]
    front = make(int(gateway[0].environment["WAITROOM_PORT"]))

    with serving(front.handle) as port:
        findings = list(
            outside_findings(settings(public_url=f"http://127.0.0.1:{port}"), room, hold_s=int(name == HELD))
        )

    assert found(findings, severity, *words), findings


def test_a_gateway_that_believes_in_http_behind_https_is_named(
    gateway: tuple[Gateway, PlantedShop], room: Overview, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    front = Front(int(gateway[0].environment["WAITROOM_PORT"]))

    with serving(front.handle, tls) as port:
        given = settings(public_url=f"https://localhost:{port}")
        unverified = list(outside_findings(given, room, hold_s=0))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        findings = list(outside_findings(given, room, hold_s=0))

    assert found(unverified, WARNING, "certificate is not trusted")
    assert found(findings, FAULT, "believes in another scheme", "WAITROOM_PUBLIC_URL")


def test_gateways_with_another_secret_are_named(gateway: tuple[Gateway, PlantedShop], room: Overview) -> None:
    given = settings(public_url=gateway[0].url, secret=SECRET[::-1])

    assert found(list(outside_findings(given, room, hold_s=0)), FAULT, "WAITROOM_SECRET")


def test_a_good_placement_has_no_faults_and_the_check_takes_no_place(
    redis: RedisServer, gateway: tuple[Gateway, PlantedShop]
) -> None:
    """P10: neither numbers nor seats nor the rate, and none of the probes from outside reaches the shop."""
    running, shop = gateway
    running.environment["WAITROOM_PUBLIC_URL"] = running.url
    shop.requests.clear()

    with sync_redis.Redis(unix_socket_path=str(redis.socket)) as client:
        before = client.hmget("waitroom:{shop}:state", "issued", "admitted", "next_at")
        done = running.command("check", "--deep", "--json")
        after = client.hmget("waitroom:{shop}:state", "issued", "admitted", "next_at")
        seats = client.zcard("waitroom:{shop}:active")

    facts = json.loads(done.stdout)
    assert [each for each in facts["findings"] if each["severity"] == FAULT] == []
    assert [each for each in facts["checks"] if not each["ok"]] == []
    assert (done.returncode, facts["ok"]) == (0, True)
    assert all(each["about"] != "outside" for each in facts["findings"])
    assert (after, seats) == (before, 0)
    assert [request.get("user-agent") for request in shop.requests if request.get("user-agent")] == [
        "waitroom-check"
    ] * 2


def test_a_fault_ends_the_command_with_1_and_each_finding_is_a_line() -> None:
    with planted_shop(lambda request: page(status=500)) as shop, running_redis() as redis:
        environment = {
            "WAITROOM_ORIGIN": f"http://127.0.0.1:{shop.port}",
            "WAITROOM_REDIS_URL": redis.url,
            "WAITROOM_SECRET": SECRET,
            "PATH": "/usr/bin:/bin",
        }
        done = subprocess.run(
            [sys.executable, "-m", "waitroom", "check", "--deep"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert any(line.startswith("✗ shop      The shop answers GET / with 500") for line in lines)
    assert any(line.startswith("! settings  WAITROOM_PUBLIC_URL is not set") for line in lines)
    assert done.stderr == ""


def test_progress_is_shown_on_a_terminal_and_gone_at_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Progress() as progress:
        progress.show("the shop")
    nowhere = capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress() as progress:
        progress.show("the shop")

    assert nowhere == ""
    assert capsys.readouterr().err == "\r\x1b[2K… the shop\r\x1b[2K"
