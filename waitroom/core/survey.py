"""What became of the line, for the estimates: moves and probes, from what the holder of the lease sees anyway."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from waitroom.core.estimate import Move, add_move, pace_of, wait_range
from waitroom.core.model import Snapshot
from waitroom.core.presence import EPOCH_MS
from waitroom.core.probes import watch
from waitroom.core.table import Facts, Table

MOVE_MS = 5_000


class Mark(NamedTuple):
    """The line when the move under way began. `people` had places below `settled`: given out so long before that
    whoever took one and left is found gone.
    """

    at_ms: int
    settled: int
    people: int
    admitted: int
    on_the_way: int
    seats: int


def found_absent_ms(away_after_ms: int) -> int:
    """How long it takes at most until somebody who took a number and left is found absent."""
    return away_after_ms + 2 * EPOCH_MS


class Survey:
    """Between two rounds of one holder; a new holder starts with the next move."""

    def __init__(self, found_absent_ms: int) -> None:
        self._found_absent_ms = found_absent_ms
        self.start()

    def start(self) -> None:
        self._mark: Mark | None = None
        self._round_ms = self._called = self._seat_ms = 0

    def after_round(
        self,
        snapshot: Snapshot,
        table: Table,
        *,
        front: int,
        called: int,
        on_the_way: int,
        present: Callable[[int, int], int],
    ) -> Facts:
        """The table's facts with what this round adds. `called` so many present people just now, up to `front`;
        `on_the_way` are all who are called and may still come. `present` counts people between two places.
        """
        state, now_ms, facts = snapshot.state, snapshot.now_ms, table.facts
        mark = self._mark
        if front >= state.issued:
            self.start()
        elif mark is None:
            self._begin(snapshot, facts, front, on_the_way, present)
        else:
            self._called += called
            self._seat_ms += snapshot.seats * max(0, now_ms - self._round_ms)
            self._round_ms = now_ms
            if now_ms - mark.at_ms >= MOVE_MS:
                move = self._move(mark, snapshot, front, on_the_way, present)
                facts = replace(facts, moves=add_move(facts.moves, move))
                self._begin(snapshot, facts, front, on_the_way, present)
        pace = pace_of(state.limits, facts.moves)
        probes, tally = watch(
            facts.probes,
            facts.tally,
            now_ms=now_ms,
            changed_ms=state.changed_ms,
            front=front,
            issued=state.issued,
            ahead=lambda place: table.ahead(front, place),
            wait=lambda ahead: wait_range(ahead, pace),
        )
        return replace(facts, probes=probes, tally=tally)

    def _begin(
        self, snapshot: Snapshot, facts: Facts, front: int, on_the_way: int, present: Callable[[int, int], int]
    ) -> None:
        now_ms, state = snapshot.now_ms, snapshot.state
        settled = last_issued(facts.issues, now_ms - self._found_absent_ms)
        self._mark = Mark(now_ms, settled, present(front, settled), state.admitted, on_the_way, snapshot.seats)
        self._round_ms, self._called, self._seat_ms = now_ms, 0, 0

    def _move(
        self, mark: Mark, snapshot: Snapshot, front: int, on_the_way: int, present: Callable[[int, int], int]
    ) -> Move:
        span_ms = snapshot.now_ms - mark.at_ms
        admitted = snapshot.state.admitted - mark.admitted
        there = stayed = 0
        if front < mark.settled:
            there, stayed = mark.people - self._called, present(front, mark.settled)
        return Move(
            at_ms=snapshot.now_ms,
            span_ms=span_ms,
            called=self._called - on_the_way + mark.on_the_way,
            admitted=admitted,
            left=there - stayed,
            person_ms=there * span_ms,
            back=admitted - snapshot.seats + mark.seats,
            seat_ms=self._seat_ms,
        )


def last_issued(issues: Sequence[tuple[int, int]], at_ms: int) -> int:
    """How many numbers had been given out by then; 0 where nobody remembers."""
    return next((issued for then_ms, issued in reversed(issues) if then_ms <= at_ms), 0)
