"""What a visitor is told of orders, in words, in each outcome and language."""

import json
import re
from html import unescape

import pytest

from waitroom.core.errors import OriginFailure
from waitroom.core.orders.attempt import Attempt, Outcome
from waitroom.core.parse import LANGUAGES
from waitroom.core.settings import Settings
from waitroom.edge.answers import Answer, Asked
from waitroom.edge.orders.pages import MOST_SHOWN, SURE, OrderPages
from waitroom.edge.pages.problems import Problems
from waitroom.edge.pages.waiting import Pages

NOW_MS = 1_795_000_000_000
SETTINGS = Settings.model_validate(
    {"origin": "http://127.0.0.1:9", "shop_name": "Tindra & Co", "order_routes": "POST /buy"}
)
ANSWERS = OrderPages(SETTINGS, Pages(SETTINGS))
SAID = {
    Outcome.CONFIRMED: "Your order went through",
    Outcome.ANSWERED: "The shop answered your order",
    Outcome.REFUSED: "The shop did not take this order",
    Outcome.FAILED: "Your order did not reach the shop",
    Outcome.UNKNOWN: "We do not know whether this order went through",
    Outcome.UNDER_WAY: "Your order is under way",
}


def attempt(outcome: Outcome, *, id_: str = "a1", reference: str | None = None, recorded: bool = True) -> Attempt:
    return Attempt(
        id=id_,
        visitor="v" * 22,
        route="POST /buy",
        begun_ms=NOW_MS - 9_000,
        deadline_ms=NOW_MS + 60_000,
        worker="w",
        idempotency_key="k" * 20,
        sameness="s" * 20,
        outcome=outcome,
        reference=reference,
        decided_ms=None if outcome is Outcome.UNDER_WAY else NOW_MS - 5_000,
        decided_by=None if outcome is Outcome.UNDER_WAY else "gateway",
        recorded=recorded,
    )


def asked(*, html: bool = True, language: str = "en") -> Asked:
    return Asked(html=html, gzip=False, safe=True, request_id="0123456789ab", accept_language=language.encode())


def listed(*attempts: Attempt, html: bool = True, language: str = "en", complete: bool = True) -> Answer:
    return ANSWERS.listed(attempts, asked(html=html, language=language), now_ms=NOW_MS, complete=complete)


def seen(answer: Answer) -> str:
    """The text of a page that is to be seen without a script."""
    html = answer.body.decode()
    for gone in (r"<(style|script|template|noscript|svg)\b.*?</\1>", r"<(\w+)[^>]* hidden>.*?</\1>", r"<[^>]+>"):
        html = re.sub(gone, " ", html, flags=re.DOTALL)
    return " ".join(unescape(html).split())


@pytest.mark.parametrize("outcome", Outcome)
def test_each_outcome_is_said_in_words_with_its_times_and_how_sure_it_is(outcome: Outcome) -> None:
    text = seen(listed(attempt(outcome, reference="T-17" if outcome is Outcome.CONFIRMED else None)))

    assert SAID[outcome] in text
    assert [other for other in SAID.values() if other in text] == [SAID[outcome]]
    assert "Nov 18, 2026, 11:06" in text
    assert "UTC" in text
    assert ("Certain:" in text) == (outcome in SURE)
    assert ("Order number T-17" in text) == (outcome is Outcome.CONFIRMED)


@pytest.mark.parametrize("outcome", Outcome)
def test_only_what_is_under_way_is_asked_for_again_without_a_script(outcome: Outcome) -> None:
    assert (b'http-equiv="refresh"' in listed(attempt(outcome)).body) == (outcome is Outcome.UNDER_WAY)


def test_what_is_under_way_beyond_its_deadline_is_unknown() -> None:
    answer = ANSWERS.listed([attempt(Outcome.UNDER_WAY)], asked(), now_ms=NOW_MS + 60_000, complete=True)

    assert SAID[Outcome.UNKNOWN] in seen(answer)
    assert b'http-equiv="refresh"' not in answer.body


def test_an_order_that_could_not_be_recorded_says_so() -> None:
    assert "could not be recorded" in seen(listed(attempt(Outcome.CONFIRMED, recorded=False)))
    assert "could not be recorded" not in seen(listed(attempt(Outcome.CONFIRMED)))


def test_without_an_order_the_page_says_where_others_are() -> None:
    assert "in another browser, or on another device" in seen(listed())


def test_while_the_record_cannot_be_read_the_page_says_so_and_tries_again() -> None:
    answer = listed(attempt(Outcome.UNKNOWN, recorded=False), complete=False)

    assert "cannot be read just now. It is kept" in seen(answer)
    assert SAID[Outcome.UNKNOWN] in seen(answer)
    assert b'http-equiv="refresh"' in answer.body


def test_nothing_of_an_attempt_but_its_facts_is_shown() -> None:
    for html in (True, False):
        body = listed(attempt(Outcome.CONFIRMED), html=html).body

        assert not any(secret in body for secret in (b"v" * 22, b"k" * 20, b"s" * 20, b"POST /buy"))


def test_a_reference_is_text_and_nothing_else() -> None:
    answer = listed(attempt(Outcome.CONFIRMED, reference='<img src=x onerror=alert(1)>"%s %(x)b'))

    assert b"<img" not in answer.body
    assert 'Order number <img src=x onerror=alert(1)>"%s %(x)b' in seen(answer)


def test_a_page_is_bounded_whatever_was_ordered() -> None:
    many = [attempt(Outcome.UNKNOWN, id_=f"a{n}", reference="x" * 120) for n in range(200)]

    assert listed(*many).body.count(b"<article") == MOST_SHOWN
    assert len(json.loads(listed(*many, html=False).body)["orders"]) == MOST_SHOWN


@pytest.mark.parametrize("outcome", Outcome)
def test_programs_get_the_facts(outcome: Outcome) -> None:
    answer = listed(attempt(outcome, reference="T-17"), html=False)
    facts = json.loads(answer.body)
    is_open = outcome is Outcome.UNDER_WAY

    assert facts["orders"] == [
        {
            "id": "a1",
            "outcome": outcome.value,
            "certain": outcome in SURE,
            "reference": "T-17",
            "begun_at": "2026-11-18T11:06:31.000Z",
            "decided_at": None if is_open else "2026-11-18T11:06:35.000Z",
            "decided_by": None if is_open else "gateway",
            "status": None,
            "recorded": True,
        }
    ]
    assert (facts["next_poll_s"] is not None) == is_open
    assert facts["complete"] is True
    assert (b"cache-control", b"private, no-store") in answer.headers


def repeated(one: Attempt, again: str = "", language: str = "en") -> Answer:
    return ANSWERS.repeated(one, asked(language=language), now_ms=NOW_MS, again=again)


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        (Outcome.CONFIRMED, "You have placed this order before, and it went through."),
        (Outcome.UNKNOWN, "we do not know whether it went through. If it did"),
    ],
)
def test_whoever_may_order_twice_is_asked_with_the_facts(outcome: Outcome, says: str) -> None:
    page = repeated(attempt(outcome, reference="T-17"), "ask")

    assert says in seen(page)
    assert "Order number T-17" in seen(page)
    assert b'<button class="quiet" name="attempt" value="a1">' in page.body
    assert b'action="/-/waitroom/orders/again"' in page.body


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - {Outcome.CONFIRMED, Outcome.UNKNOWN}))
def test_nobody_is_asked_about_an_order_that_may_be_sent_or_is_under_way(outcome: Outcome) -> None:
    for again in ("ask", "said", "x"):
        text = seen(repeated(attempt(outcome), again))

        assert "It was not sent again. Here is what we know of it." in text
        assert SAID[outcome] in text


def test_whoever_said_yes_is_told_to_send_it_once_more() -> None:
    assert "Now send it once more" in seen(repeated(attempt(Outcome.UNKNOWN), "said"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_view_can_be_made_in_every_language(language: str) -> None:
    one = attempt(Outcome.UNKNOWN, reference="T-17")
    answers = [
        *(listed(attempt(outcome), language=language) for outcome in Outcome),
        listed(language=language),
        listed(one, language=language, complete=False),
        *(repeated(one, again, language) for again in ("", "ask", "said")),
        repeated(attempt(Outcome.CONFIRMED), "ask", language),
    ]

    for answer in answers:
        assert (b"content-language", language.encode()) in answer.headers
        assert not re.search(r"\{\w+\}|%\(\w+\)b", seen(answer))


def test_the_pages_of_a_shop_that_failed_lead_to_the_orders_where_there_are_routes() -> None:
    failure = OriginFailure("timeout", sent=True)
    without = Settings.model_validate({"origin": "http://127.0.0.1:9"})

    for settings, leads in ((SETTINGS, True), (without, False)):
        page = Problems(settings, Pages(settings)).origin_failed(asked(), failure)
        assert (b'href="/-/waitroom/orders"' in page.body) is leads
    assert b"/-/waitroom/orders" not in Problems(SETTINGS, Pages(SETTINGS)).forbidden(asked()).body


def test_the_first_round_trip_holds_the_page() -> None:
    """14 KB compressed, with the cards of five orders."""
    five = [attempt(Outcome.UNKNOWN, id_=f"a{n}") for n in range(5)]
    compressed = Asked(html=True, gzip=True, safe=True, request_id="", accept_language=b"en")

    assert len(ANSWERS.listed(five, compressed, now_ms=NOW_MS, complete=True).body) < 14_000


def test_the_page_wears_the_shops_brand() -> None:
    given = {**SETTINGS.model_dump(include={"order_routes", "shop_name"}), "origin": "http://127.0.0.1:9"}
    settings = Settings.model_validate({**given, "accent": "#7a1f3d"})
    page = OrderPages(settings, Pages(settings)).listed([], asked(), now_ms=NOW_MS, complete=True)

    assert b"#7a1f3d" in page.body
