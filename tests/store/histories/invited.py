"""Random histories of a room with two lines, people who come and people with an invite, that share its rate and seats.

Links have one to four uses, and are pressed by more browsers than that, at several workers, again and again. The
operator changes the limits, and which part of them is for the invited, at any moment.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from tests.store.histories.asking import Call, Person
from tests.store.histories.events import Event, Issued, Place, Redeemed
from tests.store.histories.mishaps import MISHAPS, reset, set_limits
from tests.store.histories.record import Line
from tests.store.histories.worker import FIRST_LIMITS, Worker
from tests.store.histories.world import MOST_PEOPLE, Mishaps, World
from tests.store.room_support import START_S
from waitroom.core.invites import Invite, Split, limits_of_invited, read_split, whole_of
from waitroom.core.meter import Limits
from waitroom.core.model import read_limits, write_limits
from waitroom.core.sale.schedule import read_sale
from waitroom.store import invites
from waitroom.store.keys import INVITED
from waitroom.store.replies import AdoptNeeded, GenerationGone, Unsettled
from waitroom.store.room import Room

LINKS = 30
EXPIRES_MS = (START_S + 86_400) * 1000
PARTS: Final = (0.2, 0.5, 0.8, 1.0)


class Guest(Worker):
    """What `store/invited_line.py` does: the line of the invited goes by the limits of the `first` one."""

    def __init__(self, world: World, name: str, line: Line, first: Worker) -> None:
        super().__init__(world, name, line)
        self.first = first

    async def sync(self) -> None:
        await self.follow()
        await super().sync()

    async def follow(self) -> None:
        first, mine = self.first.snapshot, self.snapshot
        if first is None or mine is None or first.now_ms <= mine.now_ms or mine.is_unsettled:
            return
        phase = first.state.sale.phase(self.first.now_ms())
        wanted = limits_of_invited(first.state.fields, first.state.limits, phase)
        if wanted != mine.state.limits:
            await self.wire.configure(write_limits(wanted), by="the first line")
            await self.world.read_limits()

    def first_fields(self) -> dict[str, str]:
        """On hold until the first line is known, and without credit beside it."""
        limits = replace(FIRST_LIMITS, hold=True)
        return {**write_limits(limits), "next_at": f"{1e6 + limits.burst * limits.spacing_us:.3f}"}

    async def redeem(self, invite: Invite, visitor: str) -> None:
        world, call_id, room = self.world, secrets.token_hex(8), self.line.room
        assert isinstance(world, InvitedWorld)

        def events(given: invites.Redeemed | invites.Refusal) -> list[Event]:
            if isinstance(given, str):
                return []
            return [Redeemed(world.now_s, invite.id, invite.uses, visitor, Place(*given))]

        async def run() -> None:
            given = await world.written(call_id, lambda: invites.redeem(room, invite, visitor), events)
            if not isinstance(given, str):
                self.memory.give_number(*given)
                world.give(visitor, Place(*given))

        await self.attempt(Call(call_id, run))


@dataclass
class InvitedWorld(World):
    """`holders`: by visitor, the link they press and the ticket they hold, if any."""

    holders: dict[str, tuple[Invite, Place | None]] = field(default_factory=dict)

    async def begin(self, first: Limits) -> None:
        name = self.room.room.keys.of_room[len("waitroom:{") : -2]
        beside = Room(self.room.room.client, name, line=INVITED)
        self.lines = [Line(self.room.room, "first"), Line(beside, INVITED)]
        assert await beside.create(first, write_limits(replace(first, hold=True)), wait_ms=0) == "ok"
        await self.put_whole_in_force(first, self.dice.choice(PARTS))

    def start_worker(self) -> None:
        super().start_worker()
        worker = self.workers[-1]
        worker.beside = Guest(self, worker.name, self.lines[1], worker)

    def give(self, visitor: str, ticket: Place) -> None:
        """The browser holds this ticket now, whatever it held before."""
        invite, before = self.holders[visitor]
        if before is not None and before != ticket and before in self.people:
            self.people[before].there = False
        self.holders[visitor] = invite, ticket
        holder = self.people.get(ticket)
        if holder is None or holder.visitor != visitor:
            self.note(Issued(self.now_s, ticket, visitor, INVITED))
        if holder is None:
            self.join(Person(ticket, visitor, self.now_s + self.dice.uniform(1, 3)))

    async def read_limits(self) -> None:
        first, invited = [await self.fields(line) for line in self.lines]
        if first:
            limits = read_limits(first)
            self.limits_are("", whole_of(first, limits))
            self.limits_are("first", limits)
        if invited:
            self.limits_are(INVITED, read_limits(invited))

    async def put_whole_in_force(self, whole: Limits, part: float) -> bool:
        """As `waitroom set` does: both lines in one step."""
        whole = replace(whole, burst=max(2.0, whole.burst))
        split, fields = Split(part, whole), await self.fields(self.lines[0])
        phase = read_sale(fields).phase(self.room.clock.now_ms) if fields else None
        invited = write_limits(limits_of_invited(split.fields(), split.first, phase))
        try:
            await self.room.room.configure(split.fields(), by="test", invited=invited)
        except (AdoptNeeded, Unsettled):
            return False
        await self.read_limits()
        return True

    async def put_in_force(self, limits: Limits) -> bool:
        return await self.put_whole_in_force(replace(limits, rate_per_s=2 * limits.rate_per_s), 0.5)

    async def change_limits(self, limits: Limits) -> None:
        fields = await self.fields(self.lines[0])
        split = read_split(fields, read_limits(fields)) if fields else None
        if split is None or self.dice.random() < 0.4:
            await self.put_whole_in_force(limits, self.dice.choice(PARTS))
        elif self.dice.random() < 0.5:
            await self.put_whole_in_force(split.whole, self.dice.choice(PARTS))
        else:
            await self.put_whole_in_force(limits, split.part)

    async def restart_line(self) -> None:
        await super().restart_line()
        view = next(self.views_of(self.lines[1]), None)
        if view is not None and view.snapshot is not None and not self.is_away:
            with suppress(AdoptNeeded, GenerationGone, Unsettled):
                await view.line.room.reset(view.snapshot.state, by="test", keep_ms=600_000)
                self.note_restart()


async def press_links(world: InvitedWorld) -> None:
    """New browsers, often several with one link; and some of those that pressed before, whatever became of them."""
    dice = world.dice
    serial = dice.randrange(LINKS)
    for _ in range(dice.choice([1, 2, 4, 8])):
        if dice.random() < 0.5:
            serial = dice.randrange(LINKS)
        if len(world.people) < MOST_PEOPLE:
            await press(world, Invite("batch", serial, 1 + serial % 4, False, EXPIRES_MS), dice.randbytes(16).hex())
    for visitor, (invite, _) in list(world.holders.items()):
        if dice.random() < 0.15:
            await press(world, invite, visitor)


async def press(world: InvitedWorld, invite: Invite, visitor: str) -> None:
    """Once, or twice in a row."""
    world.holders.setdefault(visitor, (invite, None))
    for _ in range(world.dice.choice([1, 1, 2])):
        guest = world.any_worker().beside
        assert isinstance(guest, Guest)
        if guest.snapshot is not None and not world.is_away:
            await guest.redeem(invite, visitor)


INVITED_MISHAPS: Final[Mishaps] = {**MISHAPS, press_links: 14, set_limits: 5, reset: 2}
