"""Random histories of a sale with a lobby: numbers, a draw at its instant, places, the opening, and what gets lost.

Half of them wait for a public note, which an operator enters when it pleases the dice. What is told is told by workers:
the place of whoever asks, and the draw as a worker has it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.store.histories.asking import Person
from tests.store.histories.events import Drawn, Forgotten, Gathered, Mishap, Place, PlaceTold
from tests.store.histories.mishaps import MISHAPS, arrive, empty, fail_over, reset
from tests.store.histories.sale import SALE_MISHAPS, SaleWorld, plan
from tests.store.histories.worker import Worker
from tests.store.histories.world import Mishaps, World
from waitroom.core.meter import Limits
from waitroom.core.model import Snapshot, read_state
from waitroom.core.sale.draw_state import Draw
from waitroom.core.sale.schedule import Schedule, write_new_sale
from waitroom.store.drawing import enter_note
from waitroom.store.replies import AdoptNeeded, GenerationGone, Unsettled
from waitroom.store.sale import change_sale

SOURCE = "the lottery of that evening"
NOTE, OTHER = "7 12 31", "1 2 3"

SOON_S = 1.5
"""Two seconds after an adoption the sale goes on without whoever was not heard."""

Fact = tuple[str, int] | tuple[str, int, tuple[tuple[int, int], ...], str, str]


def facts_of(draw: Draw | None) -> Iterator[Fact]:
    """Who takes part, and what places follow from."""
    if draw is not None and draw.numbers:
        yield draw.generation, draw.numbers
        if draw.is_known:
            yield draw.generation, draw.numbers, draw.left_out, draw.seed, draw.note


@dataclass
class DrawWorld(SaleWorld):
    """`facts`: of draws, as somebody was told; `known_to`: by worker, what it ever knew."""

    slips: tuple[float, ...] = (0.5, 5)
    facts: set[Fact] = field(default_factory=set)
    known_to: dict[str, set[Fact]] = field(default_factory=dict)
    losses_s: list[float] = field(default_factory=list)
    told_by: set[tuple[str, Place, int]] = field(default_factory=set)

    async def begin(self, first: Limits) -> None:
        """A sale is set, and its lobby opens at once."""
        self.draw_source = self.dice.choice(["", SOURCE])
        await super().begin(first)
        now_ms = round(self.room.clock.now_ms)
        opens_ms = now_ms + round(1000 * self.dice.uniform(3, 8))
        closes_ms = self.dice.choice([0, 0, opens_ms + 4000])
        lead_ms = self.dice.choice([1000, 2500])
        schedule = Schedule(opens_ms, now_ms, closes_ms, self.dice.choice(["drain", "stop"]), lead_ms)
        draw_s, opens_s = self.true_s(schedule.draw_ms), self.true_s(opens_ms)
        self.losses_s = [self.dice.uniform(draw_s - 1, opens_s + 1) for _ in range(self.dice.choice([0, 1, 1, 2]))]
        await change_sale(self.room.room, write_new_sale(schedule), by="test")

    # What is told.

    def heard(self, worker: Worker) -> None:
        assert worker.snapshot is not None
        state, known = worker.snapshot.state, self.known_to.setdefault(worker.name, set())
        new = [fact for fact in facts_of(state.draw) if fact not in known]
        known.update(new)
        for fact in new:
            if len(fact) > 2:
                self.note(self.drawn(worker.snapshot))
            elif fact not in self.facts:
                self.note(Gathered(self.now_s, state.generation, fact[1]))
            self.facts.add(fact)

    def drawn(self, snapshot: Snapshot) -> Drawn:
        """The draw as a worker knows it; until when nobody is let in, where that is still to come."""
        state, draw = snapshot.state, snapshot.state.draw
        assert draw is not None
        places = tuple(map(snapshot.place_of, numbers_of_people(draw.lobby.numbers, draw.lobby.left_out)))
        learned_s = self.true_s(state.learned_ms) if state.sale.latched == "drawn" and state.learned_ms else 0.0
        return Drawn(self.now_s, state.generation, draw.lobby.numbers, places, learned_s)

    def told(self, worker: Worker, person: Person) -> None:
        assert worker.snapshot is not None
        draw = worker.snapshot.state.draw
        if worker.snapshot.places is None or draw is None or draw.numbers is None:
            return
        place = worker.place_of(person).number
        if (worker.name, person.ticket, place) not in self.told_by:
            self.told_by.add((worker.name, person.ticket, place))
            self.note(PlaceTold(self.now_s, person.ticket, place, draw.numbers))

    async def step(self) -> None:
        if self.is_calm:
            await self.mend()
        elif due := [at_s for at_s in self.losses_s if at_s <= self.now_s]:
            self.losses_s.remove(due[0])
            await fail_over(self)
        elif self.draw_source and self.dice.random() < 0.2:
            self.note(Mishap(self.now_s, f"note entered {await note_entered(self)}"))
        await super().step()

    async def look_for_the_forgotten(self) -> None:
        """Also a draw that Redis lost, and whoever knew it died, or sleeps too long to tell: it is made anew."""
        await super().look_for_the_forgotten()
        fields = await self.fields(self.lines[0])
        remembered = set(facts_of(read_state(fields).draw)) if fields else set()
        for worker in self.workers:
            if worker.stalled_until_s - self.now_s < SOON_S:
                remembered |= self.known_to.get(worker.name, set())
        for generation in {fact[0] for fact in self.facts - remembered}:
            self.note(Forgotten(self.now_s, generation))
            for known in (self.facts, *self.known_to.values()):
                known -= {fact for fact in known if fact[0] == generation}

    # What operators do.

    async def mend(self) -> None:
        """In the calm: what keeps a line from moving is taken away, as an operator would."""
        sale = await self.sale_now()
        if sale is None:
            return
        if sale.is_sold_out:
            await self.change(("stock", "9"))
        if sale.latched in ("draining", "closed") or (sale.schedule is not None and sale.schedule.closes_ms):
            await self.change(("closes_at", ""))
        if sale.latched == "drawn" and not sale.known_ms:
            await enter_the_note(self, NOTE)

    async def calm_down(self) -> None:
        await World.calm_down(self)


def numbers_of_people(numbers: int, left_out: tuple[tuple[int, int], ...]) -> list[int]:
    found, start = list[int](), 0
    for gap, gap_end in (*left_out, (numbers, numbers)):
        found += range(start, min(gap, numbers))
        start = max(start, gap_end)
    return found


async def enter_the_note(world: DrawWorld, text: str) -> str:
    snapshot = world.any_worker().snapshot
    if snapshot is None or world.is_away:
        return "of nothing"
    try:
        return await enter_note(world.room.room, snapshot.state, text, by="test")
    except (AdoptNeeded, GenerationGone, Unsettled) as refusal:
        return f"refused: {refusal!r}"


async def note_entered(world: DrawWorld) -> str:
    """Sometimes by two operators, who do not agree."""
    said = await enter_the_note(world, world.dice.choice([NOTE, NOTE, OTHER]))
    return said if world.dice.random() < 0.5 else await enter_the_note(world, OTHER)


async def put_off(world: DrawWorld) -> str:
    """The opening is moved."""
    return await world.change(("opens_at", world.at(world.dice.choice([2, 5]))))


DRAW_MISHAPS: Final[Mishaps] = {
    **{what: often for what, often in SALE_MISHAPS.items() if what is not plan},
    arrive: 2 * MISHAPS[arrive],
    fail_over: 3,
    empty: 1.5,
    reset: 0.7,
    put_off: 1,
}
