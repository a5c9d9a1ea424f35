"""The file named by WAITROOM_CONFIG (TOML): settings by their names, and a table for each further room.

    rate = "600/min"                # at the top: what WAITROOM_RATE would say; where both do, the environment counts

    [rooms.drop]                    # a room of its own, by this name
    guard = "/products/one*"
    rate = "60/min"

Here a file becomes text under the names of settings, whether right or wrong; what it means is judged where the
environment is.
"""

import datetime
import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

MOST_BYTES = 1_048_576
ROOMS = "rooms"


class RoomsFile(NamedTuple):
    """What stands in the file, as text by the names of settings. `faults` are what cannot be read so."""

    name: str
    top: dict[str, str]
    rooms: dict[str, dict[str, str]]
    faults: list[str]


NO_FILE = RoomsFile("", {}, {}, [])


def read_rooms_file(path: str, *, top: Sequence[str], room: Sequence[str]) -> RoomsFile:
    """`top` and `room` are the names allowed at the top and in a room's table."""
    name = Path(path).name
    try:
        with open(path, "rb") as file:
            raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise ValueError(f"is larger than {MOST_BYTES:,} bytes")
        tables = tomllib.loads(raw.decode())
    except OSError as error:
        return RoomsFile(name, {}, {}, [f"WAITROOM_CONFIG={path} cannot be read: {error.strerror}"])
    except UnicodeDecodeError:
        return RoomsFile(name, {}, {}, [f"WAITROOM_CONFIG={path} is not UTF-8 text"])
    except ValueError as error:
        return RoomsFile(name, {}, {}, [f"WAITROOM_CONFIG={path} is no TOML file: {error}"])
    faults: list[str] = []
    rooms = tables.pop(ROOMS, {})
    if not isinstance(rooms, dict) or not all(isinstance(table, dict) for table in rooms.values()):
        faults.append(f"{name}: {ROOMS} holds no tables; write each room as [{ROOMS}.name]")
        rooms = {}
    said = {
        each: read_table(f"{name}, room {each}", table, known=room, elsewhere=top, faults=faults)
        for each, table in rooms.items()
    }
    return RoomsFile(name, read_table(name, tables, known=top, elsewhere=(), faults=faults), said, faults)


def read_table(
    where: str, table: Mapping[str, object], *, known: Sequence[str], elsewhere: Sequence[str], faults: list[str]
) -> dict[str, str]:
    """The settings of one table, as text. What is wrong goes to `faults`, with `where` before it."""
    values = {}
    for key, value in table.items():
        if key in known:
            text = text_of(value)
            if text is None:
                faults.append(
                    f"{where}: {key} holds a table; write a text, a number, true or false, or a list of texts"
                )
            else:
                values[key] = text
        elif key in elsewhere:
            faults.append(f"{where}: {key} is the whole gateway's, not a room's; write it at the top, or set it there")
        else:
            faults.append(f"{where}: {key} is not a setting{did_you_mean(key, known)}")
    return values


def did_you_mean(key: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(key.lower().removeprefix("waitroom_"), known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def text_of(value: object) -> str | None:
    """As one would write it into the environment; None for a table, or a list that holds more than plain values."""
    match value:
        case bool():
            return str(int(value))
        case str() | int() | float():
            return str(value)
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case list():
            return ",".join(texts) if len(texts := list(plain(value))) == len(value) else None
        case _:
            return None


def plain(values: Sequence[object]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str | int | float):
            text = text_of(value)
            assert text is not None
            yield text
