"""The promises of a draw, and where a history broke them: by what visitors were told, and the draw as workers had it.

P7   whoever is told a place keeps it, whatever is lost, and of one lobby everybody has another
P4   the places of a lobby are those from 0 on, each once; whoever comes later stands behind all of them
P3   nobody comes in before everybody had the time to learn the place
P7   a run of the line ends by an operator alone
"""

from collections.abc import Iterator

from tests.store.histories.events import (
    Admitted,
    Drawn,
    Forgotten,
    Gathered,
    History,
    Issued,
    Lost,
    Place,
    PlaceTold,
    Restarted,
)
from tests.store.histories.story import Fault


def broken_places(history: History) -> Iterator[Fault]:
    """What nobody remembers any more may be drawn anew."""
    places: dict[Place, tuple[int, int]] = {}
    tickets: dict[Place, tuple[Place, int]] = {}
    for index, event in enumerate(history):
        match event:
            case Forgotten():
                places = {ticket: told for ticket, told in places.items() if ticket.generation != event.generation}
                tickets = {place: told for place, told in tickets.items() if place.generation != event.generation}
            case PlaceTold(ticket=ticket, place=number):
                place = Place(ticket.generation, number)
                before, at = places.setdefault(ticket, (number, index))
                if before != number:
                    yield Fault("P7", index, f"ticket {ticket} had place {before}, and has {number} now", (at,))
                holder, at = tickets.setdefault(place, (ticket, index))
                if holder != ticket:
                    yield Fault("P4", index, f"place {place} is that of ticket {holder} as well", (at,))
                if (number < event.lobby) != (ticket.number < event.lobby):
                    yield Fault("P7", index, f"ticket {ticket}, of {event.lobby} in the lobby, has place {number}")


def broken_draws(history: History) -> Iterator[Fault]:
    """The draw as workers had it."""
    drawn: dict[str, tuple[Drawn, int]] = {}
    gathered: dict[str, tuple[int, int]] = {}
    for index, event in enumerate(history):
        match event:
            case Forgotten():
                drawn.pop(event.generation, None)
                gathered.pop(event.generation, None)
            case Gathered():
                numbers, at = gathered.setdefault(event.generation, (event.numbers, index))
                if numbers != event.numbers:
                    yield Fault("P7", index, f"{numbers} were in the draw before", (at,))
            case Drawn():
                if sorted(event.places) != list(range(len(event.places))):
                    yield Fault("P4", index, "places are missing, or given twice")
                before, at = drawn.setdefault(event.generation, (event, index))
                if (before.numbers, before.places) != (event.numbers, event.places):
                    yield Fault("P7", index, f"drawn again, of {event.numbers} instead of {before.numbers}", (at,))
            case Admitted(counts=True) if event.place.generation in gathered and event.place.generation not in drawn:
                yield Fault("P3", index, "let in before anybody knew a place", gathered[event.place.generation][1:])
            case Issued(place=place) if place.generation in gathered and place.number < gathered[place.generation][0]:
                yield Fault("P7", index, f"{place} came after the draw, and is in it", gathered[place.generation][1:])
            case Admitted(counts=True) if event.place.generation in drawn:
                known, at = drawn[event.place.generation]
                if event.at_s < known.learned_s:
                    yield Fault("P3", index, f"let in before everybody knew, at {known.learned_s:.3f}", (at,))


def broken_runs(history: History) -> Iterator[Fault]:
    """A new generation that no operator began; an older one that comes back though nothing was lost since."""
    seen: dict[str, list[tuple[str, float, int]]] = {}
    restarted_s = lost_since_s = -1.0
    for index, event in enumerate(history):
        match event:
            case Restarted():
                restarted_s = event.at_s
            case Lost():
                lost_since_s = event.since_s if lost_since_s < 0 else min(lost_since_s, event.since_s)
            case Issued():
                runs = seen.setdefault(event.line, [])
                if runs and runs[-1][0] == event.place.generation:
                    continue
                if runs:
                    last, since_s, at = runs[-1]
                    is_older = any(run[0] == event.place.generation for run in runs)
                    may_be = 0 <= lost_since_s <= since_s if is_older else restarted_s >= since_s
                    if not may_be:
                        yield Fault("P7", index, f"the run {last[:4]} ended, and no operator ended it", (at,))
                runs.append((event.place.generation, event.at_s, index))
