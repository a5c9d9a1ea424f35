"""The memory of the holder of the lease: who is on the way, who has come, and what the next holder knows of it."""

import pytest

from tests.store.line_simulation import LineSimulation
from tests.store.room_support import TestRoom, room_in
from waitroom.core.figures import STORE_CALLS
from waitroom.core.meter import HORIZON_US, Limits
from waitroom.core.model import Snapshot
from waitroom.core.settings import Settings
from waitroom.core.watch import Watch, thin
from waitroom.store.holder import Holder

RATE, BURST = 20, 20
LIMITS = Limits(RATE, BURST)
SETTINGS = Settings.model_validate({"origin": "http://127.0.0.1:1"})
SHORT_TURNS = Settings.model_validate({"origin": "http://127.0.0.1:1", "turn_held": "20s"})
H_S = HORIZON_US / 1e6


async def take_over(simulation: LineSimulation, room: TestRoom) -> None:
    """Another worker gets the lease: it knows what was published."""
    snapshot = await room.sync()
    simulation.holder = Holder(room.room, "w", simulation.settings)
    simulation.holder.start(snapshot)


async def test_nobody_is_called_for_a_second_after_a_gap(one_redis_url: str) -> None:
    """All workers flush before anyone releases."""
    async with room_in(one_redis_url, LIMITS) as room:
        simulation = LineSimulation(room, SETTINGS)
        await simulation.join(600)
        await simulation.run(5)
        simulation.is_silent = True
        await simulation.run(8)
        simulation.is_silent = False

        before = (await room.sync()).state.front
        await simulation.run(1)
        during = simulation.fronts[-1][1]
        await simulation.run(1)

        assert simulation.outcomes.count("gap") == 1
        assert during == before
        assert simulation.fronts[-1][1] > before


async def test_a_line_in_which_nobody_waits_is_looked_at_every_five_seconds(one_redis_url: str) -> None:
    """P12: a worker that leads both lines of a room would ask Redis more often than twenty times a second."""

    def looks() -> int:
        return room.room.counts[STORE_CALLS["look"]]

    async with room_in(one_redis_url, LIMITS) as room:
        simulation = LineSimulation(room, SETTINGS)
        await simulation.join(30)
        await simulation.run(5)
        busy = looks()
        await simulation.run(15)
        before = looks()
        await simulation.run(20)
        idle = looks() - before
        await simulation.join(30)
        await simulation.run(5)

        assert busy >= 20
        assert idle <= 6
        assert all(person.admit_s is not None for person in simulation.people)


async def test_newcomers_wait_while_people_called_are_on_their_way(one_redis_url: str) -> None:
    """P3: the whole line was called a moment ago, and nobody of it has claimed yet."""
    async with room_in(one_redis_url, LIMITS) as room:
        simulation = LineSimulation(room, SETTINGS, latency_s=(1.0, 1.2))
        await simulation.join(30)
        await simulation.run(0.75)
        assert room.state.front == 30

        (early,) = await room.enter(1, spot=True)
        await simulation.run(2)

        assert early is not None
        assert early.admit_ms is None
        assert all(person.admit_s is not None for person in simulation.people[:30])


async def test_a_hold_says_nothing_about_who_comes(one_redis_url: str) -> None:
    """People called just before a hold see that the line is held, and ask when it is over."""
    async with room_in(one_redis_url, Limits(RATE, 1)) as room:
        simulation = LineSimulation(room, SETTINGS, latency_s=(1.5, 2.0))
        people = await simulation.join(1500)
        await simulation.run(6)
        await room.room.configure({"hold": "1"}, by="test")
        for person in people:
            person.offline = (6.0, 17.0)
        await simulation.run(10)
        before = simulation.fronts[-1][1]

        await room.room.configure({"hold": "0"}, by="test")
        await simulation.run(1)

        assert simulation.fronts[-1][1] - before <= RATE * (1 + H_S) + RATE


async def test_the_next_holder_does_not_call_again_for_those_on_their_way(
    one_redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def called_after_the_change() -> int:
        async with room_in(one_redis_url, Limits(RATE, 1)) as room:
            simulation = LineSimulation(room, SETTINGS, latency_s=(1.5, 2.0))
            await simulation.join(1500)
            await simulation.run(15)
            before = simulation.fronts[-1][1]
            await take_over(simulation, room)
            await simulation.run(0.5)
            return simulation.fronts[-1][1] - before

    kept = await called_after_the_change()
    start = Holder.start

    def forgetful(self: Holder, snapshot: Snapshot | None) -> None:
        start(self, snapshot)
        self.watch._rounds.clear()

    monkeypatch.setattr(Holder, "start", forgetful)
    taken_out = await called_after_the_change()

    assert kept <= 1.5 * RATE + 1
    assert taken_out >= kept + RATE


async def test_turns_lapse_on_time_also_under_the_next_holder(one_redis_url: str) -> None:
    """When somebody was called is published with the front."""
    async with room_in(one_redis_url, LIMITS) as room:
        simulation = LineSimulation(room, SHORT_TURNS)
        for person in await simulation.join(100):
            if person.place % 2:
                person.offline = (4.5, 60.0)
        await simulation.run(5)
        called = simulation.fronts[-1][1]
        await take_over(simulation, room)

        await simulation.run(14)
        early = room.state.lapsed
        await simulation.run(11)

        assert called == 100
        assert early < called
        assert room.state.lapsed == called


def test_who_claims_unseen_counts_as_there() -> None:
    """Somebody back from a long absence claims before the first beat: come, not one fewer on the way."""
    watch = Watch(SETTINGS)
    watch.note(0, seen=b"", claimed=b"\x07", now_ms=0)

    assert watch._people(0, 10, [4]) == (4, 4)


def test_calls_are_thinned_to_one_a_spacing_but_for_the_last_ten_seconds() -> None:
    calls = [(at, at, at // 100) for at in range(0, 60_000, 1000)]

    thinned = thin(calls, 50_000, 15_000)

    assert [at for _, at, _ in thinned[:4]] == [14_000, 29_000, 44_000, 50_000 - 1000]
    assert [call for call in thinned if call[1] >= 50_000] == calls[-10:]


async def test_how_the_estimate_did_is_known_to_the_next_holder(one_redis_url: str) -> None:
    """P11: the places watched and what was found travel in the published table."""
    async with room_in(one_redis_url, LIMITS) as room:
        simulation = LineSimulation(room, SETTINGS)
        await simulation.join(600)
        await simulation.run(10)
        await take_over(simulation, room)
        await simulation.run(25)
        facts = (await room.sync()).table.facts

    assert room.state.front == 600
    assert (facts.tally.first, facts.tally.half) == (4, 4)
    assert facts.tally.first_within == facts.tally.half_within == 4
    assert 380 <= sum(move.admitted for move in facts.moves) <= 600


async def test_people_who_leave_are_counted_but_not_their_late_discovery(one_redis_url: str) -> None:
    """A third of the line left; those who had just come count only once an absence would have been found."""
    async with room_in(one_redis_url, Limits(1, 1)) as room:
        simulation = LineSimulation(room, SETTINGS)
        await simulation.join(900)
        await simulation.run(100)
        early = (await room.sync()).table.facts.moves
        for person in simulation.people[600:]:
            person.leaves_at = simulation.now_s
        await simulation.run(140)
        moves = (await room.sync()).table.facts.moves

    assert sum(move.person_ms for move in early) == 0
    assert sum(move.left for move in moves) == 300
    assert sum(move.called for move in moves) == pytest.approx(240, abs=12)
