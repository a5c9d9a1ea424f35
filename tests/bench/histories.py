"""Thousands of random histories before the real scripts, each checked for P1 to P4 and P7.

    python -m tests.bench.histories [--count 5000] [--seed 0] [--steps 60] [--jobs 2] [--kind line]

Prints what happened in them, and each broken promise with a short history to read. A history is repeated with
`--seed N --count 1`. Kinds (tests/store/histories/play.py): a line; few seats before a Redis that fails over again and
again; sales; a draw; two lines, without a sale and with one.
"""

import argparse
import logging
import os
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import structlog
import uvloop

from tests.store.histories.events import Mishap
from tests.store.histories.play import KINDS, random_history
from tests.store.histories.story import tell
from tests.support import running_redis

AT_A_TIME = 25
MOST_SHOWN = 10


class Part(NamedTuple):
    """What some histories held: events by kind, and the counterexamples by seed."""

    events: Counter[str]
    seconds: list[float]
    broken: dict[int, str]


def run_part(first: int, count: int, steps: int, kind: str) -> Part:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with running_redis() as server:
        return uvloop.run(check(server.url, range(first, first + count), steps, kind))


async def check(url: str, seeds: range, steps: int, kind: str) -> Part:
    part = Part(Counter(), [], {})
    for seed in seeds:
        outcome = await random_history(url, seed, kind, steps=steps)
        part.seconds.append(outcome.history[-1].at_s)
        for event in outcome.history:
            name = str(event).strip("()").partition(" of ")[0] if isinstance(event, Mishap) else ""
            part.events[" ".join(w for w in name.split()[:4] if w.isalpha()) or type(event).__name__.lower()] += 1
        if found := outcome.faults():
            part.broken[seed] = tell(outcome.history, found[0])
    return part


def parts(first: int, count: int, steps: int, jobs: int, kind: str) -> Iterator[Part]:
    starts = range(first, first + count, AT_A_TIME)
    sizes = [min(AT_A_TIME, first + count - start) for start in starts]
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(run_part, starts, sizes, [steps] * len(sizes), [kind] * len(sizes))


def main() -> None:
    parser = argparse.ArgumentParser(description="Random histories, checked for P1 to P4 and P7.")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--kind", choices=KINDS, default="line")
    options = parser.parse_args()

    started = time.monotonic()
    events: Counter[str] = Counter()
    seconds: list[float] = []
    broken: dict[int, str] = {}
    for part in parts(options.seed, options.count, options.steps, options.jobs, options.kind):
        events.update(part.events)
        seconds += part.seconds
        broken |= part.broken
        for seed, story in list(part.broken.items())[: max(0, MOST_SHOWN - len(broken) + len(part.broken))]:
            print(f"seed {seed}\n{story}\n", flush=True)

    took_s = time.monotonic() - started
    print(f"{len(seconds)} histories of {statistics.median(seconds):.0f} s (median) in {took_s:.0f} s")
    for name, times in events.most_common():
        print(f"  {times:9,}  {name}")
    print(f"{len(broken)} broke a promise{': seeds ' + ', '.join(map(str, broken)) if broken else ''}")


if __name__ == "__main__":
    main()
