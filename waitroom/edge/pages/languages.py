"""The languages of the pages: what each says, and which one a browser is answered in.

English is the source: a sentence stands, in English, where it is used. The other languages are gettext catalogues,
`templates/locales/<language>/LC_MESSAGES/waitroom.po`, read when a language is first asked for.

To add a sentence:

1. Write it where it is said. `{name}` stands for a value.
     in a template      {{ _("It’s busy at {shop}.", shop=shop) }}
     for the script     a row of `script_words` in waitroom/edge/pages/words.py; by number: ngettext("{n} hour", …)
     in Python          N_("Try again") marks it, `language.say(text)` translates it where the language is known
2. pybabel extract --sort-output -F pyproject.toml --ignore-dirs '.*' -o /tmp/waitroom.pot --no-location -w 120 .
   pybabel update -N -D waitroom -i /tmp/waitroom.pot -d templates/locales -w 120 --ignore-obsolete
3. Write the translations into the catalogues. tests/edge/pages/test_languages.py says what is missing.

A name or a message of the operator's may be written in any direction: in HTML it stands inside `<bdi>`.
"""

import gettext
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from markupsafe import Markup

from waitroom.core.parse import LANGUAGES
from waitroom.edge.pages.accept_language import LONGEST_BYTES, choose

ENGLISH: Final = "en"
OFFERED: Final = frozenset(LANGUAGES)
DOMAIN: Final = "waitroom"
MOST_HEADERS: Final = 1024
"""Different `Accept-Language` headers whose choice is remembered."""


class Language:
    """What the pages say in one language."""

    def __init__(self, tag: str, catalog: Catalog | None = None) -> None:
        self.tag: Final = tag
        self.locale: Final = Locale.parse(tag, sep="-")
        self.direction: Final = self.locale.text_direction
        self.header: Final = (b"content-language", tag.encode())
        self._catalog = catalog

    def say(self, sentence: str) -> str:
        """The sentence, or the English one where there is no translation."""
        message = self._catalog.get(sentence) if self._catalog is not None else None
        return str(message.string) if message is not None and message.string else sentence

    def in_html(self, sentence: str, **values: object) -> Markup:
        """The sentence with values, which are escaped; the sentence itself may hold our own inline elements."""
        return Markup(self.say(sentence)).format(**values)  # noqa: S704 - from our own catalogues, never from a request

    def forms(self, one: str, other: str) -> dict[str, str]:
        """The sentence for each category of number that differs from `other`; keyed as `Intl.PluralRules` has it."""
        message = self._catalog.get(one) if self._catalog is not None else None
        strings = message.string if message is not None else None
        if strings is None or isinstance(strings, str) or not all(strings):
            return {"one": one, "other": other}
        said = {category: strings[form] for category, form in self._form_of.items()}
        return {name: text for name, text in said.items() if name == "other" or text != said["other"]}

    def pick(self, forms: Mapping[str, str], number: float) -> str:
        """The one of `forms` that goes with a number."""
        return forms.get(self.locale.plural_form(number), forms["other"])

    @cached_property
    def _form_of(self) -> dict[str, int]:
        """Category of CLDR → form of gettext: what the catalogue's rule says for numbers of that category. Where no
        whole number has it (fractions in Polish), the last.
        """
        assert self._catalog is not None
        rule, found = gettext.c2py(self._catalog.plural_expr), {}
        for number in (1_000_000, 1000, *range(200, -1, -1)):
            found[self.locale.plural_form(number)] = rule(number)
        return {
            name: found.get(name, self._catalog.num_plurals - 1) for name in (*self.locale.plural_form.tags, "other")
        }


class Languages:
    """All of them; a catalogue is read when it is first needed. `fixed` is the one for everybody."""

    def __init__(self, folder: Path, *, fixed: str | None = None) -> None:
        self._folder = folder
        self._loaded: dict[str, Language] = {}
        self._fixed = fixed
        self.default = self[fixed or ENGLISH]
        self._choose = lru_cache(maxsize=MOST_HEADERS)(self._choice)

    def __getitem__(self, tag: str) -> Language:
        if tag not in self._loaded:
            self._loaded[tag] = Language(tag, self._read(tag))
        return self._loaded[tag]

    def choose(self, header: bytes) -> Language:
        """The language to answer a request in, by its `Accept-Language`; empty where there is none."""
        return self._choose(header[:LONGEST_BYTES]) if header and self._fixed is None else self.default

    def _choice(self, header: bytes) -> Language:
        return self[choose(header, OFFERED) or self.default.tag]

    def _read(self, tag: str) -> Catalog | None:
        if tag == ENGLISH:
            return None
        path = self._folder / tag.replace("-", "_") / "LC_MESSAGES" / f"{DOMAIN}.po"
        with path.open("rb") as file:
            return read_po(file, locale=tag.replace("-", "_"), domain=DOMAIN)
