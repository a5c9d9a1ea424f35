"""The record of a draw: read back as it was written, and no part of it can be changed unseen."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitroom.core.sale.draw import commitment_of
from waitroom.core.sale.draw_record import Record, contradictions, read_record

SEED = b"\1" * 32
ANNOUNCED = {"room": "shop", "generation": "g1", "source": "a lottery", "opened_at": "2026-01-01T12:00:00.000Z"}
DRAWN = Record(
    room=ANNOUNCED["room"],
    generation=ANNOUNCED["generation"],
    opened_at=ANNOUNCED["opened_at"],
    source=ANNOUNCED["source"],
    commitment=commitment_of(SEED, **ANNOUNCED),
    drawn_at="2026-01-01T12:14:00.000Z",
    numbers=500,
    left_out=((100, 200), (300, 310)),
    people=390,
    note="7 12 31",
    seed=SEED.hex(),
)
CHANGED: dict[str, Any] = {
    "room": "shop2",
    "generation": "g2",
    "source": "another lottery",
    "opened_at": "2026-01-01T12:00:00.001Z",
    "commitment": "0" * 64,
    "drawn_at": "2026-01-01T12:14:00.001Z",
    "numbers": 501,
    "left_out": [[101, 200], [300, 310]],
    "people": 391,
    "note": "7 12 32",
    "seed": "02" * 32,
    "checksum": "0" * 64,
}


def faults(members: dict[str, Any]) -> list[str]:
    return list(contradictions(*read_record(json.dumps(members))))


def test_a_record_is_read_as_it_was_written() -> None:
    record, checksum = read_record(DRAWN.to_json())

    assert (record, checksum) == (DRAWN, DRAWN.checksum)
    assert list(contradictions(record, checksum)) == []


def test_before_the_draw_there_is_nothing_but_the_announcement() -> None:
    announced = replace(DRAWN, drawn_at=None, numbers=None, left_out=None, people=None, note=None, seed=None)
    members = json.loads(announced.to_json())

    assert {name for name, value in members.items() if value is not None} == {"version", "commitment", *ANNOUNCED}
    assert not announced.is_drawn
    with pytest.raises(ValueError, match="has not been made"):
        announced.places()


def test_every_part_has_its_row_here() -> None:
    assert {"version", *CHANGED} == set(json.loads(DRAWN.to_json()))


@pytest.mark.parametrize("member", CHANGED)
def test_a_part_that_was_changed_is_found(member: str) -> None:
    assert faults(json.loads(DRAWN.to_json()) | {member: CHANGED[member]})


def test_a_record_made_anew_for_another_seed_does_not_give_the_commitment() -> None:
    """Whoever changes the checksum along with the seed."""
    members = json.loads(DRAWN.to_json()) | {"seed": "02" * 32}
    forged, _ = read_record(json.dumps(members))

    assert len(faults(members | {"checksum": forged.checksum})) == 1


def test_a_note_without_a_source_is_found() -> None:
    announced = ANNOUNCED | {"source": ""}
    commitment = commitment_of(SEED, **announced)
    members = json.loads(DRAWN.to_json()) | announced | {"commitment": commitment}
    forged, _ = read_record(json.dumps(members))

    assert faults(members | {"checksum": forged.checksum}) == [
        "There is a note, but no source was named for it.",
    ]


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("version", "waitroom-draw-2"),
        ("room", None),
        ("room", "x" * 2001),
        ("commitment", "0" * 63),
        ("commitment", "A" * 64),
        ("seed", 1),
        ("people", -1),
        ("people", True),
        ("people", 1.0),
        ("numbers", (1 << 32) - 1),
        ("left_out", [[1]]),
        ("left_out", [[5, 5]]),
        ("left_out", {"1": 2}),
        ("left_out", [[0, 1]] * 1001),
        ("note", 7),
    ],
)
def test_what_is_no_record_is_refused_with_a_sentence(member: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"^This is no "):
        read_record(json.dumps(json.loads(DRAWN.to_json()) | {member: value}))


def test_a_member_more_or_less_is_refused() -> None:
    members = json.loads(DRAWN.to_json())

    for other in (members | {"extra": 1}, {name: members[name] for name in members if name != "note"}):
        with pytest.raises(ValueError, match="members"):
            read_record(json.dumps(other))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(CHANGED)), inner, max_size=3),
)


@given(
    st.text()
    | JSON.map(json.dumps)
    | st.dictionaries(st.sampled_from(sorted(CHANGED)), JSON, max_size=3).map(
        lambda some: json.dumps(json.loads(DRAWN.to_json()) | some)
    )
)
def test_whatever_is_given_is_read_or_refused(text: str) -> None:
    try:
        record, checksum = read_record(text)
    except ValueError:
        return
    list(contradictions(record, checksum))


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, '{"version": NaN}', "x" * (1 << 21)])
def test_what_would_choke_a_reader_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^This is no "):
        read_record(text)
