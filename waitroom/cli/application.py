"""What every command is made of: the application, its options of many commands, and the way its help is written.

Help is plain text, the same on a terminal and in a pipe, and ends with examples that a test tries.
"""

import textwrap
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from waitroom.cli.console import say

INDENT = " " * 6


class Command(TyperCommand):
    """A command whose help ends with its examples: the lines of its epilog."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        if self.epilog:
            with formatter.section("Examples"):
                for line in self.epilog.splitlines():
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


class CommandOfSettings(Command):
    """One whose help goes on with every setting."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        super().format_epilog(ctx, formatter)
        with formatter.section("Settings, in the environment"):
            formatter.write("\n".join(settings_lines(formatter.width)) + "\n")


def settings_lines(width: int) -> Iterator[str]:
    """Name, default and meaning of each setting, in lines of at most `width`."""
    from waitroom.config import variables

    for variable in variables():
        default = "required" if variable.required else f"default {variable.default}" if variable.default else ""
        yield f"  {variable.name}  {default}".rstrip()
        meaning = variable.help.replace("`", "")
        yield from textwrap.wrap(meaning, width, initial_indent=INDENT, subsequent_indent=INDENT)
        yield ""


Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]
RoomName = Annotated[
    str | None,
    typer.Option(
        "--room", metavar="NAME", help="Which room, if WAITROOM_CONFIG names several; the environment's if not given."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def print_version(wanted: bool) -> None:
    if wanted:
        from waitroom import __version__

        say(f"waitroom {__version__}")
        raise typer.Exit


@app.callback(epilog="`waitroom COMMAND --help` has examples; `waitroom run --help` lists the settings.")
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="The version, and no more.")
    ] = False,
) -> None:
    """A virtual waiting room in front of any web shop. Everything is set by environment variables."""
