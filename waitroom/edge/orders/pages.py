"""What a visitor is told of orders: as a page in the reader's language, or as JSON.

    view        when
    --------    --------------------------------------------------------------------------------------------
    list        what became of the orders, the newest first
    none        there is none
    away        what is recorded cannot be read just now; what this worker knows itself is shown
    repeated    of one order (`attempt=`), to whoever sent it again: it was not sent again
    again       the same, with a question (`again=ask`): it went through before; order again?
    unsure      the same: nobody knows whether it went through; order again?
    granted     the answer was yes (`again=said`): now send the order once more

An order's card is compiled once for each outcome and language. Times stand there in UTC; the page's script puts them
into the reader's own zone.
"""

import json
from collections.abc import Sequence
from html import escape
from typing import Final

from markupsafe import Markup

from waitroom.core.orders.attempt import Attempt, Outcome
from waitroom.core.sentences import N_
from waitroom.core.settings import Settings
from waitroom.core.times import iso_ms
from waitroom.edge.answers import Answer, Asked, json_fields
from waitroom.edge.facts import iso_time, json_for_html
from waitroom.edge.pages.documents import Document
from waitroom.edge.pages.languages import Language
from waitroom.edge.pages.shrink import shrink_script
from waitroom.edge.pages.waiting import HIDDEN, Pages

MOST_SHOWN: Final = 50
REFRESH_S: Final = 5
VIEWS: Final = ("list", "none", "away", "repeated", "again", "unsure", "granted")
CARD: Final = (
    "no_warning", "no_reference", "reference", "begun_at", "begun", "no_decided", "decided_at", "decided",
)  # fmt: skip
PAGE: Final = frozenset(("orders", "attempt", "no_refresh", "refresh"))
SURE: Final = frozenset((Outcome.CONFIRMED, Outcome.REFUSED, Outcome.FAILED))
ASKED: Final = {Outcome.CONFIRMED: "again", Outcome.UNKNOWN: "unsure"}
LOST: Final = N_("That did not work. Check your connection, then try again.")


class OrderPages:
    """Compiled when first needed: not every shop names its orders."""

    def __init__(self, settings: Settings, pages: Pages) -> None:
        self._settings = settings
        self._pages = pages
        source = pages.templates.source
        self._style = pages.styled("orders")
        script = f'document.addEventListener("DOMContentLoaded", () => {{\n{source("_partials/orders.js")}}});'
        self._script = Markup(shrink_script(script))  # noqa: S704 - from our own templates
        self._documents: dict[tuple[str, str], Document] = {}
        self._cards: dict[tuple[Outcome, str], bytes] = {}

    def compile_all(self, language: Language) -> None:
        """Raises ConfigError where an operator's file is at fault."""
        for view in VIEWS:
            self._document(view, language)
        for outcome in Outcome:
            self._form(outcome, language)

    def listed(self, attempts: Sequence[Attempt], asked: Asked, *, now_ms: int, complete: bool) -> Answer:
        """What became of a visitor's orders, the newest first. `complete`: the record could be read."""
        shown = [attempt.seen_at(now_ms) for attempt in attempts[:MOST_SHOWN]]
        is_open = not complete or any(attempt.outcome is Outcome.UNDER_WAY for attempt in shown)
        if not asked.html:
            facts = {"orders": [order_facts(attempt) for attempt in shown], "complete": complete}
            next_poll_s = REFRESH_S if is_open else None
            return as_json({**facts, "next_poll_s": next_poll_s, "server_time": iso_ms(now_ms)})
        view = "away" if not complete else "list" if shown else "none"
        return self._page(view, shown, asked, refreshes=is_open)

    def repeated(self, attempt: Attempt, asked: Asked, *, now_ms: int, again: str) -> Answer:
        """The page of one order, for whoever sent it again. `again` is `ask`, `said`, or anything else for neither."""
        seen = attempt.seen_at(now_ms)
        view = "repeated"
        if seen.outcome in ASKED and again in ("ask", "said"):
            view = ASKED[seen.outcome] if again == "ask" else "granted"
        return self._page(view, (seen,), asked, refreshes=seen.outcome is Outcome.UNDER_WAY)

    def _page(self, view: str, attempts: Sequence[Attempt], asked: Asked, *, refreshes: bool = False) -> Answer:
        language = self._pages.languages.choose(asked.accept_language)
        fields = {
            b"orders": b"".join(self._card(attempt, language) for attempt in attempts),
            b"attempt": attempts[0].id.encode() if attempts else b"",
            b"no_refresh": b"" if refreshes else HIDDEN,
            b"refresh": b'<meta http-equiv="refresh" content="%d">' % REFRESH_S if refreshes else b"",
        }
        return Answer(200, *self._document(view, language).answer(fields, gzip=asked.gzip))

    def _card(self, attempt: Attempt, language: Language) -> bytes:
        form = self._form(attempt.outcome, language)
        words, decided_ms = self._pages.words_in(language), attempt.decided_ms
        fields = {
            b"no_warning": HIDDEN if attempt.recorded else b"",
            b"no_reference": b"" if attempt.reference else HIDDEN,
            b"reference": escape(attempt.reference or "").encode("utf-8", "replace"),
            b"begun_at": iso_time(attempt.begun_ms),
            b"begun": escape(words.date_and_time(attempt.begun_ms // 1000)).encode(),
            b"no_decided": HIDDEN if decided_ms is None else b"",
            b"decided_at": b"" if decided_ms is None else iso_time(decided_ms),
            b"decided": b"" if decided_ms is None else escape(words.date_and_time(decided_ms // 1000)).encode(),
        }
        head = b'<article class="order" id="%b" data-outcome="%b">' % (attempt.id.encode(), attempt.outcome.encode())
        return head + form % fields + b"</article>"

    def _form(self, outcome: Outcome, language: Language) -> bytes:
        """A card without the visitor's own."""
        form = self._cards.get((outcome, language.tag))
        if form is None:
            form = self._cards[outcome, language.tag] = self._pages.templates.fragment(
                "order.html",
                {**self._pages.common(language), "outcome": outcome.value},
                visitor=frozenset(CARD),
            )
        return form

    def _document(self, view: str, language: Language) -> Document:
        document = self._documents.get((view, language.tag))
        if document is None:
            words = self._pages.words_in(language)
            for_script = {"locale": words.script["locale"], "lost": language.say(LOST)}
            document = self._documents[view, language.tag] = self._pages.templates.compile(
                "orders.html",
                {
                    **self._pages.common(language),
                    "style": self._style,
                    "script": self._script,
                    "words": Markup(json_for_html(for_script)),  # noqa: S704 - escaped as JSON
                    "view": view,
                    "kept": words.days(self._settings.order_keep),
                    "outcomes": [outcome.value for outcome in Outcome],
                    "blank": dict.fromkeys(CARD, ""),
                },
                visitor=PAGE,
                headers=(language.header,),
            )
        return document


def order_facts(attempt: Attempt) -> dict[str, object]:
    """An order as JSON; times as ISO 8601 in UTC."""
    decided_ms = attempt.decided_ms
    return {
        "id": attempt.id,
        "outcome": attempt.outcome.value,
        "certain": attempt.outcome in SURE,
        "reference": attempt.reference,
        "begun_at": iso_ms(attempt.begun_ms),
        "decided_at": None if decided_ms is None else iso_ms(decided_ms),
        "decided_by": attempt.decided_by,
        "status": attempt.status,
        "recorded": attempt.recorded,
    }


def as_json(value: object) -> Answer:
    body = json.dumps(value, separators=(",", ":")).encode()
    return Answer(200, json_fields(body), body)
