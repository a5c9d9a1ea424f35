"""A broken promise, and the short history that is told of it."""

from dataclasses import dataclass

from tests.store.histories.events import History, Limited, Lost, Mishap

MOST_TOLD = 30


@dataclass(frozen=True)
class Fault:
    """`index` of the event that broke the promise; `about`: the events that belong to it."""

    promise: str
    index: int
    says: str
    about: tuple[int, ...] = ()


def tell(history: History, fault: Fault) -> str:
    """A counterexample to read: what is broken, and the last events that belong to it."""
    first = min((*fault.about, fault.index))
    around = (i for i in range(first, fault.index) if isinstance(history[i], Mishap | Lost | Limited))
    about = sorted({*fault.about, fault.index, *around})[-MOST_TOLD:]
    lines = [f"{fault.promise}: {fault.says}"]
    lines += [f"  {history[i].at_s:9.3f} s  {history[i]}{'   ← here' if i == fault.index else ''}" for i in about]
    return "\n".join(lines)
