"""A thousand purchases with everything that goes wrong, and the shop's book beside what the gateway says.

    python -m tests.bench.order_stories [--stories 1000] [--at-once 16] [--seed 1]

Two workers, of which one is killed every four seconds or so; a Redis that restarts every five; a shop that answers
late, not at all, after it has booked, twice, or breaks off (`tests/app/till.py`). Ends with status 1 if an order was
sent twice without the shopper's word, is confirmed though the shop has none, is denied though the shop has it, or is
unknown though it could be known. What happened while Redis was away, and orders go through all the same, is counted
by itself.
"""

import argparse
import asyncio
import sys
import time

from tests.app.order_stories import a_scene, run_stories


async def main(stories: int, at_once: int, seed: int) -> int:
    began = time.monotonic()
    async with a_scene() as scene:
        found, chaos = await run_stories(scene, stories, at_once=at_once, seed=seed)
    for fault in found.faults:
        print("FAULT", fault)
    for each in found.without_redis:
        print("without Redis:", each)
    print(
        f"{stories} stories, seed {seed}, {time.monotonic() - began:.0f} s: {found.orders} orders, sent {found.sent} "
        f"times; {len(chaos.kills)} workers killed, {len(chaos.downs)} restarts of Redis"
    )
    print(", ".join(f"{outcome} {count}" for outcome, count in sorted(found.outcomes.items())))
    print(f"{len(found.faults)} faults; {len(found.without_redis)} while Redis was away")
    return 1 if found.faults else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--stories", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.stories, options.at_once, options.seed)))
