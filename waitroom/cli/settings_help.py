"""Every setting, for a terminal."""

import textwrap
from collections.abc import Iterator

from waitroom.config import variables

INDENT = 6


def settings_lines(width: int) -> Iterator[str]:
    """Name, default and meaning of each, in lines of at most `width`."""
    for variable in variables():
        default = "required" if variable.required else f"default {variable.default}" if variable.default else ""
        yield f"  {variable.name}  {default}".rstrip()
        meaning = variable.help.replace("`", "")
        yield from textwrap.wrap(meaning, width, initial_indent=" " * INDENT, subsequent_indent=" " * INDENT)
        yield ""
