"""What `waitroom set`, `hold` and `resume` make of their words, and what they say it will do."""

from dataclasses import replace

import pytest

from waitroom.core.changes import (
    MESSAGE_LENGTH,
    RESUME,
    Misused,
    Situation,
    after_words,
    effects,
    hold,
    read_words,
)
from waitroom.core.meter import Limits
from waitroom.core.sentences import duration

ROOM = Situation(Limits(rate_per_s=1.0, burst=1.0), message="", waiting=1200, inside=87)


def said(*words: str, before: Situation = ROOM) -> str:
    return " ".join(effects(before, after_words(before, read_words(words))))


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["rate=10/m"], "rate=10/m is not a rate; write it like"),
        (["rate=10 /s"], "rate=10 /s is not a rate; write it like"),
        (["burst=0"], "burst=0 is less than 1"),
        (["max_active=-1"], "max_active=-1 is less than 0"),
        (["max_active=many"], "max_active=many is not a whole number"),
        (["port=80"], "'port=80' is not a change; write it like rate=20/s"),
        (["maxactive=80"], "is not a change; did you mean max_active?"),
        (["rate"], "'rate' is not a change; write"),
        (["rate=1/s", "rate=2/s"], "rate is given twice"),
        (["message=a\nb"], "line break"),
        (["message=" + "x" * (MESSAGE_LENGTH + 1)], f"{MESSAGE_LENGTH} is the most"),
    ],
)
def test_words_that_make_no_sense_are_refused(words: list[str], fault: str) -> None:
    with pytest.raises(Misused) as caught:
        read_words(words)

    assert fault in str(caught.value)


def test_all_faults_are_said_at_once() -> None:
    with pytest.raises(Misused) as caught:
        read_words(["rate=fast", "burst=0", "message=\t"])

    assert len(str(caught.value).splitlines()) == 3


def test_a_message_may_hold_equal_signs_and_be_as_long_as_the_limit() -> None:
    assert read_words(["message=a=b"]) == {"message": "a=b"}
    assert read_words(["message=" + "x" * MESSAGE_LENGTH])


def test_a_new_rate_takes_the_burst_along_where_it_was_one_second_of_the_old_one() -> None:
    assert after_words(ROOM, {"rate": "20/s"}).limits == Limits(rate_per_s=20.0, burst=20.0)

    chosen = replace(ROOM, limits=replace(ROOM.limits, burst=5.0))
    assert after_words(chosen, {"rate": "20/s"}).limits == Limits(rate_per_s=20.0, burst=5.0)
    assert after_words(chosen, {"rate": "20/s", "burst": ""}).limits.burst == 20.0


def test_a_new_rate_says_how_long_the_line_will_take() -> None:
    text = said("rate=20/s")

    assert "Admissions go from 1/s to 20/s, up to 20 at once." in text
    assert "With 1,200 people in line, the last comes in after about 60 s instead of 20 min" in text


def test_a_hold_keeps_the_rate_and_a_new_rate_keeps_the_hold() -> None:
    held = after_words(ROOM, {"rate": "0", "message": "Back soon"})

    assert held.limits == replace(ROOM.limits, hold=True)
    assert after_words(held, {"rate": "20/s"}).limits.hold
    assert "stays so until `waitroom resume`" in said("rate=20/s", before=held)


def test_a_hold_says_who_it_touches_and_what_the_page_shows() -> None:
    text = said("rate=0", "message=Back soon")

    assert "Places in line are kept (1,200 people). Whoever is inside goes on shopping (87 people)." in text
    assert "The page will say: Back soon" in text


def test_a_hold_wants_a_reason() -> None:
    with pytest.raises(Misused, match="Say why"):
        hold(" ")


def test_the_end_of_a_hold_says_at_what_rate_the_line_goes_on() -> None:
    held = hold("Back soon").applied_to(ROOM)

    assert effects(held, RESUME.applied_to(held)) == [
        "The line goes on at 1/s, with 1,200 people in it.",
        "The message goes from the page.",
    ]


def test_no_limit_lets_the_line_in_and_a_limit_after_none_says_how_many_hold_a_pass() -> None:
    free = after_words(ROOM, {"rate": "unlimited"})

    assert "The line is let in as fast as people come: 1,200 people." in said("rate=unlimited")
    assert "Whoever holds a pass stays inside (87 people)" in said("rate=10/s", before=free)


def test_a_cap_below_who_is_inside_sends_nobody_out() -> None:
    """P9"""
    assert "87 are. Nobody is sent out, and nobody comes in until 38 have left." in said("max_active=50")
    assert "87 are, so 13 seats are free." in said("max_active=100")
    capped = replace(ROOM, limits=replace(ROOM.limits, max_active=50))
    assert "The cap of 50 shoppers inside is lifted." in said("max_active=0", before=capped)


def test_what_is_so_already_says_nothing() -> None:
    assert said("rate=60/min", "max_active=0", "message=") == ""


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (89, "89 s"), (600, "10 min"), (7200, "2.0 h")])
def test_spans_are_rounded_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
