"""Would the operator's look of the pages work? Asked before the start, and by `waitroom check`."""

from collections.abc import Iterator

from waitroom.core.errors import ConfigError
from waitroom.core.parse import LANGUAGES
from waitroom.core.settings import Settings
from waitroom.edge.facts import PageFacts
from waitroom.edge.orders.pages import OrderPages
from waitroom.edge.pages.problems import Problems
from waitroom.edge.pages.transfer import TransferPages
from waitroom.edge.pages.waiting import Pages

ROUND_TRIP_BYTES = 14_000
"""What a server may send before it has heard from the browser: ten packets (RFC 6928)."""


def look_faults(settings: Settings) -> Iterator[str]:
    """What is wrong with the operator's look of the pages, as sentences: a file that cannot be used, a page that has
    become too large for its first round trip in some language.
    """
    if not (settings.templates or settings.logo or settings.links or settings.accent):
        return
    try:
        pages = Pages(settings)
        for kind in (Problems(settings, pages), OrderPages(settings, pages), TransferPages(pages)):
            kind.compile_all(pages.languages.default)
    except ConfigError as error:
        yield from error.faults
        return
    yield from pages.templates.unused()
    sample = PageFacts(state="held", position=1, message="x" * 120, target="/" + "x" * 60, server_time_ms=0)
    tags = LANGUAGES if settings.language is None else (settings.language,)
    sizes = {tag: len(pages.waiting(sample, pages.languages[tag], gzip=True)[1]) for tag in tags}
    largest = max(sizes, key=lambda tag: sizes[tag])
    over = sizes[largest] - ROUND_TRIP_BYTES
    if over > 0:
        blamed = "WAITROOM_LOGO" if settings.logo else "WAITROOM_TEMPLATES" if settings.templates else "WAITROOM_LINKS"
        yield (
            f"{blamed} makes the waiting page ({largest}) {over} bytes larger, compressed, than the {ROUND_TRIP_BYTES} "
            "that arrive in one round trip; a simple SVG is smallest"
        )
