"""Faults planted on purpose, and how many random histories it takes to find each.

    python -m tests.bench.planted [--most 60] [--seed 0]     all of them; some minutes
    python -m tests.bench.planted draw link                  those whose names hold one of these words

Exit status 1 if one is not found.
"""

import argparse
import logging
import sys
import time

import structlog
import uvloop

from tests.store.histories.planted import PLANTED, histories_until_found
from tests.support import running_redis


async def look(url: str, names: list[str], first: int, most: int) -> int:
    missed = 0
    for name in names:
        started = time.monotonic()
        count = await histories_until_found(url, PLANTED[name], first=first, most=most)
        said = f"history {count:3}" if count else f"not in {most}"
        missed += not count
        print(f"{PLANTED[name].promise:4}  {said}  {time.monotonic() - started:5.1f} s  {name}", flush=True)
    return missed


def main() -> None:
    parser = argparse.ArgumentParser(description="Faults planted, and the histories that find them.")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--most", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    names = [name for name in PLANTED if not options.words or any(word in name for word in options.words)]
    with running_redis() as server:
        missed = uvloop.run(look(server.url, names, options.seed, options.most))
    print(f"{len(names) - missed} of {len(names)} found")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
