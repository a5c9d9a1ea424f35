"""What everybody in line is told alike: of one snapshot, in one phase of a sale."""

from waitroom.core.estimate import pace_of
from waitroom.core.judge import Holds
from waitroom.core.model import Snapshot
from waitroom.edge.facts import CHANGES, PageFacts, json_for_html, json_number, sale_members, told_of
from waitroom.edge.stages import quiet_poll_s, sale_facts, stage_of

NOTICED_MS = 120_000
"""So long people in line are told that the operator changed the pace: longer than any pause between polls."""


class Shared:
    """Made anew with each snapshot, each phase, and when Redis goes away or comes back."""

    __slots__ = (
        "before_front",
        "change",
        "change_json",
        "changed_ms",
        "is_placeless",
        "limits",
        "message",
        "opening_ms",
        "pace",
        "phase",
        "quiet_s",
        "rate_per_min",
        "sale",
        "snapshot",
        "state",
        "state_json",
        "told",
        "told_json",
        "until_ms",
        "waiting",
    )

    def __init__(self, snapshot: Snapshot, *, is_away: bool, now_ms: float) -> None:
        self.snapshot = snapshot
        sale = snapshot.state.sale
        self.phase, self.until_ms = sale.phase(now_ms), sale.until_ms(now_ms)
        self.quiet_s = quiet_poll_s(sale)
        self.sale = sale_facts(sale, self.phase)
        self.limits = limits = snapshot.state.limits
        self.message = snapshot.state.message or None
        self.state = stage_of(self.phase, Holds.WAITING) or ("held" if limits.hold or is_away else "waiting")
        # In a lobby that was drawn everybody has a place, and waits for the opening as well as for those before them.
        is_drawn = self.state == "lobby" and snapshot.state.space == "p"
        self.is_placeless = self.state not in ("held", "waiting") and not is_drawn
        self.opening_ms = sale.expected_ms if is_drawn else 0
        nobody_knows = limits.unlimited or self.state not in ("waiting", "lobby")
        self.rate_per_min = None if nobody_knows else round(limits.rate_per_s * 60, 3)
        self.pace = pace_of(limits, snapshot.table.facts.moves)
        self.waiting = snapshot.count_waiting()
        self.before_front = snapshot.table.before(snapshot.state.front)
        state = snapshot.state
        is_news = state.change in CHANGES and snapshot.now_ms - state.changed_ms < NOTICED_MS
        self.change = state.change if is_news and self.state == "waiting" else None
        self.changed_ms = state.changed_ms if self.change else 0
        self.change_json = json_for_html(self.change).encode()
        self.state_json = self.state.encode()
        # For whoever has a place; what differs is put in where it does.
        place = 0 if not self.is_placeless else None
        self.told = told = told_of(
            PageFacts(
                self.state,
                0,
                position=place,
                ahead=place,
                waiting=place,
                rate_per_min=self.rate_per_min,
                message=self.message,
                **self.sale,
            )
        )._replace(is_scarce=False)
        self.told_json = b'"rate_per_min":%b,"message":%b,%b' % (
            json_number(self.rate_per_min),
            json_for_html(self.message).encode(),
            sale_members(told),
        )
