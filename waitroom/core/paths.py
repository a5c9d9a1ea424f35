"""Paths that may be redirected to."""

import re
from urllib.parse import quote

UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
LONGEST = 4096
OWN = "/-/waitroom/"


def own_path(route: str, *queries: str) -> str:
    """The path of an own route; `queries` are parts of its query, of which the empty ones are left out."""
    query = "&".join(part for part in queries if part)
    return f"{OWN}{route}?{query}" if query else OWN + route


def same_site_path(text: str) -> str | None:
    """A path of this site, fit for a Location field, or None.

    Exactly one slash at the start: `//host` and `/\\host` are other sites to a browser; so is anything it would
    strip on its way there (control characters, blanks). What is not ASCII is percent-encoded.
    """
    if not text.startswith("/") or text.startswith("//") or len(text) > LONGEST or UNSAFE.search(text):
        return None
    return quote(text, safe="/?&=#%+-._~!$'()*,;:@[]")
