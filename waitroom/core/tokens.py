"""Tickets and passes: signed text that a browser keeps for us. Nothing to forge (P5).

    ticket   t1.<room>.<key>.<generation>.<number>.<visitor>.<issued>.<signature>
    move     m1.<room>.<key>.<generation>.<number>.<visitor>.<issued>.<expires>.<signature>
    pass     p1.<room>.<key>.<generation>.<place>.<visitor>.<valid from>.<end>.<begun>.<provisional>.<signature>

Numbers are decimal without leading zeros, times are milliseconds of Redis time, `key` is the id of the signing key.
Everything stands in the alphabet of URLs, cookies and header fields, and each value has exactly one spelling.

The signature is HMAC-SHA256 under a key that itsdangerous derives from the secret, the purpose and the room, so a
ticket is no pass and another room's token is nothing. The id in the token picks the one key to check with: a forgery
costs one HMAC however many keys there are. The first key of the list signs, all are accepted.

A token of this room under a key that nobody gave us is `Unreadable`: it has no authority at all; it only tells
"perhaps a key this worker does not know yet" (ask again, set no cookie) from "rubbish" (treat as nothing).

Who is let in by a token that reads well is judged elsewhere: generation, place, and the times of a pass.
"""

import re
from binascii import b2a_base64
from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import Final, NamedTuple

from itsdangerous import Signer
from itsdangerous.encoding import base64_encode

TICKET_LIFETIME_MS: Final = 7 * 24 * 3600 * 1000
LONGEST_TOKEN: Final = 320
"""Longer text is refused unread."""

LONGEST_LEAD_MS: Final = 5_000
"""More than any admission is reserved ahead (`core.meter.HORIZON_US`), with air for the clocks of workers."""

KEY_ID = rb"([A-Za-z0-9_-]{8})"
INTEGER = rb"(0|[1-9][0-9]{0,14})"
"""Below 2**53: exact in Lua and JSON, too."""
NAME = rb"([A-Za-z0-9_-]{1,32})"
VISITOR = rb"([A-Za-z0-9_-]{22,32})"
"""128 bits as base64url (22 characters) or hexadecimal (32)."""
FLAG = rb"([01])"
TO_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
SIGNATURE = rb"([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])"
"""32 bytes as base64url. The last character holds four bits, so it has 16 spellings, not 64."""


class Ticket(NamedTuple):
    """Proves the number of a visitor in one generation of a room. Never changes."""

    room: str
    generation: str
    number: int
    visitor: str
    issued_ms: int


class Move(NamedTuple):
    """Takes a ticket's place to another browser, until `expires_ms`."""

    ticket: Ticket
    expires_ms: int


class Pass(NamedTuple):
    """Lets a visitor through from `valid_from_ms` (the admission) until `end_ms`, without Redis.

    `begun_ms` is when the visit began, kept through renewals; `provisional` until the pass was seen again.
    """

    room: str
    visitor: str
    generation: str
    place: int
    valid_from_ms: int
    end_ms: int
    begun_ms: int
    provisional: bool

    def is_valid(self, now_ms: int) -> bool:
        return self.valid_from_ms <= now_ms < self.end_ms

    def lead_ms(self, now_ms: float) -> float:
        """How long until it is valid. Nothing, where that is further off than an admission is ever reserved: then the
        clock went back since it was signed, and its visitor was let in already.
        """
        lead_ms = self.valid_from_ms - now_ms
        return lead_ms if 0 < lead_ms <= LONGEST_LEAD_MS else 0


class Unreadable(NamedTuple):
    """Looks like a token of this room, under the key `key_id`, which we do not hold."""

    key_id: str


class Mac:
    """HMAC-SHA256 under one key, in base64url: what itsdangerous signs with under a derived key, at a fifth of the
    cost, since the two blocks of the key are hashed once (RFC 2104 §4).
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        """`key` is no longer than a block of SHA-256, 64 bytes."""
        block = key.ljust(64, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in block))

    def of(self, text: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text)
        outer.update(inner.digest())
        return b2a_base64(outer.digest(), newline=False).translate(TO_URL_SAFE, b"=")

    def sign(self, text: bytes) -> bytes:
        return b"%b.%b" % (text, self.of(text))


class Purpose:
    """One sort of token in one room: its layout and its keys, derived once."""

    def __init__(self, mark: str, room: str, secrets: Sequence[str], fields: Sequence[bytes]) -> None:
        macs = [(key_id(secret), Mac(derive(secret, f"waitroom.{mark}.{room}"))) for secret in secrets]
        signing_id, self._mac = macs[0]
        self._macs = dict(macs)
        self._start = b"%b.%b.%b" % (mark.encode(), room.encode(), signing_id)
        layout = rb"\.".join((mark.encode(), re.escape(room.encode()), KEY_ID, *fields))
        self._token = re.compile(rb"(%b)\.%b" % (layout, SIGNATURE))
        self._text = re.compile(rb"\.".join(fields))

    def sign(self, fields: str) -> str:
        """`fields` have a dot between them. Raises ValueError for what could not be read back."""
        text = fields.encode()
        token = self._mac.sign(b"%b.%b" % (self._start, text))
        if len(token) > LONGEST_TOKEN or self._text.fullmatch(text) is None:
            raise ValueError(f"a token cannot carry {fields!r}")
        return token.decode()

    def read(self, token: str | bytes) -> re.Match[bytes] | Unreadable | None:
        """The fields from group 3 on. Cheap refusals first, the signature last."""
        if len(token) > LONGEST_TOKEN:
            return None
        found = self._token.fullmatch(token.encode("ascii", "replace") if isinstance(token, str) else token)
        if found is None:
            return None
        mac = self._macs.get(found[2])
        if mac is None:
            return Unreadable(found[2].decode())
        if not compare_digest(mac.of(found[1]), found[found.re.groups]):
            return None
        return found


class Tokens:
    """Signs and reads the tokens of one room. Stateless and safe to share."""

    def __init__(self, room: str, keys: Sequence[str], *, ticket_lifetime_ms: int = TICKET_LIFETIME_MS) -> None:
        """The first of `keys` signs, all are accepted; the settings see to their length and to the room's name."""
        if not keys:
            raise ValueError("a room needs at least one signing key")
        self.room = room
        self.signing_key_id = key_id(keys[0]).decode()
        self.key_ids = frozenset(key_id(key).decode() for key in keys)
        self.ticket_lifetime_ms = ticket_lifetime_ms
        self._tickets = Purpose("t1", room, keys, (NAME, INTEGER, VISITOR, INTEGER))
        self._moves = Purpose("m1", room, keys, (NAME, INTEGER, VISITOR, INTEGER, INTEGER))
        self._passes = Purpose("p1", room, keys, (NAME, INTEGER, VISITOR, INTEGER, INTEGER, INTEGER, FLAG))

    def sign_ticket(self, ticket: Ticket) -> str:
        """Raises ValueError for what could not be read back."""
        room, generation, number, visitor, issued_ms = ticket
        self._check_room(room)
        return self._tickets.sign(f"{generation}.{number}.{visitor}.{issued_ms}")

    def sign_move(self, move: Move) -> str:
        """Raises ValueError for what could not be read back."""
        room, generation, number, visitor, issued_ms = move.ticket
        self._check_room(room)
        return self._moves.sign(f"{generation}.{number}.{visitor}.{issued_ms}.{move.expires_ms}")

    def sign_pass(self, pass_: Pass) -> str:
        """Raises ValueError for what could not be read back."""
        room, visitor, generation, place, valid_from_ms, end_ms, begun_ms, provisional = pass_
        self._check_room(room)
        return self._passes.sign(
            f"{generation}.{place}.{visitor}.{valid_from_ms}.{end_ms}.{begun_ms}.{int(provisional)}"
        )

    def read_ticket(self, token: str | bytes, now_ms: int) -> Ticket | Unreadable | None:
        """None for what is no ticket of this room, is forged, or was issued a lifetime ago."""
        found = self._tickets.read(token)
        if found is None or isinstance(found, Unreadable):
            return found
        generation, number, visitor, issued = found.group(3, 4, 5, 6)
        issued_ms = int(issued)
        if now_ms - issued_ms >= self.ticket_lifetime_ms:
            return None
        return Ticket(self.room, generation.decode(), int(number), visitor.decode(), issued_ms)

    def read_move(self, token: str | bytes, now_ms: int) -> Move | Unreadable | None:
        """None for what is no such token of this room, is forged, or has expired, or its ticket has."""
        found = self._moves.read(token)
        if found is None or isinstance(found, Unreadable):
            return found
        generation, number, visitor, issued, expires = found.groups()[2:-1]
        issued_ms, expires_ms = int(issued), int(expires)
        if now_ms >= expires_ms or now_ms - issued_ms >= self.ticket_lifetime_ms:
            return None
        ticket = Ticket(self.room, generation.decode(), int(number), visitor.decode(), issued_ms)
        return Move(ticket, expires_ms)

    def read_pass(self, token: str | bytes, now_ms: int) -> Pass | Unreadable | None:
        """None for what is no pass of this room, is forged, or ended a ticket's lifetime ago.

        A pass that has ended, or is not valid yet, is still read: it tells who comes (`Pass.is_valid` judges).
        """
        found = self._passes.read(token)
        if found is None or isinstance(found, Unreadable):
            return found
        generation, place, visitor, valid_from, end, begun, provisional = found.groups()[2:-1]
        end_ms = int(end)
        if now_ms - end_ms >= self.ticket_lifetime_ms:
            return None
        return Pass(
            room=self.room,
            visitor=visitor.decode(),
            generation=generation.decode(),
            place=int(place),
            valid_from_ms=int(valid_from),
            end_ms=end_ms,
            begun_ms=int(begun),
            provisional=provisional == b"1",
        )

    def _check_room(self, room: str) -> None:
        if room != self.room:
            raise ValueError(f"a token of the room {room!r} cannot be signed for {self.room!r}")


def derive(secret: str, salt: str) -> bytes:
    """HMAC-SHA256 of the salt under the secret: what itsdangerous would otherwise do again at every check."""
    return Signer(secret, salt=salt, key_derivation="hmac", digest_method=sha256).derive_key()


def key_id(secret: str) -> bytes:
    """48 bits that name a key and tell nothing about what it signs."""
    return base64_encode(derive(secret, "waitroom.key"))[:8]
