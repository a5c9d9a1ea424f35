"""Paths that may be redirected to."""

import re
from urllib.parse import quote

UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
LONGEST = 4096


def same_site_path(text: str) -> str | None:
    """A path of this site, fit for a Location field, or None.

    Exactly one slash at the start: `//host` and `/\\host` are other sites to a browser; so is anything it would
    strip on its way there (control characters, blanks). What is not ASCII is percent-encoded.
    """
    if not text.startswith("/") or text.startswith("//") or len(text) > LONGEST or UNSAFE.search(text):
        return None
    return quote(text, safe="/?&=#%+-._~!$'()*,;:@[]")
