"""The promises of every line, and where a history broke them. Pure: no Redis, none of the project's rules but the
horizon.

    P1   in any span no more admissions begin than burst + rate · span; across a change each under the rate it was made
         at; none is made during a hold, none reserved further ahead than the horizon
    P2   an admission is made only while fewer than max_active passes are good
    P3   the front never goes back; nobody comes on the spot before somebody called or waiting; who stands at the door
         is passed by no more than could be let in at once, of those called two seconds later
    P4   a number goes to one visitor; a place is admitted once, and repeating it says the same
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tests.store.histories.drawn_places import broken_draws, broken_places, broken_runs
from tests.store.histories.events import (
    Admitted,
    Called,
    History,
    Issued,
    Limited,
    Lost,
    Place,
    Seated,
    Stands,
)
from tests.store.histories.links import broken_invites
from tests.store.histories.story import Fault
from waitroom.core.meter import HORIZON_US, Limits

H_S = HORIZON_US / 1e6
STANDING_S = 1.0
"""A worker that lives asks for those at its door four times a second."""
SAME_CALL_S = 2.0
SLACK_S = 0.001


def faults(history: History) -> list[Fault]:
    """Every promise broken, the earliest first."""
    found = [*broken_rate(history), *broken_capacity(history), *broken_order(history), *broken_once(history)]
    found += [*broken_places(history), *broken_draws(history), *broken_runs(history)]
    found += broken_invites(history)
    return sorted(found, key=lambda fault: fault.index)


def broken_rate(history: History) -> Iterator[Fault]:
    """P1, of the room, and of each line by its own part of the limits."""
    lines = {event.line for event in history if isinstance(event, Limited)}
    for line in sorted(lines):
        yield from broken_rate_of(line, history)


def broken_rate_of(line: str, history: History) -> Iterator[Fault]:
    """By a bucket on the time at which admissions begin. A change counts from the last one reserved before it, in
    whichever line.
    """
    limits, said = Limits(1, 1), f" in the {line} line" if line else ""
    last_s = 0.0
    changes: list[tuple[float, int, Limits]] = []
    made: list[tuple[float, int, bool]] = []
    for index, event in enumerate(history):
        if isinstance(event, Limited) and event.line == line:
            limits = event.limits
            changes.append((max(event.at_s, last_s), index, limits))
        elif isinstance(event, Admitted) and event.counts:
            last_s = max(last_s, event.begins_s)
            if line and event.line != line:
                continue
            made.append((event.begins_s, index, limits.unlimited))
            if limits.hold:
                yield Fault("P1", index, f"admitted during a hold{said}", (changes[-1][1],))
            if event.begins_s > event.at_s + H_S + SLACK_S:
                yield Fault("P1", index, f"reserved {event.begins_s - event.at_s:.3f} s ahead")
    for fault in overfull(changes, sorted(made)):
        yield replace(fault, says=fault.says + said)


def overfull(changes: list[tuple[float, int, Limits]], made: list[tuple[float, int, bool]]) -> Iterator[Fault]:
    """Where the bucket held no admission when one began; with all since it was last full. What a change allows more
    counts from the first admission made after it: of two lines, one may have nothing reserved when the other has.
    """
    limits = changes[0][2]
    tokens, then_s, since = limits.burst, 0.0, list[int]()
    coming = iter(changes[1:])
    change = next(coming, None)
    for begins_s, index, is_free in made:
        while change is not None and (change[0] < begins_s or (change[1] < index and allows_more(change[2], limits))):
            at_s, changed, after = min(change[0], begins_s), *change[1:]
            tokens = min(limits.burst, tokens + (at_s - then_s) * limits.rate_per_s)
            tokens = 0.0 if limits.unlimited and not after.unlimited else min(tokens, after.burst)
            then_s, limits = at_s, after
            since.append(changed)
            change = next(coming, None)
        tokens = tokens + (begins_s - then_s) * limits.rate_per_s
        if tokens >= limits.burst:
            tokens, since = limits.burst, []
        then_s = begins_s
        since.append(index)
        if is_free:
            continue
        tokens -= 1
        if tokens < -SLACK_S * max(1.0, limits.rate_per_s):
            yield Fault("P1", index, f"{-tokens:.2f} more admissions than burst + rate · t", tuple(since))
            tokens = 0.0


def allows_more(after: Limits, before: Limits) -> bool:
    return after.unlimited or (after.rate_per_s >= before.rate_per_s and after.burst >= before.burst)


def broken_capacity(history: History) -> Iterator[Fault]:
    """P2: as many good passes as seats, and one more is admitted."""
    limits = Limits(1, 1)
    seats: dict[Place, tuple[float, int]] = {}
    for index, event in enumerate(history):
        match event:
            case Limited(line=""):
                limits = event.limits
            case Seated():
                seats[event.place] = event.end_s, index
            case Admitted():
                seats = {place: seat for place, seat in seats.items() if seat[0] > event.at_s}
                if event.counts and limits.max_active and len(seats) >= limits.max_active:
                    about = tuple(at for _, at in seats.values())
                    yield Fault("P2", index, f"{len(seats)} were inside, of {limits.max_active}", about)
                end_s = max(event.end_s, seats[event.place][0]) if event.place in seats else event.end_s
                seats[event.place] = end_s, index


@dataclass
class _Run:
    """One generation: where the front was when, and who stands at the door."""

    at: list[float] = field(default_factory=list)
    fronts: list[int] = field(default_factory=list)
    standing: dict[int, tuple[float, int, int]] = field(default_factory=dict)
    may_go_back: bool = False

    def front(self) -> int:
        return self.fronts[-1] if self.fronts else 0

    def move(self, at_s: float, front: int) -> bool:
        """False where it would go back."""
        if front < self.front():
            if not self.may_go_back:
                return False
            keep = bisect_left(self.fronts, front)
            del self.at[keep:], self.fronts[keep:]
        self.may_go_back = False
        self.at.append(at_s)
        self.fronts.append(front)
        return True

    def called_s(self, number: int) -> float:
        index = bisect_right(self.fronts, number)
        return self.at[index] if index < len(self.at) else float("inf")


def broken_order(history: History) -> Iterator[Fault]:
    """P3. `standing`: number → (last asked, event, how many of those called later have passed)."""
    limits = Limits(1, 1)
    runs: dict[str, _Run] = {}
    at_once = 0.0
    for index, event in enumerate(history):
        match event:
            case Limited(line=""):
                limits = event.limits
                at_once = max(at_once, limits.burst + limits.rate_per_s * H_S)
            case Lost():
                for run in runs.values():
                    run.may_go_back = True
                    run.standing.clear()
            case Called():
                run = runs.setdefault(event.generation, _Run())
                if not run.move(event.at_s, event.front):
                    yield Fault("P3", index, f"the front was at {run.front()} before")
            case Stands():
                standing = runs.setdefault(event.place.generation, _Run()).standing
                passed = standing.get(event.place.number, (0.0, 0, 0))
                fresh = event.at_s - passed[0] > STANDING_S
                standing[event.place.number] = event.at_s, index, 0 if fresh else passed[2]
            case Admitted(counts=True):
                number = event.place.number
                run = runs.setdefault(event.place.generation, _Run())
                run.standing.pop(number, None)
                there = [n for n, (at_s, *_) in run.standing.items() if n < number and event.at_s - at_s < STANDING_S]
                if event.on_the_spot:
                    if there:
                        yield Fault("P3", index, f"on the spot before {there}, who stand at the door")
                    if run.front() < number:
                        yield Fault("P3", index, f"on the spot before those from {run.front()} on, who wait")
                    run.move(event.at_s, max(run.front(), number + 1))
                    continue
                if number >= run.front() and not run.may_go_back:
                    yield Fault("P3", index, f"admitted before it was called: the front is at {run.front()}")
                if limits.unlimited:
                    continue
                for earlier in there:
                    if run.called_s(earlier) + SAME_CALL_S >= run.called_s(number):
                        continue
                    at_s, asked, passed_by = run.standing[earlier]
                    run.standing[earlier] = at_s, asked, passed_by + 1
                    if passed_by + 1 > at_once:
                        yield Fault("P3", index, f"{earlier} stood at the door, passed by {passed_by + 1}", (asked,))


def broken_once(history: History) -> Iterator[Fault]:
    """P4; what Redis lost it may say anew, but never a number."""
    issued: dict[Place, tuple[str, int]] = {}
    admitted: dict[Place, tuple[Admitted, int]] = {}
    for index, event in enumerate(history):
        match event:
            case Issued():
                known = issued.setdefault(event.place, (event.visitor, index))
                if known[1] != index:
                    yield Fault("P4", index, f"number {event.place} was issued twice", (known[1],))
            case Lost():
                admitted = {place: (a, at) for place, (a, at) in admitted.items() if a.at_s < event.since_s}
            case Admitted():
                if event.place not in admitted:
                    admitted[event.place] = event, index
                    continue
                before, at = admitted[event.place]
                if event.counts:
                    yield Fault("P4", index, f"the admission of {event.place} counts twice", (at,))
                elif event.visitor != before.visitor:
                    yield Fault("P4", index, f"the place {event.place} of another visitor", (at,))
                elif abs(event.begins_s - before.begins_s) > SLACK_S:
                    yield Fault("P4", index, f"the pass of {event.place} is another one now", (at,))
