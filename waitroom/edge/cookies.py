"""Our cookies: their names and attributes, finding them, taking them out, and what an answer that carries one may be.

    scheme                      name                            attributes
    https                       __Host-waitroom_<room>_ticket   Path=/; Max-Age; Secure; HttpOnly; SameSite=None
    https, with cookie_domain   __Secure-waitroom_<room>_…      the same, and Domain
    http                        waitroom_<room>_ticket          Path=/; Max-Age; HttpOnly (and Domain, if set)

SameSite is None, not Lax: a payment provider's POST back to the shop carries no Lax cookie, and a customer who has
just paid would be put in line. Under http a browser refuses None without Secure, so nothing is said there.
Under https only the prefixed names count: a neighbouring host cannot plant those.

If a name occurs more than once (planted by a neighbouring host, or left by a former cookie_domain), every value is
tried, so that rubbish hides nothing.

Everything named `waitroom_…`, with or without a prefix, is ours, in any letter case: the origin neither sees nor sets
it. Other people's cookies are never decoded, sorted or mended.
"""

import re
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from waitroom.core.requests import Header
from waitroom.core.tokens import Pass, Ticket, Tokens, Unreadable

MOST_REPEATS = 8
"""So many values of one name are tried: a planted cookie doesn't hide ours, a thousand don't cost a thousand checks."""
OURS = re.compile(rb"[ \t=]*(?:__host-|__secure-)?waitroom_", re.IGNORECASE)
"""Also behind a `=`: browsers send a cookie without a name, `=waitroom_x=y`, as `waitroom_x=y`."""
SHARED_CACHE_FIELDS = frozenset((b"surrogate-control", b"edge-control", b"x-accel-expires"))
DIRECTIVE = re.compile(rb'(?:[^,"]+|"(?:[^"\\]|\\.)*"?)+')
SLACK = 4
"""Blanks put up with before a name; browsers send one."""
COOKIES_KEPT, LONGEST_KEPT = 4096, 1024
"""A browser sends the same field again and again; 8 MB at most are kept of them."""
NOT_OUR_COOKIE = b'no-cache="set-cookie"'


class CookieKind(Enum):
    TICKET = b"ticket"
    PASS = b"pass"

    __hash__ = object.__hash__  # there is one of each; an Enum's own hash is a call


class Found(NamedTuple):
    """Values under our names as sent, unjudged; several if a name was repeated."""

    tickets: list[bytes]
    passes: list[bytes]
    ticket_fields: list[bytes]
    pass_fields: list[bytes]


class Cookies:
    """The cookies of one room. Whether the browser speaks https is the request's matter: `secure`."""

    def __init__(self, room: str, cookie_domain: str | None = None, *, ticket: bytes = CookieKind.TICKET.value) -> None:
        """`ticket` ends the name of the ticket's cookie: each line of a room has its own."""
        domain = f"; Domain={cookie_domain}".encode() if cookie_domain else b""
        prefix = b"__Secure-" if cookie_domain else b"__Host-"
        self._names: dict[tuple[CookieKind, bool], bytes] = {}
        for kind in CookieKind:
            plain = b"waitroom_%b_%b" % (room.encode(), ticket if kind is CookieKind.TICKET else kind.value)
            self._names[kind, False] = plain
            self._names[kind, True] = prefix + plain
        self._starts = {
            secure: tuple(self._names[kind, secure] + b"=" for kind in CookieKind) for secure in (False, True)
        }
        self._attributes = {
            False: b"; HttpOnly" + domain,
            True: b"; Secure; HttpOnly; SameSite=None" + domain,
        }

    def name(self, kind: CookieKind, *, secure: bool) -> bytes:
        return self._names[kind, secure]

    def set_cookie(self, kind: CookieKind, token: str, *, secure: bool, max_age_s: int) -> bytes:
        """The value of a Set-Cookie field."""
        attributes = self._attributes[secure]
        return b"%b=%b; Path=/; Max-Age=%d%b" % (self._names[kind, secure], token.encode(), max_age_s, attributes)

    def delete_cookie(self, kind: CookieKind, *, secure: bool) -> bytes:
        """The value of a Set-Cookie field that removes the cookie."""
        return self.set_cookie(kind, "", secure=secure, max_age_s=0)

    def find(self, headers: Sequence[Header], *, secure: bool) -> Found:
        """The values of our cookies and fields, in the order sent: `MOST_REPEATS` of a cookie, the last of a field."""
        found = Found([], [], [], [])
        ticket_start, pass_start = self._starts[secure]
        for name, value in headers:
            if name == b"cookie":
                if b"waitroom_" in value:
                    collect(value, ticket_start, found.tickets)
                    collect(value, pass_start, found.passes)
            elif name == b"waitroom-ticket":
                found.ticket_fields[:] = (value,)
            elif name == b"waitroom-pass":
                found.pass_fields[:] = (value,)
        return found

    def read_pass(self, found: Found, tokens: Tokens, now_ms: int) -> Pass | Unreadable | None:
        """The pass that counts: the one valid now with the latest end; not yet or no longer valid ones come after it,
        one signed with a key we don't hold last of all.
        """
        if len(found.passes) == 1 and not found.pass_fields:
            return tokens.read_pass(found.passes[0], now_ms)
        passes = [tokens.read_pass(value, now_ms) for value in (*found.pass_fields, *found.passes)]
        return max(passes, key=lambda one: rank_pass(one, now_ms), default=None)

    def read_ticket(self, found: Found, tokens: Tokens, now_ms: int) -> tuple[Ticket | Unreadable | None, bool]:
        """The ticket that counts, and whether it came in the Waitroom-Ticket field, which precedes the cookie.

        Of several cookies the one issued last: a cookie left by a former cookie_domain is sent first for ever.
        """
        if len(found.tickets) == 1 and not found.ticket_fields:
            return tokens.read_ticket(found.tickets[0], now_ms), False
        by_header = [tokens.read_ticket(value, now_ms) for value in found.ticket_fields]
        ticket = max(by_header, key=rank_ticket, default=None)
        if isinstance(ticket, Ticket):
            return ticket, True
        by_cookie = [tokens.read_ticket(value, now_ms) for value in found.tickets]
        return max((*by_cookie, ticket), key=rank_ticket), False


def rank_ticket(ticket: Ticket | Unreadable | None) -> int:
    return ticket.issued_ms if isinstance(ticket, Ticket) else -2 if ticket is None else -1


def rank_pass(pass_: Pass | Unreadable | None, now_ms: int) -> tuple[bool, int]:
    if isinstance(pass_, Pass):
        return pass_.is_valid(now_ms), pass_.end_ms
    return False, -2 if pass_ is None else -1


def collect(cookie: bytes, start: bytes, values: list[bytes]) -> None:
    """Append the values of the cookie whose name and `=` are `start`; RFC 6265 §5.4 as browsers send it, with slack."""
    at = cookie.find(start)
    while at >= 0 and len(values) < MOST_REPEATS:
        after = at + len(start)
        before = cookie[max(0, at - SLACK) : at].rstrip(b" \t")
        if before.endswith(b";") or (not before and at <= SLACK):
            end = cookie.find(b";", after)
            values.append(cookie[after : end if end >= 0 else None].strip(b' \t"'))
        at = cookie.find(start, after)


def strip(cookie: bytes) -> bytes | None:
    """A Cookie field's value without our cookies; None if it held only ours. Every other byte stays."""
    return strip_known(cookie) if len(cookie) <= LONGEST_KEPT else strip_anew(cookie)


def strip_anew(cookie: bytes) -> bytes | None:
    if b"waitroom_" not in cookie.lower():
        return cookie
    parts = cookie.split(b";")
    others = [part for part in parts if OURS.match(part) is None]
    if len(others) == len(parts):
        return cookie
    left = b";".join(others)
    return left.lstrip(b" \t") if left.strip(b"; \t") else None


strip_known = lru_cache(COOKIES_KEPT)(strip_anew)


def is_our_set_cookie(value: bytes) -> bool:
    """Whether a Set-Cookie field of the origin's names a cookie of ours (and is to be dropped)."""
    return OURS.match(value) is not None


def is_for_shared_caches(name: bytes) -> bool:
    """Fields that tell a CDN or proxy cache what Cache-Control doesn't (RFC 9213 and its forerunners)."""
    return name in SHARED_CACHE_FIELDS or name.endswith(b"cdn-cache-control")


def directives_of(headers: Sequence[Header]) -> list[bytes]:
    """The directives of all Cache-Control fields, as written; commas in quotes don't part them."""
    fields = (value for name, value in headers if name == b"cache-control")
    return [part for field in fields for part in (found.strip() for found in DIRECTIVE.findall(field)) if part]


def name_of(directive: bytes) -> bytes:
    return directive.partition(b"=")[0].strip().lower()


def cache_rules(headers: Sequence[Header]) -> list[Header]:
    """What an answer must say to which we add a cookie: one shopper's pass must not be everybody's by way of a CDN.

    `Cache-Control` becomes private with `no-cache="set-cookie"`, in the place of the first one; the rest of its
    directives stay, but for `public`, `private=…` and `s-maxage`. Fields for shared caches go.
    """
    gone = (b"public", b"private", b"s-maxage")
    rest = [one for one in directives_of(headers) if name_of(one) not in gone and one.lower() != NOT_OUR_COOKIE]
    rule = (b"cache-control", b", ".join((b"private", NOT_OUR_COOKIE, *rest)))
    kept: list[Header] = []
    for name, value in headers:
        if name == b"cache-control":
            if rule not in kept:
                kept.append(rule)
        elif not is_for_shared_caches(name):
            kept.append((name, value))
    return kept if rule in kept else [*kept, rule]


def may_be_shared(headers: Sequence[Header], status: int = 200) -> bool:
    """Whether a shared cache may keep this answer and use it again without asking (renewal skips those).

    By RFC 9111 §3 and §4.2: an explicit lifetime, or, without one, a Last-Modified to guess it from. A 304 that says
    nothing of it may be of an answer that is kept: its fields, Set-Cookie too, become that one's (§4.3.4).
    """
    if any(is_for_shared_caches(name) and lets_keep(value) for name, value in headers):
        return True
    directives = {name_of(one): one.partition(b"=")[2].strip(b' "') for one in directives_of(headers)}
    names = {name for name, _ in headers}
    if b"no-store" in directives or b"private" in directives or (b"vary", b"*") in headers:
        return False
    lifetime = directives.get(b"s-maxage", directives.get(b"max-age"))
    if lifetime is not None:
        return lifetime.isdigit() and lifetime.strip(b"0") != b""
    if b"no-cache" in directives:
        return False
    if b"expires" in names:
        return expires_later(headers)
    return status == 304 or b"public" in directives or b"last-modified" in names


def lets_keep(value: bytes) -> bool:
    """Whether a field for shared caches allows them something; it precedes Cache-Control (RFC 9213 §2.2)."""
    text = value.strip().lower()
    return text not in (b"", b"0", b"off") and not any(no in text for no in (b"no-store", b"private", b"max-age=0"))


def expires_later(headers: Sequence[Header]) -> bool:
    """Whether Expires lies after Date; an Expires that is no date (`0`, `-1`) has passed (RFC 9111 §5.3)."""
    times = {name: value.decode("latin-1") for name, value in headers if name in (b"expires", b"date")}
    try:
        expires = parsedate_to_datetime(times[b"expires"])
        return b"date" not in times or expires > parsedate_to_datetime(times[b"date"])
    except (ValueError, TypeError):
        return False
