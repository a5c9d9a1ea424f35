"""How many people are called, and how far the front moves."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waitroom.core.meter import HORIZON_US, Limits, Meter, grant
from waitroom.core.presence import Presence
from waitroom.core.release import COHORTS_MS, SHARE_MIN, Cohort, Coming, RoomNow, coming, people_wanted, release

H_S = HORIZON_US / 1e6
ALL_COME = Coming(1.0, 1.0, 1.0)
ROOM = RoomNow(
    now_us=0.0,
    limits=Limits(10, 5),
    meter=Meter(),
    issued=10_000,
    front=0,
    seats=0,
    door=0,
    soon=(0, 0, 0),
    coming=ALL_COME,
)
quick = settings(deadline=None, max_examples=80)

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
    soon=st.tuples(*[st.integers(0, 50)] * 3),
    coming=st.builds(Coming, parts, parts, parts),
)


def everybody(issued: int) -> Presence:
    presence = Presence()
    presence.assume([(0, issued)])
    return presence


def test_an_idle_room_calls_the_burst_and_what_the_horizon_holds() -> None:
    assert people_wanted(ROOM) == 5 + 10 * H_S


def test_a_spent_meter_calls_nobody() -> None:
    meter = Meter()
    while (granted := grant(meter, ROOM.limits, 0.0))[0] is not None:
        meter = granted[1]

    assert people_wanted(replace(ROOM, meter=meter)) == 0


def test_people_at_the_door_and_on_their_way_are_not_called_for_again() -> None:
    assert people_wanted(replace(ROOM, door=7)) == people_wanted(ROOM) - 7
    assert people_wanted(replace(ROOM, soon=(4, 0, 0))) == people_wanted(ROOM) - 4


def test_where_half_come_twice_as_many_are_called() -> None:
    half = Coming(0.5, 0.5, 0.5)

    assert people_wanted(replace(ROOM, coming=half)) == 2 * people_wanted(ROOM)
    assert people_wanted(replace(ROOM, coming=half, soon=(4, 0, 0))) == 2 * (people_wanted(ROOM) - 2)


def test_who_has_not_come_when_all_who_come_have_come_is_not_expected() -> None:
    """Half come, all of them within a second: the others are absent, and hold nobody back."""
    quickly = Coming(after_1_s=0.5, after_2_s=0.5, share=0.5)

    assert quickly.expected((0, 30, 30)) == 0
    assert quickly.expected((30, 0, 0)) == 15


def test_seats_are_counted_in_people_and_not_divided_by_the_share() -> None:
    room = replace(ROOM, limits=Limits(1000, 1000, max_active=30), coming=Coming(0.1, 0.1, 0.1))

    assert people_wanted(room) == 30
    assert people_wanted(replace(room, seats=20, door=3, soon=(1, 2, 1))) == 3
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
    """Even if none of the expected come: the burst and the horizon, over the share; and never beyond the seats."""
    wanted = people_wanted(room)

    if room.limits.max_active and wanted:
        assert wanted + room.seats + room.door + sum(room.soon) <= room.limits.max_active
    if not room.limits.unlimited:
        assert wanted <= (room.limits.burst + room.limits.rate_per_s * H_S) / room.coming.share + 1


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
            st.tuples(*[st.integers(0, 100)] * 3),
            st.tuples(*[st.integers(0, 100)] * 3),
        ),
        max_size=40,
    ),
    st.tuples(*[st.integers(0, 100)] * 3),
)
def test_shares_stay_within_bounds_and_expect_no_more_than_there_are(
    cohorts: list[Cohort], soon: tuple[int, int, int]
) -> None:
    found = coming(cohorts, 60_000)

    assert all(SHARE_MIN <= part <= 1 for part in found)
    assert 0 <= found.expected(soon) <= sum(soon) + 1e-9


def test_the_share_is_measured_of_the_last_ten_seconds() -> None:
    old = Cohort(0, (100, 100, 100), (0, 0, 0))
    new = Cohort(COHORTS_MS + 1, (98, 98, 98), (48, 48, 48))

    assert coming([old, new], COHORTS_MS + 1).share == pytest.approx(0.5)


def test_one_person_who_did_not_come_says_little() -> None:
    assert coming([Cohort(0, (1, 1, 1), (0, 0, 0))], 0).share >= 0.5
