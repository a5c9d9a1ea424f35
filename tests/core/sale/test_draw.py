"""The draw: its written form, and that it is fair. Every seed is fixed, so that each test fails always or never; its
bound is what a fair draw would miss once in a million.
"""

import hashlib
import math
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitroom.core.sale.draw import Lobby, Places, commitment_of, key_of, make_seed, packed, permute

PAGE = (Path(__file__).parents[3] / "deploy" / "draw.md").read_text()
ONE_IN_A_MILLION = 4.753
"""Standard deviations that a normal figure exceeds once in a million times."""


def keys(count: int) -> list[bytes]:
    return [hashlib.sha256(b"%d" % at).digest() for at in range(count)]


def chi_square(counts: Counter[int], cells: int) -> float:
    expected = sum(counts.values()) / cells
    return sum((counts[cell] - expected) ** 2 for cell in range(cells)) / expected


def bound(cells: int) -> float:
    """What chi-square over so many cells exceeds once in a million times (Wilson and Hilferty)."""
    free = cells - 1
    return free * (1 - 2 / (9 * free) + ONE_IN_A_MILLION * math.sqrt(2 / (9 * free))) ** 3


# The written form.


@pytest.mark.parametrize(
    ("people", "note", "number", "place"), re.findall(r"^\| (\d+) \| `?(.*?)`? \| (\d+) \| (\d+) \|$", PAGE, re.M)
)
def test_the_examples_written_down_are_what_is_drawn(people: str, note: str, number: str, place: str) -> None:
    key = key_of(b"\1" * 32, int(people), note)

    assert permute(key, int(people), int(number)) == int(place)


def test_the_commitment_written_down_is_what_is_made() -> None:
    written = re.findall(r"^`([0-9a-f]{64})`\.$", PAGE, re.M)
    about = {"room": "shop", "generation": "0123456789abcdef", "source": "a lottery"}

    assert written == [commitment_of(b"\1" * 32, **about, opened_at="2026-01-01T12:00:00.000Z")]


@given(st.lists(st.text(max_size=3), max_size=4), st.lists(st.text(max_size=3), max_size=4))
def test_no_two_lists_of_parts_pack_alike(one: list[str], other: list[str]) -> None:
    assert (packed(*one) == packed(*other)) == (one == other)


@pytest.mark.parametrize("part", ["room", "generation", "nonce"])
def test_a_seed_is_of_one_room_and_one_lobby(part: str) -> None:
    about = {"room": "shop", "generation": "g", "nonce": "n"}

    assert make_seed("k" * 32, **about) != make_seed("k" * 32, **{**about, part: "another"})
    assert make_seed("k" * 32, **about) != make_seed("j" * 32, **about)


@pytest.mark.parametrize("part", ["room", "generation", "source", "opened_at"])
def test_a_commitment_is_to_all_that_was_announced(part: str) -> None:
    about = {"room": "shop", "generation": "g", "source": "", "opened_at": "noon"}

    assert commitment_of(b"\1" * 32, **about) != commitment_of(b"\1" * 32, **{**about, part: "another"})


# Fair.


@pytest.mark.parametrize("people", [*range(1, 21), 255, 256, 257, 1000])
def test_everybody_has_one_place_and_every_place_one_person(people: int) -> None:
    """P3, P4: no two numbers of a lobby share a place, and no place is left out."""
    for key in keys(3):
        assert sorted(permute(key, people, index) for index in range(people)) == list(range(people))


@pytest.mark.parametrize("number", [0, -1], ids=["first", "last"])
@pytest.mark.parametrize("people", [2, 3, 5, 20, 300])
def test_who_came_first_or_last_may_get_any_place(people: int, number: int) -> None:
    places = Counter(permute(key, people, number % people) for key in keys(5000))

    assert chi_square(places, people) < bound(people)


def pair_unevenness(people: int, rounds: int = 0) -> float:
    """Chi-square over the places of the numbers 0 and 2, against its bound. On a grid of two columns they stand in one:
    of all pairs the one that few rounds part worst.
    """
    pairs = Counter(
        permute(key, people, 0, rounds=rounds) * people + permute(key, people, 2, rounds=rounds) for key in keys(9000)
    )
    possible = [first * people + second for first in range(people) for second in range(people) if first != second]
    counts = Counter({cell: pairs[pair] for cell, pair in enumerate(possible)})
    return chi_square(counts, len(possible)) / bound(len(possible))


@pytest.mark.parametrize("people", [3, 5])
def test_two_people_may_get_any_two_places(people: int) -> None:
    assert pair_unevenness(people) < 1


@pytest.mark.parametrize("rounds", [4, 8])
def test_too_few_rounds_are_found_out(rounds: int) -> None:
    """What the tests above are able to see."""
    assert pair_unevenness(5, rounds=rounds) > 1


def test_neighbours_in_line_are_no_neighbours_in_the_draw() -> None:
    people = 300
    apart = Counter(
        (permute(key, people, at + 1) - permute(key, people, at)) % people - 1
        for key in keys(40)
        for at in range(0, people, 2)
    )

    assert chi_square(apart, people - 1) < bound(people - 1)


def test_the_order_of_arrival_has_no_influence() -> None:
    """The rank correlation of number and place, over 60 draws of 300 people: its variance is 1 / (people − 1) each."""
    people, draws = 300, keys(60)
    middle = (people - 1) / 2
    spread = people * (people**2 - 1) / 12
    correlations = [
        sum((at - middle) * (permute(key, people, at) - middle) for at in range(people)) / spread for key in draws
    ]

    assert abs(sum(correlations)) < ONE_IN_A_MILLION * math.sqrt(len(draws) / (people - 1))


def test_who_reads_the_key_picks_a_place_unless_a_note_comes_after_the_draw() -> None:
    """Somebody with the signing key adds people to a lobby of 100,000 until the last number has a place they like."""

    def place_of_last(people: int, note: str) -> int:
        return permute(key_of(b"\1" * 32, people, note), people, people - 1)

    tried = range(100_000, 110_000)
    picked = min(tried, key=lambda people: place_of_last(people, ""))

    print(f"picked place {place_of_last(picked, '')}; with a note {place_of_last(picked, '17 and 4')}")
    assert place_of_last(picked, "") < 50
    assert place_of_last(picked, "17 and 4") > 1000


def test_another_note_is_another_order() -> None:
    before, after = (key_of(b"\1" * 32, 300, note) for note in ("", "7 12 31"))
    moved = sum(permute(before, 300, at) != permute(after, 300, at) for at in range(300))

    assert moved > 280


# Who takes part.


@pytest.mark.parametrize(
    "lobby",
    [
        Lobby(100),
        Lobby(400, ((100, 200),)),
        Lobby(400, ((0, 50), (60, 61), (300, 400))),
    ],
)
def test_every_number_of_the_lobby_has_a_place_of_its_own(lobby: Lobby) -> None:
    """P4, P7: also the numbers that a lost Redis left out, should somebody have one after all: behind everybody."""
    places = Places(lobby, seed=b"\1" * 32, note="")
    drawn = {number: places.of(number) for number in range(lobby.numbers + 50)}
    left_out = [number for start, end in lobby.left_out for number in range(start, end)]
    people = [number for number in range(lobby.numbers) if number not in left_out]

    assert sorted(drawn.values()) == list(range(lobby.numbers + 50))
    assert sorted(drawn[number] for number in people) == list(range(lobby.people))
    assert [drawn[number] for number in left_out] == list(range(lobby.people, lobby.numbers))
    assert all(drawn[number] == number for number in drawn if number >= lobby.numbers)
    assert {number: places.of(number) for number in drawn} == drawn, "remembered is as computed"


def test_an_empty_lobby_draws_nobody() -> None:
    places = Places(Lobby(0), seed=b"\1" * 32, note="")

    assert [places.of(number) for number in range(10)] == list(range(10))
