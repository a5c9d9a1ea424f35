"""The page of orders over real HTTP: for whoever holds a ticket or a pass of ours, and as long as Redis has them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tests.app.live_support import browsers, pass_of, run
from tests.support import SECRET, Gateway, RedisServer, Shop, running_gateway, running_redis, running_shop
from waitroom.core.orders.attempt import Attempt, Outcome
from waitroom.core.tokens import TICKET_LIFETIME_MS, Pass, Ticket, Tokens
from waitroom.demo.browser import Browser
from waitroom.store.orders import OrderBook, new_id
from waitroom.store.room import Room

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY_MS = 86_400_000


@dataclass
class Scene:
    shop: Shop
    gateway: Gateway
    redis: RedisServer

    async def record(self, visitor: str, outcome: Outcome, *, now_ms: int, reference: str | None = None) -> Attempt:
        """An order of this visitor's, in Redis."""
        id_ = new_id(visitor, now_ms)
        attempt = Attempt(
            id=id_,
            visitor=visitor,
            route="POST /buy",
            begun_ms=now_ms,
            deadline_ms=now_ms + 60_000,
            worker="w",
            idempotency_key=id_,
            sameness=f"s{id_}",
        )
        room = Room.connect(self.redis.url, "shop")
        try:
            book = OrderBook(room, keep_ms=30 * DAY_MS)
            await book.begin(attempt, [attempt.sameness])
            decided = await book.decide(id_, outcome, by="gateway", now_ms=now_ms, reference=reference)
            assert decided is not None
            return decided
        finally:
            await room.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    async with running_shop() as shop:
        shop.answers["/complete"] = b"HTTP/1.1 200 OK\r\nwaitroom-command: complete\r\ncontent-length: 0\r\n\r\n"
        with running_redis() as redis:
            async with running_gateway(
                shop, redis.url, rate="100/s", order_routes="POST /buy", origin_timeout="2s"
            ) as gateway:
                yield Scene(shop, gateway, redis)


async def facts(browser: Browser) -> dict[str, Any]:
    answer = await browser.fetch("/-/waitroom/orders")
    assert answer.status == 200
    return answer.json()


def ids(found: dict[str, Any]) -> list[str]:
    return [order["id"] for order in found["orders"]]


async def test_a_visitor_sees_the_own_orders_and_nobody_elses(scene: Scene) -> None:
    with browsers(scene.gateway, 3) as (ann, ben, nobody):
        await ann.open("/")
        await ben.open("/")
        now_ms = pass_of(ann).valid_from_ms
        mine = await scene.record(pass_of(ann).visitor, Outcome.CONFIRMED, now_ms=now_ms, reference="T-17")

        page = await ann.open("/-/waitroom/orders")

        assert page.status == 200
        assert b"Your order went through" in page.body
        assert b"T-17" in page.body
        assert page.header("cache-control") == "private, no-store"
        assert (await facts(ann))["orders"][0]["reference"] == "T-17"
        assert ids(await facts(ann)) == [mine.id]
        assert ids(await facts(ben)) == ids(await facts(nobody)) == []


async def test_the_page_asks_the_shop_nothing(scene: Scene) -> None:
    with browsers(scene.gateway, 1) as (ann,):
        await ann.open("/")
        before = len(scene.shop.arrivals)

        await ann.open("/-/waitroom/orders")
        await facts(ann)

        assert len(scene.shop.arrivals) == before


async def test_orders_are_found_after_the_pass_ended_and_after_a_reset(scene: Scene) -> None:
    with browsers(scene.gateway, 1) as (ann,):
        await ann.open("/")
        mine = await scene.record(pass_of(ann).visitor, Outcome.REFUSED, now_ms=pass_of(ann).valid_from_ms)

        await ann.open("/complete")
        after_the_visit = ids(await facts(ann))
        await run(scene.gateway, "reset", "--yes")
        after_the_reset = ids(await facts(ann))

        assert after_the_visit == after_the_reset == [mine.id]


async def test_leaving_keeps_the_way_to_the_orders(scene: Scene) -> None:
    with browsers(scene.gateway, 1) as (ann,):
        await ann.open("/")
        mine = await scene.record(pass_of(ann).visitor, Outcome.CONFIRMED, now_ms=pass_of(ann).valid_from_ms)

        await ann.fetch("/-/waitroom/leave", method="POST")

        assert ids(await facts(ann)) == [mine.id]


async def test_an_old_ticket_or_pass_is_enough_and_a_forged_one_is_not(scene: Scene) -> None:
    """As long as orders are kept, 30 days here: longer than a ticket lives without them."""
    tokens, forger = Tokens("shop", [SECRET]), Tokens("shop", ["f" * 40])
    visitor = "0123456789abcdef0123456789abcdef"
    with browsers(scene.gateway, 1) as (ann,):
        await ann.open("/")
        now_ms = pass_of(ann).valid_from_ms
        mine = await scene.record(visitor, Outcome.CONFIRMED, now_ms=now_ms)
        old_ms = now_ms - 29 * DAY_MS
        assert old_ms < now_ms - TICKET_LIFETIME_MS
        ticket = Ticket("shop", "another-run", 7, visitor, old_ms)
        pass_ = Pass("shop", visitor, "another-run", 7, old_ms, old_ms + 1, old_ms, False)

        found = []
        for signer in (tokens, forger):
            for name, token in (("ticket", signer.sign_ticket(ticket)), ("pass", signer.sign_pass(pass_))):
                ann.cookies = {f"waitroom_shop_{name}": token}
                found.append(ids(await facts(ann)))

        assert found == [[mine.id], [mine.id], [], []]


async def test_only_the_own_visitor_may_say_that_an_order_is_sent_again(scene: Scene) -> None:
    with browsers(scene.gateway, 2) as (ann, ben):
        await ann.open("/")
        await ben.open("/")
        mine = await scene.record(pass_of(ann).visitor, Outcome.UNKNOWN, now_ms=pass_of(ann).valid_from_ms)
        asking = f"/-/waitroom/orders?attempt={mine.id}&again=ask"

        asked = [await browser.open(asking) for browser in (ann, ben)]
        said = [await browser.open("/-/waitroom/orders/again", form={"attempt": mine.id}) for browser in (ann, ben)]

        assert [b"Order again?" in page.body for page in asked] == [True, False]
        assert mine.id.encode() not in asked[1].body
        assert [page.status for page in said] == [200, 404]
        assert b"Now send it once more" in said[0].body


async def test_another_sites_page_cannot_say_so(scene: Scene) -> None:
    with browsers(scene.gateway, 1) as (ann,):
        await ann.open("/")
        mine = await scene.record(pass_of(ann).visitor, Outcome.UNKNOWN, now_ms=pass_of(ann).valid_from_ms)

        answer = await ann._ask(
            "POST", "/-/waitroom/orders/again", {"sec-fetch-site": "cross-site"}, {"attempt": mine.id}
        )

        assert answer.status == 403


async def test_while_redis_is_away_the_page_says_so_and_then_shows_the_orders(scene: Scene) -> None:
    with browsers(scene.gateway, 1) as (ann,):
        await ann.open("/")
        mine = await scene.record(pass_of(ann).visitor, Outcome.CONFIRMED, now_ms=pass_of(ann).valid_from_ms)
        scene.redis.freeze()
        try:
            page = await ann.open("/-/waitroom/orders")
            away = await facts(ann)
        finally:
            scene.redis.thaw()

        assert page.status == 200
        assert b"cannot be read just now" in page.body
        assert (away["complete"], away["orders"]) == (False, [])
        assert away["next_poll_s"]
        async with asyncio.timeout(20):
            while not (back := await facts(ann))["complete"]:
                await asyncio.sleep(0.1)
        assert ids(back) == [mine.id]
