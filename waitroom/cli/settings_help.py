"""Every setting, for a terminal."""

import shutil
import textwrap
from collections.abc import Iterator

from waitroom.config import variables


def settings_lines() -> Iterator[str]:
    width = min(100, shutil.get_terminal_size().columns - 2)
    yield "Settings, in the environment:"
    for variable in variables():
        default = "required" if variable.required else f"default {variable.default}" if variable.default else ""
        yield f"\n  {variable.name}  {default}".rstrip()
        yield from textwrap.wrap(
            variable.help.replace("`", ""), width, initial_indent="      ", subsequent_indent="      "
        )
