"""What a line of millions costs: polls, calls to Redis, its CPU and memory, the round of the lease's holder, positions.

    python -m tests.bench.bench_scale [--waiting 1000000 10000000] [--workers 3] [--redis PATH] [--json]

A real Redis, numbers taken through the verbs, and workers in processes of their own that run their real loop while
everybody present polls once in 30 s. One person in five took a number and left. Then a status poll over HTTP with
1,000 and with so many waiting, in turn, each at a gateway that also holds the lease of its room. About four minutes
for a million. Figures go to standard output, what is under way to standard error.
"""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import redis

from tests.bench.bench_gate import write_polls
from tests.bench.positions import worst_errors
from tests.bench.scale_crowd import Crowd, Seen, ask, fill, run_worker
from tests.bench.servers import BROWSER, measure, run_gate, run_origin, start
from tests.support import SECRET, RedisServer, running_redis
from waitroom.core.meter import Limits
from waitroom.core.settings import Settings
from waitroom.core.tokens import Ticket, Tokens
from waitroom.store.room import Room
from waitroom.store.scripts import script

SMALL, TICKETS = 1000, 1000
ABSENT = 20
WARM_S, WATCH_S = 135, 30
ROUNDS, ROUND_S = 15, 1
SLOW_US = 200
SCRIPTS = ("enter", "claim", "sync", "look", "release", "adopt", "configure", "create", "note")
BUDGETS = {
    "poll_ratio": ("at least", 0.95),
    "calls_a_second": ("at most", 20.0),
    "redis_cpu": ("at most", 0.25),
    "bytes_a_person": ("at most", 4.0),
    "round_p99_ms": ("under", 50.0),
}


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Server:
    """What Redis says of itself."""

    def __init__(self, server: RedisServer) -> None:
        self.url = server.url
        self.client: Any = redis.Redis.from_url(server.url)
        self.client.config_set("slowlog-log-slower-than", SLOW_US)
        self.client.config_set("slowlog-max-len", 10_000)
        self._names = {script(n)[0]: n for n in SCRIPTS}

    def memory(self) -> int:
        return int(self.client.info("memory")["used_memory"])

    def begin(self) -> None:
        self.client.config_resetstat()
        self.client.slowlog_reset()
        cpu = self.client.info("cpu")
        self._begun = time.perf_counter(), cpu["used_cpu_user"] + cpu["used_cpu_sys"]

    def report(self) -> dict[str, Any]:
        cpu, stats = self.client.info("cpu"), self.client.info("commandstats")
        wall_s = time.perf_counter() - self._begun[0]
        sent = {n: stats[f"cmdstat_{n}"] for n in ("evalsha", "eval") if f"cmdstat_{n}" in stats}
        slow: dict[str, float] = {}
        for entry in self.client.slowlog_get(10_000):
            words = entry["command"].decode("latin-1").split(maxsplit=2)
            if words[0].lower() == "evalsha":
                name = self._names[words[1]]
                slow[name] = max(slow.get(name, 0.0), entry["duration"] / 1000)
        self.client.slowlog_reset()
        return {
            "redis_cpu": (cpu["used_cpu_user"] + cpu["used_cpu_sys"] - self._begun[1]) / wall_s,
            "scripts_a_second": sum(row["calls"] for row in sent.values()) / wall_s,
            "mean_script_us": sum(row["usec"] for row in sent.values()) / sum(row["calls"] for row in sent.values()),
            "longest_script_ms": slow,
        }


def settings_for(url: str) -> Settings:
    return Settings.model_validate(
        {"origin": "http://127.0.0.1:9", "redis_url": url, "secret": SECRET, "rate": "10/s", "max_active": 0}
    )


def open_room(url: str) -> None:
    async def create() -> None:
        room = Room.connect(url, "shop")
        await room.create(Limits(10, 10), wait_ms=0)
        await room.close()

    asyncio.run(create())


def percentile(values: Sequence[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))] if values else 0.0


def spread_of(values: Sequence[float]) -> dict[str, float]:
    return {
        "median": round(percentile(values, 0.5), 2),
        "p99": round(percentile(values, 0.99), 2),
        "worst": round(percentile(values, 1), 2),
    }


def watch_crowd(server: Server, crowd: Crowd, workers: int, base: int) -> dict[str, Any]:
    """The million polls; returns what it cost."""
    say(f"{workers} workers, everybody polls once in 30 s")
    pipes: list[Pipe] = []
    for index in range(workers):
        ours, theirs = multiprocessing.Pipe()
        arguments = (theirs, settings_for(server.url), crowd, index, workers)
        multiprocessing.Process(target=run_worker, args=arguments, daemon=True).start()
        pipes.append(ours)
    for pipe in pipes:
        pipe.recv()
    for gone in range(0, WARM_S, 15):
        time.sleep(min(15, WARM_S - gone))
        say(f"  {min(gone + 15, WARM_S)} of {WARM_S} s until presence of all epochs is there")
        if gone == 0:
            first = next(one for one in ask(pipes, "report") if one.is_holder)
    ask(pipes, "begin")
    server.begin()
    time.sleep(WATCH_S)
    found = server.report()
    memory = server.memory()
    seen: list[Seen] = ask(pipes, "report")
    ask(pipes, "stop")
    holder = next(one for one in seen if one.is_holder)
    idle = [one for one in seen if not one.is_holder] or [holder]
    of_beats = crowd.people / 65_536 / 5
    calls = {name: count / WATCH_S for name, count in holder.calls.items() if name != "claim"}
    found |= {
        "bytes_a_person": (memory - base) / crowd.people,
        "polls_a_second": sum(one.polls for one in seen) / WATCH_S,
        "claims_a_second": holder.claims / WATCH_S,
        "calls_a_second": sum(calls.values()),
        "calls_a_second_more_allowed": of_beats,
        "calls_by_script": {name: round(count, 2) for name, count in sorted(calls.items())},
        "calls_of_others": statistics.mean(sum(one.calls.values()) / WATCH_S for one in idle),
        "round_ms": spread_of(holder.rounds_wall),
        "round_cpu_ms": spread_of(holder.rounds_cpu),
        "round_p99_ms": percentile(holder.rounds_wall, 0.99),
        "stall_ms": spread_of(holder.stalls_wall),
        "stall_cpu_ms": spread_of(holder.stalls_cpu),
        "round_cpu_ms_when_new": spread_of(first.rounds_cpu),
        "stall_cpu_ms_when_new": spread_of(first.stalls_cpu),
        "worker_cpu": holder.cpu_s / WATCH_S,
        "table_bytes": holder.table_bytes,
        "position_error": errors_of(holder.positions),
    }
    return found


def errors_of(positions: Sequence[tuple[int, int, int]]) -> dict[str, int]:
    """The largest error by distance behind the front."""
    found = {}
    for low, high in ((0, 5000), (5000, 100_000), (100_000, 1_000_000), (1_000_000, 100_000_000)):
        off = [abs(said - true) for back, said, true in positions if low <= back < high]
        if off:
            found[f"from {low:,}"] = max(off)
    return found


def compare_polls(small: Server, large: Server, people: int) -> dict[str, Any]:
    """A poll with 1,000 waiting and with many, in turn; each gateway holds the lease of its room."""
    say("polls over HTTP, in turn")
    origin, origin_port = start(run_origin)
    gates = {name: start(run_gate, origin_port, server.url) for name, server in (("small", small), ("large", large))}
    time.sleep(3)
    found: dict[str, list[tuple[float, float] | None]] = {"small": [], "large": []}
    with tempfile.TemporaryDirectory() as folder:
        scripts = {}
        for name, server, waiting in (("small", small, SMALL), ("large", large, people)):
            scripts[name] = Path(folder) / f"{name}.lua"
            write_polls(scripts[name], asyncio.run(tickets(server.url, waiting)))
        for turn in range(ROUNDS + 1):
            for name in found if turn % 2 else reversed(found):
                process, port = gates[name]
                url = f"http://127.0.0.1:{port}/-/waitroom/status?shown=99999999"
                headers = [f"{field}: {value}" for field, value in BROWSER.items()]
                try:
                    figures = measure(process.pid, url, headers, ROUND_S, str(scripts[name]))
                except AssertionError:
                    say("  the machine stalled: a turn is left out")
                    found[name].append(None)
                else:
                    found[name].append(figures if turn else None)
    for process, _ in (*gates.values(), (origin, 0)):
        process.terminate()
        process.join()
    pairs = [(small, large) for small, large in zip(found["small"], found["large"], strict=True) if small and large]
    return {
        "poll_ratio": statistics.median(large[0] / small[0] for small, large in pairs),
        "poll_ratio_by_cpu": statistics.median(small[1] / large[1] for small, large in pairs),
        "polls_per_s": statistics.median(large[0] for _, large in pairs),
        "poll_cpu_us": statistics.median(large[1] for _, large in pairs),
    }


async def tickets(url: str, waiting: int) -> list[str]:
    """So many tickets, evenly over the line."""
    room = Room.connect(url, "shop")
    state = (await room.sync("", "bench")).state
    await room.close()
    tokens, first = Tokens("shop", [SECRET]), state.issued - waiting + max(0, state.front - state.issued + waiting)
    numbers = [first + 5 + at * (state.issued - first - 5) // TICKETS for at in range(TICKETS)]
    return [
        tokens.sign_ticket(Ticket("shop", state.generation, number, f"{number:032x}", int(time.time() * 1000)))
        for number in numbers
    ]


def run(people: int, options: argparse.Namespace) -> dict[str, Any]:
    crowd = Crowd(people, ABSENT)
    with running_redis(options.redis) as large_server, running_redis(options.redis) as small_server:
        large, small = Server(large_server), Server(small_server)
        for server in (large, small):
            open_room(server.url)
        base = large.memory()
        say(f"{people:,} take numbers")
        began = time.perf_counter()
        asyncio.run(fill(small.url, SMALL, tell=lambda _: None))
        large.begin()
        asyncio.run(fill(large.url, people, tell=lambda at: say(f"  {at:,} of {people:,}")))
        found: dict[str, Any] = {
            "waiting": people,
            "redis": large.client.info("server")["redis_version"],
            "joins_a_second": people / (time.perf_counter() - began),
            "longest_enter_ms": large.report()["longest_script_ms"].get("enter", 0.0),
            "bytes_a_person_just_joined": (large.memory() - base) / people,
        }
        found |= watch_crowd(large, crowd, options.workers, base)
        found |= compare_polls(small, large, people)
    say("positions, with parts of the line absent")
    found["position_bound"] = worst_errors(people)
    return found


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waiting", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--redis", help="path of a redis-server or valkey-server")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = [rounded(run(people, options)) for people in options.waiting]
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for name, first in results[0].items():
        how, budget = BUDGETS.get(name, ("", None))
        wanted = "" if budget is None else f"{how} {budget}"
        for part in first if isinstance(first, dict) else [None]:
            values = [result[name] if part is None else result[name].get(part, "") for result in results]
            label = name if part is None else f"{name}: {part}"
            print(f"{label:48}" + "".join(f"{value!s:>14}" for value in values) + f"   {wanted}".rstrip())


if __name__ == "__main__":
    main()
