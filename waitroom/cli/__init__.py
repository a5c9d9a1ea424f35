"""The commands; the only place that prints.

Each command imports what it needs when it runs, so that `waitroom --help` is there at once.
"""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from waitroom.cli.console import FAILED, MISUSED, Progress, fail, room_or_end, say, settings_or_end

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A virtual waiting room in front of any web shop. Everything is set by environment variables.",
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]
RoomName = Annotated[
    str | None,
    typer.Option("--room", help="Which room, if WAITROOM_CONFIG names several; the environment's if not given."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")]


class WithSettings(TyperCommand):
    """A command whose help ends with every setting."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from waitroom.cli.settings_help import settings_lines

        super().format_help(ctx, formatter)
        say(*settings_lines())


def print_version(wanted: bool) -> None:
    if wanted:
        from waitroom import __version__

        say(f"waitroom {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="The version, and no more.")
    ] = False,
) -> None:
    """A virtual waiting room in front of any web shop. Everything is set by environment variables."""


@app.command(cls=WithSettings)
def run() -> None:
    """Run the gateway."""
    settings = settings_or_end()
    from waitroom import log, serve
    from waitroom.core.errors import ConfigError, WaitroomError
    from waitroom.edge.look import look_faults
    from waitroom.edge.shop.dialer import tls_context

    log.set_up(settings)
    try:
        for room in settings.every_room:
            tls_context(room)  # said here, and not by every worker again and again
            if faults := list(look_faults(room)):
                raise ConfigError(faults)
        code = serve.run(settings, announce=say)
    except WaitroomError as error:
        fail(str(error))
    raise typer.Exit(code)


@app.command(cls=WithSettings)
def check(
    as_json: Json = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also what may be wrong with the placement; takes some 15 s.")
    ] = False,
) -> None:
    """Try the settings, Redis and the shop; exits 0 if a gateway would work, else 1."""
    from waitroom.cli.check import check

    with Progress() as progress:
        checked = check(os.environ, deep=deep, tell=progress.show)
    if as_json:
        facts = {"ok": checked.is_ok, "checks": [item._asdict() for item in checked.items]}
        say(json.dumps(facts | ({"findings": [each._asdict() for each in checked.findings]} if deep else {})))
    else:
        say(*(f"{'✓' if item.ok else '✗'} {item.name:<9} {item.detail}" for item in checked.items))
        say(
            *(
                f"{'✗' if each.severity == 'fault' else '!'} {each.about:<9} {each.sentence}"
                for each in checked.findings
            )
        )
        if deep and not checked.findings:
            say("✓ placement nothing found")
    raise typer.Exit(0 if checked.is_ok else FAILED)


@app.command()
def demo(
    rate: Annotated[str, typer.Option(help="Admissions, like 60/min or 2/s.")] = "60/min",
    crowd: Annotated[
        int | None, typer.Option(help="People waiting in front of you; so many that you wait about 45 s if not given.")
    ] = None,
    port: Annotated[int, typer.Option(help="The gateway's port; 0 takes a free one.")] = 8080,
    data_dir: Annotated[Path | None, typer.Option(help="Kept after the demo; a temporary folder if not given.")] = None,
    seconds: Annotated[float | None, typer.Option(help="End by itself after this long.")] = None,
    storefront_only: Annotated[
        bool, typer.Option("--storefront-only", help="The shop, overrun, without a gateway.")
    ] = False,
    sale_in: Annotated[
        str | None, typer.Option(help="A sale opens after so long, like 60s: a countdown, a lobby, a draw.")
    ] = None,
) -> None:
    """The whole thing on this machine: a shop, the gateway, a crowd in line, and a place for you."""
    from waitroom.cli.console import LiveLine
    from waitroom.demo.run import DemoOptions, demo

    try:
        options = DemoOptions(
            rate=rate,
            crowd=crowd,
            port=port,
            data_dir=data_dir,
            seconds=seconds,
            storefront_only=storefront_only,
            sale_in=sale_in,
        )
    except ValueError as error:
        fail(str(error), code=MISUSED)
    line = LiveLine()
    raise typer.Exit(demo(options, say=line.say, live=line.show))


@app.command()
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


@app.command("set")
def set_(
    changes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME=VALUE…",
            help="rate=20/s max_active=500 message='…' opens_at='2026-12-01 10:00 Europe/Berlin' stock=300",
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
    from waitroom.store.line import limits_of

    if bool(changes) == from_environment:
        fail("Say what to change, like: waitroom set rate=20/s (or --from-environment alone).", code=MISUSED)
    settings = room_or_end(settings_or_end(needs=()), room)
    try:
        wanted = Wanted(limits=limits_of(settings)) if from_environment else Wanted(read_words(changes or []))
    except Misused as fault:
        fail(str(fault), code=MISUSED)
    change_room(settings, wanted, dry_run=dry_run)


@app.command()
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


@app.command()
def resume(room: RoomName = None, dry_run: DryRun = False) -> None:
    """Let people in again at the rate from before `waitroom hold`; takes the message away."""
    from waitroom.cli.room import change_room
    from waitroom.core.changes import RESUME

    change_room(room_or_end(settings_or_end(needs=()), room), RESUME, dry_run=dry_run)


@app.command("sold-out")
def sold_out(
    undo: Annotated[bool, typer.Option("--undo", help="There is something left after all: the line goes on.")] = False,
    room: RoomName = None,
    dry_run: DryRun = False,
) -> None:
    """Tell everybody in line that it is sold out, and let nobody new in; who is inside goes on shopping."""
    from waitroom.cli.room import change_room
    from waitroom.core.changes import NOT_SOLD_OUT, SOLD_OUT

    change_room(room_or_end(settings_or_end(needs=()), room), NOT_SOLD_OUT if undo else SOLD_OUT, dry_run=dry_run)


@app.command()
def orders(
    outcome: Annotated[
        str | None,
        typer.Option(help="Only these: under_way, confirmed, answered, refused, failed or unknown; comma separated."),
    ] = None,
    since: Annotated[str | None, typer.Option(help="Only those sent within this time, like 2h.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma separated values, all that match.")] = False,
    as_json: Json = False,
    room: RoomName = None,
    try_: Annotated[
        Path | None,
        typer.Option("--try", help="What the order routes make of a recorded request: raw HTTP, or a HAR file."),
    ] = None,
    answer: Annotated[
        Path | None, typer.Option(help="With --try: the recorded answer, raw HTTP; a HAR file has its own.")
    ] = None,
) -> None:
    """The orders that were sent, the newest first, and what came of them; or, with --try, what is an order."""
    from waitroom.cli.orders import show_orders
    from waitroom.cli.try_order import try_order

    settings = room_or_end(settings_or_end(needs=()), room)
    if try_ is not None:
        try_order(settings, try_, answer, as_json=as_json)
    else:
        show_orders(settings, outcome=outcome, since=since, as_csv=as_csv, as_json=as_json)


@app.command()
def reset(room: RoomName = None, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Start the line again: every ticket becomes void. Who is inside stays inside."""
    from waitroom.cli.room import reset_room

    reset_room(room_or_end(settings_or_end(needs=()), room), sure=yes)


@app.command()
def invite(
    count: Annotated[int | None, typer.Option(help="How many links.")] = None,
    uses: Annotated[int, typer.Option(help="In how many browsers each link counts.")] = 1,
    expires: Annotated[
        str, typer.Option(help="Until when: 2026-12-01 (to the end of that day, UTC), a time with a zone, or 14d.")
    ] = "",
    early: Annotated[bool, typer.Option("--early", help="They count before the sale opens, too.")] = False,
    out: Annotated[Path | None, typer.Option(help="A new file for the links (CSV); printed if not given.")] = None,
    url: Annotated[
        str | None, typer.Option(show_default="WAITROOM_PUBLIC_URL", help="How browsers reach the shop.")
    ] = None,
    revoke: Annotated[str | None, typer.Option(metavar="ID", help="Take one invite back, by its id.")] = None,
    revoke_batch: Annotated[str | None, typer.Option(metavar="BATCH", help="Take a whole batch back.")] = None,
    room: RoomName = None,
    as_json: Json = False,
) -> None:
    """Make links that lead past the line: into one of their own, with its share of the rate.

    A link counts in the browser in which its button is first pressed; opening it uses nothing up. WAITROOM_INVITE_SHARE
    says which part of the rate is for invited people, WAITROOM_INVITE_ONLY=1 that nobody else comes in.

    Like: waitroom invite --count 500 --expires 2026-12-01 --out invites.csv, and to take one back:
    waitroom invite --revoke k3vw9q-17
    """
    from waitroom.cli.invite import Wanted, make_invites, revoke_invites

    wishes = [count is not None, revoke is not None, revoke_batch is not None]
    if sum(wishes) != 1:
        fail("Say one of --count, --revoke and --revoke-batch.", code=MISUSED)
    settings = room_or_end(settings_or_end(needs=() if count is None else ("secret",)), room)
    if count is None:
        revoke_invites(settings, id_=revoke, batch=revoke_batch, as_json=as_json)
    else:
        make_invites(settings, Wanted(count, uses, expires, early, url, out), as_json=as_json)


@app.command()
def simulate(
    crowd: Annotated[int, typer.Option(help="How many people come.")] = 10_000,
    arrivals: Annotated[
        str,
        typer.Option(help="When: `spike` (most at the opening), `steady`, or `lobby` (all before it, places drawn)."),
    ] = "spike",
    over: Annotated[str, typer.Option(help="In what time they come.")] = "10m",
    rate: Annotated[str | None, typer.Option(show_default="60/min", help="Admissions, like 10/s.")] = None,
    burst: Annotated[str | None, typer.Option(show_default="one second of the rate", help="How many at once.")] = None,
    max_active: Annotated[str | None, typer.Option(show_default="0", help="Shoppers inside; 0 is no cap.")] = None,
    patience: Annotated[
        str, typer.Option(help="After this long in line half have given up; `none` is for ever.")
    ] = "none",
    no_shows: Annotated[str, typer.Option(help="This share closes the tab before their turn.")] = "0%",
    slow_tabs: Annotated[str, typer.Option(help="This share learns of their turn once a minute.")] = "0%",
    late: Annotated[str, typer.Option(help="With a lobby: this share comes after the opening.")] = "0%",
    lobby_leaves: Annotated[
        str, typer.Option(help="With a lobby: this share of it has left before the opening.")
    ] = "0%",
    shopping: Annotated[str, typer.Option(help="How long people shop, on average.")] = "4m",
    session_idle: Annotated[
        str | None, typer.Option(show_default="10m", help="How long a seat is kept after the last request.")
    ] = None,
    turn_held: Annotated[
        str | None, typer.Option(show_default="10m", help="How long a turn is kept for who is away.")
    ] = None,
    away_after: Annotated[
        str | None, typer.Option(show_default="90s", help="When somebody not seen counts as away.")
    ] = None,
    until: Annotated[str, typer.Option(help="Stop after so long, whoever still waits.")] = "24h",
    seed: Annotated[int, typer.Option(help="The same seed gives the same sale.")] = 1,
    as_json: Json = False,
    plot: Annotated[Path | None, typer.Option(help="Draw into this file (SVG), instead of the terminal.")] = None,
) -> None:
    """What a sale of this size will look like: the rules of the line in virtual time, without a shop or a Redis.

    Like: waitroom simulate --crowd 100000 --rate 50/s --no-shows 20% --plot sale.svg
    """
    from waitroom.cli.sale_options import SaleOptions
    from waitroom.cli.simulate import show_simulation

    options = SaleOptions(
        crowd=crowd,
        arrivals=arrivals,
        over=over,
        until=until,
        patience=patience,
        no_shows=no_shows,
        slow_tabs=slow_tabs,
        shopping=shopping,
        late=late,
        lobby_leaves=lobby_leaves,
        rate=rate,
        burst=burst,
        max_active=max_active,
        turn_held=turn_held,
        away_after=away_after,
        session_idle=session_idle,
    )
    show_simulation(options, seed=seed, as_json=as_json, picture=plot)


@app.command()
def draw(
    note: Annotated[
        str | None, typer.Option(help="The value of the note's source; once, after the draw, while the opening waits.")
    ] = None,
    room: RoomName = None,
    as_json: Json = False,
) -> None:
    """The draw of the lobby: what was announced and what came of it; `--note` enters the note."""
    from waitroom.cli.draw import give_note, show_draw

    settings = room_or_end(settings_or_end(needs=()), room)
    if note is None:
        show_draw(settings, as_json=as_json)
    else:
        give_note(settings, note)


@app.command("verify-draw")
def verify_draw(
    record: Annotated[str, typer.Argument(help="The file with the record (JSON); `-` is standard input.")],
    number: Annotated[int | None, typer.Option(min=0, help="Whose place to compute.")] = None,
    commitment: Annotated[str | None, typer.Option(help="The commitment you noted before the draw.")] = None,
    as_json: Json = False,
) -> None:
    """Check the record of a draw; exits 0 if everything agrees, 1 if not, 2 if there is nothing to check."""
    from waitroom.cli.verify_draw import verify_draw

    verify_draw(record, number=number, commitment=commitment, as_json=as_json)
