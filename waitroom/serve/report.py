"""A worker's own figures, on the board about once a second; and how late its loop is."""

import asyncio
import contextlib
import os
import resource
import sys
import time
from collections.abc import Sequence
from typing import Protocol

from waitroom.core.figures import CONNECTIONS, CPU_US, LOOP_DELAY, MEMORY, READY, STARTS, Figures, observe
from waitroom.edge.wire.server import EdgeServer
from waitroom.serve.board import Board

LOOK_S = 0.25
LOOKS_A_REPORT = 4


class Counting(Protocol):
    """An app with figures, one for each room; the process's own stand in the first. `look` brings gauges up to date."""

    figures: Sequence[Figures]

    def look(self) -> None: ...


class Reporter:
    """Looks at the loop four times a second while it is open, and writes every fourth time."""

    def __init__(self, app: Counting, server: EdgeServer, board: Board, row: int) -> None:
        """`row` is the first of the app's: each room has one."""
        self._app = app
        self._server = server
        self._board = board
        self._row = row
        self._task: asyncio.Task[None] | None = None
        self._figures = app.figures[0]
        for room, figures in enumerate(app.figures):
            figures.counts[:] = board.counts(row + room)
        counts = self._figures.counts
        counts[STARTS] += 1
        self._cpu_before_us = counts[CPU_US]

    def open(self) -> None:
        self._task = asyncio.create_task(self._run(), name="report")

    def close(self) -> None:
        """The last word: not ready any more."""
        if self._task is not None:
            self._task.cancel()
        with contextlib.suppress(Exception):
            self._report(ready=False)

    async def _run(self) -> None:
        while True:
            self._report()
            for _ in range(LOOKS_A_REPORT):
                due = time.monotonic() + LOOK_S
                await asyncio.sleep(LOOK_S)
                observe(self._figures.counts, LOOP_DELAY, (time.monotonic() - due) * 1000)

    def _report(self, *, ready: bool = True) -> None:
        figures = self._figures
        self._app.look()
        figures.gauges[CONNECTIONS] = len(self._server.edge.connections)
        figures.gauges[MEMORY] = memory_bytes()
        figures.counts[CPU_US] = self._cpu_before_us + time.process_time_ns() // 1000
        for room, each in enumerate(self._app.figures):
            each.gauges[READY] = each.gauges[READY] if ready else 0
            self._board.write(self._row + room, each)


def memory_bytes() -> int:
    """Of this process, resident; where the system does not tell, the most it ever was."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
