"""Commands that speak to a running room: its state, its limits, its reset."""

import asyncio
import getpass
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import typer

from waitroom.cli.changes import Misused, Situation, after_words, effects, people, read_words
from waitroom.cli.console import MISUSED, fail, say
from waitroom.cli.status_table import facts, table
from waitroom.core.errors import StoreUnavailable
from waitroom.core.model import write_limits
from waitroom.core.redis_url import redis_url_shown
from waitroom.core.settings import Settings
from waitroom.store.embedded import find_running
from waitroom.store.line import limits_of
from waitroom.store.overview import Overview, overview
from waitroom.store.room import AdoptNeeded, GenerationGone, Room

WATCH_S = 1.0
T = TypeVar("T")


def show_status(settings: Settings, *, as_json: bool, watch: bool) -> None:
    """The room as a table, or as one JSON object a line; with `watch` again every second."""

    async def show(room: Room) -> None:
        if as_json:
            say(json.dumps(facts(settings.room, await look(room, settings))))
            while watch:
                await asyncio.sleep(WATCH_S)
                say(json.dumps(facts(settings.room, await look(room, settings))))
            return
        from rich.console import Console
        from rich.live import Live

        console = Console(highlight=False)
        first = table(settings.room, await look(room, settings))
        if not watch:
            console.print(first)
            return
        with Live(first, console=console, auto_refresh=False) as live:
            while True:
                await asyncio.sleep(WATCH_S)
                live.update(table(settings.room, await look(room, settings)), refresh=True)

    try:
        speak(settings, show)
    except KeyboardInterrupt:
        return


def change_room(
    settings: Settings,
    *,
    words: Sequence[str] = (),
    resume: bool = False,
    from_environment: bool = False,
    dry_run: bool = False,
) -> None:
    """Say what the change will do, then do it. Fields that stay as they are are not written."""
    try:
        given = read_words(words)
    except Misused as fault:
        fail(str(fault), code=MISUSED)

    async def change(room: Room) -> None:
        found = await look(room, settings)
        before = Situation(found.limits, found.message, found.waiting, found.inside)
        after = after_words(before, given)
        if resume:
            after = replace(after, limits=replace(after.limits, hold=False))
        if from_environment:
            after = replace(after, limits=limits_of(settings))
        old, new = write_limits(before.limits), write_limits(after.limits)
        fields = {name: text for name, text in new.items() if old[name] != text}
        if after.message != before.message:
            fields["message"] = after.message
        if not fields:
            say("It is so already: nothing changes.")
            return
        say(*effects(before, after))
        if dry_run:
            say("Nothing was changed (--dry-run).")
            return
        await room.configure(fields, by=operator(), generation=found.state.generation)
        say("Done. Every gateway follows within a second.")

    speak(settings, change)


def reset_room(settings: Settings, *, sure: bool) -> None:
    """Start a new generation, after asking."""

    async def reset(room: Room) -> None:
        found = await look(room, settings)
        say(
            f"The line starts again from number 0: places are lost ({people(found.waiting)}), "
            "and new numbers are taken with the next page.",
            f"Whoever is inside stays inside ({people(found.inside)}).",
        )
        if not sure and not sys.stdin.isatty():
            fail("Nothing was changed: say --yes to do it.", code=MISUSED)
        if not sure and not typer.confirm("Start again?"):
            fail("Nothing was changed.")
        await room.reset(found.state, by=operator(), keep_ms=settings.turn_held + settings.claim_repeat)
        say("Done.")

    speak(settings, reset)


async def look(room: Room, settings: Settings) -> Overview:
    found = await overview(room)
    if found is None:
        fail(f"There is no room {settings.room!r} in this Redis yet: the first gateway that runs makes it.")
    return found


def speak(settings: Settings, verb: Callable[[Room], Awaitable[T]]) -> T:
    """Run a verb against the gateway's Redis; where that fails, say so and end."""
    url = settings.redis_url.get_secret_value() if settings.redis_url else find_running(settings.data_dir)
    if url is None:
        fail(
            f"No gateway runs on {settings.data_dir.absolute()}. Start one, or set WAITROOM_DATA_DIR or "
            "WAITROOM_REDIS_URL to what the gateway uses."
        )

    async def connected() -> T:
        room = Room.connect(url, settings.room)
        try:
            return await verb(room)
        finally:
            await room.close()

    try:
        return asyncio.run(connected())
    except StoreUnavailable:
        fail(f"The Redis at {redis_url_shown(url)} does not answer; `waitroom check` says why.")
    except AdoptNeeded:
        fail("Redis has just restarted and no gateway has taken it over yet. Try again in a moment.")
    except GenerationGone:
        fail("The room was reset meanwhile; nothing was changed. Look at `waitroom status`, and try again.")


def operator() -> str:
    """Who does this, for the room's log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
