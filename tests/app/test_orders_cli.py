"""`waitroom orders`: the list to compare with the shop's books, and what the routes make of a recording."""

import asyncio
import csv
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.support import RedisServer, running_redis
from waitroom.cli import app
from waitroom.cli.orders import COLUMNS
from waitroom.core.orders.attempt import Attempt, Outcome
from waitroom.store.orders import PAGE, OrderBook, new_id
from waitroom.store.room import Room

HOUR_MS = 3_600_000
ROUTE = "POST /checkout/confirm key=form:basket_id success=location:/thanks/* reference=location:/thanks/*"


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


def waitroom(redis: RedisServer | None, *words: str, routes: str = ROUTE) -> Result:
    url = redis.url if redis is not None else "redis://127.0.0.1:9"
    settings = {"WAITROOM_REDIS_URL": url, "WAITROOM_SECRET": "s" * 40, "WAITROOM_ORDER_ROUTES": routes}
    return CliRunner().invoke(app, ["orders", *words], env=settings)


def record(redis: RedisServer, *orders: tuple[Outcome, int, str | None], room: str = "shop") -> list[str]:
    """Orders of different visitors, sent so many ms ago; their ids."""

    async def write() -> list[str]:
        opened, now_ms = Room.connect(redis.url, room), int(time.time() * 1000)
        book = OrderBook(opened, keep_ms=30 * 24 * HOUR_MS)
        ids = []
        try:
            for index, (outcome, ago_ms, reference) in enumerate(orders):
                visitor, begun_ms = f"{index:032x}", now_ms - ago_ms
                id_ = new_id(visitor, begun_ms)
                attempt = Attempt(
                    id=id_,
                    visitor=visitor,
                    route="POST /buy",
                    begun_ms=begun_ms,
                    deadline_ms=begun_ms + 60_000,
                    worker="w",
                    idempotency_key="=1+1",
                    sameness=id_,
                )
                await book.begin(attempt, [id_])
                await book.decide(id_, outcome, by="gateway", now_ms=begun_ms + 1_000, reference=reference, status=200)
                ids.append(id_)
        finally:
            await opened.close()
        return ids

    return asyncio.run(write())


@pytest.fixture(scope="module")
def ids(redis: RedisServer) -> list[str]:
    return record(
        redis,
        (Outcome.CONFIRMED, 3 * HOUR_MS, "T-1"),
        (Outcome.UNKNOWN, 2 * HOUR_MS, None),
        (Outcome.UNKNOWN, HOUR_MS // 2, None),
        (Outcome.REFUSED, 1_000, '=cmd|"x"'),
    )


def listed(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return list(json.loads(result.output)["orders"])


def test_all_orders_are_listed_the_newest_first(redis: RedisServer, ids: list[str]) -> None:
    orders = listed(waitroom(redis, "--json"))

    assert [order["attempt"] for order in orders] == ids[::-1]
    assert orders[-1]["outcome"] == "confirmed"
    assert orders[-1]["reference"] == "T-1"
    assert tuple(orders[-1]) == COLUMNS


def test_those_with_some_outcomes_are_listed(redis: RedisServer, ids: list[str]) -> None:
    orders = listed(waitroom(redis, "--json", "--outcome", "unknown, refused"))

    assert [order["attempt"] for order in orders] == [ids[3], ids[2], ids[1]]


def test_those_of_the_last_hour_are_listed(redis: RedisServer, ids: list[str]) -> None:
    orders = listed(waitroom(redis, "--json", "--outcome", "unknown", "--since", "1h"))

    assert [order["attempt"] for order in orders] == [ids[2]]


def test_a_spreadsheet_finds_no_formula(redis: RedisServer, ids: list[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(waitroom(redis, "--csv").output)))

    assert [row["attempt"] for row in rows] == ids[::-1]
    assert rows[0]["reference"] == '\'=cmd|"x"'
    assert rows[0]["idempotency_key"] == "'=1+1"
    assert rows[1]["reference"] == ""


def test_people_get_a_table(redis: RedisServer, ids: list[str]) -> None:
    said = waitroom(redis).output

    assert "unknown" in said
    assert "T-1" in said
    assert "No orders." in waitroom(redis, "--outcome", "failed").output


def test_every_page_is_read(redis: RedisServer) -> None:
    """More than Redis is asked for at once."""
    many = record(redis, *[(Outcome.FAILED, 1_000 * n, None) for n in range(2 * PAGE + 1)], room="many")
    settings = {"WAITROOM_REDIS_URL": redis.url, "WAITROOM_SECRET": "s" * 40, "WAITROOM_ROOM": "many"}

    found = CliRunner().invoke(app, ["orders", "--json", "--outcome", "failed"], env=settings)

    assert {order["attempt"] for order in listed(found)} == set(many)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--outcome", "lost"), "--outcome lost is none; there are under_way, confirmed"),
        (("--since", "soon"), "--since soon is not a duration"),
    ],
)
def test_what_makes_no_sense_is_refused(redis: RedisServer, words: tuple[str, ...], said: str) -> None:
    refused = waitroom(redis, *words)

    assert refused.exit_code == 2
    assert said in refused.output


# What is an order.

REQUEST = """POST /checkout/confirm HTTP/1.1
Host: shop.example
Content-Type: application/x-www-form-urlencoded
Cookie: session=s

basket_id=7&csrfmiddlewaretoken={token}
"""
ANSWER = "HTTP/1.1 303 See Other\nLocation: https://shop.example/thanks/4711\n\n"


def tried(result: Result) -> list[dict[str, Any]]:
    return list(json.loads(result.output)["tried"])


def written(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_recorded_request_and_its_answer_are_tried(tmp_path: Path, ends: str) -> None:
    request = written(tmp_path, "request", REQUEST.replace("\n", ends))
    answer = written(tmp_path, "answer", ANSWER.replace("\n", ends))

    result = waitroom(None, "--try", request, "--answer", answer)
    (facts,) = tried(waitroom(None, "--try", request, "--answer", answer, "--json"))

    assert result.exit_code == 0, result.output
    assert "by the route POST /checkout/confirm" in result.output
    assert "told from others by its key (form:basket_id)" in result.output
    assert "its answer, 303: confirmed, reference 4711" in result.output
    assert (facts["outcome"], facts["reference"], facts["is_order"]) == ("confirmed", "4711", True)


def test_two_renderings_of_a_form_have_one_fingerprint(tmp_path: Path) -> None:
    recordings = [written(tmp_path, token, REQUEST.format(token=token)) for token in ("a", "b")]
    other = written(tmp_path, "other", REQUEST.replace("basket_id=7", "basket_id=8"))

    prints = [tried(waitroom(None, "--try", path, "--json"))[0]["same_as"] for path in (*recordings, other)]

    assert prints[0] == prints[1] != prints[2]


def har(*entries: dict[str, Any]) -> str:
    return json.dumps({"log": {"version": "1.2", "entries": entries}})


def entry(method: str, url: str, body: str = "", status: int = 200, answer: str = "") -> dict[str, Any]:
    return {
        "request": {
            "method": method,
            "url": url,
            "headers": [{"name": ":authority", "value": "x"}, {"name": "Content-Type", "value": "application/json"}],
            "postData": {"mimeType": "application/json", "text": body},
        },
        "response": {
            "status": status,
            "headers": [{"name": "Content-Type", "value": "application/json"}],
            "content": {"text": answer},
        },
    }


def test_every_request_of_a_browsers_recording_is_tried(tmp_path: Path) -> None:
    routes = "POST /shop-api json:/query~addPayment success=json:/data/code reference=json:/data/code"
    path = written(
        tmp_path,
        "shop.har",
        har(
            entry("GET", "https://shop.example/"),
            entry("POST", "https://shop.example/shop-api?x=1", '{"query": "{ products }"}'),
            entry("POST", "https://shop.example/shop-api", '{"query": "addPayment"}', 200, '{"data":{"code":"A"}}'),
            entry("POST", "https://shop.example/shop-api", '{"query": "addPayment"}', 0),
        ),
    )

    found = tried(waitroom(None, "--try", path, "--json", routes=routes))

    assert [each["is_order"] for each in found] == [False, False, True, True]
    assert [each["outcome"] for each in found] == [None, None, "confirmed", None]
    assert found[2]["reference"] == "A"


def test_check_says_what_is_wrong_with_a_route() -> None:
    settings = {"WAITROOM_ORIGIN": "http://127.0.0.1:9", "WAITROOM_ORDER_ROUTES": "POST /a key=form:x, GET /b ky=z"}

    result = CliRunner().invoke(app, ["check"], env=settings)

    assert result.exit_code == 1
    assert "has a fault in route 2: 'GET' (word 1) is not a method" in result.output
    assert "has a fault in route 2: 'ky=z' (word 3) is not known" in result.output


@pytest.mark.parametrize(
    ("text", "routes", "code", "said"),
    [
        ("GET / HTTP/1.1\n\n", ROUTE, 1, "Nothing in it is an order."),
        ("hello", ROUTE, 2, "begins neither with a request line"),
        ("{}", ROUTE, 2, "is not a HAR file"),
        ('{"log": {"entries": [1]}}', ROUTE, 2, "is not a HAR file"),
        (REQUEST, "", 2, "No order route is set"),
    ],
)
def test_what_cannot_be_tried_is_said(tmp_path: Path, text: str, routes: str, code: int, said: str) -> None:
    result = waitroom(None, "--try", written(tmp_path, "recording", text), routes=routes)

    assert result.exit_code == code
    assert said in result.output
