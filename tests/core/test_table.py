"""The table against a naive count, and what it remembers."""

import timeit
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.presences import presence_of
from waitroom.core.estimate import Move
from waitroom.core.presence import BLOCK, CHUNK, Presence
from waitroom.core.probes import MOST, Probe, Tally
from waitroom.core.release import AGES, Cohort
from waitroom.core.table import EMPTY, EXACT, TIER, Facts, Table, block_at, decode, make_table

quick = settings(max_examples=60)


def naive(seen: set[int], front: int, place: int) -> int:
    return sum(front <= seen_place < place for seen_place in seen)


fronts = st.one_of(st.integers(0, 3 * BLOCK), st.integers(CHUNK - 2 * BLOCK, CHUNK + 2 * BLOCK))
offsets = st.one_of(st.integers(0, EXACT), st.integers(0, 3 * CHUNK))


@quick
@given(fronts, st.sets(offsets, max_size=80), offsets, offsets)
def test_ahead_is_exact_in_the_first_thousands(front: int, people: set[int], offset: int, length: int) -> None:
    seen = {front + person for person in people if person < length}
    issued = front + length
    table = make_table(presence_of(seen), front=front, issued=issued, facts=Facts())
    place = min(front + offset, issued)

    ahead = table.ahead(front, place)

    if place < front - front % BLOCK + EXACT:
        assert ahead == naive(seen, front, place)
    else:
        assert abs(ahead - naive(seen, front, place)) <= block_at(place - (front - front % BLOCK + EXACT))[2] / 4 + 1


edges = st.lists(st.one_of(st.integers(0, 3_000_000), st.integers(0, 40_000)), min_size=2, max_size=40, unique=True)


@quick
@given(fronts, edges, st.lists(st.integers(1, 3_000_000), min_size=1, max_size=20), st.data())
def test_far_back_ahead_is_off_by_a_quarter_of_a_block_at_most(
    front: int, people: list[int], backs: list[int], data: st.DataObject
) -> None:
    """Whole runs of the line are there, others gone, which is the worst for counts of blocks. 256 people as far as a
    quarter of a million places back, and then 0.2 % of the distance.
    """
    runs = [(front + start, front + end) for start, end in list(pairwise(sorted(people)))[::2]]
    presence, issued = Presence(), front + 3_000_000
    presence.assume(runs)
    table = decode(make_table(presence, front=front, issued=issued, facts=Facts()).encode())

    for back in [*backs, *(people[at] for at in data.draw(st.sets(st.integers(0, len(people) - 1))))]:
        place = front + back
        truth = sum(max(0, min(end, place) - start) for start, end in runs)
        bound = max(BLOCK / 4, 0.002 * back) if back >= EXACT else BLOCK / 4 if back >= EXACT - BLOCK else 0

        assert abs(table.ahead(front, place) - truth) <= bound + (bound > 0)


def test_the_worst_block_is_off_by_a_quarter() -> None:
    """That the bound is not larger than it needs to be: the nearer half of a block is there, the farther half gone."""
    presence = Presence()
    start = EXACT + 3 * TIER * BLOCK
    presence.assume([(start, start + 2 * BLOCK)])
    table = make_table(presence, front=0, issued=start + CHUNK, facts=Facts())

    assert block_at(start - EXACT) == (2 * TIER, 0, 4 * BLOCK)
    assert table.ahead(0, start + 2 * BLOCK) == BLOCK


@quick
@given(st.integers(0, 2**32))
def test_blocks_follow_one_another(offset: int) -> None:
    index, rest, size = block_at(offset)

    assert 0 <= rest < size
    assert block_at(offset - rest + size)[:2] == (index + 1, 0)
    assert rest == 0 or block_at(offset - 1) == (index, rest - 1, size)


@quick
@given(fronts, st.sets(offsets, max_size=80), st.integers(1, 3 * CHUNK), st.lists(offsets, min_size=2, max_size=6))
def test_nobody_farther_back_has_fewer_people_ahead(front: int, people: set[int], length: int, at: list[int]) -> None:
    """P11, from one place to the next, over all seams of the table and beyond its end."""
    seen = {front + person for person in people if person < length}
    table = make_table(presence_of(seen), front=front, issued=front + length, facts=Facts())

    aheads = [table.ahead(front, front + offset) for offset in sorted(at)]

    assert all(a <= b for a, b in pairwise(aheads))


@quick
@given(fronts, st.integers(1, 3 * CHUNK), st.lists(st.integers(0, 3 * CHUNK), max_size=5))
def test_a_full_line_is_counted_exactly_everywhere(front: int, length: int, offsets: list[int]) -> None:
    table = make_table(presence_of(set(), [(0, front + length)]), front=front, issued=front + length, facts=Facts())

    for offset in offsets:
        assert table.ahead(front, front + offset) == offset


def test_whoever_came_after_the_table_counts_as_present() -> None:
    table = make_table(presence_of({5}), front=0, issued=100, facts=Facts())

    assert table.ahead(0, 100) == 1
    assert table.ahead(0, 130) == 31
    assert EMPTY.ahead(0, 7) == 7


def test_a_front_that_has_moved_on_is_subtracted() -> None:
    table = make_table(presence_of(set(range(0, 4000, 2))), front=0, issued=4000, facts=Facts())

    assert table.ahead(1000, 2000) == 500
    assert table.ahead(2000, 1000) == 0


@pytest.mark.parametrize("issued", [100_000, 3_000_000, 20_000_000])
def test_the_blob_stays_under_sixteen_kilobytes_however_long_the_line(issued: int) -> None:
    """With the rings as full as they get in a day."""
    calls = tuple((1_800_000_000_000 + at, 1_800_000_000_000 + at, issued - at) for at in range(80))
    issues = tuple((1_800_000_000_000 + at, issued - at) for at in range(22))
    cohort = Cohort(1_800_000_000_000, (999,) * AGES, (999,) * AGES)
    move = Move(1_800_000_000_000, 60_000, 99_999, 99_999, 99_999, 60_000 * issued, 99_999, 60_000 * 5_000)
    probe = Probe(issued, 1_800_000_000_000, issued, 10**7, 10**7, 1_800_000_000_000, 10**7, 10**7)
    tally = Tally(*[10**7] * 5)
    full = Facts(
        calls=calls, issues=issues, cohorts=(cohort,) * 10, moves=(move,) * 34, probes=(probe,) * MOST, tally=tally
    )

    table = make_table(presence_of(set(), [(0, issued)]), front=0, issued=issued, facts=full)

    assert len(table.encode()) <= 16 * 1024
    assert table.ahead(0, issued - 1) == issued - 1


@pytest.mark.timed
def test_a_look_up_costs_the_same_however_long_the_line() -> None:
    """P12: a poll with ten million waiting is a poll with a thousand."""

    def cost_s(issued: int) -> float:
        table = make_table(presence_of(set(), [(0, issued)]), front=0, issued=issued, facts=Facts())
        return min(timeit.repeat(lambda: table.ahead(0, issued - 5), number=2000, repeat=7))

    assert cost_s(10_000_000) < 4 * cost_s(1000)


facts = st.builds(
    Facts,
    calls=st.lists(st.tuples(*[st.integers(0, 10**13)] * 3), max_size=5).map(tuple),
    issues=st.lists(st.tuples(*[st.integers(0, 10**13)] * 2), max_size=5).map(tuple),
    cohorts=st.lists(
        st.builds(
            Cohort,
            st.integers(0, 10**13),
            st.tuples(*[st.integers(0, 99)] * AGES),
            st.tuples(*[st.integers(0, 99)] * AGES),
        ),
        max_size=5,
    ).map(tuple),
    moves=st.lists(st.builds(Move, *[st.integers(0, 10**13)] * 8), max_size=5).map(tuple),
    probes=st.lists(st.builds(Probe, *[st.integers(0, 10**13)] * 8), max_size=5).map(tuple),
    tally=st.builds(Tally, *[st.integers(0, 10**6)] * 5),
)


@quick
@given(fronts, st.sets(offsets, max_size=40), st.integers(0, 2 * CHUNK), facts)
def test_a_table_survives_the_wire(front: int, people: set[int], length: int, known: Facts) -> None:
    seen = {front + person for person in people if person < length}
    table = make_table(presence_of(seen), front=front, issued=front + length, facts=known)

    read = decode(table.encode())

    assert read.facts == known
    assert (read.start, read.end, read.counts) == (table.start, table.end, table.counts)
    assert all(read.before(front + offset) == table.before(front + offset) for offset in range(0, length, 997))
    for made, kind in ((read.facts.cohorts, Cohort), (read.facts.moves, Move), (read.facts.probes, Probe)):
        assert all(isinstance(one, kind) for one in made)


def with_calls(*calls: tuple[int, int, int]) -> Table:
    return Table(start=0, end=0, exact=b"", counts=(), facts=Facts(calls=calls))


def test_a_place_lapses_when_turn_held_has_passed_on_the_clock_of_usable_time() -> None:
    table = with_calls((1000, 5000, 10), (2000, 9000, 25), (2000, 60_000, 40))

    assert [table.lapsed_below(usable, 600) for usable in (1599, 1600, 2599, 2600)] == [0, 10, 10, 40]
    assert EMPTY.lapsed_below(10**9, 600) == 0


def test_a_called_place_is_kept_for_as_long_as_the_turn_is_held() -> None:
    calls = ((1_000, 50_000, 10), (2_000, 51_000, 30))
    table = Table(start=0, end=0, exact=b"", counts=(), facts=Facts(calls=calls))

    assert [table.called_at(place) for place in (0, 9, 10, 29, 30)] == [1_000, 1_000, 2_000, 2_000, None]
    assert table.lapsed_below(2_000 + 600, 600) == 30
    assert table.lapsed_below(2_000 + 599, 600) == 10
