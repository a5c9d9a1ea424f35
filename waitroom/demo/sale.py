"""The demo's sale: when the lobby opens, when its places are drawn, and when the shop opens."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

LOBBY_PART = 1 / 3
"""After so much of the time the countdown becomes a lobby."""
LEAD_PART, LONGEST_LEAD_S = 1 / 4, 60


@dataclass(frozen=True, slots=True)
class DemoSale:
    """Times in seconds since 1970."""

    lobby_s: float
    drawn_s: float
    opens_s: float

    @classmethod
    def after(cls, wait_s: float, now_s: float) -> "DemoSale":
        """A sale that opens `wait_s` from now."""
        lead_s = int(min(LONGEST_LEAD_S, wait_s * LEAD_PART))
        opens_s = now_s + wait_s
        return cls(now_s + wait_s * LOBBY_PART, opens_s - lead_s, opens_s)

    def settings(self) -> Iterator[tuple[str, str]]:
        yield "WAITROOM_LOBBY_AT", iso(self.lobby_s)
        yield "WAITROOM_OPENS_AT", iso(self.opens_s)
        yield "WAITROOM_DRAW_LEAD", f"{round(self.opens_s - self.drawn_s)}s"

    def next_event(self, now_s: float) -> str:
        """What comes next, and when."""
        events = ((self.lobby_s, "the lobby opens"), (self.drawn_s, "the draw"), (self.opens_s, "the sale opens"))
        for at_s, what in events:
            if now_s < at_s:
                return f"{what} in {clock(at_s - now_s)}"
        return f"open for {clock(now_s - self.opens_s)}"


def iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")


def clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"
