"""The commands around a sale: try it out, invite, draw, look orders up. They import what they need when they run."""

from pathlib import Path
from typing import Annotated

import typer

from waitroom.cli.application import Command, Json, RoomName, app
from waitroom.cli.console import MISUSED, fail, room_or_end, settings_or_end

INVITE_EXAMPLES = """\
waitroom invite --count 500 --expires 2026-12-01 --out invites.csv
waitroom invite --count 5 --uses 40 --expires 14d --early
waitroom invite --revoke k3vw9q-17"""


@app.command(
    cls=Command,
    short_help="What a sale of this size will look like, in virtual time.",
    epilog="waitroom simulate --crowd 100000 --rate 50/s --no-shows 20% --plot sale.svg",
)
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
    """What a sale of this size will look like: the rules of the line in virtual time, without a shop or a Redis."""
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


@app.command(
    cls=Command,
    short_help="Make links that lead past the line, or take them back.",
    epilog=INVITE_EXAMPLES,
)
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


@app.command(
    cls=Command,
    short_help="The draw of the lobby: what was announced, what came of it.",
    epilog="waitroom draw --json\nwaitroom draw --note 04-17-23-31-38-45",
)
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


@app.command(
    "verify-draw",
    cls=Command,
    short_help="Check the record of a draw.",
    epilog="waitroom verify-draw draw.json --number 123",
)
def verify_draw(
    record: Annotated[str, typer.Argument(help="The file with the record (JSON); `-` is standard input.")],
    number: Annotated[int | None, typer.Option(min=0, help="Whose place to compute.")] = None,
    commitment: Annotated[str | None, typer.Option(help="The commitment you noted before the draw.")] = None,
    as_json: Json = False,
) -> None:
    """Check the record of a draw; exits 0 if everything agrees, 1 if not, 2 if there is nothing to check."""
    from waitroom.cli.verify_draw import verify_draw

    verify_draw(record, number=number, commitment=commitment, as_json=as_json)


@app.command(
    cls=Command,
    short_help="The orders that were sent, and what came of them.",
    epilog="waitroom orders --outcome unknown --since 2h --csv\nwaitroom orders --try checkout.har",
)
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

    if as_csv and (as_json or try_ is not None):
        fail("Leave out --csv, or --json and --try.", code=MISUSED)
    if answer is not None and try_ is None:
        fail("--answer is the answer to what --try names.", code=MISUSED)
    settings = room_or_end(settings_or_end(needs=()), room)
    if try_ is not None:
        try_order(settings, try_, answer, as_json=as_json)
    else:
        show_orders(settings, outcome=outcome, since=since, as_csv=as_csv, as_json=as_json)
