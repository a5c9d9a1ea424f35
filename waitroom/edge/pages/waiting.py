"""The waiting page, in each state a visitor can be in.

Compiled once a state and language (`documents`), in English at the start and in other languages when first asked for:
an answer fills the visitor's figures into the end of the page. What else may be answered in place of the shop is in
`problems`.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from html import escape
from urllib.parse import quote

from markupsafe import Markup

from waitroom.core.paths import own_path
from waitroom.core.requests import Header
from waitroom.core.sentences import N_
from waitroom.core.settings import Settings
from waitroom.edge.answers import Head
from waitroom.edge.facts import (
    CHANGES,
    InLine,
    PageFacts,
    Told,
    iso_time,
    json_for_html,
    members_in_line,
    message_json,
    own_members,
    told_members,
    told_of,
)
from waitroom.edge.pages.brand import brand_of
from waitroom.edge.pages.documents import Document
from waitroom.edge.pages.languages import Language, Languages
from waitroom.edge.pages.shrink import shrink_script, shrink_style
from waitroom.edge.pages.templates import Templates
from waitroom.edge.pages.templates_path import templates_dir
from waitroom.edge.pages.words import Words, wait_steps

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
SCRIPTS_DRAWN = (*SCRIPTS[:-1], "draw", SCRIPTS[-1])
GATHERED = ("before", "lobby", "drawn")
RETRY_S = 5
VISITOR = frozenset(
    (
        "figures",
        "told",
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
        "remaining",
        "moment",
        "moment_text",
        "server_time",
        "clock",
    )
) | {prefix + name for name in ("ahead", "waiting", "rate", "stock") for prefix in ("", "no_")}
JOINED = {"json": ("figures", "told")}
"""A template's name for the facts as JSON: what is this visitor's own, then what many are told alike."""
MOST_TOLD, LONGEST_TARGET = 512, 256
"""So many different things told are kept, filled in, for targets of that length: some 2 MB."""
HIDDEN = b" hidden"
COUNTED = ("before", "lobby")
"""The states with a countdown, also where the place is drawn already."""
Shown = tuple[int | None, int | None, int | None, tuple[float, float] | None]
"""Position, people ahead, people waiting, and the wait in seconds, low and high."""
NO_MOMENT = {b"remaining": b"", b"moment": b"", b"moment_text": b""}


class Pages:
    """The waiting page for one set of settings, in every language."""

    def __init__(self, settings: Settings, templates: Templates | None = None) -> None:
        folder = templates_dir()
        self.templates = templates or Templates(folder, settings.templates)
        self.brand = brand_of(settings)
        self.languages = Languages(folder / "locales", fixed=settings.language)
        self.style = Markup()
        self.style = self.styled("page", *(["brand"] if self.brand.logo or self.brand.links else []))
        self.style += Markup(self.brand.style)  # noqa: S704 - our own
        self._script, self._script_drawn = script_of(self.templates), script_of(self.templates, drawn=True)
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
        self._kept_told = lru_cache(maxsize=MOST_TOLD)(self._tell)

    @property
    def states(self) -> Iterable[str]:
        return (*PLACED, *PLACELESS)

    def waiting(self, facts: PageFacts, language: Language | None = None, *, gzip: bool) -> tuple[list[Header], bytes]:
        """The page for `facts.state`; headers without a status, which is `waiting_status`."""
        head, parts = self.page(facts, language or self.languages.default, gzip=gzip)
        body = b"".join(parts)
        return [*head.fields, (b"content-length", b"%d" % len(body)), retry_after(facts.next_poll_s)], body

    def page(self, facts: PageFacts, language: Language, *, gzip: bool) -> tuple[Head, tuple[bytes, bytes]]:
        """`waiting` for `Request.answer_under`: the header without its length and `retry_after`, the body in two."""
        high_s = facts.wait_high_s
        wait_s = None if high_s is None else (facts.wait_low_s or 0, high_s)
        shown = (facts.position, facts.ahead, facts.waiting, wait_s)
        told, figures = told_of(facts), own_members(facts)
        return self._filled(told, facts.target, figures, shown, facts.server_time_ms, language, gzip=gzip)

    def page_in_line(
        self, facts: InLine, target: str | None, language: Language, *, gzip: bool
    ) -> tuple[Head, tuple[bytes, bytes]]:
        """`page`, for the facts that most pages are made of."""
        shown = (facts.ahead + 1, facts.ahead, facts.waiting, facts.wait_s)
        figures = members_in_line(facts)
        return self._filled(facts.told, target, figures, shown, facts.server_time_ms, language, gzip=gzip)

    def styled(self, *names: str) -> Markup:
        """The style of every page, and the sheets of these names after it."""
        sheets = (shrink_style(self.templates.source(f"_partials/{name}.css")) for name in names)
        return self.style + Markup("".join(sheets))  # noqa: S704 - from our own templates, never from a request

    def common(self, language: Language) -> dict[str, object]:
        """What every template is given."""
        name = self._settings.shop_name
        return {
            "_": language.in_html,
            "language": language,
            "shop": Markup("<bdi>{}</bdi>").format(name or language.say(N_("the shop"))),
            "shop_label": name or language.say(N_("The shop")),
            "own": lambda route: own_path(route, self._settings.room_query),
            "room_query": self._settings.room_query,
            "style": self.style,
            "brand": self.brand,
        }

    def _document(self, state: str, language: Language) -> Document:
        document = self._documents.get((state, language.tag))
        if document is None:
            document = self._documents[state, language.tag] = self.templates.compile(
                "waiting.html",
                self.context(state, language),
                visitor=VISITOR,
                joined=JOINED,
                headers=(language.header,),
            )
        return document

    def context(self, state: str, language: Language) -> dict[str, object]:
        """What the waiting page's template is given, but for the visitor's own."""
        words = self._say(language).words
        return {
            **self.common(language),
            "script": self._script_drawn if self._may_be_drawn(state) else self._script,
            "draws": self._may_be_drawn(state),
            "words": Markup(json_for_html(words.script, ascii_only=False)),  # noqa: S704 - escaped
            "turn_held": words.duration(self._settings.turn_held),
            "state": state,
            "reach": (*REACH.get(state, (state, *ENDS)), "nocookies"),
            "ticket": state in PLACED,
            "refreshes": state in self._refresh_s,
        }

    def _may_be_drawn(self, state: str) -> bool:
        """Whether a page checks a draw: where it may see one coming, and where a reload may lead after one."""
        return state in GATHERED or (state == "waiting" and self._settings.opens_at is not None)

    def words_in(self, language: Language) -> Words:
        """Made once a language, for every page."""
        return self._say(language).words

    def _say(self, language: Language) -> "Spoken":
        spoken = self._spoken.get(language.tag)
        if spoken is None:
            spoken = self._spoken[language.tag] = Spoken(Words(language))
        return spoken

    def _filled(
        self,
        told: Told,
        target: str | None,
        figures: bytes,
        shown: Shown,
        server_time_ms: int,
        language: Language,
        *,
        gzip: bool,
    ) -> tuple[Head, tuple[bytes, bytes]]:
        """The page with what many are told, and with what is this visitor's own and this moment's."""
        say = self._say(language)
        tell = self._kept_told if target is None or len(target) <= LONGEST_TARGET else self._tell
        document = tell(say, told, target)
        position, ahead, waiting, wait_s = shown
        place = say.number(position)
        length = len(place.decode())
        fields = {
            b"position": place,
            b"size": b"9" if length > 6 else b"6" if length > 4 else b"4",
            b"wait": say.unknown if wait_s is None else say.wait(*wait_steps(*wait_s)),
            b"ahead": say.number(ahead),
            b"waiting": say.number(waiting),
            b"refresh": b"%d" % self._refresh(told.state, wait_s),
            b"server_time": iso_time(server_time_ms),
            b"clock": say.clock(server_time_ms // 1000),
            b"figures": b"{" + figures,
        }
        if told.state in COUNTED:
            fields |= moments(told, server_time_ms, say.words)
        return document.head(gzip=gzip), document.parts(fields, gzip=gzip)

    def _tell(self, say: "Spoken", told: Told, target: str | None) -> Document:
        """The document with all that is told."""
        to, again, target_json = _target(self._settings.room_query, target)
        news = say.changes[told.change] or (say.scarce if told.is_scarce else b"")
        fields = {
            b"no_ahead": b"" if told.has_ahead else HIDDEN,
            b"no_waiting": b"" if told.has_waiting else HIDDEN,
            b"stock": say.number(None) if told.stock is None else say.stock(told.stock),
            b"no_stock": HIDDEN if told.stock is None else b"",
            b"rate": say.rate(told.rate_per_min),
            b"no_rate": HIDDEN if told.rate_per_min is None else b"",
            b"change": news,
            b"no_change": b"" if news else HIDDEN,
            b"message": _text(told.message) if told.message else b"",
            b"no_message": b"" if told.message else HIDDEN,
            b"to": to,
            b"again": again,
            b"then": b";url=" + again if again else b"",
            b"told": b',%b,"target":%b}' % (told_members(told, message_json(told.message)), target_json),
        }
        if told.state not in COUNTED:
            fields |= NO_MOMENT
        return self._document(told.view, say.words.language).filled(fields)

    def _refresh(self, state: str, wait_s: tuple[float, float] | None) -> int:
        """Seconds until a page without a script asks anew: sooner where the turn may be near."""
        longest_s = self._refresh_s.get(state, 0)
        if state != "waiting" or wait_s is None:
            return longest_s
        half_s = int(wait_s[1]) // 2
        return longest_s if half_s >= longest_s else min(longest_s, max(RETRY_S, half_s))


@lru_cache(maxsize=64)
def retry_after(next_poll_s: float) -> tuple[bytes, bytes]:
    return b"retry-after", b"%d" % max(1, round(next_poll_s))


def script_of(templates: Templates, *, drawn: bool = False) -> Markup:
    """The page's script: its partials in one scope, run once the page is there."""
    parts = "\n".join(templates.source(f"_partials/{name}.js") for name in (SCRIPTS_DRAWN if drawn else SCRIPTS))
    whole = f'document.addEventListener("DOMContentLoaded", () => {{\n"use strict";\n{parts}}});'
    return Markup(shrink_script(whole))  # noqa: S704 - from our own templates, never from a request


def moments(told: Told, server_time_ms: int, words: Words) -> Mapping[bytes, bytes]:
    """What is counted down to, for a page without a script: how long from now, and when, in UTC."""
    at = told.lobby_at if told.state == "before" and told.lobby_at else told.opens_at
    if at is None or told.state not in COUNTED:
        return NO_MOMENT
    then_s = datetime.fromisoformat(at).timestamp()
    left_ms = max(0, int(then_s * 1000) - server_time_ms)
    rough_ms = next((unit for unit in (3_600_000, 60_000) if left_ms > 2 * unit), 1000)
    remaining = words.duration(-(-left_ms // rough_ms) * rough_ms)
    return {b"remaining": _text(remaining), b"moment": _text(at), b"moment_text": _text(words.moment(then_s))}


class Spoken:
    """A language's words as bytes for the page; what many people are told is put into words once."""

    __slots__ = ("changes", "clock", "number", "rate", "scarce", "stock", "unknown", "wait", "words")

    def __init__(self, words: Words) -> None:
        self.words = words
        self.unknown = _text(words.wait(None, None))
        self.changes = {change: _text(str(words.script[f"change_{change}"])) for change in CHANGES} | {None: b""}
        self.clock = lru_cache(maxsize=8)(lambda time_s: _text(words.clock(time_s)))
        self.number = lru_cache(maxsize=4096)(lambda value: words.number(value).encode())  # no escape: digits
        self.scarce = _text(words.scarce)
        self.stock = lru_cache(maxsize=64)(lambda count: _text(words.stock(count)))
        self.rate = lru_cache(maxsize=64)(lambda rate: _text(words.number(None) if rate is None else words.rate(rate)))
        self.wait = lru_cache(maxsize=4096)(lambda low, high: _text(words.wait(low * 60, high * 60)))


def _text(value: str) -> bytes:
    # A lone surrogate is no character of UTF-8: it is shown as ?, never a failed page.
    return escape(value).encode("utf-8", "replace")


def _target(room_query: str, target: str | None) -> tuple[bytes, bytes, bytes]:
    """(the path as text, the address that asks again without a script, the path as JSON).

    Asking again goes by way of `enter`, which tells a browser that keeps no cookies, instead of giving it
    number after number.
    """
    if target is None:
        return b"", b"", b"null"
    again = own_path("enter", room_query, "again=1", "to=" + quote(target, safe="/", errors="replace"))
    return _text(target), _text(again), json_for_html(target).encode()
