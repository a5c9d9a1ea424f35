"""Places in a request or an answer that a rule about orders names: how they are written, and what stands there.

    a place         means
    ------------    --------------------------------------------------------------------------------------------
    form:name       a field of a form, urlencoded or multipart
    json:/a/0/b     a JSON pointer (RFC 6901) into the body; there, and not null
    query:name      a parameter of the request's address
    header:X-Id     a header field
    cookie:name     a cookie
    status:201      the status of the answer, 2xx or 3xx; also `status:2xx`
    location:/x/*   the Location of an answer, without scheme and host, and without its query unless there is a `?`

`form:action=place` wants the value to be `place`, `json:/query~addPayment` to contain it. What is looked up is text:
of JSON a number or a truth value as written. Nothing here raises anything about a request or an answer.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote, unquote_to_bytes

from waitroom.core.orders.bodies import Body, pointed, text_of
from waitroom.core.requests import Header
from waitroom.core.targets import Pattern

Headers = Sequence[Header]

POINTER: Final = r"/(?:[^~=]|~[01])*"
NAMES: Final = {
    "form": re.compile(r"[^=~]+"),
    "json": re.compile(POINTER),
    "query": re.compile(r"[^=~]+"),
    "header": re.compile(r"[!#$%&'*+.^_`|0-9A-Za-z-]+"),
    "cookie": re.compile(r"[!#$%&'*+.^_`|0-9A-Za-z-]+"),
    "status": re.compile(r"[23](?:\d\d|xx)"),
    "location": re.compile(r"/.*"),
}
FORMS: Final = {
    "form": "a field's name, like form:basket_id",
    "json": "a JSON pointer, like json:/order/code",
    "query": "a parameter's name, like query:route",
    "header": "a field's name, like header:X-Order",
    "cookie": "a cookie's name, like cookie:session",
    "status": "a status of 2xx or 3xx, like status:201",
    "location": "a path pattern, like location:/thanks/*",
}
UNVALUED: Final = ("cookie", "status", "location")


class Place(NamedTuple):
    """Somewhere in a request or an answer, and what is wanted of it. `sign` is empty, `=` or `~`."""

    source: str
    name: str
    sign: str = ""
    value: str = ""

    def accepts(self, found: str | None) -> bool:
        if found is None:
            return False
        return self.value in found if self.sign == "~" else not self.sign or found == self.value


class Misplaced(ValueError):
    """Not a place; the message continues a sentence that begins with the word at fault."""


def read_place(text: str, sources: Sequence[str], *, valued: bool) -> Place:
    """Raises Misplaced. `valued`: it may say what is wanted there."""
    source, colon, rest = text.partition(":")
    if not colon or source not in sources:
        raise Misplaced(f"does not begin with {', '.join(f'{each}:' for each in sources)}")
    found = NAMES[source].match(rest)
    if found is None:
        raise Misplaced(f"does not name {FORMS[source]}")
    name, sign, value = unquote(found[0]), rest[found.end() :][:1], unquote(rest[found.end() + 1 :])
    if sign and (source in UNVALUED or sign not in "=~"):
        raise Misplaced(f"does not name {FORMS[source]}")
    if sign and not valued:
        raise Misplaced("says what the value is; here only a place is wanted")
    if sign == "~" and not value:
        raise Misplaced("has nothing after the ~")
    return Place(source, name.lower() if source == "header" else name, sign, value)


def in_request(place: Place, target: bytes, headers: Headers, body: Body) -> str | None:
    """What stands there; None where nothing does. Header names are in lower case."""
    name = place.name.encode()
    match place.source:
        case "form":
            found = next((each.value for each in body.fields or () if each.name == name), None)
            return None if found is None else found.decode("utf-8", "backslashreplace")
        case "json":
            return in_document(place.name, body)
        case "query":
            pairs = target.partition(b"?")[2].split(b"&")
            return next((parameter(each)[1] for each in pairs if parameter(each)[0] == name), None)
        case "header":
            return first(headers, name)
        case _:
            return cookie(headers, name)


def in_answer(place: Place, status: int, headers: Headers, body: Body) -> str | None:
    """The same of an answer; of a Location, what the last `*` of the pattern stands for."""
    match place.source:
        case "status":
            return place.name if str(status).startswith(place.name.rstrip("x")) else None
        case "header":
            return first(headers, place.name.encode())
        case "location":
            location = first(headers, b"location")
            return None if location is None else captured(place.name, location)
        case _:
            return in_document(place.name, body)


def in_document(pointer: str, body: Body) -> str | None:
    """Of an object or a list only that it is there: an empty text."""
    if not body.has_document:
        return None
    steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    value = pointed(body.document, steps)
    return "" if isinstance(value, dict | list) else text_of(value)


def captured(pattern: str, location: str) -> str | None:
    """What the last `*` stands for, decoded, without a slash at the end; None if the Location does not match."""
    path = location.strip()
    _, scheme_end, rest = path.partition("//") if path.startswith("//") else path.partition("://")
    if scheme_end:
        path = "/" + rest.partition("/")[2]
    if "?" not in pattern:
        path = path.partition("#")[0].partition("?")[0]
    if not Pattern(pattern.encode()).matches(path.encode()):
        return None
    before, star, after = pattern.rpartition("*")
    piece = before.rpartition("*")[2]
    end = len(path) - len(after)
    begin = path.rfind(piece, 0, end) + len(piece) if "*" in before else len(before)
    return unquote(path[begin:end].rstrip("/"), errors="replace") if star else ""


def first(headers: Headers, name: bytes) -> str | None:
    """The first field of that name, None where there is none or it is empty."""
    return next((value.decode("utf-8", "backslashreplace") for each, value in headers if each == name and value), None)


def parameter(pair: bytes) -> tuple[bytes, str]:
    name, _, value = pair.replace(b"+", b" ").partition(b"=")
    return unquote_to_bytes(name), unquote_to_bytes(value).decode("utf-8", "backslashreplace")


def cookie(headers: Headers, name: bytes) -> str | None:
    """The first cookie of that name, as it stands there; None where there is none or it is empty."""
    pairs = (pair.strip().partition(b"=") for each, field in headers if each == b"cookie" for pair in field.split(b";"))
    return next((value.decode("latin-1") for found, _, value in pairs if found == name and value), None)
