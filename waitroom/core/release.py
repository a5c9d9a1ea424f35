"""Calling: how far the front may move.

A pure function, run a few times a second by whichever worker holds the lease. It keeps the meter fed
without running ahead of it, like a player's buffer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from waitroom.core.meter import HORIZON_US, Limits, Meter, backlog_us, credit_us
from waitroom.core.presence import Presence

AGES = 6
"""For so many seconds after the call people are expected, by the chance that those called before them have shown."""
LATE_MS = AGES * 1_000
SOON_AGES = 3
SOON_MS = SOON_AGES * 1_000
"""So long nobody who comes anew is let in before those who were called."""
COHORTS_MS = 10_000
ENOUGH = 60
"""What so many people did counts, however short the time was in which they were called."""
SHARE_MIN = 0.05
PRIOR = 2
"""So many people are taken to have come before anybody was counted: one who did not says little."""

Ages = tuple[int, ...]
"""One count for each second since the call: up to 1, 2 … 6 s."""


class Cohort(NamedTuple):
    """What was counted in one second, of people called 1, 2 … 6 s ago: how many had not come before it, and how many of
    them came in it. Only of times when they could have come. To come is to claim, or to stand at the door.
    """

    at_ms: int
    called: Ages
    came: Ages


class Coming(NamedTuple):
    """Which part of the people called has come after 1, 2 … 6 s. Never falls."""

    by_age: tuple[float, ...]

    @property
    def share(self) -> float:
        """Which part comes in all."""
        return self.by_age[-1]

    @property
    def pause_s(self) -> float:
        """How long those who come take for it, on average, beyond the first second."""
        return sum(1 - part / self.share for part in self.by_age)

    def expected(self, soon: Ages) -> float:
        """How many will still come of those called and not yet here, by their age.

        Those who come do so at once, mostly: who has not come after a second is likely to stay away. Taking the same
        share of all of them would keep the line waiting for people who have left.
        """
        chances = (still_to_come(so_far, self.share) for so_far in (0.0, *self.by_age))
        return sum(people * chance for people, chance in zip(soon, chances, strict=False))


def still_to_come(so_far: float, in_all: float) -> float:
    """The chance to come for somebody who has not come yet."""
    return max(0.0, in_all - so_far) / (1 - so_far) if so_far < 1 else in_all


def coming(cohorts: Sequence[Cohort], now_ms: int) -> Coming:
    """From the cohorts of the last 10 s; near 1 while little is known. Within 0.05 … 1.

    Of those who had not come yet, which part came in each second, by the last who were asked (the product-limit
    estimate of Kaplan and Meier): when a crowd falls asleep it shows within seconds, and what people did before that
    does not stand for what they do now.
    """
    newest_first = [cohort for cohort in reversed(cohorts) if now_ms - cohort.at_ms <= COHORTS_MS]
    by_age, so_far = [], 0.0
    for age in range(AGES):
        called = came = 0 if age else PRIOR
        for cohort in newest_first:
            called, came = called + cohort.called[age], came + cohort.came[age]
            if called >= ENOUGH:
                break
        so_far += (1 - so_far) * (came / called if called else 0.0)
        by_age.append(max(SHARE_MIN, so_far))
    return Coming(tuple(by_age))


@dataclass(frozen=True, slots=True)
class RoomNow:
    """The room as the holder of the lease sees it at `now_us`.

    `soon`: called within the last 6 s, present, not yet claimed, not at the door; by age, under 1, 2 … 6 s.
    `seats`: seats taken, of `limits.max_active`. `door`: visitors standing there.
    """

    now_us: float
    limits: Limits
    meter: Meter
    issued: int
    front: int
    seats: int
    door: int
    soon: Ages
    coming: Coming


def people_wanted(room: RoomNow) -> int:
    """How many present people to call now."""
    if room.limits.hold:
        return 0
    waiting = room.issued - room.front
    expected = room.coming.expected(room.soon)
    if room.limits.unlimited:
        want = waiting
    else:
        ahead_us = HORIZON_US + credit_us(room.meter, room.limits, room.now_us)
        ahead_us -= backlog_us(room.meter, room.limits, room.now_us)
        due = room.limits.rate_per_s * (ahead_us / 1e6 + room.coming.pause_s) - room.door - expected
        want = math.ceil(due / room.coming.share - 1e-9)
    if room.limits.max_active:
        # Not divided by the share: seats are not filled by guessing who comes, only not kept for who does not.
        want = min(want, math.floor(room.limits.max_active - room.seats - room.door - expected + 1e-9))
    return max(0, min(want, waiting))


def release(room: RoomNow, presence: Presence) -> int:
    """The new front: never back, never past `issued`."""
    return presence.walk(room.front, people_wanted(room), room.issued)
