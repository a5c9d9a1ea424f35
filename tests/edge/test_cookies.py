"""Our cookies go out, come back and are taken out; other people's are left alone."""

import time
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitroom.core.requests import Header
from waitroom.core.tokens import Pass, Ticket, Tokens, Unreadable
from waitroom.edge.cookies import (
    MOST_REPEATS,
    CookieKind,
    Cookies,
    cache_rules,
    is_our_set_cookie,
    may_be_shared,
    strip,
)

NOW = 1_790_000_000_000
VISITOR = "kX3-_v9TqLwZ0aBcDeFgHi"
TOKENS = Tokens("shop", ["n" * 40])
STRANGE = Tokens("shop", ["s" * 40])
TICKET = Ticket("shop", "gen", 7, VISITOR, NOW)
PASS = Pass("shop", VISITOR, "gen", 7, NOW - 10, NOW + 1000, NOW - 10, provisional=False)
COOKIES = Cookies("shop")
SET_COOKIE_RULE = (b"cache-control", b'private, no-cache="set-cookie"')


class Carried(NamedTuple):
    ticket: Ticket | Unreadable | None
    pass_: Pass | Unreadable | None
    ticket_in_header: bool


def carried(*headers: Header, secure: bool = False, cookies: Cookies = COOKIES) -> Carried:
    found = cookies.find(headers, secure=secure)
    ticket, in_header = cookies.read_ticket(found, TOKENS, NOW)
    return Carried(ticket, cookies.read_pass(found, TOKENS, NOW), in_header)


def cookie(text: str) -> Header:
    return (b"cookie", text.encode())


@pytest.mark.parametrize(
    ("domain", "secure", "expected"),
    [
        (
            None,
            True,
            b"__Host-waitroom_shop_ticket=T; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=None",
        ),
        (
            "s.example",
            True,
            b"__Secure-waitroom_shop_ticket=T; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=None; Domain=s.example",
        ),
        (None, False, b"waitroom_shop_ticket=T; Path=/; Max-Age=60; HttpOnly"),
        ("shop.example", False, b"waitroom_shop_ticket=T; Path=/; Max-Age=60; HttpOnly; Domain=shop.example"),
    ],
)
def test_a_cookie_is_named_and_guarded_by_its_scheme(domain: str | None, secure: bool, expected: bytes) -> None:
    cookies = Cookies("shop", domain)

    assert cookies.set_cookie(CookieKind.TICKET, "T", secure=secure, max_age_s=60) == expected
    deleted = cookies.delete_cookie(CookieKind.TICKET, secure=secure)
    assert deleted == expected.replace(b"=T;", b"=;").replace(b"Max-Age=60", b"Max-Age=0")


@pytest.mark.parametrize("domain", [None, "shop.example"])
@pytest.mark.parametrize("secure", [True, False])
def test_what_was_set_comes_back(domain: str | None, secure: bool) -> None:
    cookies = Cookies("shop", domain)
    pairs = [
        cookies.set_cookie(kind, token, secure=secure, max_age_s=9).partition(b";")[0]
        for kind, token in (
            (CookieKind.TICKET, TOKENS.sign_ticket(TICKET)),
            (CookieKind.PASS, TOKENS.sign_pass(PASS)),
        )
    ]

    read = carried((b"cookie", b"a=1; " + b"; ".join(pairs)), secure=secure, cookies=cookies)

    assert read == Carried(TICKET, PASS, ticket_in_header=False)


@pytest.mark.parametrize(
    "text",
    [
        "waitroom_shop_ticket={}",
        "a=1; waitroom_shop_ticket={}; b=2",
        "a=1;waitroom_shop_ticket={};b=2",
        'a="x; y=; waitroom_shop_ticket="{}"; b',
        "=; ;;; \x80\xff=\xfe; {{[(; a==b=c;  waitroom_shop_ticket={} ;",
        "xwaitroom_shop_ticket=evil; waitroom_shop_ticket={}",
        "a=waitroom_shop_ticket=evil; waitroom_shop_ticket={}",
        "__Host-waitroom_shop_ticket=evil; waitroom_shop_ticket={}",
        "waitroom_shop_tickets=evil; waitroom_shop_ticket={}; waitroom_shop2_ticket=evil",
    ],
)
def test_our_cookie_is_found_among_other_peoples_rubbish(text: str) -> None:
    headers = [cookie("z=1"), (b"accept", b"*/*"), cookie(text.format(TOKENS.sign_ticket(TICKET)))]

    assert carried(*headers).ticket == TICKET


def test_under_https_only_the_prefixed_name_counts() -> None:
    """A neighbouring host, or anybody on the same network over http, can plant a name without prefix."""
    planted = cookie(f"waitroom_shop_ticket={TOKENS.sign_ticket(TICKET)}; __Secure-waitroom_shop_pass=x")

    assert carried(planted, secure=True) == Carried(None, None, ticket_in_header=False)


def test_nothing_or_rubbish_is_nothing() -> None:
    for headers in ([], [cookie("waitroom_shop_ticket=1; waitroom_shop_pass=")], [(b"waitroom-ticket", b"\xff")]):
        assert carried(*headers) == Carried(None, None, ticket_in_header=False)


def test_rubbish_under_our_name_does_not_hide_the_good_token() -> None:
    good = f"waitroom_shop_ticket={TOKENS.sign_ticket(TICKET)}; waitroom_shop_pass={TOKENS.sign_pass(PASS)}"
    strange = f"waitroom_shop_ticket={STRANGE.sign_ticket(TICKET)}; waitroom_shop_pass={STRANGE.sign_pass(PASS)}"
    bad = "waitroom_shop_ticket=x; waitroom_shop_pass=y"

    for text in (f"{bad}; {strange}; {good}", f"{good}; {strange}; {bad}"):
        assert carried(cookie(text)) == Carried(TICKET, PASS, ticket_in_header=False)
    assert carried(cookie(f"{bad}; {strange}")).ticket == Unreadable(STRANGE.signing_key_id)


def test_the_ticket_issued_last_counts() -> None:
    """A cookie of a former cookie_domain is sent first for ever: the ticket given since must win, or none ever does."""
    newer = TICKET._replace(generation="next", issued_ms=NOW + 1)
    texts = [f"waitroom_shop_ticket={TOKENS.sign_ticket(one)}" for one in (TICKET, newer)]

    assert carried(cookie("; ".join(texts))).ticket == newer
    assert carried(cookie("; ".join(reversed(texts)))).ticket == newer


def test_a_pass_that_is_valid_now_precedes_one_that_is_not() -> None:
    early = PASS._replace(valid_from_ms=NOW + 500, end_ms=NOW + 9000)
    ended = PASS._replace(end_ms=NOW - 1)
    texts = [f"waitroom_shop_pass={TOKENS.sign_pass(one)}" for one in (early, ended, PASS)]

    assert carried(cookie("; ".join(texts))).pass_ == PASS
    assert carried(cookie("; ".join(texts[:2]))).pass_ == early


def test_a_ticket_in_the_header_is_told_apart() -> None:
    field = (b"waitroom-ticket", TOKENS.sign_ticket(TICKET).encode())
    other = TICKET._replace(number=9, issued_ms=NOW + 5)
    in_cookie = cookie(f"waitroom_shop_ticket={TOKENS.sign_ticket(other)}")

    assert carried(field) == Carried(TICKET, None, ticket_in_header=True)
    assert carried(in_cookie, field) == Carried(TICKET, None, ticket_in_header=True)
    assert carried(in_cookie, (b"waitroom-ticket", b"forged")) == Carried(other, None, ticket_in_header=False)
    assert carried((b"waitroom-pass", TOKENS.sign_pass(PASS).encode())).pass_ == PASS
    unknown = carried((b"waitroom-ticket", STRANGE.sign_ticket(TICKET).encode()))
    assert unknown == Carried(Unreadable(STRANGE.signing_key_id), None, ticket_in_header=False)


def test_a_thousand_cookies_of_our_name_cost_a_few_checks() -> None:
    forged = TOKENS.sign_pass(PASS)[:-4] + "AAAA"
    headers = [cookie(f"waitroom_shop_pass={forged}; " * 400), cookie("xwaitroom_shop_pass=" * 3000)]
    started = time.thread_time()

    read = carried(*headers)

    assert read.pass_ is None
    assert len(COOKIES.find(headers, secure=False).passes) == MOST_REPEATS
    assert time.thread_time() - started < 0.05


@pytest.mark.parametrize(
    ("sent", "left"),
    [
        (b"a=1", b"a=1"),
        (b"waitroom_shop_pass=x; a=1", b"a=1"),
        (b"a=1; waitroom_shop_pass=x", b"a=1"),
        (b"a=1; waitroom_shop_pass=x; b=2", b"a=1; b=2"),
        (b"a=1; __Host-waitroom_shop_pass=x; __Secure-waitroom_b_ticket=y;b=2", b"a=1;b=2"),
        (b"waitroom_shop_pass=x", None),
        (b"waitroom_shop_pass=x; waitroom_shop_ticket=y; ", None),
        (b'a="q;  waitroom_shop_pass=x ; =\xff ;; b = 2;', b'a="q; =\xff ;; b = 2;'),
        (b"a=waitroom_shop_pass; mywaitroom_x=1", b"a=waitroom_shop_pass; mywaitroom_x=1"),
        (b"=waitroom_shop_pass=x; a=1", b"a=1"),
        (b"WAITROOM_shop_pass=x;__host-Waitroom_shop_pass=y;a=1", b"a=1"),
        (b"waitroom_shop_pass; a=1", b"a=1"),
        (b"  a=1 ; b", b"  a=1 ; b"),
        (b"", b""),
    ],
)
def test_the_origin_sees_every_cookie_but_ours(sent: bytes, left: bytes | None) -> None:
    assert strip(sent) == left


parts = st.one_of(
    st.binary(max_size=12).map(lambda part: part.replace(b";", b"")),
    st.sampled_from([b" waitroom_shop_pass=x", b"__Host-waitroom_shop_ticket=y", b" a=1", b"", b" "]),
)


@given(st.lists(parts, max_size=8))
def test_taking_ours_out_leaves_the_rest_byte_for_byte_and_nothing_of_ours(found: list[bytes]) -> None:
    value = b";".join(found)
    ours = [part for part in found if is_our_set_cookie(part)]
    others = [part for part in found if not is_our_set_cookie(part)]

    left = strip(value)

    expected = b";".join(others).lstrip(b" \t") if ours else value
    assert left == (expected if not ours or expected.strip(b"; \t") else None)
    assert left is None or strip(left) == left


@given(st.lists(st.tuples(st.sampled_from([b"cookie", b"waitroom-pass", b"x"]), st.binary(max_size=60)), max_size=6))
def test_no_header_makes_reading_fail(headers: list[Header]) -> None:
    assert carried(*headers) == Carried(None, None, ticket_in_header=False)


@pytest.mark.parametrize(
    ("value", "ours"),
    [
        (b"waitroom_shop_pass=x; Path=/", True),
        (b" \twaitroom_shop_ticket=", True),
        (b"__Host-waitroom_shop_pass=x", True),
        (b"__secure-WAITROOM_any=x", True),
        (b"=waitroom_shop_pass=x", True),
        (b"waitroom_shop_pass", True),
        (b"waitroom=1", False),
        (b"session=waitroom_shop_pass", False),
        (b"my_waitroom_x=1", False),
        (b"__Host-session=1; Path=/; Secure", False),
        (b"", False),
    ],
)
def test_an_origin_cannot_set_our_cookies(value: bytes, ours: bool) -> None:
    assert is_our_set_cookie(value) is ours


@pytest.mark.parametrize(
    ("sent", "ruled"),
    [
        ([], [SET_COOKIE_RULE]),
        ([(b"cache-control", b"public, s-maxage=60")], [SET_COOKIE_RULE]),
        (
            [(b"cache-control", b"Public, max-age=60, S-MaxAge=9, immutable"), (b"etag", b"1")],
            [(b"cache-control", b'private, no-cache="set-cookie", max-age=60, immutable'), (b"etag", b"1")],
        ),
        (
            [(b"cache-control", b"no-cache"), (b"x", b"1"), (b"cache-control", b'no-store, private="a, public"')],
            [(b"cache-control", b'private, no-cache="set-cookie", no-cache, no-store'), (b"x", b"1")],
        ),
        (
            [
                (b"surrogate-control", b"max-age=9"),
                (b"cdn-cache-control", b"max-age=9"),
                (b"cloudflare-cdn-cache-control", b"max-age=9"),
                (b"x-accel-expires", b"600"),
                (b"set-cookie", b"a=1"),
            ],
            [(b"set-cookie", b"a=1"), SET_COOKIE_RULE],
        ),
        ([(b"cache-control", b'ext="a, s-maxage=1, \\" b", =, "')], None),
    ],
)
def test_an_answer_that_carries_a_cookie_is_nobody_elses(sent: list[Header], ruled: list[Header] | None) -> None:
    found = cache_rules(sent)

    if ruled is not None:
        assert found == ruled
    assert cache_rules(found) == found
    assert not may_be_shared(found)


DATE = (b"date", b"Tue, 15 Nov 1994 08:12:31 GMT")
LATER = (b"expires", b"Tue, 15 Nov 1994 09:12:31 GMT")


@pytest.mark.parametrize(
    ("headers", "shared"),
    [
        ([], False),
        ([(b"cache-control", b"max-age=60")], True),
        ([(b"cache-control", b'MAX-AGE="60"')], True),
        ([(b"cache-control", b"public")], True),
        ([(b"cache-control", b"max-age=0, s-maxage=60")], True),
        ([(b"cache-control", b"max-age=60, s-maxage=0")], False),
        ([(b"cache-control", b"max-age=0, must-revalidate")], False),
        ([(b"cache-control", b"max-age=junk")], False),
        ([(b"cache-control", b"no-cache")], False),
        ([(b"cache-control", b"no-cache"), (b"last-modified", b"x")], False),
        ([(b"cache-control", b"private, max-age=60")], False),
        ([(b"cache-control", b"public"), (b"cache-control", b"no-store")], False),
        ([(b"cache-control", b"public"), (b"vary", b"*")], False),
        ([(b"last-modified", b"Tue, 15 Nov 1994 08:12:31 GMT")], True),
        ([LATER, DATE], True),
        ([LATER], True),
        ([(b"expires", b"Tue, 15 Nov 1994 08:12:31 GMT"), DATE], False),
        ([(b"expires", b"0"), (b"last-modified", b"x")], False),
        ([(b"expires", b"-1")], False),
        ([(b"expires", b"\xff\x00")], False),
        ([LATER, (b"date", b"yesterday")], False),
        ([(b"surrogate-control", b"max-age=60")], True),
        ([(b"cdn-cache-control", b"max-age=60"), (b"cache-control", b"no-store")], True),
        ([(b"cdn-cache-control", b"no-store")], False),
        ([(b"x-accel-expires", b"0")], False),
    ],
)
def test_renewal_knows_what_a_shared_cache_may_keep(headers: list[Header], shared: bool) -> None:
    assert may_be_shared(headers) is shared


@given(
    st.lists(st.tuples(st.sampled_from([b"cache-control", b"expires", b"date"]), st.binary(max_size=30)), max_size=4)
)
def test_no_answer_of_the_origin_makes_the_cache_rules_fail(headers: list[Header]) -> None:
    found = cache_rules(headers)

    assert not may_be_shared(found)
    assert cache_rules(found) == found
