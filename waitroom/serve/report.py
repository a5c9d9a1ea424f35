"""A worker's own figures, on the board about once a second; and how late its loop is."""

import asyncio
import contextlib
import os
import resource
import sys
import time
from typing import Protocol

from waitroom.core.figures import CONNECTIONS, CPU_US, LOOP_DELAY, MEMORY, READY, STARTS, Figures, observe
from waitroom.edge.server import EdgeServer
from waitroom.serve.board import Board

LOOK_S = 0.25
LOOKS_A_REPORT = 4


class Counting(Protocol):
    """An app with figures; `look` brings its gauges up to date."""

    figures: Figures

    def look(self) -> None: ...


class Reporter:
    def __init__(self, app: Counting, server: EdgeServer, board: Board, slot: int) -> None:
        self._app = app
        self._server = server
        self._board = board
        self._slot = slot
        self._task: asyncio.Task[None] | None = None
        counts = app.figures.counts
        counts[:] = board.counts(slot)
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
                observe(self._app.figures.counts, LOOP_DELAY, (time.monotonic() - due) * 1000)

    def _report(self, *, ready: bool = True) -> None:
        figures = self._app.figures
        self._app.look()
        figures.gauges[READY] = figures.gauges[READY] if ready else 0
        figures.gauges[CONNECTIONS] = len(self._server.edge.connections)
        figures.gauges[MEMORY] = memory_bytes()
        figures.counts[CPU_US] = self._cpu_before_us + time.process_time_ns() // 1000
        self._board.write(self._slot, figures)


def memory_bytes() -> int:
    """Of this process, resident; where the system does not tell, the most it ever was."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
