"""Choose a language by `Accept-Language` (RFC 9110 §12.5.4), by lookup (RFC 4647 §3.4).

Which tags stand for the same language, and which script a region writes (`zh-TW` → `zh-Hant`, `no` → `nb`), is
CLDR's knowledge, by way of Babel.
"""

from collections.abc import Iterator, Set
from functools import cache

from babel.core import get_global

LONGEST_BYTES = 512
MOST_RANGES = 16
"""What is read of a header, and how many languages of it are looked up: nobody wants more."""
MACRO = {"no": "nb", "nn": "nb"}
"""Norwegian as a whole, and its other way of writing, are served in the one nearly everybody reads."""


def choose(header: bytes, offered: Set[str]) -> str | None:
    """The offered tag that the header likes best; None if it likes none. `offered` is in BCP 47's usual case."""
    for wanted in ranges(header):
        if (found := lookup(wanted, offered)) is not None:
            return found
    return None


def ranges(header: bytes) -> list[str]:
    """The language ranges with a weight above 0, the heaviest first, equals in the header's order."""
    found: list[tuple[float, str]] = []
    for item in header[:LONGEST_BYTES].decode("latin-1").split(","):
        tag, _, weight = item.partition(";")
        if (q := _weight(weight)) > 0 and tag.strip():
            found.append((q, tag.strip()))
    return [tag for _, tag in sorted(found, key=lambda pair: -pair[0])][:MOST_RANGES]


def lookup(wanted: str, offered: Set[str]) -> str | None:
    """Shorten the wanted tag from its end until an offered one is the same, or is what CLDR takes it for."""
    for tag in _shortened(wanted):
        for candidate in _meanings(tag):
            if candidate in offered:
                return candidate
        # A language offered for one region only (`pt-BR`) serves the others as well.
        if "-" not in tag:
            regional = sorted(tag_ for tag_ in offered if tag_.startswith(f"{tag}-") and len(tag_) == len(tag) + 3)
            if regional:
                return regional[0]
    return None


def usual_case(tag: str) -> str:
    """`ZH-hant-tw` → `zh-Hant-TW` (RFC 5646 §2.1.1)."""
    first, *rest = tag.replace("_", "-").split("-")
    return "-".join([first.lower(), *(part.title() if len(part) == 4 else part.upper() for part in rest)])


def _shortened(tag: str) -> Iterator[str]:
    parts = usual_case(tag).split("-")
    while parts:
        yield "-".join(parts)
        parts.pop()
        if parts and len(parts[-1]) == 1:
            parts.pop()


@cache
def _aliases() -> dict[str, str]:
    return {**get_global("language_aliases"), **MACRO}


def _meanings(tag: str) -> Iterator[str]:
    """The tag, the same under its usual language, and with the script that goes without saying."""
    language, _, rest = tag.partition("-")
    language = _aliases().get(language, language)
    yield (tag := f"{language}-{rest}" if rest else language)
    likely = get_global("likely_subtags").get(tag.replace("-", "_"))
    if likely is not None:
        language, script, _region = likely.split("_", 2)
        yield f"{language}-{script}"


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if not name:
        return 1.0
    try:
        return min(1.0, float(value)) if name.strip().lower() == "q" else 1.0
    except ValueError:
        return 0.0
