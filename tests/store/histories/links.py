"""The promise of a link, and where a history broke it.

P4   no more visitors than a link has uses; whoever presses again keeps the number while it counts, and gets none
     by that link once admitted
"""

from collections.abc import Iterator
from typing import NamedTuple

from tests.store.histories.events import Admitted, History, Lost, Place, Redeemed
from tests.store.histories.story import Fault


class Use(NamedTuple):
    at_s: float
    ticket: Place
    event: int


def broken_invites(history: History) -> Iterator[Fault]:
    """What Redis lost, it counts anew."""
    links: dict[str, dict[str, Use]] = {}
    admitted: dict[Place, float] = {}
    for index, event in enumerate(history):
        match event:
            case Lost(since_s=since_s):
                links = {
                    link: {v: use for v, use in uses.items() if use.at_s < since_s} for link, uses in links.items()
                }
                admitted = {place: at_s for place, at_s in admitted.items() if at_s < since_s}
            case Admitted():
                admitted.setdefault(event.place, event.at_s)
            case Redeemed():
                uses = links.setdefault(event.invite, {})
                before = uses.get(event.visitor, Use(event.at_s, event.ticket, index))
                if before.ticket != event.ticket:
                    if before.ticket.generation == event.ticket.generation:
                        yield Fault("P4", index, f"the link gave ticket {before.ticket} before", (before.event,))
                    elif before.ticket in admitted:
                        yield Fault("P4", index, f"{before.ticket} was admitted by this link", (before.event,))
                uses[event.visitor] = Use(event.at_s, event.ticket, index)
                if len(uses) > event.uses:
                    about = tuple(use.event for use in uses.values())
                    yield Fault("P4", index, f"{len(uses)} visitors by a link of {event.uses}", about)
