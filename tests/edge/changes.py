"""The table of changes, a second time: what may become of an exchange on its way, row by row.

Written from the table of `deploy/changes.md` and not from the gateway's code. `to_shop` and `to_client` apply the rows
that an exchange of the corpus names, and those of ALWAYS; whatever else the gateway changes is a difference, and a
failure.
"""

import re
from collections.abc import Callable, Set
from dataclasses import dataclass
from http import HTTPStatus

from tests.edge.strict import length_of

HOP_BY_HOP = (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade")
FORWARDED = re.compile(rb"forwarded|x-real-ip|x-forwarded-.*")
MADE_BY_US = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port")
OURS = re.compile(rb"waitroom[^a-z0-9].*")
OTHER_HOST = b"inner.example:81"
OUR_COOKIE = re.compile(rb"\s*(__host-|__secure-)?waitroom_.*", re.IGNORECASE)
ID = b"waitroom-ID"
PLACE = (b"waitroom-place: N", b"waitroom-admitted-at: N")
REASONS = {200: b"OK", 416: HTTPStatus(416).phrase.encode(), 299: b"", 599: b""}  # a phrase of Python's, which changed


@dataclass
class Draft:
    """A message that is being changed. A field is its name and all that follows the name, colon and blanks included."""

    start: bytes
    fields: list[tuple[bytes, bytes]]
    content: bytes
    method: bytes = b"GET"
    client_version: bytes = b"1.1"
    origin_host: bytes = b""
    trusted: bool = False
    cookie: bytes = b""
    """The value of the Set-Cookie that the gateway adds."""
    framing: str = "none"
    asked_host: bytes = b""
    """The host that the client named."""
    replaces_host: bool = False
    """The operator has another for the shop."""
    protocols: bytes = b""
    """What the Upgrade field says."""

    @classmethod
    def of(cls, head: bytes, content: bytes, **more: object) -> "Draft":
        start, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        parted = [line.partition(b":") for line in lines]
        draft = cls(start, [(name, colon + value) for name, colon, value in parted], content)
        for name, value in more.items():
            setattr(draft, name, value)
        draft.asked_host = draft.find(b"host") or b""
        draft.protocols = draft.find(b"upgrade") or b""
        draft.framing, _ = length_of(tuple((name, draft.value(rest)) for name, rest in draft.fields))
        return draft

    @property
    def head(self) -> bytes:
        return b"\r\n".join((self.start, *(name + rest for name, rest in self.fields), b"", b""))

    @staticmethod
    def value(rest: bytes) -> bytes:
        return rest[1:].strip(b" \t")

    def drop(self, is_dropped: Callable[[bytes], object]) -> None:
        self.fields = [one for one in self.fields if not is_dropped(one[0].lower())]

    def add(self, *lines: bytes) -> None:
        self.fields += [(name, b": " + value) for name, _, value in (line.partition(b": ") for line in lines)]

    def find(self, name: bytes) -> bytes | None:
        return next((self.value(rest) for found, rest in self.fields if found.lower() == name), None)


def names(draft: Draft) -> None:
    draft.fields = [(name.lower(), rest) for name, rest in draft.fields]


def blanks_to_shop(draft: Draft) -> None:
    draft.fields = [(name, b": " + draft.value(rest)) for name, rest in draft.fields]


def blanks_to_client(draft: Draft) -> None:
    draft.fields = [(name, b": " + rest[1:].lstrip(b" \t")) for name, rest in draft.fields]


def version_to_shop(draft: Draft) -> None:
    draft.start = draft.start.removesuffix(b"HTTP/1.0").removesuffix(b"HTTP/1.1") + b"HTTP/1.1"


def version_to_client(draft: Draft) -> None:
    draft.start = b"HTTP/1.1" + draft.start[8:]


def hop(draft: Draft) -> None:
    listed = b",".join(draft.value(rest) for name, rest in draft.fields if name.lower() == b"connection")
    named = {token.strip().lower() for token in listed.split(b",")} - {b"host", b"content-length"}
    kept = (b"transfer-encoding",)  # the row `chunks` is about it
    draft.drop(lambda name: name not in kept and (name in HOP_BY_HOP or name in named))


def chunks_to_shop(draft: Draft) -> None:
    coding = b"transfer-encoding"
    draft.fields = [(name, b": chunked" if name.lower() == coding else rest) for name, rest in draft.fields]


def chunks_to_client(draft: Draft) -> None:
    draft.drop(lambda name: name == b"transfer-encoding")


def ours(draft: Draft) -> None:
    draft.drop(OURS.fullmatch)
    fields, draft.fields = draft.fields, []
    for name, rest in fields:
        if name.lower() == b"cookie":
            kept = [part for part in rest[1:].split(b";") if not OUR_COOKIE.fullmatch(part)]
            if not kept:
                continue
            if len(kept) < rest.count(b";") + 1:
                rest = b": " + b";".join(kept).lstrip()
        elif name.lower() == b"set-cookie" and OUR_COOKIE.fullmatch(rest[1:]):
            continue
        draft.fields.append((name, rest))


def absolute(draft: Draft) -> None:
    found = re.fullmatch(rb"(\S+) https?://[^/?]*(\S*) (\S+)", draft.start, re.IGNORECASE)
    assert found is not None
    draft.start = b"%b %b%b %b" % (found[1], b"" if found[2].startswith(b"/") else b"/", found[2], found[3])


def forwarded(draft: Draft) -> None:
    named = re.search(rb":([0-9]+)\Z", draft.asked_host)
    port = named[1] if named else b"80"
    path = [draft.value(rest) for name, rest in draft.fields if name.lower() == b"x-forwarded-for"]
    said = {name: draft.find(name) for name in MADE_BY_US}
    draft.drop(MADE_BY_US.__contains__ if draft.trusted else FORWARDED.fullmatch)
    if not draft.trusted:
        path, said = [], {}
    asked = said.get(b"x-forwarded-host") or draft.asked_host
    draft.add(
        b"x-forwarded-for: " + b", ".join((*path, b"127.0.0.1")),
        b"x-forwarded-proto: " + (said.get(b"x-forwarded-proto") or b"http"),
        *((b"x-forwarded-host: " + asked,) if asked else ()),
        b"x-forwarded-port: " + (said.get(b"x-forwarded-port") or port),
    )


def spellings(draft: Draft) -> None:
    def is_misspelled(name: bytes) -> bool:
        spelled = re.sub(rb"[^a-z0-9]", b"-", name)
        return spelled != name and bool(
            FORWARDED.fullmatch(spelled) or spelled in (b"transfer-encoding", b"content-length")
        )

    draft.drop(is_misspelled)


def host(draft: Draft) -> None:
    told = OTHER_HOST if draft.replaces_host else draft.origin_host
    if draft.find(b"host") is None:
        draft.add(b"host: " + told)
    elif draft.replaces_host:
        draft.fields = [(name, b": " + told if name.lower() == b"host" else rest) for name, rest in draft.fields]


def place(draft: Draft) -> None:
    draft.add(*PLACE)


def upgrade(draft: Draft) -> None:
    draft.add(b"connection: Upgrade", b"upgrade: " + draft.protocols)


def via_to_shop(draft: Draft) -> None:
    draft.add(b"via: %b %b" % (draft.client_version, ID))


def via_to_client(draft: Draft) -> None:
    draft.add(b"via: %b %b" % (draft.start[5:8], ID))


def reason(draft: Draft) -> None:
    version, status, _ = draft.start.split(b" ", 2)
    draft.start = b"%b %b %b" % (version, status, REASONS[int(status)])


def length(draft: Draft) -> None:
    draft.drop(lambda name: name == b"content-length")


def cookie(draft: Draft) -> None:
    fields, draft.fields = draft.fields, []
    rule = b'private, no-cache="set-cookie"'
    for name, rest in fields:
        if name == b"cache-control":
            kept = [one.strip() for one in rest[1:].split(b",")]
            kept = [one for one in kept if one != b"public" and not one.startswith(b"s-maxage")]
            rest = b": " + b", ".join((rule, *kept))
        if name not in (b"surrogate-control", b"cdn-cache-control"):
            draft.fields.append((name, rest))
    if draft.find(b"cache-control") is None:
        draft.fields.append((b"cache-control", b": " + rule))
    draft.add(b"set-cookie: " + draft.cookie)


def nothing(draft: Draft) -> None:
    """A row about bytes that a draft does not hold: it is looked at on the wire."""


# The rows, in the order in which they apply; (to the shop, to the client).
CHANGES: dict[str, tuple[Callable[[Draft], None] | None, Callable[[Draft], None] | None]] = {
    "hop": (hop, hop),
    "names": (names, names),
    "blanks": (blanks_to_shop, blanks_to_client),
    "absolute": (absolute, None),
    "ours": (ours, ours),
    "spellings": (spellings, None),
    "chunks": (chunks_to_shop, chunks_to_client),
    "trailers": (nothing, nothing),
    "length": (None, length),
    "interim": (None, nothing),
    "reason": (None, reason),
    "close": (None, nothing),
    "host": (host, None),
    "via": (via_to_shop, via_to_client),
    "version": (version_to_shop, version_to_client),
    "cookie": (None, cookie),
    "forwarded": (forwarded, None),
    "place": (place, None),
    "upgrade": (upgrade, None),
    "refused": (None, None),
}
ALWAYS = frozenset(("via", "forwarded"))


def to_shop(draft: Draft, rows: Set[str]) -> bytes:
    """The head that the shop must receive."""
    for name, (change, _) in CHANGES.items():
        if change is not None and (name in rows or name in ALWAYS):
            change(draft)
    return draft.head


def to_client(draft: Draft, rows: Set[str], *, closes: bool) -> bytes:
    """The head that the client must receive; `closes`: the connection ends with it."""
    for name, (_, change) in CHANGES.items():
        if change is not None and (name in rows or name in ALWAYS):
            change(draft)
    status = int(draft.start.split(b" ")[1])
    bodyless = status in (204, 304) or draft.method == b"HEAD"
    chunked = {"chunked": "chunks" in rows, "none": "close" in rows}.get(draft.framing, False)
    if chunked and not bodyless and draft.client_version == b"1.1":
        draft.add(b"transfer-encoding: chunked")
    if closes:
        draft.add(b"connection: close")
    return draft.head
