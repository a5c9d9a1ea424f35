"""The operator's look of the pages: an accent colour, a logo, links; and whether all of it fits.

A logo is inlined, because a page has one round trip to arrive in, and nothing from outside is loaded by it.
"""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from waitroom.core.colour import Palette, dark_palette, light_palette, text_of
from waitroom.core.errors import ConfigError
from waitroom.core.links import Link
from waitroom.core.settings import Settings

OUR_ACCENT = "#0b6e63"
LARGEST_LOGO_BYTES = 65_536
"""Read no more than that; what fits into the page is far less."""
KINDS = {b"\x89PNG\r\n\x1a\n": "image/png", b"RIFF": "image/webp"}


class Brand(NamedTuple):
    """What the templates are given of it. `style` comes after ours; `logo` is a data: address, or empty."""

    style: str
    accent: str
    logo: str
    links: tuple[Link, ...]


def brand_of(settings: Settings) -> Brand:
    """Raises ConfigError for a logo that cannot be read."""
    accent = settings.accent
    style = "".join(style_of(light_palette(accent), dark_palette(accent))) if accent else ""
    return Brand(
        style=style,
        accent=text_of(light_palette(accent).accent) if accent else OUR_ACCENT,
        logo=logo_address(settings.logo) if settings.logo else "",
        links=settings.links,
    )


def style_of(light: Palette, dark: Palette) -> Iterator[str]:
    for before, palette, after in ("", light, ""), ("@media (prefers-color-scheme:dark){", dark, "}"):
        names = zip(("accent", "on-accent", "glow"), palette, strict=True)
        yield before + ":root{" + ";".join(f"--{name}:{text_of(colour)}" for name, colour in names) + "}" + after


def logo_address(path: Path) -> str:
    """The picture as a data: address; what it is, is told by its first bytes."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_LOGO_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"WAITROOM_LOGO={path} cannot be read: {error.strerror}"]) from error
    if len(content) > LARGEST_LOGO_BYTES:
        raise ConfigError([f"WAITROOM_LOGO={path} is larger than {LARGEST_LOGO_BYTES // 1024} KiB"])
    for magic, kind in KINDS.items():
        if content.startswith(magic):
            return f"data:{kind};base64,{base64.b64encode(content).decode()}"
    text = content.decode("utf-8", "replace")
    if "<svg" not in text:
        raise ConfigError([f"WAITROOM_LOGO={path} is no SVG, PNG or WebP"])
    text = re.sub(r"<!--.*?-->|<\?.*?\?>|<!DOCTYPE[^>]*>", "", text, flags=re.DOTALL)
    text = re.sub(r"\s+", " ", text).strip().replace('"', "'")
    return "data:image/svg+xml," + quote(text, safe=" '=:/,;().-+*!$[]{}|?@~&")
