"""The commands for a running room: look, change, hold, start again. They import what they need when they run."""

from typing import Annotated

import typer

from waitroom.cli.application import Command, DryRun, Json, RoomName, app
from waitroom.cli.console import MISUSED, fail, room_or_end, settings_or_end

SET_EXAMPLES = """\
waitroom set rate=20/s max_active=500 --dry-run
waitroom set rate=20/s message="We have added servers, it goes faster now."
waitroom set opens_at="2026-12-01 10:00 Europe/Berlin" stock=300
waitroom set --from-environment"""


@app.command(
    cls=Command,
    short_help="The room now: who waits, who is inside, the limits in force.",
    epilog="waitroom status --watch\nwaitroom status --json",
)
def status(
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it live, until Ctrl-C.")] = False,
    room: Annotated[str | None, typer.Option("--room", help="This room alone; all of them if not given.")] = None,
) -> None:
    """The room now: who waits, who is inside, the limits in force."""
    from waitroom.cli.room import show_status

    settings = settings_or_end(needs=())
    rooms = settings.every_room if room is None else (room_or_end(settings, room),)
    show_status(rooms, as_json=as_json, watch=watch)


@app.command(
    "set",
    cls=Command,
    short_help="Change limits, message, sale or stock of a running room.",
    epilog=SET_EXAMPLES,
)
def set_(
    changes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME=VALUE",
            help="rate, burst, max_active, message, opens_at, lobby_at, closes_at, at_close, draw_lead, stock.",
        ),
    ] = None,
    from_environment: Annotated[
        bool, typer.Option("--from-environment", help="Back to the limits of the environment.")
    ] = False,
    room: RoomName = None,
    dry_run: DryRun = False,
) -> None:
    """Change the limits, the message, the sale or its stock in a running room, and say what that will do."""
    from waitroom.cli.room import change_room
    from waitroom.core.changes import Misused, Wanted, read_words
    from waitroom.store.environment import limits_of

    if bool(changes) == from_environment:
        fail("Say what to change, like: waitroom set rate=20/s (or --from-environment alone).", code=MISUSED)
    settings = room_or_end(settings_or_end(needs=()), room)
    try:
        wanted = Wanted(limits=limits_of(settings)) if from_environment else Wanted(read_words(changes or []))
    except Misused as fault:
        fail(str(fault), code=MISUSED)
    change_room(settings, wanted, dry_run=dry_run)


@app.command(
    cls=Command,
    short_help="Let nobody new in; the page says why.",
    epilog='waitroom hold "The shop takes a short break. Your place is kept."',
)
def hold(
    reason: Annotated[str, typer.Argument(help="What the page tells those who wait.")],
    room: RoomName = None,
    dry_run: DryRun = False,
) -> None:
    """Let nobody new in until `waitroom resume`; the page says why."""
    from waitroom.cli.room import change_room
    from waitroom.core import changes

    try:
        wanted = changes.hold(reason)
    except changes.Misused as fault:
        fail(str(fault), code=MISUSED)
    change_room(room_or_end(settings_or_end(needs=()), room), wanted, dry_run=dry_run)


@app.command(
    cls=Command, short_help="Let people in again, at the rate from before.", epilog="waitroom resume --dry-run"
)
def resume(room: RoomName = None, dry_run: DryRun = False) -> None:
    """Let people in again at the rate from before `waitroom hold`; takes the message away."""
    from waitroom.cli.room import change_room
    from waitroom.core.changes import RESUME

    change_room(room_or_end(settings_or_end(needs=()), room), RESUME, dry_run=dry_run)


@app.command(
    "sold-out",
    cls=Command,
    short_help="Tell the line that it is sold out, and let nobody new in.",
    epilog="waitroom sold-out --dry-run\nwaitroom sold-out --undo",
)
def sold_out(
    undo: Annotated[bool, typer.Option("--undo", help="There is something left after all: the line goes on.")] = False,
    room: RoomName = None,
    dry_run: DryRun = False,
) -> None:
    """Tell everybody in line that it is sold out, and let nobody new in; who is inside goes on shopping."""
    from waitroom.cli.room import change_room
    from waitroom.core.changes import NOT_SOLD_OUT, SOLD_OUT

    change_room(room_or_end(settings_or_end(needs=()), room), NOT_SOLD_OUT if undo else SOLD_OUT, dry_run=dry_run)


@app.command(
    cls=Command,
    short_help="Start the line again: every ticket becomes void.",
    epilog="waitroom reset --yes",
)
def reset(room: RoomName = None, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Start the line again: every ticket becomes void. Who is inside stays inside."""
    from waitroom.cli.room import reset_room

    reset_room(room_or_end(settings_or_end(needs=()), room), sure=yes)
