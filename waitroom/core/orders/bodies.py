"""The body of an order, read so that two renderings of one form are the same and two orders are not.

    body                     fields    document    what counts for sameness
    ---------------------    ------    --------    ----------------------------------------------------------------
    urlencoded form          yes       no          names and values, decoded, by name; without the ignored fields
    multipart form           yes       no          names, file names and contents, by name; not the boundary
    JSON                     no        yes         the value: no blanks, members by name; without the ignored ones
    anything else            no        no          the bytes

What cannot be read as what it says it is counts by its bytes: nothing that a stranger sends raises anything, and work
is linear in its length. Fields that only prove where a form came from change with each rendering (CSRF tokens): they
are ignored wherever they stand, as `_token`, `checkout[_token]` or `_Token[fields]`, in any letter case.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from waitroom.core.readings import ESCAPE, unescape

MOST_FIELDS: Final = 2_000
KNOWN_IGNORED: Final[dict[str, tuple[str, ...]]] = {
    "Django, Flask": ("csrfmiddlewaretoken", "csrf_token"),
    "Rails": ("authenticity_token", "utf8"),
    "Laravel, Symfony": ("_token", "_csrf_token"),
    "Express, Spring": ("_csrf",),
    "WooCommerce": ("woocommerce-process-checkout-nonce", "_wpnonce", "_wp_http_referer"),
    "ASP.NET": ("__RequestVerificationToken", "__VIEWSTATE", "__VIEWSTATEGENERATOR", "__EVENTVALIDATION"),
    "Magento": ("form_key",),
    "Drupal": ("form_build_id", "form_token"),
    "CakePHP": ("_csrfToken", "_Token"),
    "SAP Commerce": ("CSRFToken",),
}
"""What the word `known` in WAITROOM_ORDER_IGNORE stands for."""

# At most 70 characters: RFC 2046 §5.1.1.
BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"([^"\r\n]{1,70})"|([^\s;",]{1,70}))', re.IGNORECASE)
DISPOSITION = re.compile(rb"(?:^|\r\n)content-disposition:[ \t]*form-data\b([^\r\n]*)", re.IGNORECASE)
PARAMETER = re.compile(rb';[ \t]*(name|filename|filename\*)=(?:"((?:[^"\\]++|\\.)*+)"|([^;\s"]*))', re.IGNORECASE)
SEGMENT = re.compile(rb"[^\[\]]+")


class Field(NamedTuple):
    name: bytes
    value: bytes
    filename: bytes = b""


@dataclass(frozen=True, slots=True)
class Body:
    """What could be read. `fields` is None where it is no form; `has_document` tells JSON's `null` from no JSON."""

    canonical: bytes = field(repr=False)
    fields: Sequence[Field] | None = field(default=None, repr=False)
    document: Any = field(default=None, repr=False)
    has_document: bool = False


class Ignored:
    """The names of fields that say nothing about an order."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(name.lower().encode() for name in names)
        self._texts = frozenset(name.lower() for name in names)

    def has(self, name: bytes) -> bool:
        """Whether a form's field is one of them: its whole name, the first part of it, or the last."""
        lowered = name.lower()
        if b"[" not in lowered:
            return lowered in self._names
        parts = SEGMENT.findall(lowered)
        return lowered in self._names or (bool(parts) and (parts[0] in self._names or parts[-1] in self._names))

    def drop(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """A JSON object's members without them."""
        return {name: value for name, value in pairs if name.lower() not in self._texts}


def read_body(body: bytes, content_type: str, ignored: Ignored) -> Body:
    """Never raises. `content_type` is the field's value, empty without one."""
    kind = content_type.partition(";")[0].strip().lower()
    read: Body | None = None
    if kind == "application/x-www-form-urlencoded":
        read = read_form(body, ignored)
    elif kind == "multipart/form-data":
        read = read_multipart(body, content_type, ignored)
    elif kind == "application/json" or kind.endswith("+json") or (kind in ("", "text/plain") and looks_like_json(body)):
        read = read_json(body, ignored)
    return read or Body(netstrings((b"bytes", body)))


def read_form(body: bytes, ignored: Ignored) -> Body | None:
    """A urlencoded form (WHATWG URL §5.1); None for one of more than `MOST_FIELDS` fields."""
    pieces = body.split(b"&", MOST_FIELDS)
    if len(pieces) > MOST_FIELDS:
        return None
    fields = []
    for piece in pieces:
        if piece:
            name, _, value = piece.replace(b"+", b" ").partition(b"=")
            fields.append(Field(ESCAPE.sub(unescape, name), ESCAPE.sub(unescape, value)))
    return Body(canonical_fields(b"form", fields, ignored), fields)


def read_multipart(body: bytes, content_type: str, ignored: Ignored) -> Body | None:
    """RFC 7578, in the one form that browsers and libraries send."""
    found = BOUNDARY.search(content_type)
    if found is None:
        return None
    delimiter = b"\r\n--" + (found[1] or found[2]).encode("utf-8", "replace")
    _, *parts = (b"\r\n" + body).split(delimiter, MOST_FIELDS + 1)
    if not parts or len(parts) > MOST_FIELDS or not parts[-1].startswith(b"--"):
        return None
    fields = []
    for part in parts[:-1]:
        head, blank, content = part.partition(b"\r\n\r\n")
        disposition = DISPOSITION.search(head)
        if not blank or disposition is None:
            return None
        values = {name.lower(): quoted or plain for name, quoted, plain in PARAMETER.findall(disposition[1])}
        if b"name" not in values:
            return None
        fields.append(Field(values[b"name"], content, values.get(b"filename", values.get(b"filename*", b""))))
    return Body(canonical_fields(b"multipart", fields, ignored), fields)


def read_json(body: bytes, ignored: Ignored) -> Body | None:
    try:
        document = json.loads(body, object_pairs_hook=ignored.drop)
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return None
    return Body(netstrings((b"json", text.encode())), None, document, True)


def looks_like_json(body: bytes) -> bool:
    """`fetch` with a text for a body says text/plain, whatever the text is."""
    return body[:64].lstrip()[:1] in (b"{", b"[")


def canonical_fields(kind: bytes, fields: Sequence[Field], ignored: Ignored) -> bytes:
    kept = sorted((each for each in fields if not ignored.has(each.name)), key=lambda each: each.name)
    return netstrings((kind, *(part for each in kept for part in each)))


def netstrings(parts: Iterable[bytes]) -> bytes:
    """Joined so that no two lists of parts look alike."""
    return b"".join(b"%d:%b," % (len(part), part) for part in parts)


def pointed(document: Any, pointer: Sequence[str]) -> Any:
    """What a JSON pointer (RFC 6901), split and unescaped, leads to; None where there is nothing."""
    for name in pointer:
        if isinstance(document, dict):
            document = document.get(name)
        elif isinstance(document, list) and name.isascii() and name.isdigit() and len(name) < 10:
            at = int(name)
            document = document[at] if at < len(document) else None
        else:
            return None
    return document


def text_of(value: Any) -> str | None:
    """A JSON value as a rule compares it: a text as it is, a number or a truth value as written; None for the rest."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return None
