"""The page's script and the server say the same, in every language: by `Intl` in chromium, and by Babel here."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.browser.browser_support import ARGUMENTS, CHROMIUM
from tests.support import need
from waitroom.core.parse import LANGUAGES
from waitroom.edge.pages.languages import Languages
from waitroom.edge.pages.templates_path import templates_dir
from waitroom.edge.pages.words import Words

LOADED = Languages(templates_dir() / "locales")
FIGURES = (templates_dir() / "_partials" / "figures.js").read_text()
NUMBERS = (*range(201), 1000, 9999, 10_000, 123_456, 1_000_000, 1_234_567, 0.5, 1.5, 2.5, 9.9, 10.5)
WAITS = [(0, 59), (10, 60), (10, 61), (61, 119), (120, 120), (560, 700), (1000, 1300), (3600, 5400), (3600, 5401),
         (600, 9000), (2000, 9000), (7200, 7200), (18000, 25200), (100, 1201.5), (400_000, 5_000_000),
         *((0, 60 * n) for n in range(1, 24)), *((1800, 1800 * n) for n in range(4, 30))]  # fmt: skip
RATES = [0.001, 0.25, 1, 2.5, 9.94, 9.96, 120, 1200, 36000]
DOCUMENT = """<!doctype html><body data-room><script id="words" type="application/json">%s</script>
<script id="facts" type="application/json">{"position":1}</script>"""
SAY = """({ numbers: values, waits, rates }) => { %s;
  return {
    categories: values.map((n) => plurals.select(n)),
    numbers: values.map((n) => numbers.format(n)),
    waits: waits.map(([low, high]) => waitInWords({ low, high })),
    rates: rates.map(rateInWords),
    unknown: waitInWords(null),
  };
}"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    need(CHROMIUM, "chromium on PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser.new_page()
        browser.close()


@pytest.mark.parametrize("tag", LANGUAGES)
def test_the_script_and_the_server_say_figures_alike(page: Page, tag: str) -> None:
    words = Words(LOADED[tag])
    page.set_content(DOCUMENT % json.dumps(words.script))

    said: Any = page.evaluate(SAY % FIGURES, {"numbers": NUMBERS, "waits": WAITS, "rates": RATES})

    assert said == {
        "categories": [words.language.locale.plural_form(number) for number in NUMBERS],
        "numbers": [words.number(number) for number in NUMBERS],
        "waits": [words.wait(low, high) for low, high in WAITS],
        "rates": [words.rate(rate) for rate in RATES],
        "unknown": words.wait(None, None),
    }


@pytest.mark.parametrize("tag", LANGUAGES)
def test_the_script_and_the_server_write_the_time_of_day_alike(page: Page, tag: str) -> None:
    words = Words(LOADED[tag])
    format_it = "(tag) => new Intl.DateTimeFormat(tag, { timeStyle: 'medium', timeZone: 'UTC' }).format(1760000000123)"

    said = page.evaluate(format_it, words.script["locale"])

    assert f"{said} UTC".split() == words.clock(1_760_000_000).split()
