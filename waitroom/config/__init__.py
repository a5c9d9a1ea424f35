"""The environment, read once, and the file it may name: to `Settings`, their faults to sentences.

The only package that knows how variables are named and what the environment holds. A fault names
its variable and its value, so that it can be found and mended; the value of a variable that may
hold a secret is never repeated.
"""

import difflib
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pydantic import ValidationError

from waitroom.config.rooms_file import NO_FILE, RoomsFile, read_rooms_file
from waitroom.core.errors import ConfigError
from waitroom.core.settings import Settings

PREFIX = "WAITROOM_"
SECRETIVE = frozenset({"secret", "shop_secret", "admin_token", "redis_url", "bypass"})  # their values are never shown
NO_VARIABLE = frozenset({"named", "rooms"})
VARIABLE = re.compile(PREFIX + "([A-Z][A-Z_]*[A-Z])")
MOST_ROOMS = 32
SHOWN_LENGTH = 80
SERVICE_LINK = re.compile(r"SERVICE_(HOST|PORT(_.+)?)|PORT_\d+_(TCP|UDP).*")

PROCESS_WIDE = frozenset(
    (
        *("room", "config", "public_url", "redis_url", "data_dir", "secret", "host", "port", "workers", "admin_listen"),
        *("admin_token", "trusted_proxies", "forwarded", "forward_auth", "cookie_domain", "cors_origins", "stop_delay"),
        "log",
    )
)
"""Settings of the whole gateway, which no single room can have."""
OWN_OF_A_ROOM = frozenset(
    (
        *("guard", "rate", "burst", "max_active", "invite_share", "invite_only"),
        *("opens_at", "lobby_at", "closes_at", "at_close", "draw_lead", "draw_source"),
    )
)
"""What a further room does not take from above: its line is its own, and where it says nothing the defaults hold."""


class Variable(NamedTuple):
    """One setting as an operator meets it. `default` is what one would write; empty where there is none."""

    name: str
    default: str
    help: str
    required: bool


def variables() -> Iterator[Variable]:
    """Every setting there is, in the order of `Settings`."""
    for name in fields():
        field = Settings.model_fields[name]
        required = field.is_required()
        yield Variable(variable_of(name), "" if required else str(field.default), field.description or "", required)


def variable_of(field: str) -> str:
    return PREFIX + field.upper()


def load(environ: Mapping[str, str], *, needs: Sequence[str] = ("origin", "secret")) -> Settings:
    """The settings of an environment and of the file it names; raises ConfigError with every fault of both.

    `needs` are the fields that must be there: a command that only speaks to the line needs
    neither the shop nor a signing key.
    """
    found = {name.removeprefix(PREFIX): text for name, text in environ.items() if name.startswith(PREFIX)}
    known = {field.upper(): field for field in fields()}
    given = {known[name]: text for name, text in found.items() if name in known}
    faults = [unknown_name(name, list(known)) for name in sorted(found) if name not in known]
    file = NO_FILE
    if path := given.get("config", "").strip():
        file = read_rooms_file(path, top=[name for name in fields() if name != "config"], room=room_fields())
        faults += file.faults
    said = {field: text for field, text in given.items() if text.strip()}
    values = given | file.top | said
    for field, text in stand_ins().items():
        if field not in needs and not values.get(field, "").strip():
            values[field] = text

    def name_of(field: str) -> str:
        return f"{file.name}: {field}" if field in file.top and field not in said else variable_of(field)

    settings, wrong = attempt(values, name_of)
    faults += wrong.values()
    if settings is None:
        faults += disagreements(values, wrong)
    rooms, in_rooms = read_rooms(file, {field: text for field, text in values.items() if field not in wrong}, faults)
    faults += in_rooms
    if faults or settings is None:
        raise ConfigError(faults)
    return settings.model_copy(update={"rooms": rooms})


def fields() -> Iterator[str]:
    return (name for name in Settings.model_fields if name not in NO_VARIABLE)


def room_fields() -> list[str]:
    return [name for name in fields() if name not in PROCESS_WIDE]


def read_rooms(
    file: RoomsFile, above: Mapping[str, str], known_faults: Sequence[str]
) -> tuple[tuple[Settings, ...], list[str]]:
    """The further rooms of the file, or what is wrong with them. `above` are the values at the top that are right."""
    rooms: list[Settings] = []
    faults: list[str] = []
    inherited = {field: text for field, text in above.items() if field not in OWN_OF_A_ROOM}
    replaced = {field: text for field, text in stand_ins().items() if field not in above}
    guards = dict.fromkeys(guards_of(above.get("guard", default_of("guard"))), "the top")
    names = {above.get("room") or default_of("room")}
    for name, table in file.rooms.items():
        where = f"{file.name}, room {name}"
        values = {**replaced, **inherited, **table, "room": name}
        settings, wrong = attempt(values, f"{where}: {{}}".format)
        faults += wrong.values()
        if settings is None:
            said = disagreements(values, wrong)
            faults += [f"{where}: {in_a_room(text)}" for text in said if text not in known_faults]
        if not guards_of(table.get("guard", "")):
            faults.append(f"{where}: guard is missing: a room has to say which paths are behind its line")
        for guard in guards_of(table.get("guard", "")):
            if guard in guards:
                faults.append(f"{where}: guard={guard} is what {guards[guard]} guards; a path has one line")
            guards[guard] = f"room {name}"
        if name in names:
            faults.append(f"{where}: is the room at the top; give one of them another name")
        names.add(name)
        if settings is not None:
            rooms.append(settings.model_copy(update={"named": True}))
    if len(file.rooms) > MOST_ROOMS:
        faults.append(f"{file.name}: {len(file.rooms)} rooms are more than the {MOST_ROOMS} that one gateway may have")
    return tuple(rooms), faults


def default_of(field: str) -> str:
    return str(Settings.model_fields[field].default)


def guards_of(text: str) -> list[str]:
    return [part.strip().lower() for part in text.split(",") if part.strip()]


def in_a_room(text: str) -> str:
    """A sentence that names variables, as one that names a room's settings."""
    return VARIABLE.sub(lambda found: found[1].lower() if found[1].lower() in room_fields() else found[0], text)


def stand_ins() -> dict[str, str]:
    """For a field that a command does not need, or that is at fault; nothing anybody could sign with."""
    return {"origin": "https://127.0.0.1", "secret": secrets.token_urlsafe(32)}


def attempt(
    values: Mapping[str, str], name_of: Callable[[str], str] = variable_of
) -> tuple[Settings | None, dict[str, str]]:
    """The settings, or a sentence for each field at fault; neither if fields only disagree with each other."""
    try:
        return Settings.model_validate(values), {}
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
    return None, {str(fault["loc"][0]): sentence(fault, values, name_of) for fault in found if fault["loc"]}


def disagreements(values: Mapping[str, str], wrong: Mapping[str, str]) -> list[str]:
    """What the fields that are right by themselves say against each other."""
    right = {field: text for field, text in values.items() if field not in wrong}
    replaced = {field: text for field, text in stand_ins().items() if field in wrong}
    try:
        Settings.model_validate({**right, **replaced})
    except ValidationError as error:
        return [line for fault in error.errors() for line in str(fault["ctx"]["error"]).splitlines()]
    return []


def sentence(fault: Mapping[str, object], values: Mapping[str, str], name_of: Callable[[str], str]) -> str:
    """One field's fault, in words that begin with its name."""
    field = str(fault["loc"][0])  # type: ignore[index]
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "missing":
        meant = (Settings.model_fields[field].description or "").replace("`", "")
        return f"{name_of(field)} is missing; set it to {meant[:1].lower()}{meant[1:]}"
    if fault["type"] == "literal_error":
        context = fault["ctx"]
        assert isinstance(context, dict)
        message = f"is not one of {str(context['expected']).replace(chr(39), '')}"
    return f"{name_of(field)}{shown(field, values[field])} {message}"


def shown(field: str, text: str) -> str:
    """`=value` for a message; empty for what holds a secret, or may hold one by mistake."""
    if field in SECRETIVE or "@" in text:
        return ""
    cut = text if len(text) <= SHOWN_LENGTH else text[:SHOWN_LENGTH] + "…"
    return "=" + (cut if re.fullmatch(r"[!-~]+", cut) else repr(cut))


def unknown_name(name: str, known: list[str]) -> str:
    if SERVICE_LINK.fullmatch(name):
        return (
            f"{PREFIX}{name} is not a setting but a Kubernetes service link; "
            "set enableServiceLinks: false in the pod, or name the service something else"
        )
    near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.6)
    return f"{PREFIX}{name} is not a setting" + (f"; did you mean {PREFIX}{near[0]}?" if near else "")


def example_file(given: Mapping[str, str] | None = None) -> str:
    """An environment file with every setting: `given` is set, the rest stands as a comment with its default."""
    rest = dict(given or {})
    blocks = []
    for variable in variables():
        value = rest.pop(variable.name, None)
        line = f"#{variable.name}={variable.default}" if value is None else f"{variable.name}={value}"
        blocks.append(f"# {variable.help.replace('`', '')}\n{line}\n")
    assert not rest, f"not settings: {sorted(rest)}"
    return "\n".join(blocks)
