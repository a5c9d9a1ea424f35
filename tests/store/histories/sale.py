"""Random histories of a room whose sale opens, closes, sells out, is put off and comes again.

Beside the promises of every history: nobody gets a number or comes in but while the sale that is in force allows it, by
the clock of Redis and however late or lost the latching of its phases was. Nobody is in a lobby (`draw`).
"""

from dataclasses import dataclass
from typing import Final

from tests.store.histories.events import Admitted, Event, Issued
from tests.store.histories.mishaps import MISHAPS
from tests.store.histories.world import Mishaps, World
from waitroom.core.model import read_state
from waitroom.core.sale.changes import Refused, plan_sale
from waitroom.core.sale.schedule import GATHERING, Sale, Schedule, write_new_sale
from waitroom.core.times import iso_utc
from waitroom.store.replies import AdoptNeeded, GenerationGone, Unsettled
from waitroom.store.sale import Moved, change_sale


@dataclass
class SaleWorld(World):
    latest_ms: float = 0.0

    async def pass_s(self, seconds: float) -> None:
        """A phase that was latched stays so when the clock of Redis goes back."""
        await super().pass_s(seconds)
        self.latest_ms = max(self.latest_ms, self.room.clock.now_ms)

    # What is watched.

    async def sale_now(self) -> Sale | None:
        fields = await self.fields(self.lines[0])
        return read_state(fields).sale if fields else None

    async def watch(self, what: str, *, numbers: bool, is_ticket: bool = False) -> None:
        """Right after the script: nothing else has happened since."""
        sale, now_ms = await self.sale_now(), self.room.clock.now_ms
        if sale is None or sale.schedule is None:
            if sale is not None and sale.is_sold_out:
                self.broken.append(f"{what} though it is sold out, at {self.now_s:.3f}")
            return
        schedule = sale.schedule
        is_over = 0 < schedule.closes_ms <= now_ms and (numbers or schedule.at_close == "stop")
        is_early = self.latest_ms < schedule.opens_ms and not (is_ticket and sale.latched in GATHERING)
        if sale.is_sold_out or is_over or is_early:
            self.broken.append(f"{what} in {sale.latched}, at {self.now_s:.3f}: {sale}")

    async def executed(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Issued):
                await self.watch(f"number {event.place}", numbers=True, is_ticket=True)
            elif isinstance(event, Admitted) and event.counts:
                await self.watch(f"admission of {event.place}", numbers=event.on_the_spot)

    # What operators do.

    async def change(self, *words: tuple[str, str]) -> str:
        sale = await self.sale_now()
        if sale is None or self.is_away:
            return "of nothing"
        now_ms = self.room.clock.now_ms
        try:
            planned = plan_sale(sale, dict(words), now_ms=now_ms, waiting=0)
            await change_sale(self.room.room, planned.fields, by="test", phase=sale.latched or "")
            if planned.fields.get("phase") == "before":
                self.note_restart()
        except (AdoptNeeded, GenerationGone, Moved, Refused, Unsettled) as refusal:
            return f"refused: {refusal}"
        return " ".join("=".join(word) for word in words)

    def at(self, later_s: float) -> str:
        return iso_utc(round(self.room.clock.now_ms + later_s * 1000))

    async def calm_down(self) -> None:
        """The sale is open, and has no end: whoever is in its line comes in."""
        await super().calm_down()
        now_ms = round(self.room.clock.now_ms)
        opened = Schedule(now_ms, now_ms, 0, "drain", 60_000)
        await change_sale(
            self.room.room, {**write_new_sale(opened), "phase": "drawn", "lobby_size": "0", "drawn_at": "1"}, by="test"
        )


async def plan(world: SaleWorld) -> str:
    opens_s = world.dice.choice([0.3, 1, 3])
    closes = world.dice.choice(["", world.at(opens_s + 2), world.at(opens_s + 6)])
    at_close = world.dice.choice(["drain", "stop"])
    return await world.change(
        ("opens_at", world.at(opens_s)), ("lobby_at", "0"), ("closes_at", closes), ("at_close", at_close)
    )


async def close(world: SaleWorld) -> str:
    return await world.change(("closes_at", "now"), ("at_close", world.dice.choice(["drain", "stop"])))


async def extend(world: SaleWorld) -> str:
    return await world.change(("closes_at", world.dice.choice(["", world.at(4)])))


async def sell_out(world: SaleWorld) -> str:
    return await world.change(("stock", "0"))


async def restock(world: SaleWorld) -> str:
    return await world.change(("stock", "9"))


SALE_MISHAPS: Final[Mishaps] = {**MISHAPS, plan: 3, close: 1.5, extend: 1.5, sell_out: 1, restock: 1.5}
