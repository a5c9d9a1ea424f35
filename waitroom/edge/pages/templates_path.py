"""Where the page templates are: inside the package in a wheel, beside it in a checkout. Needs nothing installed."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2]


def templates_dir() -> Path:
    """The folder that holds the page templates.

    A wheel carries them as `waitroom/_templates`; in a checkout, also one installed
    with `pip install -e`, they stand beside the package.
    """
    packed = PACKAGE / "_templates"
    return packed if packed.is_dir() else PACKAGE.parent / "templates"
