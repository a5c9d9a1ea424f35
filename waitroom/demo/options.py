"""What a demo can be asked for. Bounds are checked here, so that every caller has the same."""

from dataclasses import dataclass
from pathlib import Path

from waitroom.core.parse import parse_rate

MOST_PEOPLE = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """`ValueError` names the option that is out of bounds, with what it may be."""

    rate: str = "60/min"
    """Admissions, as in WAITROOM_RATE."""

    crowd: int | None = None
    """People who wait at any time; new ones come as others are let in. 0 is nobody. None is so many that
    whoever opens the page is let in after about 45 seconds."""

    port: int = 8080
    """The gateway's port; 0 takes a free one. The storefront always takes a free one."""

    data_dir: Path | None = None
    """Kept after the demo; None is a temporary folder, removed at the end."""

    seconds: float | None = None
    """End by itself after this long; None runs until Ctrl-C."""

    storefront_only: bool = False
    """Only the shop, without a gateway before it: what the line is good for."""

    def __post_init__(self) -> None:
        parse_rate(self.rate)
        if self.crowd is not None and not 0 <= self.crowd <= MOST_PEOPLE:
            raise ValueError(f"crowd is {self.crowd}; it may be 0 to {MOST_PEOPLE}")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port is {self.port}; it may be 0 to 65535")
        if self.seconds is not None and not 0 < self.seconds <= 86_400:
            raise ValueError(f"seconds is {self.seconds}; it may be up to a day")
