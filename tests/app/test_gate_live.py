"""The gate over real HTTP: what is no valid pass never reaches the shop (P5, P6).

Two gateways, each with its own Redis. At the *closed* one numbers up to 49 are given out and the first 20 called,
but nobody can be let in. At the *open* one a hundred may come at once, and numbers 0 to 49 have been called.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
import redis as sync_redis

from tests.app.live_support import ask
from tests.support import (
    SECRET,
    Arrival,
    Gateway,
    RedisServer,
    Shop,
    page_facts,
    running_gateway,
    running_redis,
    running_shop,
)
from waitroom.core.tokens import Pass, Ticket, Tokens
from waitroom.demo.browser import Answer, Browser

pytestmark = pytest.mark.asyncio(loop_scope="module")

OTHER_SECRET = "another-secret-of-someone-else-0123456789"
PROBE = "the-secret-of-the-probe-0123456789abcdef"
NEXT_PROBE = PROBE[::-1]
VISITOR = "0123456789abcdef0123456789abcdef"
STATE = "waitroom:{shop}:state"

DOCUMENT = (("accept", "text/html"), ("sec-fetch-dest", "document"), ("sec-fetch-mode", "navigate"))
FETCH = (("accept", "*/*"), ("sec-fetch-dest", "empty"))
FROM_HERE = ("sec-fetch-site", "same-origin")
KINDS: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "document": ("GET", DOCUMENT),
    "head": ("HEAD", DOCUMENT),
    "frame": ("GET", (("accept", "text/html"), ("sec-fetch-dest", "iframe"))),
    "prefetch": ("GET", (*DOCUMENT, ("sec-purpose", "prefetch"))),
    "preflight": ("OPTIONS", (("origin", "https://app.test"), ("access-control-request-method", "PUT"))),
    "fetch": ("GET", FETCH),
    "unsafe": ("POST", FETCH),
    "delete": ("DELETE", FETCH),
    "websocket": (
        "GET",
        (
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ),
    ),
}


@dataclass
class Scene:
    """A gateway before a shop that remembers, and what it takes to sign for its room."""

    shop: Shop
    gateway: Gateway
    redis: RedisServer
    generation: str
    tokens: Tokens

    def ticket(self, number: int, *, visitor: str = VISITOR, generation: str = "", tokens: Tokens | None = None) -> str:
        issued = Ticket((tokens or self.tokens).room, generation or self.generation, number, visitor, now_ms() - 1000)
        return (tokens or self.tokens).sign_ticket(issued)

    def pass_(
        self, *, end_ms: int = 600_000, tokens: Tokens | None = None, place: int = 5, begins_ms: int = -60_000
    ) -> str:
        signer, now = tokens or self.tokens, now_ms()
        begins = now + begins_ms
        return signer.sign_pass(Pass(signer.room, VISITOR, self.generation, place, begins, now + end_ms, begins, False))

    async def ask(self, kind: str, *fields: tuple[str, str], target: str = "/", body: bytes = b"") -> Answer:
        method, usual = KINDS[kind]
        return await ask(self.gateway, method, target, *usual, *fields, body=body)

    async def arrivals_of(self, kind: str, *fields: tuple[str, str], target: str = "/") -> tuple[Answer, list[Arrival]]:
        """The answer, and what reached the shop for it."""
        before = len(self.shop.arrivals)
        answer = await self.ask(kind, *fields, target=target)
        return answer, self.shop.arrivals[before:]

    def state(self) -> dict[str, str]:
        with sync_redis.Redis(unix_socket_path=str(self.redis.socket), decode_responses=True) as client:
            return dict(client.hgetall(STATE))

    def write(self, **fields: int) -> None:
        with sync_redis.Redis(unix_socket_path=str(self.redis.socket)) as client:
            client.hset(STATE, mapping=fields)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop() -> AsyncIterator[Shop]:
    async with running_shop() as shop:
        yield shop


@pytest.fixture(scope="module")
def two_redis() -> Iterator[tuple[RedisServer, RedisServer]]:
    with running_redis() as one, running_redis() as other:
        yield one, other


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def closed(shop: Shop, two_redis: tuple[RedisServer, RedisServer]) -> AsyncIterator[Scene]:
    redis = two_redis[0]
    bypass = f"/free/*,10.9.0.0/16,header:X-Probe={PROBE},header:X-Probe={NEXT_PROBE}"
    settings = {"rate": "1/h", "burst": "1", "bypass": bypass, "trusted_proxies": "127.0.0.1/32"}
    async with running_gateway(shop, redis.url, **settings) as gateway:
        scene = Scene(shop, gateway, redis, "", Tokens("shop", [SECRET]))
        scene.generation = scene.state()["generation"]
        assert (await scene.ask("document")).status == 200
        scene.write(issued=50, front=20)
        await until_state(scene, ticket_cookie(scene.ticket(19)), "called")
        yield scene


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(shop: Shop, two_redis: tuple[RedisServer, RedisServer]) -> AsyncIterator[Scene]:
    redis = two_redis[1]
    async with running_gateway(shop, redis.url, rate="1/h", burst="100", workers="2") as gateway:
        scene = Scene(shop, gateway, redis, "", Tokens("shop", [SECRET]))
        scene.generation = scene.state()["generation"]
        scene.write(issued=50, front=50)
        await until_state(scene, ticket_cookie(scene.ticket(49)), "called")
        yield scene


def now_ms() -> int:
    return int(time.time() * 1000)


def ticket_cookie(token: str) -> tuple[str, str]:
    return "cookie", f"waitroom_shop_ticket={token}"


def pass_cookie(token: str) -> tuple[str, str]:
    return "cookie", f"waitroom_shop_pass={token}"


async def until_state(scene: Scene, cookie: tuple[str, str], state: str) -> None:
    """Every worker says so: this many connections of their own don't all meet the same one."""
    async with asyncio.timeout(20):
        in_a_row = 0
        while in_a_row < 8:
            in_a_row = in_a_row + 1 if (await status_of(scene, cookie))["state"] == state else 0
            await asyncio.sleep(0.05)


async def status_of(scene: Scene, *fields: tuple[str, str]) -> dict[str, Any]:
    return (await ask(scene.gateway, "GET", "/-/waitroom/status", *fields)).json()


def mangled(token: str) -> Iterator[str]:
    """Forged at each part, truncated, extended."""
    parts = token.split(".")
    for at, part in enumerate(parts):
        other = "2" if part[-1:] == "1" else "1"
        yield ".".join([*parts[:at], part[:-1] + other, *parts[at + 1 :]])
        yield ".".join(parts[:at])
        yield ".".join([*parts[:at], *parts[at + 1 :]])
    for size in (1, 2, 20, 43):
        yield token[:-size]
    yield from (token + "A", token + ".", token + ".1", "A" + token, token.upper(), token * 2, token + "A" * 4000)
    yield from (quote(token, safe="").replace(".", "%2e"), "", ".", "p1", "null")


async def test_only_a_pass_signed_by_us_and_still_good_reaches_the_shop(closed: Scene) -> None:
    """P5, P6"""
    good, gone = closed.pass_(), closed.pass_(end_ms=-1, place=6)
    wrong = [
        *mangled(good),
        gone,
        closed.pass_(tokens=Tokens("shop", [OTHER_SECRET])),
        closed.pass_(tokens=Tokens("sale", [SECRET])),
        closed.ticket(30),
        closed.ticket(5),
        "p1" + closed.ticket(5)[2:],
    ]

    right = [await closed.arrivals_of("document", field) for field in (pass_cookie(good), ("waitroom-pass", good))]
    before = len(closed.shop.arrivals)
    answers = []
    for token in wrong:
        for field in (pass_cookie(token), ("waitroom-pass", token)):
            answers += [await closed.ask(kind, field) for kind in ("document", "unsafe")]

    assert [(answer.status, len(arrivals)) for answer, arrivals in right] == [(200, 1), (200, 1)]
    assert {answer.status for answer in answers} == {503}
    assert len(closed.shop.arrivals) == before
    print(f"{len(answers)} requests with bad passes, none reached the shop")


async def test_only_a_ticket_signed_by_us_for_this_line_is_a_place(closed: Scene) -> None:
    """P5: everything else is nothing, and whoever brings it takes a number like anybody."""
    good = closed.ticket(30)
    wrong = [
        *mangled(good),
        closed.ticket(30, tokens=Tokens("shop", [OTHER_SECRET])),
        closed.ticket(30, tokens=Tokens("sale", [SECRET])),
        closed.ticket(30, generation="0123456789abcdef"),
        closed.pass_(),
        "t1" + closed.pass_()[2:],
    ]

    before = len(closed.shop.arrivals)
    right = await status_of(closed, ticket_cookie(good))
    brought = [field for token in wrong for field in (ticket_cookie(token), ("waitroom-ticket", token))]
    states = [(await status_of(closed, field))["state"] for field in brought]
    claims = [
        (await ask(closed.gateway, "POST", "/-/waitroom/claim", FROM_HERE, field)).json()["state"] for field in brought
    ]
    print(f"{len(states) + len(claims)} requests with bad tickets, none of them a place")

    assert (right["state"], right["number"]) == ("waiting", 30)
    assert set(states) == {"none"}
    assert set(claims) == {"none"}
    assert len(closed.shop.arrivals) == before


async def exchange(scene: Scene, sent: bytes, answers: int) -> list[int]:
    """The statuses of whatever comes back for these bytes on one connection: so many, and what follows at once."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(scene.gateway.environment["WAITROOM_PORT"]))
    answered, statuses = b"", list[bytes]()
    try:
        writer.write(sent)
        while True:
            async with asyncio.timeout(10 if len(statuses) < answers else 0.2):
                data = await reader.read(65536)
            if not data:
                break
            answered += data
            statuses = re.findall(rb"HTTP/1\.1 (\d+) ", answered)
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return [int(status) for status in statuses]


async def test_no_framing_lets_one_request_use_the_pass_of_another(closed: Scene) -> None:
    """P5, P6: a pass counts for the request in whose head it stands, and for no other."""
    token = closed.pass_(place=8).encode()
    get = b"GET /%b HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: */*\r\n%b\r\n"
    with_pass = b"cookie: waitroom_shop_pass=%b\r\nwaitroom-pass: %b\r\n" % (token, token)
    post = b"POST /%b HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n%b\r\n"
    tried: dict[str, tuple[bytes, list[int], list[str]]] = {
        "in trailers": (post % (b"a", with_pass), [503], []),
        "behind one with a pass": (get % (b"b", with_pass) + get % (b"c", b""), [200, 503], ["/b"]),
        "before one with a pass": (get % (b"d", b"") + get % (b"e", with_pass), [503, 200], ["/e"]),
        "behind trailers": (post % (b"f", with_pass) + get % (b"g", b""), [503, 503], []),
        "in a head without an end": (get % (b"h", with_pass + b"x: " + b"y" * 80_000), [431], []),
        "without a Host": (get.replace(b"host: 127.0.0.1\r\n", b"") % (b"i", with_pass), [400], []),
        "with two Hosts": (get % (b"j", b"host: shop\r\n" + with_pass), [400], []),
    }

    for what, (sent, statuses, targets) in tried.items():
        before = len(closed.shop.arrivals)
        answered = await exchange(closed, sent, len(statuses))
        arrived = [arrival.target for arrival in closed.shop.arrivals[before:]]
        assert (what, answered, arrived) == (what, statuses, targets)


async def test_a_refusal_does_not_overtake_the_body_it_refuses(closed: Scene) -> None:
    """Cause: the 503 came between head and body. Effect: a proxy on Go's HTTP client (Caddy, under load) cut the page
    off. Expected: a body on its way is waited for, a quarter of a second; the connection goes on.
    """
    head = b"POST /cart HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 3\r\n%b\r\n"

    async def ask(field: bytes, body: bytes) -> tuple[bool, bytes, bool]:
        """Whether something came before the body; the answer's head; whether the body was there in time."""
        port = int(closed.gateway.environment["WAITROOM_PORT"])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            asked_at = time.monotonic()
            writer.write(head % field)
            begun = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
            await asyncio.wait((begun,), timeout=0.1)
            came_before = begun.done()
            writer.write(body)
            in_time = time.monotonic() - asked_at < 0.15
            async with asyncio.timeout(10):
                return came_before and in_time, await begun, in_time
        finally:
            writer.close()

    async with asyncio.timeout(60):
        while not (sent := await ask(b"", b"abc"))[2]:
            pass  # this machine stood still
    never_sent = await ask(b"", b"a")
    asks_first = await ask(b"expect: 100-continue\r\n", b"")

    assert (sent[0], never_sent[0]) == (False, False)
    assert all(answer.startswith(b"HTTP/1.1 503 ") for _, answer, _ in (sent, never_sent, asks_first))
    assert [b"connection: close" in answer for _, answer, _ in (sent, never_sent, asks_first)] == [False, True, True]


async def test_rubbish_and_old_cookies_of_the_same_name_hide_nothing(closed: Scene) -> None:
    good, gone = closed.pass_(), closed.pass_(end_ms=-1, place=6)
    cookies = [
        f"waitroom_shop_pass=rubbish; waitroom_shop_pass={good}",
        f"waitroom_shop_pass={good}; waitroom_shop_pass={gone}",
        f"waitroom_shop_pass={gone}; a=b; waitroom_shop_pass={good}; waitroom_shop_ticket=x",
    ]

    met = [await closed.arrivals_of("document", ("cookie", cookie)) for cookie in cookies]
    two_fields = await closed.arrivals_of("document", pass_cookie("rubbish"), pass_cookie(good))
    only_old = await closed.arrivals_of("fetch", ("cookie", f"waitroom_shop_pass={gone}; waitroom_shop_pass=rubbish"))

    assert [(answer.status, len(arrivals)) for answer, arrivals in [*met, two_fields]] == [(200, 1)] * 4
    assert (only_old[0].status, only_old[1]) == (503, [])


@pytest.mark.parametrize(
    ("kind", "with_nothing", "waiting"),
    [
        ("document", "page", "page"),
        ("head", "page", "page"),
        ("frame", "small page", "small page"),
        ("prefetch", "empty", "empty"),
        ("fetch", "problem", "problem"),
        ("unsafe", "problem", "problem"),
        ("delete", "problem", "problem"),
        ("websocket", "problem", "problem"),
    ],
)
async def test_in_a_line_each_kind_of_request_is_answered_by_its_row(
    closed: Scene, kind: str, with_nothing: str, waiting: str
) -> None:
    """P6, P10: only documents take a number."""
    issued = int(closed.state()["issued"])
    nothing, arrivals = await closed.arrivals_of(kind)
    taken = int(closed.state()["issued"]) - issued
    held, more = await closed.arrivals_of(kind, ticket_cookie(closed.ticket(30)))

    assert not arrivals
    assert not more
    assert (nothing.status, held.status) == (503, 503)
    assert (what(nothing), what(held)) == (with_nothing, waiting)
    assert taken == (with_nothing == "page")
    assert (nothing.header("set-cookie") is not None) == (with_nothing == "page")
    assert held.header("set-cookie") is None


def what(answer: Answer) -> str:
    """Which answer of the table this is."""
    kind = (answer.header("content-type") or "").partition(";")[0]
    if kind == "application/problem+json":
        assert {"enter_url", "request_id"} <= answer.json().keys()
        return "problem"
    if kind == "text/html":
        return (
            "page"
            if answer.header("x-robots-tag") and answer.header("retry-after") and has_facts(answer)
            else "small page"
        )
    assert not answer.body
    return "empty"


def has_facts(answer: Answer) -> bool:
    return bool(page_facts(answer)) or not answer.body


@pytest.mark.parametrize("kind", ["document", "head", "frame", "prefetch", "preflight", "fetch", "unsafe", "delete"])
async def test_with_a_pass_every_kind_of_request_goes_to_the_shop(closed: Scene, kind: str) -> None:
    answer, arrivals = await closed.arrivals_of(kind, pass_cookie(closed.pass_()), target="/a//b?x=%2F")

    assert answer.status == 200
    assert [(arrival.method, arrival.target) for arrival in arrivals] == [(KINDS[kind][0], "/a//b?x=%2F")]


async def test_a_preflight_needs_no_pass_and_brings_nothing_but_its_question(closed: Scene) -> None:
    """P6: whoever calls a request a preflight could act at the shop with cookies, another method or a body."""
    more = {
        "x-original-url": "/admin",
        "waitroom_place": "1",
        "cookie": "basket=1",
        "authorization": "Basic eDp5",
        "x_http_method_override": "POST",
    }
    answer, (arrival,) = await closed.arrivals_of("preflight", *more.items())
    with_body, arrivals = await closed.arrivals_of("preflight", ("transfer-encoding", "chunked"))
    otherwise, arrived = await closed.arrivals_of("preflight", ("x-http-method-override", "POST"))

    assert answer.status == 200
    assert not {*more, "waitroom-place"} & dict(arrival.headers).keys()
    assert (with_body.status, arrivals) == (503, [])
    assert (otherwise.status, arrived) == (503, [])


async def test_the_waiting_page_is_no_page_of_the_shops(closed: Scene) -> None:
    page = await closed.ask("document")

    assert page.status == 503
    assert "no-store" in (page.header("cache-control") or "")
    assert "noindex" in (page.header("x-robots-tag") or "")
    assert int(page.header("retry-after") or 0) >= 1
    assert (page.header("set-cookie") or "").startswith("waitroom_shop_ticket=t1.")


@pytest.mark.parametrize(
    "to",
    [
        "//evil.test", "///evil.test", "/\\evil.test", "\\\\evil.test", "https://evil.test", "https:evil.test",
        "evil.test", "javascript:alert(1)", "/%0d%0aset-cookie:a=b", "/%09/evil.test", "/%00", "/%5cevil.test",
        "%2f%2fevil.test", "%09//evil.test", "%20/evil.test", "/" + "a" * 5000,
    ],
)  # fmt: skip
async def test_the_line_sends_nobody_to_another_site(closed: Scene, to: str) -> None:
    raw = await ask(closed.gateway, "GET", f"/-/waitroom/enter?to={to}")
    quoted = await ask(closed.gateway, "GET", f"/-/waitroom/enter?to={quote(to, safe='%')}")
    form = await ask(
        closed.gateway, "POST", "/-/waitroom/join", FROM_HERE, ticket_cookie(closed.ticket(30)),
        ("content-type", "application/x-www-form-urlencoded"), body=f"to={to}".encode(),
    )  # fmt: skip

    assert (raw.status, quoted.status) == (400, 400)
    assert raw.header("location") is None
    assert quoted.header("location") is None
    assert (form.status, form.header("location")) == (303, "/")
    assert form.header("set-cookie") is None


async def test_the_line_sends_people_on_to_the_path_they_asked_for(closed: Scene) -> None:
    answer = await ask(closed.gateway, "GET", f"/-/waitroom/enter?to={quote('/a b?c=d&e=ü', safe='')}")
    plain = await ask(closed.gateway, "GET", "/-/waitroom/enter?to=/cart%3Fid%3D1%26b%3D2")

    assert (plain.status, plain.header("location")) == (303, "/cart?id=1&b=2")
    assert answer.status in (303, 400)
    assert "no-store" in (plain.header("cache-control") or "")


@pytest.mark.parametrize("route", ["join", "claim", "leave"])
async def test_another_site_cannot_act_for_a_visitor(closed: Scene, route: str) -> None:
    cookie = ticket_cookie(closed.ticket(30))
    elsewhere = [
        [("sec-fetch-site", "cross-site")],
        [("sec-fetch-site", "same-site")],
        [("sec-fetch-site", "cross-site"), ("origin", closed.gateway.url)],
        [("origin", "https://evil.test")],
        [("origin", "null")],
        [("origin", closed.gateway.url.replace("127.0.0.1", "127.0.0.1.evil.test"))],
        [],
    ]

    refused = [await ask(closed.gateway, "POST", f"/-/waitroom/{route}", cookie, *fields) for fields in elsewhere]
    by_get = await ask(closed.gateway, "GET", f"/-/waitroom/{route}", cookie)
    by_origin = await ask(closed.gateway, "POST", f"/-/waitroom/{route}", cookie, ("origin", closed.gateway.url))
    from_here = await ask(closed.gateway, "POST", f"/-/waitroom/{route}", cookie, FROM_HERE)

    assert [answer.status for answer in refused] == [403] * len(elsewhere)
    assert [answer.header("set-cookie") for answer in refused] == [None] * len(elsewhere)
    assert by_get.status == 405
    assert (by_origin.status, from_here.status) == (200, 200)


async def test_what_the_operator_lets_through_reaches_the_shop_without_a_pass_or_secret(closed: Scene) -> None:
    smuggled = (
        ("x-original-url", "/admin"),
        ("x_rewrite_url", "/admin"),
        ("waitroom-place", "1"),
        ("waitroom_place", "1"),
    )
    ways = {
        "path": ("/free/a", ()),
        "address": ("/", (("x-forwarded-for", "10.9.8.7"),)),
        "header": ("/", (("x-probe", PROBE),)),
        "header with the secret that replaces it": ("/", (("x-probe", NEXT_PROBE),)),
        "header elsewhere": ("/free/a", (("x-probe", PROBE),)),
    }
    cookie = ("cookie", f"a=b; waitroom_shop_ticket={closed.ticket(30)}; c=d; waitroom_other=e")

    met = {
        way: await closed.arrivals_of("fetch", *fields, *smuggled, cookie, target=target)
        for way, (target, fields) in ways.items()
    }
    near = [
        await closed.arrivals_of("fetch", *fields, target=target)
        for target, fields in (
            ("/freedom", ()),
            ("/free/../cart", ()),
            ("/free/%2e%2e/cart", ()),
            ("/free/..;/cart", ()),
            ("/", (("x-forwarded-for", "10.8.8.7"),)),
            ("/", (("x-probe", PROBE[:-1]),)),
            ("/", (("x-probe", PROBE + "x"),)),
            ("/", (("x_probe", PROBE),)),
        )
    ]

    for way, (answer, arrivals) in met.items():
        assert (way, answer.status, len(arrivals)) == (way, 200, 1)
        headers = dict(arrivals[0].headers)
        names = {name.replace("_", "-") for name in headers}
        assert not names & {"x-original-url", "x-rewrite-url", "waitroom-place", "x-probe"}
        assert headers["cookie"] == "a=b; c=d"
    assert [(answer.status, arrivals) for answer, arrivals in near] == [(503, [])] * len(near)


async def test_with_a_pass_the_shop_sees_our_fields_and_nobody_elses(closed: Scene) -> None:
    token = closed.pass_(place=7)
    fields = (("waitroom-place", "1"), ("waitroom_place", "2"), ("Waitroom-Admitted_At", "3"), ("waitroom-pass", token))

    _, (arrival,) = await closed.arrivals_of("fetch", *fields, ("cookie", f"a=b; waitroom_shop_pass={token}; b=c"))

    ours = [(name, value) for name, value in arrival.headers if name.replace("_", "-").startswith("waitroom")]
    assert [name for name, _ in ours] == ["waitroom-place", "waitroom-admitted-at"]
    assert ours[0][1] == "7"
    assert dict(arrival.headers)["cookie"] == "a=b; b=c"


@pytest.mark.parametrize(("begins_ms", "waits_s"), [(1_500, 1.0), (60_000, 0.0), (3_600_000, 0.0)])
async def test_a_pass_waits_for_its_beginning_unless_that_is_of_a_clock_that_went_back(
    closed: Scene, begins_ms: int, waits_s: float
) -> None:
    """P1, P9: whoever is inside stays so when Redis fails over to a server whose clock is slow."""
    end_ms = begins_ms + 600_000
    asked_at = time.monotonic()

    answer, arrivals = await closed.arrivals_of(
        "fetch", ("waitroom-pass", closed.pass_(begins_ms=begins_ms, end_ms=end_ms))
    )

    assert (answer.status, len(arrivals)) == (200, 1)
    assert arrivals[0].at - asked_at >= waits_s


async def test_a_browser_that_keeps_no_cookies_ends_on_a_page_that_says_so(closed: Scene) -> None:
    browser = Browser(closed.gateway.url, keeps_cookies=False)
    try:
        page = await browser.open("/cart?id=1")
        asked = (await browser.fetch("/-/waitroom/status")).json()
        again = re.search(rb';url=(/-/waitroom/enter[^"]+)"', page.body)
        assert again is not None
        end = await browser.open(unescape(again[1].decode()))
    finally:
        browser.close()

    assert asked["state"] == "none"
    assert end.status == 403
    assert b"cookies" in end.body


async def test_joining_twice_keeps_the_same_ticket(closed: Scene) -> None:
    """P4"""
    first = await ask(closed.gateway, "POST", "/-/waitroom/join")
    token = first.header("waitroom-ticket") or ""
    again = [
        await ask(closed.gateway, "POST", "/-/waitroom/join", ("waitroom-ticket", token)),
        await ask(closed.gateway, "POST", "/-/waitroom/join", FROM_HERE, ticket_cookie(token)),
    ]
    page = await closed.ask("document", ticket_cookie(token))

    assert (first.status, first.json()["state"]) == (200, "waiting")
    assert [answer.json()["number"] for answer in again] == [first.json()["number"]] * 2
    assert [answer.header("set-cookie") for answer in [*again, page]] == [None] * 3
    assert page_facts(page)["number"] == first.json()["number"]


async def test_a_claim_repeated_after_the_clock_went_back_is_answered_at_once(opened: Scene) -> None:
    """P4, P9: its admission lies an hour ahead of what Redis now takes for the time."""
    cookie = ticket_cookie(opened.ticket(40))
    await ask(opened.gateway, "POST", "/-/waitroom/claim", FROM_HERE, cookie)
    with sync_redis.Redis(unix_socket_path=str(opened.redis.socket), decode_responses=True) as client:
        claims = f"waitroom:{{shop}}:claims:{opened.generation}:0"
        at, *rest = client.hget(claims, "40").split(" ")
        client.hset(claims, "40", " ".join([f"{float(at) + 3600e6:.3f}", *rest]))

    again = await ask(opened.gateway, "POST", "/-/waitroom/claim", FROM_HERE, cookie)

    assert again.json()["state"] == "admitted"


async def test_tabs_that_claim_at_once_get_one_pass_that_counts_once(opened: Scene) -> None:
    """P4"""
    token = opened.ticket(30)
    before = int(opened.state()["admitted"])

    answers = await asyncio.gather(
        *(ask(opened.gateway, "POST", "/-/waitroom/claim", FROM_HERE, ticket_cookie(token)) for _ in range(10))
    )
    document = await opened.ask("document", ticket_cookie(token))
    stranger = opened.ticket(30, visitor=VISITOR[::-1])
    taken = await ask(opened.gateway, "POST", "/-/waitroom/claim", FROM_HERE, ticket_cookie(stranger))

    passes = [opened.tokens.read_pass(answer.header("waitroom-pass") or "", now_ms()) for answer in answers]
    assert {answer.json()["state"] for answer in answers} == {"admitted"}
    assert len({(one.place, one.visitor, one.valid_from_ms) for one in passes if isinstance(one, Pass)}) == 1
    assert all(isinstance(one, Pass) for one in passes)
    assert document.status == 200
    assert int(opened.state()["admitted"]) == before + 1
    assert taken.json()["state"] == "lapsed"


@pytest.mark.parametrize(
    ("kind", "number", "reaches"),
    [
        ("document", 31, True),
        ("unsafe", 32, True),
        ("fetch", 33, False),
        ("frame", 33, False),
        ("websocket", 33, False),
    ],
)
async def test_a_called_visitor_claims_by_a_document_or_by_what_changes_something(
    opened: Scene, kind: str, number: int, *, reaches: bool
) -> None:
    answer, arrivals = await opened.arrivals_of(kind, ticket_cookie(opened.ticket(number)))

    assert (answer.status, len(arrivals)) == ((200, 1) if reaches else (503, 0))
    assert ((answer.header("set-cookie") or "").startswith("waitroom_shop_pass=p1.")) == reaches
    assert [arrival.place for arrival in arrivals] == ([number] if reaches else [])


async def test_a_called_visitor_who_cannot_be_let_in_soon_gets_a_page(closed: Scene) -> None:
    """A full room, or a hold, would keep the browser on a blank page."""
    cookie = ticket_cookie(closed.ticket(15))

    at_the_door, arrivals = await closed.arrivals_of("document", cookie)
    closed.write(hold=1)
    await until_state(closed, cookie, "held")
    asked_at = time.monotonic()
    held, more = await closed.arrivals_of("document", cookie)
    took_s = time.monotonic() - asked_at
    closed.write(hold=0)
    await until_state(closed, cookie, "called")

    assert (arrivals, more) == ([], [])
    assert (page_facts(at_the_door)["state"], page_facts(held)["state"]) == ("called", "held")
    assert took_s < 2


async def test_an_app_claims_with_a_fetch_by_its_ticket_field(opened: Scene) -> None:
    answer, (arrival,) = await opened.arrivals_of("fetch", ("waitroom-ticket", opened.ticket(34)))

    assert (answer.status, arrival.place) == (200, 34)
    assert "waitroom-ticket" not in dict(arrival.headers)


async def test_an_answer_with_our_cookie_is_nobody_elses(opened: Scene) -> None:
    body = b"shared"
    opened.shop.answers["/shared"] = (
        b"HTTP/1.1 200 OK\r\ncache-control: public, max-age=60, s-maxage=600\r\nsurrogate-control: max-age=600\r\n"
        b"cdn-cache-control: max-age=600\r\nset-cookie: waitroom_shop_pass=theirs\r\nset-cookie: basket=1\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(body), body)
    )

    answer = await opened.ask("document", ticket_cookie(opened.ticket(35)), target="/shared")

    cookies = [value for name, value in answer.headers if name == "set-cookie"]
    assert answer.header("cache-control") == 'private, no-cache="set-cookie", max-age=60'
    assert answer.header("surrogate-control") is None
    assert answer.header("cdn-cache-control") is None
    assert [cookie.partition("=")[0] for cookie in cookies] == ["basket", "waitroom_shop_pass"]
    assert cookies[1].startswith("waitroom_shop_pass=p1.")


@pytest.mark.parametrize(
    ("head", "minutes_left", "is_renewed"),
    [
        (b"200 OK\r\ncontent-length: 0", 8, True),
        (b"200 OK\r\ncache-control: max-age=60\r\ncontent-length: 0", 8, False),
        (b'304 Not Modified\r\netag: "1"', 8, False),
        (b'304 Not Modified\r\netag: "1"\r\ncache-control: private', 8, True),
        (b'304 Not Modified\r\netag: "1"', 2, True),
    ],
)
async def test_a_pass_is_renewed_with_what_no_shared_cache_keeps_while_there_is_time(
    opened: Scene, head: bytes, minutes_left: int, is_renewed: bool
) -> None:
    """A shared cache that asked by way of a visitor whether what it keeps is still good would take the cookie into it,
    and give everybody that pass.
    """
    opened.shop.answers["/kept"] = b"HTTP/1.1 %b\r\n\r\n" % head
    token = opened.pass_(end_ms=minutes_left * 60_000)

    answer = await opened.ask("fetch", pass_cookie(token), target="/kept")

    assert (answer.header("set-cookie") is not None) is is_renewed


async def test_with_room_the_gateway_is_invisible_to_apps_and_webhooks(opened: Scene) -> None:
    """P10: no number is kept waiting, and the body arrives."""
    before = len(opened.shop.arrivals)
    answer = await opened.ask("unsafe", target="/hook", body=b'{"paid":true}')
    fetched = await opened.ask("fetch", target="/api")

    arrivals = opened.shop.arrivals[before:]
    assert (answer.status, fetched.status) == (200, 200)
    assert [(arrival.method, arrival.body) for arrival in arrivals] == [("POST", b'{"paid":true}'), ("GET", b"")]


async def test_a_campaign_link_with_many_parameters_leads_on(opened: Scene) -> None:
    browser = Browser(opened.gateway.url)
    many = "&".join(f"utm_{index}=x" for index in range(30))

    answer = await browser.open(f"/-/waitroom/enter?to=/sale&{many}")
    browser.close()

    assert answer.status == 200
    assert opened.shop.arrivals[-1].target == "/sale"


async def test_without_a_draw_there_is_no_record(closed: Scene) -> None:
    answer = await ask(closed.gateway, "GET", "/-/waitroom/draw")
    said = await asyncio.to_thread(closed.gateway.command, "draw")

    assert answer.status == 404
    assert (said.returncode, "There is no draw" in said.stderr) == (1, True)


async def test_who_lapsed_gets_a_page_with_a_button_and_no_way_in(opened: Scene) -> None:
    opened.write(lapsed=5)
    cookie = ticket_cookie(opened.ticket(3))
    await until_state(opened, cookie, "lapsed")
    before = len(opened.shop.arrivals)

    answers = [await opened.ask(kind, cookie) for kind in ("document", "fetch", "unsafe")]
    claim = await ask(opened.gateway, "POST", "/-/waitroom/claim", FROM_HERE, cookie)

    assert [answer.status for answer in answers] == [503] * 3
    assert page_facts(answers[0])["state"] == "lapsed"
    assert b'action="/-/waitroom/join"' in answers[0].body
    assert claim.json()["state"] == "lapsed"
    assert len(opened.shop.arrivals) == before


async def test_seats_of_those_without_cookies_are_provisional() -> None:
    """P10: a seat for 30 s, until the pass is seen again."""
    with running_redis() as redis:
        async with running_shop() as shop, running_gateway(shop, redis.url, rate="20/s", max_active="5") as gateway:
            came = [await ask(gateway, "GET", "/", *DOCUMENT) for _ in range(6)]
            with sync_redis.Redis(unix_socket_path=str(redis.socket)) as client:
                seats = dict(client.zrange("waitroom:{shop}:active", 0, -1, withscores=True))
            back = await ask(
                gateway, "GET", "/", *DOCUMENT, ("cookie", (came[0].header("set-cookie") or "").split(";")[0])
            )
            with sync_redis.Redis(unix_socket_path=str(redis.socket)) as client:
                async with asyncio.timeout(10):
                    while (kept := dict(client.zrange("waitroom:{shop}:active", 0, -1, withscores=True))) == seats:
                        await asyncio.sleep(0.05)

    assert [answer.status for answer in came] == [200] * 5 + [503]
    assert all(end - now_ms() < 30_500 for end in seats.values())
    assert back.status == 200
    assert sorted(end - now_ms() > 60_000 for end in kept.values()) == [False] * 4 + [True]
