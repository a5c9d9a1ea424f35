"""What is said in place of the shop's answer, and with which status: a text for each kind of problem.

Titles and details are public and fixed. Those marked for translation stand on pages; the others are for programs.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from waitroom.core.errors import OriginFault
from waitroom.core.sentences import N_


class Text(NamedTuple):
    """What a kind says; `retry_after_s` 0 says nothing about when."""

    status: int
    title: str
    detail: str
    retry_after_s: int = 0


Kind = Literal[
    "in-line", "nothing-sent", "store-away", "retry", "no-cookies",
    "link-over", "no-place",
    "bad-request", "forbidden", "not-found", "method-not-allowed",
    "invited-only", "invite-void", "invite-used", "invite-early",
]  # fmt: skip

TEXTS: Final[Mapping[Kind, Text]] = {
    "in-line": Text(503, "There is a line", "Open the shop in a browser to take a place, or join as an app."),
    "nothing-sent": Text(
        503,
        N_("You are not in the shop yet"),
        N_(
            "There is a line, and your turn has not come or has ended. Nothing was sent to the shop. "
            "Open the shop to see your place in the line, then send it again."
        ),
    ),
    "store-away": Text(
        503, "One moment, please", "The line cannot be reached just now. Nobody loses a place by it. Try again soon.", 5
    ),
    "retry": Text(503, "One moment, please", "Your place could not be read just now. It is kept. Try again soon.", 5),
    "no-cookies": Text(
        403,
        N_("This page needs cookies"),
        N_(
            "Your place in the line is kept in a cookie, and none came back from your browser. "
            "Allow cookies for this site, or open it in another browser, then try again."
        ),
    ),
    "link-over": Text(
        410,
        N_("This link does not work any more"),
        N_(
            "It was used, its time is over, or the place was taken along too often. "
            "Make a new one on the device that has your place."
        ),
    ),
    "no-place": Text(
        409, N_("You have no place in line here"), N_("A place can be taken along while it waits in line.")
    ),
    "bad-request": Text(
        400, N_("This request could not be understood"), N_("Check the address, or go back to the shop.")
    ),
    "forbidden": Text(
        403, N_("This has to come from the shop itself"), N_("Another site sent it, so nothing was done.")
    ),
    "not-found": Text(404, N_("There is nothing here"), N_("The address may be misspelt.")),
    "method-not-allowed": Text(
        405, N_("This does not work here"), N_("The address does not take this kind of request.")
    ),
    "invited-only": Text(
        403, N_("By invitation only"), N_("Only people with an invite come in here. If you have one, open its link.")
    ),
    "invite-void": Text(
        403,
        N_("This invite does not count"),
        N_("It has run out, was taken back, or its address is not complete. Ask whoever sent it to you."),
    ),
    "invite-used": Text(
        403,
        N_("This invite has been used"),
        N_("It counts for whoever used it first. If that was you, open the shop in the browser you used."),
    ),
    "invite-early": Text(
        403, N_("It is too early for this invite"), N_("It counts once the sale has opened. Keep the link until then.")
    ),
}
INVITE: Final = (
    N_("You are invited"),
    N_("This invite gives you a place in a line of its own. It will count for this browser alone."),
    N_("Use the invite"),
)

KEPT: Final = N_("Nothing is wrong on your side, and you keep your place in the shop.")
ORIGIN_TEXTS: Final[Mapping[OriginFault, tuple[str, str]]] = {
    "refused": (N_("The shop cannot be reached"), KEPT),
    "connect_timeout": (N_("The shop cannot be reached"), KEPT),
    "reset": (N_("The shop broke off its answer"), KEPT),
    "timeout": (N_("The shop takes too long to answer"), KEPT),
    "garbage": (N_("The shop gave an answer that cannot be shown"), KEPT),
    "busy": (N_("The shop is very busy"), KEPT),
    "loop": (
        N_("This address leads in a circle"),
        N_("The shop's address points back here; its operators have to mend that."),
    ),
    "upload": (N_("What you sent did not arrive"), N_("The connection was too slow or was lost on the way.")),
    "coding": (N_("This request could not be passed on"), N_("It is written in a way that the shop cannot read.")),
}
ORIGIN_RETRY_S: Final = 5
ABOUT_ORDERS: Final = frozenset((*ORIGIN_TEXTS, "nothing-sent"))
"""Where somebody may wonder whether an order went through, the page leads to what is known of it."""
AGAIN: Final = N_("Try again in a moment.")
UNSENT: Final = N_("What you sent did not reach the shop, so you can send it again.")
UNSURE: Final = N_("It is not certain whether the shop received what you sent. Look there before you send it again.")
