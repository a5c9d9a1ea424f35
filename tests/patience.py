"""Waiting for what others bring about: by looking again and again, never by a sleep that is hoped to be long enough."""

import asyncio
import contextlib
import time
from collections.abc import Callable

WITHIN_S = 60.0
"""Far longer than anything takes here: how busy the machine is must not decide."""


async def until(claim: Callable[[], object], *, within_s: float = WITHIN_S) -> None:
    """Until it is so, while other tasks go on."""
    deadline = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < deadline, "it did not come to that"
        await asyncio.sleep(0.005)


def block_until(
    claim: Callable[[], object], *, within_s: float = WITHIN_S, despite: tuple[type[Exception], ...] = ()
) -> None:
    """Until it is so, by what other threads and processes do. An error of those in `despite` means: not yet."""
    deadline = time.monotonic() + within_s
    while True:
        with contextlib.suppress(*despite):
            if claim():
                return
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.005)
