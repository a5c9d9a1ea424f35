"""What the line says to one visitor: the facts of the page and of `GET status`. Memory only: no Redis, no template."""

from random import randrange
from typing import NamedTuple

from waitroom.core.estimate import HOLD_BELOW_S, HOLD_S, SOON_S, first_poll_s, next_poll, spread, wait_range
from waitroom.core.judge import Holds
from waitroom.core.model import Snapshot
from waitroom.core.sale.schedule import GATHERING
from waitroom.core.tokens import Ticket
from waitroom.edge.facts import InLine, PageFacts, iso_time
from waitroom.edge.shared import Shared
from waitroom.edge.stages import pause_s, stage_of
from waitroom.edge.visitor import Visitor
from waitroom.store.line import Line

WAITING = Holds.WAITING  # a name of the module is looked up faster than an Enum's member
LONGEST_HOLD_S = 30.0
SHORTEST_POLL_S = 0.2
AWAY_POLL_S = 5.0
PAUSED_HOLD_S = 15
WAITING_JSON = (
    b'{"state":"%b","number":%d,"position":%d,"ahead":%d,"waiting":%d,"wait_s":%b,"next_poll_s":%.1f,"hold_s":%d,'
    b'"change":%b,"place":%b,%b,"server_time":"%b"}'
)
PLACELESS_JSON = (
    b'{"state":"%b","number":%d,"position":null,"ahead":null,"waiting":%b,"wait_s":null,"next_poll_s":%.1f,"hold_s":0,'
    b'"change":null,"place":null,%b,"server_time":"%b"}'
)


class Poll(NamedTuple):
    """What a status request says: seconds to hold the answer, the position and the state shown so far."""

    hold_s: float
    shown: int | None
    state: bytes


def read_poll(target: bytes) -> Poll:
    """The parameters in a status request's target; anything else in it is ignored."""
    hold, shown, state = 0.0, None, b""
    for part in target.partition(b"?")[2][:256].split(b"&"):
        name, _, value = part.partition(b"=")
        if name == b"shown" and value.isdigit() and len(value) <= 10:
            shown = int(value)
        elif name == b"hold" and value.isdigit() and len(value) <= 10:
            hold = min(LONGEST_HOLD_S, float(value))
        elif name == b"state":
            state = value
    return Poll(hold, shown, state)


class Status:
    """Tells visitors where they stand."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self._shared: tuple[Snapshot, bool, Shared] | None = None

    def is_news(self, state: bytes) -> bool:
        """Whether the line's state is another than a page shows: it changed between two polls, and no held answer
        could tell. A page that says nothing learns nothing here.
        """
        shared = self._now()
        return bool(state) and shared is not None and shared.state_json != state

    def is_paused(self) -> bool:
        """Nobody can be let in now: who was called waits as well."""
        shared = self._now()
        return shared is not None and shared.state == "held"

    def facts(
        self, visitor: Visitor, *, shown: int | None = None, first: bool = False, target: str | None = None
    ) -> PageFacts:
        """The facts for whoever this is. `shown` is the position last shown, which is never exceeded.

        `first`: of a page, whose first poll comes 2 to 4 s later, or at once where the turn is near.
        """
        ticket, holds = visitor.ticket, visitor.holds
        shared = self._now()
        if holds is Holds.PASS:
            return self._bare("admitted", target)
        stage = stage_of(self.line.phase() if shared is None else shared.phase, holds)
        if stage is not None and not (holds is Holds.WAITING and shared is not None and not shared.is_placeless):
            return self._staged(stage, target, ticket, shared, first=first)
        if ticket is None or holds is Holds.NOTHING:
            return self._bare("none", target)
        if shared is None:
            return self._bare("held", target, ticket)
        if holds is Holds.LAPSED:
            return self._bare("lapsed", target, ticket, message=shared.message)
        if holds is Holds.CALLED:
            state = "held" if shared.state == "held" else "called"
            hold_s = PAUSED_HOLD_S if state == "held" else 0
            turn = self._bare(state, target, ticket, message=shared.message, position=1, next_poll_s=1.0, hold_s=hold_s)
            until_ms = shared.snapshot.kept_until_ms(
                shared.snapshot.place_of(ticket.number), self.line.settings.turn_held
            )
            return turn if state == "held" else turn._replace(kept_until_ms=until_ms)
        line = self._in_line(shared, ticket, shown, self.line.now_ms(), first=first)
        low_s, high_s = line.wait_s or (None, None)
        return PageFacts(
            state=shared.state,
            number=line.number,
            position=line.ahead + 1,
            ahead=line.ahead,
            waiting=line.waiting,
            rate_per_min=shared.rate_per_min,
            wait_low_s=low_s,
            wait_high_s=high_s,
            next_poll_s=line.next_poll_s,
            hold_s=line.hold_s,
            message=shared.message,
            change=line.told.change,
            place=line.place,
            target=target,
            server_time_ms=line.server_time_ms,
            **shared.sale,
        )

    def in_line(self, visitor: Visitor) -> InLine | None:
        """`facts` for the first page of somebody who waits and has a place; None for anybody else."""
        now_ms = self.line.now_ms()
        ticket, shared = visitor.ticket, self._now(now_ms)
        if ticket is None or shared is None or shared.is_placeless or visitor.holds is not WAITING:
            return None
        return self._in_line(shared, ticket, None, now_ms, first=True)

    def _in_line(self, shared: Shared, ticket: Ticket, shown: int | None, now_ms: float, *, first: bool) -> InLine:
        number, told = ticket.number, shared.told
        place = shared.snapshot.place_of(number)
        ahead, wait, poll_s, hold_s = self._figures(shared, number, place, shown)
        soonest_s = ahead / shared.limits.rate_per_s if wait is None else wait[0]
        if first and soonest_s >= SOON_S:
            poll_s = first_poll_s(number)
        is_scarce = told.stock is not None and ahead >= told.stock
        change = shared.change if ticket.issued_ms < shared.changed_ms else None
        if is_scarce or change:
            told = told._replace(is_scarce=is_scarce, change=change)
        return InLine(
            told,
            int(now_ms),
            number,
            ahead,
            shared.waiting if shared.waiting > ahead else ahead + 1,
            None if wait is None else (int(wait[0]), int(wait[1]) + 1),
            int(poll_s * 10) / 10,
            hold_s,
            None if shared.snapshot.places is None else place,
        )

    def waiting_json(self, ticket: Ticket, place: int, shown: int | None, now_ms: float) -> bytes | None:
        """`facts` of somebody who waits, as JSON, without making them: the answer that is given most. A test holds the
        two together. None before the first snapshot.
        """
        shared = self._now(now_ms)
        if shared is None:
            return None
        if shared.is_placeless:
            return PLACELESS_JSON % (
                shared.state_json,
                ticket.number,
                b"%d" % shared.waiting if shared.phase in GATHERING else b"null",
                pause_s(shared.state, ticket.number, shared.until_ms - now_ms, shared.quiet_s),
                shared.told_json,
                iso_time(int(now_ms)),
            )
        ahead, wait, poll_s, hold_s = self._figures(shared, ticket.number, place, shown)
        return WAITING_JSON % (
            shared.state_json,
            ticket.number,
            ahead + 1,
            ahead,
            shared.waiting if shared.waiting > ahead else ahead + 1,
            b"null" if wait is None else b'{"low":%d,"high":%d}' % (wait[0], wait[1] + 1),
            int(poll_s * 10) / 10,
            hold_s,
            shared.change_json if ticket.issued_ms < shared.changed_ms else b"null",
            b"null" if shared.snapshot.places is None else b"%d" % place,
            shared.told_json,
            iso_time(int(now_ms)),
        )

    def _figures(
        self, shared: Shared, number: int, place: int, shown: int | None
    ) -> tuple[int, tuple[float, float] | None, float, int]:
        """(people ahead, the wait, seconds until the next poll, seconds to hold it)."""
        snapshot = shared.snapshot
        ahead = round(snapshot.table.before(place) - shared.before_front)  # Table.ahead, but for what all have alike
        if shown is not None and ahead >= shown:
            ahead = shown - 1
        if ahead < 0:
            ahead = 0
        if shared.state == "held":
            # Whoever would be near is told at once when the line goes on, so that it goes on in order.
            if ahead < shared.limits.rate_per_s * HOLD_BELOW_S:
                return ahead, None, 1.0, PAUSED_HOLD_S
            return ahead, None, AWAY_POLL_S * spread(number), 0
        wait = wait_range(ahead, shared.pace)
        # Where nobody knows, as often as if the rate were all that counts.
        soonest_s = ahead / shared.limits.rate_per_s if wait is None else wait[0]
        if shared.opening_ms:
            opens_s = max(0.0, (shared.opening_ms - self.line.now_ms()) / 1000)
            soonest_s += opens_s
            wait = None if wait is None else (wait[0] + opens_s, wait[1] + opens_s)
            if soonest_s < HOLD_BELOW_S:
                # Nothing moves before the opening, which finds them held.
                return ahead, wait, SHORTEST_POLL_S, HOLD_S[1]
        return ahead, wait, *next_poll(None if wait is None and shared.limits.unlimited else soonest_s, number)

    def _now(self, now_ms: float = 0.0) -> Shared | None:
        """What is shared now (Redis time, if the caller knows it); made anew when the snapshot or the phase changed, or
        Redis went away.
        """
        line = self.line
        snapshot, is_away, now_ms = line.snapshot, line.is_away, now_ms or line.now_ms()
        if self._shared is not None:
            of, was_away, shared = self._shared
            if of is snapshot and was_away is is_away and now_ms < shared.until_ms:
                return shared
        if snapshot is None:
            return None
        shared = Shared(snapshot, is_away=is_away, now_ms=now_ms)
        self._shared = snapshot, is_away, shared
        return shared

    def _staged(
        self, stage: str, target: str | None, ticket: Ticket | None, shared: Shared | None, *, first: bool
    ) -> PageFacts:
        """In a phase in which nobody has a place in line, or not any more."""
        if shared is None:
            return self._bare(stage, target, ticket)
        number = randrange(4096) if ticket is None else ticket.number  # noqa: S311 - spreads polls
        poll_s = pause_s(shared.state, number, shared.until_ms - self.line.now_ms(), shared.quiet_s)
        if first and ticket is not None:
            poll_s = int(min(poll_s, first_poll_s(number)) * 10) / 10
        told = self._bare(stage, target, ticket, message=shared.message, next_poll_s=poll_s)
        waiting = shared.waiting if shared.phase in GATHERING and ticket is not None else None
        return told._replace(waiting=waiting, rate_per_min=shared.rate_per_min)

    def _bare(
        self,
        state: str,
        target: str | None,
        ticket: Ticket | None = None,
        *,
        message: str | None = None,
        position: int | None = None,
        next_poll_s: float = AWAY_POLL_S,
        hold_s: float = 0.0,
    ) -> PageFacts:
        shared = self._now()
        return PageFacts(
            state=state,
            number=None if ticket is None else ticket.number,
            position=position,
            ahead=None if position is None else position - 1,
            next_poll_s=next_poll_s,
            hold_s=hold_s,
            message=message,
            target=target,
            server_time_ms=int(self.line.now_ms()),
            **(shared.sale if shared is not None else {}),
        )
