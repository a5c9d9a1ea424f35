"""What the phase of a sale means to one visitor: what the page shows, and when it asks again."""

from typing import Any

from waitroom.core.estimate import spread
from waitroom.core.judge import Holds
from waitroom.core.sale.schedule import Phase, Sale
from waitroom.core.times import iso_ms

QUIET_POLL_S = 20.0
LOBBY_SPREAD_S = 25.0
"""Times 0.4: within so many seconds a waiting crowd comes into the lobby."""


def stage_of(phase: Phase | None, holds: Holds) -> str | None:
    """What the page of somebody without a pass shows because of the sale's phase; None where the line decides."""
    match phase:
        case None | "open":
            return None
        case "lobby" | "drawn":
            return None if holds is Holds.NOTHING else "lobby"
        case "draining":
            return "closed" if holds in (Holds.NOTHING, Holds.LAPSED) else None
        case _:
            return phase


def sale_facts(sale: Sale, phase: Phase | None) -> dict[str, Any]:
    """The fields of PageFacts that everybody is told alike of a sale."""
    facts: dict[str, Any] = {"phase": phase, "stock": sale.stock}
    if sale.schedule is not None:
        schedule = sale.schedule
        facts |= {
            "lobby_at": iso_ms(schedule.lobby_ms),
            "opens_at": iso_ms(sale.expected_ms),
            "closes_at": iso_ms(schedule.closes_ms) if schedule.closes_ms else None,
            "at_close": schedule.at_close if schedule.closes_ms else None,
        }
    return facts


def quiet_poll_s(sale: Sale) -> float:
    """How often whoever waits for the clock asks: so often that the draw finds each within its lead, and the opening
    finds whom it then counts as present.
    """
    return QUIET_POLL_S if sale.schedule is None else min(QUIET_POLL_S, sale.schedule.lead_ms / 3000)


def pause_s(state: str, number: int, left_ms: float, quiet_s: float) -> float:
    """Seconds until the next poll of somebody who waits for the clock: seldom, and about when there is news, which is
    in `left_ms`.
    """
    pause_s = quiet_s * spread(number)
    if state == "before" and left_ms < pause_s * 1000:
        # Nothing is lost by coming a little later: the lobby has no order.
        pause_s = left_ms / 1000 + 1 + LOBBY_SPREAD_S * (spread(number) - 0.8)
    return int(pause_s * 10) / 10
