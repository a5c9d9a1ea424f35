"""The draw of a lobby in a real Redis whose clock the test turns: announced, fixed, revealed; and what may get lost."""

from typing import Any

import pytest
import structlog

from tests.store.room_support import START_S, TestRoom, drawing_of
from tests.store.test_phases import LEAD_S, NOW_MS, OPENS_S, at, sale_in, schedule
from waitroom.core.sale.draw_record import Record, contradictions, read_record
from waitroom.core.sale.draw_state import Draw
from waitroom.store.drawing import Drawing, enter_note
from waitroom.store.overview import read_log

IN_LOBBY_S, DRAW_S = 150, OPENS_S - LEAD_S
SOURCE = "the national lottery of that evening"


def draw(room: TestRoom) -> Draw:
    assert room.state.draw is not None
    return room.state.draw


def record(room: TestRoom) -> Record:
    """The public record, after a look at what it carries."""
    found, checksum = read_record(draw(room).record(room.room.keys.prefix[len("waitroom:{") : -2]).to_json())
    assert list(contradictions(found, checksum)) == []
    return found


def places(room: TestRoom, people: int) -> list[int]:
    assert room.snapshot is not None
    return [room.snapshot.place_of(number) for number in range(people)]


async def everything(room: TestRoom) -> bytes:
    """All that Redis holds of the room."""
    parts: list[Any] = []
    for key in await room.keys():
        match await room.redis.type(key):
            case b"hash":
                parts += [key, *(await room.redis.hgetall(key)).items()]
            case b"stream":
                parts += [key, *await room.redis.xrange(key)]
            case b"zset":
                parts += [key, *await room.redis.zrange(key, 0, -1)]
            case _:
                parts += [key, await room.redis.get(key)]
    return repr(parts).encode()


async def at_with(room: TestRoom, second: float, source: str) -> str | None:
    await room.clock.set((START_S + second) * 1e6)
    return await room.catch_up(source=source)


async def test_a_lobby_opens_with_a_commitment_and_the_draw_keeps_to_it(redis_url: str) -> None:
    async with sale_in(redis_url) as room:
        await at(room, IN_LOBBY_S)
        announced = record(room)
        await room.enter(300)
        await at(room, DRAW_S)
        drawn = record(room)

        assert (announced.seed, announced.numbers, announced.source) == (None, None, "")
        assert announced.opened_at == "2027-01-15T08:02:30.000Z"
        assert drawn.commitment == announced.commitment
        assert (drawn.numbers, drawn.people, drawn.left_out, drawn.note) == (300, 300, (), "")
        assert sorted(places(room, 300)) == list(range(300))
        assert places(room, 300) != list(range(300))
        logged = {entry["event"]: entry for entry in await read_log(room.room, 100)}
        assert logged["draw_announced"]["commitment"] == announced.commitment
        assert logged["draw_revealed"]["value"] == drawn.seed


async def test_a_worker_logs_the_commitment_once_and_before_the_draw(redis_url: str) -> None:
    async with sale_in(redis_url) as room:
        worker = room.drawing()
        with structlog.testing.capture_logs() as logged:
            await at(room, IN_LOBBY_S)
            announced = draw(room).commitment
            logged.clear()
            for _ in range(3):
                worker.attach(await room.sync(generation=""))
            await room.enter(10)
            await at(room, DRAW_S)
            worker.attach(await room.sync(generation=""))
            late = room.drawing()
            count = len(logged)
            late.attach(await room.sync(generation=""))

        said = [entry for entry in logged if entry["event"] == "draw_announced"]
        assert [entry["commitment"] for entry in said] == [announced]
        assert len(logged) == count


async def test_before_the_draw_the_seed_is_nowhere(redis_url: str) -> None:
    """Neither in Redis, nor in what is said, nor logged."""
    async with sale_in(redis_url) as room:
        with structlog.testing.capture_logs() as logged:
            await at(room, IN_LOBBY_S)
            await room.enter(10)
            told = record(room)
            held = await everything(room)
        await at(room, DRAW_S)
        seed = draw(room).seed

        assert len(seed) == 64
        for text in (repr(told).encode(), held, repr(logged).encode()):
            assert seed.encode() not in text
            assert bytes.fromhex(seed) not in text
        assert seed.encode() in await everything(room), "and this would have found it"


async def test_two_lobbies_are_drawn_differently(redis_url: str) -> None:
    seeds = []
    for _ in range(2):
        async with sale_in(redis_url) as room:
            await at(room, IN_LOBBY_S)
            await at(room, DRAW_S)
            seeds.append(draw(room).seed)

    assert seeds[0] != seeds[1]


async def test_who_comes_after_the_draw_is_behind_everybody_and_nobody_is_in_both(redis_url: str) -> None:
    """P3, P4."""
    async with sale_in(redis_url) as room:
        await at(room, IN_LOBBY_S)
        await room.enter(40)
        await at(room, DRAW_S)
        await room.enter(5)
        await at(room, OPENS_S)
        await room.enter(5)
        await room.catch_up()

        everybody = places(room, 50)
        assert sorted(everybody[:40]) == list(range(40))
        assert everybody[40:] == list(range(40, 50))


# The key.


async def test_a_worker_without_the_key_waits_for_one_that_has_it(redis_url: str) -> None:
    """A key in use for a draw is not to be rotated out before it; if it was, nothing is drawn wrongly."""
    async with sale_in(redis_url) as room:
        await at(room, IN_LOBBY_S)
        await room.enter(20)
        stranger = drawing_of(room.room, secret="another-key-0123456789abcdef0123456")
        both = "another-key-0123456789abcdef0123456,a-key-of-this-test-0123456789abcdef"
        await room.clock.set((START_S + DRAW_S) * 1e6)
        await room.latch()

        with structlog.testing.capture_logs() as logged:
            told = [await settle(stranger, room) for _ in range(3)]
        waiting = (draw(room).seed, room.state.space, room.state.sale.next_step())
        assert await settle(drawing_of(room.room, secret=both), room)
        await room.catch_up()

        assert told == [False, False, False]
        assert [line["event"] for line in logged] == ["draw_key_missing"], "once"
        assert waiting == ("", "n", None)
        assert record(room).people == 20
        assert room.state.sale.opening_ms == NOW_MS + OPENS_S * 1000


async def settle(drawing: Drawing, room: TestRoom) -> bool:
    return await drawing.settle(drawing.attach(await room.sync(generation="")))


async def test_the_opening_waits_for_the_key_and_then_for_the_lead(redis_url: str) -> None:
    async with sale_in(redis_url) as room:
        await at(room, IN_LOBBY_S)
        await room.enter(20)
        await room.clock.set((START_S + OPENS_S + 100) * 1e6)
        still = [await room.latch(), await room.latch()]
        await room.catch_up()

        assert still == ["drawn", "drawn"]
        assert await at(room, OPENS_S + 100 + LEAD_S - 0.001) == "drawn"
        assert await at(room, OPENS_S + 100 + LEAD_S) == "open"


# The note.


async def test_with_a_source_the_opening_waits_for_the_note(redis_url: str) -> None:
    async with sale_in(redis_url) as room:
        await at_with(room, IN_LOBBY_S, SOURCE)
        await room.enter(20)
        early = await enter_note(room.room, room.state, "7 12 31", by="test")
        await at_with(room, DRAW_S, SOURCE)
        waiting = (draw(room).record("shop"), room.state.space)
        still = await at_with(room, OPENS_S + 30, SOURCE)
        entered = await enter_note(room.room, room.state, "7 12 31", by="test")
        again = [await enter_note(room.room, room.state, note, by="test") for note in ("7 12 31", "1 2 3")]
        await room.catch_up(source=SOURCE)
        drawn = record(room)

        assert (early, entered, again) == ("early", "done", ["known", "other"])
        assert (waiting[0].seed is not None, waiting[0].note, waiting[1]) == (True, None, "n")
        assert (still, drawn.note, drawn.source) == ("drawn", "7 12 31", SOURCE)
        assert sorted(places(room, 20)) == list(range(20))
        assert await at_with(room, OPENS_S + 30 + LEAD_S - 0.001, SOURCE) == "drawn"
        assert await at_with(room, OPENS_S + 30 + LEAD_S, SOURCE) == "open"


async def test_a_note_without_a_source_is_refused(redis_url: str) -> None:
    async with sale_in(redis_url) as room:
        before = await enter_note(room.room, room.state, "x", by="test")
        await at(room, IN_LOBBY_S)
        await room.enter(3)
        await at(room, DRAW_S)
        after = await enter_note(room.room, room.state, "x", by="test")

        assert (before, after) == ("none", "none")


async def test_nobody_in_the_lobby_needs_no_note(redis_url: str) -> None:
    async with sale_in(redis_url) as room:
        await at_with(room, IN_LOBBY_S, SOURCE)
        await at_with(room, DRAW_S, SOURCE)

        assert await at_with(room, OPENS_S, SOURCE) == "open"
        assert await enter_note(room.room, room.state, "x", by="test") == "late"


# What gets lost.


async def lose_everything(room: TestRoom) -> None:
    remembered = room.snapshot
    await room.redis.delete(*await room.keys())
    assert await room.room.adopt(remembered, session_idle_ms=1000)
    await room.clock.pass_s(2)


async def test_numbers_left_out_by_a_loss_in_the_lobby_take_no_places(redis_url: str) -> None:
    """P7, P11: the people are drawn, the holes are not: nobody sees a position beyond the people there are."""
    async with sale_in(redis_url) as room:
        await at(room, IN_LOBBY_S)
        await room.enter(100)
        await room.sync()
        announced = draw(room).commitment
        await lose_everything(room)
        await room.sync(generation="")
        later = await room.enter(50)
        await at(room, DRAW_S)
        drawn = record(room)

        assert drawn.commitment == announced
        assert (drawn.people, drawn.left_out) == (150, (room.state.hole,))
        assert later[0] is not None
        people = [*range(100), *range(later[0].number, later[0].number + 50)]
        assert room.snapshot is not None
        assert sorted(map(room.snapshot.place_of, people)) == list(range(150))
        assert room.state.nobodies[0] == (150, drawn.numbers)


@pytest.mark.parametrize("second", [DRAW_S + 5, OPENS_S + 5], ids=["in the lead", "after the opening"])
async def test_places_outlive_a_redis_that_lost_everything(redis_url: str, second: float) -> None:
    """P7: the draw is not made again, and everybody keeps their place."""
    async with sale_in(redis_url) as room:
        await at(room, IN_LOBBY_S)
        await room.enter(100)
        await at(room, DRAW_S)
        before, told = places(room, 120), record(room)
        await at(room, second)
        await lose_everything(room)
        await room.catch_up()

        assert (places(room, 120), record(room)) == (before, told)
        assert (await room.enter(1))[0] is not None
        assert room.state.nobodies == ((100, 100), room.state.hole)


async def test_a_number_that_turns_up_from_a_hole_is_behind_the_lobby(redis_url: str) -> None:
    """P4, P7: two seconds after an adoption a worker is back that had given it out: no place is given twice."""
    async with sale_in(redis_url) as room:
        await at(room, IN_LOBBY_S)
        await room.enter(100)
        remembered = await room.sync()
        await room.enter(7)
        more = await room.sync()
        await room.redis.delete(*await room.keys())
        assert await room.room.adopt(remembered, session_idle_ms=1000)
        await at(room, DRAW_S)
        drawn = record(room)
        assert await room.room.adopt(more, session_idle_ms=1000)
        await room.catch_up()

        assert drawn.people == 100
        assert record(room) == drawn
        assert sorted(places(room, 107)) == list(range(107))
        assert places(room, 107)[100:] == list(range(100, 107))


async def test_a_reset_in_the_lobby_announces_a_draw_of_its_own(redis_url: str) -> None:
    async with sale_in(redis_url) as room:
        await at(room, IN_LOBBY_S)
        await room.enter(5)
        first = record(room)
        await room.room.reset(room.state, by="operator", keep_ms=1000)
        await at(room, IN_LOBBY_S + 1)
        second = record(room)
        await room.enter(3)
        await at(room, DRAW_S)

        assert second.commitment != first.commitment
        assert second.generation != first.generation
        assert (record(room).commitment, record(room).people) == (second.commitment, 3)


async def test_the_next_sale_has_a_draw_of_its_own_and_until_then_the_last_one_can_be_read(redis_url: str) -> None:
    from waitroom.core.sale.schedule import Schedule, write_new_sale
    from waitroom.store.sale import change_sale

    async with sale_in(redis_url, schedule(at_close="stop")) as room:
        await at(room, IN_LOBBY_S)
        await room.enter(30)
        await at(room, DRAW_S)
        last = record(room)
        await at(room, 1000)
        later = Schedule(NOW_MS + 9000_000, NOW_MS + 8000_000, 0, "drain", 60_000)
        await change_sale(room.room, write_new_sale(later), by="operator", phase="closed")
        await at(room, 5000)
        between, same = record(room), places(room, 30)
        await at(room, 8000)

        assert between == last
        assert sorted(same) == list(range(30)), "passes of the last sale are counted by its places"
        assert record(room).commitment != last.commitment
        assert places(room, 30) == list(range(30))
