"""What the commands print with, and how they end: 0 done, 1 failed, 2 misused."""

import codecs
import io
import os
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NoReturn, TextIO

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from waitroom.core.settings import Settings

QUIET_S = 10.0
FAILED = 1
MISUSED = 2
WIDE_COLUMNS = 160
STAND_INS = {"✓": "ok", "✗": "--", "…": "...", "·": ",", "×": "x", "–": "-", "│": "|", "┤": "|", "└": "+", "─": "-"}
BLOCKS = "▁▂▃▄▅▆▇█"


def say(*lines: str, to: TextIO | None = None) -> None:
    """Plain text, on standard output unless it goes `to` another; nothing in it is taken for markup."""
    for line in lines:
        print(line, file=to, flush=True)


def fail(lines: str | Iterable[str], *, code: int = FAILED) -> NoReturn:
    """Say what is wrong on standard error, and end."""
    say(*([lines] if isinstance(lines, str) else lines), to=sys.stderr)
    raise typer.Exit(code)


def stand_in_for_signs() -> None:
    """Where the terminal or the pipe cannot take a sign (an ASCII or Latin-1 locale), write another for it."""

    def stand_in(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        signs = error.object[error.start : error.end]
        return "".join(STAND_INS.get(sign, "#" if sign in BLOCKS else "?") for sign in signs), error.end

    codecs.register_error("stand-in", stand_in)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="stand-in")


def tables() -> "Console":
    """Where tables are printed: as wide as the terminal, or so wide in a pipe that hardly a line is broken."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE_COLUMNS
    return Console(highlight=False, width=width)


class LiveLine:
    """Lines that stay, and below them one that is replaced. Without a terminal it is printed now and then."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._shown_at = -QUIET_S
        self._shown = ""

    def say(self, line: str) -> None:
        self.clear()
        say(line)

    def show(self, line: str) -> None:
        if self._terminal:
            self.clear()
            self._shown = line[: shutil.get_terminal_size().columns - 1]
            print(self._shown, end="", flush=True)
        elif line != self._shown and time.monotonic() - self._shown_at >= QUIET_S:
            self._shown, self._shown_at = line, time.monotonic()
            say(line)

    def clear(self) -> None:
        if self._terminal and self._shown:
            print("\r\x1b[2K", end="")
            self._shown = ""


class Progress:
    """What is being done now, on a terminal; gone when it is done. Standard output stays for the result."""

    def __enter__(self) -> "Progress":
        self._terminal = sys.stderr.isatty()
        return self

    def show(self, step: str) -> None:
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            print("\r\x1b[2K" + f"… {step}"[:width], end="", file=sys.stderr, flush=True)

    def __exit__(self, *_: object) -> None:
        if self._terminal:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)


def settings_or_end(needs: Sequence[str] = ("origin", "secret")) -> "Settings":
    """The settings of the environment; with faults, all of them and the end."""
    from waitroom.config import load
    from waitroom.core.errors import ConfigError

    try:
        return load(os.environ, needs=needs)
    except ConfigError as error:
        fail([*error.faults, "(`waitroom run --help` lists the settings)"], code=MISUSED)


def room_or_end(settings: "Settings", name: str | None) -> "Settings":
    """The settings of the room with this name, of the environment's without one; where there is none, the end."""
    rooms = {room.room: room for room in settings.every_room}
    if name is None:
        return settings
    if name not in rooms:
        fail(f"There is no room {name!r} in these settings; there are {', '.join(rooms)}.", code=MISUSED)
    return rooms[name]
