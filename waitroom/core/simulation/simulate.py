"""A sale in virtual time: the rules of the line, a crowd, and no waiting.

The meter, the calling, presence, the table and the estimates are the gateway's own; what the store's scripts do is in
`room`; a test holds the whole against a live gateway. Time runs in steps of one sync; within a step arrivals
and claims keep their own moments.

Times are milliseconds since the opening. People are known by their place; a million cost about 60 bytes each, in
arrays. Whoever waits is present as long as the tab is open, because a page asks more often than `away_after`; so
nobody's polls are played out, only the first one and the last.
"""

import math
import struct
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from waitroom.core.estimate import Move, next_poll, pace_of, wait_range
from waitroom.core.meter import Limits
from waitroom.core.presence import EPOCH_MS, chunk_of, epoch_of
from waitroom.core.settings import Settings
from waitroom.core.simulation.crowd import FOR_EVER, SYNC_MS, Chances, Dice, Habits, arrival_times, first_poll_ms
from waitroom.core.simulation.outcome import Chronicle, Outcome
from waitroom.core.simulation.room import START_MS, Bits, SimulatedRoom
from waitroom.core.watch import Watch

WAITING, ADMITTED, LAPSED, NEVER_IN_LINE = 0, 1, 2, 3
PROGRESS_STEPS = 100

Progress = Callable[[float, int], None]
"""Is told the time (ms) and how many people are done with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is to be played. Of `settings` only `away_after` and `turn_held` count. `until_ms`: where to stop looking,
    however many still wait.
    """

    settings: Settings
    limits: Limits
    habits: Habits
    until_ms: float = 86_400_000


def simulate(scenario: Scenario, dice: Dice, progress: Progress = lambda _now_ms, _done: None) -> Outcome:
    """Play the scenario. Raises ValueError, a sentence, where nobody would ever come in."""
    if scenario.limits.hold:
        raise ValueError("With a rate of 0 the line is on hold, and nobody would ever come in.")
    line = SimulatedLine(scenario, dice)
    while not line.is_over:
        line.step()
        if line.steps % PROGRESS_STEPS == 0:
            progress(line.now_ms, line.done)
    return line.outcome()


class SimulatedLine:
    """One room and its crowd, a step at a time.

    Calendars are by step (`_claims`, `_leavers`, `_seat_ends`), or by epoch (`_fading`).
    """

    def __init__(self, scenario: Scenario, dice: Dice) -> None:
        self.scenario, self.people = scenario, scenario.habits.people
        self.steps, self.now_ms, self.done = 0, 0.0, 0
        self.room = SimulatedRoom(scenario.limits)
        self.chances = Chances(scenario.habits, dice)
        self.arrives = arrival_times(scenario.habits, dice)
        self.leaves = array("d", [FOR_EVER]) * self.people
        self.state_of = bytearray(self.people)
        self.is_slow = bytearray(self.people)
        self.gave_up = bytearray(self.people)
        self.chronicle = Chronicle(self.arrives)
        self._there = 0
        self._seen = Bits()
        self._polled = 0
        self._claims: dict[int, list[tuple[float, int]]] = {}
        self._leavers: dict[int, list[int]] = {}
        self._fading: dict[int, list[int]] = {}
        self._seat_ends: dict[int, int] = {}
        self._epochs = -(-scenario.settings.away_after // EPOCH_MS)
        self._watch = Watch(scenario.settings)
        self._moves: Sequence[Move] = ()
        self._pace = pace_of(scenario.limits, self._moves)
        self._left_lobby = 0
        self._draw_key = b"".join(struct.pack("<d", dice.random()) for _ in range(4))
        if scenario.habits.in_lobby:
            self._open_lobby()

    @property
    def is_over(self) -> bool:
        """Everybody has come and been called, and nobody is on the way; or it is late."""
        room = self.room
        is_empty = room.front == room.issued == self.people and not room.door and not self._claims
        return is_empty or self.now_ms >= self.scenario.until_ms

    def step(self) -> None:
        """What happens until the next sync, and the sync."""
        end_ms = self.now_ms + SYNC_MS
        credit = 0.0 if self._there else self.room.credit(self.now_ms)
        self._arrive(end_ms)
        for at_ms, place in sorted(self._claims.pop(self.steps, ())):
            self._claim(place, at_ms)
        for place in self._leavers.pop(self.steps, ()):
            self._leave(place)
        self.steps += 1
        self.now_ms = end_ms
        self._note_presence()
        self.room.seats -= self._seat_ends.pop(self.steps, 0)
        self._round()
        while let_in := self.room.admit_from_door(self.now_ms):
            self._admitted(*let_in)
        is_busy = self.room.front < self.room.issued
        self.chronicle.sync(self.steps, waiting=self._there, inside=self.room.seats, is_busy=is_busy, credit=credit)

    # People.

    def _open_lobby(self) -> None:
        """The opening: everybody of the lobby has a place, and has been heard of until they left."""
        self.room.issued = self._polled = self.scenario.habits.in_lobby
        for place in range(self.room.issued):
            left_ms = self.chances.leaves_lobby_at_ms()
            if left_ms == FOR_EVER:
                self._wait(place, 0.0)
                self._seen.set(place)
                continue
            self.state_of[place], self.leaves[place] = NEVER_IN_LINE, left_ms
            self._left_lobby += 1
            self.done += 1
            fades = epoch_of(START_MS + left_ms) + self._epochs + 1
            if fades > epoch_of(START_MS):
                self._seen.set(place)
                self._fading.setdefault(fades, []).append(place)

    def _arrive(self, end_ms: float) -> None:
        """Numbers for those who come."""
        arrives, room = self.arrives, self.room
        while room.issued < self.people and arrives[room.issued] < end_ms:
            place = room.issued
            admit_ms = room.enter(arrives[place])
            if admit_ms is None:
                self._wait(place, arrives[place])
            else:
                self._there += 1
                self._admitted(place, admit_ms)

    def _wait(self, place: int, at_ms: float) -> None:
        """A page with a place and a range; and what this person will do with it."""
        wait = wait_range(self.room.table.ahead(self.room.front, place), self._pace)
        self.chronicle.shown(place, wait)
        self._there += 1
        chances = self.chances
        if chances.is_slow():
            self.is_slow[place] = 1
        walks_off_ms, gives_up_ms = chances.walks_off_after_ms(wait), chances.gives_up_after_ms()
        leaves_ms = at_ms + min(walks_off_ms, gives_up_ms)
        if leaves_ms < self.scenario.until_ms:
            self.leaves[place] = leaves_ms
            self.gave_up[place] = gives_up_ms < walks_off_ms
            self._leavers.setdefault(int(leaves_ms // SYNC_MS), []).append(place)

    def _leave(self, place: int) -> None:
        """The tab is closed, without a word: the bits of the last polls fade with their epochs."""
        if self.state_of[place] != WAITING:
            return
        self._there -= 1
        self.done += 1
        if place in self.room.door:
            self.room.door.remove(place)
        if place >= self.room.front:
            wait = wait_range(self.room.table.ahead(self.room.front, place), self._pace)
            poll = next_poll(wait[0] if wait else None, place)
            seen_ms = self.leaves[place] - self.chances.last_seen_before_ms(poll, is_slow=bool(self.is_slow[place]))
            epoch = epoch_of(START_MS + max(seen_ms, self.arrives[place]))
            self._fading.setdefault(epoch + self._epochs + 1, []).append(place)

    def _call(self, place: int) -> None:
        """Whoever is there learns of it, and asks to come in; not before the first poll."""
        if self.leaves[place] <= self.now_ms:
            return
        at_ms = self.now_ms + self.chances.learns_after_ms(is_slow=bool(self.is_slow[place]))
        if place >= self._polled:
            at_ms = max(at_ms, self.arrives[place] + first_poll_ms(place, self.chronicle.low_s[place]))
        self._claims.setdefault(int(at_ms // SYNC_MS), []).append((at_ms, place))

    def _claim(self, place: int, at_ms: float) -> None:
        if self.leaves[place] <= at_ms:
            return
        claimed = self.room.claim(place, at_ms)
        if claimed == "lapsed":
            self.state_of[place] = LAPSED
            self._there -= 1
            self.done += 1
        elif claimed != "door":
            self._admitted(place, claimed)

    def _admitted(self, place: int, admit_ms: float) -> None:
        self.state_of[place] = ADMITTED
        self._there -= 1
        self.done += 1
        end = math.ceil((admit_ms + self.chances.seat_kept_ms()) / SYNC_MS)
        self._seat_ends[end] = self._seat_ends.get(end, 0) + 1
        self.chronicle.admitted(place, admit_ms)

    # The holder of the lease.

    def _note_presence(self) -> None:
        """First polls that have come by now, and bits whose epochs are over."""
        while self._polled < self.room.issued:
            place = self._polled
            if self.arrives[place] + first_poll_ms(place, self.chronicle.low_s[place]) > self.now_ms:
                break
            self._polled += 1
            if self.leaves[place] > self.now_ms and self.state_of[place] == WAITING:
                self._seen.set(place)
        for place in self._fading.pop(epoch_of(START_MS + self.now_ms), ()):
            self._seen.clear(place)

    def _round(self) -> None:
        """Look, judge, release; and the calls that come of it."""
        room = self.room
        snapshot = room.snapshot(self.now_ms)
        recent, chunks = self._watch.due(snapshot)
        for chunk in chunks:
            seen, claimed = self._seen.chunk(chunk), room.claimed.chunk(chunk)
            self._watch.note(chunk, seen=seen, claimed=claimed, now_ms=snapshot.now_ms)
        for bits in (self._seen, room.claimed):
            bits.forget(chunk_of(recent))
        verdict = self._watch.judge(snapshot, [place for place in room.door if place >= recent])
        called = range(room.front, verdict.front)
        room.release(verdict, SYNC_MS)
        self._see_pace()
        self.chronicle.published(self.now_ms, room.front, room.table, self._pace)
        for place in called:
            self._call(place)

    def _see_pace(self) -> None:
        """It changes with what was measured, every few seconds."""
        if self.room.table.facts.moves is not self._moves:
            self._moves = self.room.table.facts.moves
            self._pace = pace_of(self.scenario.limits, self._moves)

    def outcome(self) -> Outcome:
        """What became of everybody."""
        gave_up = lapsed = 0
        for place in range(self.people):
            if self.state_of[place] == LAPSED:
                lapsed += 1
            elif self.state_of[place] == WAITING and self.leaves[place] <= self.now_ms:
                gave_up += self.gave_up[place]
                lapsed += not self.gave_up[place] and place < self.room.front
        lobby = self.chronicle.lobby_outcome(self.scenario.habits.in_lobby, left=self._left_lobby, key=self._draw_key)
        return self.chronicle.outcome(
            self.scenario.limits, people=self.people, gave_up=gave_up, lapsed=lapsed, lobby=lobby
        )
