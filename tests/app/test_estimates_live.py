"""P11 with real visitors: the waits that the page showed, against when they were let in."""

import asyncio
import json

import pytest

from tests.app.live_support import browsers, run
from tests.support import Story, running_gateway, running_redis, running_shop, wait_in_line
from waitroom.demo.browser import Browser

PEOPLE, GAP_S = 50, 0.05


@pytest.mark.timed
async def test_people_are_let_in_within_the_range_they_were_shown() -> None:
    """P11: 50 visitors at 5/s over two workers, a fifth of whom leave on the way; the room counts the same."""
    with running_redis() as redis:
        async with (
            running_shop() as shop,
            running_gateway(shop, redis.url, rate="5/s", burst="5", workers="2") as gateway,
        ):
            with browsers(gateway, PEOPLE) as people:

                async def visit(index: int, browser: Browser) -> Story:
                    await asyncio.sleep(index * GAP_S)
                    patience_s = 6 if index % 5 == 0 else 120
                    return await wait_in_line(browser, limit_s=patience_s)

                stories = await asyncio.gather(*(visit(at, browser) for at, browser in enumerate(people)))
            said = json.loads(await run(gateway, "status", "--json"))["estimates"]

    first, half = zip(*(came_true(story) for story in stories if story.inside_at and story.waits), strict=True)
    print(f"within the range first shown {sum(first)}/{len(first)}, half-way {sum(half)}/{len(half)}; the room: {said}")
    assert len(first) >= PEOPLE / 2
    assert sum(first) >= 0.8 * len(first)
    assert sum(half) >= 0.9 * len(half)
    assert said["first"] >= 1
    for story in stories:
        assert story.positions == sorted(story.positions, reverse=True)


def came_true(story: Story) -> tuple[bool, bool]:
    """Whether they came in within the range first shown, and within the one on the page half-way."""
    assert story.inside_at is not None
    middle = (story.waits[0].at + story.inside_at) / 2
    half = [shown for shown in story.waits if shown.at <= middle][-1]
    return story.waits[0].holds(story.inside_at), half.holds(story.inside_at)
