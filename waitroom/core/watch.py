"""What the holder of the lease knows of the line, and what it makes of it.

The judgement is `core.release`; here is the memory it needs: presence and claims by chunk, and the rings of the
recent past, which travel in the published table so that the next holder starts where this one ends. Looking is
somebody else's: the store reads the bits from Redis, the simulation has them.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from waitroom.core.estimate import LONGEST_POLL_S
from waitroom.core.model import Snapshot, Space
from waitroom.core.presence import CHUNK, EPOCH_MS, Presence, chunk_of, epoch_of, is_due, mask
from waitroom.core.release import (
    AGES,
    COHORTS_MS,
    LATE_MS,
    SOON_AGES,
    Ages,
    Cohort,
    RoomNow,
    coming,
    release,
)
from waitroom.core.settings import Settings
from waitroom.core.survey import Survey, found_absent_ms, last_issued
from waitroom.core.table import Facts, Table, make_table

JUST_ISSUED_MS = 10_000
SETTLE_MS = 1_000
CLOCK_SLACK_MS = 1_000
RECENT_MS = LATE_MS + 3_000
"""So far back the cohorts reach, with air for rounds that come late."""
GRACE_MS = int(LONGEST_POLL_S * 1.2 * 1000) + 4_000
NEAR = 16_384
MOST_CALLS = 160
FAR_LOOKS_A_ROUND = 16


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a round comes to: the front and `lapsed` as they are to be, how many are on their way, the table."""

    front: int
    lapsed: int
    soon: int
    table: Table


class Judged(NamedTuple):
    """The room when cohorts were last judged."""

    at_ms: int
    usable_ms: int
    front: int


NEVER = Judged(-(10**9), 0, 0)


class Group(NamedTuple):
    """Places called within one second, and how many of them had come when they were last counted."""

    start: int
    end: int
    came: int


class Watch:
    """One holder's; begins anew with each lease. A round is `due`, `note` for each chunk looked at, `judge`."""

    def __init__(self, settings: Settings, snapshot: Snapshot | None = None) -> None:
        """Knows nothing but what the last holder published with the snapshot."""
        self._turn_held_ms = settings.turn_held
        self._found_absent_ms = found_absent_ms(settings.away_after)
        self._survey = Survey(self._found_absent_ms)
        self._presence = Presence()
        self._claimed: dict[int, int] = {}
        self._looked: dict[int, int] = {}
        self.space: Space = snapshot.state.space if snapshot else "p"
        known = snapshot.table.facts if snapshot else Facts()
        self._facts = known if known.space == self.space else Facts(space=self.space)
        self._rounds: deque[tuple[int, int, int]] = deque(maxlen=4 * RECENT_MS // 1000)
        if snapshot:
            for usable, at_ms, front in self._facts.calls:
                if snapshot.now_ms - at_ms < RECENT_MS:
                    self._rounds.append((at_ms, front, usable))
        self._groups: list[Group] = []
        self._judged = NEVER
        self._recent = 0

    def due(self, snapshot: Snapshot) -> tuple[int, list[int]]:
        """(from which place on the door matters, the chunks to look at): those near the front with every round, unless
        nobody waits and nobody was called of late; the others every five seconds.
        """
        state, now_ms = snapshot.state, snapshot.now_ms
        self._forget_times_to_come(now_ms)
        self._rounds.append((now_ms, state.front, state.usable_ms))
        self._recent = recent = min(self._front_ago(now_ms, RECENT_MS), state.front)
        first, last = chunk_of(recent), chunk_of(max(state.issued - 1, state.front))
        near = range(first, min(last, chunk_of(state.front + NEAR)) + 1 if state.issued > recent else first)
        looked, behind = self._looked, range(near.stop, last + 1)
        far = [chunk for chunk in behind if chunk not in looked or is_due(chunk, looked[chunk], now_ms)]
        far.sort(key=lambda chunk: looked.get(chunk, 0))
        self._presence.forget(first)
        for memory in (self._claimed, self._looked):
            for chunk in [c for c in memory if c < first]:
                del memory[chunk]
        return recent, [*near, *far[:FAR_LOOKS_A_ROUND]]

    def _forget_times_to_come(self, now_ms: int) -> None:
        """When the clock went back: what was noted later than now would be news for as long as it went back."""
        facts = self._facts
        latest_ms = max(
            [at_ms for at_ms, _ in facts.issues[-1:]] + [at_ms for at_ms, _, _ in [*self._rounds][-1:]] + [0]
        )
        if latest_ms - now_ms > CLOCK_SLACK_MS:
            calls = tuple((usable, min(at_ms, now_ms), front) for usable, at_ms, front in facts.calls)
            self._facts = replace(facts, calls=calls, issues=(), cohorts=(), moves=(), probes=())
            self._rounds.clear()
            self._looked.clear()
            self._judged = NEVER

    def note(self, chunk: int, *, seen: bytes, claimed: bytes, now_ms: int) -> None:
        """What a look at a chunk shows."""
        self._presence.update(chunk, seen)
        self._claimed[chunk] = int.from_bytes(claimed, "little")
        self._looked[chunk] = now_ms

    def judge(self, snapshot: Snapshot, at_door: Sequence[int]) -> Verdict:
        """Where the front may go, and what everybody is to know. `at_door`: the places there that matter."""
        state, now_ms = snapshot.state, snapshot.now_ms
        complete = self._complete(snapshot)
        self._assume(snapshot)
        soon = self._soon(snapshot, at_door)
        self._judge_cohort(snapshot, at_door)
        front = state.front
        if now_ms - state.gap_ms >= SETTLE_MS and complete > front and state.sale.may_admit:
            now = RoomNow(
                now_us=snapshot.now_us,
                limits=state.limits,
                meter=state.meter,
                issued=min(state.issued, complete),
                front=front,
                seats=snapshot.seats,
                door=snapshot.door,
                soon=soon,
                coming=coming(self._facts.cohorts, now_ms),
            )
            front = release(now, self._presence)
        called = self._presence.count(state.front, front)
        self._remember(snapshot, front)
        table = self._table(snapshot, front, complete)
        if complete >= state.issued:
            self._facts = self._survey.after_round(
                snapshot,
                table,
                front=front,
                called=called,
                on_the_way=sum(soon[:SOON_AGES]) + called + snapshot.door,
                present=self._presence.count,
            )
            table = table.with_facts(self._facts)
        lapsed = max(state.lapsed, table.lapsed_below(state.usable_ms, self._turn_held_ms))
        return Verdict(front, lapsed, sum(soon[:SOON_AGES]) + called, table)

    def _complete(self, snapshot: Snapshot) -> int:
        """Up to which place everybody has been looked at."""
        state = snapshot.state
        chunks = range(chunk_of(self._recent), chunk_of(max(state.issued - 1, state.front)) + 1)
        return next((chunk * CHUNK for chunk in chunks if chunk not in self._looked), state.issued)

    def _assume(self, snapshot: Snapshot) -> None:
        """Who counts as present unseen: numbers just issued, and after a gap everybody who may not have polled yet; so
        do the people of a lobby while they learn their places.

        Also behind the front, as far as people may be on their way: called unseen, they would be called twice over.
        """
        state, now_ms = snapshot.state, snapshot.now_ms
        low = min(self._front_ago(now_ms, LATE_MS), state.front)
        settled = last_issued(self._facts.issues, now_ms - JUST_ISSUED_MS)
        ranges = [(max(settled, low), state.issued)]
        if now_ms - state.gap_ms < GRACE_MS or now_ms < state.learned_ms:
            ranges, start = [], low
            for hole, hole_end in state.nobodies:
                ranges.append((start, max(hole, start)))
                start = max(hole_end, start)
            ranges.append((start, state.issued))
        self._presence.assume(ranges)

    def _front_ago(self, now_ms: int, ago_ms: int) -> int:
        """The front as it was `ago_ms` before; the oldest known where memory is shorter."""
        rounds = self._rounds
        return next((front for at_ms, front, _ in reversed(rounds) if now_ms - at_ms >= ago_ms), rounds[0][1])

    def _people(self, start: int, end: int, at_door: Sequence[int], *, only_seen: bool = False) -> tuple[int, int]:
        """(present or come, come) among places start … end − 1; to come is to have claimed or to stand at the door."""
        bits = self._presence.seen if only_seen else self._presence.bits
        people = came = 0
        place = start
        while place < end:
            chunk, offset = divmod(place, CHUNK)
            stop = min(end - chunk * CHUNK, CHUNK)
            window = mask(offset, stop)
            come = self._claimed.get(chunk, 0)
            for member in at_door:
                if chunk_of(member) == chunk:
                    come |= 1 << (member % CHUNK)
            come &= window
            people += ((bits(chunk) & window) | come).bit_count()
            came += come.bit_count()
            place = chunk * CHUNK + stop
        return people, came

    def _soon(self, snapshot: Snapshot, at_door: Sequence[int]) -> Ages:
        """Called and not yet here, by age: under 1, under 2 … under 6 s."""
        ages = []
        end = snapshot.state.front
        for age in range(1, AGES + 1):
            start = min(self._front_ago(snapshot.now_ms, age * 1000), end)
            people, came = self._people(start, end, at_door)
            ages.append(people - came)
            end = start
        return tuple(ages)

    def _judge_cohort(self, snapshot: Snapshot, at_door: Sequence[int]) -> None:
        """Once a second: of those called 1, 2 … 6 s ago and not here yet, who has come since? Only if a claim could
        have succeeded meanwhile, and only of people seen before: whoever got a number a moment ago has not had their
        first poll.
        """
        state, now_ms = snapshot.state, snapshot.now_ms
        since_ms = now_ms - self._judged.at_ms
        if 0 <= since_ms < 1000:
            return
        could = since_ms <= 2000 and 2 * (state.usable_ms - self._judged.usable_ms) >= since_ms
        called, came = [0] * AGES, [0] * AGES
        groups = [Group(self._judged.front, state.front, 0)]
        for age, group in enumerate(self._groups if could else ()):
            people, here = self._people(group.start, group.end, at_door, only_seen=True)
            called[age], came[age] = max(0, people - group.came), max(0, here - group.came)
            groups.append(group._replace(came=here))
        self._groups = groups[:AGES]
        self._judged = Judged(now_ms, state.usable_ms, state.front)
        cohorts = [cohort for cohort in self._facts.cohorts if now_ms - cohort.at_ms <= COHORTS_MS]
        if any(called):
            cohorts.append(Cohort(now_ms, tuple(called), tuple(came)))
        self._facts = replace(self._facts, cohorts=tuple(cohorts))

    def _remember(self, snapshot: Snapshot, front: int) -> None:
        """The rings of the recent past, thinned."""
        state, now_ms, facts = snapshot.state, snapshot.now_ms, self._facts
        calls = list(facts.calls)
        if front > (calls[-1][2] if calls else 0):
            if len(calls) > 1 and calls[-1][1] // 1000 == now_ms // 1000:
                calls.pop()
            calls.append((state.usable_ms, now_ms, front))
            spacing = max(EPOCH_MS, self._turn_held_ms // 60)
            calls = thin(calls, now_ms - 10_000, spacing)
        if len(calls) > MOST_CALLS:
            # In a full room the clock of turn_held stands still, and calls would pile up: the older half is thinned.
            half = len(calls) // 2
            calls = [*calls[1:half:2], *calls[half:]]
        while len(calls) > 1 and state.usable_ms - calls[1][0] > self._turn_held_ms:
            calls.pop(0)

        issues = list(facts.issues)
        if not issues or now_ms - issues[-1][0] >= 1000:
            issues.append((now_ms, state.issued))
            fine_ms = now_ms - JUST_ISSUED_MS - 2000
            oldest_ms = now_ms - self._found_absent_ms - EPOCH_MS
            older = {epoch_of(issue[0]): issue for issue in issues if oldest_ms < issue[0] <= fine_ms}
            issues = [*older.values(), *(issue for issue in issues if issue[0] > fine_ms)]
        self._facts = replace(facts, calls=tuple(calls), issues=tuple(issues))

    def _table(self, snapshot: Snapshot, front: int, complete: int) -> Table:
        """The table; until every chunk was looked at once, the last holder's counts with the new facts."""
        if complete < snapshot.state.issued and snapshot.table.end:
            return snapshot.table.with_facts(self._facts)
        return make_table(self._presence, front=front, issued=snapshot.state.issued, facts=self._facts)


def thin(calls: list[tuple[int, int, int]], before_ms: int, spacing_ms: int) -> list[tuple[int, int, int]]:
    """Keep the last call of each `spacing_ms` among those older than `before_ms`."""
    kept: list[tuple[int, int, int]] = []
    for call in calls:
        if kept and call[1] < before_ms and kept[-1][1] // spacing_ms == call[1] // spacing_ms:
            kept.pop()
        kept.append(call)
    return kept
