"""A share of the thousand stories of `tests.bench.order_stories`, and that the reckoning sees what is wrong."""

from dataclasses import replace

from tests.app.order_stories import Chaos, Purchase, Reckoning, Told, a_scene, reckon_story, run_stories
from tests.app.till import Sale, Till
from waitroom.core.orders.attempt import Attempt, Outcome

STORIES, SEED = 80, 11
ATTEMPT = Attempt(
    id="1", visitor="v", route="POST /order", begun_ms=0, deadline_ms=90_000, worker="w", idempotency_key="1",
    sameness="s", outcome=Outcome.CONFIRMED, decided_ms=1_000, decided_by="gateway",
)  # fmt: skip


async def test_the_shops_book_and_what_shoppers_are_told_agree_whatever_happens() -> None:
    """No order sent twice without the shopper's word, none confirmed that the shop does not have, none denied that it
    has, none unknown that could be known: with dead workers, a Redis that restarts, lost connections, a sick shop.
    """
    async with a_scene() as scene:
        found, chaos = await run_stories(scene, STORIES, at_once=16, seed=SEED)

    print(found.outcomes, found.without_redis, len(chaos.kills), len(chaos.downs))
    assert found.faults == []
    assert found.orders >= STORIES
    assert len(found.without_redis) <= STORIES / 10
    assert chaos.kills
    assert min(found.outcomes[outcome.value] for outcome in (Outcome.CONFIRMED, Outcome.UNKNOWN)) >= 10


def reckoned(behaviour: str, attempts: list[Attempt], *, booked: int = 1, words: int = 1) -> int:
    """How many faults are found in one story."""
    till, found = Till(), Reckoning()
    for at in range(booked):
        till.book.append(Sale("o", "", str(at + 1), at))
        till.asked[str(at + 1)] = ("o", behaviour)
    told = Told("v", {}, [Purchase("o", behaviour, words=words)])
    reckon_story(found, told, {each.id: each for each in attempts}, till, set(), Chaos())
    return len(found.faults)


def test_the_reckoning_finds_what_is_wrong() -> None:
    second = replace(ATTEMPT, id="2")
    unknown = replace(ATTEMPT, outcome=Outcome.UNKNOWN)

    assert reckoned("well", [ATTEMPT]) == reckoned("error-after-commit", [unknown]) == 0
    assert reckoned("well", [ATTEMPT, second], booked=2, words=2) == 0
    assert reckoned("well", [ATTEMPT, second], booked=2), "sent twice"
    assert reckoned("well", []), "nothing noted"
    assert reckoned("well", [unknown]), "it could be known"
    assert reckoned("error", [ATTEMPT]), "confirmed without a word of the shop"
    assert reckoned("well", [replace(ATTEMPT, outcome=Outcome.FAILED)]), "denied"
    assert reckoned("well", [replace(ATTEMPT, outcome=Outcome.UNDER_WAY)]), "for ever under way"
    assert reckoned("well", [ATTEMPT, second]), "confirmed, and the shop has not seen it"
