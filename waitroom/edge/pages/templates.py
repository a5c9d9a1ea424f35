"""The page templates: ours, and an operator's folder whose files stand in for ours of the same name.

An operator's `waiting.html` may begin with `{% extends "ours/waiting.html" %}` and say only the blocks that differ.
What is wrong with a file is said with its name and line, before anybody meets it.
"""

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence, Set
from pathlib import Path
from typing import Any

from jinja2 import (
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    Template,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
)
from markupsafe import Markup

from waitroom.core.errors import ConfigError
from waitroom.edge.pages.documents import Document, as_format

VARIABLE = "WAITROOM_TEMPLATES"
KINDS = (".html", ".css", ".js")
NOTHING_JOINED: Mapping[str, Sequence[str]] = {}
NEEDED = {"waiting.html": ("json", "again"), "error.html": ("href", "action", "request_id")}
"""What a page cannot do without: `{{ visitor.… }}`. In the waiting page only where there is a ticket's card."""


class Recording(ChoiceLoader):
    """Remembers which names were asked for."""

    def __init__(self, loaders: Sequence[FileSystemLoader | PrefixLoader]) -> None:
        super().__init__(loaders)
        self.asked: set[str] = set()

    def get_source(self, environment: Environment, template: str) -> tuple[str, str | None, Callable[[], bool] | None]:
        self.asked.add(template)
        return super().get_source(environment, template)

    def load(self, environment: Environment, name: str, globals: MutableMapping[str, Any] | None = None) -> Template:
        self.asked.add(name)
        return super().load(environment, name, globals)


class Templates:
    """The page templates of a folder, some of another in their place. Unknown names are errors, all is escaped."""

    def __init__(self, folder: Path, instead: Path | None = None) -> None:
        if instead is not None and not instead.is_dir():
            raise ConfigError([f"{VARIABLE}={instead} is not a folder"])
        self.instead = instead
        ours = FileSystemLoader(folder)
        theirs = [FileSystemLoader(instead)] if instead is not None else []
        self._loader = Recording([*theirs, ours, PrefixLoader({"ours": ours})])
        self._environment = Environment(
            loader=self._loader,
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def source(self, name: str) -> str:
        return self._loader.get_source(self._environment, name)[0]

    def compile(
        self,
        name: str,
        context: Mapping[str, object],
        *,
        visitor: Set[str] = frozenset(),
        framed: bool = False,
        referrer: bytes = b"same-origin",
        joined: Mapping[str, Sequence[str]] = NOTHING_JOINED,
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> Document:
        """Render once. The names in `visitor` become the fields of `Document.body`; one in `joined` stands for several
        of them, in a row. Raises ConfigError where an operator's file is at fault.
        """
        html = self._render(name, context, visitor, joined)
        return Document(html, framed=framed, referrer=referrer, headers=headers)

    def fragment(self, name: str, context: Mapping[str, object], *, visitor: Set[str]) -> bytes:
        """A part of a page, rendered once: a bytes format, with the names in `visitor` as its fields."""
        return as_format(self._render(name, context, visitor))

    def _render(
        self,
        name: str,
        context: Mapping[str, object],
        visitor: Set[str],
        joined: Mapping[str, Sequence[str]] = NOTHING_JOINED,
    ) -> str:
        marks = {field: Markup(f"\ue000{field}\ue001") for field in visitor}  # noqa: S704 - a constant mark
        marks |= {name: Markup("").join(marks[field] for field in fields) for name, fields in joined.items()}
        try:
            html = self._environment.get_template(name).render({**context, "visitor": marks})
        except Exception as error:
            if self.instead is None:
                raise
            raise ConfigError([f"{VARIABLE}: {place_of(error, name)}: {why(error)}"]) from error
        if self.instead is not None and context.get("ticket", True):
            missing = [mark for mark in NEEDED.get(name, ()) if mark in marks and marks[mark] not in html]
            if missing:
                shown = ", ".join(f"{{{{ visitor.{mark} }}}}" for mark in missing)
                raise ConfigError([f"{VARIABLE}: {name} does not show {shown}, without which it does not work"])
        return "\n".join(filter(None, map(str.strip, html.splitlines()))) + "\n"

    def unused(self) -> Iterator[str]:
        """Sentences on an operator's files that no page has asked for so far: most likely misspelt."""
        if self.instead is None:
            return
        for path in sorted(self.instead.rglob("*")):
            name = path.relative_to(self.instead).as_posix()
            if path.suffix in KINDS and name not in self._loader.asked:
                yield f"{VARIABLE}: {name} is used by no page; a file takes the place of ours with the same name"


def place_of(error: Exception, name: str) -> str:
    """File and line, as far as they are known."""
    if isinstance(error, TemplateSyntaxError):
        return f"{Path(error.filename or error.name or name).name} line {error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(KINDS)]
    return f"{Path(frames[-1].filename).name} line {frames[-1].lineno}" if frames else name


def why(error: Exception) -> str:
    if isinstance(error, TemplateNotFound):
        return f"there is no template {error.name}"
    if isinstance(error, TemplateError):
        return str(error.message)
    return f"{type(error).__name__}: {error}"
