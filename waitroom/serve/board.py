"""What the workers say of themselves, in memory that the parent, the workers and the admin process share.

```
row 0: COUNTS, GAUGES   row 1: COUNTS, GAUGES   …        whole numbers of 64 bits (waitroom.core.figures)
```
Each worker has a row for each room, side by side, and writes them about once a second; whoever looks reads what stands
there: nothing is sent, so nothing gets lost, waits, or stops when a process does. A worker that is started again goes
on from its rows' counts, which therefore never go back. A number is written whole; numbers beside each other may be a
moment apart.
"""

import mmap
import os
import tempfile
import time
from array import array

from waitroom.core.figures import COUNTS, GAUGES, REPORTED_MS, Figures, Report

ROW = COUNTS + GAUGES
BYTES = 8


class Board:
    """The shared memory, by its file number, which may be passed on to a child."""

    def __init__(self, number: int) -> None:
        self.number = number
        size = os.fstat(number).st_size
        self.rows = size // (ROW * BYTES)
        self._memory = mmap.mmap(number, size)
        self._numbers = memoryview(self._memory).cast("q")

    @classmethod
    def make(cls, rows: int) -> "Board":
        """A new one. It has no name: it is gone when the last process that holds it ends."""
        if hasattr(os, "memfd_create"):
            number = os.memfd_create("waitroom", os.MFD_CLOEXEC)
        else:
            with tempfile.TemporaryFile() as file:
                number = os.dup(file.fileno())
        os.ftruncate(number, rows * ROW * BYTES)
        return cls(number)

    def close(self) -> None:
        self._numbers.release()
        self._memory.close()
        os.close(self.number)

    def write(self, row: int, figures: Figures) -> None:
        """A worker's report, with the time."""
        figures.gauges[REPORTED_MS] = max(1, int(time.monotonic() * 1000))
        self._numbers[row * ROW : (row + 1) * ROW] = memoryview(array("q", [*figures.counts, *figures.gauges]))

    def counts(self, row: int) -> list[int]:
        """What a worker that begins in this row goes on from."""
        return self._numbers[row * ROW : row * ROW + COUNTS].tolist()

    def clear(self, row: int) -> None:
        """The worker has ended: what it counted stays."""
        self._numbers[row * ROW + COUNTS : (row + 1) * ROW] = memoryview(array("q", [0] * GAUGES))

    def read(self) -> list[Report]:
        """The last report of each row."""
        now_ms = time.monotonic() * 1000
        reports = []
        for row in range(self.rows):
            numbers = self._numbers[row * ROW : (row + 1) * ROW].tolist()
            gauges = numbers[COUNTS:]
            age_s = max(0.0, now_ms - gauges[REPORTED_MS]) / 1000 if gauges[REPORTED_MS] else None
            reports.append(Report(numbers[:COUNTS], gauges, age_s))
        return reports
