"""What the pages say in each language: nothing missing, nothing left over, numbers as readers write them."""

import gettext
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import NamedTuple

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

from tests.app.test_package import CHECKOUT
from tests.edge.pages.test_problems import FACTS
from tests.edge.pages.test_waiting import FIRST_ROUND_TRIP_BYTES, HOSTILE, SETTINGS, Reader, facts
from waitroom.core.errors import OriginFailure
from waitroom.core.parse import LANGUAGES
from waitroom.core.settings import Settings
from waitroom.edge.answers import Asked
from waitroom.edge.pages.languages import Language, Languages
from waitroom.edge.pages.problem_texts import ORIGIN_TEXTS
from waitroom.edge.pages.problems import Problems
from waitroom.edge.pages.templates_path import templates_dir
from waitroom.edge.pages.waiting import Pages
from waitroom.edge.pages.words import UNGROUPED_BELOW, Words

FOLDER = templates_dir() / "locales"
TRANSLATED = tuple(tag for tag in LANGUAGES if tag != "en")
PAGES = Pages(SETTINGS)
ALIKE = {
    "Error {status}": {"es"},
    "{n} minute": {"fr"},
    "{n} minutes": {"fr"},
}
"""What is the same in English and in these languages, and meant to be."""
PLACEHOLDER = re.compile(r"\{\w*\}")
TAG = re.compile(r"<[^>]*>")
GIVEN = r"Rhône & Fils|(Tuesday, 24 November 2026, )?[\d:]+ am UTC"
"""What a page says that is no sentence: the shop's name, and times."""
SAMPLES = (*range(201), 1000, 1_000_000)
OPENS = {"lobby_at": "2026-11-24T08:00:00Z", "opens_at": "2026-11-24T09:00:00Z"}


class Sentence(NamedTuple):
    """A translation: the English forms (one, or two), and those of the language."""

    english: tuple[str, ...]
    said: tuple[str, ...]


def forms(text: str | Sequence[str] | None) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text or ())


@cache
def catalog(tag: str) -> Catalog:
    with (FOLDER / tag.replace("-", "_") / "LC_MESSAGES" / "waitroom.po").open("rb") as file:
        return read_po(file, locale=tag.replace("-", "_"))


def sentences(tag: str) -> Iterator[Sentence]:
    return (Sentence(forms(message.id), forms(message.string)) for message in catalog(tag) if message.id)


@cache
def in_use() -> frozenset[tuple[str, ...]]:
    """Every sentence of the source, found as `pybabel extract` finds it."""
    mappings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["babel"]["mappings"]
    method_map = [(mapping["pattern"], mapping["method"]) for mapping in mappings]
    found = extract_from_dir(
        str(CHECKOUT), method_map, directory_filter=lambda path: not Path(path).name.startswith(".")
    )
    return frozenset(forms(message) for _, _, message, _, _ in found)


def test_there_is_a_catalogue_for_each_language_and_no_other() -> None:
    assert {path.name.replace("_", "-") for path in FOLDER.iterdir() if path.is_dir()} == set(TRANSLATED)


@pytest.mark.parametrize("tag", TRANSLATED)
def test_every_sentence_is_translated_and_nothing_else(tag: str) -> None:
    """To mend it: waitroom/edge/pages/languages.py says how."""
    translated = {sentence.english for sentence in sentences(tag) if all(sentence.said) and sentence.said}

    assert sorted(in_use() - translated) == []
    assert sorted({sentence.english for sentence in sentences(tag)} - in_use()) == []
    assert not any(message.fuzzy for message in catalog(tag) if message.id)


@pytest.mark.parametrize("tag", TRANSLATED)
def test_values_and_elements_are_the_same_in_every_language(tag: str) -> None:
    for english, said in sentences(tag):
        for text in said:
            names = Counter(PLACEHOLDER.findall(text))
            # The word for one or two of something may stand without the figure.
            assert names == Counter(PLACEHOLDER.findall(english[-1])) or (text is not said[-1] and len(said) > 1), text
            assert names <= Counter(PLACEHOLDER.findall(english[-1])), text
            assert Counter(TAG.findall(text)) == Counter(TAG.findall(english[-1])), text
            assert '"' not in text, f"a quotation mark would end an attribute: {text}"
            assert text == text.strip(), text


@pytest.mark.parametrize("tag", TRANSLATED)
def test_every_category_of_number_has_one_form(tag: str) -> None:
    language = Languages(FOLDER)[tag]
    rule = gettext.c2py(catalog(tag).plural_expr)
    by_category: dict[str, set[int]] = {}
    for number in SAMPLES:
        by_category.setdefault(language.locale.plural_form(number), set()).add(rule(number))

    assert all(len(found) == 1 for found in by_category.values()), by_category
    for sentence in sentences(tag):
        if len(sentence.english) == 2:
            assert len(sentence.said) == catalog(tag).num_plurals
            said = language.forms(*sentence.english)
            assert set(said) <= {*language.locale.plural_form.tags, "other"}
            for number in SAMPLES:
                assert language.pick(said, number) == sentence.said[rule(number)]
            assert set(said.values()) == set(sentence.said), "a form that nobody would read"


@pytest.mark.parametrize("tag", TRANSLATED)
def test_no_english_is_left_over(tag: str) -> None:
    alike = {text for english, said in sentences(tag) for text in said if text in english}

    assert alike == {text for text, tags in ALIKE.items() if tag in tags}


class Pseudo(Language):
    """A language that wraps every sentence, so that what stands outside is no sentence of the catalogue."""

    def say(self, sentence: str) -> str:
        return f"⟦{sentence}⟧"

    def forms(self, one: str, other: str) -> dict[str, str]:
        return {"one": f"⟦{one}⟧", "other": f"⟦{other}⟧"}


def outside(text: str) -> str:
    """What is left of a text without its wrapped sentences, which may hold each other."""
    while (less := re.sub(r"⟦[^⟦⟧]*⟧", "", text)) != text:
        text = less
    return text


def test_every_word_of_every_page_comes_from_the_catalogue() -> None:
    pages = Pages(SETTINGS)
    pseudo = pages.languages.default = Pseudo("en-001")
    problems = Problems(SETTINGS, pages)
    asked = Asked(html=True, gzip=False, safe=False, request_id="0")
    told = [
        *(problems.origin_failed(asked, OriginFailure(kind, sent=True)) for kind in ORIGIN_TEXTS),
        problems.origin_failed(asked, OriginFailure("reset", sent=False)),
        problems.nothing_sent(asked, FACTS, enter_url="/"),
        problems.frame(asked),
        problems.no_cookies(asked),
        problems.bad_request(asked, "Why."),
        problems.forbidden(asked),
        problems.not_found(asked),
        problems.method_not_allowed(asked, allow=["GET"]),
    ]
    bodies = [answer.body for answer in told]
    for state in pages.states:
        shown = facts("lobby" if state == "drawn" else state, message="", stock=3, change="faster", **OPENS)
        bodies.append(pages.waiting(shown, pseudo, gzip=False)[1])

    for body in bodies:
        reader = Reader(body.decode())
        spoken = [attrs.get(name) for _, attrs in reader.elements for name in ("aria-label", "title", "alt")]
        left = re.sub(GIVEN, "", outside(" ".join(filter(None, [reader.text, *spoken]))))
        assert not re.search(r"[^\W\d_]{2,}", left), reader.text


@pytest.mark.parametrize("path", sorted(templates_dir().rglob("*.html")), ids=lambda path: str(path.name))
def test_no_template_holds_a_word_of_its_own(path: Path) -> None:
    """What `_` is not asked for would be English in every language."""
    source = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", path.read_text(), flags=re.DOTALL)
    source = source.replace('data-for="" hidden', "")  # what the macro `on` writes into a tag
    spoken = re.findall(r'(?:aria-label|alt|title|placeholder)="([^"]*)"', source)

    text = TAG.sub(" ", re.sub(r"<(script|style)\b.*?</\1>", "", source, flags=re.DOTALL))

    assert re.findall(r"[^\W\d_]+", " ".join([text, *spoken])) == []


def test_the_scripts_say_only_what_is_in_the_catalogue() -> None:
    scripts = "".join(path.read_text() for path in templates_dir().rglob("*.js"))
    known = {*Words(Language("en")).script, "lost"}

    assert set(re.findall(r"(?<!/)\bwords\.(\w+)", scripts)) <= known
    for dynamic in re.findall(r'\bwords\[\(?"(\w+_)" \+', scripts):
        assert any(key.startswith(dynamic) for key in known), dynamic


@pytest.mark.parametrize("tag", LANGUAGES)
def test_a_page_says_its_language_and_direction_and_fits_the_first_round_trip(tag: str) -> None:
    language = PAGES.languages[tag]
    longest = " ".join(sorted(map(language.say, (english for english, *_ in in_use())), key=len))[-280:]
    target = "/" + "".join(map(chr, range(33, 127))) * 2
    for state in PAGES.states:
        shown = facts("lobby" if state == "drawn" else state, message=longest, target=target, **OPENS)
        headers, packed = PAGES.waiting(shown, language, gzip=True)
        head = PAGES.waiting(shown, language, gzip=False)[1][:200].decode()

        assert len(packed) <= FIRST_ROUND_TRIP_BYTES, state
        assert dict(headers)[b"content-language"] == tag.encode()
        assert b"accept-language" in dict(headers)[b"vary"]
        assert f'<html lang="{tag}" dir="{"rtl" if tag in ("ar", "he") else "ltr"}">' in head


@pytest.mark.parametrize("tag", LANGUAGES)
def test_numbers_are_written_as_the_language_has_it(tag: str) -> None:
    words = Words(Languages(FOLDER)[tag])
    locale = words.language.locale
    ungrouped_below = UNGROUPED_BELOW.get(locale.language, 0)

    for number in (0, 7, 999, 1000, 9999, 10_000, 123_456, 1_234_567, 0.5, 9.9, 36000.0):
        grouped = number >= ungrouped_below
        expected = format_decimal(number, "#,##0.#" if grouped else "0.#", locale=locale, numbering_system="default")
        assert words.number(number) == expected
        assert escape(expected) == expected  # so that a page can take it as it is


def test_the_operators_words_may_run_in_any_direction() -> None:
    reader = Reader(PAGES.waiting(facts(message=HOSTILE), PAGES.languages["ar"], gzip=False)[1].decode())

    assert any(attrs.get("id") == "message" and attrs.get("dir") == "auto" for _, attrs in reader.elements)
    assert sum(tag == "bdi" for tag, _ in reader.elements) >= 3


def test_a_language_is_chosen_once_a_header() -> None:
    languages = Languages(FOLDER)

    first = languages.choose(b"de-AT, en;q=0.5")

    assert first.tag == "de"
    assert languages.choose(b"de-AT, en;q=0.5") is first
    assert languages._choose.cache_info().hits == 1


def test_a_fixed_language_is_everybodys() -> None:
    languages = Languages(FOLDER, fixed="he")

    assert languages.choose(b"en;q=0.1").tag == "he"


def test_without_a_wish_pages_are_in_english() -> None:
    assert Languages(FOLDER).choose(b"").tag == "en"
    assert Languages(FOLDER).choose(b"tlh").tag == "en"


def test_a_fixed_language_has_to_be_one_of_ours() -> None:
    given = {"origin": "http://127.0.0.1:9"}

    assert Settings.model_validate({**given, "language": "PT-br"}).language == "pt-BR"
    assert Settings.model_validate(given).language is None
    with pytest.raises(ValueError, match="is not a language of the pages"):
        Settings.model_validate({**given, "language": "tlh"})


def test_values_in_a_sentence_are_escaped_and_the_sentence_is_not() -> None:
    said = Language("en").in_html("<b>{shop}</b>", shop="<i>")

    assert str(said) == "<b>&lt;i&gt;</b>"


def test_missing_figures_are_a_dash() -> None:
    assert Words(Language("en")).number(None) == "–"


def test_problems_are_told_in_english_and_their_pages_in_the_readers_language() -> None:
    problems = Problems(SETTINGS, PAGES)
    asked = Asked(html=True, gzip=False, safe=True, request_id="r", accept_language=b"de")

    page = problems.not_found(asked)
    told = problems.not_found(Asked(html=False, gzip=False, safe=True, request_id="r", accept_language=b"de"))

    assert "Hier ist nichts" in page.body.decode()
    assert dict(page.headers)[b"content-language"] == b"de"
    assert b"There is nothing here" in told.body
    assert "Einen Moment bitte" in problems.store_away(asked, server_time_ms=0).body.decode()


def test_the_wait_follows_the_grammar_of_numbers() -> None:
    polish, arabic = (Words(Languages(FOLDER)[tag]) for tag in ("pl", "ar"))

    assert [polish.wait(0, minutes * 60) for minutes in (2, 5)] == ["do 2 minut", "do 5 minut"]
    assert [polish.duration(minutes * 60_000) for minutes in (1, 3, 5, 22)] == [
        "1 minuta",
        "3 minuty",
        "5 minut",
        "22 minuty",
    ]
    assert [words.days(30 * 86_400_000 + 5) for words in (polish, arabic)] == ["30 dni", "30 يومًا"]
    assert polish.wait(3600, 9000) == "1–2,5 godziny"
    assert [arabic.duration(minutes * 60_000) for minutes in (2, 3, 11)] == ["دقيقتين", "3 دقائق", "11 دقيقة"]
