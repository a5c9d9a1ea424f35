"""What the order routes make of a recorded request, and of its answer: to be tried before a sale.

Two formats are read: HTTP as it goes over the wire (a proxy's dump, `curl -i`, or written by hand; line ends may be
LF), and HAR 1.2, as the developer tools of browsers save it. Of a HAR file every request is tried.
"""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from waitroom.cli.console import FAILED, MISUSED, fail, say
from waitroom.core.orders.routes import Routes, routes_of
from waitroom.core.requests import Header
from waitroom.core.settings import Settings

LIMIT_BYTES = 64 * 1024 * 1024
START = re.compile(rb"([A-Z]{1,16}) (\S+) HTTP/1\.[01]\r?\n")
STATUS = re.compile(rb"HTTP/[\d.]+ (\d{3})[^\n]*\n")
Headers = list[Header]


class Recorded(NamedTuple):
    method: str
    target: bytes
    headers: Headers
    body: bytes


class Answered(NamedTuple):
    status: int
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Tried:
    """What the rules say. `same_as` is a fingerprint: two requests with the same one are the same order."""

    request: str
    is_order: bool
    route: str | None = None
    told_apart_by: str | None = None
    same_as: str | None = None
    why: str | None = None
    status: int | None = None
    outcome: str | None = None
    reference: str | None = None


def try_order(settings: Settings, request: Path, answer: Path | None, *, as_json: bool) -> None:
    """Ends with 0 if something recorded is an order, else with 1."""
    routes = routes_of(settings)
    if not routes:
        fail("No order route is set: WAITROOM_ORDER_ROUTES says what an order is.", code=MISUSED)
    try:
        exchanges = list(recorded(read(request), read(answer) if answer is not None else None))
    except ValueError as fault:
        fail(f"{request}: {fault}", code=MISUSED)
    tried = [try_one(routes, asked, answered) for asked, answered in exchanges]
    if as_json:
        say(json.dumps({"tried": [asdict(each) for each in tried]}))
    else:
        say(*(line for each in tried for line in told(each)))
    if not any(each.is_order for each in tried):
        fail(() if as_json else "Nothing in it is an order.", code=FAILED)


def try_one(routes: Routes, asked: Recorded, answered: Answered | None) -> Tried:
    shown = f"{asked.method} {asked.target.partition(b'?')[0].decode('latin-1')}"
    suspect = routes.match(asked.method, asked.target, asked.headers)
    if suspect is None:
        return Tried(shown, False, why="no route has this method and path")
    order = suspect.reads(asked.body)
    if order is None:
        return Tried(shown, False, why="the path is that of a route, but its conditions do not hold")
    keys = ", ".join(f"{place.source}:{place.name}" for place in order.route.keys)
    told_apart_by = f"its key ({keys})" if order.key is not None else "the address and the whole body"
    why = f"the key ({keys}) is not there" if keys and order.key is None else None
    found = Tried(shown, True, order.route.name, told_apart_by, sha256(order.sameness).hexdigest()[:12], why)
    if answered is None:
        return found
    commands = [(name, value) for name, value in answered.headers if name.startswith(b"waitroom-")]
    verdict = order.route.judge(answered.status, answered.headers, answered.body, commands)
    known = {"status": answered.status, "outcome": verdict.outcome.value, "reference": verdict.reference}
    return Tried(**{**asdict(found), **known})


def told(tried: Tried) -> Iterator[str]:
    if not tried.is_order:
        yield f"no order  {tried.request}: {tried.why}"
        return
    yield f"order     {tried.request}"
    yield f"          by the route {tried.route}"
    yield f"          told from others by {tried.told_apart_by}" + (f": {tried.why}" if tried.why else "")
    yield f"          the same as any with the fingerprint {tried.same_as}"
    if tried.outcome is not None:
        reference = f", reference {tried.reference}" if tried.reference else ", no reference found"
        yield f"          its answer, {tried.status}: {tried.outcome}{reference}"


# What was recorded


def read(path: Path) -> bytes:
    """The file. Raises ValueError."""
    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise ValueError("is larger than 64 MiB")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error


def recorded(request: bytes, answer: bytes | None) -> Iterator[tuple[Recorded, Answered | None]]:
    """Raises ValueError for what is neither HTTP nor HAR."""
    if request.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        yield from from_har(request)
        return
    start = START.match(request)
    if start is None:
        raise ValueError("begins neither with a request line (POST /checkout HTTP/1.1) nor as a HAR file")
    headers, body = head_and_body(request[start.end() :])
    yield Recorded(start[1].decode(), path_of(start[2]), headers, body), None if answer is None else answered(answer)


def answered(answer: bytes) -> Answered:
    status = STATUS.match(answer)
    if status is None:
        raise ValueError("the answer does not begin with a status line (HTTP/1.1 200 OK)")
    headers, body = head_and_body(answer[status.end() :])
    return Answered(int(status[1]), headers, body)


def head_and_body(text: bytes) -> tuple[Headers, bytes]:
    end = re.search(rb"\r?\n\r?\n", b"\n" + text)
    head, body = (text, b"") if end is None else (text[: max(0, end.start() - 1)], text[end.end() - 1 :])
    fields = (line.partition(b":") for line in head.splitlines() if line)
    headers = [(name.strip().lower(), value.strip()) for name, colon, value in fields if colon]
    is_form = any(name == b"content-type" and b"urlencoded" in value.lower() for name, value in headers)
    return headers, body.rstrip(b"\r\n") if is_form else body


def from_har(text: bytes) -> Iterator[tuple[Recorded, Answered | None]]:
    try:
        entries = json.loads(text)["log"]["entries"]
        for entry in entries:
            yield har_request(entry["request"]), har_answer(entry["response"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("is not a HAR file (JSON with log.entries)") from error


def har_request(request: dict[str, Any]) -> Recorded:
    headers = har_headers(request)
    posted = request.get("postData") or {}
    body = str(posted.get("text") or "").encode()
    return Recorded(str(request["method"]), path_of(str(request["url"]).encode()), headers, body)


def har_answer(response: dict[str, Any]) -> Answered | None:
    """None where the browser got none, which it writes as status 0."""
    status = int(response["status"])
    content = response.get("content") or {}
    text = str(content.get("text") or "")
    body = base64.b64decode(text) if content.get("encoding") == "base64" else text.encode()
    return Answered(status, har_headers(response), body) if status else None


def har_headers(message: dict[str, Any]) -> Headers:
    return [
        (str(field["name"]).lower().encode(), str(field["value"]).encode())
        for field in message["headers"]
        if not str(field["name"]).startswith(":")
    ]


def path_of(target: bytes) -> bytes:
    """In origin form: tools write the whole address."""
    if target.startswith(b"/"):
        return target
    parts = urlsplit(target.decode("latin-1"))
    return (parts.path or "/").encode("latin-1") + (b"?" + parts.query.encode("latin-1") if parts.query else b"")
