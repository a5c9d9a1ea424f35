"""The tables of outcomes in the docstring are the tables in force."""

import re

import pytest

from waitroom.core.orders import attempt as module
from waitroom.core.orders.attempt import (
    Attempt,
    Outcome,
    may_learn,
    outcome_of,
    outcome_without_answer,
    reference_of,
)

ROWS = [re.split(r" {2,}", line.strip()) for line in (module.__doc__ or "").splitlines() if line.startswith("    ")]
ANSWERS = {row[0]: Outcome(row[1]) for row in ROWS if len(row) == 3 and row[1] in set(Outcome)}
LEARNED = {Outcome(row[0]): row[1:] for row in ROWS if row[0] in set(Outcome)}
EXCEPTED = {int(status) for row in ANSWERS for status in row.split() if status.isdigit()}
DIFFERENT_BY_STATUS = [row for row in ANSWERS if row[0].isdigit()]


def drawn(status: int, *, sure: bool) -> Outcome:
    if status in EXCEPTED:
        return next(outcome for row, outcome in ANSWERS.items() if str(status) in row.split())
    family = f"{status // 100}xx"
    return ANSWERS[f"{family}, sure"] if sure and f"{family}, sure" in ANSWERS else ANSWERS[family]


def test_the_drawn_table_names_every_outcome() -> None:
    assert set(ANSWERS.values()) == set(Outcome)
    assert {408, 409, 425, 429} == EXCEPTED
    assert len(DIFFERENT_BY_STATUS) == 7


@pytest.mark.parametrize("sure", [False, True])
def test_every_status_is_judged_as_drawn(sure: bool) -> None:
    assert [outcome_of(status, sure=sure) for status in range(200, 600)] == [
        drawn(status, sure=sure) for status in range(200, 600)
    ]


def test_without_an_answer_it_matters_whether_anything_was_sent() -> None:
    assert outcome_without_answer(sent=True) is ANSWERS["cut"]
    assert outcome_without_answer(sent=False) is ANSWERS["not sent"]


@pytest.mark.parametrize("outcome", Outcome)
def test_what_may_be_learned_later_is_as_drawn(outcome: Outcome) -> None:
    gateway, shop = LEARNED[outcome]

    assert may_learn(outcome, "gateway") is (gateway == "yes")
    assert may_learn(outcome, "shop") is (shop == "yes")


def attempt(outcome: Outcome) -> Attempt:
    return Attempt(
        id="a1",
        visitor="v",
        route="POST /buy",
        begun_ms=1_000,
        deadline_ms=61_000,
        worker="w",
        idempotency_key="k",
        sameness="s",
        outcome=outcome,
    )


@pytest.mark.parametrize("outcome", Outcome)
def test_only_an_attempt_under_way_becomes_unknown_at_its_deadline(outcome: Outcome) -> None:
    before, after = attempt(outcome).seen_at(60_999), attempt(outcome).seen_at(61_000)

    assert before == attempt(outcome)
    assert after.outcome is (Outcome.UNKNOWN if outcome is Outcome.UNDER_WAY else outcome)


def test_a_reference_is_shown_on_one_line_and_bounded() -> None:
    assert reference_of(" AB-12\x00\n3\u202e ") == "AB-12 3"
    assert reference_of(" \t\x7f ") is None
    assert len(reference_of("x" * 10_000) or "") == module.LONGEST_REFERENCE
