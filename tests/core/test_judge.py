"""The table in the docstring is the table in force."""

import re
from itertools import product

import pytest

from waitroom.core import judge as module
from waitroom.core.judge import (
    TABLE,
    Claim,
    Decision,
    Empty,
    Enter,
    Holds,
    Page,
    Problem,
    Proceed,
    Retry,
    SmallPage,
    judge,
)
from waitroom.core.requests import Kind
from waitroom.core.sale.schedule import PHASES, Phase

DRAWN: dict[str, Decision] = {
    "proceed": Proceed(),
    "enter": Enter(may_take_number=True),
    "on the spot": Enter(may_take_number=False),
    "claim": Claim(),
    "by header": Problem(),
    "page": Page(),
    "small page": SmallPage(),
    "empty": Empty(),
    "problem": Problem(),
    "retry": Retry(),
}


def cells(text: str) -> list[tuple[Kind, Holds, str]]:
    rows = [re.split(r" {2,}", line.strip()) for line in text.splitlines() if line.startswith("    ")]
    heads = next(row for row in rows if row[0] == "pass")
    kinds = {kind.value for kind in Kind}
    return [
        (Kind(row[0]), Holds(head), cell)
        for row in rows
        if row[0] in kinds
        for head, cell in zip(heads, row[1:], strict=True)
    ]


DRAWN_CELLS = cells(module.__doc__ or "")


def phase_rows(text: str) -> dict[str, tuple[str, str, str]]:
    rows = [re.split(r" {2,}", line.strip()) for line in text.splitlines() if line.startswith("    ")]
    return {row[0]: (row[1], row[2], row[3]) for row in rows if row[0] in PHASES}


PHASE_ROWS = phase_rows(module.__doc__ or "")


def test_the_table_of_phases_is_complete() -> None:
    assert tuple(PHASE_ROWS) == PHASES


@pytest.mark.parametrize("phase", PHASES)
def test_every_phase_is_decided_as_drawn(phase: Phase) -> None:
    document, other, called = PHASE_ROWS[phase]

    assert judge(Kind.DOCUMENT, Holds.NOTHING, ticket_in_header=False, phase=phase) == DRAWN[document]
    for kind in (Kind.FETCH, Kind.UNSAFE):
        assert judge(kind, Holds.NOTHING, ticket_in_header=False, phase=phase) == DRAWN[other]
    like = {"waits": Holds.WAITING, "claim": Holds.CALLED}[called]
    for kind, by_header in product(Kind, (False, True)):
        decision = judge(kind, Holds.CALLED, ticket_in_header=by_header, phase=phase)
        assert decision == judge(kind, like, ticket_in_header=by_header)


@pytest.mark.parametrize("phase", PHASES)
def test_in_every_phase_whatever_is_not_named_is_as_ever(phase: Phase) -> None:
    """P9: above all a pass."""
    rest = [holds for holds in Holds if holds not in (Holds.NOTHING, Holds.CALLED)]
    cells: list[tuple[Kind, Holds]] = [(kind, holds) for kind, holds in product(Kind, rest)]
    cells += [(kind, Holds.NOTHING) for kind in Kind if kind not in (Kind.DOCUMENT, Kind.FETCH, Kind.UNSAFE)]

    for kind, holds in cells:
        assert judge(kind, holds, ticket_in_header=False, phase=phase) == TABLE[kind, holds]


def test_the_drawn_table_is_complete() -> None:
    assert len(DRAWN_CELLS) == len(Kind) * len(Holds)
    assert {(kind, holds) for kind, holds, _ in DRAWN_CELLS} == set(TABLE)


@pytest.mark.parametrize(("kind", "holds", "cell"), DRAWN_CELLS)
def test_every_cell_is_decided_as_drawn(kind: Kind, holds: Holds, cell: str) -> None:
    assert judge(kind, holds, ticket_in_header=False) == DRAWN[cell]


@pytest.mark.parametrize(("kind", "holds", "cell"), DRAWN_CELLS)
def test_a_ticket_in_the_header_changes_only_the_cell_that_says_so(kind: Kind, holds: Holds, cell: str) -> None:
    expected = Claim() if cell == "by header" else DRAWN[cell]

    assert judge(kind, holds, ticket_in_header=True) == expected


def test_each_word_of_the_table_is_explained_below_it() -> None:
    text = module.__doc__ or ""

    for word in DRAWN:
        assert re.search(rf"^    {word} {{2,}}\S", text, re.MULTILINE), word


def test_without_a_pass_only_preflights_proceed() -> None:
    """P6: the shop is shielded; a preflight is the named exception."""
    proceeding = {kind for (kind, holds), decision in TABLE.items() if decision == Proceed() and holds != Holds.PASS}

    assert proceeding == {Kind.PREFLIGHT}


def test_only_a_document_with_nothing_may_take_a_number() -> None:
    """P10: nothing is consumed by accident."""
    takers = {key for key, decision in TABLE.items() if decision == Enter(may_take_number=True)}

    assert takers == {(Kind.DOCUMENT, Holds.NOTHING)}


def test_a_pass_opens_everything() -> None:
    assert all(judge(kind, Holds.PASS, ticket_in_header=False) == Proceed() for kind in Kind)


def test_a_token_that_cannot_be_read_is_never_replaced() -> None:
    """P7: a ticket signed by a newer worker is kept until it can be read; nothing sets a cookie over it."""
    setting = (Enter, Claim, Page)

    assert not any(isinstance(judge(kind, Holds.UNREADABLE, ticket_in_header=True), setting) for kind in Kind)
