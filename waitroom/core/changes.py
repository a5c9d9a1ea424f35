"""Live changes: from the words of `waitroom set`, or the fields of `POST /api/set`, to limits and a message, and to
what they will do, in sentences. What concerns a sale is in `core.sale.changes`.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydantic import ValidationError

from waitroom.core.meter import Limits
from waitroom.core.parse import Rate
from waitroom.core.sale import changes as sale_changes
from waitroom.core.sentences import duration, people
from waitroom.core.settings import Settings

LIMITS = ("rate", "burst", "max_active")
NAMES = (*LIMITS, "message", *sale_changes.NAMES)
MESSAGE_LENGTH = 300


class Misused(ValueError):
    """What was asked for makes no sense; the text says why, a line a fault."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What a change starts from: limits and message in force, present visitors in line, seats taken."""

    limits: Limits
    message: str
    waiting: int
    inside: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an operator asks for: fields as text, checked; the end of a hold; other limits as a whole."""

    given: Mapping[str, str] = field(default_factory=dict)
    is_resume: bool = False
    limits: Limits | None = None

    def applied_to(self, before: Situation) -> Situation:
        after = after_words(before, self.given)
        if self.limits is not None:
            after = replace(after, limits=self.limits)
        return replace(after, limits=replace(after.limits, hold=False)) if self.is_resume else after


def hold(reason: str) -> Wanted:
    """Let nobody in, and say why. Raises Misused without a reason."""
    if not reason.strip():
        raise Misused("Say why: those who wait read it on the page.")
    return Wanted(checked({"rate": "0", "message": reason}))


SOLD_OUT, NOT_SOLD_OUT = Wanted({"sold_out": "1"}), Wanted({"sold_out": "0"})
RESUME = Wanted({"message": ""}, is_resume=True)


def read_words(words: Sequence[str]) -> dict[str, str]:
    """`["rate=20/s", "message=back soon"]` → fields, checked."""
    given: dict[str, str] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or name not in NAMES:
            near = [] if name in NAMES else difflib.get_close_matches(name, NAMES, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            example = "write it like rate=20/s, or in quotes where it has spaces, message='Back soon'"
            raise Misused(f"{word!r} is not a change{meant}; {example}; there are {', '.join(NAMES)}")
        if name in given:
            raise Misused(f"{name} is given twice")
        given[name] = text
    return checked(given)


def checked(given: Mapping[str, str]) -> dict[str, str]:
    """The same fields, judged by the parsers of the settings. Raises Misused with all faults."""
    faults = []
    try:
        settings_of(**{name: text for name, text in given.items() if name in LIMITS})
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            name = str(fault["loc"][0])
            faults.append(f"{name}={given[name]} {fault['msg'].removeprefix('Value error, ')}")
    for name in [name for name in given if name in sale_changes.NAMES]:
        try:
            sale_changes.read(name, given[name])
        except ValueError as error:
            faults.append(f"{name}={given[name]} {error}")
    faults += message_faults(given.get("message", ""))
    if faults:
        raise Misused("\n".join(faults))
    return dict(given)


def message_faults(text: str) -> Iterator[str]:
    if len(text) > MESSAGE_LENGTH:
        yield f"the message has {len(text)} characters; {MESSAGE_LENGTH} is the most"
    if not all(letter.isprintable() for letter in text):
        yield "the message holds a line break or another control character"


def after_words(before: Situation, given: Mapping[str, str]) -> Situation:
    """The room with the words applied.

    A new rate leaves a hold in force: only `resume`, or a settings file, lets people in again. A burst that
    was one second of the rate stays one second of the new one.
    """
    limits = before.limits
    if "rate" in given:
        rate = settings_of(rate=given["rate"]).rate
        if rate.hold:
            limits = replace(limits, hold=True)
        elif rate.unlimited:
            limits = replace(limits, unlimited=True)
        else:
            burst = one_second(rate.per_s) if limits.burst == one_second(limits.rate_per_s) else limits.burst
            limits = replace(limits, rate_per_s=rate.per_s, burst=burst, unlimited=False)
    if "burst" in given:
        burst_given = settings_of(burst=given["burst"]).burst
        limits = replace(limits, burst=one_second(limits.rate_per_s) if burst_given is None else burst_given)
    if "max_active" in given:
        limits = replace(limits, max_active=settings_of(max_active=given["max_active"]).max_active)
    return replace(before, limits=limits, message=given.get("message", before.message))


def settings_of(**given: str) -> Settings:
    """The settings with these fields; the shop, which none of them concerns, is made up."""
    return Settings.model_validate({"origin": "https://127.0.0.1", **given})


def one_second(per_s: float) -> float:
    return max(1.0, per_s)


def effects(before: Situation, after: Situation) -> list[str]:
    """What the change will do, to whom; a sentence each. Empty if it changes nothing."""
    said = [*hold_effects(before, after), *rate_effects(before, after), *cap_effects(before, after)]
    if after.message != before.message:
        said.append(f"The page will say: {after.message}" if after.message else "The message goes from the page.")
    return said


def hold_effects(before: Situation, after: Situation) -> Iterator[str]:
    if after.limits.hold and not before.limits.hold:
        yield f"Nobody new is let in until `waitroom resume`. Places in line are kept ({people(before.waiting)})."
        yield f"Whoever is inside goes on shopping ({people(before.inside)})."
    elif before.limits.hold and not after.limits.hold:
        yield f"The line goes on at {rate_text(after.limits)}, with {people(before.waiting)} in it."
    elif after.limits.hold:
        yield "The line is on hold, and stays so until `waitroom resume`."


def rate_effects(before: Situation, after: Situation) -> Iterator[str]:
    old, new = before.limits, after.limits
    if (rate_text(old), old.burst) == (rate_text(new), new.burst):
        return
    at_once = "" if new.unlimited else f", up to {new.burst:g} at once"
    if rate_text(old) == rate_text(new):
        yield f"Admissions stay at {rate_text(new)}{at_once}, instead of {old.burst:g}."
        return
    yield f"Admissions go from {rate_text(old)} to {rate_text(new)}{at_once}."
    if new.unlimited:
        yield f"The line is let in as fast as people come: {people(before.waiting)}."
    elif before.waiting and not new.hold:
        instead = "" if old.unlimited or old.hold else f" instead of {duration(before.waiting / old.rate_per_s)}"
        after_s = duration(before.waiting / new.rate_per_s)
        yield (
            f"With {people(before.waiting)} in line, the last comes in after about {after_s}{instead}, "
            "if nobody leaves and the room is not full."
        )
    if old.unlimited and not new.unlimited:
        yield f"Whoever holds a pass stays inside ({people(before.inside)}); everybody else is counted from now on."


def cap_effects(before: Situation, after: Situation) -> Iterator[str]:
    old, new = before.limits.max_active, after.limits.max_active
    if old == new:
        return
    if not new:
        yield f"The cap of {old} shoppers inside is lifted."
    elif before.inside < new:
        yield f"At most {new} shoppers inside; {before.inside} are, so {new - before.inside} seats are free."
    else:
        yield (
            f"At most {new} shoppers inside; {before.inside} are. Nobody is sent out, "
            f"and nobody comes in until {before.inside - new + 1} have left."
        )


def rate_text(limits: Limits) -> str:
    return str(Rate(limits.rate_per_s, unlimited=limits.unlimited))
