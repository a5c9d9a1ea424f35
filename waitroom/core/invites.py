"""Invites: what a link says, and how a room's rate is split between its two lines.

People with an invite stand in a line of their own (`invited`), beside the first. Each line has a meter. Their rates and
their bursts add up to the room's, so that in any t seconds both together begin at most `burst + rate × t` admissions
(P1); each needs a burst of at least 1, so a room with two lines needs 2. Seats are the room's: both lines count them.

    link   i1.<room>.<key>.<batch>.<serial>.<uses>.<early>.<expires>.<signature>

`batch` and `serial` name an invite, `<batch>-<serial>` to an operator; how often it was used, and by whom, is in Redis.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from waitroom.core.meter import Limits
from waitroom.core.model import write_limits
from waitroom.core.sale.schedule import Phase
from waitroom.core.settings import Settings
from waitroom.core.tokens import FLAG, INTEGER, NAME, Purpose, Unreadable

SPLIT: Final = "split"
"""The field of the first line's state that holds the room's limits as a whole."""
MOST_USES: Final = 10_000
MOST_INVITES: Final = 1_000_000
OVER: Final[frozenset[Phase | None]] = frozenset(("draining", "closed", "sold_out"))
NOT_YET: Final[frozenset[Phase | None]] = frozenset(("before", "lobby", "drawn"))
ID: Final = re.compile(r"([A-Za-z0-9_]{1,16})-(0|[1-9][0-9]{0,6})")


class Invite(NamedTuple):
    """One link. `is_early`: it also counts before a sale opens. `expires_ms` is Redis time."""

    batch: str
    serial: int
    uses: int
    is_early: bool
    expires_ms: int

    @property
    def id(self) -> str:
        return f"{self.batch}-{self.serial}"


class InviteTokens:
    """Signs and reads the links of one room. Stateless and safe to share."""

    def __init__(self, room: str, keys: Sequence[str]) -> None:
        """The first of `keys` signs, all are accepted."""
        self._purpose = Purpose("i1", room, keys, (NAME, INTEGER, INTEGER, FLAG, INTEGER))

    def sign(self, invite: Invite) -> str:
        return self._purpose.sign(
            f"{invite.batch}.{invite.serial}.{invite.uses}.{int(invite.is_early)}.{invite.expires_ms}"
        )

    def read(self, token: str) -> Invite | None:
        """None for what we did not sign for this room, or cannot read."""
        found = self._purpose.read(token)
        if found is None or isinstance(found, Unreadable):
            return None
        batch, serial, uses, early, expires = found.group(3, 4, 5, 6, 7)
        return Invite(batch.decode(), int(serial), int(uses), early == b"1", int(expires))


def invited_part(settings: Settings) -> float:
    """Which part of the rate is for people with an invite: 0 for none, 1 where nobody else comes in."""
    return 1.0 if settings.invite_only else settings.invite_share


class Split(NamedTuple):
    """How a room's limits are shared: `part` is that of the invited, 1 where nobody else comes in."""

    part: float
    whole: Limits

    @property
    def first(self) -> Limits:
        """What the first line's meter goes by."""
        if self.part >= 1:
            return replace(self.whole, hold=True)
        burst = self.whole.burst - self.invited.burst
        return replace(self.whole, rate_per_s=self.whole.rate_per_s * (1 - self.part), burst=burst)

    @property
    def invited(self) -> Limits:
        """What the meter of the invited goes by."""
        if self.part >= 1:
            return self.whole
        burst = min(self.whole.burst - 1, max(1.0, self.whole.burst * self.part))
        return replace(self.whole, rate_per_s=self.whole.rate_per_s * self.part, burst=burst)

    def fields(self) -> dict[str, str]:
        """The first line's state: its own limits, and the whole."""
        whole = self.whole
        told = f"{self.part!r} {whole.rate_per_s!r} {whole.burst!r} {int(whole.hold)}"
        return {**write_limits(self.first), SPLIT: told}


def fields_of(limits: Limits, part: float) -> dict[str, str]:
    """A room's limits as the hash of its first line holds them."""
    return Split(part, limits).fields() if part else write_limits(limits)


def read_split(fields: Mapping[str, str], first: Limits) -> Split | None:
    """From the hash of the first line, whose limits are `first`; None in a room without invites."""
    text = fields.get(SPLIT, "")
    if not text:
        return None
    part, rate, burst, hold = text.split(" ")
    whole = replace(first, rate_per_s=float(rate), burst=float(burst), hold=hold == "1")
    return Split(float(part), whole)


def whole_of(fields: Mapping[str, str], first: Limits) -> Limits:
    """The room's limits, over both lines."""
    split = read_split(fields, first)
    return first if split is None else split.whole


def limits_of_invited(fields: Mapping[str, str], first: Limits, phase: Phase | None) -> Limits:
    """What the line of the invited may do now: nothing where there are no invites any more, or the sale is over."""
    split = read_split(fields, first)
    if split is None:
        return replace(first, hold=True)
    return replace(split.invited, hold=True) if phase in ("closed", "sold_out") else split.invited


def is_too_small(limits: Limits, part: float) -> bool:
    """A burst that cannot be split between two lines."""
    return 0 < part < 1 and limits.burst < 2
