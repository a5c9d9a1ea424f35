"""Random histories of a room of few seats before a Redis that fails over again and again, a second behind each time."""

from dataclasses import replace
from typing import Final

from tests.store.histories.mishaps import arrive, come_and_go, crash, empty, fail_over, restart, set_limits, stall
from tests.store.histories.world import Mishaps, World
from waitroom.core.meter import Limits


class SeatsWorld(World):
    async def begin(self, first: Limits) -> None:
        await self.put_in_force(replace(first, rate_per_s=10, burst=5, max_active=self.dice.choice([3, 6])))

    async def change_limits(self, limits: Limits) -> None:
        few = self.dice.choice([3, 6])
        await self.put_in_force(replace(limits, unlimited=False, hold=False, max_active=few))


SEATS_MISHAPS: Final[Mishaps] = {
    arrive: 6,
    come_and_go: 8,
    set_limits: 0.5,
    crash: 1.5,
    stall: 1,
    restart: 1,
    fail_over: 8,
    empty: 0.3,
}
