"""From the words of `waitroom simulate` to a scenario; limits by the settings' own parsers: same bounds, same words."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from waitroom.config import attempt, stand_ins, variable_of
from waitroom.core.parse import Between, duration_text, parse_duration_ms
from waitroom.core.settings import DAY, SECOND, Settings
from waitroom.core.simulation.crowd import Arrivals, Habits
from waitroom.core.simulation.simulate import Scenario
from waitroom.store.environment import limits_of

LIMITS = ("rate", "burst", "max_active", "turn_held", "away_after", "session_idle")
MOST_PEOPLE = 10_000_000
SLOW_TAB_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class SaleOptions:
    """As they were written; None for what was not."""

    crowd: int
    arrivals: str
    over: str
    until: str
    patience: str
    no_shows: str
    slow_tabs: str
    shopping: str
    late: str = "0%"
    lobby_leaves: str = "0%"
    rate: str | None = None
    burst: str | None = None
    max_active: str | None = None
    turn_held: str | None = None
    away_after: str | None = None
    session_idle: str | None = None


def read_scenario(options: SaleOptions) -> Scenario:
    """What is to be played; ValueError with every fault, one a line."""
    faults: list[str] = []

    def read(name: str, parse: Callable[[Any], Any]) -> Any:
        text = getattr(options, name)
        try:
            return parse(text)
        except ValueError as fault:
            faults.append(f"{option(name)}={text} {fault}")
            return None

    given = {name: text for name in LIMITS if (text := getattr(options, name)) is not None}
    settings, wrong = attempt(stand_ins() | given)
    for name, fault in wrong.items():
        faults.append(option(name) + fault.removeprefix(variable_of(name)))
    people = read("crowd", Between(1, MOST_PEOPLE, "{:,}".format))
    arrivals = read("arrivals", arrivals_of)
    over_ms = read("over", lambda text: duration(text, SECOND, 7 * DAY))
    until_ms = read("until", lambda text: duration(text, SECOND, 7 * DAY))
    patience_ms = read("patience", lambda text: None if text == "none" else duration(text, SECOND, 7 * DAY))
    no_shows, slow_tabs = read("no_shows", share), read("slow_tabs", share)
    late, lobby_leaves = read("late", share), read("lobby_leaves", share)
    shopping_ms = read("shopping", lambda text: duration(text, SECOND, DAY))
    if not faults and settings is not None:
        faults += disagreements(options, settings, over_ms=over_ms, until_ms=until_ms, slow_tabs=slow_tabs)
    if faults or settings is None:
        raise ValueError("\n".join(faults))
    habits = Habits(
        people=people,
        arrivals=arrivals,
        over_ms=over_ms,
        patience_ms=patience_ms,
        no_shows=no_shows,
        slow_tabs=slow_tabs,
        shopping_ms=shopping_ms,
        late=late,
        lobby_leaves=lobby_leaves,
        session_idle_ms=settings.session_idle,
    )
    return Scenario(
        settings=settings,
        limits=limits_of(settings),
        habits=habits,
        until_ms=until_ms,
    )


def disagreements(
    options: SaleOptions, settings: Settings, *, over_ms: float, until_ms: float, slow_tabs: float
) -> list[str]:
    """What the options say against each other."""
    faults = []
    has_lobby = options.arrivals == "lobby"
    for name in () if has_lobby else ("late", "lobby_leaves"):
        text = getattr(options, name)
        if share(text):
            faults.append(f"{option(name)}={text} is about people of a lobby; add --arrivals lobby")
    if until_ms < over_ms and (not has_lobby or share(options.late)):
        faults.append(f"--until={options.until} is before everybody has come (--over={options.over})")
    if slow_tabs and settings.away_after < SLOW_TAB_S * SECOND:
        faults.append(
            f"--away-after={duration_text(settings.away_after)} is shorter than the minute in which slow tabs ask: "
            "they would come and go; set 60s or more, or no --slow-tabs"
        )
    return faults


def option(name: str) -> str:
    return "--" + name.replace("_", "-")


def duration(text: str, low_ms: int, high_ms: int) -> object:
    return Between(low_ms, high_ms, duration_text)(parse_duration_ms(text))


def share(text: str) -> float:
    """`20%` → 0.2."""
    found = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)%", text.strip()) or (re.fullmatch("0", text.strip()) and ["", "0"])
    if not found or float(found[1]) > 100:
        raise ValueError("is not a share; write it like 20%")
    return float(found[1]) / 100


def arrivals_of(text: str) -> str:
    known = get_args(Arrivals)
    if text not in known:
        raise ValueError(f"is none of {', '.join(known)}")
    return text
