"""A room against a model of one thread: random histories of verbs, the same answers."""

import asyncio
import bisect
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.store.room_support import START_S, Replacement, TestRoom, room_in
from tests.support import RedisServer, running_redis
from waitroom.core import presence
from waitroom.core.meter import Limits, Meter, change, grant, grantable
from waitroom.core.model import write_limits
from waitroom.core.table import EMPTY
from waitroom.store.replies import Newcomer, Renewal

SEAT_MS, REPEAT_MS, DOOR_MS, SOON_MS, AWAY_MS = 60_000, 20_000, 5_000, 3_000, 90_000
GAP_MS = 1_000
"""No seat is given so long after a gap without releases: a worker may have to put back what a lost Redis forgot."""
WRONG = "wrong_us"
"""By how much the clock of a worker is off: no script reads it."""
REPEATS = 30


class Model:
    """What a room is, without Redis. Times in ms since 1970."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.meter = limits, Meter()
        self.now_ms = START_S * 1000.0
        self.issued = self.front = self.lapsed = self.soon = self.admitted = 0
        self.soon_at_ms, self.gap_ms = 0.0, -math.inf
        self.claims: dict[int, tuple[str, float, float]] = {}
        self.repeats: Counter[int] = Counter()
        self.seats: dict[int, float] = {}
        self.ended: set[int] = set()
        self.door: dict[int, float] = {}
        self.seen: dict[int, float] = {}

    @property
    def now_us(self) -> float:
        return (self.now_ms - START_S * 1000) * 1000

    def left(self) -> float:
        return min(grantable(self.meter, self.limits, self.now_us), self.free_seats())

    def free_seats(self) -> float:
        self.seats = {place: end for place, end in self.seats.items() if end > self.now_ms}
        if self.limits.max_active and self.now_ms - self.gap_ms < GAP_MS:
            return 0
        return self.limits.max_active - len(self.seats) if self.limits.max_active else math.inf

    def admit(self, place: int, visitor: str) -> float:
        admit_us, self.meter = grant(self.meter, self.limits, self.now_us)
        assert admit_us is not None
        admit_ms = START_S * 1000 + admit_us / 1000
        self.claims[place] = visitor, admit_ms, self.now_ms
        self.seats[place] = admit_ms + SEAT_MS
        self.admitted += 1
        return admit_ms

    def enter(self, newcomers: list[Newcomer]) -> list[tuple[int, float | None] | None]:
        expected = self.soon > 0 and self.now_ms - self.soon_at_ms < SOON_MS
        spots = self.left() if self.front >= self.issued and not expected and not self.door else 0
        found: list[tuple[int, float | None] | None] = []
        for visitor, may_number, may_spot in newcomers:
            if spots > 0 and may_spot:
                found.append((self.issued, self.admit(self.issued, visitor)))
                self.issued += 1
                self.front, spots = self.issued, spots - 1
            elif may_number:
                found.append((self.issued, None))
                self.issued, spots = self.issued + 1, 0
            else:
                found.append(None)
        return found

    def drop_from_the_door(self) -> None:
        self.door = {place: asked for place, asked in self.door.items() if asked > self.now_ms - DOOR_MS}

    def claim(self, places: list[int], visitors: list[str]) -> list[tuple[str, float | None, int]]:
        self.drop_from_the_door()
        left, free = grantable(self.meter, self.limits, self.now_us), self.free_seats()
        found: list[tuple[str, float | None, int]] = []
        for place, visitor in zip(places, visitors, strict=True):
            if place in self.claims:
                owner, admit_ms, granted_ms = self.claims[place]
                may_repeat = self.repeats[place] < REPEATS
                if owner != visitor:
                    found.append(("taken", None, 0))
                elif place in self.seats and may_repeat:
                    self.repeats[place] += 1
                    found.append(("again", admit_ms, 0))
                elif may_repeat and place not in self.ended and self.now_ms - granted_ms <= REPEAT_MS and free > 0:
                    free -= 1
                    self.repeats[place] += 1
                    self.seats[place] = self.now_ms + SEAT_MS
                    found.append(("again", admit_ms, 0))
                else:
                    found.append(("lapsed", None, 0))
            elif place >= self.front:
                found.append(("waiting", None, 0))
            elif place < self.lapsed:
                found.append(("lapsed", None, 0))
            else:
                rank = bisect.bisect_left(sorted(self.door), place)
                if rank < min(left, free):
                    left, free = left - 1, free - 1
                    self.door.pop(place, None)
                    found.append(("admit", self.admit(place, visitor), 0))
                else:
                    self.door[place] = self.now_ms
                    found.append(("door", None, rank))
        return found


def places_of(bits: bytes) -> set[int]:
    value = int.from_bytes(bits, "little")
    return {place for place in range(value.bit_length()) if value >> place & 1}


class RoomAgainstModel(RuleBasedStateMachine):
    """Each rule does the same to both and compares the answers."""

    server: RedisServer
    without: Sequence[Replacement] = ()

    @initialize(
        rate=st.sampled_from([0.5, 2.0, 20.0]), burst=st.sampled_from([1.0, 4.0]), max_active=st.sampled_from([0, 0, 3])
    )
    def start(self, rate: float, burst: float, max_active: int) -> None:
        limits = Limits(rate, burst, max_active)
        self.model = Model(limits)
        self.runner = asyncio.Runner()
        self.opened = room_in(self.server.url, limits, without=self.without)
        self.room: TestRoom = self.runner.run(self.opened.__aenter__())
        self.visitors = 0

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self.opened.__aexit__(None, None, None))
            self.runner.close()

    def do(self, work: Any) -> Any:
        return self.runner.run(work)

    @rule(flags=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=8))
    def enter(self, flags: list[tuple[bool, bool]]) -> None:
        newcomers = []
        for may_number, may_spot in flags:
            newcomers.append(Newcomer(f"{self.visitors:032x}", may_number, may_spot))
            self.visitors += 1

        entries = self.do(self.room.enter_these(newcomers, seat_ms=SEAT_MS))

        for entry, expected in zip(entries, self.model.enter(newcomers), strict=True):
            assert (entry is None) == (expected is None)
            if entry is not None and expected is not None:
                assert entry.number == expected[0]
                self.same_time(entry.admit_ms, expected[1])

    @precondition(lambda self: self.model.issued)
    @rule(data=st.data(), stranger=st.booleans())
    def claim(self, data: st.DataObject, stranger: bool) -> None:
        places = sorted(data.draw(st.sets(st.integers(0, self.model.issued - 1), min_size=1, max_size=10)))
        owners = [self.model.claims[p][0] if p in self.model.claims else f"{p:032x}" for p in places]
        if stranger:
            owners[0] = "f" * 32

        claims = [
            self.do(self.room.claim(place, visitor=owner, seat_ms=SEAT_MS, repeat_ms=REPEAT_MS))[0]
            for place, owner in zip(places, owners, strict=True)
        ]

        for claim, place, owner in zip(claims, places, owners, strict=True):
            ((outcome, admit_ms, rank),) = self.model.claim([place], [owner])
            assert (claim.outcome, claim.rank) == (outcome, rank)
            self.same_time(claim.admit_ms, admit_ms)

    @rule(people=st.integers(-2, 6), lapsing=st.integers(0, 2), soon=st.integers(0, 1))
    def call(self, people: int, lapsing: int, soon: int) -> None:
        """Sometimes by a holder that knows an older front."""
        model = self.model
        front = max(0, min(model.front + people, model.issued))
        lapsed = min(model.lapsed + lapsing, front)

        outcome = self.do(self.room.move_front(front, lapsed=lapsed, soon=soon))
        if outcome == "gap":
            model.gap_ms = model.now_ms
            outcome = self.do(self.room.move_front(front, lapsed=lapsed, soon=soon))

        assert outcome == "ok"
        model.front, model.lapsed = max(front, model.front), max(lapsed, model.lapsed)
        model.soon, model.soon_at_ms = soon, model.now_ms
        model.drop_from_the_door()

    @precondition(lambda self: self.model.issued > self.model.front)
    @rule()
    def call_without_the_lease(self) -> None:
        self.do(self.room.sync(lease=True))

        outcome = self.do(
            self.room.room.release(
                self.room.generation, "other", front=self.model.issued, lapsed=0, soon=0, table=EMPTY, keep_ms=720_000
            )
        )

        assert outcome == "lost"

    @precondition(lambda self: self.model.issued)
    @rule(data=st.data())
    def poll(self, data: st.DataObject) -> None:
        places = data.draw(st.sets(st.integers(0, self.model.issued - 1), min_size=1, max_size=5))

        self.do(self.room.beat(*places))

        self.model.seen |= dict.fromkeys(places, self.model.now_ms)
        self.model.drop_from_the_door()

    def look(self) -> None:
        """Whoever was seen within `away_after` is there, and nobody for two epochs longer."""
        model = self.model
        epochs = presence.epochs_seen(model.now_ms, AWAY_MS)

        _, (look,) = self.do(self.room.room.look(self.room.generation, "w", [0], epochs, door_from=0))

        there, claimed = places_of(look.seen), places_of(look.claimed)
        ago = {place: model.now_ms - seen_ms for place, seen_ms in model.seen.items()}
        assert {place for place, ms in ago.items() if ms <= AWAY_MS} <= there
        assert there <= {place for place, ms in ago.items() if ms <= AWAY_MS + 2 * presence.EPOCH_MS}
        assert claimed == set(model.claims)

    @rule(wrong_s=st.sampled_from([-3600, 0, 3600]))
    def a_workers_clock_jumps(self, wrong_s: int) -> None:
        """Nothing of it may be seen: Redis time decides."""
        self.do(self.room.redis.hset(self.room.clock.key, WRONG, wrong_s * 1_000_000))

    @rule(seconds=st.sampled_from([0.5, 2.9, 5.1, 21.0, 89.0]))
    def wait(self, seconds: float) -> None:
        self.do(self.room.clock.pass_s(seconds))
        self.model.now_ms = self.room.clock.now_ms
        self.look()

    @precondition(lambda self: self.model.seats)
    @rule(data=st.data(), longer_ms=st.sampled_from([0, -30_000, 90_000]))
    def renew_or_leave(self, data: st.DataObject, longer_ms: int) -> None:
        place = data.draw(st.sampled_from(sorted(self.model.seats)))
        end_ms = int(self.model.now_ms) + longer_ms if longer_ms else 0

        self.do(self.room.sync(renewals=[Renewal(self.room.generation, place, end_ms)]))

        if not longer_ms:
            del self.model.seats[place]
            self.model.ended.add(place)
        else:
            self.model.seats[place] = max(self.model.seats[place], end_ms)
        self.model.drop_from_the_door()

    @rule(hold=st.booleans(), rate=st.sampled_from([0.5, 2.0, 20.0]), max_active=st.sampled_from([0, 2, 5]))
    def change_limits(self, hold: bool, rate: float, max_active: int) -> None:
        model = self.model
        after = replace(model.limits, hold=hold, rate_per_s=rate, max_active=max_active)
        self.do(self.room.room.configure(write_limits(after), by="test"))
        if rate != model.limits.rate_per_s:
            model.meter = change(model.meter, model.limits, after, model.now_us)
        model.limits = after

    @invariant()
    def the_counts_agree(self) -> None:
        if not hasattr(self, "room"):
            return
        model = self.model
        snapshot = self.do(self.room.sync())
        model.drop_from_the_door()
        model.left()
        state = snapshot.state
        assert (state.issued, state.front, state.lapsed, state.admitted) == (
            model.issued,
            model.front,
            model.lapsed,
            model.admitted,
        )
        assert (snapshot.seats, snapshot.door) == (len(model.seats), len(model.door))
        model.meter = state.meter  # the same but for a thousandth of a microsecond

    @staticmethod
    def same_time(found: float | None, expected: float | None) -> None:
        assert (found is None) == (expected is None)
        assert found is None or expected is None or abs(found - expected) < 0.05


def test_random_histories_are_the_same_as_of_one_thread() -> None:
    with running_redis() as server:
        RoomAgainstModel.server = server
        quick = settings(max_examples=40, stateful_step_count=25)
        case = RoomAgainstModel.TestCase()
        case.settings = quick  # type: ignore[misc]
        case.runTest()
