"""What the shop tells of an order later, by the admin API: the truth, but never back from a confirmed order."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.support import RedisServer, running_redis
from waitroom.core.orders.attempt import Attempt, Outcome
from waitroom.core.settings import Settings
from waitroom.edge.admin.routes import create_admin
from waitroom.store.orders import OrderBook, new_id
from waitroom.store.room import Room

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "an-admin-token-of-a-test-0123456789"
KEEP_MS = 86_400_000
VISITOR = "0" * 32


class Scene:
    """The admin app, and Redis behind it."""

    def __init__(self, redis: RedisServer) -> None:
        given = {"origin": "http://shop", "secret": "s" * 32, "redis_url": redis.url, "admin_token": TOKEN}
        self.admin = create_admin(Settings.model_validate(given), list)
        self.room = Room.connect(redis.url, "shop")
        self.book = OrderBook(self.room, keep_ms=KEEP_MS)

    async def attempt(self, outcome: Outcome, *, reference: str | None = None) -> Attempt:
        now_ms = int(time.time() * 1000)
        id_ = new_id(VISITOR, now_ms)
        attempt = Attempt(
            id=id_,
            visitor=VISITOR,
            route="POST /buy",
            begun_ms=now_ms,
            deadline_ms=now_ms + 60_000,
            worker="w",
            idempotency_key=id_,
            sameness=id_,
        )
        await self.book.begin(attempt, [id_])
        if outcome is Outcome.UNDER_WAY:
            return attempt
        decided = await self.book.decide(id_, outcome, by="gateway", now_ms=now_ms, reference=reference)
        assert decided is not None
        return decided

    async def tell(self, id_: str, body: dict[str, Any], *, token: str = TOKEN) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.admin)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8081") as client:
            headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
            return await client.post(f"/api/orders/{id_}", headers=headers, content=json.dumps(body))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    with running_redis() as redis:
        scene = Scene(redis)
        yield scene
        await scene.admin.close()
        await scene.room.close()


@pytest.mark.parametrize("before", sorted(set(Outcome) - {Outcome.CONFIRMED}))
@pytest.mark.parametrize("said", [Outcome.CONFIRMED, Outcome.REFUSED, Outcome.FAILED])
async def test_what_the_shop_says_is_the_truth(scene: Scene, before: Outcome, said: Outcome) -> None:
    attempt = await scene.attempt(before)

    answer = await scene.tell(attempt.id, {"outcome": said.value, "reference": " 47\t11 "})

    assert answer.status_code == 200, answer.text
    assert answer.json()["order"]["outcome"] == said.value
    now = await scene.book.get(attempt.id)
    assert now is not None
    assert (now.outcome, now.reference, now.decided_by) == (said, "47 11", "shop")
    listed = await scene.book.list_by_outcome(said, now_ms=now.begun_ms)
    assert attempt.id in [each.id for each in listed.attempts]


async def test_a_confirmed_order_stays_confirmed(scene: Scene) -> None:
    attempt = await scene.attempt(Outcome.CONFIRMED, reference="4711")

    refused = await scene.tell(attempt.id, {"outcome": "refused"})
    renamed = await scene.tell(attempt.id, {"outcome": "confirmed", "reference": "4712"})
    repeated = await scene.tell(attempt.id, {"outcome": "confirmed", "reference": "4711"})
    again = await scene.tell(attempt.id, {"outcome": "confirmed"})

    assert [answer.status_code for answer in (refused, renamed, repeated, again)] == [409, 409, 200, 200]
    assert refused.json()["detail"] == "The order was confirmed before as 4711, and the shopper was told so."
    assert await scene.book.get(attempt.id) == attempt


async def test_what_the_gateway_hears_late_does_not_replace_the_shops_word(scene: Scene) -> None:
    attempt = await scene.attempt(Outcome.UNDER_WAY)
    await scene.tell(attempt.id, {"outcome": "refused"})

    late = await scene.book.decide(attempt.id, Outcome.CONFIRMED, by="gateway", now_ms=attempt.begun_ms + 1)

    assert late is not None
    assert late.outcome is Outcome.REFUSED


@pytest.mark.parametrize("id_", ["0" * 33, "x", "0" * 16 + "-" + "0" * 16, "%2e%2e"])
async def test_an_order_that_nobody_knows_is_not_found(scene: Scene, id_: str) -> None:
    assert (await scene.tell(id_, {"outcome": "confirmed"})).status_code == 404


NAMELESS = {"outcome": "confirmed"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"outcome": "unknown"},
        {"outcome": 1},
        {**NAMELESS, "reference": " "},
        {**NAMELESS, "reference": 7},
        {**NAMELESS, "x": "y"},
    ],
)
async def test_what_makes_no_sense_changes_nothing(scene: Scene, body: dict[str, Any]) -> None:
    attempt = await scene.attempt(Outcome.UNKNOWN)

    answer = await scene.tell(attempt.id, body)

    assert answer.status_code == 422
    assert await scene.book.get(attempt.id) == attempt


async def test_nobody_tells_without_the_token(scene: Scene) -> None:
    attempt = await scene.attempt(Outcome.UNKNOWN)

    assert (await scene.tell(attempt.id, {"outcome": "confirmed"}, token="x" * 40)).status_code == 401
    assert await scene.book.get(attempt.id) == attempt
