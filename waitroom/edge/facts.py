"""What one visitor is told, and how it is said as JSON: the same in a page and in the answer of `status`.

A part of it is each visitor's own, the rest is told to many alike; where an answer is needed often, the rest is put
together once.
"""

import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

CHANGES = ("faster", "slower", "resumed")
"""What a change of limits may mean to people in line."""


class PageFacts(NamedTuple):
    """What one visitor's page says; the same facts as the JSON of `status`. `change` is one of CHANGES.

    `target` is the path to go to when let in; without one it is the page's own address.
    Of a sale: `phase` is `before`, `lobby`, `drawn`, `open`, `draining`, `closed` or `sold_out`, the times are ISO 8601
    in UTC, `at_close` is `drain` or `stop`, `place` is known from the draw on; all None without one. `stock` is None
    where nobody told it. `kept_until_ms` is known of a turn that has come.
    """

    state: str
    server_time_ms: int
    number: int | None = None
    position: int | None = None
    ahead: int | None = None
    waiting: int | None = None
    rate_per_min: float | None = None
    wait_low_s: float | None = None
    wait_high_s: float | None = None
    next_poll_s: float = 3.0
    hold_s: float = 0.0
    message: str | None = None
    change: str | None = None
    target: str | None = None
    place: int | None = None
    phase: str | None = None
    stock: int | None = None
    lobby_at: str | None = None
    opens_at: str | None = None
    closes_at: str | None = None
    at_close: str | None = None
    kept_until_ms: int | None = None


class Told(NamedTuple):
    """What a page says that many people are told in the same words: those of the same page, in the same state."""

    state: str
    view: str
    """Which document shows it: the state, but that a lobby whose places are drawn has one of its own."""
    has_ahead: bool
    has_waiting: bool
    is_scarce: bool
    rate_per_min: float | None
    message: str | None
    change: str | None
    phase: str | None
    stock: int | None
    lobby_at: str | None
    opens_at: str | None
    closes_at: str | None
    at_close: str | None


class InLine(NamedTuple):
    """The facts of somebody who waits and has a place: what a `PageFacts` of them says, in fewer steps."""

    told: Told
    server_time_ms: int
    number: int
    ahead: int
    waiting: int
    wait_s: tuple[int, int] | None
    next_poll_s: float
    hold_s: int
    place: int | None


def told_of(facts: PageFacts) -> Told:
    state, ahead, stock = facts.state, facts.ahead, facts.stock
    return Told(
        state,
        "drawn" if state == "lobby" and facts.position is not None else state,
        ahead is not None,
        facts.waiting is not None,
        stock is not None and ahead is not None and ahead >= stock,
        facts.rate_per_min,
        facts.message,
        facts.change,
        facts.phase,
        stock,
        facts.lobby_at,
        facts.opens_at,
        facts.closes_at,
        facts.at_close,
    )


def members(facts: PageFacts) -> bytes:
    """The fields of `status` as the members of a JSON object, without its braces; inert inside HTML."""
    return b"%b,%b" % (own_members(facts), told_members(facts, message_json(facts.message)))


def own_members(facts: PageFacts) -> bytes:
    """Those that are each visitor's own."""
    wait = b"null"
    if facts.wait_high_s is not None:
        wait = b'{"low":%b,"high":%b}' % (json_number(facts.wait_low_s or 0), json_number(facts.wait_high_s))
    return (
        b'"number":%b,"position":%b,"ahead":%b,"waiting":%b,"wait_s":%b,"next_poll_s":%b,"hold_s":%b,"place":%b,'
        b'%b"server_time":"%b"'
    ) % (
        json_number(facts.number),
        json_number(facts.position),
        json_number(facts.ahead),
        json_number(facts.waiting),
        wait,
        json_number(facts.next_poll_s),
        json_number(facts.hold_s),
        json_number(facts.place),
        b"" if facts.kept_until_ms is None else b'"kept_until":"%b",' % iso_time(facts.kept_until_ms),
        iso_time(facts.server_time_ms),
    )


def members_in_line(facts: InLine) -> bytes:
    """`own_members` of who waits in line."""
    wait_s, place = facts.wait_s, facts.place
    return (
        b'"number":%d,"position":%d,"ahead":%d,"waiting":%d,"wait_s":%b,"next_poll_s":%b,"hold_s":%d,"place":%b,'
        b'"server_time":"%b"'
    ) % (
        facts.number,
        facts.ahead + 1,
        facts.ahead,
        facts.waiting,
        b"null" if wait_s is None else b'{"low":%d,"high":%d}' % wait_s,
        json_number(facts.next_poll_s),
        facts.hold_s,
        b"null" if place is None else b"%d" % place,
        iso_time(facts.server_time_ms),
    )


def told_members(facts: PageFacts | Told, message: bytes) -> bytes:
    """Those that many people are told alike."""
    return b'"state":"%b","rate_per_min":%b,"message":%b,"change":%b,%b' % (
        facts.state.encode(),
        json_number(facts.rate_per_min),
        message,
        b"null" if facts.change is None else b'"%b"' % facts.change.encode(),
        sale_members(facts),
    )


def sale_members(facts: PageFacts | Told) -> bytes:
    """What everybody is told alike of a sale, as members of a JSON object."""
    texts = [facts.phase, facts.lobby_at, facts.opens_at, facts.closes_at, facts.at_close]
    return b'"phase":%b,"lobby_at":%b,"opens_at":%b,"closes_at":%b,"at_close":%b,"stock":%b' % (
        *(b"null" if text is None else b'"%b"' % text.encode() for text in texts),
        json_number(facts.stock),
    )


def message_json(message: str | None) -> bytes:
    return json_for_html(message).encode() if message else b"null"


def json_for_html(value: object, *, ascii_only: bool = True) -> str:
    """JSON that stays data inside a `<script>` element, whatever it holds."""
    text = json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def json_number(value: float | None) -> bytes:
    return b"null" if value is None else b"%d" % value if value == int(value) else b"%.3f" % value


@lru_cache(maxsize=8)
def iso_time(time_ms: int) -> bytes:
    """ISO 8601 in UTC, to the millisecond. A page says the same time twice, and many answers go out in one."""
    return b"%b.%03dZ" % (_second(time_ms // 1000), time_ms % 1000)


@lru_cache(maxsize=8)
def _second(time_s: int) -> bytes:
    return datetime.fromtimestamp(time_s, UTC).isoformat()[:19].encode()
