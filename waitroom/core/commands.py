"""What the shop may tell the gateway in the header of an answer, beside the answer itself.

    Waitroom-Command       meaning
    -------------------    -----------------------------------------------------------------------------------
    complete               this visitor is done: the seat goes to the next, the pass is worth nothing any more
    revoke                 this visitor is sent out: the same, and counted apart
    extend=10m             the pass lasts so long at least; 2 h at the most
    sold-out               nothing is left: everybody in line is told
    stock=120              so much is left; 0 is sold out

Several stand in one field, commas between them, or in several fields. `Waitroom-Order-Id` names an order
(`core.orders.routes`). What is none of these is `junk`: passed over, and told to the operators.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from waitroom.core.parse import parse_duration_ms
from waitroom.core.requests import Header

COMMAND: Final = b"waitroom-command"
ORDER_ID: Final = b"waitroom-order-id"
LONGEST_EXTENSION_MS: Final = 7_200_000
LONGEST_FIELD: Final = 1_000
LONGEST_JUNK: Final = 40
MOST_JUNK: Final = 3
STOCK = re.compile(r"stock=(\d{1,12})")


@dataclass(frozen=True, slots=True)
class Commands:
    """What one answer asks for. `ends` is `complete` or `revoke`; the last of several `extend` and `stock` counts."""

    ends: str | None = None
    extend_ms: int = 0
    sold_out: bool = False
    stock: int | None = None
    junk: tuple[str, ...] = ()


NONE: Final = Commands()


def read_commands(fields: Sequence[Header]) -> Commands:
    """Of the shop's `Waitroom-*` fields. Never raises."""
    ends, extend_ms, sold_out, stock = None, 0, False, None
    junk: list[str] = []
    for name, value in fields:
        if name == ORDER_ID:
            continue
        words = value[:LONGEST_FIELD].decode("latin-1").split(",") if name == COMMAND else [name.decode("latin-1")]
        for word in filter(None, map(str.strip, words)):
            if word in ("complete", "revoke"):
                ends = "revoke" if "revoke" in (word, ends) else word
            elif word == "sold-out":
                sold_out = True
            elif (found := STOCK.fullmatch(word)) is not None and word.isascii():
                stock = int(found[1])
            elif (duration_ms := extension_ms(word)) is not None:
                extend_ms = duration_ms
            elif len(junk) < MOST_JUNK:
                junk.append("".join(letter if " " <= letter <= "~" else "?" for letter in word[:LONGEST_JUNK]))
    return Commands(ends, extend_ms, sold_out or stock == 0, stock, tuple(junk))


def extension_ms(word: str) -> int | None:
    """`extend=10m`; None for anything else, and beyond the bound."""
    name, equals, text = word.partition("=")
    if name != "extend" or not equals:
        return None
    try:
        duration = parse_duration_ms(text)
    except (ValueError, OverflowError):
        return None
    return duration if 0 < duration <= LONGEST_EXTENSION_MS else None
