"""What a request is: its kind, and which form of answer it asks for.

Header names are lower case. Nothing here is authority: a client may claim any kind, and each kind is safe to claim.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from functools import lru_cache

Header = tuple[bytes, bytes]
"""One field of a header: its name in lower case, and its value."""
Fields = Mapping[bytes, bytes]
"""A request's fields by name (`fields_of`)."""

ACCEPT_LIMIT_BYTES = 2048
"""As much of an Accept field as is read; browsers send under 200."""
ACCEPTS_KEPT = 256
QUALITY = re.compile(rb"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
PREFLIGHTS = frozenset((b"origin", b"access-control-request-method"))
OTHER_METHODS = frozenset((b"x-http-method-override", b"x-http-method", b"x-method-override"))
"""Fields that some frameworks take for the method; no browser sends them with a preflight."""
FRAMES = frozenset((b"iframe", b"frame", b"embed", b"object"))


class Kind(Enum):
    """What a request is, as far as its line is concerned. The values stand in metrics and in the log."""

    DOCUMENT = "document"
    """A person opens a page: GET or HEAD, by fetch metadata, or without it by `Accept: text/html`."""
    FRAME = "frame"
    """A page within a page; it also says `navigate`, but nobody can see its address."""
    PREFETCH = "prefetch"
    """A browser's guess at what may be wanted next."""
    PREFLIGHT = "preflight"
    """A browser asks whether a cross-origin request is allowed; it sends no cookies and no body with it."""
    FETCH = "fetch"
    """Any other GET or HEAD: an API call, an asset."""
    UNSAFE = "unsafe"
    """Any other method."""
    WEBSOCKET = "websocket"

    __hash__ = object.__hash__  # there is one of each; an Enum's own hash is a call


def fields_of(headers: Sequence[Header]) -> Fields:
    """The fields of a header by name. Several of one name are one list, joined by commas (RFC 9110 §5.3); but a
    Cookie, which is no list, has to be looked for in the header itself.
    """
    fields = dict(headers)
    if len(fields) == len(headers):
        return fields
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    return {name: b",".join(several) for name, several in values.items()}


def joined(headers: Sequence[Header]) -> bytes:
    """The lines of a header as they are sent; who gives the fields sees to it that each is one line."""
    return b"%b\r\n" % b"\r\n".join(map(b": ".join, headers)) if headers else b""


def value_of(headers: Iterable[Header], name: bytes) -> bytes:
    """The first field of that name; empty where there is none."""
    return next((value for each, value in headers if each == name), b"")


def kind_of(method: str, fields: Fields) -> Kind:
    """The kind of a request; methods are case-sensitive (RFC 9110 §9.1)."""
    if method not in ("GET", "HEAD"):
        asks = method == "OPTIONS" and fields.keys() >= PREFLIGHTS
        acts = has_body(fields) or not OTHER_METHODS.isdisjoint(fields)
        return Kind.PREFLIGHT if asks and not acts else Kind.UNSAFE
    if b"upgrade" in fields and method == "GET" and is_websocket(fields):
        return Kind.WEBSOCKET
    if b"sec-purpose" in fields:
        return Kind.PREFETCH
    dest = fields.get(b"sec-fetch-dest")
    if dest is not None:
        return Kind.DOCUMENT if dest == b"document" else Kind.FRAME if dest in FRAMES else Kind.FETCH
    return Kind.DOCUMENT if b"x-requested-with" not in fields and accepts_html(fields) else Kind.FETCH


def is_navigation(fields: Fields) -> bool:
    """Whether the answer is to be a page of the browser's, whatever the method: a form that was sent, a link."""
    mode = fields.get(b"sec-fetch-mode")
    if mode is not None:
        return mode == b"navigate"
    return b"x-requested-with" not in fields and accepts_html(fields)


def has_body(fields: Fields) -> bool:
    return b"transfer-encoding" in fields or fields.get(b"content-length", b"0") != b"0"


def is_websocket(fields: Fields) -> bool:
    """RFC 6455 §4.1: both fields, as tokens of lists in any letter case."""
    upgrade, connection = (tokens_of(fields.get(name, b"")) for name in (b"upgrade", b"connection"))
    return b"websocket" in upgrade and b"upgrade" in connection


def tokens_of(value: bytes) -> set[bytes]:
    """The tokens of a list, in lower case; none of an empty value."""
    return {part.strip(b" \t").lower() for part in value.split(b",")} if value else set()


def accepts_html(fields: Fields) -> bool:
    """Whether HTML is asked for by name, and JSON not preferred to it. `*/*` alone asks for nothing by name."""
    html, json = qualities(fields)
    return html > 0 and html >= json


def asks_for_json(fields: Fields) -> bool:
    """Whether exactly `application/json` is asked for, and nothing else: what Cloudflare takes for an app."""
    return fields.get(b"accept", b"").strip().lower() == b"application/json"


def qualities(fields: Fields) -> tuple[float, float]:
    """The q-values (RFC 9110 §12.4.2) of HTML and of JSON (or any `+json` type) by name; 0 if not named, or refused."""
    return read_accept(fields.get(b"accept", b"")[:ACCEPT_LIMIT_BYTES])


@lru_cache(ACCEPTS_KEPT)
def read_accept(accept: bytes) -> tuple[float, float]:
    """`qualities` of one value; browsers send few different ones."""
    html = json = 0.0
    for media in accept.lower().split(b","):
        media_type, *parameters = (part.strip(b" \t") for part in media.split(b";"))
        if media_type in (b"text/html", b"application/xhtml+xml"):
            html = max(html, quality(parameters))
        elif media_type == b"application/json" or media_type.endswith(b"+json"):
            json = max(json, quality(parameters))
    return html, json


def quality(parameters: Sequence[bytes]) -> float:
    """The q parameter; 1 without one, 0 for one that is not a q-value."""
    for parameter in parameters:
        if parameter.startswith(b"q="):
            value = parameter.removeprefix(b"q=")
            return float(value) if QUALITY.fullmatch(value) else 0.0
    return 1.0


def accepts_gzip(fields: Fields) -> bool:
    """Whether `Accept-Encoding` names gzip with a weight above 0 (RFC 9110 §12.5.3)."""
    return names_gzip(fields.get(b"accept-encoding", b"")[:ACCEPT_LIMIT_BYTES])


@lru_cache(ACCEPTS_KEPT)
def names_gzip(accept_encoding: bytes) -> bool:
    """`accepts_gzip` of one value."""
    for item in accept_encoding.lower().split(b","):
        coding, _, weight = item.partition(b";")
        if coding.strip() in (b"gzip", b"x-gzip") and weight.replace(b" ", b"").strip(b".0") != b"q=":
            return True
    return False
