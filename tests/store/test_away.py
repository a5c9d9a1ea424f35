"""Away when the front passes, called while away, lapsed; in virtual time before the real scripts."""

import pytest

from tests.store.line_simulation import LineSimulation
from tests.store.room_support import room_in
from waitroom.core.meter import Limits
from waitroom.core.settings import Settings

SETTINGS = Settings.model_validate({"origin": "http://127.0.0.1:1"})
HELD_30_S = Settings.model_validate({"origin": "http://127.0.0.1:1", "turn_held": "30s"})


async def test_a_background_tab_whose_timers_run_once_a_minute_keeps_its_turn_by_default(one_redis_url: str) -> None:
    """P7: it learns of the call up to a minute late, and comes in all the same."""
    async with room_in(one_redis_url, Limits(10, 10)) as room:
        simulation = LineSimulation(room, SETTINGS)
        await simulation.join(40, slow=1.0)
        await simulation.join(40)
        await simulation.run(75)

    assert all(person.admit_s is not None for person in simulation.people)


@pytest.mark.parametrize(("asleep_s", "outcome"), [(20.0, "admit"), (60.0, "lapsed")])
async def test_a_phone_that_slept_through_its_call_comes_in_within_turn_held_and_not_later(
    one_redis_url: str, asleep_s: float, outcome: str
) -> None:
    """P7"""
    async with room_in(one_redis_url, Limits(2, 1)) as room:
        simulation = LineSimulation(room, HELD_30_S)
        sleeper, *_ = await simulation.join(20)
        sleeper.offline = (0.1, asleep_s)
        await simulation.run(asleep_s + 5)

    assert sleeper.outcome == outcome
    assert (sleeper.admit_s is not None) == (outcome == "admit")


async def test_being_away_before_the_front_has_passed_costs_nothing(one_redis_url: str) -> None:
    """P3, P7: back before the call, a visitor comes in before everybody behind."""
    async with room_in(one_redis_url, Limits(2, 1)) as room:
        simulation = LineSimulation(room, SETTINGS)
        await simulation.join(60)
        away = simulation.people[50]
        away.offline = (5.0, 20.0)
        await simulation.run(40)

    behind = [person.admit_s for person in simulation.people[51:] if person.admit_s is not None]
    assert away.admit_s is not None
    assert all(at > away.admit_s for at in behind)
