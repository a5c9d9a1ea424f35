"""A gateway whose answers the test writes, for the page in a real browser."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page

from waitroom.core.settings import Settings
from waitroom.edge.answers import Asked
from waitroom.edge.facts import PageFacts
from waitroom.edge.pages.problems import Problems
from waitroom.edge.pages.waiting import Pages

SETTINGS = Settings.model_validate({"origin": "http://127.0.0.1:9", "shop_name": "Kestrel"})
PAGES = Pages(SETTINGS)
PROBLEMS = Problems(SETTINGS, PAGES)
WAIT_MS = 20_000
HOLD_S = 20.0

Facts = dict[str, Any]


def facts(state: str = "waiting", **changes: Any) -> Facts:
    figures: Facts = {
        "number": 41,
        "position": 30,
        "ahead": 29,
        "waiting": 90,
        "rate_per_min": 60.0,
        "next_poll_s": 0.2,
        "hold_s": 0,
        "message": None,
    }
    return {"state": state, **figures, "wait_s": {"low": 25, "high": 95}, **changes}


def page_facts(said: Facts, target: str | None) -> PageFacts:
    wait = said["wait_s"]
    same = {name: value for name, value in said.items() if name != "wait_s"}
    return PageFacts(
        **same,
        wait_low_s=wait and wait["low"],
        wait_high_s=wait and wait["high"],
        target=target,
        server_time_ms=int(time.time() * 1000),
    )


@dataclass
class Gateway:
    """What the server says next; tests change it while the page runs."""

    said: Facts = field(default_factory=facts)
    claimed: Callable[[], Facts] = lambda: facts("admitted")
    join: Callable[[], Facts] = facts
    document: str = "waiting"
    inside: bool = False
    target: str | None = None
    status_code: int = 200
    asked: list[str] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)
    joined: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    admissions: int = 0
    left: int = 0
    under_way: int = 0
    most_under_way: int = 0
    url: str = ""

    def page(self) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        now_ms = int(time.time() * 1000)
        if self.document == "away":
            asked = Asked(html=True, gzip=True, safe=True, request_id="r")
            return tuple(PROBLEMS.store_away(asked, server_time_ms=now_ms))  # type: ignore[return-value]
        return (503, *PAGES.waiting(page_facts(self.said, self.target), gzip=True))

    def answer(self, path: str) -> Facts:
        if path.startswith("/-/waitroom/claim"):
            said = self.claimed()
            is_in = said["state"] == "admitted"
            self.admissions += is_in and not self.inside
            self.inside = is_in
            return said
        return self.said


def handler_for(gateway: Gateway) -> type[BaseHTTPRequestHandler]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def reply(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers:
                self.send_header(name.decode(), value.decode())
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:  # the page gave the request up
                self.close_connection = True

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.path.startswith(("/-/waitroom/status", "/-/waitroom/claim")):
                with lock:
                    gateway.asked.append(self.path)
                    gateway.under_way += 1
                    gateway.most_under_way = max(gateway.most_under_way, gateway.under_way)
                try:
                    hold_s = min(HOLD_S, float(parse_qs(urlsplit(self.path).query).get("hold", ["0"])[0]))
                    before = gateway.said
                    until = time.monotonic() + hold_s
                    while gateway.said is before and time.monotonic() < until:
                        time.sleep(0.02)
                    body = json.dumps(
                        {"server_time": datetime.now(UTC).isoformat(), **gateway.answer(self.path)}
                    ).encode()
                finally:
                    with lock:
                        gateway.under_way -= 1
                self.reply(gateway.status_code, [(b"content-length", b"%d" % len(body))], body)
            elif self.path.startswith("/-/waitroom/draw"):
                self.reply(404, [(b"content-length", b"0")], b"")
            elif self.headers.get("sec-fetch-dest") == "document" or self.headers.get("upgrade-insecure-requests"):
                gateway.documents.append(self.path)
                if gateway.inside:
                    body = b"<link rel=icon href='data:,'><title>Inside</title><h1>Welcome to the shop</h1>"
                    headers = [(b"content-type", b"text/html"), (b"content-length", b"%d" % len(body))]
                    self.reply(200, headers, body)
                else:
                    self.reply(*gateway.page())
            else:
                gateway.unexpected.append(self.path)
                self.reply(404, [(b"content-length", b"0")], b"")

        def say(self, said: Facts) -> None:
            body = json.dumps(said).encode()
            self.reply(200, [(b"content-length", b"%d" % len(body))], body)

        def do_HEAD(self) -> None:
            problem = [(b"content-type", b"application/problem+json"), (b"content-length", b"0")]
            self.reply(503, problem, b"")

        def do_POST(self) -> None:
            is_script = "json" in self.headers.get("accept", "")
            if is_script and self.path == "/-/waitroom/join":
                gateway.said = gateway.join()
                self.say(gateway.said)
            elif self.path == "/-/waitroom/leave":
                gateway.left += 1
                self.rfile.read(int(self.headers.get("content-length", 0)))
                if is_script:
                    self.say(facts("none", number=None))
                else:
                    asked = Asked(html=True, gzip=True, safe=False, request_id="r")
                    self.reply(*PROBLEMS.left(asked, server_time_ms=int(time.time() * 1000)))
            elif self.path == "/-/waitroom/join":
                gateway.joined.append(self.rfile.read(int(self.headers["content-length"])).decode())
                gateway.said = facts(number=99, position=50, ahead=49)
                self.reply(303, [(b"location", b"/phones?x=1"), (b"content-length", b"0")], b"")
            else:
                self.do_GET()

    return Handler


def until(condition: Callable[[], bool], page: Page) -> None:
    deadline = time.monotonic() + WAIT_MS / 1000
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        page.wait_for_timeout(20)
