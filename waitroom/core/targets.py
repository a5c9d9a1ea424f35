r"""Which rule of the operator's applies to a request target.

A shop may read one target in many ways: decoded or not, with `//` merged, with `..` resolved.
So a target is judged in every way it might be read (`core.readings`), and doubt falls to the guard:

    every reading matches a bypass      → Free
    else any reading matches a guard    → Guarded
    else                                → Free
    more readings than we care to make  → Guarded, and refused if one may be the waiting room's own

Patterns begin with `/`, describe the whole path, and know one sign: `*` is any text, also across slashes.

    pattern        as a guard                                         as a bypass
    /*             everything                                         everything
    /checkout/*    /checkout and all below it                         all below /checkout/
    /cart          /cart and /cart/                                   only /cart
    /a/*.css       all that begins with /a/ and ends in .css          the same: also /a/checkout/x.css

A guard is wide and a bypass narrow on purpose. A bypass on an ending (`/*.css`) opens every path that a
visitor can give that ending; prefer a folder (`/static/*`).

This module refuses only what nobody can read safely (`Malformed`), and never changes the bytes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from waitroom.core.paths import own_path
from waitroom.core.readings import PLAIN, UNRESERVED, even_out, readings_of, unescape
from waitroom.core.sentences import N_

OWN_PREFIX = own_path("").encode()
CACHED_TARGETS = 8192
CACHED_LENGTH = 512
"""Together they bound the cache to about 6 MB, whatever is asked for."""
CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
BROKEN_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
ABSOLUTE = re.compile(rb"(https?)://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)


def in_any_spelling(letter: int) -> bytes:
    return rb"(?:%c|%%(?:25)*(?:%x|%x))" % (letter, letter, letter ^ 0x20)


MAY_BE_OWN = re.compile(rb"(?:%(?:25)*0[9AD])*".join(map(in_any_spelling, b"waitroom")), re.IGNORECASE)
"""For a path with more readings than are made: doubt says yes."""


@dataclass(frozen=True, slots=True)
class Own:
    """Below /-/waitroom/: `path` is what follows, as received (`status`, `draw`; empty for the prefix itself)."""

    path: str


@dataclass(frozen=True, slots=True)
class Guarded:
    """Behind the line; of several rooms, behind those of `rooms` (waitroom.core.rooms)."""

    rooms: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True)
class Free:
    """Goes to the shop without a pass."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """To be answered 400; `reason` is a sentence for the public."""

    reason: str


Ruling = Own | Guarded | Free | Malformed

GUARDED = Guarded()
FREE = Free()
ANOTHER_HOST = Malformed(N_("The address names another host than the request."))
NOT_A_PATH = Malformed(N_("The address is neither a path nor a full address."))
HAS_CONTROL = Malformed(N_("The address holds control characters."))
HAS_BROKEN_PERCENT = Malformed(N_("The address holds a % that is not followed by two hexadecimal digits."))
AMBIGUOUS = Malformed(N_("The address can be read as one of the waiting room's own and as another."))


def is_own(reading: bytes) -> bool:
    return reading.startswith(OWN_PREFIX) or reading == OWN_PREFIX[:-1]


class Pattern:
    """One pattern, matched piece by piece, leftmost first: linear in the path, whatever a stranger sends."""

    __slots__ = ("first", "last", "middle")

    def __init__(self, text: bytes) -> None:
        first, *rest = text.split(b"*")
        self.first = first
        self.middle = tuple(piece for piece in rest[:-1] if piece)
        self.last = rest[-1] if rest else None

    def matches(self, path: bytes) -> bool:
        """Whether the whole of `path`, one reading without its query, is of this pattern."""
        if self.last is None:
            return path == self.first
        position, end = len(self.first), len(path) - len(self.last)
        if end < position or not path.startswith(self.first) or not path.endswith(self.last):
            return False
        for piece in self.middle:
            found = path.find(piece, position, end)
            if found < 0:
                return False
            position = found + len(piece)
        return True


def as_written(pattern: str) -> bytes:
    return UNRESERVED.sub(unescape, even_out(pattern.encode()))


def guard_patterns(pattern: str) -> list[Pattern]:
    """In lower case; with and without the slash at the end, which most shops take for the same."""
    text = as_written(pattern).lower()
    if text.endswith(b"*") and not text.endswith(b"/*"):
        return [Pattern(text)]
    stem = text.removesuffix(b"*").removesuffix(b"/")
    return [Pattern(text), Pattern(stem), Pattern(stem + b"/")]


def matches_all(patterns: Sequence[Pattern], readings: set[bytes]) -> bool:
    return all(any(pattern.matches(reading) for pattern in patterns) for reading in readings)


class TargetRules:
    """The operator's rules. Safe to share; its only state is a bounded cache."""

    _everything: Ruling = GUARDED
    """For what cannot be read, or has no path."""

    def __init__(self, guards: Sequence[str], bypasses: Sequence[str]) -> None:
        """Patterns begin with a slash (the settings see to it)."""
        self._guards = tuple(one for pattern in guards for one in guard_patterns(pattern))
        self._bypasses = tuple(Pattern(as_written(pattern)) for pattern in bypasses)
        self._judge_cached = lru_cache(CACHED_TARGETS)(self._judge)

    @property
    def cached_targets(self) -> int:
        return self._judge_cached.cache_info().currsize

    def place(self, raw_target: bytes, host: bytes) -> Ruling:
        """Judge a target exactly as received; `host` is the value of the request's Host field."""
        path, question_mark, query = raw_target.partition(b"?")
        if not path.startswith(b"/"):
            return self._place_unusual(raw_target, host)
        if question_mark and CONTROL.search(query):
            return HAS_CONTROL
        return self._judge_cached(path) if len(path) <= CACHED_LENGTH else self._judge(path)

    def _place_unusual(self, target: bytes, host: bytes) -> Ruling:
        """`OPTIONS *` and absolute forms; both rare, so nothing is kept."""
        if CONTROL.search(target):
            return HAS_CONTROL
        if target == b"*":
            return self._everything
        absolute = ABSOLUTE.fullmatch(target)
        if absolute is None:
            return NOT_A_PATH
        default_port = b":443" if absolute[1].lower() == b"https" else b":80"
        named, asked = (name.lower().removesuffix(default_port) for name in (absolute[2], host))
        if named != asked or not named:
            return ANOTHER_HOST
        path = absolute[3].partition(b"?")[0]
        return self._judge(path if path.startswith(b"/") else b"/" + path)

    def _judge(self, path: bytes) -> Ruling:
        if PLAIN.fullmatch(path):
            readings: set[bytes] | None = {path}
        elif CONTROL.search(path) or b"%00" in path:
            return HAS_CONTROL
        elif BROKEN_PERCENT.search(path):
            return HAS_BROKEN_PERCENT
        else:
            readings = readings_of(path)
        if readings is None:
            return AMBIGUOUS if MAY_BE_OWN.search(path) else self._everything
        lowered = {reading.lower() for reading in readings}
        own = [is_own(reading) for reading in readings | lowered]
        if any(own):
            return Own(path[len(OWN_PREFIX) :].decode("latin-1")) if all(own) else AMBIGUOUS
        return self._rule(path, readings)

    def _rule(self, path: bytes, readings: set[bytes]) -> Ruling:
        """What the operator says of a path of the shop, as received and in every reading."""
        if matches_all(self._bypasses, readings):
            return FREE
        if any(pattern.matches(reading.lower()) for pattern in self._guards for reading in readings):
            return GUARDED
        return FREE
