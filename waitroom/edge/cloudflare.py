"""The facts as apps written for Cloudflare's waiting room read them: the object `cfWaitingRoom`.

Every field of theirs, with their types; integers are minutes, rounded up.

    inWaitingRoom             not let in yet
    waitTimeKnown, waitTime   the middle of our range; 0 where it is not known
    waitTime25Percentile …    0: theirs are for random queues, and ours is none
    waitTimeFormatted         `10 minutes`, or `unavailable`
    queueIsFull               false: a line has no end
    queueAll                  true while nobody is let in: paused, sold out, closed
    lastUpdated               this moment
    refreshIntervalSeconds    when to ask again; 0 where there is nothing left to wait for
    queueingMethod, is…Queue  `fifo`; `reject` once the sale is over
    isEvent…, timeUntil…      the sale: active from the lobby to its end, prequeueing until it opens
    shuffleAtEventStart       true with a sale: a lobby's places are drawn
    turnstile, infiniteQueue  `off` and false: we have neither
"""

import json
from datetime import datetime

from waitroom.core.times import iso_ms
from waitroom.edge.facts import PageFacts

OVER = frozenset(("sold_out", "closed"))
PREQUEUEING = frozenset(("lobby", "drawn"))
ACTIVE = PREQUEUEING | {"open", "draining"}
UNKNOWN = "unavailable"


def waiting_room(facts: PageFacts, *, is_waiting: bool) -> bytes:
    """As a member of a JSON object. `is_waiting`: the answer stands in place of the shop's."""
    is_over = facts.state in OVER
    is_known = facts.wait_high_s is not None
    wait = _minutes(((facts.wait_low_s or 0) + (facts.wait_high_s or 0)) / 2) if is_known else 0
    is_active, is_prequeueing = facts.phase in ACTIVE, facts.phase in PREQUEUEING
    start = _minutes_until(facts.opens_at, facts) if is_prequeueing else None
    end = _minutes_until(facts.closes_at, facts) if is_active else None
    fields = {
        "inWaitingRoom": is_waiting,
        "waitTimeKnown": is_known,
        "waitTime": wait,
        "waitTime25Percentile": 0,
        "waitTime50Percentile": 0,
        "waitTime75Percentile": 0,
        "waitTimeFormatted": _in_words(wait if is_known else None),
        "queueIsFull": False,
        "queueAll": is_over or facts.state == "held",
        "lastUpdated": iso_ms(facts.server_time_ms),
        "refreshIntervalSeconds": 0 if is_over else max(1, -int(-facts.next_poll_s // 1)),
        "queueingMethod": "reject" if is_over else "fifo",
        "isFIFOQueue": not is_over,
        "isRandomQueue": False,
        "isPassthroughQueue": False,
        "isRejectQueue": is_over,
        "isEventActive": is_active,
        "isEventPrequeueing": is_prequeueing,
        "timeUntilEventStart": start or 0,
        "timeUntilEventStartFormatted": _in_words(start),
        "timeUntilEventEnd": end or 0,
        "timeUntilEventEndFormatted": _in_words(end),
        "shuffleAtEventStart": is_active,
        "turnstile": "off",
        "infiniteQueue": False,
    }
    return b'"cfWaitingRoom":' + json.dumps(fields, separators=(",", ":")).encode()


def _minutes(seconds: float) -> int:
    return max(0, -int(-seconds // 60))


def _minutes_until(at: str | None, facts: PageFacts) -> int | None:
    return None if at is None else _minutes(datetime.fromisoformat(at).timestamp() - facts.server_time_ms / 1000)


def _in_words(minutes: int | None) -> str:
    if minutes is None:
        return UNKNOWN
    units = zip(divmod(minutes, 60), ("hour", "minute"), strict=True)
    parts = [f"{count} {unit}{'' if count == 1 else 's'}" for count, unit in units if count]
    return " ".join(parts) or "0 minutes"
