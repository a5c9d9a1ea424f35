"""`waitroom demo`: the parts on their stage, from the first signal to the last.

Ctrl-C, SIGTERM and a closed terminal stop the parts in order.
"""

from collections.abc import Callable
from types import FrameType

from waitroom.demo.options import DemoOptions
from waitroom.demo.programme import looking_back, programme
from waitroom.demo.stage import DemoFailed, Stage, ending_signals

__all__ = ["DemoFailed", "DemoOptions", "demo"]


def demo(options: DemoOptions, *, say: Callable[[str], None], live: Callable[[str], None]) -> None:
    """Run the demo to its end. `say` takes lines to keep, `live` the one line that is replaced twice a second.
    Call from the main thread. Raises DemoFailed.
    """
    with ending_signals(interrupt), Stage(options) as stage:
        try:
            stage.raise_curtain(live)
            for line in programme(stage):
                say(line)
            stage.play(live)
        except KeyboardInterrupt:
            pass
        for line in ("", *looking_back(stage), "  Ending."):
            say(line)


def interrupt(number: int, frame: FrameType | None) -> None:
    """SIGTERM and a closed terminal end the demo as Ctrl-C does."""
    raise KeyboardInterrupt
