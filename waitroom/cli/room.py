"""Commands that speak to a running room: its state, its limits, its reset."""

import asyncio
import getpass
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import typer

from waitroom.cli.console import MISUSED, fail, say, tables
from waitroom.cli.status_table import table
from waitroom.core.changes import Wanted
from waitroom.core.errors import WaitroomError
from waitroom.core.redis_url import redis_url_shown
from waitroom.core.settings import Settings
from waitroom.store.embedded import redis_of
from waitroom.store.operating import change, explain, look, plan_change, plan_reset, reset
from waitroom.store.overview import Overview, facts
from waitroom.store.room import Room

WATCH_S = 1.0
T = TypeVar("T")


def show_status(rooms: Sequence[Settings], *, as_json: bool, watch: bool) -> None:
    """The rooms as tables, or each as one JSON object a line; with `watch` again every second, also after a look that
    failed, which is said.
    """

    async def looks(connected: Sequence[Room]) -> list[tuple[str, Overview]]:
        names = [settings.room for settings in rooms]
        return [(name, await look(room, name)) for name, room in zip(names, connected, strict=True)]

    def told(found: Sequence[tuple[str, Overview]]) -> None:
        say(*(json.dumps(facts(name, overview)) for name, overview in found))

    async def show(connected: Sequence[Room]) -> None:
        found = await looks(connected)
        if as_json:
            told(found)
            while watch:
                await asyncio.sleep(WATCH_S)
                try:
                    told(await looks(connected))
                except WaitroomError as error:
                    say(explained(rooms[0], error), to=sys.stderr)
            return
        from rich.console import Group, RenderableType
        from rich.live import Live
        from rich.text import Text

        def drawn(trouble: str = "") -> Group:
            parts: list[RenderableType] = [part for name, overview in found for part in ("", table(name, overview))]
            if trouble:
                parts += ("", Text(f"{trouble} What stands above is what was seen last.", style="red"))
            return Group(*parts[1:])

        console = tables()
        if not watch:
            console.print(drawn())
            return
        with Live(drawn(), console=console, auto_refresh=False) as live:
            while True:
                await asyncio.sleep(WATCH_S)
                try:
                    found = await looks(connected)
                    live.update(drawn(), refresh=True)
                except WaitroomError as error:
                    live.update(drawn(explained(rooms[0], error)), refresh=True)

    try:
        speak_of(rooms, show)
    except KeyboardInterrupt:
        return


def change_room(settings: Settings, wanted: Wanted, *, dry_run: bool = False) -> None:
    """Say what the change will do, then do it."""

    async def tell_and_change(room: Room) -> None:
        plan = await plan_change(room, settings.room, wanted)
        say(*plan.effects)
        if not plan.changes:
            return
        if dry_run:
            say("Nothing was changed (--dry-run).")
            return
        await change(room, plan, by=operator())
        say("Done. Every gateway follows within a second.")

    speak(settings, tell_and_change)


def reset_room(settings: Settings, *, sure: bool) -> None:
    """Start a new generation, after asking."""

    async def tell_and_reset(room: Room) -> None:
        plan = await plan_reset(room, settings.room)
        say(*plan.effects)
        if not sure and not sys.stdin.isatty():
            fail("Nothing was changed: say --yes to do it.", code=MISUSED)
        if not sure and not typer.confirm("Start again?"):
            fail("Nothing was changed.")
        await reset(room, plan, settings, by=operator())
        say("Done.")

    speak(settings, tell_and_reset)


def speak(settings: Settings, verb: Callable[[Room], Awaitable[T]]) -> T:
    """Run a verb against the gateway's Redis; where that fails, say so and end."""
    return speak_of((settings,), lambda rooms: verb(rooms[0]))


def speak_of(every: Sequence[Settings], verb: Callable[[Sequence[Room]], Awaitable[T]]) -> T:
    """The same for several rooms at once."""
    settings = every[0]
    url = redis_of(settings)
    if url is None:
        fail(why_no_gateway(settings.data_dir.absolute()))

    async def connected() -> T:
        rooms = [Room.connect(url, each.room) for each in every]
        try:
            return await verb(rooms)
        finally:
            for room in rooms:
                await room.close()

    try:
        return asyncio.run(connected())
    except WaitroomError as error:
        fail(explained(settings, error))


def explained(settings: Settings, error: WaitroomError) -> str:
    """Why it could not be done, with the address of the Redis; or that the gateway has gone, and its Redis with it."""
    url = redis_of(settings)
    return why_no_gateway(settings.data_dir.absolute()) if url is None else explain(error, redis=redis_url_shown(url))


def why_no_gateway(folder: Path) -> str:
    """Of a folder that this user may not look into nobody can say whether a gateway runs on it."""
    try:
        os.listdir(folder)
    except PermissionError:
        return f"The data folder {folder} is closed to this user. Run the command as the gateway's user, or as root."
    except OSError:
        pass
    return (
        f"No gateway runs on {folder}. Start one, or set WAITROOM_DATA_DIR or WAITROOM_REDIS_URL to what the "
        "gateway uses."
    )


def operator() -> str:
    """Who does this, for the room's log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
