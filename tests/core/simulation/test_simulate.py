"""Sales in virtual time: the promises hold in them, everybody is accounted for, and the same seed is the same sale."""

import math
import random
import statistics
from dataclasses import replace
from typing import Any

import pytest

from waitroom.core.meter import Limits
from waitroom.core.settings import Settings
from waitroom.core.simulation.crowd import Chances, Habits, arrival_times
from waitroom.core.simulation.outcome import Outcome, most_over, percentiles
from waitroom.core.simulation.simulate import Scenario, simulate

RATE, BURST = 10, 10
LIMITS = Limits(RATE, BURST)
AWAKE = Habits(people=1500, arrivals="lobby")
CROWDS = [
    Habits(people=900, arrivals="spike", over_ms=60_000, no_shows=0.3, slow_tabs=0.2),
    Habits(people=900, arrivals="steady", over_ms=60_000, patience_ms=60_000),
    Habits(people=900, arrivals="lobby", no_shows=0.5, slow_tabs=0.4, patience_ms=120_000),
    Habits(people=900, arrivals="lobby", over_ms=20_000, late=0.3, lobby_leaves=0.3, slow_tabs=0.2),
]
ROOMS = [LIMITS, Limits(RATE, 1), Limits(RATE, BURST, max_active=700), Limits(1, 1, unlimited=True)]


def play(
    habits: Habits, limits: Limits = LIMITS, *, seed: int = 1, until_ms: float = 86_400_000, **given: Any
) -> Outcome:
    settings = Settings.model_validate({"origin": "http://127.0.0.1:1"} | given)
    scenario = Scenario(settings=settings, limits=limits, habits=habits, until_ms=until_ms)
    return simulate(scenario, random.Random(seed))


def admissions_ms(outcome: Outcome) -> list[float]:
    return sorted(at_ms for at_ms in outcome.admit_ms if at_ms < math.inf)


def test_the_same_seed_is_the_same_sale() -> None:
    first, again, other = (play(CROWDS[0], seed=seed) for seed in (1, 1, 2))

    assert again == first
    assert other.admit_ms != first.admit_ms


@pytest.mark.parametrize("limits", ROOMS, ids=str)
@pytest.mark.parametrize("habits", CROWDS, ids=lambda habits: habits.arrivals + ("-and-late" if habits.late else ""))
def test_everybody_is_accounted_for(habits: Habits, limits: Limits) -> None:
    """Also when the sale is cut off in the middle."""
    whole, cut = play(habits, limits), play(habits, limits, until_ms=30_000)

    for outcome in (whole, cut):
        left = outcome.lobby.left if outcome.lobby else 0
        assert outcome.admitted + outcome.gave_up + outcome.lapsed + outcome.waiting + left == outcome.people
        assert outcome.admitted == len(admissions_ms(outcome)) == sum(outcome.admitted_in)
    assert whole.waiting == 0
    assert whole.gone_s is not None
    assert cut.waiting > 0 or limits.unlimited


@pytest.mark.parametrize("limits", ROOMS[:3], ids=str)
@pytest.mark.parametrize("habits", CROWDS, ids=lambda habits: habits.arrivals + ("-and-late" if habits.late else ""))
def test_no_span_of_time_sees_more_than_the_rate_allows(habits: Habits, limits: Limits) -> None:
    """P1, counted here once more, over every pair of admissions."""
    outcome = play(habits, limits)

    times = admissions_ms(outcome)
    most = max(
        last - first + 1 - limits.rate_per_s * (times[last] - times[first]) / 1000
        for first in range(len(times))
        for last in range(first, min(first + 300, len(times)))
    )
    assert most <= limits.burst + 1e-6
    assert outcome.over <= 1e-6


def test_who_stays_comes_in_by_place() -> None:
    """P3: later places come in before only where they claim first: 2 s are reserved ahead, 1.5 s a claim may take."""
    outcome = play(AWAKE)

    latest_ms = 0.0
    for at_ms in outcome.admit_ms:
        assert at_ms > latest_ms - 3500
        latest_ms = max(latest_ms, at_ms)


def test_a_line_that_nobody_leaves_is_gone_after_its_length_over_the_rate() -> None:
    outcome = play(AWAKE)

    assert outcome.gone_s == pytest.approx((1500 - BURST) / RATE, abs=2)
    assert outcome.waits_s[50] == pytest.approx(75, abs=2)
    assert outcome.peak_waiting == 1500
    assert outcome.rate_used == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("no_shows", "slow"), [(0.5, 0.0), (0.9, 0.0), (0.0, 0.8), (0.5, 0.4)])
def test_the_rate_is_used_whoever_leaves_or_sleeps(no_shows: float, slow: float) -> None:
    """P8."""
    outcome = play(Habits(people=4000, arrivals="lobby", no_shows=no_shows, slow_tabs=slow))

    assert outcome.rate_used is not None
    assert outcome.rate_used >= 0.97


def test_a_full_room_is_never_overfull_and_moves_as_fast_as_people_leave() -> None:
    """P2; and Little's law: seats over the time that one is kept."""
    room = Limits(RATE, BURST, max_active=100)
    kept_s = 20 + 30 * 1.05

    outcome = play(replace(AWAKE, shopping_ms=20_000, session_idle_ms=30_000), room)

    assert outcome.peak_inside == max(outcome.inside_at) == 100
    assert outcome.admitted == 1500
    assert outcome.gone_s == pytest.approx((1500 - 100) / (100 / kept_s), rel=0.1)


def test_turns_kept_shorter_than_a_slow_tab_sleeps_lapse() -> None:
    crowd = replace(AWAKE, slow_tabs=0.5)

    assert play(crowd).lapsed == 0
    assert 0.3 < play(crowd, turn_held="10s").lapsed / 750 < 1


def test_people_run_out_of_patience() -> None:
    """Half of those who are called after the median are gone by then."""
    outcome = play(replace(AWAKE, people=6000, patience_ms=100_000))

    assert outcome.gave_up > 2000
    assert outcome.lapsed == 0
    assert outcome.waits_s[100] < 0.6 * 6000 / RATE


def test_a_lobby_is_drawn_and_who_comes_late_stands_behind_it() -> None:
    """Half of the lobby has gone before the opening, the rate is used all the same, and who came to it first waits as
    long as who came last.
    """
    habits = Habits(people=6000, arrivals="lobby", late=0.25, lobby_leaves=0.5, over_ms=20_000)

    outcome = play(habits)

    lobby = outcome.lobby
    assert lobby is not None
    assert lobby.people == 4500
    assert lobby.left == pytest.approx(2250, abs=150)
    assert outcome.admitted == 6000 - lobby.left
    assert outcome.rate_used is not None
    assert outcome.rate_used >= 0.97
    late = [at_ms for at_ms in outcome.admit_ms[4500:] if at_ms < math.inf]
    drawn = [at_ms for at_ms in outcome.admit_ms[:4500] if at_ms < math.inf]
    assert len(late) == 1500
    assert min(late) > max(drawn) - 3500
    assert lobby.first_s is not None
    assert lobby.first_s == pytest.approx(max(drawn) / 2000, rel=0.15)
    assert lobby.last_s == pytest.approx(lobby.first_s, rel=0.15)


def test_who_left_the_lobby_a_moment_before_it_opens_is_skipped_once_missed() -> None:
    outcome = play(Habits(people=1500, arrivals="lobby", lobby_leaves=0.5, lobby_ms=20_000))

    assert outcome.lobby is not None
    assert outcome.admitted == 1500 - outcome.lobby.left
    assert outcome.waiting == 0
    assert outcome.gone_s == pytest.approx(outcome.admitted / RATE, abs=12)


def test_without_limits_everybody_walks_through() -> None:
    outcome = play(CROWDS[1], Limits(1, 1, unlimited=True))

    assert outcome.on_the_spot == outcome.admitted == 900
    assert outcome.rate_used is None
    assert outcome.waits_s[100] == pytest.approx(0)


def test_a_hold_ends_with_a_sentence() -> None:
    with pytest.raises(ValueError, match="nobody would ever come in"):
        play(AWAKE, Limits(1, 1, hold=True))


def test_progress_is_told_up_to_the_end() -> None:
    told: list[tuple[float, int]] = []
    settings = Settings.model_validate({"origin": "http://127.0.0.1:1"})

    simulate(Scenario(settings=settings, limits=LIMITS, habits=AWAKE), random.Random(1), lambda *now: told.append(now))

    assert told == sorted(told)
    assert told[-1][1] > 1200


# The crowd.


def test_people_come_as_the_curve_says() -> None:
    steady, spike, lobby = (
        list(arrival_times(Habits(people=4000, arrivals=curve, over_ms=60_000), random.Random(1)))
        for curve in ("steady", "spike", "lobby")
    )

    assert steady == sorted(steady)
    assert spike == sorted(spike)
    assert max(steady[-1], spike[-1]) < 60_000
    assert statistics.median(steady) == pytest.approx(30_000, rel=0.05)
    assert statistics.median(spike) == pytest.approx(12_000 * math.log(2), rel=0.05)
    assert set(lobby) == {0}
    late = arrival_times(Habits(people=4000, arrivals="lobby", late=0.5, over_ms=60_000), random.Random(1))
    assert set(late[:2000]) == {0}
    assert 0 < late[2000] < statistics.median(late[2000:]) < late[-1] < 60_000


def test_people_stay_as_long_as_was_asked_for() -> None:
    habits = Habits(people=1, patience_ms=60_000, no_shows=0.25, shopping_ms=240_000, session_idle_ms=60_000)
    chances = Chances(habits, random.Random(1))

    patience, walks, seats = (
        [draw() for _ in range(20_000)]
        for draw in (chances.gives_up_after_ms, lambda: chances.walks_off_after_ms((80, 120)), chances.seat_kept_ms)
    )

    assert statistics.median(patience) == pytest.approx(60_000, rel=0.05)
    gone = [walk for walk in walks if walk < math.inf]
    assert len(gone) / len(walks) == pytest.approx(0.25, abs=0.02)
    assert 0 <= min(gone) < max(gone) <= 100_000
    assert statistics.mean(seats) == pytest.approx(240_000 + 63_000, rel=0.05)


# The sums.


def test_the_worst_span_is_found() -> None:
    limits = Limits(rate_per_s=1, burst=2)

    assert most_over([0, 0, 1000, 2000], limits) == 0
    assert most_over([0, 5000, 5000, 5500, 20_000], limits) == pytest.approx(0.5)


def test_percentiles_are_of_people() -> None:
    assert percentiles([1000.0 * wait for wait in range(1, 11)]) == {10: 1, 50: 5, 90: 9, 99: 10, 100: 10}
    assert percentiles([]) == {}
