"""Say durations, waits, rates, numbers and times in a language, and hold the sentences of the page's script.

The script says the same figures by `Intl` and rounds alike; a browser test compares the two in every language.
"""

import math
from datetime import UTC, datetime
from typing import Final

from babel import Locale
from babel.dates import DateTimePattern, format_date, parse_pattern

from waitroom.edge.pages.languages import Language

UNKNOWN: Final = "–"
"""An en dash, as the page shows for a missing figure."""
MOST_MINUTES: Final = 90
"""A longer wait is said in hours."""
DAY_S: Final = 86_400
UNGROUPED_BELOW: Final = {"es": 10_000, "it": 10_000, "pl": 10_000}
"""Where four digits stand together: CLDR's `minimumGroupingDigits`, which Babel does not read."""


class Words:
    """One language's way of saying figures."""

    def __init__(self, language: Language) -> None:
        self.language = language
        _, ngettext = language.say, language.forms
        symbols = language.locale.number_symbols[language.locale.default_numbering_system]
        self._group, self._decimal = str(symbols["group"]), str(symbols["decimal"])
        self._ungrouped_below = UNGROUPED_BELOW.get(language.locale.language, 1000)
        self._clock, self._minute = (time_pattern(language.locale, style) for style in ("medium", "short"))
        self._script = script_words(language)
        self._durations = {
            DAY_S: ngettext("{n} day", "{n} days"),
            3600: ngettext("{n} hour", "{n} hours"),
            60: ngettext("{n} minute", "{n} minutes"),
            1: ngettext("{n} second", "{n} seconds"),
        }

    @property
    def script(self) -> dict[str, str | dict[str, str]]:
        return self._script

    def number(self, value: float | None) -> str:
        """As `Intl.NumberFormat` writes it, with at most one decimal."""
        if value is None:
            return UNKNOWN
        if isinstance(value, int):
            if value < self._ungrouped_below:
                return str(value)
            text = f"{value:,}"
            return text if self._group == "," else text.replace(",", self._group)
        if value.is_integer():
            return self.number(int(value))
        return f"{value:,.1f}".translate({0x2C: self._group, 0x2E: self._decimal})

    def wait(self, low_s: float | None, high_s: float | None) -> str:
        """A wait as a range: the low end rounded down, the high end up, in steps a person would use."""
        if high_s is None:
            return self._say("wait_unknown")
        low, high = wait_steps(low_s or 0, high_s)
        if high == 0:
            return self._say("wait_moment")
        hours = high > MOST_MINUTES
        unit = 60 if hours else 1
        low, high = low / unit, high / unit
        if high == 1 and not hours:
            return self._say("wait_minute")
        form = "_up_to" if low == 0 else "_about" if low == high else ""
        return self._say(("wait_hours" if hours else "wait_minutes") + form, high).format(
            low=self.number(low), high=self.number(high)
        )

    def rate(self, rate_per_min: float) -> str:
        if rate_per_min < 1:
            return self._say("rate_hour").format(n=self.number(max(1, _round(rate_per_min * 60))))
        exact = _round(rate_per_min * 10) / 10 if rate_per_min < 10 else _round(rate_per_min)
        return self._say("rate_minute").format(n=self.number(exact))

    def duration(self, duration_ms: int) -> str:
        """`600_000` → `10 minutes`: the largest unit that divides it."""
        seconds = max(1, duration_ms // 1000)
        for size, forms in self._durations.items():
            if seconds % size == 0:
                count = seconds // size
                return self.language.pick(forms, count).format(n=self.number(count))
        raise AssertionError("every whole number is a multiple of one second")

    def days(self, duration_ms: int) -> str:
        """The same, in days where it has any: `30 days`."""
        days = duration_ms // 1000 // DAY_S
        return self.duration(days * DAY_S * 1000 if days else duration_ms)

    def clock(self, time_s: int) -> str:
        """The time of day in UTC, and that it is."""
        return f"{self._clock.apply(datetime.fromtimestamp(time_s, UTC), self.language.locale)} UTC"

    def moment(self, time_s: float) -> str:
        """A day and the time of it, in UTC, and that it is."""
        moment = datetime.fromtimestamp(time_s, UTC)
        locale = self.language.locale
        return f"{format_date(moment, 'full', locale=locale)}, {self._minute.apply(moment, locale)} UTC"

    def date_and_time(self, time_s: int) -> str:
        """A date with its year and the time of day, in UTC, and that it is."""
        moment, locale = datetime.fromtimestamp(time_s, UTC), self.language.locale
        return f"{format_date(moment, 'medium', locale=locale)}, {self._minute.apply(moment, locale)} UTC"

    def stock(self, count: int) -> str:
        return self._say("stock").format(n=self.number(count))

    @property
    def scarce(self) -> str:
        """Said to whoever has more people ahead than is left."""
        return self._say("scarce")

    def _say(self, key: str, number: float = 0) -> str:
        said = self._script[key]
        return said if isinstance(said, str) else self.language.pick(said, number)


def time_pattern(locale: Locale, style: str) -> DateTimePattern:
    """How a time of day is written. In Korean with the long names of the half-days: the short ones are English."""
    pattern = locale.time_formats[style].pattern
    return parse_pattern(pattern.replace("a", "aaaa") if locale.language == "ko" else pattern)


def script_words(language: Language) -> dict[str, str | dict[str, str]]:
    """What the page's script says. What depends on a number is a sentence for each category of CLDR's."""
    _, ngettext = language.say, language.forms
    digits = language.locale.default_numbering_system
    return {
        "locale": f"{language.tag}-u-nu-{digits}",
        "wait_unknown": _("not known yet"),
        "wait_moment": _("less than a minute"),
        "wait_minute": _("about a minute"),
        "wait_minutes_up_to": ngettext("up to {high} minute", "up to {high} minutes"),
        "wait_minutes_about": ngettext("about {high} minute", "about {high} minutes"),
        "wait_minutes": ngettext("{low} to {high} minute", "{low} to {high} minutes"),
        "wait_hours_up_to": ngettext("up to {high} hour", "up to {high} hours"),
        "wait_hours_about": ngettext("about {high} hour", "about {high} hours"),
        "wait_hours": ngettext("{low} to {high} hour", "{low} to {high} hours"),
        "rate_minute": _("{n} a minute"),
        "rate_hour": _("{n} an hour"),
        "change_faster": _("The shop now lets people in faster. Your estimated wait has changed."),
        "change_slower": _("The shop now lets people in more slowly. Your estimated wait has changed."),
        "change_resumed": _("The line was paused and goes on now. Your estimated wait has changed."),
        "title_waiting": _("{position} in line · {shop}"),
        "title_drawn": _("{position} in line · {shop}"),
        "title_held": _("Paused at {position} · {shop}"),
        "spoken_waiting": _("You are number {position} in line. Estimated wait: {wait}."),
        "stock": _("about {n}"),
        "scarce": _("More people are ahead of you than there are left: it may be sold out before your turn."),
        "kept": _("Your turn is kept until {time}."),
        "lost_offline": _(
            "You are offline. These are the last figures, from {time}. "
            "Your place is kept, and this page goes on by itself."
        ),
        "lost_away": _(
            "The line does not answer just now. These are the last figures, from {time}. "
            "Your place is kept; this page keeps trying."
        ),
    }


def wait_steps(low_s: float, high_s: float) -> tuple[float, float]:
    """Whole minutes, the low end rounded down and the high end up, in steps a person would use; 0 and 0 for less than
    one. The words of a wait depend on nothing else.
    """
    if high_s < 60:
        return 0, 0
    minutes = high_s / 60
    step = 30 if minutes > MOST_MINUTES else 5 if minutes > 20 else 1
    return math.floor(low_s / 60 / step) * step, math.ceil(minutes / step) * step


def _round(value: float) -> int:
    """Halves go up, as in JavaScript."""
    return math.floor(value + 0.5)
