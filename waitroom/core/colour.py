"""Colours of a brand that can be read: contrast by WCAG 2.2, lightness changed until there is enough of it.

A colour is (red, green, blue), each 0 … 255.
"""

import colorsys
import re
from collections.abc import Sequence
from typing import NamedTuple

Colour = tuple[int, int, int]

HEX = re.compile(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
ENOUGH = 4.5
"""WCAG 2.2, 1.4.3, level AA, for text of any size."""
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
LIGHT_PAGE, LIGHT_CARD = (0xF3, 0xF4, 0xF1), WHITE
DARK_PAGE, DARK_CARD = (0x0E, 0x12, 0x13), (0x18, 0x1E, 0x1F)
GLOW = 0.12
"""How much of the accent is in the page's brightest corner."""


class Palette(NamedTuple):
    """What one accent becomes on light or on dark: text and signs, what is written on it, the page's corner."""

    accent: Colour
    on_accent: Colour
    glow: Colour


def parse_colour(text: str) -> Colour | None:
    """`#0b6e63` or `#abc`, also without the sign; None for unset."""
    text = text.strip()
    if not text:
        return None
    found = HEX.fullmatch(text)
    if found is None:
        raise ValueError("is not a colour; write it like #0b6e63")
    digits = found[1] if len(found[1]) == 6 else "".join(digit * 2 for digit in found[1])
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def text_of(colour: Colour) -> str:
    """`#0b6e63`."""
    return "#" + bytes(colour).hex()


def luminance(colour: Colour) -> float:
    """Relative luminance, 0 … 1 (WCAG 2.2)."""
    parts = (part / 255 for part in colour)
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Colour, other: Colour) -> float:
    """1 … 21 (WCAG 2.2)."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """`one` with a share of `other`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def readable(colour: Colour, backgrounds: Sequence[Colour], *, towards: Colour) -> Colour:
    """The colour with as little of its lightness changed, towards black or white, as makes it read on all
    backgrounds. Hue and saturation stay. `towards` itself must read on them.
    """
    hue, lightness, saturation = colorsys.rgb_to_hls(*(part / 255 for part in colour))
    end = 1.0 if towards == WHITE else 0.0
    for step in range(101):
        parts = colorsys.hls_to_rgb(hue, lightness + (end - lightness) * step / 100, saturation)
        red, green, blue = (round(part * 255) for part in parts)
        if all(contrast((red, green, blue), background) >= ENOUGH for background in backgrounds):
            return red, green, blue
    return towards


def light_palette(accent: Colour) -> Palette:
    glow = mix(LIGHT_PAGE, accent, GLOW)
    read = readable(accent, (LIGHT_PAGE, LIGHT_CARD, glow), towards=BLACK)
    return Palette(read, WHITE, glow)


def dark_palette(accent: Colour) -> Palette:
    glow = mix(DARK_PAGE, accent, GLOW)
    read = readable(accent, (DARK_PAGE, DARK_CARD, glow), towards=WHITE)
    return Palette(read, readable(mix(BLACK, accent, 0.2), (read,), towards=BLACK), glow)
