"""The table of changes: what becomes of each header field on its way to the shop and back.

Everything not named here passes with its bytes, order and repetitions unchanged.

to the shop                                     | what happens
------------------------------------------------|-----------------------------------------------------------
Connection, what it names, Keep-Alive, TE,      | dropped: they end at each hop (RFC 9110 §7.6.1); a body keeps
Proxy-Connection, Trailer, Transfer-Encoding,   | its framing, `chunked` is written anew; Host and
Upgrade                                         | Content-Length stay, whatever Connection names; Upgrade
                                                | stays where both sides switch (`waitroom.edge.shop.tunnel`)
Via                                             | ours is appended; ours found in it is a loop (508)
X-Forwarded-For                                 | the peer's address, appended to what a trusted proxy sent
X-Forwarded-Proto, -Host, -Port                 | made by us; with `WAITROOM_FORWARDED`, one of Forwarded, too
Forwarded, X-Real-IP, other X-Forwarded-*       | kept from a trusted proxy, dropped from anybody else
the same with `_` or any other sign for a `-`   | dropped: CGI and WSGI cannot tell the spellings apart
Waitroom-*, in any such spelling                | dropped; ours are added: with a pass Waitroom-Place and
                                                | -Admitted-At, with a shared secret Waitroom-Signature, with an
                                                | order Waitroom-Order-Attempt and, without its own, Idempotency-Key
Cookie                                          | without ours (`cookies.strip`)
Transfer_Encoding, Content_Length               | dropped
X-Original-URL, X-Rewrite-URL                   | dropped without a pass, and always where there are several rooms;
                                                | a preflight without one loses Cookie, Authorization and the
                                                | fields that name another method (`NO_PREFLIGHTS`), too

to the client                                   | what happens
------------------------------------------------|-----------------------------------------------------------
the hop-by-hop fields above                     | dropped, the framing is written anew
Content-Length of 101, 204 and 304              | dropped: the server's edge counts it against an empty body
Via                                             | ours is appended
Waitroom-*                                      | dropped, and returned to the gate
Set-Cookie with a name of ours                  | dropped (`cookies.is_our_set_cookie`)
Cache-Control, and fields for shared caches,    | `cookies.cache_rules`: one visitor's pass must not become
where we add a cookie                           | everybody's by way of a shared cache
"""

import time
from collections.abc import Callable, Sequence, Set
from enum import Enum, auto
from hashlib import blake2s
from operator import itemgetter
from typing import NamedTuple

from waitroom.core.errors import OriginFailure
from waitroom.core.requests import OTHER_METHODS, Fields, Header, joined
from waitroom.core.seal import HEADER, sign
from waitroom.core.settings import Settings
from waitroom.edge.clients import Client
from waitroom.edge.cookies import cache_rules, is_our_set_cookie, strip

PLAIN = bytes(ord(chr(byte).lower()) if byte < 128 and chr(byte).isalnum() else ord("-") for byte in range(256))
NAME: Callable[[Header], bytes] = itemgetter(0)
MEMO_LIMIT = 2048  # names seen; whoever invents more only makes them slower
MEMO_NAME_BYTES = 64

HOP_BY_HOP = frozenset(
    (b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"connection")
)
WITHOUT_LENGTH = (101, 204, 304)
COMMON_CONNECTION = frozenset((b"keep-alive", b"close", b""))
FRAMING = frozenset((b"host", b"content-length"))
MADE_BY_US = frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port"))
REWRITES = frozenset((b"x-original-url", b"x-rewrite-url"))
NO_PREFLIGHTS = REWRITES | OTHER_METHODS | {b"cookie", b"authorization"}
"""What browsers send with no preflight. Without a pass one asks for nothing but leave, and for nobody in particular."""


class Body(Enum):
    """How a request's body is framed."""

    NONE = auto()
    LENGTH = auto()
    CHUNKED = auto()


class RequestHead(NamedTuple):
    """The request line and header as bytes for the shop, and what the body needs."""

    head: bytes
    body: Body
    expects: bool  # the client waits for `100 Continue` before it sends the body


class Act(Enum):
    """What a field's name asks for."""

    PASS = auto()
    DROP = auto()
    CONNECTION = auto()
    COOKIE = auto()
    LENGTH = auto()
    CODING = auto()
    EXPECT = auto()
    HOST = auto()
    VIA = auto()
    FROM_TRUSTED = auto()
    COMMAND = auto()


# What to add to an answer: fields, or a function of its status, its header as the shop sent it, and its commands.
ToClient = Sequence[Header] | Callable[[int, Sequence[Header], Sequence[Header]], Sequence[Header]]

PASS = Act.PASS  # a name of the module is looked up faster than an Enum's member, once a field


def plain(name: bytes) -> bytes:
    """A name as CGI would see it: to some servers whatever is no letter or digit is the same as `-`, to most `_` is."""
    return name.translate(PLAIN)


def classify_request(name: bytes) -> Act:
    """What happens to a request field of this (lower case) name."""
    spelled = plain(name)
    if spelled.startswith(b"waitroom-"):
        return Act.DROP
    if spelled in MADE_BY_US:
        return Act.DROP
    if spelled in (b"forwarded", b"x-real-ip") or spelled.startswith(b"x-forwarded-"):
        return Act.FROM_TRUSTED if name == spelled else Act.DROP
    if name != spelled:
        return Act.DROP if spelled in (b"transfer-encoding", b"content-length") else PASS
    special = {
        b"connection": Act.CONNECTION,
        b"transfer-encoding": Act.CODING,
        b"content-length": Act.LENGTH,
        b"cookie": Act.COOKIE,
        b"expect": Act.EXPECT,
        b"via": Act.VIA,
    }
    return special.get(name) or (Act.DROP if name in HOP_BY_HOP else PASS)


def classify_answer(name: bytes) -> Act:
    """What happens to an answer's field of this (lower case) name; Content-Length is not among them."""
    if plain(name).startswith(b"waitroom-"):
        return Act.COMMAND
    special = {
        b"connection": Act.CONNECTION,
        b"set-cookie": Act.COOKIE,
    }
    return special.get(name) or (Act.DROP if name in HOP_BY_HOP else PASS)


class HeaderTable:
    """Applies the table. One per process: it remembers the names it has seen."""

    def __init__(self, settings: Settings) -> None:
        # Every worker and replica of one gateway has the same id; a gateway in front of this one has another.
        room = f"{settings.room}\0{settings.origin}".encode()
        self.own_id = b"waitroom-" + blake2s(room, digest_size=6).hexdigest().encode()
        self._secret = settings.shop_secret[0].get_secret_value().encode() if settings.shop_secret else b""
        self._host = settings.origin_host.encode() if settings.origin_host else b""
        self._origin_host = str(settings.origin).partition("://")[2].encode() or b"localhost"  # for HTTP/1.0
        self._via = {version: (b"via", b"%b %b" % (version.encode(), self.own_id)) for version in ("1.0", "1.1")}
        self._drops_rewrites = settings.named or bool(settings.rooms)
        self._request_acts: dict[bytes, Act] = {b"host": Act.HOST} if self._host else {}
        # With a length, and without: there it would count against an empty body.
        self._answer_acts: tuple[dict[bytes, Act], ...] = ({b"content-length": PASS}, {b"content-length": Act.DROP})

    def has_looped(self, fields: Fields) -> bool:
        """Whether the request has been through this gateway before."""
        return self.own_id in fields.get(b"via", b"")

    def request(  # noqa: C901 - one pass over the fields; each branch is a row of the table above
        self,
        method: str,
        target: bytes,
        http_version: str,
        headers: Sequence[Header],
        client: Client,
        *,
        to_origin: Sequence[Header] = (),
        drop: Set[bytes] = frozenset(),
    ) -> RequestHead:
        """The head of the request to the shop.

        Names in `headers` are lower case, and Host is not among them twice; under HTTP/1.1 it is there (the server's
        edge sees to that).
        `drop` holds more names to leave out, as `plain` spells them.
        """
        known = self._request_acts
        named: frozenset[bytes] | None = None
        body = Body.NONE
        expects = False
        passed: list[Header] = []
        for act, field in zip(map(known.get, map(NAME, headers)), headers, strict=True):
            if act is PASS and not drop:
                passed.append(field)
                continue
            name, value = field
            if act is None:
                act = self._learn(known, name, self._classify_request(name))
            if drop and plain(name) in drop:
                continue
            if act is Act.COOKIE:
                others = strip(value)
                if others is None:
                    continue
                value = others
            elif act is Act.CONNECTION:
                named = names_in_all(headers) if named is None else named
                if not named <= drop:
                    return self.request(
                        method, target, http_version, headers, client, to_origin=to_origin, drop=drop | named
                    )
                continue
            elif act is Act.LENGTH:
                if body is Body.NONE and value.strip(b" \t0"):
                    body = Body.LENGTH
            elif act is Act.CODING:
                if value.strip().lower() != b"chunked" or body is Body.CHUNKED:
                    raise OriginFailure("coding")
                body = Body.CHUNKED
                value = b"chunked"
            elif act is Act.EXPECT:
                expects = value.strip().lower() == b"100-continue"
            elif act is Act.HOST:
                value = self._host
            elif act is Act.VIA:
                if self.own_id in value:
                    raise OriginFailure("loop")
            elif act is Act.DROP or (act is Act.FROM_TRUSTED and not client.trusted):
                continue
            passed.append((name, value))
        if http_version == "1.0" and not any(name == b"host" for name, _ in headers):
            passed.append((b"host", self._host or client.host or self._origin_host))
        passed.append(self._via[http_version])
        told = joined(to_origin)
        if self._secret:
            told += joined(((HEADER, self.signature(method, target, headers, client, to_origin)),))
        if not target.startswith(b"/"):
            target = origin_form(target)
        head = b"%b %b HTTP/1.1\r\n%b%b%b\r\n" % (method.encode(), target, joined(passed), client.fields, told)
        return RequestHead(head, body, expects and http_version == "1.1")

    def answer(
        self, status: int, http_version: str, headers: Sequence[Header], to_client: ToClient = ()
    ) -> tuple[list[Header], tuple[Header, ...]]:
        """The header for the client, and the shop's `Waitroom-*` fields. Names in `headers` are lower case."""
        passed, commands = self._passed(status, headers)
        passed.append(self._via[http_version])
        added = to_client(status, headers, commands) if callable(to_client) else to_client
        if added:
            if any(name == b"set-cookie" for name, _ in added):
                passed = cache_rules(passed)
            passed.extend(added)
        return passed, commands

    def _passed(
        self, status: int, headers: Sequence[Header], drop: Set[bytes] = frozenset()
    ) -> tuple[list[Header], tuple[Header, ...]]:
        """What of an answer's fields goes to the client, and what is for us; `drop` is as for requests."""
        known = self._answer_acts[status in WITHOUT_LENGTH]
        acts = [*map(known.get, map(NAME, headers))]
        if acts.count(PASS) == len(acts) and not drop:
            return [*headers], ()
        named: frozenset[bytes] | None = None
        passed: list[Header] = []
        commands: tuple[Header, ...] = ()
        for act, field in zip(acts, headers, strict=True):
            name, value = field
            if act is None:
                act = self._learn(known, name, classify_answer(name))
            if act is PASS:
                if not drop or plain(name) not in drop:
                    passed.append(field)
            elif act is Act.COOKIE:
                if not is_our_set_cookie(value):
                    passed.append(field)
            elif act is Act.CONNECTION:
                named = names_in_all(headers) if named is None else named
                if not named <= drop:
                    return self._passed(status, headers, drop | named)
            elif act is Act.COMMAND:
                commands += (field,)
        return passed, commands

    def signature(
        self, method: str, target: bytes, headers: Sequence[Header], client: Client, to_origin: Sequence[Header]
    ) -> bytes:
        """For the shop (`waitroom.core.seal`); empty without a secret shared with it."""
        if not self._secret:
            return b""
        host = self._host or next((value for name, value in headers if name == b"host"), client.host)
        ours = dict(to_origin)
        return sign(
            self._secret,
            int(time.time()),
            method=method.encode(),
            host=host or self._origin_host,
            target=target,
            place=ours.get(b"waitroom-place", b""),
            admitted_at=ours.get(b"waitroom-admitted-at", b""),
        )

    def _classify_request(self, name: bytes) -> Act:
        """Of several rooms the target alone says which one a request is in: nothing may name another path."""
        return Act.DROP if self._drops_rewrites and plain(name) in REWRITES else classify_request(name)

    @staticmethod
    def _learn(known: dict[bytes, Act], name: bytes, act: Act) -> Act:
        if len(known) < MEMO_LIMIT and len(name) <= MEMO_NAME_BYTES:
            known[name] = act
        return act


def origin_form(target: bytes) -> bytes:
    """The target for the shop: as received, but for the absolute form, which loses scheme and host (RFC 9112 §3.2)."""
    if target == b"*":
        return target
    _, scheme_end, rest = target.partition(b"://")
    if not scheme_end:
        return target
    cut = min((at for at in (rest.find(b"/"), rest.find(b"?"), rest.find(b"#")) if at >= 0), default=len(rest))
    path = rest[cut:]
    return path if path.startswith(b"/") else b"/" + path


def names_in_all(headers: Sequence[Header]) -> frozenset[bytes]:
    """Of all Connection fields at once: one at a time, many of them would cost the square of their number."""
    return frozenset[bytes]().union(*(names_in(value) for name, value in headers if name == b"connection"))


def names_in(connection: bytes) -> frozenset[bytes]:
    """The field names that a Connection header ends at this hop, as `plain` spells them; framing never among them."""
    if connection in COMMON_CONNECTION:
        return frozenset()
    named = frozenset(plain(token.strip()) for token in connection.split(b","))
    return named - COMMON_CONNECTION - FRAMING - HOP_BY_HOP
