"""Every answer in place of the shop's that is not the waiting page: one function a kind.

    asked for by name        answer
    HTML                     a page: what is so, what to do, the request id
    anything else            application/problem+json (RFC 9457) with the request id, and in a line the
                             fields of `status`, `enter_url` and `Retry-After`

A page is in the reader's language, a problem in English. The text is public and fixed (`problem_texts`); the cause of
a failure is in the log under the request id.
"""

import json
from collections.abc import Iterable
from html import escape
from typing import Literal

from waitroom.core.errors import ORIGIN_STATUS, OriginFailure
from waitroom.core.sentences import N_
from waitroom.core.settings import Settings
from waitroom.edge.answers import EMPTY, NO_STORE, VARY, Answer, Asked, json_fields
from waitroom.edge.cloudflare import waiting_room
from waitroom.edge.cors import ORIGIN_VARIES, Cors
from waitroom.edge.facts import PageFacts, members
from waitroom.edge.pages.documents import Document
from waitroom.edge.pages.languages import Language
from waitroom.edge.pages.problem_texts import (
    ABOUT_ORDERS,
    AGAIN,
    INVITE,
    ORIGIN_RETRY_S,
    ORIGIN_TEXTS,
    TEXTS,
    UNSENT,
    UNSURE,
    Kind,
    Text,
)
from waitroom.edge.pages.waiting import Pages


class Problems:
    """The answers for one set of settings; pages are compiled at start in English, in other languages when needed."""

    def __init__(self, settings: Settings, pages: Pages) -> None:
        self._pages = pages
        self._cors = Cors(settings.cors_origins)
        self._cloudflare = settings.cloudflare_json
        self._has_orders = bool(settings.order_routes)
        origin = {kind: Text(ORIGIN_STATUS[kind], *text) for kind, text in ORIGIN_TEXTS.items()}
        self._texts: dict[str, Text] = dict([*TEXTS.items(), *origin.items()])
        self._style = pages.styled("alone")
        self._documents: dict[tuple[str, str], Document] = {}
        self._invites: dict[str, Document] = {}
        for kind in (*self._texts, "frame"):
            self._document(kind, pages.languages.default)

    def compile_all(self, language: Language) -> None:
        """Raises ConfigError where an operator's file is at fault."""
        for kind in (*self._texts, "frame"):
            self._document(kind, language)
        self._invite_page(language)

    def _document(self, kind: str, language: Language) -> Document:
        """The page of a kind; `frame` is the one for other pages' frames."""
        document = self._documents.get((kind, language.tag))
        if document is None:
            more: dict[str, object] = {}
            if kind != "frame":
                text = self._texts[kind]
                more = {"title": language.say(text.title), "detail": language.say(text.detail), "status": text.status}
                more["orders"] = self._has_orders and kind in ABOUT_ORDERS
            document = self._documents[kind, language.tag] = self._pages.templates.compile(
                "frame.html" if kind == "frame" else "error.html",
                {**self._pages.common(language), **more, "style": self._style},
                visitor=frozenset(("more", "href", "action", "request_id")),
                framed=True,
                headers=(language.header,),
            )
        return document

    # In the line

    def in_line(self, asked: Asked, facts: PageFacts, *, enter_url: str) -> Answer:
        """A fetch that may not pass: always JSON, also where HTML was asked for."""
        return self._json(asked, "in-line", facts=known(facts), told=facts, enter_url=enter_url)

    def nothing_sent(self, asked: Asked, facts: PageFacts, *, enter_url: str) -> Answer:
        """An unsafe request that may not pass. It says that the shop has not seen it."""
        if asked.html:
            retry_after_s = _retry_after(known(facts), TEXTS["nothing-sent"])
            return self._html(
                asked, "nothing-sent", href=enter_url, action=N_("See my place"), retry_after_s=retry_after_s
            )
        return self._json(asked, "nothing-sent", facts=known(facts), told=facts, enter_url=enter_url)

    def prefetch(self) -> Answer:
        """A guess of the browser's: refused without a word, so that it is asked again when it is meant."""
        return Answer(503, [NO_STORE, VARY, EMPTY], b"")

    def frame(self, asked: Asked) -> Answer:
        return Answer(503, *self._document("frame", self._language(asked)).answer({}, gzip=asked.gzip))

    def store_away(self, asked: Asked, *, server_time_ms: int) -> Answer:
        """A newcomer while nobody can give out numbers: a page that tries again by itself."""
        return self._placeless(asked, "store-away", "away", server_time_ms)

    def retry(self, asked: Asked, *, server_time_ms: int) -> Answer:
        """A token this worker cannot verify yet. The caller sets no cookie, so that no place is lost."""
        return self._placeless(asked, "retry", "retry", server_time_ms)

    def left(self, asked: Asked, *, server_time_ms: int) -> Answer:
        """Who gave the place back by the page's form: it is so, and how to come back."""
        facts = PageFacts(state="left", server_time_ms=server_time_ms)
        return Answer(200, *self._pages.waiting(facts, self._language(asked), gzip=asked.gzip))

    def no_cookies(self, asked: Asked, *, href: str = "/") -> Answer:
        return self._either(asked, "no-cookies", href=href, action=N_("Try again"))

    def link_over(self, asked: Asked) -> Answer:
        """A place was to be taken by a link that is used up, too old, or none of ours."""
        return self._either(asked, "link-over", href="/", action=N_("Back to the shop"))

    def no_place(self, asked: Asked) -> Answer:
        """A place was to be taken along, and there is none."""
        return self._either(asked, "no-place", href="/", action=N_("Back to the shop"))

    # Of those with an invite

    def invite(self, asked: Asked, token: str) -> Answer:
        """The page with the button: what opens a link before a person does presses none."""
        document = self._invite_page(self._language(asked))
        return Answer(200, *document.answer({b"token": escape(token).encode()}, gzip=asked.gzip))

    def _invite_page(self, language: Language) -> Document:
        document = self._invites.get(language.tag)
        if document is None:
            title, detail, action = map(language.say, INVITE)
            document = self._invites[language.tag] = self._pages.templates.compile(
                "invite.html",
                {
                    **self._pages.common(language),
                    "style": self._style,
                    "title": title,
                    "detail": detail,
                    "action": action,
                },
                visitor=frozenset(("token",)),
                headers=(language.header,),
            )
        return document

    def no_invite(self, asked: Asked, kind: Literal["void", "used", "early"], *, href: str) -> Answer:
        return self._either(asked, f"invite-{kind}", href=href, action=N_("Back to the shop"))

    def invited_only(self, asked: Asked) -> Answer:
        return self._either(asked, "invited-only", href="", action=N_("Try again"))

    # Of the shop's

    def origin_failed(self, asked: Asked, failure: OriginFailure) -> Answer:
        """The shop gave no answer. An unsafe request is told whether it can have arrived."""
        again_s = ORIGIN_RETRY_S if failure.status in (502, 503, 504) else 0
        if asked.safe:
            more = AGAIN if again_s else ""
            return self._either(asked, failure.kind, more=more, href="", action=N_("Try again"), retry_after_s=again_s)
        more = UNSURE if failure.sent else UNSENT
        return self._either(
            asked, failure.kind, more=more, href="/", action=N_("Back to the shop"), retry_after_s=again_s
        )

    # Of the request's

    def bad_request(self, asked: Asked, more: str = "") -> Answer:
        """`more` is a public sentence of ours, marked by `N_`, never a part of the request."""
        return self._either(asked, "bad-request", more=more, href="/", action=N_("Back to the shop"))

    def forbidden(self, asked: Asked) -> Answer:
        return self._either(asked, "forbidden", href="/", action=N_("Back to the shop"))

    def not_found(self, asked: Asked) -> Answer:
        return self._either(asked, "not-found", href="/", action=N_("Back to the shop"))

    def method_not_allowed(self, asked: Asked, *, allow: Iterable[str]) -> Answer:
        answer = self._either(asked, "method-not-allowed", href="/", action=N_("Back to the shop"))
        answer.headers.append((b"allow", ", ".join(allow).encode()))
        return answer

    def _language(self, asked: Asked) -> Language:
        return self._pages.languages.choose(asked.accept_language)

    def _placeless(self, asked: Asked, kind: Kind, state: str, server_time_ms: int) -> Answer:
        facts = PageFacts(state=state, next_poll_s=TEXTS[kind].retry_after_s, server_time_ms=server_time_ms)
        if not asked.html:
            return self._json(asked, kind, told=facts)
        return Answer(TEXTS[kind].status, *self._pages.waiting(facts, self._language(asked), gzip=asked.gzip))

    def _either(
        self, asked: Asked, kind: str, *, href: str, action: str, more: str = "", retry_after_s: int = 0
    ) -> Answer:
        if asked.html:
            return self._html(asked, kind, href=href, action=action, more=more, retry_after_s=retry_after_s)
        return self._json(asked, kind, more=more, retry_after_s=retry_after_s)

    def _html(
        self, asked: Asked, kind: str, *, href: str, action: str, more: str = "", retry_after_s: int = 0
    ) -> Answer:
        text = self._texts[kind]
        language = self._language(asked)
        said = {"more": language.say(more) if more else "", "action": language.say(action)}
        fields = {**said, "href": href, "request_id": asked.request_id}
        escaped = {name.encode(): escape(value).encode("utf-8", "replace") for name, value in fields.items()}
        answer = self._document(kind, language).answer(
            escaped, gzip=asked.gzip, retry_after_s=retry_after_s or text.retry_after_s
        )
        return Answer(text.status, *answer)

    def _json(
        self,
        asked: Asked,
        kind: str,
        *,
        facts: PageFacts | None = None,
        told: PageFacts | None = None,
        enter_url: str | None = None,
        more: str = "",
        retry_after_s: int = 0,
    ) -> Answer:
        """`facts` are among the members; `told` only in what is for apps of others."""
        text = self._texts[kind]
        problem: dict[str, object] = {
            "type": f"urn:waitroom:problem:{kind.replace('_', '-')}",
            "title": text.title,
            "status": text.status,
            "detail": f"{text.detail} {more}".strip(),
            "request_id": asked.request_id,
        }
        if enter_url is not None:
            problem["enter_url"] = enter_url
        body = json.dumps(problem, ensure_ascii=True, separators=(",", ":")).encode()
        if facts is not None:
            body = b"%b,%b}" % (body[:-1], members(facts))
        if self._cloudflare and told is not None:
            body = b"%b,%b}" % (body[:-1], waiting_room(told, is_waiting=True))
        headers = json_fields(body, b"application/problem+json")
        after_s = retry_after_s or _retry_after(facts, text)
        if after_s:
            headers.append((b"retry-after", b"%d" % after_s))
        if self._cors:
            headers += (ORIGIN_VARIES, *self._cors.fields(asked.origin))
        return Answer(text.status, headers, body)


def known(facts: PageFacts) -> PageFacts | None:
    """What there is to say of somebody in line, or of a sale; nothing of anybody else."""
    return None if facts.state == "none" else facts


def _retry_after(facts: PageFacts | None, text: Text) -> int:
    return text.retry_after_s if facts is None else max(1, round(facts.next_poll_s))
