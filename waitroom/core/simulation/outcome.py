"""What a simulated sale comes to: waits, the rate used, curves over time, and how the estimates did.

Times are milliseconds since the opening while it runs, seconds in the `Outcome`.
"""

import math
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from waitroom.core.estimate import Pace, wait_range
from waitroom.core.meter import Limits
from waitroom.core.sale.draw import permute
from waitroom.core.simulation.crowd import FOR_EVER, SYNC_MS
from waitroom.core.table import Table

MOST_KEPT = 256
PERCENTILES = (10, 50, 90, 99, 100)
LONGEST_S = 1e9
DRAWN_SAMPLE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LobbyOutcome:
    """`people` came before the opening, `left` of them closed the tab before it. `first_s` and `last_s`: how long the
    first and the last tenth to come waited from the opening on, on average; the draw should make them alike. None where
    nobody of them was let in.
    """

    people: int
    left: int
    first_s: float | None
    last_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The sums are people: admitted + gave_up + lapsed + waiting + those who left the lobby = people.

    `gave_up` ran out of patience. `lapsed` were called and did not come in time. `waits_s`: percentile → wait of those
    admitted; the last is the longest. `rate_used`: admissions while anybody was still to be called, of those the rate
    allowed; None without a rate, or if nobody waited. `over`: by how many people the worst span of time exceeded
    burst + rate · t. `gone_s`: when the last who waited was let in, or left; None if some still wait. `first_right`,
    `half_right`: which share of those who waited came in within the range they were first shown, and within the one
    shown when half of their wait was over. `waiting_at`, `inside_at` (the most) and `admitted_in`: one a
    second. `admit_ms`: by
    place, infinite for whoever was not let in.
    """

    people: int
    admitted: int
    on_the_spot: int
    gave_up: int
    lapsed: int
    waiting: int
    waits_s: dict[int, float]
    rate_used: float | None
    over: float
    peak_inside: int
    peak_waiting: int
    gone_s: float | None
    first_right: float | None
    half_right: float | None
    lobby: LobbyOutcome | None
    waiting_at: Sequence[int]
    inside_at: Sequence[int]
    admitted_in: Sequence[int]
    admit_ms: Sequence[float]


class Chronicle:
    """Is told what happens, in the order of time."""

    def __init__(self, arrives: "array[float]") -> None:
        people = len(arrives)
        self._arrives = arrives
        self.low_s = array("f", bytes(4 * people))
        self._high_s = array("f", [-1.0]) * people
        self._admit_ms = array("d", [FOR_EVER]) * people
        self._waited = bytearray(people)
        self._waiting_at, self._inside_at, self._admitted_in = array("I"), array("I"), array("I")
        self._is_busy = bytearray()
        self.count = 0
        self._spare = 0.0
        self._peak_inside = self._peak_waiting = 0
        self._gone_ms: float | None = 0.0
        self._kept: list[tuple[float, int, Table, Pace | None]] = []
        self._keep_every_ms = 1000.0

    def shown(self, place: int, wait: tuple[float, float] | None) -> None:
        """The range on the first page, in whole seconds as the page has it."""
        self._waited[place] = 1
        if wait is not None:
            self.low_s[place], self._high_s[place] = int(wait[0]), int(min(wait[1], LONGEST_S)) + 1

    def published(self, now_ms: float, front: int, table: Table, pace: Pace | None) -> None:
        """A table that pages are answered from. At most 256 are kept: every other one goes then."""
        if self._kept and now_ms - self._kept[-1][0] < self._keep_every_ms:
            return
        self._kept.append((now_ms, front, table, pace))
        if len(self._kept) > MOST_KEPT:
            self._kept, self._keep_every_ms = self._kept[::2], self._keep_every_ms * 2

    def admitted(self, place: int, admit_ms: float) -> None:
        self.count += 1
        self._admit_ms[place] = admit_ms
        second = int(admit_ms // 1000)
        while len(self._admitted_in) <= second:
            self._admitted_in.append(0)
        self._admitted_in[second] += 1

    def sync(self, steps: int, *, waiting: int, inside: int, is_busy: bool, credit: float) -> None:
        """The line at the end of a step. `is_busy`: somebody there is not called yet. `credit`: admissions saved up if
        nobody waited before.
        """
        second, part = divmod((steps - 1) * SYNC_MS, 1000)
        if part == 0:
            self._waiting_at.append(waiting)
            self._inside_at.append(inside)
            self._is_busy.append(1)
        self._waiting_at[second] = max(self._waiting_at[second], waiting)
        self._inside_at[second] = max(self._inside_at[second], inside)
        if not is_busy:
            self._is_busy[second] = 0
        if waiting:
            self._spare += credit
            self._gone_ms = None
        elif self._gone_ms is None:
            self._gone_ms = float(steps * SYNC_MS)
        self._peak_inside = max(self._peak_inside, inside)
        self._peak_waiting = max(self._peak_waiting, waiting)

    def lobby_outcome(self, people: int, *, left: int, key: bytes) -> LobbyOutcome | None:
        """What the draw with this key made of the order of arrival, by up to 1,000 people of each end of the lobby."""
        if not people:
            return None
        tenth = max(1, people // 10)
        step = -(-tenth // DRAWN_SAMPLE)
        first, last = (
            mean_s([self._admit_ms[permute(key, people, number)] for number in range(start, start + tenth, step)])
            for start in (0, people - tenth)
        )
        return LobbyOutcome(people=people, left=left, first_s=first, last_s=last)

    def outcome(
        self, limits: Limits, *, people: int, gave_up: int, lapsed: int, lobby: LobbyOutcome | None = None
    ) -> Outcome:
        """The sums."""
        seconds = len(self._waiting_at)
        self._admitted_in.extend([0] * (seconds - len(self._admitted_in)))
        let_in = [place for place, at_ms in enumerate(self._admit_ms) if at_ms < FOR_EVER]
        waits_ms = sorted(self._admit_ms[place] - self._arrives[place] for place in let_in)
        first_right, half_right = self._judge_estimates(let_in)
        return Outcome(
            people=people,
            admitted=self.count,
            on_the_spot=sum(not self._waited[place] for place in let_in),
            gave_up=gave_up,
            lapsed=lapsed,
            waiting=people - self.count - gave_up - lapsed - (lobby.left if lobby else 0),
            waits_s=percentiles(waits_ms),
            rate_used=self._rate_used(limits),
            over=0.0 if limits.unlimited else most_over(sorted(self._admit_ms[place] for place in let_in), limits),
            peak_inside=self._peak_inside,
            peak_waiting=self._peak_waiting,
            gone_s=None if self._gone_ms is None else self._gone_ms / 1000,
            first_right=first_right,
            half_right=half_right,
            lobby=lobby,
            waiting_at=self._waiting_at,
            inside_at=self._inside_at,
            admitted_in=self._admitted_in,
            admit_ms=self._admit_ms,
        )

    def _rate_used(self, limits: Limits) -> float | None:
        """Over the seconds in which somebody was still to be called, without what had been saved up before."""
        seconds = sum(self._is_busy)
        if limits.unlimited or not seconds:
            return None
        came = sum(came for came, busy in zip(self._admitted_in, self._is_busy, strict=False) if busy)
        return max(0.0, came - self._spare) / (limits.rate_per_s * seconds)

    def _judge_estimates(self, let_in: Sequence[int]) -> tuple[float | None, float | None]:
        """Of those who were let in: whose wait was in the range first shown, and in the one half-way to the end."""
        first = first_right = half = half_right = 0
        times = [kept[0] for kept in self._kept]
        for place in let_in:
            if not self._waited[place]:
                continue
            came_ms, wait_ms = self._arrives[place], self._admit_ms[place] - self._arrives[place]
            if self._high_s[place] >= 0:
                first += 1
                first_right += self.low_s[place] <= wait_ms / 1000 <= self._high_s[place]
            _, front, table, pace = self._kept[max(0, bisect_right(times, came_ms + wait_ms / 2) - 1)]
            wait = wait_range(table.ahead(front, place), pace)
            if wait is not None:
                half += 1
                half_right += int(wait[0]) <= wait_ms / 2000 <= int(min(wait[1], LONGEST_S)) + 1
        return first_right / first if first else None, half_right / half if half else None


def percentiles(sorted_ms: Sequence[float]) -> dict[int, float]:
    """Nearest rank, in seconds; empty of nothing."""
    count = len(sorted_ms)
    return {share: sorted_ms[max(0, math.ceil(share / 100 * count) - 1)] / 1000 for share in PERCENTILES if count}


def mean_s(times_ms: Sequence[float]) -> float | None:
    """Of those who came in."""
    came = [at_ms for at_ms in times_ms if at_ms < FOR_EVER]
    return sum(came) / len(came) / 1000 if came else None


def most_over(admissions_ms: Sequence[float], limits: Limits) -> float:
    """By how many admissions the worst span of t seconds exceeds burst + rate · t: a bucket that leaks at the rate."""
    level = last_ms = worst = 0.0
    per_ms = limits.rate_per_s / 1000
    for at_ms in admissions_ms:
        level = max(0.0, level - (at_ms - last_ms) * per_ms) + 1
        last_ms = at_ms
        worst = max(worst, level)
    return max(0.0, worst - limits.burst)
