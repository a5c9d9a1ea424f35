"""What visitors are told: the two ways of saying it agree, and nothing is promised that nobody knows."""

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitroom.core.addresses import parse_origin
from waitroom.core.judge import Holds
from waitroom.core.meter import Limits, Meter
from waitroom.core.model import Snapshot, State
from waitroom.core.sale.schedule import NO_SALE, Sale, read_sale
from waitroom.core.settings import Settings
from waitroom.core.tokens import Ticket
from waitroom.edge.facts import members
from waitroom.edge.pages.waiting import Pages
from waitroom.edge.status import Status, read_poll
from waitroom.edge.visitor import Visitor

NOW_MS = 1_760_000_000_000
PAGES = Pages(Settings(origin=parse_origin("http://127.0.0.1:9")))
LIMITS = Limits(rate_per_s=2.0, burst=2.0, max_active=0, unlimited=False, hold=False)


@dataclass
class FakeLine:
    """As much of a line as its words need."""

    snapshot: Snapshot | None
    is_away: bool = False
    later_ms: int = 0
    settings = Settings(origin=parse_origin("http://127.0.0.1:9"))

    def now_ms(self) -> float:
        return 1_760_000_000_123.0 + self.later_ms


def status(
    *,
    limits: Limits = LIMITS,
    message: str = "",
    is_away: bool = False,
    change: str = "",
    changed_ms: int = 0,
    sale: Sale = NO_SALE,
) -> Status:
    state = State(
        generation="g", ordinal=1, created_s=0, issued=5_000, front=100, lapsed=10, meter=Meter(0.0, 0.0),
        limits=limits, message=message, usable_ms=0, admitted=100, on_the_spot=0, confirmed=0, gap_ms=0,
        holes=((0, 0),), table_version="", changed_ms=changed_ms, change=change, fields={}, sale=sale,
    )  # fmt: skip
    snapshot = Snapshot(state, NOW_MS, 0, 0, 1, frozenset(), is_holder=True)
    line: Any = FakeLine(snapshot, is_away)
    return Status(line)


def waiting(number: int, issued_ms: int = 0) -> Visitor:
    return Visitor(Holds.WAITING, ticket(number)._replace(issued_ms=issued_ms), None, False, False)


def ticket(number: int) -> Ticket:
    return Ticket("shop", "g", number, "visitor", 0)


def sale(phase: str, *, stock: str = "", sold_out: str = "0") -> Sale:
    """A sale in that phase, whose times fit."""
    times = {
        "before": (9, 3),
        "lobby": (9, -3),
        "drawn": (3, -9),
        "open": (-3, -9),
        "draining": (-9, -9),
        "closed": (-9, -9),
    }
    opens, lobby = (NOW_MS + minutes * 60_000 for minutes in times[phase])
    closes = NOW_MS + (60_000 if phase in ("draining", "closed") else 3_600_000)
    return read_sale(
        {
            "phase": phase,
            "opens_at": str(opens),
            "lobby_at": str(lobby),
            "closes_at": str(closes),
            "at_close": "drain",
            "draw_lead": "60000",
            "lobby_size": "0",
            "drawn_at": str(opens - 60_000),
            "stock": stock,
            "sold_out": sold_out,
        }
    )


SALES = [
    NO_SALE,
    *(sale(phase) for phase in ("before", "lobby", "drawn", "open", "draining", "closed")),
    sale("open", stock="0", sold_out="1"),
    sale("open", stock="300"),
]


@given(
    number=st.integers(100, 4_999),
    shown=st.none() | st.integers(0, 6_000),
    rate=st.sampled_from([0.001, 0.5, 10.0, 123.456]),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    message=st.sampled_from(["", "Back soon.", "</script>é\ud800"]),
    change=st.sampled_from(["", "faster", "held"]),
    sale=st.sampled_from(SALES),
)
def test_the_short_way_says_the_same_as_the_long_one(
    number: int,
    shown: int | None,
    rate: float,
    flags: tuple[bool, bool, bool],
    message: str,
    change: str,
    sale: Sale,
) -> None:
    unlimited, hold, is_away = flags
    said = status(
        limits=replace(LIMITS, rate_per_s=rate, unlimited=unlimited, hold=hold),
        message=message,
        is_away=is_away,
        change=change,
        changed_ms=NOW_MS - 1000,
        sale=sale,
    )

    short = said.waiting_json(ticket(number), number, shown, said.line.now_ms())
    long = members(said.facts(waiting(number), shown=shown))

    assert short is not None
    assert json.loads(short) == json.loads(b"{%b}" % long)


@given(
    number=st.integers(100, 4_999),
    rate=st.sampled_from([0.001, 0.5, 10.0, 123.456]),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    message=st.sampled_from(["", "Back soon.", "</script>é\ud800"]),
    change=st.sampled_from(["", "faster", "held"]),
    sale=st.sampled_from(SALES),
    target=st.sampled_from(["/", "/drop?a=1&b=<2>", "/" + "x" * 300]),
)
def test_the_short_way_to_a_page_makes_the_same_page(
    number: int,
    rate: float,
    flags: tuple[bool, bool, bool],
    message: str,
    change: str,
    sale: Sale,
    target: str,
) -> None:
    (unlimited, hold, is_away), english = flags, PAGES.languages.default
    said = status(
        limits=replace(LIMITS, rate_per_s=rate, unlimited=unlimited, hold=hold),
        message=message,
        is_away=is_away,
        change=change,
        changed_ms=NOW_MS - 1000,
        sale=sale,
    )

    short = said.in_line(waiting(number))
    long = said.facts(waiting(number), first=True, target=target)

    assert short is not None or long.state not in ("held", "waiting")
    if short is not None:
        assert PAGES.page_in_line(short, target, english, gzip=False) == PAGES.page(long, english, gzip=False)
        assert short.next_poll_s == long.next_poll_s


def test_nobody_but_who_waits_in_line_gets_the_page_of_the_line() -> None:
    said = status()

    assert said.in_line(waiting(200)) is not None
    for holds in (Holds.CALLED, Holds.LAPSED, Holds.UNREADABLE, Holds.PASS, Holds.NOTHING):
        assert said.in_line(Visitor(holds, ticket(200), None, False, False)) is None
    assert said.in_line(Visitor(Holds.WAITING, None, None, False, False)) is None


@pytest.mark.parametrize(
    ("phase", "nothing", "waits", "called", "lapsed"),
    [
        ("before", "before", "before", "before", "before"),
        ("lobby", "none", "lobby", "lobby", "lobby"),
        ("drawn", "none", "lobby", "lobby", "lobby"),
        ("open", "none", "waiting", "called", "lapsed"),
        ("draining", "closed", "waiting", "called", "closed"),
        ("closed", "closed", "closed", "closed", "closed"),
    ],
)
def test_each_phase_says_what_it_is_to_whoever_asks(
    phase: str, nothing: str, waits: str, called: str, lapsed: str
) -> None:
    said = status(sale=sale(phase))

    def state(holds: Holds) -> str:
        held = None if holds is Holds.NOTHING else ticket(200)
        facts = said.facts(Visitor(holds, held, None, False, False))
        assert facts.phase == phase
        return facts.state

    holds = (Holds.NOTHING, Holds.WAITING, Holds.CALLED, Holds.LAPSED)
    assert [state(each) for each in holds] == [nothing, waits, called, lapsed]
    assert status(sale=sale(phase, sold_out="1")).facts(waiting(200)).state == "sold_out"


def test_a_phase_begins_by_the_clock_and_not_with_the_next_sync() -> None:
    said = status(sale=sale("before"))
    line: Any = said.line
    first = said.facts(waiting(200))
    line.later_ms = 3 * 60_000

    later = said.facts(waiting(200))

    assert (first.state, later.state) == ("before", "lobby")
    assert first.lobby_at == "2025-10-09T08:56:20.000Z"


def test_whoever_waits_for_the_lobby_comes_about_when_it_opens_and_not_all_at_once() -> None:
    said = status(sale=sale("before"))
    line: Any = said.line
    line.later_ms = 3 * 60_000 - 10_000

    polls = [said.facts(Visitor(Holds.NOTHING, None, None, False, False)).next_poll_s for _ in range(300)]

    assert 10 < min(polls) < 12.5
    assert 18.5 < max(polls) < 21.1


@pytest.mark.parametrize("why", [{"limits": replace(LIMITS, hold=True)}, {"is_away": True}])
def test_while_the_line_is_paused_no_rate_and_no_wait_are_promised(why: dict[str, Any]) -> None:
    facts = status(**why).facts(waiting(200))

    assert (facts.state, facts.rate_per_min, facts.wait_low_s, facts.wait_high_s) == ("held", None, None, None)


@pytest.mark.parametrize("limits", [LIMITS, replace(LIMITS, max_active=10), replace(LIMITS, hold=True)])
def test_whoever_may_be_next_asks_at_once_also_where_nobody_knows_the_pace(limits: Limits) -> None:
    """P3. Cause: a page's first poll came 2 to 4 s after it while too few seats of a room had come back to say how
    fast the line moves. Effect: the first in line were overtaken by people called 2.5 s later.
    """
    said = status(limits=limits)

    first = [said.facts(waiting(number), first=True).next_poll_s for number in range(100, 115)]
    behind = [said.facts(waiting(number), first=True).next_poll_s for number in range(130, 230)]

    assert max(first) <= 1
    assert min(behind) >= 2
    assert max(behind) <= 4


def test_the_opening_finds_those_who_come_first_with_a_poll_that_is_held() -> None:
    """Polls that come at any moment after the opening would leave most of the rate unused."""
    said = status(sale=sale("drawn"))
    line: Any = said.line
    line.later_ms = 150_000  # half a minute before it

    polls = [said.facts(waiting(number)) for number in (100, 110, 150)]

    assert [(poll.state, poll.next_poll_s <= 1, poll.hold_s) for poll in polls] == [("lobby", True, 25)] * 3


def test_people_in_line_are_told_for_two_minutes_that_the_pace_changed() -> None:
    """P11: and nobody who came after it, whose first estimate is already the new one."""

    def told(ago_ms: int, change: str, *, issued_ms: int = 0, **more: Any) -> str | None:
        facts = status(change=change, changed_ms=NOW_MS - ago_ms, **more).facts(waiting(200, issued_ms))
        return facts.change

    assert told(0, "faster") == "faster"
    assert told(119_000, "slower") == "slower"
    assert told(1000, "resumed") == "resumed"
    assert told(120_000, "slower") is None
    assert told(1000, "faster", issued_ms=NOW_MS - 500) is None
    assert told(1000, "held", limits=replace(LIMITS, hold=True)) is None, "the page says that it is paused"
    assert told(1000, "faster", is_away=True) is None
    assert told(1000, "") is None


def test_a_page_that_shows_another_state_is_told_at_once() -> None:
    """A pause that ended between two polls: the next one, held until something changes, would be held in vain."""
    going, held = status(), status(limits=replace(LIMITS, hold=True))

    assert held.is_news(b"waiting")
    assert going.is_news(b"held")
    assert not going.is_news(b"waiting")
    assert not going.is_news(b""), "an app that says nothing may be held"


@pytest.mark.parametrize(
    ("target", "poll"),
    [
        (b"/s", (0.0, None, b"")),
        (b"/s?hold=25&shown=7&state=held", (25.0, 7, b"held")),
        (b"/s?hold=900", (30.0, None, b"")),
        (b"/s?hold=-1&shown=x&other=1", (0.0, None, b"")),
        (b"/s?hold=\xb2&shown=99999999999", (0.0, None, b"")),
    ],
)
def test_parameters_are_read_and_bounded(target: bytes, poll: tuple[float, int | None, bytes]) -> None:
    assert read_poll(target) == poll
