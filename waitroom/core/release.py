"""Calling: how far the front may move.

A pure function, run a few times a second by whichever worker holds the lease. It keeps the meter fed
without running ahead of it, like a player's buffer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from waitroom.core.meter import HORIZON_US, Limits, Meter, backlog_us, credit_us

SOON_MS = 3_000
COHORTS_MS = 10_000
SHARE_MIN = 0.05
ENOUGH = 5
PRIOR = 2
"""So many people are taken to have come before anybody was counted: one who did not says little."""


class Line(Protocol):
    """What release asks of presence."""

    def walk(self, front: int, people: int, end: int) -> int: ...


class Cohort(NamedTuple):
    """What was counted in one second: of people called 1, 2 and 3 s ago, how many there were and how many had come.

    Only of times when they could have come. To come is to claim, or to stand at the door.
    """

    at_ms: int
    called: tuple[int, int, int]
    came: tuple[int, int, int]


class Coming(NamedTuple):
    """Which part of the people called has come after 1, 2 and 3 s."""

    after_1_s: float
    after_2_s: float
    share: float

    def expected(self, soon: tuple[int, int, int]) -> float:
        """How many will still come of those called and not yet here, by their age: under 1, under 2, under 3 s.

        Those who come do so at once, mostly: who has not come after a second is likely to stay away. Taking the same
        share of all of them would keep the line waiting for people who have left.
        """
        fresh, older, oldest = soon
        return (
            self.share * fresh
            + still_to_come(self.after_1_s, self.share) * older
            + still_to_come(self.after_2_s, self.share) * oldest
        )


def still_to_come(so_far: float, in_all: float) -> float:
    """The chance to come for somebody who has not come yet."""
    return max(0.0, in_all - so_far) / (1 - so_far) if so_far < 1 else in_all


def coming(cohorts: Sequence[Cohort], now_ms: int) -> Coming:
    """From the cohorts of the last 10 s; near 1 while little is known. Within 0.05 … 1."""
    recent = [cohort for cohort in cohorts if now_ms - cohort.at_ms <= COHORTS_MS]

    called = [sum(cohort.called[age] for cohort in recent) for age in range(3)]
    came = [sum(cohort.came[age] for cohort in recent) for age in range(3)]
    parts = [
        min(1.0, max(SHARE_MIN, (there + PRIOR) / (asked + PRIOR))) for there, asked in zip(came, called, strict=True)
    ]
    # Until enough have had three seconds, those who had two, or one, are the best that is known.
    known = next((age for age in (2, 1, 0) if called[age] >= ENOUGH), 2)
    return Coming(parts[0], parts[1], parts[known])


@dataclass(frozen=True, slots=True)
class RoomNow:
    """The room as the holder of the lease sees it at `now_us`.

    `soon`: called within the last 3 s, present, not yet claimed, not at the door; by age, under 1, 2 and 3 s.
    `seats`: seats taken, of `limits.max_active`. `door`: visitors standing there.
    """

    now_us: float
    limits: Limits
    meter: Meter
    issued: int
    front: int
    seats: int
    door: int
    soon: tuple[int, int, int]
    coming: Coming


def people_wanted(room: RoomNow) -> int:
    """How many present people to call now."""
    if room.limits.hold:
        return 0
    waiting = room.issued - room.front
    if room.limits.unlimited:
        want = waiting
    else:
        ahead_us = HORIZON_US + credit_us(room.meter, room.limits, room.now_us)
        ahead_us -= backlog_us(room.meter, room.limits, room.now_us)
        due = room.limits.rate_per_s * ahead_us / 1e6 - room.door - room.coming.expected(room.soon)
        want = math.ceil(due / room.coming.share - 1e-9)
    if room.limits.max_active:
        want = min(want, room.limits.max_active - room.seats - room.door - sum(room.soon))
    return max(0, min(want, waiting))


def release(room: RoomNow, presence: Line) -> int:
    """The new front: never back, never past `issued`."""
    return presence.walk(room.front, people_wanted(room), room.issued)
