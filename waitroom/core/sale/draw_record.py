"""The public record of a draw: what everybody needs to compute every place again, and nothing else.

JSON, one object, all members always there; before the draw those that it makes are null.

    version      "waitroom-draw-1"
    room, generation
    opened_at    when the commitment was made: the opening of the lobby; ISO 8601 in UTC
    source       where the note will come from, named beforehand; "" for none
    commitment   64 hexadecimal digits
    drawn_at     when it was fixed who takes part; ISO 8601 in UTC
    numbers      the numbers 0 … numbers − 1 take part
    left_out     ranges of them that nobody has: [[from, to], …], `to` not included
    people       how many take part
    note         "" without a source; null until it is known
    seed         64 hexadecimal digits
    checksum     over all of the above, so that two people can compare their records in one line

A record of one draw that was changed in any part contradicts itself. That it is the draw which was announced, only the
commitment shows, to whoever noted it before.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any

from waitroom.core.sale.draw import VERSION, Lobby, Places, commitment_of, packed

LONGEST = 1 << 20
MOST_LEFT_OUT = 1000
MOST_NUMBERS = (1 << 32) - 1
LONGEST_TEXT = 2000
HEX = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the module's docstring says, member by member."""

    version: str = VERSION
    room: str
    generation: str
    opened_at: str
    source: str
    commitment: str
    drawn_at: str | None = None
    numbers: int | None = None
    left_out: tuple[tuple[int, int], ...] | None = None
    people: int | None = None
    note: str | None = None
    seed: str | None = None

    @property
    def is_drawn(self) -> bool:
        """Whether places follow from it."""
        return None not in (self.drawn_at, self.numbers, self.left_out, self.people, self.note, self.seed)

    @property
    def checksum(self) -> str | None:
        """64 hexadecimal digits over a draw that was made."""
        if not self.is_drawn or self.left_out is None:
            return None
        ranges = " ".join(f"{start}-{stop}" for start, stop in self.left_out)
        values = {field.name: str(getattr(self, field.name)) for field in fields(self)} | {"left_out": ranges}
        return sha256(packed(*values.values())).hexdigest()

    def to_json(self) -> str:
        """One line."""
        members = {field.name: getattr(self, field.name) for field in fields(self)}
        return json.dumps(members | {"checksum": self.checksum}, separators=(",", ":"))

    @property
    def lobby(self) -> Lobby:
        """Who takes part. Raises ValueError before the draw."""
        if self.numbers is None or self.left_out is None:
            raise ValueError("the draw has not been made yet")
        return Lobby(self.numbers, self.left_out)

    def places(self) -> Places:
        """Raises ValueError before the draw."""
        if not self.is_drawn or self.seed is None or self.note is None:
            raise ValueError("the draw has not been made yet")
        return Places(self.lobby, seed=bytes.fromhex(self.seed), note=self.note)


def read_record(text: str) -> tuple[Record, str | None]:
    """(the record, the checksum it carries). Raises ValueError, a sentence, for what is none."""
    if len(text) > LONGEST:
        raise ValueError("This is no record of a draw: it is too long.")
    try:
        members = json.loads(text)
    except ValueError as error:
        raise ValueError(f"This is no JSON: {error}.") from None
    except RecursionError:
        raise ValueError("This is no record of a draw: it is nested too deeply.") from None
    if not isinstance(members, dict):
        raise ValueError("This is no record of a draw: it is no JSON object.")
    if members.get("version") != VERSION:
        raise ValueError(f"This is no record of a draw that this program knows: its version is not {VERSION}.")
    names = [field.name for field in fields(Record)]
    if sorted(members) != sorted([*names, "checksum"]):
        raise ValueError("This is no record of a draw: its members are not those that a record has.")
    for name, value in members.items():
        if not fits(name, value):
            raise ValueError(f"This is no record of a draw: {name} is not what it has to be.")
    left_out = members["left_out"]
    ranges = None if left_out is None else tuple((start, stop) for start, stop in left_out)
    record = Record(**{name: members[name] for name in names} | {"left_out": ranges})
    return record, members["checksum"]


def fits(name: str, value: Any) -> bool:
    """Whether a member may have this value."""
    match name:
        case "version" | "room" | "generation" | "opened_at" | "source":
            return isinstance(value, str) and len(value) <= LONGEST_TEXT
        case "commitment":
            return isinstance(value, str) and HEX.fullmatch(value) is not None
    if value is None:
        return True
    match name:
        case "drawn_at" | "note":
            return isinstance(value, str) and len(value) <= LONGEST_TEXT
        case "seed" | "checksum":
            return isinstance(value, str) and HEX.fullmatch(value) is not None
        case "numbers" | "people":
            return is_number(value)
    return isinstance(value, list) and len(value) <= MOST_LEFT_OUT and all(map(is_range, value))


def is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_NUMBERS


def is_range(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_number, value)) and value[0] < value[1]


def contradictions(record: Record, checksum: str | None) -> Iterator[str]:
    """What does not agree in a record of a draw that was made, as sentences."""
    if record.seed is not None:
        commitment = commitment_of(
            bytes.fromhex(record.seed),
            room=record.room,
            generation=record.generation,
            source=record.source,
            opened_at=record.opened_at,
        )
        if commitment != record.commitment:
            yield (
                "The seed, with room, generation, source and opened_at, does not give the commitment: this is not the "
                "draw that was announced."
            )
    if record.left_out is not None and record.numbers is not None:
        bounds = [*(bound for pair in record.left_out for bound in pair), record.numbers]
        if bounds != sorted(bounds):
            yield "The numbers left out are not in order, or not among those that take part."
        elif record.people != record.lobby.people:
            yield f"{record.people} people are said to take part; by the numbers it is {record.lobby.people}."
    if not record.source and record.note:
        yield "There is a note, but no source was named for it."
    if checksum != record.checksum:
        yield "The checksum is another: a part of the record was changed."
