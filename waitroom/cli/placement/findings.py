"""What `waitroom check --deep` finds: a sentence with what mends it, and how bad it is."""

from typing import Literal, NamedTuple

Severity = Literal["fault", "warning"]


class Finding(NamedTuple):
    """A `fault` keeps shoppers out, lets them past the line or loses something; a `warning` may be meant so. `about` is
    where it was seen: settings, machine, redis, shop or outside.
    """

    severity: Severity
    about: str
    sentence: str


def fault(about: str, sentence: str) -> Finding:
    return Finding("fault", about, sentence)


def warning(about: str, sentence: str) -> Finding:
    return Finding("warning", about, sentence)
