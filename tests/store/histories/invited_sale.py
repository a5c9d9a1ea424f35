"""Random histories of a sale in a room with two lines: by an invite people come in before the opening, too, and nobody
does once it is over. The line of the invited hears of that from the first one, so some seconds are given.
"""

from dataclasses import dataclass
from typing import Final

from tests.store.histories.events import Admitted, Event
from tests.store.histories.invited import INVITED_MISHAPS, InvitedWorld
from tests.store.histories.mishaps import reset
from tests.store.histories.sale import SALE_MISHAPS, SaleWorld
from tests.store.histories.world import Mishaps
from waitroom.core.sale.schedule import Sale
from waitroom.store.keys import INVITED

FOLLOWS_S = 4.0
"""A round of the first line and one of this, two seconds after an adoption, and steps of half a second."""


@dataclass
class InvitedSaleWorld(InvitedWorld, SaleWorld):
    """`over_s`: since when it is over, as was seen with each step; None while it is not."""

    over_s: float | None = None

    async def step(self) -> None:
        sale = await self.sale_now()
        is_over = sale is not None and self.is_over(sale)
        self.over_s = None if not is_over else self.now_s if self.over_s is None else self.over_s
        await super().step()

    def is_over(self, sale: Sale) -> bool:
        schedule = sale.schedule
        is_closed = schedule is not None and schedule.at_close == "stop" and sale.latched == "closed"
        return sale.is_sold_out or is_closed

    async def executed(self, events: list[Event]) -> None:
        await super().executed([event for event in events if getattr(event, "line", "") != INVITED])
        if self.over_s is None or self.now_s - self.over_s <= FOLLOWS_S:
            return
        for event in events:
            if isinstance(event, Admitted) and event.counts and event.line == INVITED:
                self.broken.append(f"{event.place} by an invite, at {self.now_s:.3f}: over since {self.over_s:.3f}")


INVITED_SALE_MISHAPS: Final[Mishaps] = {**SALE_MISHAPS, **INVITED_MISHAPS, reset: 0.7}
