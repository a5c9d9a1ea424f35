"""The people of a simulated sale: when they come, how long they stay in line, what they do once called.

Times are milliseconds since the opening. Each distribution says where it is taken from; none of them is measured at
your shop. Chance is an argument: the same `Dice` give the same crowd.
"""

import math
from array import array
from dataclasses import dataclass
from typing import Literal, Protocol

from waitroom.core.estimate import HOLD_S, LONGEST_POLL_S, SOON_S, first_poll_s

Arrivals = Literal["steady", "spike", "lobby"]

SPIKE_PART = 0.2
SHOPPING_SIGMA = 0.8
SLOW_TAB_MS = 60_000.0
SYNC_MS = 250
NETWORK_MS = (50.0, 250.0)
PAUSE_MS = 1_000.0
UNKNOWN_WAIT_S = 600.0
FOR_EVER = math.inf


class Dice(Protocol):
    """What is asked of chance: `random.Random` has it."""

    def random(self) -> float: ...
    def expovariate(self, lambd: float) -> float: ...
    def lognormvariate(self, mu: float, sigma: float) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How many come, and how they are.

    `patience_ms`: after this long in line half of the people have given up; None stays for ever. `no_shows`: this share
    closes the tab before the turn comes. `slow_tabs`: this share learns of the turn once a minute. `shopping_ms`: the
    average time from coming in to the last request; the seat is kept `session_idle_ms` longer. Only with a lobby:
    `late` is the share who come after the opening, `lobby_leaves` that of the lobby who have closed the tab before it,
    `lobby_ms` how long it is open.
    """

    people: int
    arrivals: Arrivals = "spike"
    over_ms: float = 600_000
    patience_ms: float | None = None
    no_shows: float = 0.0
    slow_tabs: float = 0.0
    shopping_ms: float = 240_000
    session_idle_ms: float = 600_000
    late: float = 0.0
    lobby_leaves: float = 0.0
    lobby_ms: float = 900_000

    @property
    def in_lobby(self) -> int:
        """How many come before the opening: the lowest places, drawn among them."""
        return round(self.people * (1 - self.late)) if self.arrivals == "lobby" else 0


def arrival_times(habits: Habits, dice: Dice) -> "array[float]":
    """When each comes, in order.

    steady  independently of each other and evenly over `over_ms`: a Poisson process of which the number is known.
    spike   most right at the opening, then fewer and fewer: exponential with a mean of a fifth of `over_ms`, and cut
            off there.
    lobby   before the opening, their places drawn: whoever has a place below another is as good as anybody. The late
            come as a spike, in order of arrival behind the lobby.
    """
    roll, over = dice.random, habits.over_ms
    if habits.arrivals == "steady":
        return array("d", sorted(over * roll() for _ in range(habits.people)))
    mean, all_of_it = SPIKE_PART * over, 1 - math.exp(-1 / SPIKE_PART)
    after = habits.people - habits.in_lobby
    spike = array("d", sorted(-mean * math.log(1 - all_of_it * roll()) for _ in range(after)))
    return array("d", bytes(8 * habits.in_lobby)) + spike


class Chances:
    """What each person draws. The methods are called once a person, or once a call."""

    def __init__(self, habits: Habits, dice: Dice) -> None:
        self.habits, self.dice, self._roll = habits, dice, dice.random
        self._giving_up = math.log(2) / habits.patience_ms if habits.patience_ms else 0.0
        # The mean of a lognormal distribution is exp(mu + sigma² / 2).
        self._shopping_mu = math.log(max(1.0, habits.shopping_ms)) - SHOPPING_SIGMA**2 / 2

    def is_slow(self) -> bool:
        return self._roll() < self.habits.slow_tabs

    def leaves_lobby_at_ms(self) -> float:
        """Before the opening: at any moment of the lobby, whenever they came. Else never."""
        if self._roll() >= self.habits.lobby_leaves:
            return FOR_EVER
        return -self.habits.lobby_ms * self._roll() - 1.0

    def gives_up_after_ms(self) -> float:
        """Exponential, the usual model of callers who hang up (Palm's; Erlang-A): whoever has waited long is no more
        likely to give up in the next minute than whoever has just come.
        """
        return self.dice.expovariate(self._giving_up) if self._giving_up else FOR_EVER

    def walks_off_after_ms(self, wait: tuple[float, float] | None) -> float:
        """For a no-show, when the tab is closed: at any moment of the wait (s) that was first shown. Else never."""
        if self._roll() >= self.habits.no_shows:
            return FOR_EVER
        expected_s = (wait[0] + wait[1]) / 2 if wait else UNKNOWN_WAIT_S
        return self._roll() * expected_s * 1000

    def seat_kept_ms(self) -> float:
        """From coming in until the seat is free: the shopping, lognormal as the lengths of calls are (Brown et al.,
        "Statistical Analysis of a Telephone Call Center", 2005), and then until the pass ends, which was renewed up to
        a tenth of `session_idle` before the last request.
        """
        shopping_ms = self.dice.lognormvariate(self._shopping_mu, SHOPPING_SIGMA)
        return shopping_ms + self.habits.session_idle_ms * (1.1 - 0.1 * self._roll())

    def learns_after_ms(self, *, is_slow: bool) -> float:
        """From the call to the claim: the worker's next sync answers the held poll; then the network, both ways.

        Between two held polls the page pauses for a second. A slow tab wakes once a minute.
        """
        roll = self._roll
        if is_slow:
            return roll() * SLOW_TAB_MS
        pause_ms = PAUSE_MS * roll() if roll() < 1 / (1 + HOLD_S[0]) else 0.0
        return SYNC_MS * roll() + pause_ms + NETWORK_MS[0] + (NETWORK_MS[1] - NETWORK_MS[0]) * roll()

    def last_seen_before_ms(self, poll: tuple[float, int], *, is_slow: bool) -> float:
        """How long before closing the tab somebody was last heard of: any part of the time between two polls, given as
        (seconds until the next, seconds it is held).
        """
        between_ms = SLOW_TAB_MS if is_slow else min(1.2 * LONGEST_POLL_S, poll[0] + poll[1]) * 1000
        return self._roll() * between_ms


def first_poll_ms(number: int, soonest_s: float) -> float:
    """When a page asks for the first time after it came: 1 s where the turn is near."""
    return PAUSE_MS if soonest_s < SOON_S else first_poll_s(number) * 1000
