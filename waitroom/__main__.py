"""`python -m waitroom`, and the `waitroom` command."""

from waitroom.cli import app


def main() -> None:
    app(prog_name="waitroom")


if __name__ == "__main__":
    main()
