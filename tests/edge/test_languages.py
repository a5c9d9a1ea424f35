"""What the pages say in each language: nothing missing, nothing left over, numbers as readers write them."""

import pytest

from waitroom.core.parse import LANGUAGES
from waitroom.core.settings import Settings
from waitroom.edge.languages import Language, Languages, accept_language
from waitroom.edge.templates_path import templates_dir
from waitroom.edge.words import Words

FOLDER = templates_dir() / "locales"


def test_a_fixed_language_is_everybodys() -> None:
    languages = Languages(FOLDER, fixed=LANGUAGES[-1])

    assert languages.choose(b"en;q=0.1").tag == LANGUAGES[-1]


def test_without_a_wish_pages_are_in_english() -> None:
    assert Languages(FOLDER).choose(accept_language([(b"host", b"x")])).tag == "en"
    assert Languages(FOLDER).choose(b"tlh").tag == "en"


def test_a_fixed_language_has_to_be_one_of_ours() -> None:
    given = {"origin": "http://127.0.0.1:9"}

    assert Settings.model_validate({**given, "language": "EN"}).language == "en"
    assert Settings.model_validate(given).language is None
    with pytest.raises(ValueError, match="is not a language of the pages"):
        Settings.model_validate({**given, "language": "tlh"})


def test_values_in_a_sentence_are_escaped_and_the_sentence_is_not() -> None:
    said = Language("en").in_html("<b>{shop}</b>", shop="<i>")

    assert str(said) == "<b>&lt;i&gt;</b>"


def test_missing_figures_are_a_dash() -> None:
    assert Words(Language("en")).number(None) == "–"  # noqa: RUF001
