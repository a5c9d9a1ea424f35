"""Who may ask the admin listener what, and how it refuses: the app itself, without a gateway and without Redis."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from waitroom.core.addresses import is_local_name
from waitroom.core.figures import COUNTS, GAUGES, READY, Report
from waitroom.core.settings import Settings
from waitroom.edge.admin.request import BODY_LIMIT_BYTES, LONGEST_NAME
from waitroom.edge.admin.routes import create_admin

TOKEN = "an-admin-token-of-a-test-0123456789"
RIGHT = ("authorization", f"Bearer {TOKEN}")
ROUTES = [
    "/api/room",
    "/api/log",
    "/api/set",
    "/api/hold",
    "/api/resume",
    "/api/reset",
    "/api/orders/a",
    "/api/anything/else",
]
POSTS = ROUTES[2:6]
Ask = Callable[..., Any]


def worker(*, is_ready: bool = True) -> Report:
    gauges = [0] * GAUGES
    gauges[READY] = int(is_ready)
    return Report([0] * COUNTS, gauges, 0.1)


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    """`await ask(method, path, *fields, token=…, is_ready=…, **httpx's)`; nothing listens where Redis should be."""
    opened = []

    async def ask(
        method: str, path: str, *fields: tuple[str, str], token: str = TOKEN, is_ready: bool = True, **more: Any
    ) -> httpx.Response:
        given = {"origin": "http://shop", "secret": "s" * 32, "redis_url": "redis://:hidden@127.0.0.1:9", "room": "r"}
        admin = create_admin(
            Settings.model_validate(given | {"admin_token": token}), lambda: [worker(is_ready=is_ready)]
        )
        opened.append(admin)
        transport = httpx.ASGITransport(app=admin)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8081") as client:
            return await client.request(method, path, headers=list(fields), **more)

    yield ask
    for admin in opened:
        await admin.close()


def problem(answer: httpx.Response) -> str:
    """What a refusal says, in the form that all of them have."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    members = answer.json()
    assert members.keys() == {"type", "title", "status", "detail"}
    assert members["status"] == answer.status_code
    return str(members["detail"])


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("authorization", f"Bearer {TOKEN}x")],
        [("authorization", f"Bearer {TOKEN[:-1]}")],
        [("authorization", f"Bearer {TOKEN.upper()}")],
        [("authorization", "Bearer ")],
        [("authorization", f"Basic {TOKEN}")],
        [("authorization", TOKEN)],
        [("authorization", "Bearer wrong"), RIGHT],
        [("cookie", f"authorization={TOKEN}")],
        [("x-authorization", f"Bearer {TOKEN}")],
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ROUTES)
async def test_the_api_wants_the_token_in_one_field_and_nowhere_else(
    ask: Ask, path: str, fields: list[tuple[str, str]]
) -> None:
    answer = await ask("POST" if path in POSTS else "GET", path, *fields)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith('Bearer realm="waitroom"')
    assert ("invalid_token" in answer.headers["www-authenticate"]) == any(n == "authorization" for n, _ in fields)
    assert TOKEN not in problem(answer)


@pytest.mark.parametrize("query", [f"?token={TOKEN}", f"?access_token={TOKEN}", f"?authorization=Bearer%20{TOKEN}"])
async def test_a_token_in_a_url_is_no_token(ask: Ask, query: str) -> None:
    assert (await ask("GET", f"/api/room{query}")).status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_with_the_token_it_goes_on_and_here_finds_no_redis(ask: Ask, scheme: str) -> None:
    answer = await ask("GET", "/api/room", ("authorization", f"{scheme} {TOKEN}"))

    assert answer.status_code == 503
    assert problem(answer) == "The Redis at redis://127.0.0.1:9 cannot be used: nobody listens there."


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("fields", [[], [RIGHT], [("authorization", "Bearer ")]], ids=str)
async def test_without_a_token_in_the_settings_there_is_no_api(
    ask: Ask, path: str, fields: list[tuple[str, str]]
) -> None:
    answer = await ask("POST" if path in POSTS else "GET", path, *fields, token="")

    assert answer.status_code == 404
    assert "set WAITROOM_ADMIN_TOKEN" in problem(answer)


@pytest.mark.parametrize("path", POSTS)
async def test_no_get_changes_anything(ask: Ask, path: str) -> None:
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
        answer = await ask(method, path, RIGHT, ("origin", "http://evil.example"))
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_probes_and_metrics_need_no_token_and_no_redis(ask: Ask) -> None:
    for path in ("/live", "/ready", "/health", "/metrics"):
        answer = await ask("GET", path)
        assert answer.status_code == 200, path
        assert answer.headers["cache-control"] == "no-store"
    assert [(await ask("GET", path, is_ready=False)).status_code for path in ("/live", "/ready", "/health")] == [
        200,
        503,
        503,
    ]


@pytest.mark.parametrize("host", ["shop.example", "shop.example:8081", "127.0.0.1.nip.io:8081", "", "a@127.0.0.1"])
async def test_a_name_that_anybody_could_point_here_is_refused_without_the_token(ask: Ask, host: str) -> None:
    """DNS rebinding: a page of shop.example, in a browser on this machine, reads what is at its own name."""
    answer = await ask("GET", "/metrics", ("host", host))

    assert answer.status_code == 421
    assert "WAITROOM_ADMIN_LISTEN" in problem(answer)
    assert (await ask("GET", "/metrics", ("host", host), RIGHT)).status_code == 200


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1:8081", True), ("[::1]:8081", True), ("10.1.2.3", True), ("localhost:8081", True),
        ("gateway:8081", True), ("waitroom.shop.svc:8081", True), ("gw.internal", True), ("gw.local.", True),
        ("admin.shop.example:8081", True), ("ADMIN.shop.example", True),
        ("shop.example", False), ("localhost.evil.example", False), ("10.1.2.3.evil.example", False), ("", False),
        ("a/b", False), ("user@localhost", False), ("localhost:port", False),
    ],
)  # fmt: skip
def test_which_names_are_local(host: str, local: bool) -> None:
    assert is_local_name(host, "admin.shop.example") == local


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("set", {}, "Say what to change"),
        ("set", {"dry_run": True}, "Say what to change"),
        ("set", {"from_environment": True, "rate": "1/s"}, "Say what to change"),
        ("set", {"speed": 9}, "'speed' is not known here; rate, burst, max_active, message, opens_at,"),
        ("set", {"rate": "10/m", "burst": 0}, "rate=10/m is not a rate"),
        ("set", {"rate": 20}, "rate=20 is not a rate"),
        ("set", {"max_active": 1.5}, "max_active=1.5 is not a whole number"),
        ("set", {"message": ["x"]}, "message is a text or a number"),
        ("set", {"message": True}, "message is a text or a number"),
        ("set", {"message": "a\nb"}, "line break"),
        ("set", {"rate": "1/s", "dry_run": "yes"}, "dry_run is true or false"),
        ("hold", {}, "Say why"),
        ("sold-out", {"undo": "yes"}, "undo is true or false"),
        ("set", {"opens_at": "2026-12-01 10:00"}, "names no zone"),
        ("hold", {"reason": " "}, "Say why"),
        ("resume", {"rate": "1/s"}, "not known here"),
        ("reset", {}, 'send {"confirm": "r"}'),
        ("reset", {"confirm": "shop"}, 'send {"confirm": "r"}'),
        ("reset", {"confirm": True}, 'send {"confirm": "r"}'),
    ],
)
async def test_what_makes_no_sense_is_refused_in_the_words_of_the_commands(
    ask: Ask, path: str, body: object, said: str
) -> None:
    answer = await ask("POST", f"/api/{path}", RIGHT, json=body)

    assert answer.status_code == 422
    assert said in problem(answer)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[" * 10_000, "application/json", 400),
        (b'{"rate": 1' + b"0" * 5000 + b"}", "application/json", 400),
        (b'{"rate": "1/s"}', "text/plain", 415),
        (b"rate=1/s", "application/x-www-form-urlencoded", 415),
        (b'{"message": "' + b"x" * BODY_LIMIT_BYTES + b'"}', "application/json", 413),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_a_body_is_json_and_bounded(ask: Ask, body: bytes, kind: str, status: int) -> None:
    answer = await ask("POST", "/api/set", RIGHT, ("content-type", kind), content=body)

    assert answer.status_code == status
    assert problem(answer)


@pytest.mark.parametrize("count", ["0", "1001", "-1", "x", "1" * 5000, "²"])
async def test_no_more_of_the_log_is_read_than_there_is(ask: Ask, count: str) -> None:
    answer = await ask("GET", "/api/log", RIGHT, params={"count": count})

    assert answer.status_code == 422
    assert "is not a number from 1 to 1000" in problem(answer)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (None, "api"),
        ("", "api"),
        ("anna", "anna (api)"),
        ("  a\tb  ", "a b (api)"),
        ("Zoë", "Zoë (api)"),
        ("x\x1b[31m\u202e", "x [31m (api)"),
        ("y" * 1000, "y" * LONGEST_NAME + " (api)"),
    ],
)
def test_an_operators_name_is_printable_and_bounded(given: str | None, written: str) -> None:
    from starlette.requests import Request

    from waitroom.edge.admin.request import operator

    fields = [] if given is None else [(b"waitroom-operator", given.encode())]

    assert operator(Request({"type": "http", "headers": fields})) == written
