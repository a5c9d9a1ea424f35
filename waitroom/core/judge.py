"""Decide what happens to one request on a guarded path.

Nothing here reads a clock, a socket, the environment or a random number. Every way past the gate and every way into
the line is a cell of this table; if it isn't there, it doesn't happen. A test reads the table and walks it.

                pass      nothing       waiting      called       lapsed       unreadable
    document    proceed   enter         page         claim        page         retry
    frame       proceed   small page    small page   small page   small page   small page
    prefetch    proceed   empty         empty        empty        empty        empty
    preflight   proceed   proceed       proceed      proceed      proceed      proceed
    fetch       proceed   on the spot   problem      by header    problem      problem
    unsafe      proceed   on the spot   problem      claim        problem      problem
    websocket   proceed   problem       problem      problem      problem      problem

Rows are what the request is (`Kind`), columns what its visitor holds (`Holds`).

    proceed       to the shop; with a pass, not before it is valid; a preflight bounded in flight
    enter         to the shop on the spot if there is room, else a number and the waiting page
    on the spot   to the shop on the spot if there is room, else a problem; never takes a number
    claim         the turn has come: trade the ticket for a pass, and this same request goes on
    by header     claim if the ticket came in the Waitroom-Ticket field (apps), else a problem
    page          the page of the visitor's state: waiting, called from afar, lapsed with its button
    small page    a page for frames: takes no number, sets no cookie
    empty         503 without a body
    problem       problem JSON, or a short page for whoever asked for HTML; nothing was sent to the shop
    retry         a page that asks again by itself and sets no cookie, so that no place is lost

A sale with stated times changes three columns, by its phase. `Waits` there is the cell of the column *waiting*.

    phase       a document with nothing   fetch, unsafe with nothing   called
    before      page                      problem                      waits
    lobby       enter                     problem                      waits
    drawn       enter                     problem                      waits
    open        enter                     on the spot                  claim
    draining    page                      problem                      claim
    closed      page                      problem                      waits
    sold_out    page                      problem                      waits

Whoever holds a pass shops on in each of them.

In shadow (`shadowed`) every cell leads to the shop: enter, page and claim with a pass, the rest without one.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from waitroom.core.requests import Kind
from waitroom.core.sale.schedule import ADMITTING, NUMBERING, Phase


class Holds(Enum):
    """What a visitor holds. A pass comes before a ticket; a ticket of another generation is nothing."""

    PASS = "pass"  # noqa: S105 - not a password
    NOTHING = "nothing"
    WAITING = "waiting"
    """A ticket whose place was not called yet; also in the lobby."""
    CALLED = "called"
    LAPSED = "lapsed"
    UNREADABLE = "unreadable"
    """A token signed with a key that this worker does not know (yet)."""

    __hash__ = object.__hash__  # there is one of each; an Enum's own hash is a call


@dataclass(frozen=True, slots=True)
class Proceed:
    pass


@dataclass(frozen=True, slots=True)
class Enter:
    may_take_number: bool


@dataclass(frozen=True, slots=True)
class Claim:
    pass


@dataclass(frozen=True, slots=True)
class Page:
    pass


@dataclass(frozen=True, slots=True)
class SmallPage:
    pass


@dataclass(frozen=True, slots=True)
class Empty:
    pass


@dataclass(frozen=True, slots=True)
class Problem:
    pass


@dataclass(frozen=True, slots=True)
class Retry:
    pass


@dataclass(frozen=True, slots=True)
class Through:
    """To the shop without a pass; only in shadow."""


Decision = Proceed | Enter | Claim | Page | SmallPage | Empty | Problem | Retry | Through

PROCEED: Final = Proceed()
ENTER: Final = Enter(may_take_number=True)
ON_THE_SPOT: Final = Enter(may_take_number=False)
CLAIM: Final = Claim()
PAGE: Final = Page()
SMALL_PAGE: Final = SmallPage()
EMPTY: Final = Empty()
PROBLEM: Final = Problem()
RETRY: Final = Retry()
THROUGH: Final = Through()

ROWS: dict[Kind, tuple[Decision, ...]] = {
    Kind.DOCUMENT: (PROCEED, ENTER, PAGE, CLAIM, PAGE, RETRY),
    Kind.FRAME: (PROCEED, SMALL_PAGE, SMALL_PAGE, SMALL_PAGE, SMALL_PAGE, SMALL_PAGE),
    Kind.PREFETCH: (PROCEED, EMPTY, EMPTY, EMPTY, EMPTY, EMPTY),
    Kind.PREFLIGHT: (PROCEED, PROCEED, PROCEED, PROCEED, PROCEED, PROCEED),
    Kind.FETCH: (PROCEED, ON_THE_SPOT, PROBLEM, PROBLEM, PROBLEM, PROBLEM),
    Kind.UNSAFE: (PROCEED, ON_THE_SPOT, PROBLEM, CLAIM, PROBLEM, PROBLEM),
    Kind.WEBSOCKET: (PROCEED, PROBLEM, PROBLEM, PROBLEM, PROBLEM, PROBLEM),
}
TABLE: Final[dict[tuple[Kind, Holds], Decision]] = {
    (kind, holds): decision for kind, row in ROWS.items() for holds, decision in zip(Holds, row, strict=True)
}


def judge(kind: Kind, holds: Holds, *, ticket_in_header: bool, phase: Phase | None = None) -> Decision:
    """The cell of the table. Whoever brings a ticket by header is an app that means it: its fetch may claim."""
    if holds is Holds.CALLED and phase not in ADMITTING:
        holds = Holds.WAITING
    decision = TABLE[kind, holds] if phase is None else in_phase(phase, TABLE[kind, holds])
    if ticket_in_header and (kind, holds) == (Kind.FETCH, Holds.CALLED):
        return CLAIM
    return decision


def in_phase(phase: Phase, decision: Decision) -> Decision:
    """Nobody comes on the spot but while the sale is open, and not everywhere is there a number to take."""
    if phase == "open" or not isinstance(decision, Enter):
        return decision
    if not decision.may_take_number:
        return PROBLEM
    return decision if phase in NUMBERING else PAGE


def shadowed(decision: Decision) -> Proceed | Enter | Through:
    """What is done in shadow instead. Who would be given a ticket, or holds one, comes in as a newcomer: going live
    later finds them with a pass. The rest would not get a pass now, and gets none.
    """
    match decision:
        case Proceed():
            return decision
        case Enter() | Page() | Claim():
            return ENTER
        case _:
            return THROUGH
