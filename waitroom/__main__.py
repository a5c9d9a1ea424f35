"""`python -m waitroom`, and the `waitroom` command."""

from waitroom.cli import app
from waitroom.cli.console import stand_in_for_signs


def main() -> None:
    stand_in_for_signs()
    app(prog_name="waitroom")


if __name__ == "__main__":
    main()
