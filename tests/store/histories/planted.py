"""Faults put on purpose into the real scripts and rules, each with the promise that histories have to find broken.

`python -m tests.bench.planted` counts how many histories each takes; the quickest are in the suite.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple
from unittest.mock import patch

from tests.store.histories.play import random_history
from tests.store.room_support import Replacement
from tests.store.test_room_rules import CONVERSION
from waitroom.core.sale import draw
from waitroom.store.keys import Keys
from waitroom.store.memory import Memory


class Planted(NamedTuple):
    """`rule`: text of a script, and what stands there instead; or `name` of `owner`, replaced by `by`."""

    kind: str
    promise: str
    rule: Replacement | None = None
    owner: Any = None
    name: str = ""
    by: Callable[..., Any] | None = None

    @contextmanager
    def in_place(self) -> Iterator[tuple[Replacement, ...]]:
        """The rules to play without; what is Python's is replaced meanwhile."""
        if self.owner is None:
            yield (self.rule,) if self.rule else ()
            return
        with patch.object(self.owner, self.name, self.by):
            yield ()


permuted, make_keys = draw.permute, Keys.__init__


def places_beyond_the_people_wrapped(key: bytes, people: int, index: int, *, rounds: int = 0) -> int:
    """A permutation of the grid is taken for one of the people on it."""
    return permuted(key, people + 7, index, rounds=rounds) % people


def keys_with_seats_of_one_line(self: Keys, room: str, line: str = "") -> None:
    make_keys(self, room, line)
    self.active = self.prefix + "active"


async def tell_nothing(self: Memory, *_: object, **__: object) -> None:
    self.untold.clear()


PLANTED: Final[dict[str, Planted]] = {
    "a new rate gives a burst anew": Planted("line", "P1", CONVERSION),
    "a full room is not full": Planted("line", "P2", ("return r.max_active - taken", "return math.huge")),
    "another server is taken for the same": Planted("line", "P4", ("or v[2] ~= server_id() then", "then")),
    "only who adopts first tells what it remembers": Planted(
        "line", "P2", owner=Memory, name="tell_untold", by=tell_nothing
    ),
    "numbers are given after the end": Planted(
        "sale", "sale", ("elseif numbers and string.find", "elseif string.find")
    ),
    "the opening waits for nobody to learn their place": Planted(
        "draw",
        "P3",
        ("return known > 0 and math.max(opens, known + math.min(lead, 60000)) or math.huge", "return opens"),
    ),
    "a note is entered over another": Planted(
        "draw", "P7", ("if v[6] ~= '' then return {'ok', v[6] == ARGV[3] and 'known' or 'other'} end", "")
    ),
    "who adopts does not tell of the sale": Planted(
        "draw", "P7", ("if tonumber(mine.sale_version or 0) > tonumber(kept.sale_version or 0) then", "if false then")
    ),
    "who comes after the draw is in it, too": Planted(
        "draw", "P7", ("size, known = r.issued, 0", "size, known = r.issued + 2, 0")
    ),
    "two places are one": Planted("draw", "P4", owner=draw, name="permute", by=places_beyond_the_people_wrapped),
    "a reset in the lobby announces no other draw": Planted(
        "draw", "P3", ("redis.call('HSET', STATE, 'draw_commitment', '')", "")
    ),
    "a link is good for any number": Planted(
        "invited", "P4", ("elseif redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[3]) then", "elseif false then")
    ),
    "who presses again gets another number": Planted(
        "invited", "P4", ("if is_of_now and place >= r.lapsed then return {'ok', generation, place} end", "")
    ),
    "a link is good again after a reset": Planted(
        "invited", "P4", ("if is_taken or is_of_now and", "if is_of_now and")
    ),
    "a new share counts from a line's own reservations": Planted(
        "invited", "P1", ("old.now + ahead, at == 1", "math.max(old.now, old.last), at == 1")
    ),
    "each line has all seats": Planted("invited", "P2", owner=Keys, name="__init__", by=keys_with_seats_of_one_line),
    "only the first line is changed": Planted("invited", "P1", ("if KEYS[3] then", "if false then")),
}


async def histories_until_found(url: str, planted: Planted, *, first: int = 0, most: int) -> int:
    """How many histories it took to find the promise broken; 0 where that many found nothing."""
    with planted.in_place() as without:
        for count in range(most):
            outcome = await random_history(url, first + count, planted.kind, without=without)
            if any(found.promise == planted.promise for found in outcome.faults()):
                return count + 1
    return 0
