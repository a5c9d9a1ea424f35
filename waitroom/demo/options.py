"""What a demo can be asked for. Bounds are checked here, so that every caller has the same."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from waitroom.core.parse import parse_duration_ms, parse_rate

MOST_PEOPLE = 2000
SALE_IN_S = (10, 3600)


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

    sale_in: str | None = None
    """A sale that opens after so long, with a countdown, a lobby and a draw before it; None is open from the start."""

    def __post_init__(self) -> None:
        texts: list[tuple[str, str, Callable[[str], object]]] = [("--rate", self.rate, parse_rate)]
        if self.sale_in is not None:
            texts.append(("--sale-in", self.sale_in, parse_duration_ms))
        for name, text, parse in texts:
            try:
                parse(text)
            except ValueError as fault:
                raise ValueError(f"{name}={text} {fault}") from fault
        if self.crowd is not None and not 0 <= self.crowd <= MOST_PEOPLE:
            raise ValueError(f"--crowd={self.crowd} is not a number from 0 to {MOST_PEOPLE}")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"--port={self.port} is not a number from 0 to 65535")
        least, most = SALE_IN_S
        if self.sale_in is not None and not least <= self.sale_in_s <= most:
            raise ValueError(f"--sale-in={self.sale_in} is not from {least}s to {most // 3600}h")
        if self.sale_in is not None and self.storefront_only:
            raise ValueError("a sale needs the gateway; leave out --storefront-only or --sale-in")
        if self.seconds is not None and not 0 < self.seconds <= 86_400:
            raise ValueError(f"--seconds={self.seconds:g} is not a time above 0 and up to 86400")

    @property
    def sale_in_s(self) -> float:
        """Seconds until the opening; 0 without a sale."""
        return 0.0 if self.sale_in is None else parse_duration_ms(self.sale_in) / 1000
