"""Order and no-shows, in virtual time before the real scripts: how much of the rate is used, who is overtaken.

    python -m tests.bench.bench_order [--people 3000] [--seed 1] [--only leaving]

A crowd of `--people` arrives within five seconds before a room of 20 a second. Columns: the part of the rate used
while anybody who is there waits, from 2 s on, and from 40 s on, when absence has been found; the furthest ahead an
admission was reserved; the most later places, called over two seconds later, that came in before somebody awake; who
is there, awake and did not come in; the most people who are there called in a quarter of a second, the set called
together.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise

from tests.store.line_simulation import LineSimulation
from tests.store.room_support import room_in
from tests.support import running_redis
from waitroom.core.meter import Limits
from waitroom.core.presence import Beats
from waitroom.core.settings import Settings

RATE, BURST = 20.0, 20.0
LIMITS = Limits(RATE, BURST)
SETTINGS = Settings.model_validate({"origin": "http://127.0.0.1:1"})
HEAD = f"{'scenario':<34}{'used':>7}{'later':>7}{'ahead s':>9}{'overtaken':>11}{'starved':>9}{'at once':>9}  besides"


async def arrive(simulation: LineSimulation, people: int, *, slow: float = 0.0, leaving: float = 0.0) -> None:
    for _ in range(10):
        await simulation.join(people // 10, slow=slow, leaving=leaving)
        await simulation.run(0.5)


async def until_called(simulation: LineSimulation) -> None:
    while simulation.fronts[-1][1] < len(simulation.people) and simulation.now_s < 600:
        await simulation.run(1)


def row(name: str, simulation: LineSimulation, besides: str = "", *, rate: float = RATE) -> str:
    end_s = next((at for at, front in simulation.fronts if front >= len(simulation.people)), simulation.now_s)
    used = simulation.rate_used(rate, burst=BURST, start_s=2, end_s=end_s)
    later = simulation.rate_used(rate, burst=BURST, start_s=40, end_s=end_s) if end_s > 60 else used
    awake = [p for p in simulation.people if not p.slow and p.leaves_at == float("inf")]
    starved = sum(p.admit_s is None and p.called_s is not None and p.called_s < simulation.now_s - 10 for p in awake)
    people = simulation.people
    together = max(
        sum(person.is_there(at) for person in people[before:after])
        for (_, before), (at, after) in pairwise(simulation.fronts)
    )
    return (
        f"{name:<34}{used:>7.3f}{later:>7.3f}{simulation.furthest_ahead_s:>9.2f}{simulation.overtaken():>11}"
        f"{starved:>9}{together:>9}  {besides}"
    )


async def leaving(url: str, people: int, seed: int) -> None:
    for part in range(0, 100, 10):
        async with room_in(url, LIMITS) as room:
            simulation = LineSimulation(room, SETTINGS, seed)
            await arrive(simulation, round(people / (1 - part / 100)), leaving=part / 100)
            await until_called(simulation)
            print(row(f"{part} % leave within 20 s", simulation), flush=True)


async def slow(url: str, people: int, seed: int) -> None:
    for part in range(0, 90, 20):
        async with room_in(url, LIMITS) as room:
            simulation = LineSimulation(room, SETTINGS, seed)
            await arrive(simulation, people, slow=part / 100)
            await until_called(simulation)
            print(row(f"{part} % slow tabs (once a minute)", simulation), flush=True)


async def phones(url: str, people: int, seed: int) -> None:
    async with room_in(url, LIMITS) as room:
        simulation = LineSimulation(room, SETTINGS, seed, latency_s=(2.0, 6.0))
        await arrive(simulation, people)
        await until_called(simulation)
        await simulation.run(10)
        print(row("phones that answer after 2-6 s", simulation), flush=True)


async def mass_return(url: str, people: int, seed: int) -> None:
    """And a hold in the moment of the return."""
    async with room_in(url, LIMITS) as room:
        simulation = LineSimulation(room, SETTINGS, seed)
        await arrive(simulation, 3 * people)
        for person in simulation.people[::3]:
            person.offline = (20.0, 260.0)
        await simulation.run(257)
        await room.room.configure({"hold": "1"}, by="bench")
        held_s = simulation.now_s
        await simulation.run(10)
        after = [at for at in simulation.admissions() if at > held_s]
        await room.room.configure({"hold": "0"}, by="bench")
        await simulation.run(60)
        used = simulation.rate_used(RATE, burst=BURST, start_s=held_s + 13, end_s=held_s + 68)
        last = f", the last {max(after) - held_s:.2f} s later" if after else ""
        besides = f"{len(after)} admitted after the hold{last}; used {used:.3f} after it"
        print(row("a third back after 4 min, a hold", simulation, besides), flush=True)


async def full_room(url: str, people: int, seed: int) -> None:
    """Ten seats kept for ten seconds are one a second; the rate is the seats'."""
    async with room_in(url, Limits(RATE, BURST, max_active=10)) as room:
        simulation = LineSimulation(room, SETTINGS, seed, stays_s=lambda: 10.0)
        await arrive(simulation, 300, slow=0.3)
        most = 0
        for _ in range(120):
            await simulation.run(1)
            most = max(most, room.snapshot.seats if room.snapshot else 0)
        print(row("ten seats, 30 % slow tabs", simulation, f"at most {most} seats", rate=1.0), flush=True)


async def outage(url: str, people: int, seed: int) -> None:
    async with room_in(url, LIMITS) as room:
        simulation = LineSimulation(room, SETTINGS, seed)
        await arrive(simulation, people)
        await simulation.run(20)
        before = simulation.fronts[-1][1]
        simulation.is_silent = True
        await simulation.run(10)
        for key in await room.redis.keys(f"{room.room.keys.prefix}beat:*"):
            await room.redis.delete(key)
        simulation.beats, simulation.is_silent = Beats(), False
        await simulation.run(10)
        jump = simulation.fronts[-1][1] - before
        await until_called(simulation)
        print(row("store away for 10 s, beats lost", simulation, f"front {jump} on in 20 s"), flush=True)


async def smooth(url: str, people: int, seed: int) -> None:
    """Ten a second, one at a time."""
    async with room_in(url, Limits(10, 1)) as room:
        simulation = LineSimulation(room, SETTINGS, seed)
        await arrive(simulation, 600)
        await simulation.run(50)
        times = [at for at in simulation.admissions() if at > 2]
        gaps = sorted(after - before for before, after in pairwise(times))
        at = {part: gaps[int(part * (len(gaps) - 1))] * 1000 for part in (0.0, 0.05, 0.5, 0.95, 1.0)}
        shown = " ".join(f"{part:.0%} {ms:.0f}" for part, ms in at.items())
        print(row("10/s, burst 1: gaps in ms", simulation, shown, rate=10), flush=True)


SCENARIOS: dict[str, Callable[[str, int, int], Awaitable[None]]] = {
    run.__name__: run for run in (leaving, slow, phones, mass_return, full_room, outage, smooth)
}


async def measure(url: str, people: int, seed: int, only: str | None) -> None:
    started = time.monotonic()
    print(HEAD, flush=True)
    for name, run in SCENARIOS.items():
        if only in (None, name):
            await run(url, people, seed)
    print(f"{time.monotonic() - started:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description="Order and no-shows, in virtual time.")
    parser.add_argument("--people", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=SCENARIOS)
    options = parser.parse_args()
    with running_redis() as server:
        asyncio.run(measure(server.url, options.people, options.seed, options.only))


if __name__ == "__main__":
    main()
