"""What shadow mode reports: requests that would have been queued, by kind, client and path.

Nothing in it tells people apart: a client is one of the kinds in AGENTS, and a path is kept without its query and
without what may name somebody or something in it (`shape_of`).
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

LONGEST_PATH = 80
OTHER_PATHS = "(other)"

# A part of the User-Agent in lower case → the kind of client; the first that is found. Programs stand before browsers,
# because many of them call themselves Mozilla, and browsers before those whose name they carry as well.
AGENTS: Final = (
    *((word, "crawler") for word in ("bot", "crawl", "spider", "slurp", "facebookexternalhit")),
    *(
        (word, "webhook")
        for word in ("webhook", "hookshot", "stripe", "paypal", "adyen", "mollie", "klarna", "shopify")
    ),
    *((word, "monitor") for word in ("uptime", "pingdom", "statuscake", "site24x7", "kube-probe", "healthcheck")),
    *((word, "android-app") for word in ("okhttp", "dalvik")),
    *((word, "apple-app") for word in ("cfnetwork", "darwin")),
    *((word, "curl") for word in ("curl", "wget")),
    *((word, "python") for word in ("python", "aiohttp", "httpx")),
    ("go-http-client", "go"),
    *((word, "java") for word in ("java/", "apache-httpclient")),
    *((word, "node") for word in ("node", "axios", "undici", "got (")),
    *((word, "php") for word in ("php", "guzzle")),
    ("ruby", "ruby"),
    *((word, "browser-without-window") for word in ("headless", "phantom", "puppeteer", "playwright")),
    *((word, "edge") for word in ("edg/", "edga/", "edgios/")),
    ("opr/", "opera"),
    *((word, "firefox") for word in ("firefox/", "fxios/")),
    *((word, "chrome") for word in ("chrome/", "crios/", "chromium/")),
    ("safari/", "safari"),
    ("mozilla/", "browser"),
)
NO_AGENT, OTHER_CLIENT = "no-name", "other"

NAMING: Final = re.compile(r"\d{3,}|%|@|^(?=.*\d)[\w.~-]{16,}$|^[\w~-]{33,}$|^\d+$")
"""A segment of a path that may be a number, a token or a name of somebody."""


def client_of(agent: bytes) -> str:
    """The kind of client that a User-Agent field tells."""
    text = agent[:512].decode("latin-1").lower()
    if not text:
        return NO_AGENT
    return next((family for word, family in AGENTS if word in text), OTHER_CLIENT)


def shape_of(target: bytes) -> str:
    """The path of a request target, with `*` for segments that may name something: `/orders/4711?x=1` → `/orders/*`."""
    path = target.partition(b"?")[0].partition(b";")[0].decode("latin-1")
    shape = "/".join("*" if NAMING.search(part) else part for part in path.split("/"))
    return re.sub(r"[^!-~]", "?", shape)[:LONGEST_PATH]


class Row(NamedTuple):
    kind: str
    client: str
    path: str
    times: int


def row_name(kind: str, client: str, path: str) -> str:
    return f"{kind} {client} {path}"


@dataclass(frozen=True, slots=True)
class Shadowed:
    """The rows, the most frequent first. What did not fit stands under `other`."""

    rows: tuple[Row, ...] = ()

    @property
    def total(self) -> int:
        return sum(row.times for row in self.rows)

    def by(self, column: Literal["kind", "client"]) -> list[tuple[str, int]]:
        """Sums of one column, the largest first."""
        sums: Counter[str] = Counter()
        for row in self.rows:
            sums[row.kind if column == "kind" else row.client] += row.times
        return sums.most_common()

    def facts(self) -> dict[str, Any]:
        """For programs; names stay."""
        return {
            "total": self.total,
            "by_kind": dict(self.by("kind")),
            "by_client": dict(self.by("client")),
            "rows": [row._asdict() for row in self.rows],
        }


NONE: Final = Shadowed()


def read_shadowed(found: Mapping[str, int]) -> Shadowed:
    """From names made by `row_name`."""
    rows = []
    for name, times in found.items():
        kind, client, path = (*name.split(" ", 2), "", "")[:3]
        rows.append(Row(kind, client or OTHER_CLIENT, path or OTHER_PATHS, times))
    return Shadowed(tuple(sorted(rows, key=lambda row: (-row.times, row))))
