"""What happens to a request that places an order which was tried before (an attempt is `core.orders.attempt`'s).

    the last attempt    the repeat                                      what is done
    ----------------    --------------------------------------------    ------------------------------------------------
    under_way           any                                             WAIT: it gets the same answer
    confirmed           with the same Idempotency-Key of the client's   ANSWER: like the first, nothing is sent
    confirmed           within `repeat` of being confirmed              ANSWER
    confirmed           later, by a document                            ASK: "You ordered at 12:03. Again?"
    confirmed           later, by an API                                SEND: its body may be the same for every order
    unknown             with the same Idempotency-Key of the client's   SEND: whoever sets one says that it may be sent
    unknown             any other                                       ASK, with the facts
    answered            any                                             SEND: nothing was confirmed
    refused, failed     any                                             SEND

The visitor's word, given to ASK, turns ANSWER and ASK into SEND, once. A repeat that had to WAIT is never sent, unless
the first certainly was not: its sender pressed twice, and the first counts.
"""

from enum import Enum, auto
from typing import assert_never

from waitroom.core.orders.attempt import Attempt, Outcome


class Repeat(Enum):
    WAIT = auto()
    ANSWER = auto()
    ASK = auto()
    SEND = auto()


def on_repeat(
    last: Attempt, *, now_ms: float, repeat_ms: int, is_document: bool, has_key: bool, has_word: bool, has_waited: bool
) -> Repeat:
    """A row of the table. `last` as it is to be read now; `has_key`: the client set an Idempotency-Key itself (and it
    is the same, or this were no repeat); `has_word`: the visitor's, that it may be sent again.
    """
    match last.outcome:
        case Outcome.UNDER_WAY:
            return Repeat.WAIT
        case Outcome.FAILED:
            return Repeat.SEND
        case _ if has_waited:
            return Repeat.ANSWER
        case Outcome.CONFIRMED:
            if has_word:
                return Repeat.SEND
            if has_key or now_ms - (last.decided_ms or last.begun_ms) <= repeat_ms:
                return Repeat.ANSWER
            return Repeat.ASK if is_document else Repeat.SEND
        case Outcome.UNKNOWN:
            return Repeat.SEND if has_word or has_key else Repeat.ASK
        case Outcome.ANSWERED | Outcome.REFUSED:
            return Repeat.SEND
        case other:
            assert_never(other)
