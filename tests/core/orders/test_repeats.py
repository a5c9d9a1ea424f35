"""What happens to an order that was tried before: every row of the table, and what turns one into another."""

from dataclasses import replace
from itertools import product

import pytest

from waitroom.core.orders.attempt import Attempt, Outcome
from waitroom.core.orders.repeats import Repeat, on_repeat

REPEAT_MS = 60_000
LAST = Attempt(
    id="1", visitor="v", route="POST /order", begun_ms=0, deadline_ms=90_000, worker="w", idempotency_key="1",
    sameness="s", decided_ms=1_000, decided_by="gateway",
)  # fmt: skip
WAIT, ANSWER, ASK, SEND = Repeat.WAIT, Repeat.ANSWER, Repeat.ASK, Repeat.SEND
SOON_MS, LATER_MS = 1_000 + REPEAT_MS, 1_001 + REPEAT_MS


def done(
    outcome: Outcome, now_ms: int = SOON_MS, *, document: bool = False, key: bool = False, word: bool = False,
    waited: bool = False,
) -> Repeat:  # fmt: skip
    return on_repeat(
        replace(LAST, outcome=outcome),
        now_ms=now_ms,
        repeat_ms=REPEAT_MS,
        is_document=document,
        has_key=key,
        has_word=word,
        has_waited=waited,
    )


@pytest.mark.parametrize(
    ("outcome", "now_ms", "document", "key", "expected"),
    [
        (Outcome.CONFIRMED, SOON_MS, True, False, ANSWER),
        (Outcome.CONFIRMED, SOON_MS, False, False, ANSWER),
        (Outcome.CONFIRMED, LATER_MS, True, False, ASK),
        (Outcome.CONFIRMED, LATER_MS, False, False, SEND),
        (Outcome.CONFIRMED, LATER_MS, False, True, ANSWER),
        (Outcome.UNKNOWN, SOON_MS, True, False, ASK),
        (Outcome.UNKNOWN, LATER_MS, False, False, ASK),
        (Outcome.UNKNOWN, SOON_MS, False, True, SEND),
        (Outcome.ANSWERED, SOON_MS, True, False, SEND),
        (Outcome.REFUSED, SOON_MS, True, False, SEND),
        (Outcome.FAILED, SOON_MS, True, False, SEND),
    ],
)
def test_rows_of_the_table(outcome: Outcome, now_ms: int, document: bool, key: bool, expected: Repeat) -> None:
    assert done(outcome, now_ms, document=document, key=key) is expected


def test_whatever_is_under_way_is_waited_for() -> None:
    for document, key, word, waited in product((False, True), repeat=4):
        assert done(Outcome.UNDER_WAY, document=document, key=key, word=word, waited=waited) is WAIT


def test_the_visitors_word_sends_whatever_is_not_under_way() -> None:
    for outcome in set(Outcome) - {Outcome.UNDER_WAY}:
        for now_ms, document, key in product((SOON_MS, LATER_MS), (False, True), (False, True)):
            assert done(outcome, now_ms, document=document, key=key, word=True) is SEND


def test_a_repeat_that_waited_is_sent_only_if_the_first_certainly_was_not() -> None:
    for outcome in set(Outcome) - {Outcome.UNDER_WAY}:
        expected = SEND if outcome is Outcome.FAILED else ANSWER
        for now_ms, document, key in product((SOON_MS, LATER_MS), (False, True), (False, True)):
            assert done(outcome, now_ms, document=document, key=key, waited=True) is expected
