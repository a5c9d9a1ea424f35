"""How many people are called, and how far the front moves."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waitroom.core.meter import HORIZON_US, Limits, Meter, grant
from waitroom.core.presence import Presence
from waitroom.core.release import (
    AGES,
    COHORTS_MS,
    SHARE_MIN,
    Ages,
    Cohort,
    Coming,
    RoomNow,
    coming,
    people_wanted,
    release,
)

H_S = HORIZON_US / 1e6
ALL_COME = Coming((1.0,) * AGES)
NOBODY = (0,) * AGES
ROOM = RoomNow(
    now_us=0.0,
    limits=Limits(10, 5),
    meter=Meter(),
    issued=10_000,
    front=0,
    seats=0,
    door=0,
    soon=NOBODY,
    coming=ALL_COME,
)
quick = settings(max_examples=80)

parts = st.floats(0.05, 1)
rooms = st.builds(
    RoomNow,
    now_us=st.floats(0, 1e12),
    limits=st.builds(
        Limits,
        rate_per_s=st.floats(0.05, 5000),
        burst=st.floats(1, 1000),
        max_active=st.sampled_from([0, 0, 1, 50]),
        unlimited=st.booleans(),
        hold=st.sampled_from([False, False, True]),
    ),
    meter=st.builds(Meter, st.floats(0, 1e12), st.floats(0, 1e12)),
    issued=st.integers(500, 2000),
    front=st.integers(0, 500),
    seats=st.integers(0, 60),
    door=st.integers(0, 60),
    soon=st.tuples(*[st.integers(0, 50)] * AGES),
    coming=st.builds(Coming, st.lists(parts, min_size=AGES, max_size=AGES).map(sorted).map(tuple)),
)


def everybody(issued: int) -> Presence:
    presence = Presence()
    presence.assume([(0, issued)])
    return presence


def fresh(people: int) -> Ages:
    """So many called just now."""
    return (people, *NOBODY[1:])


def test_an_idle_room_calls_the_burst_and_what_the_horizon_holds() -> None:
    assert people_wanted(ROOM) == 5 + 10 * H_S


def test_a_spent_meter_calls_nobody() -> None:
    meter = Meter()
    while (granted := grant(meter, ROOM.limits, 0.0))[0] is not None:
        meter = granted[1]

    assert people_wanted(replace(ROOM, meter=meter)) == 0


def test_people_at_the_door_and_on_their_way_are_not_called_for_again() -> None:
    assert people_wanted(replace(ROOM, door=7)) == people_wanted(ROOM) - 7
    assert people_wanted(replace(ROOM, soon=fresh(4))) == people_wanted(ROOM) - 4


def test_where_half_come_twice_as_many_are_called() -> None:
    half = Coming((0.5,) * AGES)

    assert people_wanted(replace(ROOM, coming=half)) == 2 * people_wanted(ROOM)
    assert people_wanted(replace(ROOM, coming=half, soon=fresh(4))) == 2 * (people_wanted(ROOM) - 2)


def test_who_has_not_come_when_all_who_come_have_come_is_not_expected() -> None:
    """Half come, all of them within a second: the others are absent, and hold nobody back."""
    quickly = Coming((0.5,) * AGES)

    assert quickly.expected((0, 30, 30, 0, 0, 30)) == 0
    assert quickly.expected(fresh(30)) == 15


def test_who_takes_their_time_is_expected_as_long_as_others_took() -> None:
    """Half come in the second second, the other half in the fourth: nobody is called in their place."""
    slowly = Coming((0.0, 0.5, 0.5, 1.0, 1.0, 1.0))
    on_their_way = (10, 10, 5, 5, 0, 0)

    assert slowly.expected(on_their_way) == sum(on_their_way)
    assert slowly.pause_s == 2
    assert people_wanted(replace(ROOM, coming=slowly)) == people_wanted(ROOM) + 2 * ROOM.limits.rate_per_s


def test_seats_are_counted_in_people_and_kept_for_those_who_are_likely_to_come() -> None:
    """Not divided by the share: who comes later than expected stands at the door."""
    few = Coming((0.1,) * AGES)
    room = replace(ROOM, limits=Limits(1000, 1000, max_active=30), coming=few)

    assert people_wanted(room) == 30
    assert people_wanted(replace(room, seats=20, door=3, soon=fresh(30))) == 4
    assert people_wanted(replace(room, seats=20, door=3, soon=fresh(31))) == 3
    assert people_wanted(replace(room, seats=40)) == 0


def test_a_held_room_calls_nobody_and_an_unlimited_one_everybody() -> None:
    assert people_wanted(replace(ROOM, limits=Limits(10, 5, hold=True))) == 0
    assert people_wanted(replace(ROOM, limits=Limits(10, 5, unlimited=True, hold=True))) == 0
    assert people_wanted(replace(ROOM, limits=Limits(10, 5, unlimited=True))) == ROOM.issued
    assert people_wanted(replace(ROOM, limits=Limits(10, 5, unlimited=True, max_active=9))) == 9


@quick
@given(rooms)
def test_the_front_never_goes_back_and_never_beyond_issued(room: RoomNow) -> None:
    front = release(room, everybody(room.issued))

    assert room.front <= front <= room.issued


@quick
@given(rooms)
def test_never_more_are_called_than_the_meter_and_the_seats_could_ever_admit(room: RoomNow) -> None:
    """Even if none of the expected come: what the meter lets in until they are here, over the share; and the seats."""
    wanted = people_wanted(room)

    if room.limits.max_active and wanted:
        assert wanted + room.seats + room.door + room.coming.expected(room.soon) <= room.limits.max_active + 1e-6
    if not room.limits.unlimited:
        seconds = H_S + room.coming.pause_s
        assert wanted <= (room.limits.burst + room.limits.rate_per_s * seconds) / room.coming.share + 1


@quick
@given(rooms, st.integers(1, 20))
def test_more_at_the_door_never_calls_more(room: RoomNow, more: int) -> None:
    assert people_wanted(replace(room, door=room.door + more)) <= people_wanted(room)


def test_the_absent_are_skipped_for_free() -> None:
    """P8: every tenth is present, and the front moves ten times as far."""
    presence = Presence()
    presence.update(0, int.to_bytes(sum(1 << place for place in range(0, 10_000, 10)), 8192, "little"))

    assert release(ROOM, presence) == (people_wanted(ROOM) - 1) * 10 + 1


def test_nothing_known_means_that_everybody_comes() -> None:
    assert coming([], 0) == ALL_COME


@quick
@given(
    st.lists(
        st.builds(
            lambda at_ms, called, came: Cohort(
                at_ms, called, tuple(min(a, b) for a, b in zip(called, came, strict=True))
            ),
            st.integers(0, 60_000),
            st.tuples(*[st.integers(0, 100)] * AGES),
            st.tuples(*[st.integers(0, 100)] * AGES),
        ),
        max_size=40,
    ),
    st.tuples(*[st.integers(0, 100)] * AGES),
)
def test_shares_stay_within_bounds_and_expect_no_more_than_there_are(cohorts: list[Cohort], soon: Ages) -> None:
    found = coming(cohorts, 60_000)

    assert list(found.by_age) == sorted(found.by_age)
    assert all(SHARE_MIN <= part <= 1 + 1e-9 for part in found.by_age)
    assert 0 <= found.pause_s < AGES
    assert 0 <= found.expected(soon) <= sum(soon) + 1e-9


def test_what_came_of_each_second_is_found_again() -> None:
    """A hundred people called each second: nobody comes in the first, then 25 each, and 25 never."""
    cohorts = [Cohort(1000 * at, (100, 100, 75, 50, 25, 25), (0, 25, 25, 25, 0, 0)) for at in range(10)]

    assert coming(cohorts, 9_000).by_age == pytest.approx((SHARE_MIN, 0.25, 0.5, 0.75, 0.75, 0.75), abs=0.02)


def test_the_share_is_measured_of_the_last_ten_seconds() -> None:
    old = Cohort(0, (20,) * AGES, NOBODY)
    new = Cohort(COHORTS_MS + 1, fresh(20), fresh(20))

    assert coming([old, new], COHORTS_MS).share == pytest.approx(0.5, abs=0.05)
    assert coming([old, new], COHORTS_MS + 1).share == 1.0


def test_when_a_crowd_falls_asleep_the_last_to_be_called_tell() -> None:
    """All came within their first second, and now a fifth does."""
    awake = [Cohort(1000 * at, fresh(100), fresh(100)) for at in range(9)]
    asleep = Cohort(9_000, fresh(100), fresh(20))

    assert coming([*awake, asleep], 9_000).share == pytest.approx(0.2, abs=0.02)


def test_one_person_who_did_not_come_says_little() -> None:
    assert coming([Cohort(0, (1,) * AGES, (0,) * AGES)], 0).share >= 0.5
