"""What a request is: its kind, and which form of answer it asks for.

Header names are lower case. Nothing here is authority: a client may claim any kind, and each kind is safe to claim.
"""

import re
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache

Headers = Sequence[tuple[bytes, bytes]]

ACCEPT_LIMIT_BYTES = 2048
"""As much of an Accept field as is read; browsers send under 200."""
ACCEPTS_KEPT = 256
QUALITY = re.compile(rb"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
PREFLIGHTS = frozenset((b"origin", b"access-control-request-method"))
FRAMES = frozenset((b"iframe", b"frame", b"embed", b"object"))


class Kind(Enum):
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


def kind_of(method: str, headers: Headers) -> Kind:
    """The kind of a request; methods are case-sensitive (RFC 9110 §9.1)."""
    names = {name for name, _ in headers}
    if method not in ("GET", "HEAD"):
        preflight = method == "OPTIONS" and names >= PREFLIGHTS and not has_body(headers)
        return Kind.PREFLIGHT if preflight else Kind.UNSAFE
    if b"upgrade" in names and method == "GET" and is_websocket(headers):
        return Kind.WEBSOCKET
    if b"sec-purpose" in names:
        return Kind.PREFETCH
    if b"sec-fetch-dest" in names:
        dest = next(value for name, value in headers if name == b"sec-fetch-dest")
        return Kind.DOCUMENT if dest == b"document" else Kind.FRAME if dest in FRAMES else Kind.FETCH
    return Kind.DOCUMENT if b"x-requested-with" not in names and accepts_html(headers) else Kind.FETCH


def is_navigation(headers: Headers) -> bool:
    """Whether the answer is to be a page of the browser's, whatever the method: a form that was sent, a link."""
    for name, value in headers:
        if name == b"sec-fetch-mode":
            return value == b"navigate"
    return accepts_html(headers) and not any(name == b"x-requested-with" for name, _ in headers)


def has_body(headers: Headers) -> bool:
    return any(name == b"transfer-encoding" or (name == b"content-length" and value != b"0") for name, value in headers)


def is_websocket(headers: Headers) -> bool:
    """RFC 6455 §4.1: both fields, as tokens of lists in any letter case."""
    return b"websocket" in tokens_of(headers, b"upgrade") and b"upgrade" in tokens_of(headers, b"connection")


def tokens_of(headers: Headers, wanted: bytes) -> set[bytes]:
    return {part.strip(b" \t").lower() for name, value in headers if name == wanted for part in value.split(b",")}


def accepts_html(headers: Headers) -> bool:
    """Whether HTML is asked for by name, and JSON not preferred to it. `*/*` alone asks for nothing by name."""
    html, json = qualities(headers)
    return html > 0 and html >= json


def asks_for_json(headers: Headers) -> bool:
    """Whether exactly `application/json` is asked for, and nothing else: what Cloudflare takes for an app."""
    return [value.strip().lower() for name, value in headers if name == b"accept"] == [b"application/json"]


def qualities(headers: Headers) -> tuple[float, float]:
    """The q-values (RFC 9110 §12.4.2) of HTML and of JSON (or any `+json` type) by name; 0 if not named, or refused."""
    return read_accept(b",".join([value for name, value in headers if name == b"accept"])[:ACCEPT_LIMIT_BYTES])


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
