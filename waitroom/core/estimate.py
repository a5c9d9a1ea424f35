"""How long it will take, as a range, and when to ask again.

What the page shows and what is checked afterwards (`core.probes`) come from the same two functions.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from waitroom.core.meter import Limits

HOLD_BELOW_S = 120.0
HOLD_S = (3, 25)
HOLD_PART = 6
LONGEST_POLL_S = 30.0
FIRST_POLL_S = 3.0
SOON_S = 10.0
"""With a shorter wait the first poll does not wait either."""

MOVE_KEPT_MS = 20 * 60_000
FINE_MS = 60_000
RECENT_MS = 3 * 60_000
TENTH = 1.3
"""Standard deviations between the middle and the 10th or the 90th percentile."""
COME_PRIOR = 20
"""So many people are taken to have come before anybody was counted."""
LEAVING_UNKNOWN, LEAVING_TAKES_S, LEAVING_TRUSTED_S = 1.0, 300.0, 60.0
"""Before anybody was counted, each may leave at one in 300 s, until the wait is 0.7 of what it would be."""
LEAVING_DRIFT = (0.2, 1.3)
"""How many leave later on, against what it was so far. Leaving often dies down: who stays has decided to."""
SEATS_KNOWN = 4
"""With fewer seats given back nobody knows how long they are kept."""
NOBODY = 1e-9
STEADY = (1.02, 0.96)
"""How far the rate is used at most and at least."""
NOISE_METERED, NOISE_SEATS = 0.65, 1.3
"""How much so many people vary, against the root of their number: evenly let in, or as seats come back."""


class Move(NamedTuple):
    """What became of the line in the `span_ms` before `at_ms`. Sums, so that moves can be added.

    `called`: present people called, who have had time to come. `admitted`: people let in. `left`: of those in line all
    that time, and for so long that an absence would have been found, how many went; `person_ms`: how long there were
    how many of them. `back`: seats given back; `seat_ms`: how long how many were taken.
    """

    at_ms: int
    span_ms: int
    called: int
    admitted: int
    left: int
    person_ms: int
    back: int
    seat_ms: int


def add_move(moves: Sequence[Move], new: Move) -> tuple[Move, ...]:
    """The moves of the last 20 minutes: those older than a minute in one a minute."""
    kept: list[Move] = []
    for move in (*moves, new):
        last = kept[-1] if kept else None
        if last is not None and last.at_ms < new.at_ms - FINE_MS and last.at_ms // FINE_MS == move.at_ms // FINE_MS:
            kept[-1] = Move(move.at_ms, *(old + more for old, more in zip(last[1:], move[1:], strict=True)))
        elif move.at_ms > new.at_ms - MOVE_KEPT_MS:
            kept.append(move)
    return tuple(kept)


def admitted_per_s(moves: Iterable[Move], now_ms: int) -> float:
    """Admissions a second in the last three minutes, as far as people waited."""
    recent = [move for move in moves if now_ms - move.at_ms <= RECENT_MS]
    return 1000 * sum(move.admitted for move in recent) / max(1, sum(move.span_ms for move in recent))


class Pace(NamedTuple):
    """How fast the people ahead become fewer: called, and gone by themselves. Low and high are about the 10th and the
    90th percentile. `unknown`: how little is known of who leaves, from 1 (nothing) to 0. `noise`: how much the number
    of people varies, against its root.
    """

    slow_per_s: float
    fast_per_s: float
    leaving_low_per_s: float = 0.0
    leaving_high_per_s: float = 0.0
    unknown: float = 0.0
    noise: float = NOISE_METERED


def pace_of(limits: Limits, moves: Sequence[Move]) -> Pace | None:
    """The pace to reckon with, from the limits and what was measured. None while nobody can know: held, or a room
    whose seats have not come back often enough yet.
    """
    if limits.hold:
        return None
    slow = fast = math.inf
    if not limits.unlimited:
        fast, slow = (limits.rate_per_s * part for part in STEADY)
    if limits.max_active:
        back = sum(move.back for move in moves)
        if back < SEATS_KNOWN:
            return None
        seats_per_s = limits.max_active * back * 1000 / max(1, sum(move.seat_ms for move in moves))
        off = math.exp(TENTH / math.sqrt(back))
        slow, fast = min(slow, seats_per_s / off), min(fast, seats_per_s * off)
    called = max(0, sum(move.called for move in moves))
    come = min(1.0, (sum(move.admitted for move in moves) + COME_PRIOR) / (called + COME_PRIOR))
    person_s = sum(move.person_ms for move in moves) / 1000
    left = max(0, sum(move.left for move in moves))
    measured_s = sum(move.span_ms for move in moves if move.person_ms) / 1000
    low = high = 0.0
    if person_s:
        low = LEAVING_DRIFT[0] * max(0.0, left - TENTH * math.sqrt(left)) / person_s
        high = LEAVING_DRIFT[1] * (left + TENTH * math.sqrt(left)) / person_s
    unknown = LEAVING_TRUSTED_S / (LEAVING_TRUSTED_S + measured_s)
    noise = NOISE_SEATS if limits.max_active else NOISE_METERED
    return Pace(slow / come, fast / come, low, high, unknown, noise)


def wait_range(ahead: int, pace: Pace | None) -> tuple[float, float] | None:
    """Seconds until a visitor with `ahead` people before them is let in: about the 10th and the 90th percentile.

    Of N people, called at r a second while each leaves with probability l a second, none is left after
    ln(1 + l · N / r) / l. Part of every poll, so it is written without calls.
    """
    if pace is None:
        return None
    slow, fast, leaving_low, leaving_high, unknown, noise = pace
    people = ahead + 1
    spread = noise * math.sqrt(people)
    soon = (people - spread) / fast if people > spread else 0.0
    late = (people + spread) / slow
    more = soon / LEAVING_TAKES_S
    leaving = leaving_high * soon + unknown * (more if more < LEAVING_UNKNOWN else LEAVING_UNKNOWN)
    if leaving > NOBODY:
        soon *= math.log1p(leaving) / leaving
    leaving = leaving_low * late
    if leaving > NOBODY:
        late *= math.log1p(leaving) / leaving
    return soon, late + 2.0


def next_poll(soonest_s: float | None, number: int) -> tuple[float, int]:
    """(seconds until the next poll, seconds to hold it). Far back: up to 30 s, ± 20 % by the number. Near: held, for
    a sixth of the wait, so that the position moves on the screen; the turn ends the hold at once.
    """
    if soonest_s is None:
        return 5.0 * spread(number), 0
    if soonest_s < HOLD_BELOW_S:
        return 1.0, int(min(HOLD_S[1], max(HOLD_S[0], soonest_s / HOLD_PART)))
    far_s = (soonest_s - HOLD_BELOW_S) / 10
    return (5.0 if far_s < 5.0 else far_s if far_s < LONGEST_POLL_S else LONGEST_POLL_S) * spread(number), 0


def first_poll_s(number: int) -> float:
    """When a page asks for the first time after it came: 2 to 4 s, the same for one visitor."""
    return FIRST_POLL_S * (1 + (spread(number) - 1) * 5 / 3)


def spread(number: int) -> float:
    """0.8 … 1.2, the same for one visitor and even over all: Knuth's multiplicative hash."""
    return 0.8 + 0.4 * ((number * 2_654_435_761) % 4096) / 4096
