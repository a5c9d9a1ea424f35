"""`run`, `check` and `demo`: what starts something, or would. They import what they need when they run."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from waitroom.cli.application import Command, CommandOfSettings, Json, app
from waitroom.cli.console import FAILED, MISUSED, Progress, fail, say, settings_or_end


@app.command(
    cls=CommandOfSettings,
    short_help="Run the gateway.",
    epilog="WAITROOM_ORIGIN=http://127.0.0.1:3000 WAITROOM_RATE=10/s waitroom run",
)
def run() -> None:
    """Run the gateway, until SIGTERM or Ctrl-C."""
    settings = settings_or_end()
    from waitroom import log, serve
    from waitroom.core.errors import ConfigError, WaitroomError
    from waitroom.edge.pages.look import look_faults
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


@app.command(
    cls=Command,
    short_help="Try the settings, Redis and the shop.",
    epilog="waitroom check\nwaitroom check --deep --json",
)
def check(
    as_json: Json = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also what may be wrong with the placement; takes some 15 s.")
    ] = False,
) -> None:
    """Try the settings, Redis and the shop; exits 0 if a gateway would work, else 1.

    `waitroom run --help` lists the settings.
    """
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


@app.command(
    cls=Command,
    short_help="A shop, the gateway, a crowd in line, and a place for you.",
    epilog="waitroom demo\nwaitroom demo --rate 2/s --crowd 200 --port 0\nwaitroom demo --sale-in 60s",
)
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
    from waitroom.demo.run import DemoFailed, DemoOptions, demo

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
    try:
        demo(options, say=line.say, live=line.show)
    except DemoFailed as failure:
        line.clear()
        fail(str(failure))
