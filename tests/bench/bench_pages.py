"""How long one waiting page takes, and how large it is.

    python -m tests.bench.bench_pages

`made anew` is what every answer would cost with a template rendered and compressed for it.
"""

import gzip
import time
from collections.abc import Callable

from waitroom.core.settings import Settings
from waitroom.edge.facts import PageFacts
from waitroom.edge.pages.templates import Templates
from waitroom.edge.pages.templates_path import templates_dir
from waitroom.edge.pages.waiting import JOINED, VISITOR, Pages

ROUNDS = 5


def per_call_us(call: Callable[[int], object], calls: int) -> float:
    """The best of a few rounds: other work on the machine only ever adds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for index in range(calls):
            call(index)
        best = min(best, time.perf_counter() - began)
    return best / calls * 1e6


def facts(index: int) -> PageFacts:
    return PageFacts(
        state="waiting",
        number=100_000 + index,
        position=index + 1,
        ahead=index,
        waiting=250_000,
        rate_per_min=600.0,
        wait_low_s=float(index // 50 * 5),
        wait_high_s=float(index // 50 * 8 + 60),
        message="Blue is sold out; all other colours are still there.",
        server_time_ms=1_760_000_000_000 + index * 7,
    )


def main() -> None:
    settings = Settings.model_validate({"origin": "http://127.0.0.1:9"})
    pages = Pages(settings)
    everyone = [facts(index) for index in range(5000)]
    template = Templates(templates_dir())._environment.get_template("waiting.html")
    anew = pages.context("waiting", pages.languages.default)
    anew["visitor"] = dict.fromkeys((*VISITOR, *JOINED), "1")

    packed = per_call_us(lambda index: pages.waiting(everyone[index], gzip=True), 5000)
    plain = per_call_us(lambda index: pages.waiting(everyone[index], gzip=False), 5000)
    slow = per_call_us(lambda index: gzip.compress(template.render(anew).encode(), 6), 50)

    print(f"page, gzip      {packed:8.1f} us   {len(pages.waiting(everyone[0], gzip=True)[1]):6d} bytes")
    print(f"page, plain     {plain:8.1f} us   {len(pages.waiting(everyone[0], gzip=False)[1]):6d} bytes")
    print(f"page, made anew {slow:8.1f} us   {slow / packed:6.1f} times as long")


if __name__ == "__main__":
    main()
