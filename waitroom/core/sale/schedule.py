"""A sale at a stated time: its schedule, its phases, and what a worker knows of it.

    before ──► lobby ──► drawn ──► open ──► draining ──► closed
                                     └───────────────────► closed      (at_close=stop)

    before      a countdown; nobody takes a number
    lobby       numbers, but no order yet; nobody is let in
    drawn       `draw_lead` before the opening: who has a number is in the draw (`lobby_size`); whoever comes now is
                behind them; nobody is let in
    open        the line moves
    draining    after closing, `at_close=drain`: everyone in line still gets a turn; nobody new
    closed      nobody is let in
    sold_out    instead of any of them, and also without a schedule, until an operator takes it back

Phases latch: a script writes each change into Redis once (`store/lua/phase.lua`). A worker that has not heard of one
yet goes by its snapshot and Redis' time (`Sale.phase`), but for the draw, which no clock can know.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, cast, get_args

from waitroom.core.parse import duration_text
from waitroom.core.times import When, iso_utc

if TYPE_CHECKING:
    from waitroom.core.settings import Settings

Phase = Literal["before", "lobby", "drawn", "open", "draining", "closed", "sold_out"]
PHASES: Final = get_args(Phase)
AtClose = Literal["drain", "stop"]

LEARN_MS: Final = 60_000
"""From when the places are known, everybody of a lobby learns theirs and is noted by it, at most for so long; a shorter
`draw_lead` has to be enough."""
NEVER_MS: Final = 1 << 52

ADMITTING: Final[frozenset[Phase | None]] = frozenset((None, "open", "draining"))
"""Phases in which people are let in."""
NUMBERING: Final[frozenset[Phase | None]] = frozenset((None, "lobby", "drawn", "open"))
"""Phases in which newcomers get a number."""
GATHERING: Final[frozenset[Phase | None]] = frozenset(("lobby", "drawn"))
"""Phases in which people wait for the opening."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Times in ms since 1970; `closes_ms` 0 is never; `lead_ms` from the draw to the opening. `lobby_ms` equal to
    `opens_ms`: no lobby, and so no draw.
    """

    opens_ms: int
    lobby_ms: int
    closes_ms: int
    at_close: AtClose
    lead_ms: int

    @property
    def draw_ms(self) -> int:
        """When places are drawn; with the opening of a lobby that opens with the sale, among nobody."""
        return max(self.lobby_ms, self.opens_ms - self.lead_ms)

    def faults(self) -> Iterator[str]:
        """What is wrong with the order of the times, as sentences."""
        opens, lobby = iso_utc(self.opens_ms), iso_utc(self.lobby_ms)
        if self.lobby_ms > self.opens_ms:
            yield f"The lobby ({lobby}) would open after the sale ({opens})"
        elif 0 < self.opens_ms - self.lobby_ms <= self.lead_ms:
            yield (
                f"The draw is {duration_text(self.lead_ms)} before the opening, and the lobby ({lobby}) opens no "
                "earlier: nobody could take part; open it earlier, or with the sale (0) for one without a draw"
            )
        if self.closes_ms and self.closes_ms <= self.opens_ms:
            yield f"The sale would close ({iso_utc(self.closes_ms)}) before it opens ({opens})"


def resolve(opens_ms: int, lobby: When, closes: When | None, *, at_close: AtClose, lead_ms: int) -> Schedule:
    """The times as an operator gave them: the lobby's a time or so long before the opening, the closing's a time or so
    long after it.
    """
    closes_ms = 0 if closes is None else opens_ms + closes.ms if closes.is_span else closes.ms
    lobby_ms = opens_ms - lobby.ms if lobby.is_span else lobby.ms
    return Schedule(opens_ms, lobby_ms, closes_ms, at_close, lead_ms)


def schedule_of(settings: "Settings") -> Schedule | None:
    """As the settings have it; None without a sale."""
    if settings.opens_at is None:
        return None
    return resolve(
        settings.opens_at, settings.lobby_at, settings.closes_at, at_close=settings.at_close, lead_ms=settings.draw_lead
    )


class Step(NamedTuple):
    """From when on (ms, Redis time) a phase is in force, as far as a clock can know."""

    at_ms: float
    phase: Phase | None


@dataclass(frozen=True, slots=True)
class Sale:
    """What Redis holds of a sale. `latched` None: no schedule, the line just runs. `due_ms`: when the next change is to
    be latched, 0 for none. `lobby_size`: the numbers in the draw, None before it; `known_ms`: since when
    their places are known, 0 before. `stock`: None if nobody told it.
    """

    schedule: Schedule | None = None
    latched: Phase | None = None
    due_ms: int = 0
    lobby_size: int | None = None
    drawn_ms: int = 0
    known_ms: int = 0
    stock: int | None = None
    is_sold_out: bool = False
    steps: tuple[Step, ...] = (Step(0, None),)

    @property
    def opening_ms(self) -> int:
        """When the line begins to move: not before everybody of a lobby has had the time to learn their places, and
        while those are not known, so far off that no clock gets there.
        """
        assert self.schedule is not None
        if not self.lobby_size:
            return self.schedule.opens_ms
        if not self.known_ms:
            return NEVER_MS
        return max(self.schedule.opens_ms, self.known_ms + min(self.schedule.lead_ms, LEARN_MS))

    @property
    def expected_ms(self) -> int:
        """When the line begins to move, as far as anybody can tell: the stated time while the places are not known."""
        assert self.schedule is not None
        return self.opening_ms if self.opening_ms < NEVER_MS else self.schedule.opens_ms

    def phase(self, now_ms: float) -> Phase | None:
        """The phase in force at Redis' time."""
        phase = self.steps[0].phase
        for step in self.steps[1:]:
            if now_ms >= step.at_ms:
                phase = step.phase
        return phase

    def until_ms(self, now_ms: float) -> float:
        """Up to when `phase` stays as it is, as far as a clock can know."""
        return min((step.at_ms for step in self.steps[1:] if step.at_ms > now_ms), default=float("inf"))

    def is_due(self, now_ms: float) -> bool:
        """Whether a change of phase is to be latched."""
        return 0 < self.due_ms <= now_ms

    @property
    def may_admit(self) -> bool:
        """Whether the latched phase lets people in."""
        return self.latched in ADMITTING and not self.is_sold_out

    def next_step(self) -> Step | None:
        """What comes next, and when; None if nothing is due by the clock."""
        schedule = self.schedule
        if schedule is None:
            return None
        match self.latched:
            case "before":
                return Step(schedule.lobby_ms, "lobby")
            case "lobby":
                return Step(schedule.draw_ms, "drawn")
            case "drawn":
                return Step(self.opening_ms, "open") if self.opening_ms < NEVER_MS else None
            case "open" if schedule.closes_ms:
                return Step(schedule.closes_ms, "draining" if schedule.at_close == "drain" else "closed")
        return None


def steps_of(schedule: Schedule | None, latched: Phase | None, opening_ms: int) -> Iterator[Step]:
    """The phases from the latched one on, as a clock tells them. The draw is no such step: it is made, not reached."""
    yield Step(0, latched)
    if schedule is None or latched not in ("before", "lobby", "drawn", "open"):
        return
    if latched == "before":
        yield Step(schedule.lobby_ms, "lobby")
    if latched == "drawn":
        yield Step(opening_ms, "open")
    if schedule.closes_ms:
        if schedule.at_close == "stop":
            yield Step(schedule.closes_ms, "closed")
        elif latched in ("drawn", "open"):
            yield Step(max(schedule.closes_ms, opening_ms), "draining")


def read_sale(fields: Mapping[str, str]) -> Sale:
    """From the hash in Redis."""
    latched = cast(Phase | None, fields.get("phase") or None)
    is_sold_out, stock = fields.get("sold_out") == "1", fields.get("stock", "")
    schedule, size, drawn_ms, known_ms = None, None, 0, 0
    if latched is not None:
        schedule = Schedule(
            opens_ms=int(fields["opens_at"]),
            lobby_ms=int(fields["lobby_at"]),
            closes_ms=int(fields["closes_at"]),
            at_close=cast(AtClose, fields["at_close"]),
            lead_ms=int(fields["draw_lead"]),
        )
        if latched not in ("before", "lobby") and fields["lobby_size"]:
            size, drawn_ms = int(fields["lobby_size"]), int(fields["drawn_at"])
            known_ms = int(fields.get("draw_known", "0"))
    sale = Sale(
        schedule=schedule,
        latched=latched,
        due_ms=int(fields.get("due", "0")),
        lobby_size=size,
        drawn_ms=drawn_ms,
        known_ms=known_ms,
        stock=int(stock) if stock else None,
        is_sold_out=is_sold_out,
    )
    if is_sold_out:
        return replace(sale, steps=(Step(0, "sold_out"),))
    opening_ms = sale.opening_ms if schedule is not None else 0
    return replace(sale, steps=tuple(steps_of(schedule, latched, opening_ms)))


NO_SALE: Final = Sale()


def write_schedule(schedule: Schedule) -> dict[str, str]:
    """As the hash in Redis holds it."""
    return {
        "opens_at": str(schedule.opens_ms),
        "lobby_at": str(schedule.lobby_ms),
        "closes_at": str(schedule.closes_ms),
        "at_close": schedule.at_close,
        "draw_lead": str(schedule.lead_ms),
    }


def write_new_sale(schedule: Schedule) -> dict[str, str]:
    """A sale that begins with this schedule; the phase is brought up to the time by the first who finds it due."""
    fresh = {"phase": "before", "due": "1", "lobby_size": "", "drawn_at": "0", "sold_out": "0", "stock": ""}
    return {**write_schedule(schedule), **fresh}


def digest_of(schedule: Schedule | None) -> str:
    """The schedule of an environment, so that the same one is put in force only once; `-` for none."""
    return ",".join(write_schedule(schedule).values()) if schedule else "-"
