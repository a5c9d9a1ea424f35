"""Visitors of this worker who were called and cannot be let in this very moment.

With each sync the worker asks again for them, the lowest places first; in Redis they stand in order over all
workers. Only a visitor whose request is still open is asked for: an admission nobody takes would be lost.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from waitroom.store.batch import MOST
from waitroom.store.replies import Claimant, Claimed

RENEW_S = 2.0


class Door:
    """`claim` asks Redis for at most `MOST` claimants at once; its answers are in their order."""

    def __init__(self, claim: Callable[[list[Claimant]], Awaitable[Sequence[Claimed]]]) -> None:
        self._claim = claim
        self._standing: dict[Claimant, list[asyncio.Future[Claimed]]] = {}
        self._renewed_at = 0.0

    def __len__(self) -> int:
        return len(self._standing)

    async def wait(self, claimant: Claimant, seconds: float) -> Claimed | None:
        """The answer once it is another than *door*; None when the time is up. Cancelling leaves the door."""
        future: asyncio.Future[Claimed] = asyncio.get_running_loop().create_future()
        self._standing.setdefault(claimant, []).append(future)
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            return None
        finally:
            here = self._standing.get(claimant)
            if here is not None and future in here:
                here.remove(future)
                if not here:
                    del self._standing[claimant]

    async def ask(self) -> None:
        """The lowest places each time, everybody every two seconds, so that nobody drops out (5 s) of the order."""
        everybody = sorted(self._standing)
        if not everybody:
            return
        now = time.monotonic()
        if now - self._renewed_at >= RENEW_S:
            self._renewed_at = now
        else:
            everybody = everybody[:MOST]
        for at in range(0, len(everybody), MOST):
            batch = everybody[at : at + MOST]
            for claimant, claimed in zip(batch, await self._claim(batch), strict=True):
                if claimed.outcome != "door":
                    for future in self._standing.pop(claimant, ()):
                        if not future.done():
                            future.set_result(claimed)
