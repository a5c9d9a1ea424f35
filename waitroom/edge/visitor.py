"""Who sends a request, as far as signed tokens tell: what the visitor holds, and the tokens we give out."""

from collections import OrderedDict
from collections.abc import Sequence
from os import urandom
from secrets import randbelow
from typing import NamedTuple

from waitroom.core.judge import Holds
from waitroom.core.model import Snapshot
from waitroom.core.requests import Header
from waitroom.core.settings import Settings
from waitroom.core.tokens import Pass, Ticket, Tokens, Unreadable
from waitroom.edge.cookies import CookieKind, Cookies
from waitroom.store.ended import Ended

RENEW_PART = 10
"""A pass is renewed when a tenth of `session_idle` has passed since it was signed."""
QUARTER = 4
REMEMBERED, LONGEST_REMEMBERED = 20_000, 1_024
"""Cookie fields whose tokens a worker remembers, and their longest: some 20 MB at most."""

STANDINGS = {"waiting": Holds.WAITING, "called": Holds.CALLED, "lapsed": Holds.LAPSED}


class Carried(NamedTuple):
    """The tokens of one request, read; `by_header`: the ticket came in the Waitroom-Ticket field."""

    ticket: Ticket | Unreadable | None
    pass_: Pass | Unreadable | None
    by_header: bool


class Visitor(NamedTuple):
    """One request's visitor. `pass_` is set if it reads well, valid or not; `secure` is the scheme of the browser."""

    holds: Holds
    ticket: Ticket | None
    pass_: Pass | None
    secure: bool
    by_header: bool


NOBODY = {secure: Visitor(Holds.NOTHING, None, None, secure, False) for secure in (False, True)}
"""A newcomer."""


class Desk:
    """Reads what visitors hold, and signs what they are given."""

    def __init__(self, settings: Settings, tokens: Tokens, cookies: Cookies, ended: Ended) -> None:
        self.settings = settings
        self._room = settings.room
        self.tokens = tokens
        self.cookies = cookies
        self.ended = ended
        self._read: tuple[OrderedDict[bytes, Carried], ...] = (OrderedDict(), OrderedDict())
        self._random = b""
        self.life_ms = settings.session_idle * 11 // 10
        self._fresh_ms = self.life_ms - settings.session_idle // RENEW_PART
        self._remembered_ms = settings.order_keep if settings.order_routes else 86_400_000

    def read(self, headers: Sequence[Header], *, secure: bool, snapshot: Snapshot | None, now_ms: int) -> Visitor:
        """What the request carries and what that is worth. A pass comes before a ticket, also before it is valid:
        the gate holds the request until then.
        """
        ticket, pass_, by_header = self.carried(headers, secure=secure, now_ms=now_ms)
        if ticket is None and pass_ is None:
            return NOBODY[secure]
        held = pass_ if isinstance(pass_, Pass) else None
        if held is not None and self.ended.has(held.generation, held.place):
            held = None
        if held is not None and now_ms < held.end_ms:
            return Visitor(Holds.PASS, None, held, secure, by_header)
        if isinstance(pass_, Unreadable) and is_in_use(pass_, snapshot):
            return Visitor(Holds.UNREADABLE, None, None, secure, by_header)
        if isinstance(ticket, Ticket) and not self.is_outdated(ticket, now_ms):
            return Visitor(standing(ticket, snapshot), ticket, held, secure, by_header)
        unknown = isinstance(ticket, Unreadable) and is_in_use(ticket, snapshot)
        return Visitor(Holds.UNREADABLE if unknown else Holds.NOTHING, None, held, secure, by_header)

    def visitor_of(self, headers: Sequence[Header], *, secure: bool, now_ms: int) -> str | None:
        """Who it is, by any token of ours that reads well, also one that is worth nothing any more."""
        ticket, pass_, _ = self.carried(headers, secure=secure, now_ms=now_ms)
        if isinstance(pass_, Pass):
            return pass_.visitor
        return ticket.visitor if isinstance(ticket, Ticket) else None

    def is_outdated(self, ticket: Ticket, now_ms: float) -> bool:
        """Issued a ticket's lifetime ago."""
        return now_ms - ticket.issued_ms >= self.tokens.ticket_lifetime_ms

    def carried(self, headers: Sequence[Header], *, secure: bool, now_ms: int) -> Carried:
        """The tokens a request carries. What one Cookie field says is remembered by its bytes, so that a browser that
        asks again costs no signature check; whether a token is still good is judged anew each time.
        """
        fields = dict(headers)
        if len(fields) < len(headers) or b"waitroom-ticket" in fields or b"waitroom-pass" in fields:
            return self._carried(headers, secure, now_ms)
        cookie = fields.get(b"cookie", b"")
        known = self._read[secure]
        carried = known.get(cookie)
        if carried is None:
            carried = self._carried(headers, secure, now_ms)
            if len(cookie) <= LONGEST_REMEMBERED:
                if len(known) >= REMEMBERED:
                    known.popitem(last=False)  # a plain dict would look for its first through all that went
                known[cookie] = carried
        return carried

    def _carried(self, headers: Sequence[Header], secure: bool, now_ms: int) -> Carried:
        found = self.cookies.find(headers, secure=secure)
        ticket, by_header = self.cookies.read_ticket(found, self.tokens, now_ms)
        return Carried(ticket, self.cookies.read_pass(found, self.tokens, now_ms), by_header)

    def id_of(self, visitor: Visitor) -> str:
        """128 bits as 32 hex digits, kept when the same browser takes a new number; new ones are drawn from the system
        a few hundred at a time.
        """
        if visitor.ticket is not None:
            return visitor.ticket.visitor
        if visitor.pass_ is not None:
            return visitor.pass_.visitor
        if not self._random:
            self._random = urandom(16 * 256)
        drawn, self._random = self._random[:16], self._random[16:]
        return drawn.hex()

    def renewal(self, pass_: Pass, now_ms: int, *, at_least_ms: int = 0) -> Pass | None:
        """The pass with a later end, if it is time for that: a provisional one at once, else a tenth of `session_idle`
        after it was signed, and whenever it would end before `at_least_ms` are over. Not beyond `session_max` unless
        that asks for it; never shortened.
        """
        needed_ms = now_ms + at_least_ms
        if pass_.end_ms >= needed_ms and now_ms + self._fresh_ms < pass_.end_ms and not pass_.provisional:
            return None  # signed a moment ago, as nearly all are
        end_ms = max(self._end_ms(now_ms, pass_.begun_ms), needed_ms, pass_.end_ms)
        is_due = pass_.provisional or end_ms - pass_.end_ms >= self.settings.session_idle // RENEW_PART
        if not is_due and pass_.end_ms >= needed_ms:
            return None
        return pass_._replace(end_ms=end_ms, provisional=False)

    def is_urgent(self, pass_: Pass, now_ms: int) -> bool:
        """Less than a quarter of its life is left."""
        return pass_.end_ms - now_ms < self.life_ms // QUARTER

    def admitted(self, visitor_id: str, generation: str, place: int, *, admit_ms: float, now_ms: int) -> Pass:
        """The pass of a claim, valid from the admission on."""
        begins = round(admit_ms)
        end_ms = self._end_ms(max(begins, now_ms), begins)
        return Pass(self.settings.room, visitor_id, generation, place, begins, end_ms, begins, False)

    def _end_ms(self, now_ms: int, begun_ms: int) -> int:
        end_ms = now_ms + self.life_ms
        return min(end_ms, begun_ms + self.settings.session_max) if self.settings.session_max else end_ms

    def ticket(self, visitor_id: str, generation: str, number: int, now_ms: int) -> Ticket:
        return Ticket(self._room, generation, number, visitor_id, now_ms)

    # As header fields

    def set_ticket(self, ticket: Ticket, *, secure: bool) -> Header:
        token = self.tokens.sign_ticket(ticket)
        max_age_s = self.tokens.ticket_lifetime_ms // 1000
        return b"set-cookie", self.cookies.set_cookie(CookieKind.TICKET, token, secure=secure, max_age_s=max_age_s)

    def set_pass(self, pass_: Pass, now_ms: int, *, secure: bool) -> Header:
        """The cookie outlives the pass: one that has run out still says who it was."""
        token = self.tokens.sign_pass(pass_)
        max_age_s = (pass_.end_ms - now_ms + self._remembered_ms) // 1000
        return b"set-cookie", self.cookies.set_cookie(CookieKind.PASS, token, secure=secure, max_age_s=max_age_s)

    def forget(self, pass_: Pass | None, now_ms: int, *, secure: bool) -> list[Header]:
        """The visit is over. Where orders are recorded, a pass is replaced by one that has ended: it opens nothing any
        more, and still says whose orders they are.
        """
        gone = [(b"set-cookie", self.cookies.delete_cookie(kind, secure=secure)) for kind in CookieKind]
        if pass_ is None or not self.settings.order_routes:
            return gone
        ended = pass_._replace(end_ms=now_ms, provisional=False)
        return [gone[0], self.set_pass(ended, now_ms, secure=secure)]


def random_place() -> int:
    """Of a pass that is nobody's admission: one that no number reaches."""
    return randbelow(10**15)


def is_in_use(token: Unreadable, snapshot: Snapshot | None) -> bool:
    """Whether some worker signs or reads with the key of a token that this one cannot read. If none does, the key
    was dropped, and the token is worth nothing.
    """
    return snapshot is None or token.key_id in snapshot.keys


def standing(ticket: Ticket, snapshot: Snapshot | None) -> Holds:
    """What a ticket is worth now. One of another generation is nothing; without a snapshot nobody knows: it waits."""
    if snapshot is None:
        return Holds.WAITING
    if ticket.generation != snapshot.state.generation:
        return Holds.NOTHING
    return STANDINGS[snapshot.standing(snapshot.place_of(ticket.number))]
