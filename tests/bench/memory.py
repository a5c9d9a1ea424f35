"""The resident memory of processes while something happens to them."""

import threading
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

SAMPLE_S = 0.05
MEGABYTE = 1_048_576
BARS = "▁▂▃▄▅▆▇█"


def status_bytes(pid: int, field: str) -> int:
    """A line of /proc/<pid>/status, in bytes: VmRSS is what it has now, VmHWM the most it had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"{field} is no memory of {pid}")


class MemoryWatch:
    """Samples the memory of the fullest of some processes every 50 ms; `peak` is the kernel's, without gaps."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.samples: list[int] = []
        self.before = self.peak = self.after = 0

    def __enter__(self) -> Self:
        for pid in self._pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # the most it had begins anew
        self.before = self.now()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.after = self.now()
        self.peak = max(status_bytes(pid, "VmHWM") for pid in self._pids)

    def now(self) -> int:
        return max(status_bytes(pid, "VmRSS") for pid in self._pids)

    @property
    def growth(self) -> int:
        """Bytes above what it was before."""
        return self.peak - self.before

    def _work(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self.samples.append(self.now())

    def curve(self, width: int = 40) -> str:
        """The samples as bars, the largest of each piece of time; from 0 to the peak."""
        found, top = self.samples or [self.before], max(self.peak, 1)
        starts = [at * len(found) // width for at in range(width + 1)]
        pieces = [found[start : max(start + 1, end)] for start, end in pairwise(starts)]
        return "".join(BARS[min(7, max(piece) * 8 // top)] for piece in pieces)
