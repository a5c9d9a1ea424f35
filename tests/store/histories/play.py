"""Plays one random history before the real scripts and the real holder of the lease, and says what became of it."""

import random
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from tests.store.histories.claims import faults
from tests.store.histories.draw import DRAW_MISHAPS, DrawWorld
from tests.store.histories.events import History, Issued, Place
from tests.store.histories.invited import INVITED_MISHAPS, InvitedWorld
from tests.store.histories.invited_sale import INVITED_SALE_MISHAPS, InvitedSaleWorld
from tests.store.histories.mishaps import MISHAPS, RATES, fail_over, forget_everything, happen
from tests.store.histories.sale import SALE_MISHAPS, SaleWorld
from tests.store.histories.seats import SEATS_MISHAPS, SeatsWorld
from tests.store.histories.story import MOST_TOLD, Fault
from tests.store.histories.world import Mishaps, World
from tests.store.room_support import Replacement, room_in

CALM_S = 60.0


class Kind(NamedTuple):
    """A kind of history: the world, and what happens in it."""

    world: type[World]
    mishaps: Mishaps


KINDS: Final = {
    "line": Kind(World, MISHAPS),
    "seats": Kind(SeatsWorld, SEATS_MISHAPS),
    "sale": Kind(SaleWorld, SALE_MISHAPS),
    "draw": Kind(DrawWorld, DRAW_MISHAPS),
    "invited": Kind(InvitedWorld, INVITED_MISHAPS),
    "invited-sale": Kind(InvitedSaleWorld, INVITED_SALE_MISHAPS),
}


@dataclass(frozen=True)
class Outcome:
    """A history, and who was there in the calm at its end and did not come in."""

    seed: int
    history: History
    starved: list[Place]
    broken: tuple[str, ...] = ()
    """What the world itself found."""

    def faults(self) -> list[Fault]:
        last = len(self.history) - 1
        found = [*faults(self.history), *(Fault("sale", last, says) for says in self.broken)]
        if self.starved:
            names = ", ".join(map(str, self.starved[:5]))
            about = tuple(i for i, e in enumerate(self.history) if not isinstance(e, Issued))[-MOST_TOLD:]
            found.append(Fault("P3", last, f"{len(self.starved)} starved in the calm: {names}", about))
        return found


async def random_history(
    url: str, seed: int, kind: str = "line", *, steps: int = 60, without: tuple[Replacement, ...] = ()
) -> Outcome:
    """One history, the same for the same seed. The end is calm: whoever is there has to come in."""
    dice = random.Random(seed)
    world_of, mishaps = KINDS[kind]
    first = replace(dice.choice(RATES), max_active=dice.choice([0, 0, 0, 3, 10]))
    async with room_in(url, first, without=without) as room:
        world = world_of(room, dice)
        await world.begin(first)
        for _ in range(dice.choice([1, 2, 2])):
            world.start_worker()
        for _ in range(2):
            await world.step()
        for _ in range(steps):
            if dice.random() < 0.35:
                await happen(world, mishaps)
            elif world.backup is not None and world.now_s >= world.fail_over_due_s:
                await fail_over(world)
            if world.is_away and dice.random() < 0.1:
                world.is_away = False
            await world.step()
        await world.calm_down()
        calm_until_s = world.now_s + CALM_S
        while world.now_s < calm_until_s and world.still_waiting():
            await world.step()
        await forget_everything(world)
        return Outcome(seed, world.history(), world.still_waiting(), tuple(world.broken))
