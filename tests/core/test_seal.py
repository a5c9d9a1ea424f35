"""The signature by which the shop knows the gateway: its vectors, and what no signature covers twice."""

import re
from pathlib import Path

import pytest

from waitroom.core.seal import MAX_AGE_S, is_signed, sign

VECTORS = Path(__file__).parents[2] / "deploy" / "signature.md"
SECRET = b"0123456789abcdef0123456789abcdef"
NOW_S = 1_700_000_000
REQUEST = {
    "method": b"GET",
    "host": b"shop.example",
    "target": b"/a?b=1",
    "place": b"41",
    "admitted_at": b"1699999999123",
}


def vectors() -> list[list[str]]:
    rows = [line.strip("|").split("|") for line in VECTORS.read_text().splitlines() if re.match(r"\| \d{10} ", line)]
    return [[cell.strip().strip("`") for cell in row] for row in rows]


@pytest.mark.parametrize("row", vectors())
def test_the_vectors_written_down_are_what_we_sign(row: list[str]) -> None:
    seconds, *parts, signature = row
    method, host, target, place, admitted_at = (part.encode() for part in parts)

    made = sign(SECRET, int(seconds), method=method, host=host, target=target, place=place, admitted_at=admitted_at)

    assert made.decode() == f"v1 {seconds} {signature}"


def test_there_are_vectors() -> None:
    assert len(vectors()) >= 4


@pytest.mark.parametrize("what", REQUEST)
def test_a_signature_is_good_for_one_request_only(what: str) -> None:
    value = sign(SECRET, NOW_S, **REQUEST)

    assert is_signed(value, [SECRET], NOW_S, **REQUEST)
    assert not is_signed(value, [SECRET], NOW_S, **{**REQUEST, what: REQUEST[what] + b"1"})
    assert not is_signed(value, [SECRET], NOW_S, **{**REQUEST, what: b""})


def test_lines_cannot_be_moved_from_one_field_to_the_next() -> None:
    value = sign(SECRET, NOW_S, **{**REQUEST, "place": b"4", "admitted_at": b"11"})

    assert not is_signed(value, [SECRET], NOW_S, **{**REQUEST, "place": b"41", "admitted_at": b"1"})


@pytest.mark.parametrize(
    ("age_s", "good"), [(0, True), (MAX_AGE_S, True), (-MAX_AGE_S, True), (61, False), (-61, False)]
)
def test_a_signature_is_good_for_a_minute(age_s: int, good: bool) -> None:
    value = sign(SECRET, NOW_S, **REQUEST)

    assert is_signed(value, [SECRET], NOW_S + age_s, **REQUEST) is good


def test_any_of_several_secrets_will_do_and_no_other() -> None:
    value = sign(SECRET, NOW_S, **REQUEST)

    assert is_signed(value, [b"n" * 32, SECRET], NOW_S, **REQUEST)
    assert not is_signed(value, [b"n" * 32], NOW_S, **REQUEST)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"v1",
        b"v2 1700000000 " + b"A" * 43,
        b"v1 01700000000 " + b"A" * 43,
        b"v1 1700000000 " + b"A" * 42,
        b"v1 1700000000 " + b"A" * 44,
        b"v1 1700000000 " + b"A" * 42 + b"\n",
        b"v1 \xd9\xa1700000000 " + b"A" * 43,
        b"v1 " + b"9" * 400 + b" " + b"A" * 43,
    ],
)
def test_what_is_no_signature_is_refused(value: bytes) -> None:
    assert not is_signed(value, [SECRET], NOW_S, **REQUEST)
