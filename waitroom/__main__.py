"""`python -m waitroom`, and the `waitroom` command."""

import sys


def main() -> None:
    try:
        from waitroom.cli import app
        from waitroom.cli.console import stand_in_for_signs

        stand_in_for_signs()
        app(prog_name="waitroom")
    except KeyboardInterrupt:
        sys.exit(130)  # as where a command is interrupted; a half-done import is no matter for a traceback


if __name__ == "__main__":
    main()
