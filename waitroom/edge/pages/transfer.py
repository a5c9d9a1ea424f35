"""The two pages of a place that is taken along: the link with its QR code, and what the link opens.

They send no more than their origin along (Referrer-Policy): the link holds a token.
"""

from collections.abc import Mapping
from html import escape
from typing import Final

import segno
from markupsafe import Markup

from waitroom.edge.answers import Answer, Asked
from waitroom.edge.pages.documents import Document
from waitroom.edge.pages.languages import Language
from waitroom.edge.pages.shrink import shrink_script
from waitroom.edge.pages.waiting import HIDDEN, Pages

LIFE_MS: Final = 300_000
"""How long a link is good."""
CODES_PER_S: Final = 8
"""A worker draws no more QR codes than this, 6 ms each; the link works without."""
FIELDS: Final = {
    "offer": frozenset(("link", "code", "no_code", "back")),
    "take": frozenset(("token", "taker", "to", "no_other")),
}


class TransferPages:
    """Compiled when first needed."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._documents: dict[tuple[str, str], Document] = {}
        self._codes = (0, 0)
        self._style = pages.styled("alone")
        script = (
            f'document.addEventListener("DOMContentLoaded", () => {{\n{pages.templates.source("_partials/copy.js")}}});'
        )
        self._script = Markup(shrink_script(script))  # noqa: S704 - from our own templates

    def compile_all(self, language: Language) -> None:
        """Raises ConfigError where an operator's file is at fault."""
        for view in FIELDS:
            self._document(view, language)

    def draw(self, link: str, now_ms: int) -> str:
        """The QR code as the address of a picture; empty where too many were asked for. The mask is fixed: to try all
        eight costs four times as much, and every reader takes each of them.
        """
        second, drawn = self._codes
        if second != now_ms // 1000:
            second, drawn = now_ms // 1000, 0
        if drawn >= CODES_PER_S:
            return ""
        self._codes = second, drawn + 1
        code = segno.make(link, micro=False, error="m", mask=4, boost_error=False)
        return code.svg_data_uri(omitsize=True, light="#fff")

    def offer(self, asked: Asked, *, link: str, code: str, back: str) -> Answer:
        """To whoever has the place. `code` is what `draw` gave."""
        fields = {"link": link, "code": code, "back": back}
        return self._page(asked, "offer", fields, {b"no_code": b"" if code else HIDDEN})

    def take(self, asked: Asked, *, token: str, taker: str, to: str, has_other: bool) -> Answer:
        """To whoever opened the link; `has_other` warns that a place of this browser's own goes for it."""
        fields = {"token": token, "taker": taker, "to": to}
        return self._page(asked, "take", fields, {b"no_other": b"" if has_other else HIDDEN})

    def _page(self, asked: Asked, view: str, texts: Mapping[str, str], marks: Mapping[bytes, bytes]) -> Answer:
        language = self._pages.languages.choose(asked.accept_language)
        fields = {name.encode(): escape(text).encode("utf-8", "replace") for name, text in texts.items()}
        return Answer(200, *self._document(view, language).answer({**fields, **marks}, gzip=asked.gzip))

    def _document(self, view: str, language: Language) -> Document:
        document = self._documents.get((view, language.tag))
        if document is None:
            context = {
                **self._pages.common(language),
                "style": self._style,
                "script": self._script,
                "view": view,
                "life": self._pages.words_in(language).duration(LIFE_MS),
            }
            document = self._documents[view, language.tag] = self._pages.templates.compile(
                "transfer.html", context, visitor=FIELDS[view], referrer=b"strict-origin", headers=(language.header,)
            )
        return document
