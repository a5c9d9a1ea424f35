"""Two renderings of one form are the same; two orders are not."""

import json
import tracemalloc
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitroom.core.orders.bodies import KNOWN_IGNORED, MOST_FIELDS, Field, Ignored, netstrings, pointed, read_body
from waitroom.core.orders.routes import ignored_names

IGNORED = Ignored(ignored_names(["known"]))
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
names = st.text(st.characters(codec="utf-8", exclude_characters='"\\\r\n'), min_size=1, max_size=8)
pairs = st.lists(st.tuples(names, st.text(st.characters(codec="utf-8"), max_size=12)), max_size=6)


def canonical(body: bytes, content_type: str) -> bytes:
    return read_body(body, content_type, IGNORED).canonical


def multipart(fields: list[tuple[str, str]], boundary: str = "xyz") -> tuple[bytes, str]:
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields
    ]
    return "".join([*parts, f"--{boundary}--\r\n"]).encode(), f"multipart/form-data; boundary={boundary}"


ALL_KNOWN = [name for names in KNOWN_IGNORED.values() for name in names]


@pytest.mark.parametrize("name", ALL_KNOWN)
def test_a_form_shown_again_with_another_csrf_token_is_the_same(name: str) -> None:
    first, second = ({"basket": "7", name: token} for token in ("aaa", "bbb"))

    assert canonical(urlencode(first).encode(), FORM) == canonical(urlencode(second).encode(), FORM)
    assert canonical(*multipart(list(first.items()))) == canonical(*multipart(list(second.items()), "other-boundary"))
    assert canonical(json.dumps(first).encode(), JSON) == canonical(json.dumps(second, indent=2).encode(), JSON)


@pytest.mark.parametrize("name", ["checkout[_token]", "_Token[fields]", "CSRFMIDDLEWARETOKEN", "a[b][_token]"])
def test_a_csrf_token_is_found_inside_brackets_and_in_any_case(name: str) -> None:
    first, second = (urlencode({"basket": "7", name: token}).encode() for token in "ab")

    assert canonical(first, FORM) == canonical(second, FORM)


@pytest.mark.parametrize("name", ["token", "payment[token]", "_token2", "my_csrf", "[]", "basket[]"])
def test_a_name_that_only_resembles_a_csrf_field_still_counts(name: str) -> None:
    first, second = (urlencode({name: token}).encode() for token in "ab")

    assert canonical(first, FORM) != canonical(second, FORM)


@given(pairs, pairs)
def test_forms_are_the_same_only_if_their_fields_are(one: list[tuple[str, str]], two: list[tuple[str, str]]) -> None:
    """By name, with the order of those that share one; hypothesis looks for two that collide."""

    def kept(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
        left = [(name, value) for name, value in fields if not IGNORED.has(name.encode())]
        return sorted(left, key=lambda field: field[0].encode())

    same = kept(one) == kept(two)

    assert (canonical(urlencode(one).encode(), FORM) == canonical(urlencode(two).encode(), FORM)) is same
    if not any("--xyz" in value for _, value in one + two):
        assert (canonical(*multipart(one)) == canonical(*multipart(two))) is same


@given(pairs)
def test_a_form_is_the_same_with_another_boundary_or_spelling(fields: list[tuple[str, str]]) -> None:
    body = urlencode(fields).encode()

    if not any("--" in value for _, value in fields):
        assert canonical(*multipart(fields, "one")) == canonical(*multipart(fields, "t'wo+2"))
    assert canonical(body, FORM) == canonical(body.replace(b"+", b"%20"), FORM + "; charset=utf-8")


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


@given(documents, documents)
def test_json_is_the_same_only_if_its_value_is(one: object, two: object) -> None:
    assert canonical(json.dumps(one, indent=1).encode(), JSON) == canonical(json.dumps(one).encode(), JSON)
    assert (canonical(json.dumps(one).encode(), JSON) == canonical(json.dumps(two).encode(), JSON)) is (
        json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    )


@given(st.binary(max_size=300), st.sampled_from([FORM, JSON, "multipart/form-data; boundary=b", "", "text/plain"]))
def test_any_bytes_are_read_as_something(body: bytes, content_type: str) -> None:
    read = read_body(body, content_type, IGNORED)

    assert read.canonical


@given(st.text(max_size=80), st.binary(max_size=80))
def test_any_content_type_is_read_as_something(content_type: str, body: bytes) -> None:
    assert read_body(body, content_type, IGNORED).canonical
    assert read_body(body, "multipart/form-data; boundary=" + content_type, IGNORED).canonical


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"[" * 200_000, JSON),
        (b"[" * 200_000 + b"]" * 200_000, JSON),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, JSON),
        (b"9" * 1_000_000, JSON),
        (b"\xff\xfe\x00", JSON),
        (b"a=1&" * 250_000, FORM),
        (b"%" * 1_000_000, FORM),
        (b"\r\n--b" * 150_000, "multipart/form-data; boundary=b"),
        (
            b'--b\r\nContent-Disposition: form-data; name="' + b"\\" * 900_000 + b"\r\n--b--",
            "multipart/form-data; boundary=b",
        ),
        (b"--b\r\n" + b"Content-Disposition:" * 50_000 + b"\r\n\r\n\r\n--b--", "multipart/form-data; boundary=b"),
        (
            b"--b\r\n" + b"content-disposition: form-data" + b"; name=" * 120_000 + b"\r\n\r\n1\r\n--b--",
            "multipart/form-data; boundary=b",
        ),
    ],
    ids=["open", "deep", "deep objects", "number", "utf-16", "fields", "percent", "parts", "quoted", "heads", "names"],
)
def test_a_hostile_body_counts_by_its_bytes_or_as_what_it_is(body: bytes, content_type: str) -> None:
    """A megabyte made to hurt a parser: answered, and another one is another order."""
    assert canonical(body, content_type) != canonical(body[:-7] + b"x" + body[-7:], content_type)


@pytest.mark.parametrize("letter", [b"a", b"\\a"])
def test_a_name_as_long_as_the_body_costs_no_more_memory_than_that(letter: bytes) -> None:
    """A way back was kept for each of its letters: 170 MB for a body of 1 MiB."""
    name = letter * 200_000
    body = b'--b\r\ncontent-disposition: form-data; name="%b"\r\n\r\nv\r\n--b--' % name
    tracemalloc.start()
    try:
        read = read_body(body, "multipart/form-data; boundary=b", Ignored(()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert read.fields == [Field(name, b"v")]
    assert peak < 20 * len(body)


def test_more_fields_than_anybody_sends_count_by_the_bytes() -> None:
    body = b"&".join([b"_token=%d" % n for n in range(MOST_FIELDS + 1)])

    assert canonical(body, FORM) == netstrings((b"bytes", body))


def test_fetch_says_text_of_its_json() -> None:
    assert canonical(b' {"a": 1}', "text/plain;charset=UTF-8") == canonical(b'{"a":1}', JSON)


def test_a_file_counts_with_its_name_and_content() -> None:
    body, kind = multipart([("a", "1")])
    named = body.replace(b'name="a"', b'name="a"; filename="x.pdf"')

    assert canonical(named, kind) != canonical(body, kind)
    assert canonical(named, kind) == canonical(
        named.replace(b"form-data;", b"FORM-DATA ;").replace(b"xyz", b"q"), kind.replace("xyz", "q")
    )


def test_a_pointer_leads_through_lists_and_objects_and_nowhere_else() -> None:
    document = {"a": [{"b": 0}], "0": "x"}

    assert pointed(document, ["a", "0", "b"]) == 0
    assert pointed(document, ["0"]) == "x"
    assert [pointed(document, path) for path in (["a", "1"], ["a", "-1"], ["a", "²"], ["0", "0"], ["z", "z"])] == [
        None
    ] * 5
