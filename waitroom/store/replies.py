"""What the verbs of a room take and answer, and how a script refuses (`waitroom.store.room`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from waitroom.core.errors import StoreUnavailable, WaitroomError
from waitroom.core.meter import Limits
from waitroom.store.scripts import Value


class AdoptNeeded(WaitroomError):
    """Redis has no room, or one that belongs to another server."""


class Unsettled(WaitroomError):
    """Redis was just adopted: what is changed now would be lost to a worker that remembers more. A moment later."""


class PhaseDue(WaitroomError):
    """A change of the sale's phase has to be latched first (waitroom.store.sale)."""


class GenerationGone(WaitroomError):
    """The room was reset: the caller's generation is no longer valid."""


class Newcomer(NamedTuple):
    """A visitor at the door of the room. `visitor` is 32 hex digits."""

    visitor: str
    may_take_number: bool
    may_come_on_the_spot: bool


class Entry(NamedTuple):
    """What became of a newcomer: a number, and if let in on the spot when the admission begins (ms, Redis time)."""

    generation: str
    number: int
    admit_ms: float | None


class Claimant(NamedTuple):
    """`generation` is that of the ticket, '' for any."""

    place: int
    visitor: str
    generation: str = ""


class Claimed(NamedTuple):
    """The answer to a claim; `admit_ms` with admit and again, `rank` at the door."""

    outcome: Literal["admit", "again", "door", "waiting", "lapsed", "taken"]
    admit_ms: float | None = None
    rank: int = 0


class Renewal(NamedTuple):
    """The seat of an admitted visitor: `end_ms` of the pass just signed; 0 ends the pass and gives the seat back."""

    generation: str
    place: int
    end_ms: int


class Beat(NamedTuple):
    chunk: int
    offset: int
    bits: bytes


class Look(NamedTuple):
    """Bits of one chunk: seen in the last epochs, claimed."""

    seen: bytes
    claimed: bytes


@dataclass(frozen=True, slots=True)
class Change:
    """Limits and message before and after; `applied` is False where the environment's were in force already."""

    applied: bool
    before: Limits
    after: Limits
    message_before: str
    message_after: str


def checked(reply: list[Any]) -> list[Any]:
    """The reply behind 'ok'. Raises what every script may refuse with."""
    match reply[0]:
        case b"adopt":
            raise AdoptNeeded
        case b"generation":
            raise GenerationGone
        case b"unsettled":
            raise Unsettled
        case b"due":
            raise PhaseDue
        case b"ok":
            return reply[1:]
        case other:
            raise StoreUnavailable(f"unexpected answer {other!r}")


def pairs(flat: Sequence[bytes]) -> dict[str, str]:
    return {flat[i].decode(): flat[i + 1].decode() for i in range(0, len(flat), 2)}


def epoch_ms(created_s: bytes, at_us: bytes) -> float:
    """Meter time → ms since 1970."""
    return int(created_s) * 1000 + float(at_us) / 1000


def flatten(fields: Mapping[str, str]) -> list[Value]:
    return [part for pair in fields.items() for part in pair]
