"""What an invite says, and how a room's limits are split between its two lines (P1, P5)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitroom.core.invites import (
    ID,
    Invite,
    InviteTokens,
    Split,
    fields_of,
    invited_part,
    is_too_small,
    limits_of_invited,
    read_split,
    whole_of,
)
from waitroom.core.meter import Limits, Meter, grant
from waitroom.core.model import read_limits, write_limits
from waitroom.core.settings import Settings

KEYS = ["a" * 32, "b" * 32]
INVITE = Invite("k3vw9q", 17, 2, True, 1_800_000_000_000)
PARTS = st.floats(0.01, 0.9)
LIMITS = st.builds(
    Limits,
    rate_per_s=st.floats(0.01, 1000),
    burst=st.floats(2, 500),
    max_active=st.integers(0, 1000),
    unlimited=st.booleans(),
    hold=st.booleans(),
)


def test_a_link_reads_back_as_it_was_signed_and_in_no_other_way() -> None:
    tokens = InviteTokens("shop", KEYS)
    token = tokens.sign(INVITE)

    assert tokens.read(token) == INVITE
    assert InviteTokens("shop", KEYS[::-1]).read(token) == INVITE
    assert InviteTokens("drop", KEYS).read(token) is None
    assert InviteTokens("shop", ["c" * 32]).read(token) is None
    assert ID.fullmatch(INVITE.id) is not None
    for at, letter in enumerate(token):
        assert tokens.read(token[:at] + ("x" if letter != "x" else "y") + token[at + 1 :]) is None


@given(LIMITS, PARTS)
def test_the_two_lines_together_have_what_the_room_has(whole: Limits, part: float) -> None:
    split = Split(part, whole)

    first, invited = split.first, split.invited
    assert first.rate_per_s + invited.rate_per_s == pytest.approx(whole.rate_per_s)
    assert first.burst + invited.burst == pytest.approx(whole.burst)
    assert min(first.burst, invited.burst) >= 1 - 1e-9
    for line in (first, invited):
        assert (line.hold, line.unlimited, line.max_active) == (whole.hold, whole.unlimited, whole.max_active)


@given(LIMITS, PARTS)
def test_a_room_reads_back_what_it_was_split_from(whole: Limits, part: float) -> None:
    fields = fields_of(whole, part)
    first = read_limits(fields)

    assert read_split(fields, first) == Split(part, whole)
    assert whole_of(fields, first) == whole
    assert limits_of_invited(fields, first, None) == Split(part, whole).invited


@given(
    PARTS,
    st.integers(2, 40),
    st.floats(0.2, 50),
    st.lists(st.tuples(st.booleans(), st.floats(0, 0.6)), min_size=1, max_size=60),
)
def test_in_no_span_do_both_meters_grant_more_than_the_room_may(
    part: float, burst: int, rate: float, asks: list[tuple[bool, float]]
) -> None:
    """P1, whichever line the people are in."""
    split = Split(part, Limits(rate, float(burst)))
    meters = {True: Meter(), False: Meter()}
    admitted: list[float] = []
    now_us = 0.0
    for is_invited, pause_s in asks:
        now_us += pause_s * 1e6
        admit_us, meters[is_invited] = grant(meters[is_invited], split.invited if is_invited else split.first, now_us)
        if admit_us is not None:
            admitted.append(admit_us / 1e6)

    admitted.sort()
    for start, begin in enumerate(admitted):
        for end in range(start, len(admitted)):
            assert end - start + 1 <= burst + rate * (admitted[end] - begin) + 1e-6


def test_where_nobody_else_comes_in_the_invited_have_everything() -> None:
    whole = Limits(5.0, 1.0, 10)
    fields = fields_of(whole, 1.0)

    assert read_limits(fields) == replace(whole, hold=True)
    assert limits_of_invited(fields, read_limits(fields), None) == whole
    assert whole_of(fields, read_limits(fields)) == whole


def test_a_room_without_invites_is_written_as_ever_and_holds_a_line_left_over() -> None:
    limits = Limits(5.0, 3.0)

    assert fields_of(limits, 0) == write_limits(limits)
    assert limits_of_invited(write_limits(limits), limits, None).hold
    assert limits_of_invited(fields_of(limits, 0.5), limits, "sold_out").hold
    assert not limits_of_invited(fields_of(limits, 0.5), limits, "draining").hold


def test_a_burst_that_cannot_be_split_is_too_small() -> None:
    assert is_too_small(Limits(1, 1.9), 0.5)
    assert not is_too_small(Limits(1, 2), 0.5)
    assert not is_too_small(Limits(1, 1), 1.0)
    assert not is_too_small(Limits(1, 1), 0)


def test_a_room_with_invites_has_a_burst_of_two_where_nothing_is_said() -> None:
    def read(**given: object) -> Settings:
        return Settings.model_validate({"origin": "http://shop", **given})

    assert (read().burst_now, read(invite_share="20%").burst_now, read(invite_only="1").burst_now) == (1, 2, 1)
    assert (invited_part(read(invite_share="20%")), invited_part(read(invite_share="0.2", invite_only="1"))) == (0.2, 1)
    with pytest.raises(ValueError, match="WAITROOM_BURST"):
        read(invite_share="20%", burst="1")
    for share in ("95%", "-1", "half", "1.5"):
        with pytest.raises(ValueError, match=r"share|between"):
            read(invite_share=share)
