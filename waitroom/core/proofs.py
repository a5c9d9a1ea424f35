"""Whether newcomers prove their cookies: how many provisional passes of the last minute came back."""

from collections import deque

WINDOW_MS = 60_000
PATIENCE_MS = 5_000
ENOUGH = 40


class Proofs:
    """Counters of the room, sampled once a second: (ms, passes given on the spot, of those seen again)."""

    def __init__(self) -> None:
        self._samples: deque[tuple[int, int, int]] = deque()
        self.is_flooded = False

    def add(self, now_ms: int, given: int, confirmed: int) -> None:
        """Judge anew: of at least 40 passes given 5 to 60 s ago, fewer than half were seen again."""
        samples = self._samples
        if samples and (given < samples[-1][1] or now_ms < samples[-1][0]):
            samples.clear()
        if not samples or now_ms - samples[-1][0] >= 1000:
            samples.append((now_ms, given, confirmed))
        while now_ms - samples[0][0] > WINDOW_MS:
            samples.popleft()
        older = [sample for sample in samples if now_ms - sample[0] >= PATIENCE_MS]
        judged = older[-1][1] - older[0][1] if older else 0
        self.is_flooded = judged >= ENOUGH and (confirmed - older[0][2]) * 2 < judged
