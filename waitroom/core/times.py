"""Points in time as operators write them: `2026-12-01 10:00 Europe/Berlin`, `2026-12-01T10:00+01:00`, `15m`.

A time carries a zone, or it is refused: nobody should have to guess whose ten o'clock a sale opens at. So is a local
time that daylight saving leaves out, or that comes twice. The zones' rules are the system's (or tzdata's), by zoneinfo.
"""

import difflib
import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from waitroom.core.parse import duration_text, parse_duration_ms

WRITTEN_LIKE = "write it like 2026-12-01 10:00 Europe/Berlin or 2026-12-01T10:00+01:00"
MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?) ?(.*)")
OFFSET = re.compile(r"Z|[+-]\d\d:?\d\d")
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


class When(NamedTuple):
    """A time (ms since 1970), or a span (ms) before or after another time."""

    ms: int
    is_span: bool = False

    def __str__(self) -> str:
        return duration_text(self.ms) if self.is_span else iso_utc(self.ms)


A_QUARTER = When(15 * 60_000, is_span=True)


def iso_utc(ms: int) -> str:
    """`2026-12-01T09:00:00Z`; with milliseconds where there are any."""
    moment = datetime.fromtimestamp(ms / 1000, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds" if ms % 1000 else "seconds") + "Z"


def iso_seconds(ms: int) -> str:
    """`2026-12-01T09:00:00Z`: the whole second."""
    return iso_utc(ms - ms % 1000)


def iso_ms(ms: int) -> str:
    """`2026-12-01T09:00:00.000Z`: always with milliseconds. So it stands in what a draw hashes."""
    return f"{iso_seconds(ms)[:-1]}.{ms % 1000:03d}Z"


def parse_moment(text: str) -> int | None:
    """Text → a time (ms since 1970); nothing → None. Raises ValueError with what continues a sentence."""
    text = text.strip()
    if not text:
        return None
    found = MOMENT.fullmatch(text)
    if found is None:
        raise ValueError(f"is not a time; {WRITTEN_LIKE}")
    day, clock, zone = found.groups()
    try:
        local = datetime.fromisoformat(f"{day}T{clock}")
    except ValueError:
        raise ValueError("is not a time: there is no such day, or no such hour") from None
    if not zone:
        raise ValueError(f"names no zone; {WRITTEN_LIKE}")
    if OFFSET.fullmatch(zone):
        try:
            moment = datetime.fromisoformat(f"{day}T{clock}{zone}")
        except ValueError:
            raise ValueError(f"has an offset that no zone has; {WRITTEN_LIKE}") from None
    else:
        moment = in_zone(local, zone.removeprefix("[").removesuffix("]"))
    if not EARLIEST <= moment < LATEST:
        raise ValueError("is not a time between 2000 and 2200")
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))


def in_zone(local: datetime, name: str) -> datetime:
    """A wall clock's time. Raises ValueError where that clock never shows it, or shows it twice."""
    if name not in available_timezones():
        near = difflib.get_close_matches(name, available_timezones(), n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; {WRITTEN_LIKE}"
        raise ValueError(f"names a zone that nobody knows ({name[:40]}){hint}")
    zone = ZoneInfo(name)
    first, second = local.replace(tzinfo=zone, fold=0), local.replace(tzinfo=zone, fold=1)
    if first.utcoffset() == second.utcoffset():
        return first
    # A time in a gap is read by the offset before it or after it (PEP 495), and comes back as another one.
    back = first.astimezone(UTC).astimezone(zone)
    if back.replace(tzinfo=None, fold=0) != local:
        raise ValueError(
            f"is a time that {name} leaves out, where clocks are put forward; it would be {back:%H:%M} there"
        )
    raise ValueError(
        f"comes twice in {name}, where clocks are put back; say which: "
        f"{first.isoformat(timespec='minutes')} or {second.isoformat(timespec='minutes')}"
    )


def parse_lobby(text: str) -> When:
    """Like `parse_when`; a quarter of an hour if nothing is said."""
    return parse_when(text) or A_QUARTER


def parse_when(text: str) -> When | None:
    """A time, or a duration (`15m`); nothing → None."""
    text = text.strip()
    if not text:
        return None
    try:
        span = parse_duration_ms(text)
    except ValueError:
        moment = parse_moment(text)
        assert moment is not None  # the text is not empty
        return When(moment)
    return When(span, is_span=True)
