"""A line of millions in a real Redis: numbers taken through the verbs, and workers to which the crowd's polls come.

A worker here is a real `Line` with its real loop in a process of its own. Polls are noted where the gate would note
them; what they cost over HTTP is measured elsewhere. Each place polls once in `POLL_S`, at one worker or another.
"""

import asyncio
import contextlib
import random
import secrets
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from typing import Any

import uvloop

from waitroom.core.model import Snapshot
from waitroom.core.settings import Settings
from waitroom.store import room as verbs
from waitroom.store import scripts
from waitroom.store.batch import MOST
from waitroom.store.holder import Holder
from waitroom.store.line import Line
from waitroom.store.replies import Claimant, Newcomer
from waitroom.store.room import Room

POLL_S = 30.0
TICK_S = 0.02
PROBE_S = 0.001
ENTERS_AT_ONCE = 4


@dataclass(frozen=True)
class Crowd:
    """So many places; `absent` of each hundred took a number and left, half of those in runs of about a thousand."""

    people: int
    absent: int = 0
    seed: int = 1

    def here(self) -> bytes:
        """One byte a place: 1 who polls, 0 who left."""
        chance = random.Random(self.seed)
        share = self.absent / 100
        marks = bytearray(chance.choices((1, 0), (1 - share / 2, share / 2), k=self.people))
        for at in range(0, self.people, 1000):
            if chance.random() < share / 2 / (1 - share / 2):
                end = min(at + 1000, self.people)
                marks[at:end] = bytes(end - at)
        return bytes(marks)


async def fill(url: str, people: int, *, tell: Callable[[int], None]) -> Snapshot:
    """So many numbers, taken as workers take them: 200 a call."""
    room = Room.connect(url, "shop")
    snapshot = await room.sync("", "fill")
    first, generation = snapshot.state.issued, snapshot.state.generation
    starts = iter(range(0, people, MOST))

    async def enter() -> None:
        for start in starts:
            newcomers = [Newcomer(f"{start + i:032x}", True, False) for i in range(min(MOST, people - start))]
            await room.enter(
                generation,
                first + start,
                newcomers,
                call_id=secrets.token_hex(8),
                seat_ms=30_000,
                now_ms=time.time() * 1000,
            )
            if start % 100_000 == 0:
                tell(start)

    await asyncio.gather(*(enter() for _ in range(ENTERS_AT_ONCE)))
    snapshot = await room.sync("", "fill")
    await room.close()
    return snapshot


@dataclass
class Seen:
    """What one worker saw of itself since the last question. Milliseconds; `positions` are places behind the front,
    what `ahead` says of them, and the truth.
    """

    is_holder: bool = False
    positions: list[tuple[int, int, int]] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    rounds_wall: list[float] = field(default_factory=list)
    rounds_cpu: list[float] = field(default_factory=list)
    stalls_wall: list[float] = field(default_factory=list)
    stalls_cpu: list[float] = field(default_factory=list)
    polls: int = 0
    claims: int = 0
    table_bytes: int = 0
    cpu_s: float = 0.0


class Worker:
    """One `Line`, the part of the crowd that polls there, and a probe of how long others wait for the loop."""

    def __init__(self, line: Line, crowd: Crowd, index: int, workers: int) -> None:
        self.line = line
        self.seen = Seen()
        self._here = crowd.here()
        self._mine = array("I", (p for p in range(index, crowd.people, workers) if self._here[p]))
        random.Random(index).shuffle(self._mine)
        self._claims: set[asyncio.Task[None]] = set()
        self._cpu_s = 0.0

    async def poll(self) -> None:
        """Note who polls, evenly over the poll interval; those called claim."""
        due, at, last = 0.0, 0, time.perf_counter()
        front = 0
        while True:
            await asyncio.sleep(TICK_S)
            now = time.perf_counter()
            due += (now - last) * len(self._mine) / POLL_S
            last = now
            note = self.line.beats.note
            count = int(due)
            due -= count
            for _ in range(count):
                note(self._mine[at])
                at = (at + 1) % len(self._mine)
            self.seen.polls += count
            snapshot = self.line.snapshot
            if snapshot is not None and snapshot.state.front > front:
                if snapshot.is_holder:
                    # To this worker alone, so that the others show what one sends to which nobody comes.
                    for place in range(front, snapshot.state.front):
                        if self._here[place]:
                            task = asyncio.create_task(self._claim(place))
                            self._claims.add(task)
                            task.add_done_callback(self._claims.discard)
                front = snapshot.state.front

    async def _claim(self, place: int) -> None:
        with contextlib.suppress(Exception):
            await self.line.claim(Claimant(place, f"{place:032x}"), wait_s=30)
            self.seen.claims += 1

    async def probe(self) -> None:
        """How long another task waits for its turn: wall time, and the CPU this thread used meanwhile."""
        while True:
            wall, cpu = time.perf_counter(), time.thread_time()
            await asyncio.sleep(PROBE_S)
            self.seen.stalls_wall.append((time.perf_counter() - wall - PROBE_S) * 1000)
            self.seen.stalls_cpu.append((time.thread_time() - cpu) * 1000)

    def begin(self) -> None:
        self.seen = Seen()
        self._cpu_s = time.process_time()

    def report(self) -> Seen:
        seen, snapshot = self.seen, self.line.snapshot
        assert snapshot is not None
        seen.cpu_s = time.process_time() - self._cpu_s
        seen.is_holder, seen.table_bytes = snapshot.is_holder, len(snapshot.table.encode())
        front, chance = snapshot.state.front, random.Random(7)
        line = snapshot.state.issued - front
        backs = [chance.randrange(5000) for _ in range(500)] + [chance.randrange(line) for _ in range(1500)]
        at = truth = 0
        for back in sorted(backs):
            truth += self._here.count(1, front + at, front + back)
            at = back
            seen.positions.append((back, snapshot.ahead(front + back), truth))
        return seen


def watch(worker: Worker) -> None:
    """Count the calls that leave this process, and time the holder's rounds."""
    run, attend = scripts.run, Holder.round

    async def counted(client: Any, name: str, *arguments: Any, **named: Any) -> list[Any]:
        worker.seen.calls[name] += 1
        return await run(client, name, *arguments, **named)

    async def timed(holder: Holder, snapshot: Snapshot) -> Any:
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            return await attend(holder, snapshot)
        finally:
            worker.seen.rounds_wall.append((time.perf_counter() - wall) * 1000)
            worker.seen.rounds_cpu.append((time.thread_time() - cpu) * 1000)

    verbs.run = counted  # type: ignore[attr-defined]
    Holder.round = timed  # type: ignore[assignment,method-assign]


def run_worker(pipe: Pipe, settings: Settings, crowd: Crowd, index: int, workers: int) -> None:
    """Answers `begin` with None and `report` with what was seen since; ends with `stop`."""

    async def serve() -> None:
        assert settings.redis_url is not None
        line = Line(settings, Room.connect(settings.redis_url.get_secret_value(), "shop"))
        worker = Worker(line, crowd, index, workers)
        watch(worker)
        await line.open()
        tasks = [asyncio.create_task(task) for task in (worker.poll(), worker.probe())]
        pipe.send(None)
        while (order := await asyncio.to_thread(pipe.recv)) != "stop":
            if order == "begin":
                worker.begin()
            pipe.send(worker.report() if order == "report" else None)
        for task in tasks:
            task.cancel()
        await line.close()
        pipe.send(None)

    uvloop.run(serve())


def ask(pipes: Sequence[Pipe], order: str) -> list[Any]:
    for pipe in pipes:
        pipe.send(order)
    return [pipe.recv() for pipe in pipes]
