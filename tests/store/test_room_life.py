"""What workers and operators cause: release under its lease, changes, creation, adopting, reset; and what is left."""

import asyncio

import pytest

from tests.store.room_support import TestRoom, room_in
from waitroom.core.invites import Invite
from waitroom.core.meter import HORIZON_US, Limits
from waitroom.core.model import write_limits
from waitroom.core.presence import CHUNK, Presence, epochs_seen
from waitroom.core.table import EMPTY, Facts, make_table
from waitroom.store import keys as keys_module
from waitroom.store.invites import note_batch, redeem
from waitroom.store.replies import AdoptNeeded, GenerationGone, Newcomer, Renewal

QUICK = Limits(rate_per_s=10, burst=5)


async def test_only_the_holder_of_the_lease_moves_the_front(redis_url: str) -> None:
    async with room_in(redis_url, QUICK) as room:
        await room.enter(10)
        first = await room.sync("one", lease=True)
        second = await room.sync("two", lease=True)

        async def release(worker: str, front: int) -> str:
            return await room.room.release(
                room.generation, worker, front=front, lapsed=0, soon=0, table=EMPTY, keep_ms=1000
            )

        assert (first.is_holder, second.is_holder) == (True, False)
        assert await release("two", 5) == "lost"
        assert await release("one", 3) == "ok"
        assert (await room.sync()).state.front == 3


async def test_the_front_never_goes_back_and_never_beyond_issued(redis_url: str) -> None:
    async with room_in(redis_url, QUICK) as room:
        await room.enter(10)

        outcomes = [await room.move_front(front) for front in (6, 4, 11, 10)]
        lapsed = [await room.move_front(10, lapsed=lapsed) for lapsed in (5, 2)]

        assert outcomes == ["ok", "ok", "refused", "ok"]
        assert lapsed == ["ok", "ok"]
        assert (room.state.front, room.state.lapsed) == (10, 5)


async def test_a_refused_front_changes_nothing_and_lets_the_lease_run_out(redis_url: str) -> None:
    async with room_in(redis_url, QUICK) as room:
        await room.enter(10)
        await room.sync(lease=True)
        await room.redis.pexpire(room.room.keys.lease, 500)

        await room.move_front(11)

        assert room.state.front == 0
        assert await room.redis.pttl(room.room.keys.lease) <= 500


async def test_a_holder_that_does_not_release_loses_the_lease(redis_url: str) -> None:
    """Syncing renews nothing: whoever only syncs would stop the line for ever."""
    async with room_in(redis_url, QUICK) as room:
        await room.sync("failing", lease=True)
        await room.redis.pexpire(room.room.keys.lease, 150)

        for _ in range(4):
            await asyncio.sleep(0.05)
            await room.sync("failing", lease=False)
        other = await room.sync("other", lease=True)

        assert other.is_holder


async def test_a_release_keeps_the_lease_for_two_seconds(redis_url: str) -> None:
    async with room_in(redis_url, QUICK) as room:
        await room.enter(1)
        await room.sync(lease=True)
        await room.redis.pexpire(room.room.keys.lease, 300)

        await room.move_front(1)

        assert 1800 < await room.redis.pttl(room.room.keys.lease) <= 2000


@pytest.mark.parametrize("pause_s", [5.1, 3600, -6])
async def test_after_five_seconds_without_a_release_nothing_moves_at_first(redis_url: str, pause_s: float) -> None:
    """Absence is a finding: the front stays until it was found anew. The same if the clock went back."""
    async with room_in(redis_url, QUICK) as room:
        await room.enter(10)
        await room.move_front(1)
        await room.clock.pass_s(pause_s)

        outcome = await room.move_front(9)
        front = room.state.front
        after = await room.move_front(9)

        assert (outcome, front, after) == ("gap", 1, "ok")
        assert room.state.gap_ms == int(room.clock.now_ms)


async def test_the_clock_of_turn_held_runs_only_while_a_claim_could_succeed(redis_url: str) -> None:
    async with room_in(redis_url, Limits(10, 5, max_active=3)) as room:
        await room.enter(9)
        await room.move_front(9)

        async def usable_in_two_seconds() -> int:
            before = room.state.usable_ms
            for _ in range(8):
                await room.clock.pass_s(0.25)
                await room.move_front(9)
            return int(room.state.usable_ms) - int(before)

        free = await usable_in_two_seconds()
        await room.claim(0, 1, 2)
        full = await usable_in_two_seconds()
        await room.sync(renewals=[Renewal(room.generation, 0, 0)])
        await room.room.configure({"hold": "1"}, by="test")
        held = await usable_in_two_seconds()
        await room.room.configure({"hold": "0"}, by="test")
        for pause_s in (60, 3):  # a gap, and a lease that changed hands
            await room.clock.pass_s(pause_s)
            await room.move_front(9)
        again = await usable_in_two_seconds()

        assert (free, full, held, again) == (2000, 0, 0, 2000)
        assert room.state.usable_ms == 4000


async def test_the_table_reaches_every_worker_and_is_sent_only_when_new(redis_url: str) -> None:
    async with room_in(redis_url, QUICK) as room:
        await room.enter(3000)
        presence = Presence()
        presence.assume([(0, 2000)])
        await room.sync(lease=True)
        table = make_table(presence, front=0, issued=3000, facts=Facts(calls=((1, 2, 3),)))
        await room.room.release(room.generation, "w", front=0, lapsed=0, soon=0, table=table, keep_ms=1)

        fetched = await room.sync("other")
        kept = await room.sync("other")

        assert fetched.table.encode() == table.encode()
        assert fetched.ahead(2500) == 2000
        assert kept.table is fetched.table


async def test_a_change_answers_what_was_and_what_is(redis_url: str) -> None:
    async with room_in(redis_url, QUICK) as room:
        change = await room.room.configure({"rate": "20.0", "message": "Soon."}, by="test")

        assert change.applied
        assert (change.before.rate_per_s, change.after.rate_per_s) == (10, 20)
        assert (change.message_before, change.message_after) == ("", "Soon.")
        assert (await room.sync()).state.limits == change.after


async def test_a_change_is_kept_with_what_it_means_to_people_in_line(one_redis_url: str) -> None:
    """P11: the page says so."""
    async with room_in(one_redis_url, Limits(10, 10, max_active=50)) as room:
        said = []
        for fields in (
            {"rate": "20.0"}, {"rate": "5.0", "max_active": "90"}, {"max_active": "0"}, {"max_active": "80"},
            {"burst": "9.0"}, {"message": "Soon."}, {"unlimited": "1"}, {"unlimited": "0"}, {"hold": "1"},
            {"rate": "7.0"}, {"hold": "0", "rate": "1.0"},
        ):  # fmt: skip
            await room.clock.pass_s(1)
            await room.room.configure(fields, by="test")
            state = (await room.sync()).state
            said.append((state.change, round(room.clock.now_ms - state.changed_ms)))

    assert said == [
        ("faster", 0), ("slower", 0), ("faster", 0), ("slower", 0), ("slower", 1000), ("slower", 2000), ("faster", 0),
        ("slower", 0), ("held", 0), ("held", 1000), ("resumed", 0),
    ]  # fmt: skip


async def test_the_environments_limits_are_written_only_when_they_changed(redis_url: str) -> None:
    """A deployed change applies; a rolling restart undoes nothing that an operator set."""
    async with room_in(redis_url, QUICK) as room:
        environment = write_limits(Limits(7, 7))
        first = await room.room.configure(environment, by="environment", digest="d1")
        await room.room.configure({"rate": "3.0"}, by="operator")

        restart = await room.room.configure(environment, by="environment", digest="d1")
        after_restart = (await room.sync()).state.limits.rate_per_s
        deploy = await room.room.configure(environment, by="environment", digest="d2")

        assert (first.applied, restart.applied, deploy.applied) == (True, False, True)
        assert restart.before == restart.after
        assert after_restart == 3
        assert (await room.sync()).state.limits.rate_per_s == 7


async def test_a_fresh_room_waits_for_whoever_remembers_one(redis_url: str) -> None:
    async with room_in(redis_url, QUICK) as room:
        await room.sync()
        await room.redis.delete(room.room.keys.state)

        answers = [await room.room.create(QUICK, wait_ms=2000)]
        await room.clock.pass_s(1.9)
        answers.append(await room.room.create(QUICK, wait_ms=2000))
        await room.clock.pass_s(0.2)
        answers.append(await room.room.create(QUICK, wait_ms=2000))
        answers.append(await room.room.create(QUICK, wait_ms=2000))

        assert answers == ["wait", "wait", "ok", "exists"]


async def lose_everything(room: TestRoom) -> None:
    """FLUSHALL for this room, and another server's id if there is state."""
    for key in await room.redis.keys(f"{room.room.keys.prefix}*"):
        await room.redis.delete(key)


async def test_a_room_lost_with_all_its_data_is_put_back(redis_url: str) -> None:
    """P7: numbers go on above everything any worker remembers, front and limits stay."""
    async with room_in(redis_url, Limits(10, 5, max_active=7)) as room:
        await room.enter(200)
        await room.move_front(50)
        await room.room.configure({"message": "Hello."}, by="test")
        remembered = await room.sync()
        unseen = (await room.enter(3))[2]
        await lose_everything(room)

        with pytest.raises(AdoptNeeded):
            await room.sync()
        assert await room.room.adopt(remembered, session_idle_ms=600_000)

        state = (await room.sync()).state
        assert unseen is not None
        assert state.issued >= unseen.number + 1 + 2 * CHUNK - CHUNK
        assert state.issued % CHUNK == 0
        assert state.issued - remembered.state.issued >= 131_072
        assert (state.front, state.generation) == (50, remembered.state.generation)
        assert (state.limits, state.message) == (remembered.state.limits, "Hello.")
        assert state.hole == (200, state.issued)
        assert state.gap_ms == int(room.clock.now_ms)


async def test_adopting_gives_no_credit(redis_url: str) -> None:
    """P1: nobody knows what was admitted in the lost second."""
    limits = Limits(10, 30)
    async with room_in(redis_url, limits) as room:
        await room.enter(100)
        await room.move_front(100)
        await room.claim(*range(30))
        await room.set(server="another", next_at=0)
        await room.room.adopt(room.snapshot, session_idle_ms=600_000)
        await room.sync()

        claims = await room.claim(*range(30, 90))
        await room.clock.pass_s(HORIZON_US / 1e6 + 0.001)
        later = await room.claim(*range(30, 90))

        assert {claim.outcome for claim in claims} == {"door"}
        admits = [claim.admit_ms for claim in later if claim.admit_ms is not None]
        assert len(admits) in (int(HORIZON_US / 1e5), int(HORIZON_US / 1e5) + 1)


async def test_of_two_memories_every_field_takes_the_maximum_and_only_the_first_makes_room(redis_url: str) -> None:
    async with room_in(redis_url, QUICK) as room:
        await room.enter(100)
        await room.move_front(10)
        older = await room.sync()
        await room.enter(20)
        await room.move_front(30, lapsed=4)
        newer = await room.sync()
        await lose_everything(room)

        await room.room.adopt(older, session_idle_ms=600_000)
        first = (await room.sync()).state
        await room.room.adopt(newer, session_idle_ms=600_000)
        second = (await room.sync()).state

        assert (first.front, second.front, second.lapsed) == (10, 30, 4)
        assert first.issued == second.issued
        assert second.meter.next_at_us == first.meter.next_at_us
        assert second.hole == (120, second.issued)


async def test_seats_of_before_are_counted_until_session_idle_has_passed(redis_url: str) -> None:
    """P2: 7 are inside, Redis forgets them; whoever is seen again stops being counted twice."""
    async with room_in(redis_url, Limits(100, 100, max_active=10)) as room:
        await room.enter(7, spot=True)
        await room.enter(20)
        remembered = await room.sync()
        assert remembered.seats == 7
        await lose_everything(room)

        await room.room.adopt(remembered, session_idle_ms=600_000)
        forgotten = (await room.sync()).seats
        end_ms = int(room.clock.now_ms) + 600_000
        seen = (await room.sync(renewals=[Renewal(room.generation, place, end_ms) for place in range(3)])).seats
        await room.sync(lease=True)
        await room.clock.pass_s(3)
        await room.move_front(27)
        granted = [claim.outcome for claim in await room.claim(*range(7, 27))].count("admit")
        await room.clock.pass_s(598)
        later = (await room.sync()).seats

        assert (forgotten, seen) == (7, 7)
        assert granted == 3
        assert later == 3 + granted - 3  # the three seen again have left too; those just let in are inside


async def test_the_higher_ordinal_wins(redis_url: str) -> None:
    """A reset that a fail-over forgot is not undone; an old memory does not bring back an old run."""
    async with room_in(redis_url, QUICK) as room:
        await room.enter(5)
        before = await room.sync()
        fields = await room.redis.hgetall(room.room.keys.state)
        new = await room.room.reset(before.state, by="test", keep_ms=1000)
        after = await room.sync(generation="")

        await room.redis.hset(room.room.keys.state, mapping={**fields, b"server": b"another"})
        await room.room.adopt(after, session_idle_ms=1000)
        adopted = (await room.sync()).state
        await room.set(server="yet another")
        await room.room.adopt(before, session_idle_ms=1000)
        kept = (await room.sync()).state

        assert adopted.generation == kept.generation == new
        assert kept.ordinal == 2


async def test_a_worker_that_remembers_nothing_adopts_what_redis_has(redis_url: str) -> None:
    async with room_in(redis_url, QUICK) as room:
        await room.enter(5)
        await room.set(server="another")

        assert await room.room.adopt(None, session_idle_ms=1000)
        assert (await room.sync()).state.issued >= 3 * CHUNK
        await lose_everything(room)
        assert not await room.room.adopt(None, session_idle_ms=1000)


async def test_a_reset_voids_tickets_and_keeps_the_people_inside(redis_url: str) -> None:
    """P9."""
    async with room_in(redis_url, Limits(1, 2)) as room:
        await room.enter(2, spot=True)
        await room.enter(8)
        await room.move_front(10)
        await room.claim(*range(2, 10))
        old = await room.sync()
        assert old.door > 0

        new = await room.room.reset(old.state, by="test", keep_ms=1000)
        with pytest.raises(GenerationGone):
            await room.claim(9)
        snapshot = await room.sync(generation="")
        entries = await room.enter(1)

        assert snapshot.state.generation == new
        assert (snapshot.state.issued, snapshot.state.front, snapshot.door) == (0, 0, 0)
        assert snapshot.seats == old.seats
        assert snapshot.state.limits == old.state.limits
        assert snapshot.state.meter == old.state.meter
        assert entries[0] is not None
        assert entries[0].number == 0


async def test_whatever_a_busy_run_leaves_behind_expires_but_for_what_the_table_of_keys_names(redis_url: str) -> None:
    """STYLE of the house: a key has a TTL, or keys.py says why not. Every kind of key is met, and none besides."""
    async with room_in(redis_url, Limits(5, 5)) as room:
        await room.redis.delete(room.room.keys.state)
        assert await room.room.create(Limits(5, 5), wait_ms=2000) == "wait"
        await room.clock.pass_s(2.1)
        assert await room.room.create(Limits(5, 5), wait_ms=2000) == "ok"
        await room.sync(generation="")
        await room.enter(10, spot=True)
        await room.enter(150)
        await room.set(issued=CHUNK + 50)
        await room.sync()
        await room.beat(20, 60, CHUNK + 3)
        await room.move_front(CHUNK + 30)
        await room.claim(*range(100, 140))
        await room.move_front(CHUNK + 40)
        await room.enter_these([Newcomer("a" * 32, True, False)])
        await room.room.look(room.generation, "w", [0], epochs_seen(room.clock.now_ms, 90_000), door_from=0)
        await room.room.configure({"message": "x"}, by="test")
        renewals = [Renewal(room.generation, 3, int(room.clock.now_ms) + 1000), Renewal(room.generation, 4, 0)]
        await room.sync(renewals=renewals, confirmed=2)
        await room.room.note({"host_refused": 3})
        await room.room.note({"document": 1}, key=room.room.keys.shadow)
        moved = [room.room.keys.state, room.room.keys.moved("link"), room.room.keys.moves(room.generation, 1)]
        await room.room.run("move", moved, [room.generation, "taker", 1000, 1000, 3])
        await room.room.run(
            "begin_order",
            [room.room.keys.state, room.room.keys.orders("o"), room.room.keys.outcome("o")],
            ["", "1", "{}", 1000, 9, "", "", 0],
        )
        invite = Invite("batch", 0, 1, False, round(room.clock.now_ms) + 60_000)
        await note_batch(room.room, "batch", {"count": "1"}, expires_ms=invite.expires_ms)
        await redeem(room.room, invite, "b" * 32)
        await room.set(server="another")
        assert await room.room.adopt(room.snapshot, session_idle_ms=60_000)

        prefix = room.room.keys.prefix
        found_keys = [key.decode() for key in await room.redis.keys(f"{prefix}*")]
        mine = {key.removeprefix(prefix): await room.redis.pttl(key) for key in found_keys}

    kinds: dict[str, list[tuple[str, int]]] = {}
    for key, ttl in mine.items():
        kinds.setdefault(key.split(":")[0], []).append((key, ttl))
    documented = documented_keys()
    assert set(kinds) <= set(documented)
    assert set(documented) - set(kinds) == {"scratch"}
    for kind, found in kinds.items():
        forever = {key for key, ttl in found if ttl == -1}
        if documented[kind].startswith("never expires"):
            assert len(forever) == len(found), kind
        else:
            assert not forever, f"{forever} never expire, and keys.py does not say so"


def documented_keys() -> dict[str, str]:
    """kind → when it expires, from the docstring's table."""
    assert keys_module.__doc__ is not None
    rows = [line for line in keys_module.__doc__.splitlines() if line.startswith("…:")]
    return {row.removeprefix("…:").split()[0].split(":")[0]: row.rpartition("; ")[2] for row in rows}


async def test_claims_of_a_chunk_begun_right_before_a_reset_expire_too(redis_url: str) -> None:
    """Cause: a reset named the chunks that its caller knew of. Effect: the claims of a later one were kept for ever."""
    async with room_in(redis_url, QUICK) as room:
        await room.set(issued=CHUNK - 1, front=CHUNK - 1)
        known = (await room.sync()).state
        await room.enter(5, spot=True)

        await room.room.reset(known, by="test", keep_ms=1000)

        left_ms = [await room.redis.pttl(key) for key in room.room.keys.claims(known.generation, 1)]
        assert min(left_ms) > 0


async def test_claims_are_kept_while_a_turn_in_their_chunk_counts_and_a_while_after(redis_url: str) -> None:
    """Also where no gateway runs for an hour, so that nobody's turn lapses: none is taken twice."""
    async with room_in(redis_url, QUICK) as room:
        await room.enter(5, spot=True)
        claims, _ = room.room.keys.claims(room.generation, 0)
        await room.set(issued=CHUNK + 9)
        kept = []
        for front, lapsed, before in ((9, 0, 0), (CHUNK + 5, 9, 0), (CHUNK + 5, CHUNK + 1, 9)):
            await room.sync(lease=True)
            await room.room.release(
                room.generation,
                "w",
                front=front,
                lapsed=lapsed,
                lapsed_before=before,
                soon=0,
                table=EMPTY,
                keep_ms=60_000,
            )
            kept.append(await room.redis.pttl(claims))

        assert min(kept[:2]) > 6 * 86_400_000
        assert 0 < kept[2] <= 60_000


async def test_seats_put_back_after_a_loss_expire_too(redis_url: str) -> None:
    """Cause: only an admission gave `active` its TTL. Effect: renewals into an empty Redis made a key for ever."""
    async with room_in(redis_url, QUICK) as room:
        await room.sync(renewals=[Renewal(room.generation, 3, int(room.clock.now_ms) + 1000)])

        assert await room.redis.pttl(room.room.keys.active) > 0


@pytest.mark.parametrize("again", [True, False])
async def test_a_seat_that_somebody_still_holds_expires_too(redis_url: str, again: bool) -> None:
    """Cause: a repeated claim, and an adoption, put back into an empty Redis a seat without a TTL. Effect: where no
    pass was renewed after that, a key for ever.
    """
    async with room_in(redis_url, QUICK) as room:
        await room.enter(1)
        await room.move_front(1)
        await room.claim(0)
        await room.redis.delete(room.room.keys.active)

        if again:
            (claim,) = await room.claim(0)
            assert claim.outcome == "again"
        else:
            granted = [Renewal(room.generation, 0, round(room.clock.now_ms) + 1000)]
            assert await room.room.adopt(room.snapshot, session_idle_ms=60_000, granted=granted)

        assert await room.redis.pttl(room.room.keys.active) > 0


async def test_who_claims_again_at_a_redis_that_forgot_it_has_claimed(redis_url: str) -> None:
    """Cause: only an admission set the bit. Effect: whoever leads the line went on waiting for somebody who was inside,
    and an invite, whose turn nobody seemed to have taken, was good again.
    """
    async with room_in(redis_url, QUICK) as room:
        await room.enter(1)
        await room.move_front(1)
        (claim,) = await room.claim(0)
        assert claim.admit_ms is not None
        await room.redis.delete(*room.room.keys.claims(room.generation, 0))

        (again,) = await room.claim(0)

        _, (look,) = await room.room.look(
            room.generation, "w", [0], epochs_seen(room.clock.now_ms, 90_000), door_from=0
        )
        assert (again.outcome, look.claimed) == ("again", b"\x01")


async def test_beats_are_kept_no_longer_than_they_count(redis_url: str) -> None:
    """Cause: one TTL for the longest away_after. Effect: at a million waiting 33 bytes each instead of one."""
    async with room_in(redis_url, QUICK) as room:
        await room.beat(3)

        (key,) = await room.redis.keys(f"{room.room.keys.prefix}beat:*")
        assert 90_000 <= await room.redis.pttl(key) <= 90_000 + 3 * 15_000
