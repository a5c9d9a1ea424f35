"""Say durations, waits, rates and numbers in words.

The sentences themselves are in `templates/_partials/words.json`, which the page's script reads too;
both round alike, and a browser test compares them.
"""

import math
from collections.abc import Mapping

UNKNOWN = "–"  # noqa: RUF001 - an en dash, as the page shows for a missing figure


def number_in_words(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"


def wait_in_words(words: Mapping[str, str], low_s: float | None, high_s: float | None) -> str:
    """A wait as a range: the low end rounded down, the high end up, in steps a person would use."""
    if high_s is None:
        return words["wait_unknown"]
    if high_s < 60:
        return words["wait_moment"]
    minutes = high_s / 60
    hours = minutes > 90
    step = 30 if hours else 5 if minutes > 20 else 1
    high = math.ceil(minutes / step) * step
    low = math.floor((low_s or 0) / 60 / step) * step
    if high == 1:
        return words["wait_minute"]
    form = "_up_to" if low == 0 else "_about" if low == high else ""
    say = _half_hours if hours else str
    return words[("wait_hours" if hours else "wait_minutes") + form].format(low=say(low), high=say(high))


def rate_in_words(words: Mapping[str, str], rate_per_min: float) -> str:
    if rate_per_min < 1:
        return words["rate_hour"].format(n=f"{max(1, _round(rate_per_min * 60)):,}")
    exact = _round(rate_per_min * 10) / 10 if rate_per_min < 10 else _round(rate_per_min)
    return words["rate_minute"].format(n=f"{exact:,g}" if exact < 10 else f"{exact:,.0f}")


def duration_in_words(duration_ms: int) -> str:
    """`600_000` → `10 minutes`: the largest unit that divides it."""
    seconds = max(1, duration_ms // 1000)
    for unit, size in (("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds % size == 0:
            count = seconds // size
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    raise AssertionError("every whole number is a multiple of one second")


def _half_hours(minutes: int) -> str:
    whole = minutes // 60
    return (f"{whole:,}" if whole else "") + ("½" if minutes % 60 else "")


def _round(value: float) -> int:
    """Halves go up, as in JavaScript."""
    return math.floor(value + 0.5)
