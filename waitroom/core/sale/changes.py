"""Live changes of a sale: from the words of `waitroom set` to the fields that Redis holds, and to sentences.

opens_at    a time; empty takes the schedule away. Of a sale that is over: the next sale, with a line of its own
lobby_at    a time, or how long before the opening
closes_at   a time, or how long after the opening; `now`; empty: no end. Later than now opens a closed sale again
at_close    drain or stop
draw_lead   how long before the opening the places are drawn
stock       how many are left; 0 is sold out, more than 0 takes it back; empty: nobody knows
sold_out    1 or 0
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from waitroom.core.errors import WaitroomError
from waitroom.core.parse import duration_text, parse_duration_ms, parse_integer, parse_switch
from waitroom.core.sale.schedule import Sale, Schedule, resolve, write_new_sale, write_schedule
from waitroom.core.sentences import people
from waitroom.core.times import When, iso_utc, parse_lobby, parse_moment, parse_when

NAMES: Final = ("opens_at", "lobby_at", "closes_at", "at_close", "draw_lead", "stock", "sold_out")
GOODS: Final = frozenset(("stock", "sold_out"))
"""What does not depend on the phase."""
LEAD_MS: Final = 60_000
LEAD_BOUNDS_MS: Final = (1_000, 10 * 60_000)
MOST_STOCK: Final = 1_000_000_000
NOW: Final = When(-1)
"""Stands for the moment at which a change is made."""
OVER: Final = (None, "closed")
RUNNING: Final = ("open", "draining")


class Refused(WaitroomError):
    """The change makes no sense for the sale as it is; the text says why, a line a fault."""


@dataclass(frozen=True, slots=True)
class Planned:
    """The fields to write (none if nothing changes), and what that will do, in sentences."""

    fields: dict[str, str]
    effects: tuple[str, ...]


def read(name: str, text: str) -> object:
    """One word's value. Raises ValueError with what continues a sentence."""
    match name:
        case "opens_at":
            return parse_moment(text)
        case "lobby_at":
            return parse_lobby(text)
        case "closes_at":
            return NOW if text.strip() == "now" else parse_when(text)
        case "at_close":
            if text not in ("drain", "stop"):
                raise ValueError("is not one of drain, stop")
            return text
        case "draw_lead":
            lead_ms = parse_duration_ms(text)
            if not LEAD_BOUNDS_MS[0] <= lead_ms <= LEAD_BOUNDS_MS[1]:
                raise ValueError(f"is not within {' and '.join(map(duration_text, LEAD_BOUNDS_MS))}")
            return lead_ms
        case "stock":
            if not text.strip():
                return None
            count = parse_integer(text)
            if not 0 <= count <= MOST_STOCK:
                raise ValueError(f"is not a number from 0 to {MOST_STOCK}")
            return count
        case _:
            return parse_switch(text)


def plan_sale(sale: Sale, given: Mapping[str, str], *, now_ms: float, waiting: int) -> Planned:
    """What these words do to the sale. Raises Refused where they make no sense now; they are checked already."""
    values = {name: read(name, text) for name, text in given.items() if name in NAMES}
    fields: dict[str, str] = {}
    said: list[str] = []
    if values.keys() - GOODS:
        schedule = wanted_schedule(sale, values, now_ms)
        change = planned(sale, schedule, now_ms=now_ms, live=True, waiting=waiting)
        fields, said = dict(change.fields), list(change.effects)
        if change.fields.get("phase") == "before":
            sale = replace(sale, is_sold_out=False, stock=None)
    goods = dict(goods_fields(sale, values))
    said += goods_effects(goods, waiting)
    return Planned({**fields, **goods}, tuple(said))


def wanted_schedule(sale: Sale, values: Mapping[str, Any], now_ms: float) -> Schedule | None:
    """The schedule with the words applied; what is not said stays as it was. The lobby moves with the opening."""
    old = sale.schedule
    if "opens_at" in values and values["opens_at"] is None:
        return None
    if old is None and "opens_at" not in values:
        raise Refused("There is no sale to change: say when it opens, like opens_at='2026-12-01 10:00 Europe/Berlin'.")
    opens_ms = values.get("opens_at", old.opens_ms if old else 0)
    moved_ms = opens_ms - old.opens_ms if old else 0
    lobby = values.get("lobby_at", parse_lobby("") if old is None else When(old.lobby_ms + moved_ms))
    closes = values.get("closes_at")
    if closes is NOW:
        closes = When(int(now_ms))
    elif "closes_at" not in values and old is not None and old.closes_ms and not is_next(sale, opens_ms):
        closes = When(old.closes_ms)
    return resolve(
        opens_ms,
        lobby,
        closes,
        at_close=values.get("at_close", old.at_close if old else "drain"),
        lead_ms=values.get("draw_lead", old.lead_ms if old else LEAD_MS),
    )


def is_next(sale: Sale, opens_ms: int) -> bool:
    """Whether a sale that opens then is another one than this: this one is over, or there is none."""
    is_other = sale.schedule is None or sale.schedule.opens_ms != opens_ms
    return is_other and (sale.latched in OVER or sale.is_sold_out)


def planned(sale: Sale, schedule: Schedule | None, *, now_ms: float, live: bool = False, waiting: int = 0) -> Planned:
    """From the sale as it is to this schedule. `live`: an operator says so now, and does not mean the past."""
    old = sale.schedule
    if schedule is None:
        return without_schedule(sale, waiting)
    faults = list(schedule.faults())
    is_moved = old is not None and schedule.opens_ms != old.opens_ms
    if is_moved and sale.latched in RUNNING and not sale.is_sold_out:
        faults.append("The sale has opened. Change closes_at, or close it (closes_at=now) before the next one is set.")
    if live and schedule.opens_ms <= now_ms and (old is None or old.opens_ms != schedule.opens_ms):
        faults.append(f"opens_at ({iso_utc(schedule.opens_ms)}) is past.")
    is_new_end = old is None or old.closes_ms != schedule.closes_ms
    if live and is_new_end and 0 < schedule.closes_ms < int(now_ms):
        faults.append(f"closes_at ({iso_utc(schedule.closes_ms)}) is past; to close at once, say closes_at=now.")
    if live and old is not None and not is_next(sale, schedule.opens_ms) and sale.latched != "before":
        moved_ms = schedule.opens_ms - old.opens_ms
        if schedule.lobby_ms != old.lobby_ms + moved_ms:
            faults.append("The lobby is open already: lobby_at can be changed no more.")
    if faults:
        raise Refused("\n".join(faults))
    if old is None or is_next(sale, schedule.opens_ms):
        fields = write_new_sale(schedule)
        return Planned(fields, tuple(new_effects(schedule, now_ms, waiting)))
    before, after = write_schedule(old), write_schedule(schedule)
    fields = {field: text for field, text in after.items() if before[field] != text}
    if not fields:
        return Planned({}, ())
    fields["due"] = "1"
    phase = moved_phase(sale, schedule, now_ms)
    if phase is not None:
        fields["phase"] = phase
    return Planned(fields, tuple(moved_effects(sale, schedule, phase, now_ms, waiting)))


def moved_phase(sale: Sale, schedule: Schedule, now_ms: float) -> str | None:
    """The phase that a changed end leads to; None where the clock decides as ever."""
    is_over = 0 < schedule.closes_ms <= now_ms
    if sale.latched in ("draining", "closed") and not is_over:
        # From where it was when it closed: the clock leads on from there.
        return "lobby" if sale.lobby_size is None else "drawn"
    if sale.latched == "draining" and schedule.at_close == "stop":
        return "closed"
    return None


def without_schedule(sale: Sale, waiting: int) -> Planned:
    if sale.schedule is None:
        return Planned({}, ())
    if sale.lobby_size:
        raise Refused(
            "The places of this sale are drawn, and its people stand by them. To take the schedule away, start the "
            "line again first (`waitroom reset`); to let the sale run on, take away its end (closes_at=)."
        )
    said = f"There is no sale any more: the line runs at its rate for whoever comes, {people(waiting)} in it first."
    return Planned({"phase": "", "due": "0"}, (said,))


def new_effects(schedule: Schedule, now_ms: float, waiting: int) -> Iterator[str]:
    opens, closes = at(schedule.opens_ms, now_ms), end_text(schedule, now_ms)
    yield f"A sale opens {opens} and {closes}."
    if schedule.lobby_ms < schedule.opens_ms:
        lobby = "at once" if schedule.lobby_ms <= now_ms else at(schedule.lobby_ms, now_ms)
        yield f"Its lobby opens {lobby}; {draw_text(schedule, now_ms)}. Before the lobby there is a countdown."
    else:
        yield "It has no lobby and no draw: numbers are taken from the opening on, first come, first served."
    yield f"Nobody is let in until it opens; whoever is in line now loses their place ({people(waiting)})."


def moved_effects(sale: Sale, schedule: Schedule, phase: str | None, now_ms: float, waiting: int) -> Iterator[str]:
    old = sale.schedule
    assert old is not None
    if schedule.opens_ms != old.opens_ms:
        yield f"The sale opens {at(schedule.opens_ms, now_ms)} instead of {iso_utc(old.opens_ms)}."
        if sale.latched == "lobby":
            yield f"Whoever is in the lobby keeps their ticket ({people(waiting)})."
        elif sale.latched == "drawn":
            yield f"The places that were drawn stay as they are ({people(waiting)})."
    elif (schedule.lobby_ms, schedule.lead_ms) != (old.lobby_ms, old.lead_ms):
        yield f"Its lobby opens {at(schedule.lobby_ms, now_ms)}; {draw_text(schedule, now_ms)}."
    if phase in ("lobby", "drawn"):
        yield f"The sale is open again and {end_text(schedule, now_ms)}; {people(waiting)} in line go on."
    elif phase == "closed":
        yield f"Nobody in line gets a turn any more ({people(waiting)})."
    elif (schedule.closes_ms, schedule.at_close) != (old.closes_ms, old.at_close):
        yield f"The sale {end_text(schedule, now_ms)}."
        if 0 < schedule.closes_ms <= now_ms and sale.latched == "open":
            turn = "still get a turn" if schedule.at_close == "drain" else "get none"
            yield f"People in line {turn} ({people(waiting)}); whoever is inside goes on shopping."


def goods_fields(sale: Sale, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What changes of the stock and of being sold out. A stock says which, unless both are given."""
    sold_out = values.get("sold_out", sale.is_sold_out)
    if "stock" in values:
        stock = values["stock"]
        if stock != sale.stock:
            yield "stock", "" if stock is None else str(stock)
        sold_out = values.get("sold_out", stock == 0 if stock is not None else sold_out)
    if sold_out != sale.is_sold_out:
        yield "sold_out", "1" if sold_out else "0"
        if not sold_out and sale.stock == 0 and "stock" not in values:
            yield "stock", ""


def goods_effects(fields: Mapping[str, str], waiting: int) -> Iterator[str]:
    match fields.get("sold_out"):
        case "1":
            yield f"Everybody in line is told that it is sold out ({people(waiting)}); nobody new is let in."
            yield "Whoever is inside goes on shopping. To take it back: waitroom sold-out --undo."
        case "0":
            yield f"It is not sold out any more: the line goes on, with {people(waiting)} in it."
    if fields.get("stock"):
        yield f"The page says that about {int(fields['stock']):,} are left."
    elif "stock" in fields:
        yield "The page says nothing of how many are left."


def draw_text(schedule: Schedule, now_ms: float) -> str:
    return f"places are drawn {at(schedule.draw_ms, now_ms)}"


def end_text(schedule: Schedule, now_ms: float) -> str:
    if not schedule.closes_ms:
        return "has no closing time"
    end = "at once" if schedule.closes_ms <= now_ms else at(schedule.closes_ms, now_ms)
    rest = "then everyone in line still gets a turn" if schedule.at_close == "drain" else "then the line ends, too"
    return f"closes {end} ({rest})"


def at(time_ms: int, now_ms: float) -> str:
    """`2026-12-01T09:00:00Z (in 25m)`."""
    span_ms = (time_ms - now_ms) // 1000 * 1000
    if span_ms > 600_000:
        span_ms = span_ms // 60_000 * 60_000
    return iso_utc(time_ms) + (f" (in {duration_text(span_ms)})" if span_ms > 0 else " (now)")
