"""What is answered in place of the shop: the form by what was asked for, the words by what is so."""

import gzip
import json

import pytest

from waitroom.core.errors import ORIGIN_STATUS, OriginFailure, OriginFault
from waitroom.core.settings import Settings
from waitroom.edge.answers import Answer, Asked, asked_by
from waitroom.edge.facts import PageFacts
from waitroom.edge.pages.problem_texts import ORIGIN_TEXTS, TEXTS, UNSENT, UNSURE
from waitroom.edge.pages.problems import Problems
from waitroom.edge.pages.waiting import Pages

SETTINGS = Settings.model_validate({"origin": "http://127.0.0.1:9", "shop_name": "Kestrel"})
PROBLEMS = Problems(SETTINGS, Pages(SETTINGS))
PERSON = Asked(html=True, gzip=False, safe=True, request_id="r-1")
FORM = Asked(html=True, gzip=False, safe=False, request_id="r-1")
APP = Asked(html=False, gzip=True, safe=True, request_id="r-1")
APP_POST = Asked(html=False, gzip=True, safe=False, request_id="r-1")
FACTS = PageFacts(
    state="waiting", number=7, position=5, ahead=4, waiting=9, next_poll_s=4.4, server_time_ms=1_760_000_000_000
)


def problem(answer: Answer) -> dict[str, object]:
    headers = dict(answer.headers)
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"cache-control"] == b"private, no-store"
    assert headers[b"content-length"] == b"%d" % len(answer.body)
    body = json.loads(answer.body)
    assert isinstance(body, dict)
    assert body["status"] == answer.status
    assert body["request_id"] == "r-1"
    return body


def page(answer: Answer) -> str:
    headers = dict(answer.headers)
    assert headers[b"content-type"].startswith(b"text/html")
    assert headers[b"cache-control"] == b"private, no-store"
    assert headers[b"content-length"] == b"%d" % len(answer.body)
    return answer.body.decode()


def test_a_fetch_in_the_line_gets_the_fields_of_status_and_the_way_in() -> None:
    answer = PROBLEMS.in_line(PERSON, FACTS, enter_url="/-/waitroom/enter?to=/x")

    body = problem(answer)
    assert answer.status == 503
    assert body["type"] == "urn:waitroom:problem:in-line"
    assert (body["state"], body["number"], body["position"], body["ahead"]) == ("waiting", 7, 5, 4)
    assert body["enter_url"] == "/-/waitroom/enter?to=/x"
    assert dict(answer.headers)[b"retry-after"] == b"4"


def test_a_fetch_of_somebody_without_a_ticket_gets_no_figures() -> None:
    body = problem(PROBLEMS.in_line(APP, PageFacts(state="none", server_time_ms=0), enter_url="/e"))

    assert "state" not in body
    assert body["enter_url"] == "/e"


def test_an_unsafe_request_is_told_that_nothing_was_sent() -> None:
    html = page(PROBLEMS.nothing_sent(FORM, FACTS, enter_url='/e?to="x'))
    body = problem(PROBLEMS.nothing_sent(APP_POST, FACTS, enter_url="/e"))

    assert "Nothing was sent to the shop." in html
    assert 'href="/e?to=&quot;x"' in html
    assert "Nothing was sent to the shop." in str(body["detail"])
    assert body["position"] == 5


def test_a_prefetch_is_refused_without_a_word() -> None:
    answer = PROBLEMS.prefetch()

    assert (answer.status, answer.body) == (503, b"")
    assert dict(answer.headers)[b"cache-control"] == b"private, no-store"


def test_the_frame_page_is_small_and_may_be_framed() -> None:
    answer = PROBLEMS.frame(PERSON)

    html = page(answer)
    assert answer.status == 503
    assert b"frame-ancestors" not in dict(answer.headers)[b"content-security-policy"]
    assert "<script" not in html
    assert "There is a line" in html


@pytest.mark.parametrize("kind", ["retry", "store_away"])
def test_pages_without_a_place_try_again_and_set_no_cookie(kind: str) -> None:
    ask = getattr(PROBLEMS, kind)

    answer = ask(PERSON, server_time_ms=1_760_000_000_000)
    body = problem(ask(APP, server_time_ms=1_760_000_000_000))

    html = page(answer)
    assert answer.status == body["status"] == 503
    assert "One moment, please" in html
    assert 'http-equiv="refresh"' in html
    assert dict(answer.headers)[b"retry-after"] == b"5"
    assert b"set-cookie" not in dict(answer.headers)


def test_without_cookies_the_page_says_so() -> None:
    answer = PROBLEMS.no_cookies(PERSON, href="/x?a=1&b=2")

    assert answer.status == 403
    assert "This page needs cookies" in page(answer)
    assert 'href="/x?a=1&amp;b=2"' in page(answer)


@pytest.mark.parametrize("kind", ORIGIN_STATUS)
@pytest.mark.parametrize("asked", [PERSON, FORM, APP, APP_POST])
def test_every_failure_of_the_shop_has_its_status_and_words(kind: OriginFault, asked: Asked) -> None:
    answer = PROBLEMS.origin_failed(asked, OriginFailure(kind, "connect 10.0.0.7:3000", sent=True))

    assert answer.status == ORIGIN_STATUS[kind]
    text = page(answer) if asked.html else json.dumps(problem(answer))
    assert ORIGIN_TEXTS[kind][0] in text.replace("&#39;", "'")
    assert "r-1" in text
    assert "10.0.0.7" not in text
    assert (b"retry-after" in dict(answer.headers)) is (answer.status in (502, 503, 504))


@pytest.mark.parametrize(("sent", "words", "wrong"), [(True, UNSURE, UNSENT), (False, UNSENT, UNSURE)])
def test_an_unsafe_request_is_told_whether_it_can_have_arrived(sent: bool, words: str, wrong: str) -> None:
    failure = OriginFailure("reset", sent=sent)

    assert words in page(PROBLEMS.origin_failed(FORM, failure))
    assert wrong not in page(PROBLEMS.origin_failed(FORM, failure))
    assert words in str(problem(PROBLEMS.origin_failed(APP_POST, failure))["detail"])


def test_a_reader_is_offered_the_same_page_again() -> None:
    html = page(PROBLEMS.origin_failed(PERSON, OriginFailure("timeout")))

    assert '<a class="button" href="">Try again</a>' in html
    assert UNSENT not in html


def test_refusals_of_a_request_say_what_is_wrong_with_it() -> None:
    answers = {
        400: PROBLEMS.bad_request(PERSON, "The address is not well-formed."),
        403: PROBLEMS.forbidden(PERSON),
        404: PROBLEMS.not_found(PERSON),
        405: PROBLEMS.method_not_allowed(PERSON, allow=("GET", "HEAD")),
    }

    assert {status: answer.status for status, answer in answers.items()} == {status: status for status in answers}
    assert "The address is not well-formed." in page(answers[400])
    assert dict(answers[405].headers)[b"allow"] == b"GET, HEAD"


def test_a_hostile_request_id_is_inert() -> None:
    html = page(PROBLEMS.not_found(Asked(html=True, gzip=False, safe=True, request_id="<script>")))

    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_pages_are_compressed_for_those_who_accept_it() -> None:
    packed = PROBLEMS.not_found(Asked(html=True, gzip=True, safe=True, request_id="r-1"))

    assert gzip.decompress(packed.body) == PROBLEMS.not_found(PERSON).body


def test_the_form_is_chosen_by_the_request() -> None:
    browser = {b"accept": b"text/html,*/*;q=0.8", b"accept-encoding": b"gzip, br"}

    assert asked_by("GET", browser, request_id="r") == Asked(html=True, gzip=True, safe=True, request_id="r")
    assert asked_by("POST", {b"accept": b"*/*"}, request_id="r") == Asked(
        html=False, gzip=False, safe=False, request_id="r"
    )


def test_every_text_has_a_page_and_a_problem() -> None:
    for kind, text in TEXTS.items():
        assert text.title, kind
        assert text.detail.endswith("."), kind
