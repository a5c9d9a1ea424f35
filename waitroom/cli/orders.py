"""The orders that were sent, to be compared with the shop's own books."""

import csv
import json
import sys
from collections.abc import Sequence
from typing import Any

from waitroom.cli.console import MISUSED, fail, say, tables
from waitroom.cli.room import speak
from waitroom.core.orders.attempt import Attempt, Outcome
from waitroom.core.parse import parse_duration_ms
from waitroom.core.settings import Settings
from waitroom.core.times import iso_seconds
from waitroom.store.orders import OrderBook
from waitroom.store.room import Room

MOST_SHOWN = 100
COLUMNS = (
    "attempt", "outcome", "reference", "sent_at", "known_at", "known_by", "status", "route", "idempotency_key",
)  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def show_orders(settings: Settings, *, outcome: str | None, since: str | None, as_csv: bool, as_json: bool) -> None:
    """As a table of the newest, or all of them as CSV or JSON."""
    outcomes = outcomes_in(outcome)
    since_ms = span_in(since)

    async def find(room: Room) -> tuple[list[Attempt], int]:
        book = OrderBook(room, keep_ms=settings.order_keep)
        now_ms = await book.time_ms()
        least_ms = now_ms - since_ms if since_ms is not None else 0
        found = [attempt for each in Outcome for attempt in await all_of(book, each, now_ms=now_ms, least_ms=least_ms)]
        wanted = {attempt.id: attempt for attempt in found if attempt.outcome in outcomes}
        return sorted(wanted.values(), key=lambda attempt: attempt.id, reverse=True), now_ms

    found, now_ms = speak(settings, find)
    if as_json:
        say(json.dumps({"orders": [row(attempt) for attempt in found], "server_time": iso_seconds(now_ms)}))
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([cell(value) for value in row(attempt).values()] for attempt in found)
    else:
        show_table(found)


async def all_of(book: OrderBook, outcome: Outcome, *, now_ms: int, least_ms: int) -> list[Attempt]:
    """Page after page, down to those sent before `least_ms`."""
    found: list[Attempt] = []
    after = None
    while True:
        attempts, after = await book.list_by_outcome(outcome, now_ms=now_ms, after=after)
        found += [attempt for attempt in attempts if attempt.begun_ms >= least_ms]
        if after is None or (attempts and attempts[-1].begun_ms < least_ms):
            return found


def show_table(found: Sequence[Attempt]) -> None:
    from rich.markup import escape
    from rich.table import Table

    if not found:
        say("No orders.")
        return
    shown = Table("sent (UTC)", "outcome", "reference", "status", "attempt", box=None, padding=(0, 2, 0, 0))
    for attempt in found[:MOST_SHOWN]:
        facts = row(attempt)
        style = {"confirmed": "green", "unknown": "bold yellow"}.get(attempt.outcome.value, "")
        said = f"[{style}]{attempt.outcome.words}[/]" if style else attempt.outcome.words
        sent = str(facts["sent_at"])[:19].replace("T", " ")
        shown.add_row(sent, said, escape(attempt.reference or ""), str(attempt.status or ""), attempt.id)
    tables().print(shown)
    if len(found) > MOST_SHOWN:
        say(f"{len(found) - MOST_SHOWN:,} more; --csv or --json has all of them.")


def row(attempt: Attempt) -> dict[str, Any]:
    """One order for programs, in the order of COLUMNS; None where there is nothing. Names stay."""
    return {
        "attempt": attempt.id,
        "outcome": attempt.outcome.value,
        "reference": attempt.reference,
        "sent_at": iso_seconds(attempt.begun_ms),
        "known_at": None if attempt.decided_ms is None else iso_seconds(attempt.decided_ms),
        "known_by": attempt.decided_by,
        "status": attempt.status,
        "route": attempt.route,
        "idempotency_key": attempt.idempotency_key,
    }


def cell(value: object) -> str:
    """As text that no spreadsheet takes for a formula: references and keys come from outside."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def outcomes_in(text: str | None) -> set[Outcome]:
    if text is None:
        return set(Outcome)
    names = {name.strip().replace("-", "_").replace(" ", "_") for name in text.split(",")}
    wrong = sorted(names - {outcome.value for outcome in Outcome})
    if wrong:
        fail(f"--outcome {wrong[0]} is none; there are {', '.join(Outcome)}.", code=MISUSED)
    return {Outcome(name) for name in names}


def span_in(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_duration_ms(text)
    except ValueError as fault:
        fail(f"--since {text} {fault}", code=MISUSED)
