"""What the shop tells of orders later, by the admin API: a payment came through, an order was cancelled.

    POST /api/orders/<attempt>   {"outcome": "confirmed", "reference": "4711"}

The attempt is what the shop was told with the order, in `Waitroom-Order-Attempt`. What the shop says is the truth, but
for one thing: an order that was confirmed stays so (`core.orders.attempt`), since its shopper has been told.
"""

from typing import Any, Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from waitroom.core.changes import Misused
from waitroom.core.orders.attempt import Attempt, Outcome, reference_of
from waitroom.edge.admin.request import Refused, answer_json, operator, read_fields
from waitroom.edge.orders.pages import order_facts
from waitroom.store.orders import OrderBook

TOLD: Final = (Outcome.CONFIRMED, Outcome.REFUSED, Outcome.FAILED)

log = structlog.get_logger()


async def tell_order(request: Request, book: OrderBook, *, room: str, now_ms: float) -> Response:
    """Note what the shop says. Raises Refused (404, 409), Misused and StoreUnavailable."""
    given = await read_fields(request, "outcome", "reference")
    outcome, reference = outcome_in(given), reference_in(given)
    id_ = request.path_params["attempt"]
    attempt = await book.decide(id_, outcome, by="shop", now_ms=now_ms, reference=reference)
    if attempt is None:
        raise Refused(404, "no-order", "No such order is known: perhaps it was so long ago that it is no longer kept.")
    if not says(attempt, outcome, reference):
        named = f" as {attempt.reference}" if attempt.reference else ""
        raise Refused(409, "confirmed", f"The order was confirmed before{named}, and the shopper was told so.")
    log.info("order_told", room=room, attempt=attempt.id, outcome=outcome.value, by=operator(request))
    return answer_json({"order": {**order_facts(attempt), "route": attempt.route}})


def says(attempt: Attempt, outcome: Outcome, reference: str | None) -> bool:
    """Whether that is how the attempt stands now, also if it was told before."""
    return attempt.outcome is outcome and reference in (None, attempt.reference)


def outcome_in(given: dict[str, Any]) -> Outcome:
    if given.get("outcome") not in [outcome.value for outcome in TOLD]:
        raise Misused(f"outcome is not one of {', '.join(outcome.value for outcome in TOLD)}")
    return Outcome(given["outcome"])


def reference_in(given: dict[str, Any]) -> str | None:
    """Printable and bounded, as if it had come with an answer."""
    reference = given.get("reference")
    if reference is None:
        return None
    shown = reference_of(reference) if isinstance(reference, str) else None
    if shown is None:
        raise Misused("reference is not a text that can be shown")
    return shown
