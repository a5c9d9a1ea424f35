"""Compile a page once, so that sending it costs neither rendering nor compression.

A template is rendered a single time, with a mark where each visitor's own value belongs:

    head   everything before the first mark: the same for everybody; kept plain, and deflated
    tail   the rest: a bytes format, filled in for each answer

Both joined are the document. Deflated, the head ends in a full flush, so that the tail can follow as a
stored block of its own and the two make one valid gzip stream (RFC 1951 §3.2.4, RFC 1952 §2.3).
Inline scripts and styles are allowed by their hash, taken from the very bytes that are sent.
"""

import base64
import hashlib
import re
import zlib
from collections.abc import Iterable, Mapping
from copy import copy
from struct import Struct

from waitroom.core.requests import Header
from waitroom.edge.answers import NO_SNIFFING, NO_STORE, VARY, Head, content_length, head_of

# Private-use characters: no page has them, and autoescaping leaves them alone.
MARK = re.compile("\ue000([a-z_]+)\ue001")
INLINE = re.compile(rb"<(style|script)((?:\s[^>]*)?)>(.*?)</\1>", re.DOTALL)
GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
STORED, END = Struct("<BHH"), Struct("<II")
# Up to here a stored block is cheaper than what compressing would save; a long message makes the tail longer.
STORED_LIMIT_BYTES = 2560


class Document:
    """A compiled page: `body()` in microseconds, and the headers that go with it."""

    __slots__ = ("_crc", "_deflated", "_fields", "_head", "_heads", "_tail")

    def __init__(
        self,
        html: str,
        *,
        framed: bool = False,
        referrer: bytes = b"same-origin",
        headers: Iterable[Header] = (),
    ) -> None:
        first = MARK.search(html)
        cut = first.start() if first else len(html)
        self._head = html[:cut].encode()
        self._tail = as_format(html[cut:])
        self._fields = frozenset(MARK.findall(html))
        self._crc = zlib.crc32(self._head)
        squeeze = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
        self._deflated = GZIP_HEADER + squeeze.compress(self._head) + squeeze.flush(zlib.Z_FULL_FLUSH)
        same: list[Header] = [
            (b"content-type", b"text/html; charset=utf-8"),
            NO_STORE,
            VARY,
            (b"x-robots-tag", b"noindex"),
            (b"content-security-policy", content_security_policy(html.encode(), framed=framed)),
            (b"referrer-policy", referrer),
            NO_SNIFFING,
            *headers,
        ]
        self._heads = head_of(*same), head_of(*same, (b"content-encoding", b"gzip"))

    def filled(self, fields: Mapping[bytes, bytes]) -> "Document":
        """The same document with some of its fields filled in for good."""
        known = {field: value.replace(b"%", b"%%") for field, value in fields.items()}
        left = self._fields - {field.decode() for field in fields}
        same = copy(self)
        same._fields = left
        same._tail = self._tail.replace(b"%%", b"%%%%") % (known | {f.encode(): b"%%(%b)b" % f.encode() for f in left})
        return same

    def body(self, fields: Mapping[bytes, bytes], *, gzip: bool) -> bytes:
        """The document with the visitor's values, which the caller has escaped for their place."""
        return b"".join(self.parts(fields, gzip=gzip))

    def parts(self, fields: Mapping[bytes, bytes], *, gzip: bool) -> tuple[bytes, bytes]:
        """`body` in two: what is the same for everybody, and the rest."""
        tail = self._tail % fields
        if not gzip:
            return self._head, tail
        size = len(tail)
        is_stored = size <= STORED_LIMIT_BYTES
        block = STORED.pack(1, size, size ^ 0xFFFF) + tail if is_stored else zlib.compress(tail, 6, -15)
        crc = zlib.crc32(tail, self._crc)
        total = (len(self._head) + size) & 0xFFFFFFFF
        return self._deflated, block + END.pack(crc, total)

    def head(self, *, gzip: bool) -> Head:
        """What goes with each answer, but for its length."""
        return self._heads[gzip]

    def answer(
        self, fields: Mapping[bytes, bytes], *, gzip: bool, retry_after_s: int = 0
    ) -> tuple[list[Header], bytes]:
        """Header and body; for HEAD the caller leaves the body out."""
        body = self.body(fields, gzip=gzip)
        headers = [*self.head(gzip=gzip).fields, content_length(body)]
        if retry_after_s > 0:
            headers.append((b"retry-after", b"%d" % retry_after_s))
        return headers, body


def as_format(html: str) -> bytes:
    return MARK.sub(r"%(\1)b", html.replace("%", "%%")).encode()


def content_security_policy(html: bytes, *, framed: bool) -> bytes:
    """Nothing from outside; inside, only what was compiled in."""
    hashes: dict[bytes, list[bytes]] = {b"script": [], b"style": []}
    for tag, attributes, text in INLINE.findall(html):
        if b"type=" not in attributes:  # data, not run
            hashes[tag].append(b"'sha256-" + base64.b64encode(hashlib.sha256(text).digest()) + b"'")
    rules = [b"default-src 'none'"]
    rules += [tag + b"-src " + b" ".join(found) for tag, found in hashes.items() if found]
    rules += [b"connect-src 'self'", b"img-src data:", b"form-action 'self'", b"base-uri 'none'"]
    if not framed:
        rules.append(b"frame-ancestors 'none'")
    return b"; ".join(rules)
