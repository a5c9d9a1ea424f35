"""What happened in a room, as a list of events.

Times are seconds on a stop-watch beside the shop, which no clock that jumps can touch. Events stand in the order in
which Redis did them; an admission stands here only if a worker heard of it, as what nobody heard of reaches no shop.
"""

from collections.abc import Sequence
from typing import NamedTuple

from waitroom.core.meter import Limits


class Place(NamedTuple):
    generation: str
    number: int

    def __str__(self) -> str:
        return f"{self.number}" if len(self.generation) < 4 else f"{self.number} of {self.generation[:4]}"


class Limited(NamedTuple):
    """These limits are in force from now on: of the room, or of one `line` of it."""

    at_s: float
    limits: Limits
    line: str = ""

    def __str__(self) -> str:
        limits = self.limits
        rate = "unlimited" if limits.unlimited else f"{limits.rate_per_s:g}/s, burst {limits.burst:g}"
        seats = f", {limits.max_active} seats" if limits.max_active else ""
        return f"limits{self.line and f' of the {self.line} line'}: {rate}{seats}{', held' if limits.hold else ''}"


class Issued(NamedTuple):
    at_s: float
    place: Place
    visitor: str
    line: str = ""

    def __str__(self) -> str:
        return f"number {self.place} to {self.visitor[:6]}"


class Called(NamedTuple):
    """Every place of the generation below `front` has been called."""

    at_s: float
    generation: str
    front: int

    def __str__(self) -> str:
        return f"front at {Place(self.generation, self.front)}"


class Stands(NamedTuple):
    """Asked, and stands at the door."""

    at_s: float
    place: Place

    def __str__(self) -> str:
        return f"{self.place} stands at the door"


class Admitted(NamedTuple):
    """`counts`: an admission, not the repeated answer of an earlier one. `end_s`: the pass is good until then."""

    at_s: float
    place: Place
    visitor: str
    begins_s: float
    end_s: float
    counts: bool = True
    on_the_spot: bool = False
    line: str = ""

    def __str__(self) -> str:
        how = "on the spot" if self.on_the_spot else "admitted" if self.counts else "told again"
        return f"{self.place} {how} from {self.begins_s:.3f} until {self.end_s:.1f}, {self.visitor[:6]}"


class Seated(NamedTuple):
    """The pass is good until `end_s` now; not above `at_s` once it was given back."""

    at_s: float
    place: Place
    end_s: float

    def __str__(self) -> str:
        return f"{self.place} keeps the seat until {self.end_s:.1f}" if self.end_s > self.at_s else f"{self.place} left"


class Restarted(NamedTuple):
    """An operator began a new run of the room, or set a sale that begins one."""

    at_s: float

    def __str__(self) -> str:
        return "an operator starts the line again"


class Gathered(NamedTuple):
    """A worker knows that it is fixed who takes part in the draw of this generation: so many numbers."""

    at_s: float
    generation: str
    numbers: int

    def __str__(self) -> str:
        return f"who is in the draw of {self.generation[:4]} is fixed"


class Drawn(NamedTuple):
    """A worker knows the draw: `places` of all people in the order of their numbers. Nobody is let in before
    `learned_s`.
    """

    at_s: float
    generation: str
    numbers: int
    places: tuple[int, ...]
    learned_s: float

    def __str__(self) -> str:
        return f"drawn: {len(self.places)} people, {self.numbers} numbers of {self.generation[:4]}"


class PlaceTold(NamedTuple):
    """A worker told the holder of a ticket their place; `lobby` numbers were in the draw."""

    at_s: float
    ticket: Place
    place: int
    lobby: int

    def __str__(self) -> str:
        return f"ticket {self.ticket} has place {self.place}"


class Redeemed(NamedTuple):
    """A link that so many visitors may use gave this one the ticket."""

    at_s: float
    invite: str
    uses: int
    visitor: str
    ticket: Place

    def __str__(self) -> str:
        return f"invite {self.invite} of {self.uses}: ticket {self.ticket} to {self.visitor[:6]}"


class Forgotten(NamedTuple):
    """Redis lost a draw, and whichever worker knew of it is dead."""

    at_s: float
    generation: str

    def __str__(self) -> str:
        return f"nobody knows the draw of {self.generation[:4]} any more"


class Lost(NamedTuple):
    """Redis lost what it wrote since then."""

    at_s: float
    since_s: float

    def __str__(self) -> str:
        return f"Redis lost what it knew since {self.since_s:.3f}"


class Mishap(NamedTuple):
    """Something that promises nothing: a worker died, Redis restarted. Told with every fault."""

    at_s: float
    what: str

    def __str__(self) -> str:
        return f"({self.what})"


InLine = Limited | Issued | Called | Stands | Admitted | Seated
Event = InLine | Mishap | Lost | Restarted | Gathered | Drawn | PlaceTold | Redeemed | Forgotten
History = Sequence[Event]
