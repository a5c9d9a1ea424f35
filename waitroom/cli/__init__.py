"""The commands; the only place that prints.

Each command imports what it needs when it runs, so that `waitroom --help` is there at once.
"""

from waitroom.cli import gateway_commands, room_commands, sale_commands  # in this order they stand in the help
from waitroom.cli.application import app

__all__ = ["app", "gateway_commands", "room_commands", "sale_commands"]
