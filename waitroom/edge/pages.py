"""The waiting page, in each state a visitor can be in.

Compiled at start, once a state (`documents`): an answer fills the visitor's figures into the end of the
page. What else may be answered in place of the shop is in `problems`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from html import escape
from urllib.parse import quote

from waitroom.core.paths import own_path
from waitroom.core.settings import Settings
from waitroom.edge.documents import Document, Headers, Templates, without_comments
from waitroom.edge.templates_path import templates_dir
from waitroom.edge.words import duration_in_words, number_in_words, rate_in_words, wait_in_words

# What the page can show with a place, and without one (a ticket that could not be read; no store to ask).
PLACED = ("waiting", "called", "held", "lapsed")
PLACELESS = ("away", "retry")
RETRY_S = 5
VISITOR = frozenset(
    (
        "json",
        "to",
        "again",
        "then",
        "refresh",
        "size",
        "position",
        "wait",
        "message",
        "no_message",
        "change",
        "no_change",
        "server_time",
        "clock",
    )
) | {prefix + name for name in ("ahead", "waiting", "rate") for prefix in ("", "no_")}
CHANGES = ("faster", "slower", "resumed")
"""What a change of limits may mean to people in line."""
HIDDEN = b" hidden"


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFacts:
    """What one visitor's page says; the same facts as the JSON of `status`. `change` is one of CHANGES.

    `target` is the path to go to when let in; without one it is the page's own address.
    Of a sale: `phase` is `before`, `lobby`, `drawn`, `open`, `draining`, `closed` or `sold_out`, the times are ISO 8601
    in UTC, `at_close` is `drain` or `stop`, `place` is known from the draw on; all None without one. `stock` is None
    where nobody told it.
    """

    state: str
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
    server_time_ms: int


class Pages:
    """The waiting page for one set of settings."""

    def __init__(self, settings: Settings, templates: Templates | None = None) -> None:
        self.templates = templates or Templates(templates_dir())
        self.style = without_comments(self.templates.source("_partials/page.css"))
        words: Mapping[str, str] = json.loads(self.templates.source("_partials/words.json"))
        common = {
            "shop": settings.shop_name,
            "own": lambda route: own_path(route, settings.room_query),
            "room_query": settings.room_query,
            "style": self.style,
            "script": without_comments(self.templates.source("_partials/waiting.js")),
            "words": without_comments(json_for_html(words)),
            "turn_held": duration_in_words(settings.turn_held),
        }
        # Without a script the page is asked for anew: often enough to stay present, or to be let in soon.
        gentle_s = min(30, settings.away_after // 3000)
        gentle = {"waiting": gentle_s, "held": gentle_s}
        self._refresh_s = {**gentle, "called": RETRY_S, "away": 2 * RETRY_S, "retry": RETRY_S}
        self._documents: dict[str, Document] = {
            state: self.templates.compile(
                "waiting.html",
                {**common, "state": state, "ticket": state in PLACED, "refreshes": state in self._refresh_s},
                visitor=VISITOR,
            )
            for state in (*PLACED, *PLACELESS)
        }
        # What many people are told in the same words is put into them once.
        self._message = lru_cache(maxsize=16)(_message)
        self._any_target = partial(_target, settings.room_query)
        self._target = lru_cache(maxsize=256)(self._any_target)
        self._rate = lru_cache(maxsize=64)(lambda rate: b"" if rate is None else _text(rate_in_words(words, rate)))
        self._unknown = _text(words["wait_unknown"])
        self._changes = {change: _text(words[f"change_{change}"]) for change in CHANGES} | {None: b""}
        self._wait = lru_cache(maxsize=4096)(lambda low, high: _text(wait_in_words(words, low * 60, high * 60)))

    @property
    def states(self) -> Iterable[str]:
        return self._documents

    def waiting(self, facts: PageFacts, *, gzip: bool) -> tuple[Headers, bytes]:
        """The page for `facts.state`; headers without a status, which is `waiting_status`."""
        return self._documents[facts.state].answer(
            self._fields(facts), gzip=gzip, retry_after_s=max(1, round(facts.next_poll_s))
        )

    def _fields(self, facts: PageFacts) -> dict[bytes, bytes]:
        position = number_in_words(facts.position).encode()
        time = iso_time(facts.server_time_ms)
        no_message, message, message_json = self._message(facts.message)
        # The words change with the minute, not with the second.
        high_s = facts.wait_high_s
        wait = self._unknown if high_s is None else self._wait((facts.wait_low_s or 0) // 60, _minutes_up(high_s))
        target = facts.target
        known = self._target if target is None or len(target) <= 256 else self._any_target
        to, again, target_json = known(target)
        return {
            b"position": position,
            b"size": b"9" if len(position) > 6 else b"6" if len(position) > 4 else b"4",
            b"wait": wait,
            b"ahead": number_in_words(facts.ahead).encode(),
            b"no_ahead": HIDDEN if facts.ahead is None else b"",
            b"waiting": number_in_words(facts.waiting).encode(),
            b"no_waiting": HIDDEN if facts.waiting is None else b"",
            b"rate": self._rate(facts.rate_per_min),
            b"no_rate": HIDDEN if facts.rate_per_min is None else b"",
            b"change": self._changes[facts.change],
            b"no_change": HIDDEN if facts.change is None else b"",
            b"message": message,
            b"no_message": no_message,
            b"to": to,
            b"again": again,
            b"refresh": b"%d" % self._refresh(facts),
            b"then": b";url=" + again if again else b"",
            b"server_time": time,
            b"clock": time[11:19],
            b"json": b'{%b,"target":%b}' % (members(facts, message_json), target_json),
        }

    def _refresh(self, facts: PageFacts) -> int:
        """Seconds until a page without a script asks anew: sooner where the turn may be near."""
        longest_s = self._refresh_s.get(facts.state, 0)
        if facts.state != "waiting" or facts.wait_high_s is None:
            return longest_s
        return min(longest_s, max(RETRY_S, int(facts.wait_high_s) // 2))


def sale_members(facts: PageFacts) -> bytes:
    """What everybody is told alike of a sale, as members of a JSON object."""
    texts = [facts.phase, facts.lobby_at, facts.opens_at, facts.closes_at, facts.at_close]
    return b'"phase":%b,"lobby_at":%b,"opens_at":%b,"closes_at":%b,"at_close":%b,"stock":%b' % (
        *(b"null" if text is None else b'"%b"' % text.encode() for text in texts),
        json_number(facts.stock),
    )


def members(facts: PageFacts, message_json: bytes | None = None) -> bytes:
    """The fields of `status` as the members of a JSON object, without its braces; inert inside HTML."""
    if message_json is None:
        message_json = _message(facts.message)[2]
    wait = b"null"
    if facts.wait_high_s is not None:
        wait = b'{"low":%b,"high":%b}' % (json_number(facts.wait_low_s or 0), json_number(facts.wait_high_s))
    return (
        b'"state":"%b","number":%b,"position":%b,"ahead":%b,"waiting":%b,"rate_per_min":%b,"wait_s":%b,'
        b'"next_poll_s":%b,"hold_s":%b,"message":%b,"change":%b,"place":%b,%b,"server_time":"%b"'
    ) % (
        facts.state.encode(),
        json_number(facts.number),
        json_number(facts.position),
        json_number(facts.ahead),
        json_number(facts.waiting),
        json_number(facts.rate_per_min),
        wait,
        json_number(facts.next_poll_s),
        json_number(facts.hold_s),
        message_json,
        b"null" if facts.change is None else b'"%b"' % facts.change.encode(),
        json_number(facts.place),
        sale_members(facts),
        iso_time(facts.server_time_ms),
    )


def json_for_html(value: object) -> str:
    """JSON that stays data inside a `<script>` element, whatever it holds."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def accepts_gzip(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether `Accept-Encoding` names gzip with a weight above 0 (RFC 9110 §12.5.3)."""
    for name, value in headers:
        if name == b"accept-encoding":
            for item in value.lower().split(b","):
                coding, _, weight = item.partition(b";")
                if coding.strip() in (b"gzip", b"x-gzip") and weight.replace(b" ", b"").strip(b".0") != b"q=":
                    return True
    return False


def _minutes_up(seconds: float) -> float:
    return 0 if seconds < 60 else -(-seconds // 60)


def iso_time(time_ms: int) -> bytes:
    """ISO 8601 in UTC, to the millisecond."""
    return b"%b.%03dZ" % (_second(time_ms // 1000), time_ms % 1000)


@lru_cache(maxsize=8)
def _second(time_s: int) -> bytes:
    return datetime.fromtimestamp(time_s, UTC).isoformat()[:19].encode()


def _text(value: str) -> bytes:
    # A lone surrogate is no character of UTF-8: it is shown as ?, never a failed page.
    return escape(value).encode("utf-8", "replace")


def json_number(value: float | None) -> bytes:
    return b"null" if value is None else b"%d" % value if value == int(value) else b"%.3f" % value


def _message(message: str | None) -> tuple[bytes, bytes, bytes]:
    if not message:
        return HIDDEN, b"", b"null"
    return b"", _text(message), json_for_html(message).encode()


def _target(room_query: str, target: str | None) -> tuple[bytes, bytes, bytes]:
    """(the path as text, the address that asks again without a script, the path as JSON).

    Asking again goes by way of `enter`, which tells a browser that keeps no cookies, instead of giving it
    number after number.
    """
    if target is None:
        return b"", b"", b"null"
    again = own_path("enter", room_query, "again=1", "to=" + quote(target, safe="/", errors="replace"))
    return _text(target), _text(again), json_for_html(target).encode()
