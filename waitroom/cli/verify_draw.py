"""`waitroom verify-draw`: check the record of a draw, with no room and no settings.

Exits 0 where everything agrees, 1 where something does not, 2 where there is nothing to check (no record, not drawn
yet).
"""

import json
import sys
from pathlib import Path

import typer

from waitroom.cli.console import FAILED, MISUSED, fail, say
from waitroom.core.sale.draw_record import LONGEST, Record, contradictions, read_record


def verify_draw(source: str, *, number: int | None, commitment: str | None, as_json: bool) -> None:
    """Check the record in a file (`-` is standard input), and say what follows from it."""
    try:
        record, checksum = read_record(read_text(source))
    except OSError as error:
        fail(f"{source} cannot be read: {error.strerror}.", code=MISUSED)
    except ValueError as error:
        fail(str(error), code=MISUSED)
    if record.seed is None:
        fail("The draw has not been made yet: there is nothing to check but to note the commitment.", code=MISUSED)
    if record.note is None:
        fail("The note is not known yet: nobody has a place before it is.", code=MISUSED)
    faults = list(contradictions(record, checksum))
    if commitment is not None and commitment.strip().lower() != record.commitment:
        faults.append("The commitment is not the one you noted: this is not the draw that was announced.")
    place = None
    if not faults and number is not None:
        place = record.places().of(number)
    if as_json:
        takes_part = None if number is None or faults else is_drawn(record, number)
        facts = {"agrees": not faults, "faults": faults, "number": number, "takes_part": takes_part, "place": place}
        say(json.dumps(facts))
    elif faults:
        say(*(f"✗ {fault}" for fault in faults))
    else:
        say(*report(record, number, place, compared=commitment is not None))
    raise typer.Exit(FAILED if faults else 0)


def read_text(source: str) -> str:
    """The text of a file, or of standard input for `-`; no more than a record can be. Raises OSError, ValueError."""
    if source == "-":
        return sys.stdin.read(LONGEST + 1)
    with Path(source).open(encoding="utf-8") as file:
        return file.read(LONGEST + 1)


def is_drawn(record: Record, number: int) -> bool:
    """Whether a number has a drawn place."""
    lobby = record.lobby
    return number < lobby.numbers and lobby.index(number) < lobby.people


def report(record: Record, number: int | None, place: int | None, *, compared: bool) -> list[str]:
    """What was checked, what it shows, and what it does not."""
    lines = [
        f"✓ The record agrees with itself: seed and commitment, {record.people} people, the checksum.",
        f"  Room {record.room}: announced {record.opened_at}, drawn {record.drawn_at}.",
    ]
    if number is not None and place is not None:
        where = f"has place {place}" if is_drawn(record, number) else f"is not in the draw; its place is {place}"
        lines.append(f"✓ Number {number} {where} (the first is 0).")
    lines += ["", "What this shows: every place follows from the seed, and the seed was fixed with the commitment."]
    if compared:
        lines.append("It is the draw that was announced with the commitment you noted.")
    else:
        lines += ["Compare the commitment with the one published before the draw (--commitment):", record.commitment]
    if record.source:
        lines += [
            "The note came into being after it was fixed who takes part, so nobody could choose a place, if it is what",
            f"its source gave. Look it up: {record.source}",
            f"The note is: {record.note}",
        ]
    else:
        lines += [
            "No source of a note was named. So it shows that no shopper could choose a place, and not that the",
            "operator, who knows the seed, did not.",
        ]
    return lines
