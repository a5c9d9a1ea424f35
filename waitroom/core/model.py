"""The room as a worker knows it: frozen values, replaced whole at each sync."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from waitroom.core.meter import Limits, Meter
from waitroom.core.sale.draw import Places
from waitroom.core.sale.draw_state import Draw, read_draw, read_ranges
from waitroom.core.sale.schedule import LEARN_MS, NO_SALE, Sale, read_sale
from waitroom.core.table import EMPTY, Table

UNSETTLED_MS = 2_000
"""So long after an adoption the last worker may come that adds to it: as late as a circuit lets it (and _room.lua)."""

Standing = Literal["waiting", "called", "lapsed"]
Space = Literal["n", "p"]
"""What the line is counted in: places, but for a lobby before its draw, where there are only numbers."""


@dataclass(frozen=True, slots=True)
class State:
    """What Redis holds of a room. `fields` is the same as text, for whoever has to put it back.

    `change`: what the last change of limits, at `changed_ms`, meant to people in line: 'faster', 'slower', 'held',
    'resumed'; '' before the first.
    """

    generation: str
    ordinal: int
    created_s: int
    issued: int
    front: int
    lapsed: int
    meter: Meter
    limits: Limits
    message: str
    usable_ms: int
    admitted: int
    on_the_spot: int
    confirmed: int
    gap_ms: int
    holes: tuple[tuple[int, int], ...]
    table_version: str
    changed_ms: int
    change: str
    fields: Mapping[str, str]
    sale: Sale = NO_SALE
    draw: Draw | None = None

    @property
    def space(self) -> Space:
        """Places, but for a lobby before its draw."""
        is_gathering = self.sale.latched in ("lobby", "drawn") and self.sale.lobby_size != 0
        return "n" if is_gathering and not (self.draw and self.draw.is_known) else "p"

    @property
    def learned_ms(self) -> int:
        """Until then everybody of a lobby that was drawn counts as present: they are learning their places."""
        if self.draw is None or not self.draw.known_ms or self.sale.schedule is None:
            return 0
        return self.draw.known_ms + min(self.sale.schedule.lead_ms, LEARN_MS)

    @property
    def nobodies(self) -> tuple[tuple[int, int], ...]:
        """Places (before a draw: numbers) that nobody has, as half-open ranges."""
        if self.space == "n" or self.draw is None or not self.draw.is_known:
            return self.holes
        numbers, people = self.draw.lobby.numbers, self.draw.lobby.people
        return ((people, numbers), *((start, end) for start, end in self.holes if start >= numbers))

    @property
    def adoption(self) -> tuple[str, tuple[int, int]]:
        """Another one after each adoption: the server, and the latest hole."""
        return self.fields["server"], self.hole

    @property
    def hole(self) -> tuple[int, int]:
        """The latest."""
        return self.holes[-1]


def read_state(fields: Mapping[str, str]) -> State:
    """From the hash in Redis."""
    return State(
        generation=fields["generation"],
        ordinal=int(fields["ordinal"]),
        created_s=int(fields["created"]),
        issued=int(fields["issued"]),
        front=int(fields["front"]),
        lapsed=int(fields["lapsed"]),
        meter=Meter(float(fields["next_at"]), float(fields["last"])),
        limits=read_limits(fields),
        message=fields["message"],
        usable_ms=int(fields["usable"]),
        admitted=int(fields["admitted"]),
        on_the_spot=int(fields["on_the_spot"]),
        confirmed=int(fields["confirmed"]),
        gap_ms=int(fields["gap"]),
        holes=read_holes(fields),
        table_version=fields["table_version"],
        changed_ms=int(fields.get("changed", "0")),
        change=fields.get("change", ""),
        fields=fields,
        sale=read_sale(fields),
        draw=read_draw(fields),
    )


def read_holes(fields: Mapping[str, str]) -> tuple[tuple[int, int], ...]:
    """Numbers that nobody has, as half-open ranges: one is made whenever a lost Redis is adopted."""
    return (*read_ranges(fields["holes"]), (int(fields["hole"]), int(fields["hole_end"])))


def read_limits(fields: Mapping[str, str]) -> Limits:
    """From the hash in Redis."""
    return Limits(
        rate_per_s=float(fields["rate"]),
        burst=float(fields["burst"]),
        max_active=int(fields["max_active"]),
        unlimited=fields["unlimited"] == "1",
        hold=fields["hold"] == "1",
    )


def write_limits(limits: Limits) -> dict[str, str]:
    """As the hash in Redis holds them; a rate comes back as the very same number."""
    return {
        "rate": repr(limits.rate_per_s),
        "burst": repr(limits.burst),
        "max_active": str(limits.max_active),
        "unlimited": "1" if limits.unlimited else "0",
        "hold": "1" if limits.hold else "0",
    }


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One sync's answer. `now_ms` is Redis time at that moment; `seats`, `door`, `workers` are counts, `keys` ids of
    the keys that live workers hold, `ended` the passes (`<generation>:<place>`) ended early since the sync before,
    `places` those of a lobby that was drawn.
    """

    state: State
    now_ms: int
    seats: int
    door: int
    workers: int
    keys: frozenset[str]
    is_holder: bool
    table: Table = EMPTY
    ended: tuple[bytes, ...] = ()
    places: Places | None = None

    @property
    def is_unsettled(self) -> bool:
        """Right after an adoption: a worker may remember more than Redis has."""
        return 0 <= self.now_ms - int(self.state.fields.get("adopted", 0)) < UNSETTLED_MS

    @property
    def now_us(self) -> float:
        """Meter time."""
        return (self.now_ms - self.state.created_s * 1000) * 1000.0

    def place_of(self, number: int) -> int:
        """The number itself, if its place was not drawn."""
        return number if self.places is None else self.places.of(number)

    def standing(self, place: int) -> Standing:
        if place >= self.state.front:
            return "waiting"
        return "lapsed" if place < self.state.lapsed else "called"

    def kept_until_ms(self, place: int, turn_held_ms: int) -> int | None:
        """Until when a called place is kept, in Redis time, if claims can succeed from now on; None if unknown."""
        called_ms = self.table.called_at(place)
        if called_ms is None or place < self.state.lapsed:
            return None
        return max(self.now_ms, self.now_ms + called_ms + turn_held_ms - self.state.usable_ms)

    def ahead(self, place: int) -> int:
        return self.table.ahead(self.state.front, place)

    def count_waiting(self) -> int:
        """Present visitors in the line."""
        return self.table.ahead(self.state.front, self.state.issued)
