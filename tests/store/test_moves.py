"""A place taken to another device: each link once, whoever races for it; no place without end (P4)."""

import asyncio
import secrets

import pytest

from tests.store.room_support import TestRoom, room_in
from waitroom.core.meter import Limits
from waitroom.core.tokens import Move, Ticket
from waitroom.store.moves import MOST_MOVES, take
from waitroom.store.replies import GenerationGone

LIFE_MS = 600_000


def move(room: TestRoom, *, number: int = 7, expires_ms: int = 1_000_000) -> Move:
    return Move(Ticket("shop", room.generation, number, "f" * 32, 1_000), expires_ms)


async def test_of_fifty_takers_of_one_link_one_has_the_place(redis_url: str) -> None:
    async with room_in(redis_url, Limits(rate_per_s=1, burst=1)) as room:
        link = move(room)
        takers = [secrets.token_hex(8) for _ in range(50)]

        taken = await asyncio.gather(*(take(room.room, link, taker=taker, life_ms=LIFE_MS) for taker in takers))

        assert sum(taken) == 1
        winner = takers[taken.index(True)]
        assert await take(room.room, link, taker=winner, life_ms=LIFE_MS), "a lost answer may be asked for again"
        assert not await take(room.room, link, taker="somebody else", life_ms=LIFE_MS)


async def test_a_place_is_taken_along_so_often_and_no_more(redis_url: str) -> None:
    async with room_in(redis_url, Limits(rate_per_s=1, burst=1)) as room:
        links = [move(room, expires_ms=1_000_000 + at) for at in range(MOST_MOVES + 3)]

        taken = [await take(room.room, link, taker="me", life_ms=LIFE_MS) for link in links]

        assert taken == [True] * MOST_MOVES + [False] * 3
        assert await take(room.room, move(room, number=8), taker="me", life_ms=LIFE_MS), (
            "another place is not concerned"
        )


async def test_no_place_of_another_generation_is_taken_along(redis_url: str) -> None:
    async with room_in(redis_url, Limits(rate_per_s=1, burst=1)) as room:
        link = move(room)._replace(ticket=Ticket("shop", "0123456789abcdef", 7, "f" * 32, 1_000))

        with pytest.raises(GenerationGone):
            await take(room.room, link, taker="me", life_ms=LIFE_MS)
