"""An accent of any colour can be read on the page, in light and in dark."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitroom.core.colour import (
    DARK_CARD,
    DARK_PAGE,
    ENOUGH,
    LIGHT_CARD,
    LIGHT_PAGE,
    contrast,
    dark_palette,
    light_palette,
    parse_colour,
    text_of,
)

COLOURS = st.tuples(*[st.integers(0, 255)] * 3)


@given(COLOURS)
def test_any_accent_is_read_on_every_background_and_what_stands_on_it_as_well(accent: tuple[int, int, int]) -> None:
    for palette, page, card in (
        (light_palette(accent), LIGHT_PAGE, LIGHT_CARD),
        (dark_palette(accent), DARK_PAGE, DARK_CARD),
    ):
        assert min(contrast(palette.accent, each) for each in (page, card, palette.glow)) >= ENOUGH
        assert contrast(palette.accent, palette.on_accent) >= ENOUGH


def test_an_accent_that_reads_stays_as_it_is() -> None:
    assert text_of(light_palette((0x0B, 0x6E, 0x63)).accent) == "#0b6e63"
    assert text_of(dark_palette((0x5F, 0xD0, 0xBD)).accent) == "#5fd0bd"


def test_a_yellow_becomes_darker_on_light_and_stays_on_dark() -> None:
    yellow = (0xFF, 0xD4, 0x00)

    assert contrast(light_palette(yellow).accent, LIGHT_CARD) < 6
    assert dark_palette(yellow).accent == yellow


def test_black_on_white_is_the_most_there_is() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((0x76, 0x76, 0x76), (255, 255, 255)) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize(
    ("text", "colour"), [("#0b6e63", (11, 110, 99)), ("0B6E63", (11, 110, 99)), (" #fa0 ", (255, 170, 0)), ("", None)]
)
def test_a_colour_is_written_in_hexadecimal(text: str, colour: object) -> None:
    assert parse_colour(text) == colour


@pytest.mark.parametrize("text", ["teal", "#12345", "#1234567", "rgb(1,2,3)", "#ggg"])
def test_other_ways_to_write_a_colour_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write it like #0b6e63"):
        parse_colour(text)
