"""Links of an operator's in the foot of every page: `Help=https://help.example/, Imprint=/imprint`."""

from typing import NamedTuple
from urllib.parse import urlsplit

from waitroom.core.parse import split_list
from waitroom.core.paths import same_site_path

MOST_LINKS = 6
LONGEST_LABEL = 40
LONGEST_URL = 300


class Link(NamedTuple):
    label: str
    url: str


def parse_links(text: str) -> tuple[Link, ...]:
    """Label and address, comma separated; an address is https, or a path of this site."""
    links = tuple(map(parse_link, split_list(text)))
    if len(links) > MOST_LINKS:
        raise ValueError(f"has {len(links)} links; at most {MOST_LINKS} fit")
    return links


def parse_link(text: str) -> Link:
    label, found, url = (part.strip() for part in text.partition("="))
    if not found or not label or not label.isprintable() or len(label) > LONGEST_LABEL:
        raise ValueError(f"has {text!r}, which is not a link; write it like Help=https://help.example")
    if not is_address(url):
        raise ValueError(f"leads to {url!r}; a link is https://… or a path of this site, like /imprint")
    return Link(label, url)


def is_address(url: str) -> bool:
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or set(url) & set(" \"'<>\\"):
        return False
    return same_site_path(url) is not None or (url.startswith("https://") and bool(urlsplit(url).hostname))
