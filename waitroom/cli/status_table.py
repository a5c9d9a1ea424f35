"""The room now, for people."""

from collections.abc import Iterator

from rich.markup import escape
from rich.table import Table

from waitroom.core.changes import rate_text
from waitroom.core.probes import Tally
from waitroom.core.sale.changes import at, end_text
from waitroom.core.sentences import duration
from waitroom.core.shadow import Shadowed
from waitroom.core.times import iso_utc
from waitroom.store.overview import Overview

MOST_FINDINGS = 10
MOST_SHADOWED = 15


def table(room: str, found: Overview) -> Table:
    """For people."""
    state, limits = found.state, found.limits
    shown = Table.grid(padding=(0, 2))
    shown.add_row("room", f"[bold]{room}[/]" + (", [bold yellow]on hold[/]" if limits.hold else ""))
    if found.in_shadow:
        of = f"{found.in_shadow} of {found.workers} workers"
        shown.add_row("", f"[bold red]IN SHADOW[/] ({of}): everybody is let through, whatever is shown below")
    if state.message:
        shown.add_row("message", escape(state.message))
    for index, line in enumerate(sale_lines(found)):
        shown.add_row("" if index else "sale", line)
    wait = (
        ""
        if limits.hold or limits.unlimited or not found.waiting
        else (f", the last in after about {duration(found.waiting / limits.rate_per_s)} at the full rate")
    )
    shown.add_row("waiting", f"[bold]{found.waiting:,}[/]{wait}")
    cap = f" of {limits.max_active:,}" if limits.max_active else ""
    shown.add_row("inside", f"[bold]{found.inside:,}[/]{cap}")
    shown.add_row("let in", f"{found.admitted_per_min:.1f} a minute, {state.admitted:,} in all")
    burst = "" if limits.unlimited else f", up to {limits.burst:g} at once"
    shown.add_row("rate", f"{rate_text(limits)}{burst}")
    shown.add_row("numbers", f"{state.issued:,} given out, {state.front:,} called")
    if found.estimates.first:
        shown.add_row("estimates", estimates_text(found.estimates))
    if any(found.orders.values()):
        counts = (f"{count:,} {outcome.words}" for outcome, count in found.orders.items() if count)
        shown.add_row("orders", ", ".join(counts))
    shown.add_row("workers", str(found.workers))
    for index, line in enumerate(shadow_lines(found.shadowed)):
        shown.add_row("" if index else "would wait", escape(line))
    for index, (what, times) in enumerate(found.findings[:MOST_FINDINGS]):
        shown.add_row("" if index else "[yellow]to look at[/]", f"{escape(what)} ({times:,} ×)")
    return shown


def sale_lines(found: Overview) -> Iterator[str]:
    """The phase and what comes next; the times; the stock."""
    sale, now_ms = found.state.sale, found.now_ms
    phase, step = sale.phase(now_ms), sale.next_step()
    if phase is not None:
        names = {"before": "before the lobby", "sold_out": "sold out"}
        then = f", next: {step.phase} {at(int(step.at_ms), now_ms)}" if step and not sale.is_sold_out else ""
        yield f"[bold]{names.get(phase, phase)}[/]{then}"
    if sale.schedule is not None:
        closes = f", {end_text(sale.schedule, now_ms)}" if sale.schedule.closes_ms else ", no closing time"
        yield f"opens {iso_utc(sale.opening_ms)}{closes}"
    if sale.lobby_size:
        yield f"{sale.lobby_size:,} in the draw"
    if sale.stock is not None:
        yield f"about {sale.stock:,} left"


def shadow_lines(shadowed: Shadowed) -> Iterator[str]:
    """Who would have been queued: all, by kind and client, then the most frequent paths."""
    if shadowed.total:
        yield f"{shadowed.total:,} requests found no room"
        yield "by kind: " + ", ".join(f"{name} {times:,}" for name, times in shadowed.by("kind"))
        yield "by client: " + ", ".join(f"{name} {times:,}" for name, times in shadowed.by("client"))
        for row in shadowed.rows[:MOST_SHADOWED]:
            yield f"{row.kind} {row.path} by {row.client} ({row.times:,} ×)"


def estimates_text(tally: Tally) -> str:
    """How the waits shown came true, as far as places were watched."""
    half = f", {tally.half_within / tally.half:.0%} within the one shown half-way" if tally.half else ""
    return (
        f"{tally.first_within / tally.first:.0%} of people were let in within the range first shown{half} "
        f"({tally.first:,} places looked at)"
    )
