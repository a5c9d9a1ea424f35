"""`waitroom demo`: the parts on their stage, from the first signal to the last.

Ctrl-C, SIGTERM and a closed terminal stop the parts in order.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from waitroom.demo.options import DemoOptions
from waitroom.demo.stage import DemoFailed, Stage

__all__ = ["DemoFailed", "DemoOptions", "demo"]


def demo(options: DemoOptions, *, say: Callable[[str], None], live: Callable[[str], None]) -> None:
    """Run the demo to its end. `say` takes lines to keep, `live` the one line that is replaced twice a second.
    Call from the main thread. Raises DemoFailed.
    """
    with interrupts(), Stage(options) as stage:
        try:
            stage.raise_curtain(live)
            for line in stage.programme():
                say(line)
            stage.play(live)
        except KeyboardInterrupt:
            pass
        for line in ("", *stage.looking_back(), "  Ending."):
            say(line)


@contextmanager
def interrupts() -> Iterator[None]:
    """SIGTERM and a closed terminal end the demo as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
