"""The waiting page, in each state a visitor can be in.

Compiled once a state and language (`documents`), in English at the start and in other languages when first asked for:
an answer fills the visitor's figures into the end of the page. What else may be answered in place of the shop is in
`problems`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from html import escape
from urllib.parse import quote

from markupsafe import Markup

from waitroom.core.paths import own_path
from waitroom.core.sentences import N_
from waitroom.core.settings import Settings
from waitroom.edge.documents import Document, Headers, Templates
from waitroom.edge.languages import Language, Languages
from waitroom.edge.shrink import shrink_script, shrink_style
from waitroom.edge.templates_path import templates_dir
from waitroom.edge.words import Words, wait_steps

# What the page can show with the ticket's card, and without it (a ticket that could not be read; no store to ask).
PLACED = ("before", "lobby", "drawn", "waiting", "called", "held", "lapsed", "sold_out", "closed", "left")
PLACELESS = ("away", "retry")
ENDS = ("sold_out", "closed")
AFTER_OPENING = ("waiting", "called", "called-away", "held", "lapsed", "left", *ENDS)
REACH: Mapping[str, tuple[str, ...]] = {
    "before": ("before", "lobby", "drawn", *AFTER_OPENING),
    "lobby": ("lobby", "drawn", *AFTER_OPENING),
    "drawn": ("drawn", *AFTER_OPENING),
    **dict.fromkeys(("waiting", "called", "held"), AFTER_OPENING),
}
"""Where a page gets to without a reload; without a row, to the ends alone. `called-away`: called, and nobody looks."""
SCRIPTS = ("figures", "countdown", "show", "bell", "tabs", "waiting")
"""The page's script is these, in this order, in one scope of their own."""
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
        "scarce",
        "no_scarce",
        "remaining",
        "moment",
        "moment_text",
        "server_time",
        "clock",
    )
) | {prefix + name for name in ("ahead", "waiting", "rate", "stock") for prefix in ("", "no_")}
CHANGES = ("faster", "slower", "resumed")
"""What a change of limits may mean to people in line."""
HIDDEN = b" hidden"
COUNTED = ("before", "lobby")
"""The states with a countdown, also where the place is drawn already."""
NO_MOMENT = {b"remaining": b"", b"moment": b"", b"moment_text": b""}


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFacts:
    """What one visitor's page says; the same facts as the JSON of `status`. `change` is one of CHANGES.

    `target` is the path to go to when let in; without one it is the page's own address.
    Of a sale: `phase` is `before`, `lobby`, `drawn`, `open`, `draining`, `closed` or `sold_out`, the times are ISO 8601
    in UTC, `at_close` is `drain` or `stop`, `place` is known from the draw on; all None without one. `stock` is None
    where nobody told it. `kept_until_ms` is known of a turn that has come.
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
    kept_until_ms: int | None = None
    server_time_ms: int


class Pages:
    """The waiting page for one set of settings, in every language."""

    def __init__(self, settings: Settings, templates: Templates | None = None) -> None:
        folder = templates_dir()
        self.templates = templates or Templates(folder)
        self.languages = Languages(folder / "locales", fixed=settings.language)
        self.style = Markup(shrink_style(self.templates.source("_partials/page.css")))  # noqa: S704 - our own
        self._script = script_of(self.templates)
        self._settings = settings
        # Without a script the page is asked for anew: often enough to stay present, or to be let in soon.
        gentle_s = min(30, settings.away_after // 3000)
        gentle = dict.fromkeys(("before", "lobby", "drawn", "waiting", "held"), gentle_s)
        self._refresh_s = {**gentle, "called": RETRY_S, "away": 2 * RETRY_S, "retry": RETRY_S}
        self._spoken: dict[str, Spoken] = {}
        self._documents: dict[tuple[str, str], Document] = {}
        for state in self.states:
            self._document(state, self.languages.default)
        # What many people are told in the same words is put into them once.
        self._message = lru_cache(maxsize=16)(_message)
        self._any_target = partial(_target, settings.room_query)
        self._target = lru_cache(maxsize=256)(self._any_target)

    @property
    def states(self) -> Iterable[str]:
        return (*PLACED, *PLACELESS)

    def waiting(self, facts: PageFacts, language: Language | None = None, *, gzip: bool) -> tuple[Headers, bytes]:
        """The page for `facts.state`; headers without a status, which is `waiting_status`."""
        language = language or self.languages.default
        return self._document(view_of(facts), language).answer(
            self._fields(facts, self._say(language)), gzip=gzip, retry_after_s=max(1, round(facts.next_poll_s))
        )

    def common(self, language: Language) -> dict[str, object]:
        """What every template is given."""
        name = self._settings.shop_name
        return {
            "_": language.in_html,
            "language": language,
            "shop": Markup("<bdi>{}</bdi>").format(name or language.say("the shop")),
            "shop_label": name or language.say(N_("The shop")),
            "own": lambda route: own_path(route, self._settings.room_query),
            "room_query": self._settings.room_query,
            "style": self.style,
        }

    def _document(self, state: str, language: Language) -> Document:
        document = self._documents.get((state, language.tag))
        if document is None:
            words = self._say(language).words
            document = self._documents[state, language.tag] = self.templates.compile(
                "waiting.html",
                {
                    **self.common(language),
                    "script": self._script,
                    "words": Markup(json_for_html(words.script)),  # noqa: S704 - escaped as JSON
                    "turn_held": words.duration(self._settings.turn_held),
                    "state": state,
                    "reach": (*REACH.get(state, (state, *ENDS)), "nocookies"),
                    "ticket": state in PLACED,
                    "refreshes": state in self._refresh_s,
                },
                visitor=VISITOR,
                headers=(language.header,),
            )
        return document

    def _say(self, language: Language) -> "Spoken":
        spoken = self._spoken.get(language.tag)
        if spoken is None:
            spoken = self._spoken[language.tag] = Spoken(Words(language))
        return spoken

    def _fields(self, facts: PageFacts, say: "Spoken") -> dict[bytes, bytes]:
        number = say.words.number
        position = number(facts.position).encode()
        time = iso_time(facts.server_time_ms)
        no_message, message, message_json = self._message(facts.message)
        high_s = facts.wait_high_s
        wait = say.unknown if high_s is None else say.wait(*wait_steps(facts.wait_low_s or 0, high_s))
        is_scarce = facts.stock is not None and facts.ahead is not None and facts.ahead >= facts.stock
        target = facts.target
        known = self._target if target is None or len(target) <= 256 else self._any_target
        to, again, target_json = known(target)
        return {
            b"position": position,
            b"size": b"9" if len(position) > 6 else b"6" if len(position) > 4 else b"4",
            b"wait": wait,
            b"ahead": number(facts.ahead).encode(),
            b"no_ahead": HIDDEN if facts.ahead is None else b"",
            b"waiting": number(facts.waiting).encode(),
            b"no_waiting": HIDDEN if facts.waiting is None else b"",
            b"stock": b"" if facts.stock is None else say.stock(facts.stock),
            b"no_stock": HIDDEN if facts.stock is None else b"",
            b"scarce": say.scarce if is_scarce else b"",
            b"no_scarce": b"" if is_scarce else HIDDEN,
            **moments(facts, say.words),
            b"rate": say.rate(facts.rate_per_min),
            b"no_rate": HIDDEN if facts.rate_per_min is None else b"",
            b"change": say.changes[facts.change],
            b"no_change": HIDDEN if facts.change is None else b"",
            b"message": message,
            b"no_message": no_message,
            b"to": to,
            b"again": again,
            b"refresh": b"%d" % self._refresh(facts),
            b"then": b";url=" + again if again else b"",
            b"server_time": time,
            b"clock": say.clock(facts.server_time_ms // 1000),
            b"json": b'{%b,"target":%b}' % (members(facts, message_json), target_json),
        }

    def _refresh(self, facts: PageFacts) -> int:
        """Seconds until a page without a script asks anew: sooner where the turn may be near."""
        longest_s = self._refresh_s.get(facts.state, 0)
        if facts.state != "waiting" or facts.wait_high_s is None:
            return longest_s
        return min(longest_s, max(RETRY_S, int(facts.wait_high_s) // 2))


def view_of(facts: PageFacts) -> str:
    """Which document shows the facts: the state, but that a lobby whose places are drawn has one of its own."""
    return "drawn" if facts.state == "lobby" and facts.position is not None else facts.state


def script_of(templates: Templates) -> Markup:
    """The page's script: its partials in one scope, run once the page is there."""
    parts = "\n".join(templates.source(f"_partials/{name}.js") for name in SCRIPTS)
    whole = f'document.addEventListener("DOMContentLoaded", () => {{\n"use strict";\n{parts}}});'
    return Markup(shrink_script(whole))  # noqa: S704 - from our own templates, never from a request


def moments(facts: PageFacts, words: Words) -> Mapping[bytes, bytes]:
    """What is counted down to, for a page without a script: how long from now, and when, in UTC."""
    at = facts.lobby_at if facts.state == "before" and facts.lobby_at else facts.opens_at
    if at is None or facts.state not in COUNTED:
        return NO_MOMENT
    then_s = datetime.fromisoformat(at).timestamp()
    left_ms = max(0, int(then_s * 1000) - facts.server_time_ms)
    rough_ms = next((unit for unit in (3_600_000, 60_000) if left_ms > 2 * unit), 1000)
    remaining = words.duration(-(-left_ms // rough_ms) * rough_ms)
    return {b"remaining": _text(remaining), b"moment": _text(at), b"moment_text": _text(words.moment(then_s))}


def sale_members(facts: PageFacts) -> bytes:
    """What everybody is told alike of a sale, as members of a JSON object."""
    texts = [facts.phase, facts.lobby_at, facts.opens_at, facts.closes_at, facts.at_close]
    return b'"phase":%b,"lobby_at":%b,"opens_at":%b,"closes_at":%b,"at_close":%b,"stock":%b' % (
        *(b"null" if text is None else b'"%b"' % text.encode() for text in texts),
        json_number(facts.stock),
    )


class Spoken:
    """A language's words as bytes for the page; what many people are told is put into words once."""

    __slots__ = ("changes", "clock", "rate", "scarce", "stock", "unknown", "wait", "words")

    def __init__(self, words: Words) -> None:
        self.words = words
        self.unknown = _text(words.wait(None, None))
        self.changes = {change: _text(str(words.script[f"change_{change}"])) for change in CHANGES} | {None: b""}
        self.clock = lru_cache(maxsize=8)(lambda time_s: _text(words.clock(time_s)))
        self.scarce = _text(words.scarce)
        self.stock = lru_cache(maxsize=64)(lambda count: _text(words.stock(count)))
        self.rate = lru_cache(maxsize=64)(lambda rate: b"" if rate is None else _text(words.rate(rate)))
        self.wait = lru_cache(maxsize=4096)(lambda low, high: _text(words.wait(low * 60, high * 60)))


def members(facts: PageFacts, message_json: bytes | None = None) -> bytes:
    """The fields of `status` as the members of a JSON object, without its braces; inert inside HTML."""
    if message_json is None:
        message_json = _message(facts.message)[2]
    wait = b"null"
    if facts.wait_high_s is not None:
        wait = b'{"low":%b,"high":%b}' % (json_number(facts.wait_low_s or 0), json_number(facts.wait_high_s))
    return (
        b'"state":"%b","number":%b,"position":%b,"ahead":%b,"waiting":%b,"rate_per_min":%b,"wait_s":%b,'
        b'"next_poll_s":%b,"hold_s":%b,"message":%b,"change":%b,"place":%b,%b,%b"server_time":"%b"'
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
        b"" if facts.kept_until_ms is None else b'"kept_until":"%b",' % iso_time(facts.kept_until_ms),
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
