"""`waitroom draw`: the draw of the room's lobby, and the note that it waits for."""

from waitroom.cli.console import FAILED, MISUSED, fail, say
from waitroom.cli.room import operator, speak
from waitroom.core.sale.draw_state import Draw
from waitroom.core.settings import Settings
from waitroom.core.times import iso_ms
from waitroom.store.drawing import Entered, enter_note
from waitroom.store.operating import look, settled
from waitroom.store.room import Room

REFUSED: dict[Entered, str] = {
    "other": "Nothing was changed: there is a note already, another one. It cannot be entered twice.",
    "early": "Nothing was changed: it is not fixed yet who takes part. Enter the note after the draw.",
    "none": "Nothing was changed: no source was named for a note (WAITROOM_DRAW_SOURCE) when the lobby opened.",
    "late": "Nothing was changed: the sale went on, and the draw with it.",
}


def show_draw(settings: Settings, *, as_json: bool) -> None:
    """The public record, as a table or as JSON."""

    async def show(room: Room) -> None:
        draw = await found_draw(room, settings)
        if as_json:
            say(draw.record(settings.room).to_json())
        else:
            say(*described(draw, settings.room))

    speak(settings, show)


def give_note(settings: Settings, note: str) -> None:
    """Enter the value of the note's source."""
    note = note.strip()
    if not note or len(note) > 1000 or not note.isprintable():
        fail("The note has to be one line of at most 1000 characters.", code=MISUSED)

    async def give(room: Room) -> None:
        found = await look(room, settings.room)
        said = await settled(lambda: enter_note(room, found.state, note, by=operator()))
        if said in REFUSED:
            fail(REFUSED[said])
        say("This note is there already." if said == "known" else "Done: the places follow from it.")

    speak(settings, give)


async def found_draw(room: Room, settings: Settings) -> Draw:
    draw = (await look(room, settings.room)).state.draw
    if draw is None:
        fail("There is no draw: one is announced when the lobby of a sale opens.", code=FAILED)
    return draw


def described(draw: Draw, room: str) -> list[str]:
    """The draw in lines."""
    record = draw.record(room)
    lines = [
        f"announced   {record.opened_at}",
        f"commitment  {record.commitment}",
        f"source      {record.source or 'none: no note is used'}",
    ]
    if draw.numbers is None:
        return [*lines, "Not drawn yet: nobody has a place, and the seed is secret."]
    lines.append(f"drawn       {record.drawn_at}: {record.people} people")
    lines.append(f"seed        {record.seed or f'not revealed: no gateway holds the signing key {draw.key_id}'}")
    if record.source:
        lines.append(f"note        {'missing: waitroom draw --note VALUE' if record.note is None else record.note}")
    if draw.known_ms:
        lines += [f"places      known since {iso_ms(draw.known_ms)}", f"checksum    {record.checksum}"]
    return lines
