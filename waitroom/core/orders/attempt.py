"""What came of an order: the outcomes, and an attempt as it is kept.

An attempt is one request that places an order. What its outcome says is what is known, and never more:

    the shop's answer     outcome      because
    ------------------    ---------    ----------------------------------------------------------------------------
    none yet              under_way    the deadline has not passed
    2xx, sure             confirmed    a success rule matched, or the shop named the order (Waitroom-Order-Id)
    3xx, sure             confirmed    the same
    2xx                   answered     perhaps the form again, with its errors
    3xx                   answered     perhaps on to a payment provider
    4xx                   refused      the shop looked at the order and said no
    408 409 425 429       unknown      not a word about the order: too slow, in conflict, too early, too often
    5xx                   unknown      it may have failed before the order was booked, or after
    cut                   unknown      broken off, or none in time, after the first byte was sent; the worker died
    not sent              failed       certainly not one byte of the order reached the shop

What may be learned later, and from whom. A cell is yes, or what is said instead:

    it was       the gateway's late answer    the shop's word (`POST /api/orders/<attempt>`)
    ---------    -------------------------    ----------------------------------------------
    under_way    yes                          yes
    unknown      yes                          yes
    answered     no                           yes
    refused      no                           yes
    failed       no                           yes
    confirmed    no                           no

Times are milliseconds of Redis time.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Literal, NamedTuple

from waitroom.core.sentences import one_line


class Outcome(StrEnum):
    """What is known of an order, as the first table says."""

    UNDER_WAY = "under_way"
    CONFIRMED = "confirmed"
    ANSWERED = "answered"
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"

    @property
    def words(self) -> str:
        return self.value.replace("_", " ")


Decider = Literal["gateway", "shop"]

NOT_ABOUT_THE_ORDER: Final = frozenset((408, 409, 425, 429))
OPEN: Final = frozenset((Outcome.UNDER_WAY, Outcome.UNKNOWN))
"""Nothing is known for sure; the gateway may still learn it."""
LONGEST_REFERENCE: Final = 120
"""Characters of a reference that are kept."""


class Verdict(NamedTuple):
    """What one answer of the shop's says. `reference` is printable, and no longer than LONGEST_REFERENCE."""

    outcome: Outcome
    reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at placing an order. No body, and nothing of one but a digest.

    `id` is public: it stands in addresses, and says nothing by itself. `route` is the route's name as the operator
    wrote it. `deadline_ms` is when an attempt that is still under way becomes unknown, whatever became of its worker.
    `status`, `location` and `reference` are the shop's, None until it answered with one. `sameness` is the keyed digest
    of the order; `idempotency_key` went along to the shop. `recorded`: False where Redis was away, so that only the
    worker that forwarded it knows of it.
    """

    id: str
    visitor: str
    route: str
    begun_ms: int
    deadline_ms: int
    worker: str
    idempotency_key: str
    sameness: str
    outcome: Outcome = Outcome.UNDER_WAY
    status: int | None = None
    reference: str | None = None
    location: str | None = None
    decided_ms: int | None = None
    decided_by: Decider | None = None
    recorded: bool = True

    def seen_at(self, now_ms: float) -> "Attempt":
        """As it is to be read now: one whose deadline has passed is unknown, since nobody is left to tell."""
        if self.outcome is Outcome.UNDER_WAY and now_ms >= self.deadline_ms:
            return replace(self, outcome=Outcome.UNKNOWN, decided_ms=self.deadline_ms, decided_by="gateway")
        return self


def outcome_of(status: int, *, sure: bool) -> Outcome:
    """The outcome by the status of a whole answer; `sure`: it says itself that the order was placed."""
    if 200 <= status < 400:
        return Outcome.CONFIRMED if sure else Outcome.ANSWERED
    if 400 <= status < 500 and status not in NOT_ABOUT_THE_ORDER:
        return Outcome.REFUSED
    return Outcome.UNKNOWN


def outcome_without_answer(*, sent: bool) -> Outcome:
    """No answer, or not a whole one. `sent` is False only if certainly no byte of the order went out."""
    return Outcome.UNKNOWN if sent else Outcome.FAILED


def may_learn(outcome: Outcome, by: Decider) -> bool:
    """Whether what is known may still be replaced by what `by` says."""
    return outcome in OPEN if by == "gateway" else outcome is not Outcome.CONFIRMED


def reference_of(text: str) -> str | None:
    """A reference as it may be shown: printable, blanks evened out, bounded; None if nothing is left."""
    return one_line(text[:4096])[:LONGEST_REFERENCE] or None
