"""`waitroom simulate`: what a sale of this size will look like, for people and for programs."""

import json
import random
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from waitroom.cli.blocks import LABEL, block_plot
from waitroom.cli.console import MISUSED, fail, say
from waitroom.cli.curves import clock, curves
from waitroom.cli.plot import svg
from waitroom.cli.sale_options import SaleOptions, read_scenario
from waitroom.core.changes import rate_text
from waitroom.core.parse import duration_text
from waitroom.core.sentences import duration, people
from waitroom.core.simulation.outcome import Outcome
from waitroom.core.simulation.simulate import Scenario, simulate

JSON_POINTS, PICTURE_POINTS = 240, 420
MOST_COLUMNS, LEAST_COLUMNS = 100, 40
ARRIVE = {
    "steady": "coming evenly over {}",
    "spike": "most at the opening, the rest over {}",
    "lobby": "all there before the opening",
}
SERIES = ("waiting_at", "inside_at", "admitted_in", "admit_ms")


def show_simulation(options: SaleOptions, *, seed: int, as_json: bool, picture: Path | None) -> None:
    """Play the sale and show what came of it; ends with 2 where the options make no sense."""
    try:
        scenario = read_scenario(options)
        outcome = play(scenario, seed)
    except ValueError as fault:
        fail(str(fault), code=MISUSED)
    unwritten = "" if picture is None else write(picture, draw(scenario, outcome))
    if as_json:
        say(json.dumps(facts(scenario, outcome, seed)))
    else:
        show(scenario, outcome, picture)
    if unwritten:  # the figures are worth having all the same
        fail(unwritten)


def write(picture: Path, text: str) -> str:
    """What went wrong, if anything."""
    try:
        picture.write_text(text, encoding="utf-8")
    except OSError as error:
        return f"The picture could not be written to {picture}: {error.strerror}."
    return ""


def show(scenario: Scenario, outcome: Outcome, picture: Path | None) -> None:
    """For people: with the curves, or where they are."""
    console = Console(highlight=False)
    console.print(f"[bold]{headline(scenario)}[/]")
    console.print(f"[dim]{habits_text(scenario)}[/]\n")
    console.print(table(scenario, outcome))
    if picture is None:
        console.print()
        columns = max(LEAST_COLUMNS, min(MOST_COLUMNS, console.width - 1))
        console.print(block_plot(curves(outcome, columns - LABEL - 2), columns), no_wrap=True, crop=True)
    elif picture.exists():
        say(f"\nThe picture is in {picture}.")


def play(scenario: Scenario, seed: int) -> Outcome:
    """With a bar on a terminal."""
    dice = random.Random(seed)  # noqa: S311
    if not sys.stderr.isatty():
        return simulate(scenario, dice)
    shape = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[at]} into the sale"))
    with Progress(*shape, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("simulating", total=scenario.habits.people, at="")
        return simulate(
            scenario, dice, lambda now_ms, done: bar.update(task, completed=done, at=duration(now_ms / 1000))
        )


def headline(scenario: Scenario) -> str:
    """How many people, and what they meet."""
    limits = scenario.limits
    said = f"{people(scenario.habits.people)} at {rate_text(limits)}"
    said += "" if limits.unlimited else f", up to {limits.burst:g} at once"
    return f"{said}, {limits.max_active:,} seats" if limits.max_active else said


def habits_text(scenario: Scenario) -> str:
    """How they are, in one line."""
    habits = scenario.habits
    said = [ARRIVE[habits.arrivals].format(duration_text(habits.over_ms))]
    if habits.late:
        said = [f"{1 - habits.late:.0%} there before the opening, the rest over {duration_text(habits.over_ms)}"]
    said += [f"{habits.lobby_leaves:.0%} of the lobby gone before it"] if habits.lobby_leaves else []
    said += [f"{habits.no_shows:.0%} no-shows"] if habits.no_shows else []
    said += [f"{habits.slow_tabs:.0%} slow tabs"] if habits.slow_tabs else []
    said += [f"half give up within {duration_text(habits.patience_ms)}"] if habits.patience_ms else []
    return ", ".join([*said, f"{duration_text(habits.shopping_ms)} of shopping"])


def table(scenario: Scenario, outcome: Outcome) -> Table:
    """For people."""
    shown = Table.grid(padding=(0, 2))
    for name, value in rows(scenario, outcome):
        shown.add_row(name, value)
    return shown


def rows(scenario: Scenario, outcome: Outcome) -> Iterator[tuple[str, str]]:
    limits = scenario.limits
    at_once = f", {outcome.on_the_spot:,} of them without waiting" if outcome.on_the_spot else ""
    yield "let in", f"[bold]{outcome.admitted:,}[/] of {outcome.people:,}{at_once}"
    if outcome.lobby is not None and outcome.lobby.left:
        yield "left the lobby", f"{outcome.lobby.left:,} of {outcome.lobby.people:,} before the opening"
    if outcome.gave_up:
        yield "gave up", f"{outcome.gave_up:,}, out of patience"
    if outcome.lapsed:
        yield "did not come", f"{outcome.lapsed:,} when it was their turn"
    if outcome.waiting:
        yield "still waiting", f"[bold yellow]{outcome.waiting:,}[/] after {duration_text(scenario.until_ms)}"
    if outcome.waits_s:
        waits = [f"{share}% {clock(wait)}" for share, wait in outcome.waits_s.items() if share < 100]
        yield "waited at most", " · ".join([*waits, f"all {clock(outcome.waits_s[100])}"])
    lobby = outcome.lobby
    if lobby is not None and lobby.first_s is not None and lobby.last_s is not None:
        alike = f"first tenth to come {clock(lobby.first_s)} on average, last tenth {clock(lobby.last_s)}"
        yield "the draw", f"waited from the opening on: {alike}"
    yield "in line", f"{outcome.peak_waiting:,} at the most"
    if outcome.gone_s:
        yield "line gone", f"{clock(outcome.gone_s)} after the opening"
    cap = f" of {limits.max_active:,}" if limits.max_active else ""
    yield "inside", f"{outcome.peak_inside:,}{cap} at the most"
    if outcome.rate_used is not None:
        full = ", held back by the full room" if limits.max_active and outcome.rate_used < 0.9 else ""
        yield "rate used", f"{outcome.rate_used:.1%} while people waited{full}"
        yield "over the rate", f"{outcome.over:.2f} people in the worst span"
    if outcome.first_right is not None:
        half = "" if outcome.half_right is None else f", {outcome.half_right:.0%} in that shown half-way"
        yield "estimates", f"{outcome.first_right:.0%} came in within the range first shown{half}"


def facts(scenario: Scenario, outcome: Outcome, seed: int) -> dict[str, Any]:
    """For programs; names stay. Times are seconds."""
    series = curves(outcome, JSON_POINTS)
    numbers = {name: getattr(outcome, name) for name in Outcome.__slots__ if name not in (*SERIES, "lobby")}
    lobby = None if outcome.lobby is None else asdict(outcome.lobby)
    return {
        "seed": seed,
        "rate": rate_text(scenario.limits),
        "burst": scenario.limits.burst,
        "max_active": scenario.limits.max_active,
        "turn_held_ms": scenario.settings.turn_held,
        "away_after_ms": scenario.settings.away_after,
        "until_ms": scenario.until_ms,
        "crowd": asdict(scenario.habits),
        **numbers,
        "lobby": lobby,
        "series": {"step_s": series[0].step_s} | {curve.key: curve.values for curve in series},
    }


def draw(scenario: Scenario, outcome: Outcome) -> str:
    """The picture, with what it shows in words."""
    said = [f"{outcome.admitted:,} of {people(outcome.people)} came in"]
    if outcome.waits_s:
        said.append(f"half of them waited up to {clock(outcome.waits_s[50])}, the last {clock(outcome.waits_s[100])}")
    if outcome.gone_s:
        said.append(f"the line was gone after {clock(outcome.gone_s)}")
    limits = {}
    if not scenario.limits.unlimited:
        limits["admitted_per_min"] = (scenario.limits.rate_per_s * 60, f"rate {rate_text(scenario.limits)}")
    if scenario.limits.max_active:
        limits["inside"] = (float(scenario.limits.max_active), f"{scenario.limits.max_active:,} seats")
    words = "; ".join(said)
    return svg(
        curves(outcome, PICTURE_POINTS),
        title=headline(scenario),
        subtitle=habits_text(scenario),
        words=words,
        limits=limits,
    )
