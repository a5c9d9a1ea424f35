"""Times as operators write them: a zone is never guessed, and daylight saving never slips by."""

import re
from datetime import UTC, datetime

import pytest

from waitroom.core.times import When, iso_utc, parse_lobby, parse_moment, parse_when

TEN_UTC_MS = int(datetime(2026, 12, 1, 10, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    "text",
    [
        "2026-12-01T10:00Z",
        "2026-12-01T10:00:00.000Z",
        "2026-12-01 11:00 Europe/Berlin",
        "2026-12-01T11:00[Europe/Berlin]",
        "2026-12-01 11:00:00 +01:00",
        "2026-12-01T11:00+0100",
        "2026-12-01T02:00:00-08:00",
        " 2026-12-01 10:00 UTC ",
        "2026-12-01 19:00 Asia/Tokyo",
    ],
)
def test_one_instant_may_be_written_in_many_ways(text: str) -> None:
    assert parse_moment(text) == TEN_UTC_MS


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("2026-12-01 10:00", "names no zone"),
        ("2026-12-01", "is not a time"),
        ("tomorrow", "is not a time"),
        ("10:00 Europe/Berlin", "is not a time"),
        ("2026-02-30 10:00 UTC", "no such day"),
        ("2026-12-01 24:30 UTC", "no such hour"),
        ("2026-12-01T10:00+25:00", "an offset that no zone has"),
        ("2026-12-01 10:00 Europe/Berln", "did you mean Europe/Berlin?"),
        ("2026-12-01 10:00 ../../etc/passwd", "a zone that nobody knows"),
        ("1999-12-31T23:59Z", "between 2000 and 2200"),
        ("2200-01-01T00:00Z", "between 2000 and 2200"),
        ("2026-03-29 02:30 Europe/Berlin", "leaves out, where clocks are put forward; it would be 03:30"),
        ("2026-10-25 02:30 Europe/Berlin", "2026-10-25T02:30+02:00 or 2026-10-25T02:30+01:00"),
        ("2026-11-01 01:00 America/New_York", "comes twice in America/New_York"),
    ],
)
def test_a_time_that_is_not_one_instant_is_refused_with_a_sentence(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_moment(text)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-03-29 01:59 Europe/Berlin", "2026-03-29T00:59:00Z"),
        ("2026-03-29 03:00 Europe/Berlin", "2026-03-29T01:00:00Z"),
        ("2026-10-25 01:59:59 Europe/Berlin", "2026-10-24T23:59:59Z"),
        ("2026-10-25 03:00 Europe/Berlin", "2026-10-25T02:00:00Z"),
        ("2026-10-25T02:30+02:00", "2026-10-25T00:30:00Z"),
        ("2026-10-25T02:30+01:00", "2026-10-25T01:30:00Z"),
    ],
)
def test_around_a_change_of_clocks_times_are_what_people_there_mean(text: str, utc: str) -> None:
    moment = parse_moment(text)

    assert isinstance(moment, int)
    assert iso_utc(moment) == utc


def test_a_time_or_a_span_can_be_told_apart() -> None:
    assert parse_when("30m") == When(1_800_000, is_span=True)
    assert parse_when("0") == When(0, is_span=True)
    assert parse_when("2026-12-01T10:00Z") == When(TEN_UTC_MS)
    assert parse_when("") is None
    assert parse_lobby("") == When(900_000, is_span=True)
    assert parse_moment("") is None
    assert [str(When(90_000, is_span=True)), str(When(TEN_UTC_MS + 1))] == ["1m30s", "2026-12-01T10:00:00.001Z"]
