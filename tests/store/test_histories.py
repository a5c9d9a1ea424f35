"""Random histories keep P1 to P4, and the checker refuses those that do not."""

from dataclasses import replace
from typing import Any

import pytest
import uvloop

from tests.store.histories.claims import faults
from tests.store.histories.events import (
    Admitted,
    Called,
    Drawn,
    Event,
    Forgotten,
    Gathered,
    Issued,
    Limited,
    Lost,
    Mishap,
    Place,
    PlaceTold,
    Redeemed,
    Restarted,
    Seated,
    Stands,
)
from tests.store.histories.play import random_history
from tests.store.histories.story import tell
from waitroom.core.meter import Limits

COUNT = 30
SALES, MOST_SALES = 8, 12
OF_OTHERS = 5
TEN = Limits(10, 10)
ROOM_OF_TWO = Limits(10, 10, max_active=2)


def at(number: int) -> Place:
    return Place("g", number)


def let_in(number: int, at_s: float, begins_s: float | None = None, *, stays_s: float = 60, **what: Any) -> Admitted:
    begins_s = at_s if begins_s is None else begins_s
    return Admitted(at_s, at(number), f"visitor {number}", begins_s, begins_s + stays_s, **what)


def everybody_called(at_s: float = 0.0) -> Called:
    return Called(at_s, "g", 1000)


def told(number: int, place: int) -> PlaceTold:
    """In a draw of nine."""
    return PlaceTold(1.0, at(number), place, 9)


def drawn(*places: int) -> Drawn:
    """Nobody is let in for two seconds from then on."""
    return Drawn(1.0, "g", 3, places, 3.0)


def redeemed(visitor: str, number: int, generation: str = "g") -> Redeemed:
    """By one link of two uses."""
    return Redeemed(1.0, "batch-1", 2, visitor, Place(generation, number))


SPENT = [let_in(n, 1.0) for n in range(10)]
PASSING: list[Event] = []
for step in range(1, 32):
    PASSING += [Stands(5 + step / 2, at(0)), let_in(step, 5 + step / 2)]

WRONG: dict[str, tuple[str, list[Event]]] = {
    "one more than the burst": ("P1", [Limited(0, TEN), everybody_called(), *SPENT, let_in(10, 1.0)]),
    "one too early": ("P1", [Limited(0, TEN), everybody_called(), *SPENT, let_in(10, 1.0, 1.099)]),
    "credit banked over a quiet minute": (
        "P1",
        [Limited(0, TEN), everybody_called(), *SPENT, *(let_in(n, 61.0) for n in range(10, 21))],
    ),
    "at the rate of before": (
        "P1",
        [Limited(0, TEN), everybody_called(), *SPENT, Limited(1, Limits(1, 1)), let_in(10, 1.1)],
    ),
    "a burst anew with a new rate": (
        "P1",
        [Limited(0, TEN), everybody_called(), *SPENT, Limited(1, Limits(20, 20)), *(let_in(n, 1.05) for n in (10, 11))],
    ),
    "reservations forgotten with a new rate": (
        "P1",
        [Limited(0, Limits(1, 2)), everybody_called(), *(let_in(n, 1, 1.0 + max(0, n - 1)) for n in range(4)),
         Limited(1.1, Limits(1, 1)), let_in(4, 3.2)],
    ),
    "during a hold": ("P1", [Limited(0, TEN), everybody_called(), Limited(1, replace(TEN, hold=True)), let_in(0, 2.0)]),
    "beyond the horizon": ("P1", [Limited(0, TEN), everybody_called(), let_in(0, 1.0, 3.1)]),
    "a third of two": ("P2", [Limited(0, ROOM_OF_TWO), everybody_called(), *(let_in(n, 1.0 + n) for n in range(3))]),
    "a seat that was renewed": (
        "P2",
        [Limited(0, ROOM_OF_TWO), everybody_called(), let_in(0, 1, stays_s=5), let_in(1, 2, stays_s=5),
         Seated(4, at(0), 30.0), Seated(4, at(1), 30.0), let_in(2, 10)],
    ),
    "a front that went back": ("P3", [Limited(0, TEN), Called(1, "g", 5), Called(2, "g", 4)]),
    "not called yet": ("P3", [Limited(0, TEN), Called(1, "g", 5), let_in(5, 2.0)]),
    "on the spot before those who wait": ("P3", [Limited(0, TEN), Called(1, "g", 5), let_in(7, 2.0, on_the_spot=True)]),
    "on the spot before the door": (
        "P3",
        [Limited(0, TEN), Called(1, "g", 5), Stands(1.9, at(3)), let_in(5, 2.0, on_the_spot=True)],
    ),
    "passed at the door": ("P3", [Limited(0, TEN), Called(1, "g", 1), Called(5, "g", 100), *PASSING]),
    "a number for two": ("P4", [Limited(0, TEN), Issued(1, at(1), "one"), Issued(2, at(1), "other")]),
    "counted twice": ("P4", [Limited(0, TEN), everybody_called(), let_in(0, 1.0), let_in(0, 2.0)]),
    "another pass": ("P4", [Limited(0, TEN), everybody_called(), let_in(0, 1.0), let_in(0, 2.0, counts=False)]),
    "a number for two, the first of them lost": (
        "P4",
        [Limited(0, TEN), Issued(1, at(1), "one"), Lost(1.5, 0.0), Issued(2, at(1), "other")],
    ),
    "a place that is another one now": ("P7", [Limited(0, TEN), told(3, 5), told(4, 6), told(3, 7)]),
    "a place of two tickets": ("P4", [Limited(0, TEN), told(3, 5), told(4, 5)]),
    "a ticket of the lobby behind it": ("P7", [Limited(0, TEN), told(3, 9)]),
    "a draw that gives a place twice": ("P4", [Limited(0, TEN), drawn(0, 2, 2)]),
    "a draw made again": ("P7", [Limited(0, TEN), drawn(0, 1, 2), drawn(0, 2, 1)]),
    "in before everybody knew": ("P3", [Limited(0, TEN), everybody_called(), drawn(0, 1, 2), let_in(0, 2.9)]),
    "in before anybody knew": ("P3", [Limited(0, TEN), everybody_called(), Gathered(1, "g", 3), let_in(0, 2.9)]),
    "after the draw and in it": ("P7", [Limited(0, TEN), Gathered(1, "g", 3), Issued(2, at(2), "one")]),
    "a run that nobody ended": ("P7", [Limited(0, TEN), Issued(1, at(1), "one"), Issued(2, Place("h", 0), "other")]),
    "more by a link than it has uses": ("P4", [Limited(0, TEN), *(redeemed(f"v{n}", n) for n in range(3))]),
    "another number by the same link": ("P4", [Limited(0, TEN), redeemed("v", 1), redeemed("v", 2)]),
    "a link once more for who was admitted": (
        "P4",
        [Limited(0, TEN), everybody_called(), redeemed("v", 1), let_in(1, 1.5), Restarted(2), redeemed("v", 0, "h")],
    ),
    "one line beyond its part": (
        "P1",
        [Limited(0, TEN), Limited(0, Limits(5, 5), "first"), everybody_called(),
         *(let_in(n, 1.0, line="first") for n in range(6))],
    ),
    "two lines beyond the room": (
        "P1",
        [Limited(0, TEN), everybody_called(), *(let_in(n, 1.0, line="first") for n in range(6)),
         *(let_in(n, 1.0, line="invited") for n in range(6, 11))],
    ),
}  # fmt: skip
RIGHT: dict[str, list[Event]] = {
    "the burst and then the rate": [
        Limited(0, TEN), everybody_called(), *SPENT, let_in(10, 1, 1.1), let_in(11, 1, 1.2)
    ],
    "a repeated answer": [Limited(0, TEN), everybody_called(), let_in(0, 1.0), let_in(0, 2.0, 1.0, counts=False)],
    "a seat given back": [
        Limited(0, ROOM_OF_TWO), everybody_called(), let_in(0, 1), let_in(1, 1), Seated(2, at(0), 2), let_in(2, 2.1)
    ],
    "a lowered number of seats": [
        Limited(0, TEN), everybody_called(), *SPENT, Limited(2, ROOM_OF_TWO), Seated(3, at(0), 99.0)
    ],
    "reservations that stand after a new rate": [
        Limited(0, TEN), everybody_called(), *SPENT, let_in(10, 1, 1.1), let_in(11, 1, 1.2),
        Limited(1, Limits(1, 1)), let_in(12, 1.3, 2.2)
    ],
    "two called together, the later first": [
        Limited(0, Limits(10, 1)), Called(1, "g", 50), Stands(1.1, at(0)), let_in(1, 1.1), let_in(0, 1.2)
    ],
    "a front that Redis lost": [Limited(0, TEN), Called(1, "g", 5), Lost(2, 0.5), Called(3, "g", 4)],
    "a draw that nobody remembers": [
        Limited(0, TEN), told(3, 5), drawn(0, 1, 2), Forgotten(2, "g"), told(3, 7), drawn(1, 0, 2)
    ],
    "a run that an operator ended": [
        Limited(0, TEN), Issued(1, at(1), "one"), Restarted(2), Issued(2, Place("h", 0), "other")
    ],
    "a link that presses on": [
        Limited(0, TEN), redeemed("v", 1), redeemed("w", 2), redeemed("v", 1), Restarted(2), redeemed("v", 0, "h")
    ],
    "uses that Redis lost": [
        Limited(0, TEN), redeemed("v", 1), redeemed("w", 2), Lost(2, 0.5), redeemed("x", 9)
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_history_that_breaks_a_promise_is_refused(name: str) -> None:
    promise, history = WRONG[name]

    found = faults(history)

    assert [fault.promise for fault in found[:1]] == [promise], found
    assert found[0].index == len(history) - 1


@pytest.mark.parametrize("name", RIGHT)
def test_a_history_that_keeps_them_is_not(name: str) -> None:
    assert faults(RIGHT[name]) == []


def test_a_counterexample_is_short_and_says_what_is_wrong() -> None:
    history: list[Event] = [Limited(0, TEN), everybody_called(), *SPENT, Mishap(1, "crash of w1"), let_in(10, 1.0)]

    told = tell(history, faults(history)[0]).splitlines()

    assert told[0] == "P1: 1.00 more admissions than burst + rate · t"
    assert any("(crash of w1)" in line for line in told)
    assert told[-1].endswith("here")
    assert len(told) < 20


def test_random_histories_keep_the_promises(one_redis_url: str) -> None:
    """P1, P2, P3, P4; thousands more by `python -m tests.bench.histories`."""

    async def broken() -> list[str]:
        outcomes = [await random_history(one_redis_url, seed) for seed in range(COUNT)]
        return [tell(outcome.history, fault) for outcome in outcomes for fault in outcome.faults()[:1]]

    assert not (found := uvloop.run(broken())), "\n\n".join(found)


def test_random_histories_of_sales_keep_the_promises_and_their_hours(one_redis_url: str) -> None:
    """Nobody gets a number or comes in while the sale is not on; hundreds more with `--kind sale`."""

    async def broken() -> list[str]:
        outcomes = [await random_history(one_redis_url, seed, "sale") for seed in range(SALES)]
        return [tell(outcome.history, fault) for outcome in outcomes for fault in outcome.faults()[:1]]

    assert not (found := uvloop.run(broken())), "\n\n".join(found)


@pytest.mark.parametrize("kind", ["draw", "invited"])
def test_random_histories_of_a_draw_and_of_two_lines_keep_the_promises(one_redis_url: str, kind: str) -> None:
    """P1, P2, P3, P4, P7: places are drawn once and kept; two lines share the rate and the seats of one room."""

    async def broken() -> list[str]:
        outcomes = [await random_history(one_redis_url, seed, kind) for seed in range(OF_OTHERS)]
        return [tell(outcome.history, fault) for outcome in outcomes for fault in outcome.faults()[:1]]

    assert not (found := uvloop.run(broken())), "\n\n".join(found)


@pytest.mark.parametrize(
    "rule",
    [
        ("elseif numbers and string.find", "elseif string.find"),
        ("if r.front >= r.issued and numbers and admits(r) and", "if r.front >= r.issued and"),
        ("elseif place >= r.front or not admits(r) then", "elseif place >= r.front then"),
    ],
    ids=["numbers", "on the spot", "claims"],
)
def test_without_a_rule_of_the_sale_a_history_breaks_its_hours(one_redis_url: str, rule: tuple[str, str]) -> None:
    async def is_found() -> bool:
        for seed in range(MOST_SALES):
            outcome = await random_history(one_redis_url, seed, "sale", without=(rule,))
            if any(fault.promise == "sale" for fault in outcome.faults()):
                return True
        return False

    assert uvloop.run(is_found())
