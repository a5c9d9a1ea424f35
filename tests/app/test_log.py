"""One line an event, in one form, and nothing in it that would let a reader in."""

import io
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import structlog

from waitroom.core.settings import Settings
from waitroom.log import EVENTS, set_up

KEY = "k" * 40
TOKEN = "t" * 40
MONITOR = "monitor-0123456789"


@pytest.fixture
def out() -> io.StringIO:
    """Logging set up to write there."""
    stream = io.StringIO()
    settings: dict[str, Any] = {
        "origin": "http://shop",
        "secret": KEY,
        "admin_token": TOKEN,
        "redis_url": "redis+sentinel://:hunter%20two@one,two/m?password=again-and-again&sentinel_password=watching",
        "bypass": f"header:X-Monitor={MONITOR}",
        "log": "json",
    }
    set_up(Settings(**settings), stream=stream)
    return stream


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_an_event_is_one_line_with_its_name_level_time_and_fields(out: io.StringIO) -> None:
    structlog.get_logger().info("pass_issued", room="shop", place=41)

    (line,) = lines(out)
    assert line.pop("time").endswith("Z")
    assert line == {"event": "pass_issued", "level": "info", "room": "shop", "place": 41}


def test_an_exception_stays_on_the_line_of_its_event(out: io.StringIO) -> None:
    try:
        raise RuntimeError("first\nsecond")
    except RuntimeError:
        structlog.get_logger().exception("sync_failed")

    (line,) = lines(out)
    assert "RuntimeError: first\nsecond" in line["exception"]


def test_a_library_speaks_in_the_same_form(out: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request from %s", "10.0.0.1")
    logging.getLogger("uvicorn.error").info("not worth a line")

    (line,) = lines(out)
    assert (line["event"], line["library"], line["said"], line["level"]) == (
        "library",
        "uvicorn.error",
        "Invalid HTTP request from 10.0.0.1",
        "warning",
    )


def test_the_exception_of_a_library_is_kept_without_its_secrets(out: io.StringIO) -> None:
    try:
        raise ValueError(KEY)
    except ValueError:
        logging.getLogger("asyncio").exception("Task failed")

    (line,) = lines(out)
    assert line["exception"].endswith("ValueError: ***")


@pytest.mark.parametrize("name", ["cookie", "set_cookie", "ticket", "pass", "token", "authorization", "query", "url"])
def test_a_field_that_could_let_a_reader_in_is_hidden_by_its_name(out: io.StringIO, name: str) -> None:
    structlog.get_logger().info("odd", **{name: "let-me-in"}, inside={name: "let-me-in"}, pass_seconds=3)

    (line,) = lines(out)
    assert (line[name], line["inside"], line["pass_seconds"]) == ("***", {name: "***"}, 3)


@pytest.mark.parametrize("secret", [KEY, TOKEN, MONITOR, "hunter%20two", "hunter two", "again-and-again", "watching"])
def test_a_secret_of_the_settings_is_hidden_wherever_it_turns_up(out: io.StringIO, secret: str) -> None:
    log = structlog.get_logger()
    log.info("odd", detail=f"before {secret} after", deep=[{"a": (secret,)}], raw=secret.encode())
    logging.getLogger("redis").error("could not log in with %s", secret)
    try:
        raise ValueError(secret)
    except ValueError:
        log.exception("odd")

    assert len(lines(out)) == 3
    assert secret not in out.getvalue()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("GET /shoes?name=alice&card=1234 HTTP/1.1", "GET /shoes?*** HTTP/1.1"),
        ("cookie: waitroom_shop_pass=abc.def-ghi; theme=dark", "cookie: waitroom_shop_pass=***; theme=dark"),
        ("__Host-waitroom_shop_ticket=abc.def", "__Host-waitroom_shop_ticket=***"),
        ("(b'waitroom-ticket', b'abc.def')", "(b'waitroom-ticket', b'***')"),
        ("redis://user:pw@host:6379", "redis://***@host:6379"),
        ("is the shop there? yes", "is the shop there? yes"),
    ],
)
def test_tokens_and_query_strings_are_cut_out_of_any_text(out: io.StringIO, text: str, kept: str) -> None:
    structlog.get_logger().info("odd", target=text)

    assert lines(out)[0]["target"] == kept


def test_every_event_of_the_gateway_stands_in_the_list() -> None:
    package = Path(__file__).parents[2] / "waitroom"
    call = re.compile(r"(?:\b_?log|get_logger\(\))\.(?:debug|info|warning|error|exception|critical)\(\s*([^\s,)]+)")
    found = {name for path in package.rglob("*.py") if path.name != "log.py" for name in call.findall(path.read_text())}

    assert all(re.fullmatch(r'"[a-z0-9_]+"', name) for name in found), found
    assert {name.strip('"') for name in found} | {"library"} == EVENTS.keys()


def test_a_line_that_cannot_be_written_is_lost_and_nothing_else(out: io.StringIO) -> None:
    """Whoever read the log has gone: that is no reason to fail a request."""
    out.close()

    structlog.get_logger().warning("store_back", room="shop")
    logging.getLogger("uvicorn.error").warning("lost, too")
