"""What the shop asks for in an answer is done, and stays between it and the gateway."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.app.live_support import browsers, pass_of, run, seat_end
from tests.support import Gateway, RedisServer, Shop, running_gateway, running_redis, running_shop
from waitroom.core.commands import LONGEST_EXTENSION_MS

pytestmark = pytest.mark.asyncio(loop_scope="module")


def answer(command: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nWaitroom-Command: {command}\r\ncontent-length: 0\r\n\r\n".encode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop() -> AsyncIterator[Shop]:
    async with running_shop() as shop:
        for command in ("complete", "revoke", "extend=2h"):
            shop.answers[f"/{command}"] = answer(command)
        shop.answers["/stock"] = answer("stock=7")
        shop.answers["/gone"] = answer("sold-out")
        shop.answers["/junk"] = answer("compleet, extend=1y")
        yield shop


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(shop: Shop) -> AsyncIterator[tuple[Gateway, RedisServer]]:
    """With two workers: what one hears the other must heed."""
    with running_redis() as redis:
        async with running_gateway(shop, redis.url, rate="100/s", workers="2", order_routes="POST /buy") as gateway:
            yield gateway, redis


@pytest.mark.parametrize("command", ["complete", "revoke"])
async def test_a_pass_opens_nothing_and_holds_no_seat_once_the_shop_ended_the_visit(
    command: str, stage: tuple[Gateway, RedisServer]
) -> None:
    gateway, redis = stage
    with browsers(gateway, 2) as (visitor, thief):
        await visitor.open("/")
        taken = pass_of(visitor)
        thief.cookies |= visitor.cookies

        ended = await visitor.open(f"/{command}")

        assert ended.status == 200
        assert not any("waitroom-command" in name for name, _ in ended.headers)
        async with asyncio.timeout(20):
            while seat_end(redis, taken):
                await asyncio.sleep(0.05)
        async with asyncio.timeout(20):
            while pass_of(thief).place == taken.place:  # once the worker that is met has heard of it: let in anew
                thief.close()
                await thief.open("/")


async def test_whose_visit_ended_is_still_known(stage: tuple[Gateway, RedisServer]) -> None:
    """The orders that were placed are found by the pass that has ended."""
    gateway, _ = stage
    with browsers(gateway, 1) as (visitor,):
        await visitor.open("/")
        before = pass_of(visitor)

        await visitor.open("/complete")

        after = pass_of(visitor)
        assert (after.visitor, after.place) == (before.visitor, before.place)
        assert after.end_ms < before.end_ms - 60_000


async def test_a_visit_is_extended(stage: tuple[Gateway, RedisServer]) -> None:
    gateway, redis = stage
    with browsers(gateway, 1) as (visitor,):
        await visitor.open("/")
        before = pass_of(visitor)

        await visitor.open("/extend=2h")

        after = pass_of(visitor)
        assert after.end_ms - before.end_ms > LONGEST_EXTENSION_MS // 2
        async with asyncio.timeout(20):
            while seat_end(redis, after) != after.end_ms:
                await asyncio.sleep(0.05)


async def test_what_makes_no_sense_is_a_finding_for_the_operator(stage: tuple[Gateway, RedisServer]) -> None:
    gateway, _ = stage
    with browsers(gateway, 1) as (visitor,):
        assert (await visitor.open("/junk")).status == 200

        async with asyncio.timeout(15):
            while "compleet" not in (said := await run(gateway, "status", "--json")):
                await asyncio.sleep(0.5)

        assert "the shop sent a Waitroom-Command that is not known: extend=1y" in said


async def sale_now(gateway: Gateway) -> dict[str, Any]:
    return dict(json.loads(await run(gateway, "status", "--json"))["sale"])


async def test_the_line_hears_what_is_left_and_that_nothing_is(stage: tuple[Gateway, RedisServer]) -> None:
    """Last in this module: nobody is let in after it."""
    gateway, _ = stage
    with browsers(gateway, 1) as (visitor,):
        await visitor.open("/stock")
        async with asyncio.timeout(15):
            while (await sale_now(gateway))["stock"] != 7:
                await asyncio.sleep(0.2)

        await visitor.open("/gone")

        async with asyncio.timeout(15):
            while (await sale_now(gateway))["phase"] != "sold_out":
                await asyncio.sleep(0.2)
