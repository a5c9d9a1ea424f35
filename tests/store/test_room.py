"""What visitors cause: enter, claim, and what the holder of the lease looks at."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from tests.store.room_support import START_S, room_in
from waitroom.core.meter import HORIZON_US, Limits
from waitroom.core.presence import CHUNK, Beats, epochs_seen
from waitroom.store.replies import AdoptNeeded, Beat, Claimed, Entry, GenerationGone, Newcomer, Renewal
from waitroom.store.room import Room

SLOW = Limits(rate_per_s=1, burst=1)
QUICK = Limits(rate_per_s=10, burst=5)
H_S = HORIZON_US / 1e6


def numbers(entries: list[Entry | None]) -> list[int | None]:
    return [entry.number if entry else None for entry in entries]


def outcomes(claims: list[Claimed]) -> list[str]:
    return [claim.outcome for claim in claims]


async def test_numbers_are_consecutive_over_calls(redis_url: str) -> None:
    """P4."""
    async with room_in(redis_url, SLOW) as room:
        given = [number for people in (1, 7, 200) for number in numbers(await room.enter(people))]

        assert given == list(range(208))
        assert (await room.sync()).state.issued == 208


async def test_the_first_come_in_on_the_spot_as_far_as_the_meter_allows(redis_url: str) -> None:
    async with room_in(redis_url, QUICK) as room:
        entries = await room.enter(60, spot=True)

        inside = [entry for entry in entries if entry and entry.admit_ms is not None]
        assert len(inside) == 5 + int(H_S * 10)
        assert [entry.number for entry in inside] == list(range(len(inside)))
        assert [entry.admit_ms for entry in inside[:5]] == [room.clock.now_ms] * 5
        assert inside[-1].admit_ms == pytest.approx(room.clock.now_ms + H_S * 1000)
        snapshot = await room.sync()
        assert snapshot.state.front == len(inside)
        assert snapshot.state.admitted == snapshot.state.on_the_spot == snapshot.seats == len(inside)


async def test_nobody_comes_on_the_spot_behind_somebody_who_waits(redis_url: str) -> None:
    """P3: also in the same call, and when only the one in front may not come on the spot."""
    async with room_in(redis_url, QUICK) as room:
        mixed = [Newcomer("a" * 32, True, True), Newcomer("b" * 32, True, False), Newcomer("c" * 32, True, True)]

        first = await room.enter_these(mixed)
        later = await room.enter(1, spot=True)

        assert [entry is not None and entry.admit_ms is not None for entry in first] == [True, False, False]
        assert later[0] is not None
        assert later[0].admit_ms is None


async def test_nobody_comes_on_the_spot_while_somebody_called_is_expected(redis_url: str) -> None:
    async with room_in(redis_url, QUICK) as room:
        await room.enter(1)
        await room.move_front(1, soon=1)

        during = await room.enter(1, spot=True)
        await room.move_front(2, soon=1)
        await room.clock.pass_s(3.1)
        after = await room.enter(1, spot=True)

        assert during[0] is not None
        assert during[0].admit_ms is None
        assert after[0] is not None
        assert after[0].admit_ms == room.clock.now_ms


async def test_nobody_comes_on_the_spot_while_somebody_stands_at_the_door(redis_url: str) -> None:
    async with room_in(redis_url, Limits(1, 1, max_active=1)) as room:
        await room.enter(1, spot=True)
        await room.enter(1)
        await room.move_front(2)
        assert outcomes(await room.claim(1)) == ["door"]
        await room.set(max_active=2)
        await room.clock.pass_s(2)

        entries = await room.enter(1, spot=True)

        assert entries[0] is not None
        assert entries[0].admit_ms is None


@pytest.mark.parametrize("field", ["hold", "max_active"])
async def test_nobody_comes_on_the_spot_into_a_held_or_full_room(redis_url: str, field: str) -> None:
    """P2."""
    limits = Limits(100, 100, max_active=3, hold=field == "hold")
    async with room_in(redis_url, limits) as room:
        entries = await room.enter(10, spot=True)

        inside = [entry for entry in entries if entry and entry.admit_ms is not None]
        assert len(inside) == (0 if field == "hold" else 3)


async def test_who_may_take_no_number_comes_in_on_the_spot_or_not_at_all(redis_url: str) -> None:
    """P10: and burns no number."""
    async with room_in(redis_url, Limits(0.1, 2)) as room:
        guests = [Newcomer(f"{index:032x}", index == 3, True) for index in range(5)]

        entries = await room.enter_these(guests)

        assert numbers(entries) == [0, 1, None, 2, None]
        assert (await room.sync()).state.issued == 3


async def test_an_unlimited_room_lets_everybody_in_at_once(redis_url: str) -> None:
    async with room_in(redis_url, Limits(1, 1, unlimited=True)) as room:
        entries = await room.enter(200, spot=True)

        assert all(entry and entry.admit_ms == room.clock.now_ms for entry in entries)


@pytest.mark.parametrize("at", [CHUNK - 100, CHUNK - 1, CHUNK, 2 * CHUNK - 1, 7 * CHUNK + 5])
@pytest.mark.parametrize("hint", [0, CHUNK - 1, 7 * CHUNK, 9 * CHUNK])
async def test_a_stale_hint_of_the_chunk_is_put_right(one_redis_url: str, at: int, hint: int) -> None:
    """The keys of a call depend on `issued`, which the caller knows only of its snapshot; across a seam as well."""
    async with room_in(one_redis_url, Limits(1000, 300)) as room:
        await room.set(issued=at, front=at)
        newcomers = [Newcomer(f"{index:032x}", True, True) for index in range(200)]

        entries = await room.enter_these(newcomers, issued=hint)

        assert numbers(entries) == list(range(at, at + 200))
        claims = [
            await room.redis.hexists(room.room.keys.claims(room.generation, place // CHUNK)[0], place)
            for place in (at, at + 199)
        ]
        assert claims == [True, True]


async def test_a_repeated_call_is_answered_not_executed(redis_url: str) -> None:
    """P4: a lost answer, asked for again."""
    async with room_in(redis_url, QUICK) as room:
        first = await room.enter(8, spot=True, call_id="one")
        again = await room.enter(8, spot=True, call_id="one")
        await room.enter(1)
        await room.move_front(9)
        claimed = await room.claim(8, call_id="two")
        claimed_again = await room.claim(8, call_id="two", repeat_ms=0)

        assert again == first
        assert claimed_again == claimed
        snapshot = await room.sync()
        assert (snapshot.state.issued, snapshot.state.admitted) == (9, 9)


async def test_claims_are_granted_in_order_and_spaced(redis_url: str) -> None:
    async with room_in(redis_url, QUICK) as room:
        await room.enter(10)
        await room.move_front(10)

        claims = await room.claim(*range(10))

        admits = [claim.admit_ms for claim in claims]
        now_ms = room.clock.now_ms
        assert outcomes(claims) == ["admit"] * 10
        assert admits == pytest.approx([now_ms] * 5 + [now_ms + 100 * step for step in range(1, 6)])


async def test_who_was_not_called_waits(redis_url: str) -> None:
    async with room_in(redis_url, QUICK) as room:
        await room.enter(3)
        await room.move_front(1)

        assert outcomes(await room.claim(0, 1, 2)) == ["admit", "waiting", "waiting"]


async def test_beyond_the_horizon_one_stands_at_the_door_in_order_of_place(redis_url: str) -> None:
    """P3: the lower place gets the next admission, whoever asks first."""
    async with room_in(redis_url, SLOW) as room:
        await room.enter(20)
        await room.move_front(20)
        granted = outcomes(await room.claim(*range(3))).count("admit")
        assert granted == 1 + int(H_S)

        behind = await room.claim(*range(10, 14))
        before = await room.claim(5, 6)
        await room.clock.pass_s(1)
        unlucky = await room.claim(10)
        lucky = await room.claim(5)

        assert [(claim.outcome, claim.rank) for claim in behind] == [("door", rank) for rank in range(4)]
        assert [(claim.outcome, claim.rank) for claim in before] == [("door", 0), ("door", 1)]
        assert outcomes(unlucky) == ["door"]
        assert outcomes(lucky) == ["admit"]
        assert (await room.sync()).door == 5


async def test_two_free_admissions_leave_room_for_the_second_at_the_door(redis_url: str) -> None:
    """Nobody behind is kept waiting by people in front of them who can all be granted now."""
    async with room_in(redis_url, SLOW) as room:
        await room.enter(20)
        await room.move_front(20)
        await room.claim(*range(6))
        assert (await room.sync()).door == 3
        await room.clock.pass_s(2)

        assert outcomes(await room.claim(4)) == ["admit"]
        assert outcomes(await room.claim(5)) == ["door"]
        assert outcomes(await room.claim(3)) == ["admit"]


async def test_who_does_not_renew_drops_out_of_the_door_after_five_seconds(redis_url: str) -> None:
    async with room_in(redis_url, SLOW) as room:
        await room.enter(20)
        await room.move_front(20)
        await room.claim(0, 1, 2, 3)
        await room.clock.pass_s(4.9)
        still_behind = [(await room.claim(place))[0].outcome for place in (7, 8, 9, 10, 11, 12)]
        await room.clock.pass_s(0.2)

        snapshot = await room.sync()

        assert still_behind[0] == "admit"
        assert snapshot.door == still_behind.count("door")


async def test_a_claim_may_be_repeated_by_its_visitor_and_nobody_else(redis_url: str) -> None:
    """P4: the same pass, counted once; within two minutes, or while the seat is counted. Later it is lapsed."""
    async with room_in(redis_url, QUICK) as room:
        await room.enter(1)
        await room.move_front(1)
        (first,) = await room.claim(0, seat_ms=300_000)

        await room.clock.pass_s(100)
        (soon,) = await room.claim(0, seat_ms=300_000)
        (other,) = await room.claim(0, visitor="f" * 32)
        await room.clock.pass_s(100)
        (seated,) = await room.claim(0)
        await room.clock.pass_s(101)
        await room.sync()
        (late,) = await room.claim(0)
        (other_late,) = await room.claim(0, visitor="f" * 32)

        assert (soon.outcome, seated.outcome) == ("again", "again")
        assert soon.admit_ms == seated.admit_ms == first.admit_ms
        assert (other.outcome, other_late.outcome) == ("taken", "taken")
        assert late.outcome == "lapsed"
        assert (await room.sync()).state.admitted == 1


async def test_a_claim_may_be_repeated_for_two_minutes_also_if_the_seat_was_forgotten(redis_url: str) -> None:
    async with room_in(redis_url, QUICK) as room:
        await room.enter(1)
        await room.move_front(1)
        (first,) = await room.claim(0)
        await room.room.client.delete(room.room.keys.active)
        await room.clock.pass_s(119)
        (in_time,) = await room.claim(0)
        seats = (await room.sync()).seats
        await room.room.client.delete(room.room.keys.active)
        await room.clock.pass_s(2)
        (late,) = await room.claim(0)

        assert (in_time.outcome, in_time.admit_ms) == ("again", first.admit_ms)
        assert seats == 1
        assert late.outcome == "lapsed"


async def test_a_claim_may_be_repeated_thirty_times(redis_url: str) -> None:
    """P4: a ticket copied to any number of browsers is one admission and one seat, and goes no further than that."""
    async with room_in(redis_url, QUICK) as room:
        await room.enter(2)
        await room.move_front(2)
        (first,) = await room.claim(0)
        repeats = [claim for _ in range(50) for claim in await room.claim(0)]
        (other,) = await room.claim(1)
        snapshot = await room.sync()

        assert outcomes(repeats) == ["again"] * 30 + ["lapsed"] * 20
        assert {claim.admit_ms for claim in repeats[:30]} == {first.admit_ms}
        assert other.outcome == "admit"
        assert (snapshot.state.admitted, snapshot.seats) == (2, 2)


async def test_a_seat_that_was_put_back_is_not_claimed_twice(redis_url: str) -> None:
    """P4: Redis lost the claim, and the worker that knew of it put the seat back before the next try."""
    async with room_in(redis_url, replace(QUICK, max_active=5)) as room:
        await room.enter(2)
        await room.move_front(2)
        await room.claim(0, 1)
        await room.redis.delete(*room.room.keys.claims(room.generation, 0))

        again = await room.claim(0, 1)
        (copied,) = await room.claim(0, visitor="f" * 32)
        snapshot = await room.sync()

        assert outcomes(again) == ["again", "again"]
        assert copied.outcome == "taken"
        assert (snapshot.state.admitted, snapshot.seats) == (2, 2)


async def test_who_has_left_cannot_claim_the_same_place_again(redis_url: str) -> None:
    """P2: leave, then claim within the two minutes, or go on with a copied pass, was a way past a full room."""
    async with room_in(redis_url, replace(QUICK, max_active=1)) as room:
        await room.enter(3, spot=False)
        await room.move_front(3)
        await room.claim(0)
        gone = await room.sync(renewals=[Renewal(room.generation, 0, 0)])
        (again,) = await room.claim(0)
        (other,) = await room.claim(1)
        copied = await room.sync(renewals=[Renewal(room.generation, 0, int(room.clock.now_ms) + 600_000)])

        assert gone.ended == (f"{room.generation}:0".encode(),)
        assert [claim.outcome for claim in (again, other)] == ["lapsed", "admit"]
        assert copied.seats == 1


async def test_lifting_the_limit_lets_the_waiting_in_now_and_not_at_the_end_of_a_spent_burst(redis_url: str) -> None:
    async with room_in(redis_url, Limits(0.1, 20)) as room:
        await room.enter(20, spot=True)
        await room.room.configure({"unlimited": "1"}, by="test")

        entries = await room.enter(50, spot=True)

        assert [entry.admit_ms for entry in entries if entry] == [room.clock.now_ms] * 50


async def test_an_entry_on_the_spot_is_a_claim_too(redis_url: str) -> None:
    """Its ticket, shown to claim, gives the same pass to the same visitor."""
    async with room_in(redis_url, QUICK) as room:
        (entry,) = await room.enter_these([Newcomer("e" * 32, True, True)])

        (again,) = await room.claim(0, visitor="e" * 32)
        (other,) = await room.claim(0, visitor="f" * 32)

        assert entry is not None
        assert (again.outcome, again.admit_ms) == ("again", entry.admit_ms)
        assert other.outcome == "taken"


async def test_a_lapsed_turn_is_lapsed(redis_url: str) -> None:
    async with room_in(redis_url, QUICK) as room:
        await room.enter(4)
        await room.move_front(4, lapsed=2)

        assert outcomes(await room.claim(0, 1, 2, 3)) == ["lapsed", "lapsed", "admit", "admit"]


async def test_a_full_room_is_handed_out_in_order_as_seats_come_back(redis_url: str) -> None:
    """P2, P3."""
    async with room_in(redis_url, Limits(1000, 1000, max_active=2)) as room:
        await room.enter(6)
        await room.move_front(6)
        assert outcomes(await room.claim(0, 1, 3, 4)) == ["admit", "admit", "door", "door"]

        back = await room.sync(renewals=[Renewal(room.generation, 0, 0)])
        later = await room.claim(4)
        next_one = await room.claim(3)
        full = await room.claim(4)

        assert back.seats == 1
        assert outcomes(later) == ["door"]
        assert outcomes(next_one) == ["admit"]
        assert outcomes(full) == ["door"]


async def test_a_held_room_lets_nobody_in_who_has_no_admission_yet(redis_url: str) -> None:
    async with room_in(redis_url, QUICK) as room:
        await room.enter(3)
        await room.move_front(3)
        (before,) = await room.claim(0)
        await room.room.configure({"hold": "1"}, by="test")

        during = await room.claim(0, 1, 2)
        await room.room.configure({"hold": "0"}, by="test")
        after = await room.claim(1, 2)

        assert before.outcome == "admit"
        assert outcomes(during) == ["again", "door", "door"]
        assert outcomes(after) == ["admit", "admit"]


async def test_claims_of_many_chunks_go_in_one_call(redis_url: str) -> None:
    async with room_in(redis_url, Limits(100, 100)) as room:
        places = [0, CHUNK - 1, CHUNK, 5 * CHUNK + 9]
        await room.set(issued=6 * CHUNK, front=6 * CHUNK)
        await room.sync()

        assert outcomes(await room.claim(*places)) == ["admit"] * 4
        assert outcomes(await room.claim(*places)) == ["again"] * 4


async def test_what_was_noted_and_claimed_is_what_is_looked_at(redis_url: str) -> None:
    """The bits of beats and of claims have one order: place 0 claimed is not place 7."""
    async with room_in(redis_url, QUICK) as room:
        await room.enter(40)
        await room.move_front(40)
        await room.beat(3, 9, 38)
        await room.beat(9, 17)
        await room.claim(0, 9, 12, 23)
        await room.claim(*range(30, 36))

        epochs = epochs_seen(room.clock.now_ms, 90_000)
        door, looks = await room.room.look(room.generation, "w", [0], epochs, door_from=0)

        seen = int.from_bytes(looks[0].seen, "little")
        claimed = int.from_bytes(looks[0].claimed, "little")
        assert [place for place in range(40) if seen >> place & 1] == [3, 9, 17, 38]
        assert (
            {0, 9, 12, 23} <= {place for place in range(40) if claimed >> place & 1} <= {0, 9, 12, 23, *range(30, 36)}
        )
        assert claimed.bit_count() + len(door) == 10


async def test_the_door_is_looked_at_from_a_place_on(redis_url: str) -> None:
    async with room_in(redis_url, Limits(0.1, 1)) as room:
        await room.enter(10)
        await room.move_front(10)
        await room.claim(*range(10))

        door, _ = await room.room.look(room.generation, "w", [0], range(1), door_from=6)

        assert door == [6, 7, 8, 9]


async def test_bits_of_many_chunks_and_offsets_are_merged(redis_url: str) -> None:
    async with room_in(redis_url, QUICK) as room:
        places = {0, 70, CHUNK - 1, CHUNK, 3 * CHUNK + 1000}
        for place in sorted(places):
            await room.beat(place)
        await room.beat(*places)

        epochs = epochs_seen(room.clock.now_ms, 90_000)
        _, looks = await room.room.look(room.generation, "w", [0, 1, 2, 3], epochs, door_from=0)

        found = {
            chunk * CHUNK + bit
            for chunk, look in enumerate(looks)
            for bit in range(CHUNK)
            if bit // 8 < len(look.seen) and look.seen[bit // 8] >> bit % 8 & 1
        }
        assert found == places


async def test_a_beat_is_forgotten_after_away_after(redis_url: str) -> None:
    async with room_in(redis_url, QUICK) as room:
        await room.beat(4)

        async def is_seen() -> bool:
            epochs = epochs_seen(room.clock.now_ms, 90_000)
            _, looks = await room.room.look(room.generation, "w", [0], epochs, door_from=0)
            return looks[0].seen != b""

        await room.clock.pass_s(90)
        present = await is_seen()
        await room.clock.pass_s(30)
        away = not await is_seen()

        assert present
        assert away


async def test_renewals_only_ever_lengthen_a_seat_and_zero_gives_it_back(redis_url: str) -> None:
    async with room_in(redis_url, QUICK) as room:
        await room.enter(1, spot=True, seat_ms=30_000)
        now_ms = int(room.clock.now_ms)

        async def end_after(end_ms: int) -> int | None:
            await room.sync(renewals=[Renewal(room.generation, 0, end_ms)])
            return await room.room.seat_end(room.generation, 0, now_ms=now_ms)

        ends = [await end_after(now_ms + plus_ms) for plus_ms in (600_000, 400_000, 700_000)]
        back = await end_after(0)

        assert ends == [now_ms + 600_000, now_ms + 600_000, now_ms + 700_000]
        assert back is None


async def test_a_seat_ends_by_itself(redis_url: str) -> None:
    """A provisional seat, never seen again, is free after its 30 s."""
    async with room_in(redis_url, QUICK) as room:
        await room.enter(5, spot=True, seat_ms=30_000)

        before = (await room.sync()).seats
        await room.clock.pass_s(30.1)
        after = (await room.sync()).seats

        assert (before, after) == (5, 0)


async def test_workers_are_counted_with_their_keys_while_they_sync(redis_url: str) -> None:
    async with room_in(redis_url, QUICK) as room:
        await room.sync("one", key_ids=["k1", "k2"])
        both = await room.sync("two", key_ids=["k2"])
        await room.clock.pass_s(5.1)
        alone = await room.sync("two", key_ids=["k2"])

        assert (both.workers, alone.workers) == (3, 1)
        assert both.keys == {"k1", "k2"}
        assert alone.keys == {"k2"}


async def test_every_script_refuses_another_generation_and_another_server(redis_url: str) -> None:
    """P5, P7: numbers of another run mean nothing; a Redis that came back is adopted first."""
    async with room_in(redis_url, QUICK) as room:
        await room.enter(1)
        await room.sync()
        beats = Beats()
        beats.note(0)
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: room.enter(1),
            lambda: room.claim(0),
            lambda: room.sync(beats=[Beat(*taken) for taken in beats.take([0])]),
            lambda: room.room.look(room.generation, "w", [0], range(1), door_from=0),
            lambda: room.room.configure({"hold": "1"}, by="test", generation=room.generation),
            lambda: room.room.reset(room.state, by="test", keep_ms=1000),
        ]

        await room.set(generation="another")
        for call in calls:
            with pytest.raises(GenerationGone):
                await call()
        await room.set(server="another", generation=room.generation)
        for call in calls:
            with pytest.raises(AdoptNeeded):
                await call()

        assert (await room.redis.hmget(room.room.keys.state, "issued", "hold")) == [b"1", b"0"]


async def test_without_a_room_everything_asks_to_adopt(redis_url: str) -> None:
    """No other script creates state."""
    room = Room.connect(redis_url, "never-made")
    with pytest.raises(AdoptNeeded):
        await room.sync("", "w")
    assert await room.client.keys("waitroom:{never-made}:*") == []
    await room.close()


async def test_meter_times_are_counted_from_the_rooms_creation(redis_url: str) -> None:
    async with room_in(redis_url, QUICK) as room:
        await room.clock.pass_s(7)
        snapshot = await room.sync()

        assert snapshot.state.created_s == START_S
        assert snapshot.now_us == 7e6
