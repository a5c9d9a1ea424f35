"""What is answered to an order that was sent before, where it is neither sent again nor its first answer at hand.

    it was tried before, and is   a document gets                        an app gets (JSON)
    ---------------------------   ------------------------------------   -------------------------------------------
    confirmed by a redirect       the same redirect                      the same redirect
    confirmed otherwise           303 to orders?attempt=<id>             200, the facts
    anything else                 303 to orders?attempt=<id>             409, the facts; Retry-After while under way
    to be asked about             303 to orders?attempt=<id>&again=ask   409, the facts and `again`: how to insist

The page at `orders` asks: its form goes to `POST orders/again` with the field `attempt`, and then the browser is at
orders?attempt=<id>&again=said. The shopper goes back and sends the order once more: we hold no copy of it. An app sends
it once more with the attempt's id in the field `Waitroom-Order-Again`.
"""

import json
from typing import Final

from waitroom.core.orders.attempt import Attempt, Outcome
from waitroom.core.paths import own_path
from waitroom.core.requests import is_navigation
from waitroom.core.times import iso_seconds
from waitroom.edge.answers import EMPTY, NO_STORE, Answer, json_fields, see_other
from waitroom.edge.request import Request

AGAIN: Final = "Waitroom-Order-Again"
RETRY_AFTER: Final = (b"retry-after", b"5")


def page_of(attempt_id: str, room_query: str, again: str = "") -> Answer:
    """To the page of one order, of its own room."""
    asked = f"again={again}" if again else ""
    return see_other(own_path("orders", room_query, f"attempt={attempt_id}", asked))


def answer_repeat(attempt: Attempt, request: Request, asks: bool, *, room_query: str) -> Answer:
    """A row of the table; `asks`: the order may be sent again if the visitor insists."""
    status, location = attempt.status or 0, attempt.location
    if attempt.outcome is Outcome.CONFIRMED and not asks and location is not None and 300 <= status < 400:
        return Answer(status, [(b"location", location.encode("latin-1")), NO_STORE, EMPTY], b"")
    if is_navigation(request.fields):
        return page_of(attempt.id, room_query, "ask" if asks else "")
    facts: dict[str, object] = {
        "type": "urn:waitroom:problem:order-sent-before",
        "title": "This order was sent before",
        "attempt": attempt.id,
        "outcome": attempt.outcome.value,
        "begun_at": iso_seconds(attempt.begun_ms),
        "decided_at": None if attempt.decided_ms is None else iso_seconds(attempt.decided_ms),
        "reference": attempt.reference,
    }
    if asks:
        facts["again"] = f"Send it once more with the field {AGAIN}: {attempt.id}"
    body = json.dumps(facts, separators=(",", ":")).encode()
    is_done = attempt.outcome is Outcome.CONFIRMED and not asks
    media = b"application/json" if is_done else b"application/problem+json"
    headers = json_fields(body, media)
    if attempt.outcome is Outcome.UNDER_WAY:
        headers.append(RETRY_AFTER)
    return Answer(200 if is_done else 409, headers, body)
