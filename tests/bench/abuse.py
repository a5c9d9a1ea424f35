"""How visitors inside fare while the gateway is abused.

    python -m tests.bench.abuse [--workers 1] [--seconds 10] [--scale 1.0] [--only idle,slow_readers] [--json]

One attack after the other against a real gateway with a real Redis and a shop in a process of its own; the attackers
are another process. Meanwhile visitors inside open pages all the time. Exit 1 if one of them got anything but the page,
waited too long, a worker ended, or memory or files did not come back.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.attackers import ATTACKS
from tests.bench.bench_streams import cookies_of_a_visitor, gateway_before_a_wild_shop
from tests.bench.memory import MEGABYTE, MemoryWatch
from tests.bench.wild_shop import PAGE_BODY
from tests.support import ROOT, Gateway
from waitroom.serve.listening import raise_file_limit

COUNTS = {"idle": 10_000, "crowd": 100_000, "half_heads": 10_000, "slow_readers": 1000, "slow_bodies": 1000}
VISITORS = 8
PAUSE_S = 0.02
WORST_S = 5.0
GROWTH_BYTES = 800 * MEGABYTE
LEFT_BYTES = 100 * MEGABYTE
CALM_S = 10.0


class NoPage(Exception):
    """An answer, but not the page."""


@dataclass
class Visits:
    """What visitors inside got, who give up after `patience_s`."""

    patience_s: float
    seconds: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    async def go_on(self, port: int, cookies: str, stop: asyncio.Event) -> None:
        """One visitor, page after page on a kept connection."""
        request = f"GET /page HTTP/1.1\r\nhost: shop.example\r\ncookie: {cookies}\r\n\r\n".encode()
        wire: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not stop.is_set():
            began = time.monotonic()
            try:
                async with asyncio.timeout(self.patience_s):
                    reader, writer = wire = wire or await asyncio.open_connection("127.0.0.1", port)
                    writer.write(request)
                    head = await reader.readuntil(b"\r\n\r\n")
                    if not head.startswith(b"HTTP/1.1 200 "):
                        raise NoPage(head[9:12].decode())
                    if await reader.readexactly(len(PAGE_BODY)) != PAGE_BODY:
                        raise NoPage("another page")
            except (OSError, EOFError, TimeoutError, NoPage) as error:
                self.failures[str(error) or type(error).__name__] += 1
                if wire is not None:
                    wire[1].close()
                wire = None
            self.seconds.append(time.monotonic() - began)
            await asyncio.sleep(PAUSE_S)
        if wire is not None:
            wire[1].close()


@dataclass
class Outcome:
    """One attack. Times in ms, memory in MB (the fullest worker's), `faults` are bounds that were broken."""

    attack: str
    found: dict[str, int]
    visits: int
    failures: dict[str, int]
    median_ms: float
    p99_ms: float
    worst_ms: float
    before_mb: float
    peak_mb: float
    after_mb: float
    curve: str
    faults: list[str]


def open_files(pids: list[int]) -> int:
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)


async def attack(
    gateway: Gateway, name: str, count: int, seconds: float, visitors: list[str], patience_s: float = WORST_S
) -> Outcome:
    """Attack for so long, with visitors inside before, while and after; `name` may be several with commas."""
    workers, port = gateway.workers(), gateway.environment["WAITROOM_PORT"]
    files = open_files(workers)
    visits, stop = Visits(patience_s), asyncio.Event()
    with MemoryWatch(workers) as memory:
        inside = [asyncio.ensure_future(visits.go_on(int(port), each, stop)) for each in visitors]
        attackers = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bench.attackers", name, port, str(count), str(seconds)),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(seconds + 120):
            said, _ = await attackers.communicate(visitors[0].encode() + b"\n")
        found: dict[str, int] = json.loads(said)
        calm_at = time.monotonic() + CALM_S
        while open_files(workers) > files + 2 * VISITORS and time.monotonic() < calm_at:
            await asyncio.sleep(0.1)
        stop.set()
        await asyncio.gather(*inside)
    cuts = statistics.quantiles(visits.seconds, n=100)
    faults = []
    if visits.failures:
        faults.append(f"visitors failed: {dict(visits.failures)}")
    if memory.growth > GROWTH_BYTES:
        faults.append("too much memory")
    if memory.after - memory.before > LEFT_BYTES:
        faults.append("memory did not come back")
    if open_files(workers) > files + 2 * VISITORS:
        faults.append("files did not come back")
    if gateway.workers() != workers or gateway.events("worker_ended"):
        faults.append("a worker ended")
    if "SMUGGLED" in found:
        faults.append("an answer that nobody asked for was passed on")
    return Outcome(
        attack=name,
        found=found,
        visits=len(visits.seconds),
        failures=dict(visits.failures),
        median_ms=cuts[49] * 1000,
        p99_ms=cuts[98] * 1000,
        worst_ms=max(visits.seconds) * 1000,
        before_mb=memory.before / MEGABYTE,
        peak_mb=memory.peak / MEGABYTE,
        after_mb=memory.after / MEGABYTE,
        curve=memory.curve(24),
        faults=faults,
    )


async def run(names: list[str], *, workers: int, seconds: float, scale: float) -> list[Outcome]:
    raise_file_limit()
    async with gateway_before_a_wild_shop(workers=str(workers)) as (gateway, _):
        visitors = [await cookies_of_a_visitor(gateway) for _ in range(VISITORS)]
        return [
            await attack(gateway, name, max(1, int(COUNTS.get(name, 1000) * scale)), seconds, visitors)
            for name in names
        ]


def table(outcomes: list[Outcome]) -> str:
    lines = ["attack            visits failed  median    p99  worst ms     MB before   peak  after  over time"]
    for one in outcomes:
        lines.append(
            f"{one.attack:17} {one.visits:6} {sum(one.failures.values()):6} {one.median_ms:7.1f} {one.p99_ms:6.0f} "
            f"{one.worst_ms:6.0f} {one.before_mb:16.0f} {one.peak_mb:6.0f} {one.after_mb:6.0f}  {one.curve}"
        )
        lines.append("    " + ", ".join(f"{what}: {count}" for what, count in one.found.items()))
        lines += [f"    BROKEN: {fault}" for fault in one.faults]
    totals = Counter[str]()
    for one in outcomes:
        totals.update(inputs=one.found.get("inputs", 0), connections=one.found.get("connections", 0))
        totals.update(visits=one.visits, failed=sum(one.failures.values()))
    lines.append(", ".join(f"{count} {what}" for what, count in totals.items()))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", default=",".join(ATTACKS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    names = options.only.split(",")
    how: dict[str, Any] = {"workers": options.workers, "seconds": options.seconds, "scale": options.scale}
    outcomes = asyncio.run(run(names, **how))
    print(json.dumps([vars(one) for one in outcomes]) if options.json else table(outcomes))
    return int(any(one.faults for one in outcomes))


if __name__ == "__main__":
    sys.exit(main())
