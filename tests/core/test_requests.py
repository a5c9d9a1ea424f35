"""What a request is and what form of answer it asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitroom.core.requests import Kind, accepts_html, fields_of, kind_of, qualities

CHROME_ACCEPT = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
HTML = (b"accept", CHROME_ACCEPT)
PREFLIGHT = [(b"origin", b"https://app.example"), (b"access-control-request-method", b"PUT")]
WEBSOCKET = [(b"upgrade", b"websocket"), (b"connection", b"keep-alive, Upgrade")]


def dest(value: bytes) -> tuple[bytes, bytes]:
    return (b"sec-fetch-dest", value)


@pytest.mark.parametrize(
    ("method", "headers", "kind"),
    [
        ("GET", [dest(b"document"), HTML], Kind.DOCUMENT),
        ("HEAD", [dest(b"document")], Kind.DOCUMENT),
        ("GET", [HTML], Kind.DOCUMENT),
        ("GET", [(b"accept", b"text/html")], Kind.DOCUMENT),
        ("GET", [HTML, (b"x-requested-with", b"XMLHttpRequest")], Kind.FETCH),
        ("GET", [dest(b"document"), (b"x-requested-with", b"org.example.browser")], Kind.DOCUMENT),
        ("GET", [dest(b"document"), (b"sec-purpose", b"prefetch;prerender"), HTML], Kind.PREFETCH),
        ("GET", [dest(b"empty"), (b"sec-purpose", b"prefetch")], Kind.PREFETCH),
        ("GET", [(b"sec-purpose", b"prefetch"), HTML], Kind.PREFETCH),
        *[("GET", [dest(frame), HTML], Kind.FRAME) for frame in (b"iframe", b"frame", b"embed", b"object")],
        ("GET", [dest(b"iframe"), (b"sec-purpose", b"prefetch")], Kind.PREFETCH),
        *[("GET", [dest(other), HTML], Kind.FETCH) for other in (b"empty", b"script", b"image", b"style", b"")],
        ("GET", [(b"accept", b"*/*")], Kind.FETCH),
        ("GET", [], Kind.FETCH),
        ("GET", [(b"accept", b"application/json")], Kind.FETCH),
        ("GET", [(b"accept", b"application/json, text/html;q=0.9")], Kind.FETCH),
        ("GET", [(b"accept", b"text/html;q=0, */*")], Kind.FETCH),
        ("POST", [dest(b"document"), HTML], Kind.UNSAFE),
        ("DELETE", [], Kind.UNSAFE),
        ("get", [dest(b"document")], Kind.UNSAFE),
        ("OPTIONS", PREFLIGHT, Kind.PREFLIGHT),
        ("OPTIONS", [*PREFLIGHT, (b"content-length", b"0")], Kind.PREFLIGHT),
        ("OPTIONS", [*PREFLIGHT, (b"content-length", b"5")], Kind.UNSAFE),
        ("OPTIONS", [*PREFLIGHT, (b"transfer-encoding", b"chunked")], Kind.UNSAFE),
        ("OPTIONS", [*PREFLIGHT, (b"x-http-method-override", b"POST")], Kind.UNSAFE),
        ("OPTIONS", [(b"origin", b"https://app.example")], Kind.UNSAFE),
        ("OPTIONS", [(b"access-control-request-method", b"PUT")], Kind.UNSAFE),
        ("POST", PREFLIGHT, Kind.UNSAFE),
        ("GET", [*WEBSOCKET, dest(b"websocket")], Kind.WEBSOCKET),
        ("GET", [(b"connection", b"upgrade"), (b"upgrade", b"WebSocket")], Kind.WEBSOCKET),
        ("POST", WEBSOCKET, Kind.UNSAFE),
        ("GET", [(b"upgrade", b"websocket")], Kind.FETCH),
        ("GET", [(b"upgrade", b"h2c"), (b"connection", b"upgrade, http2-settings"), HTML], Kind.DOCUMENT),
    ],
)
def test_each_request_has_its_kind(method: str, headers: list[tuple[bytes, bytes]], kind: Kind) -> None:
    assert kind_of(method, fields_of(headers)) is kind


@pytest.mark.parametrize(
    ("accept", "html", "json"),
    [
        (CHROME_ACCEPT, True, False),
        (b"text/html", True, False),
        (b"TEXT/HTML ; Q=0.1", True, False),
        (b"application/xhtml+xml", True, False),
        (b"*/*", False, False),
        (b"text/*", False, False),
        (b"text/htmlx", False, False),
        (b"", False, False),
        (b"application/json", False, True),
        (b"application/problem+json", False, True),
        (b"application/vnd.shop.v2+json;charset=utf-8", False, True),
        (b"application/json, text/plain, */*", False, True),
        (b"text/html;q=0.5, application/json;q=0.4", True, False),
        (b"text/html;q=0.4, application/json;q=0.5", False, True),
        (b"text/html, application/json", True, False),
        (b"text/html;q=0", False, False),
        (b"text/html;q=0.000, application/json;q=0", False, False),
        (b"text/html;level=1;q=0.3", True, False),
        (b"text/html;q=nan, application/json;q=0.1", False, True),
        (b"text/html;q=2", False, False),
        (b"text/html;q=-1", False, False),
        (b",,;;q=,text/html,,", True, False),
    ],
)
def test_an_answer_takes_the_form_that_was_asked_for(accept: bytes, html: bool, json: bool) -> None:
    assert accepts_html({b"accept": accept}) is html
    asked_html, asked_json = qualities({b"accept": accept})
    assert (asked_json > asked_html) is json


def test_repeated_fields_are_one_list_and_an_ambiguous_request_is_no_document() -> None:
    headers = [dest(b"document"), (b"host", b"x"), dest(b"iframe"), HTML]

    assert fields_of(headers) == {b"sec-fetch-dest": b"document,iframe", b"host": b"x", b"accept": CHROME_ACCEPT}
    assert kind_of("GET", fields_of(headers)) is Kind.FETCH


def test_several_accept_fields_are_one_list() -> None:
    headers = [(b"accept", b"text/html;q=0.2"), (b"host", b"x"), (b"accept", b"application/json")]

    assert qualities(fields_of(headers)) == (0.2, 1.0)


@given(st.lists(st.tuples(st.sampled_from([b"accept", b"upgrade", b"sec-fetch-dest"]), st.binary(max_size=30))))
def test_no_header_makes_it_fail(headers: list[tuple[bytes, bytes]]) -> None:
    assert isinstance(kind_of("GET", fields_of(headers)), Kind)
