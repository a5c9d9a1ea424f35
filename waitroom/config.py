"""The environment, read once: its variables to `Settings`, its faults to sentences.

The only module that knows how variables are named and what the environment holds. A fault names
its variable and its value, so that it can be found and mended; the value of a variable that may
hold a secret is never repeated.
"""

import difflib
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pydantic import ValidationError

from waitroom.core.errors import ConfigError
from waitroom.core.settings import Settings

PREFIX = "WAITROOM_"
SECRETIVE = frozenset({"secret", "admin_token", "redis_url", "bypass"})  # their values are never shown
NO_VARIABLE = frozenset({"named"})
SHOWN_LENGTH = 80
SERVICE_LINK = re.compile(r"SERVICE_(HOST|PORT(_.+)?)|PORT_\d+_(TCP|UDP).*")


class Variable(NamedTuple):
    """One setting as an operator meets it. `default` is what one would write; empty where there is none."""

    name: str
    default: str
    help: str
    required: bool


def variables() -> Iterator[Variable]:
    """Every setting there is, in the order of `Settings`."""
    for name, field in Settings.model_fields.items():
        if name in NO_VARIABLE:
            continue
        required = field.is_required()
        yield Variable(variable_of(name), "" if required else str(field.default), field.description or "", required)


def variable_of(field: str) -> str:
    return PREFIX + field.upper()


def load(environ: Mapping[str, str], *, needs: Sequence[str] = ("origin", "secret")) -> Settings:
    """The settings of an environment; raises ConfigError with every fault of it.

    `needs` are the fields that must be there: a command that only speaks to the line needs
    neither the shop nor a signing key.
    """
    found = {name.removeprefix(PREFIX): text for name, text in environ.items() if name.startswith(PREFIX)}
    known = {name.upper(): name for name in Settings.model_fields if name not in NO_VARIABLE}
    values = {known[name]: text for name, text in found.items() if name in known}
    faults = [unknown_name(name, list(known)) for name in sorted(found) if name not in known]
    for field, text in stand_ins().items():
        if field not in needs and not values.get(field, "").strip():
            values[field] = text
    settings, wrong = attempt(values)
    faults += wrong.values()
    if settings is None:
        faults += disagreements(values, wrong)
    if faults or settings is None:
        raise ConfigError(faults)
    return settings


def stand_ins() -> dict[str, str]:
    """For a field that a command does not need, or that is at fault; nothing anybody could sign with."""
    return {"origin": "https://127.0.0.1", "secret": secrets.token_urlsafe(32)}


def attempt(values: Mapping[str, str]) -> tuple[Settings | None, dict[str, str]]:
    """The settings, or a sentence for each field at fault; neither if fields only disagree with each other."""
    try:
        return Settings.model_validate(values), {}
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
    return None, {str(fault["loc"][0]): sentence(fault, values) for fault in found if fault["loc"]}


def disagreements(values: Mapping[str, str], wrong: Mapping[str, str]) -> list[str]:
    """What the fields that are right by themselves say against each other."""
    right = {field: text for field, text in values.items() if field not in wrong}
    replaced = {field: text for field, text in stand_ins().items() if field in wrong}
    try:
        Settings.model_validate({**right, **replaced})
    except ValidationError as error:
        return [line for fault in error.errors() for line in str(fault["ctx"]["error"]).splitlines()]
    return []


def sentence(fault: Mapping[str, object], values: Mapping[str, str]) -> str:
    """One field's fault, in words that begin with the variable."""
    field = str(fault["loc"][0])  # type: ignore[index]
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "missing":
        return f"{variable_of(field)} is missing: {Settings.model_fields[field].description}"
    if fault["type"] == "literal_error":
        context = fault["ctx"]
        assert isinstance(context, dict)
        message = f"is not one of {str(context['expected']).replace(chr(39), '')}"
    return f"{variable_of(field)}{shown(field, values[field])} {message}"


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
