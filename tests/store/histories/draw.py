"""Random histories of a sale with a lobby: numbers, a draw at its instant, places, the opening, and what gets lost.

Half of them wait for a public note, which an operator enters when it pleases the dice. What is told is told by workers:
the place of whoever asks, and the draw as a worker has it.
"""

from dataclasses import dataclass, field
from typing import Final

from tests.store.histories.events import Drawn, Forgotten, Gathered, Mishap, Place, PlaceTold
from tests.store.histories.mishaps import MISHAPS, arrive, empty, fail_over, reset
from tests.store.histories.sale import SALE_MISHAPS, SaleWorld, plan
from tests.store.histories.worker import Person, Worker
from tests.store.histories.world import Mishaps, World
from waitroom.core.meter import Limits
from waitroom.core.model import read_state
from waitroom.core.sale.draw_state import Draw
from waitroom.core.sale.schedule import Schedule, write_new_sale
from waitroom.store.drawing import enter_note
from waitroom.store.replies import AdoptNeeded, GenerationGone, Unsettled
from waitroom.store.sale import change_sale

SOURCE = "the lottery of that evening"
NOTE, OTHER = "7 12 31", "1 2 3"

SOON_S = 1.5
"""Two seconds after an adoption the sale goes on without whoever was not heard."""

Key = tuple[str, str, str, int | None, tuple[tuple[int, int], ...]]


def key_of(draw: Draw | None) -> Key | None:
    """What places follow from."""
    if draw is None or not draw.is_known:
        return None
    return draw.generation, draw.seed, draw.note, draw.numbers, draw.left_out


@dataclass
class DrawWorld(SaleWorld):
    """`drawn`: by generation, the draw that somebody was told of."""

    slips: tuple[float, ...] = (0.5, 5)
    drawn: dict[str, Key] = field(default_factory=dict)
    gathered: set[str] = field(default_factory=set)
    losses_s: list[float] = field(default_factory=list)
    known_to: dict[str, Key] = field(default_factory=dict)
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
        snapshot, state = worker.snapshot, worker.snapshot.state
        key = key_of(state.draw)
        if state.sale.latched == "drawn" and state.sale.lobby_size and state.generation not in self.gathered:
            self.gathered.add(state.generation)
            self.note(Gathered(self.now_s, state.generation, state.sale.lobby_size))
        if key is None or state.draw is None or self.known_to.get(worker.name) == key:
            return
        self.known_to[worker.name] = key
        self.drawn.setdefault(state.generation, key)
        lobby, waits = state.draw.lobby, state.sale.latched == "drawn" and state.sale.schedule is not None
        people = numbers_of_people(lobby.numbers, lobby.left_out)
        self.note(
            Drawn(
                self.now_s,
                state.generation,
                lobby.numbers,
                tuple(snapshot.place_of(number) for number in people),
                self.true_s(state.learned_ms) if waits and lobby.numbers else 0.0,
            )
        )

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
        await self.look_for_the_forgotten()
        await super().step()

    async def look_for_the_forgotten(self) -> None:
        """A draw that Redis lost, and every worker that knew it died, or sleeps too long to tell: it is made anew."""
        fields = await self.fields(self.lines[0])
        kept = key_of(read_state(fields).draw) if fields else None
        awake = [w for w in self.workers if w.stalled_until_s - self.now_s < SOON_S]
        remembered = {kept, *(self.known_to.get(worker.name) for worker in awake)}
        for generation, key in list(self.drawn.items()):
            if key not in remembered:
                del self.drawn[generation]
                self.note(Forgotten(self.now_s, generation))

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
