"""Presence against a naive model: a set of places."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.presences import presence_of
from waitroom.core.presence import (
    BLOCK,
    BLOCKS,
    CHUNK,
    CHUNK_BYTES,
    EPOCH_MS,
    FAR_MS,
    FAR_TURNS,
    Beats,
    Presence,
    chunk_of,
    epoch_of,
    epochs_seen,
    is_due,
    mask,
    nth_bit,
)

# Places near the seams, where things go wrong, and anywhere in three chunks.
seams = [0, 7, 8, BLOCK - 1, BLOCK, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK]
near_seams = st.builds(lambda seam, by: max(0, seam + by), st.sampled_from(seams), st.integers(-9, 9))
places = st.one_of(near_seams, st.integers(0, 3 * CHUNK - 1))
ranges = st.tuples(places, st.integers(0, 40)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def naive(seen: set[int], assumed: list[tuple[int, int]]) -> set[int]:
    return seen.union(*(range(start, end) for start, end in assumed))


def naive_walk(present: set[int], front: int, people: int, end: int) -> int:
    if people <= 0 or front >= end:
        return front
    called = sorted(place for place in present if front <= place < end)
    return called[people - 1] + 1 if len(called) >= people else end


seen_sets = st.sets(places, max_size=60)
assumptions = st.lists(ranges, max_size=2)
quick = settings(max_examples=60)


@quick
@given(seen_sets, assumptions, places, places)
def test_count_is_what_a_set_counts(seen: set[int], assumed: list[tuple[int, int]], a: int, b: int) -> None:
    start, end = min(a, b), max(a, b)

    counted = presence_of(seen, assumed).count(start, end)

    assert counted == sum(start <= place < end for place in naive(seen, assumed))


@quick
@given(seen_sets, assumptions, places, st.integers(-1, 200), places)
def test_walk_is_what_a_sorted_list_does(
    seen: set[int], assumed: list[tuple[int, int]], front: int, people: int, end: int
) -> None:
    walked = presence_of(seen, assumed).walk(front, people, end)

    assert walked == naive_walk(naive(seen, assumed), front, people, end)


@quick
@given(seen_sets, places, st.integers(1, 100), places)
def test_a_walk_calls_no_more_than_it_was_asked_for_and_never_goes_back(
    seen: set[int], front: int, people: int, end: int
) -> None:
    presence = presence_of(seen, [])

    walked = presence.walk(front, people, end)

    assert walked >= front
    assert walked <= max(front, end)
    assert presence.count(front, walked) <= people


@quick
@given(seen_sets, assumptions, st.integers(0, 2))
def test_blocks_add_up(seen: set[int], assumed: list[tuple[int, int]], chunk: int) -> None:
    blocks = presence_of(seen, assumed).blocks(chunk)

    present = naive(seen, assumed)
    assert len(blocks) == BLOCKS
    for index, count in enumerate(blocks):
        low = chunk * CHUNK + index * BLOCK
        assert count == sum(low <= place < low + BLOCK for place in present)


@quick
@given(st.lists(st.tuples(seen_sets, assumptions), min_size=2, max_size=4), places)
def test_blocks_are_counted_anew_when_bits_or_assumptions_change(
    rounds: list[tuple[set[int], list[tuple[int, int]]]], end: int
) -> None:
    presence = Presence()

    for seen, assumed in rounds:
        beats = Beats()
        for place in seen:
            beats.note(place)
        bits = {chunk: b"\0" * start + body for chunk, start, body in beats.take(beats.chunks())}
        for chunk in range(3):
            presence.update(chunk, bits.get(chunk, b""))
        presence.assume(assumed)
        assert presence.count(0, end) == sum(place < end for place in naive(seen, assumed))


@quick
@given(st.sets(st.integers(0, CHUNK - 1), min_size=1, max_size=200), st.data())
def test_nth_bit_is_the_nth_of_the_sorted_list(bits: set[int], data: st.DataObject) -> None:
    n = data.draw(st.integers(1, len(bits)))

    assert nth_bit(sum(1 << bit for bit in bits), n) == sorted(bits)[n - 1]


def test_a_range_that_counts_as_present_may_span_chunks() -> None:
    presence = presence_of({1, 2 * CHUNK + 9}, [(5, 2 * CHUNK + 5)])

    assert presence.count(0, 3 * CHUNK) == 2 * CHUNK + 2
    assert sum(presence.blocks(1)) == CHUNK
    assert presence.walk(0, CHUNK + 1, 3 * CHUNK) == CHUNK + 5
    assert presence.walk(0, 2 * CHUNK + 2, 3 * CHUNK) == 2 * CHUNK + 10
    assert presence.walk(0, 2 * CHUNK + 3, 3 * CHUNK) == 3 * CHUNK


def test_nth_bit_of_a_full_chunk_is_its_last() -> None:
    assert nth_bit((1 << CHUNK) - 1, CHUNK) == CHUNK - 1
    assert nth_bit((1 << CHUNK) - 1, 1) == 0


@quick
@given(st.integers(0, 300), st.integers(0, 300))
def test_a_mask_is_a_range(start: int, end: int) -> None:
    assert mask(start, end) == sum(1 << bit for bit in range(start, end))


@quick
@given(seen_sets, seen_sets)
def test_beats_that_could_not_be_flushed_are_flushed_the_next_time(first: set[int], then: set[int]) -> None:
    beats = Beats()
    for place in first:
        beats.note(place)
    beats.give_back(beats.take(beats.chunks()))
    for place in then:
        beats.note(place)

    presence = Presence()
    for chunk, start, body in beats.take(beats.chunks()):
        presence.update(chunk, b"\0" * start + body)

    assert {place for place in first | then if presence.count(place, place + 1)} == first | then
    assert sum(presence.count(chunk * CHUNK, (chunk + 1) * CHUNK) for chunk in range(4)) == len(first | then)
    assert beats.take(beats.chunks()) == []


def test_only_the_chunks_named_are_taken() -> None:
    beats = Beats()
    beats.note(5)
    beats.note(CHUNK + 5)

    assert beats.take([1, 2]) == [(1, 0, b"\x20")]
    assert beats.chunks() == [0]


def test_a_chunk_of_bits_is_eight_kibibytes() -> None:
    beats = Beats()
    beats.note(CHUNK - 1)

    assert beats.take([0]) == [(0, CHUNK_BYTES - 1, b"\x80")]


def test_forgotten_chunks_hold_nothing() -> None:
    presence = presence_of({3, CHUNK + 3, 2 * CHUNK + 3}, [])

    presence.forget(2)

    assert presence.count(0, 3 * CHUNK) == 1
    assert presence.seen(1) == 0


@quick
@given(st.integers(0, 10**13), st.integers(15_000, 3_600_000))
def test_the_epochs_seen_cover_away_after_and_not_two_epochs_more(now_ms: int, away_after_ms: int) -> None:
    """ceil(away_after / 15 s) + 1 epochs: a beat of away_after ago still counts, one of two epochs earlier does not."""
    epochs = epochs_seen(now_ms, away_after_ms)

    assert len(epochs) == -(-away_after_ms // EPOCH_MS) + 1
    assert epoch_of(now_ms) in epochs
    assert now_ms < away_after_ms or epoch_of(now_ms - away_after_ms) in epochs
    assert epoch_of(now_ms - away_after_ms - 2 * EPOCH_MS) not in epochs


def test_the_seam_of_a_chunk() -> None:
    assert (chunk_of(CHUNK - 1), chunk_of(CHUNK)) == (0, 1)


@quick
@given(st.integers(0, 10**6), st.lists(st.integers(1, 9000), min_size=1, max_size=60), st.integers(0, 10**12))
def test_every_far_chunk_has_one_turn_in_five_seconds_at_any_pace(chunk: int, steps: list[int], start_ms: int) -> None:
    """Slow syncs, missed ones: no turn is lost and none comes twice."""
    now_ms, turns = start_ms, 0
    for step in steps:
        turns += is_due(chunk, now_ms, now_ms + step)
        now_ms += step

    most = sum(-(-step // FAR_MS) for step in steps)
    assert turns <= min(most, -(-(now_ms - start_ms) // FAR_MS))
    assert turns >= (now_ms - start_ms) // FAR_MS if max(steps) <= FAR_MS else turns >= 1


def test_turns_are_spread_evenly() -> None:
    """So that no sync carries them all."""
    step_ms = FAR_MS // FAR_TURNS

    due = [sum(is_due(chunk, at, at + step_ms) for chunk in range(7, 167)) for at in range(0, FAR_MS, step_ms)]

    assert due == [160 // FAR_TURNS] * FAR_TURNS
