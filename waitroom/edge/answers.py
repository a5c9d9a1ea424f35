"""A whole answer of ours: how it is asked for, and the header fields that many of them have alike."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from waitroom.core.requests import Fields, Header, accepts_gzip, accepts_html

CR, LF, NUL = b"\r\n\0"
"""As numbers: `in` finds a number at once, and for bytes makes an error first, which it drops: they are no number."""
SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))
NO_STORE: Final[Header] = (b"cache-control", b"private, no-store")
NO_SNIFFING: Final[Header] = (b"x-content-type-options", b"nosniff")
EMPTY: Final[Header] = (b"content-length", b"0")
VARY: Final[Header] = (b"vary", b"accept, accept-encoding, accept-language, cookie, sec-fetch-dest")


class Answer(NamedTuple):
    """A whole answer; for HEAD whoever sends it leaves the body out."""

    status: int
    headers: list[Header]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How to answer one request. `safe` says that the method changes nothing."""

    html: bool
    gzip: bool
    safe: bool
    request_id: str
    accept_language: bytes = b""
    origin: bytes | None = None


def asked_by(method: str, fields: Fields, *, request_id: str) -> Asked:
    return Asked(
        html=accepts_html(fields),
        gzip=accepts_gzip(fields),
        safe=method in SAFE,
        request_id=request_id,
        accept_language=fields.get(b"accept-language", b""),
        origin=fields.get(b"origin"),
    )


class Head(NamedTuple):
    """Header fields that many answers have alike, and the same as they are sent."""

    fields: list[Header]
    lines: bytes


def head_of(*fields: Header) -> Head:
    return Head([*fields], lines_of(fields))


def lines_of(fields: Iterable[Header]) -> bytes:
    """Raises ValueError for a field that would be more than one line (RFC 9112 §11.1)."""
    lines = b""
    for name, value in fields:
        if CR in value or LF in value or NUL in value:
            raise ValueError(f"{name!r} holds a line break")
        lines += b"%b: %b\r\n" % (name, value)
    return lines


def content_length(body: bytes) -> Header:
    return b"content-length", b"%d" % len(body)


JSON_HEAD: Final = head_of((b"content-type", b"application/json"), NO_STORE, (b"vary", b"cookie, origin"), NO_SNIFFING)


def json_headers(body: bytes) -> list[Header]:
    """Of an own route's JSON, which is the same whatever is asked for."""
    return [*JSON_HEAD.fields, content_length(body)]


def json_fields(body: bytes, media: bytes = b"application/json") -> list[Header]:
    """Of JSON that is one visitor's own, and a page for whoever asks for HTML."""
    return [(b"content-type", media), NO_STORE, VARY, NO_SNIFFING, content_length(body)]


def see_other(path: str) -> Answer:
    """A form was sent: the browser goes on with a GET. `path` is fit for a Location field (`core.paths`)."""
    return Answer(303, [(b"location", path.encode()), NO_STORE, EMPTY], b"")
