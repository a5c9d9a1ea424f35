"""The operator's look: accent, logo, links and templates reach the pages, and what would break them is told before."""

import base64
import random
import re
import shutil
from pathlib import Path

import pytest

from waitroom.core.settings import Settings
from waitroom.edge.facts import PageFacts
from waitroom.edge.pages.brand import brand_of, logo_address
from waitroom.edge.pages.look import ROUND_TRIP_BYTES, look_faults
from waitroom.edge.pages.templates_path import templates_dir
from waitroom.edge.pages.waiting import Pages

SVG = "<?xml version='1.0'?>\n<!-- by hand -->\n<svg viewBox='0 0 9 9'>\n  <path fill='#f00' d=\"M0 0h9v9z\"/>\n</svg>"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(60)


def settings(**given: str) -> Settings:
    return Settings.model_validate({"origin": "http://127.0.0.1:9", "shop_name": "Rhône", **given})


def page(pages: Pages) -> str:
    facts = PageFacts(state="waiting", number=1, position=7, server_time_ms=0)
    return pages.waiting(facts, gzip=False)[1].decode()


def write(folder: Path, **files: str) -> str:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_html", ".html")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return str(folder)


def faults(**given: str) -> list[str]:
    return list(look_faults(settings(**given)))


def test_without_a_look_of_the_operators_there_is_nothing_to_find() -> None:
    assert faults() == []
    assert brand_of(settings()).style == ""


def test_an_accent_reaches_the_page_as_it_can_be_read() -> None:
    html = page(Pages(settings(accent="#ffd400")))

    accents = re.findall(r":root\{--accent:(#\w+);", html)
    assert accents[-1] == "#ffd400"
    assert accents[-2] not in ("#ffd400", "#0b6e63")
    assert f"fill='%23{accents[-2][1:]}'" in html


def test_links_stand_in_the_foot_of_every_page() -> None:
    html = page(Pages(settings(links="Help & more=https://help.example/?a=b,Imprint=/imprint")))

    assert '<a href="https://help.example/?a=b">Help &amp; more</a>' in html
    assert '<a href="/imprint">Imprint</a>' in html


@pytest.mark.parametrize(
    ("name", "content", "kind"), [("a.svg", SVG.encode(), "svg+xml,"), ("b.bin", PNG, "png;base64,")]
)
def test_a_logo_is_inlined_and_says_the_shops_name(tmp_path: Path, name: str, content: bytes, kind: str) -> None:
    (tmp_path / name).write_bytes(content)

    html = page(Pages(settings(logo=str(tmp_path / name))))

    assert f'<img class="logo" src="data:image/{kind}' in html
    assert 'alt="Rhône">' in html


def test_a_picture_is_what_its_first_bytes_say(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"RIFF\x00\x00\x00\x00WEBPVP8 ")
    (tmp_path / "b").write_text("<html></html>")
    (tmp_path / "c").write_bytes(b"x" * 70_000)

    assert logo_address(tmp_path / "a").startswith("data:image/webp;base64,")
    assert base64.b64decode(logo_address(tmp_path / "a").partition(",")[2])[8:12] == b"WEBP"
    assert "is no SVG, PNG or WebP" in faults(logo=str(tmp_path / "b"))[0]
    assert "is larger than 64 KiB" in faults(logo=str(tmp_path / "c"))[0]
    assert "cannot be read: No such file" in faults(logo=str(tmp_path / "d"))[0]


def test_a_logo_that_does_not_fit_is_refused_with_what_is_too_much(tmp_path: Path) -> None:
    """No page of any language may need a second round trip."""
    noise = random.Random(7).randbytes(4000).hex()
    (tmp_path / "a.svg").write_text(f"<svg id='{noise}'/>")

    (fault,) = faults(logo=str(tmp_path / "a.svg"))

    assert re.fullmatch(rf"WAITROOM_LOGO makes the waiting page \(.*\) \d+ bytes larger.* {ROUND_TRIP_BYTES} .*", fault)


def test_a_template_may_say_only_what_differs(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        waiting_html='{% extends "ours/waiting.html" %}{% block notes %}<p>A pair each.</p>{{ super() }}{% endblock %}',
        _partials__top_html="<header>{{ shop_label }} &amp; sons</header>",
    )

    html = page(Pages(settings(templates=folder)))

    assert faults(templates=folder) == []
    assert "<p>A pair each.</p>" in html
    assert "You may close this tab." in html
    assert "Rhône &amp; sons" in html


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("waiting_html", "<p>\n{% if %}\n</p>", "waiting.html line 2: Expected an expression"),
        ("waiting_html", "<p>\n\n{{ shopname }}</p>", "waiting.html line 3: 'shopname' is undefined"),
        ("waiting_html", "<p>{{ visitor.json }}</p>", "waiting.html does not show {{ visitor.again }}"),
        ("waiting_html", "{% extends 'their.html' %}", "there is no template their.html"),
        ("error_html", "<p>{{ detail }}</p>", "error.html does not show {{ visitor.href }}, {{ visitor.action }}"),
        ("wating_html", "<p></p>", "wating.html is used by no page"),
        ("_partials__top_html", "\n{{ _('{nobody}') }}", "top.html line 2: KeyError: 'nobody'"),
    ],
)
def test_what_is_wrong_with_a_template_is_said_with_its_place(tmp_path: Path, name: str, text: str, said: str) -> None:
    (fault,) = faults(templates=write(tmp_path, **{name: text}))

    assert fault.startswith("WAITROOM_TEMPLATES: ")
    assert said in fault


def test_each_of_our_templates_may_be_replaced(tmp_path: Path) -> None:
    """Those of orders, invites and links were taken for misspelt ones: nothing had asked for them at the start."""
    folder = tmp_path / "theirs"
    shutil.copytree(templates_dir(), folder, ignore=shutil.ignore_patterns("locales"))

    assert faults(templates=str(folder), links="Help=https://shop.example/help") == []


@pytest.mark.parametrize("name", ["orders_html", "order_html", "invite_html", "transfer_html"])
def test_a_fault_on_a_page_seldom_seen_is_told_at_the_start(tmp_path: Path, name: str) -> None:
    (fault,) = faults(templates=write(tmp_path, **{name: "{{ nonsense }}"}))

    assert "'nonsense' is undefined" in fault


def test_a_folder_of_templates_has_to_be_there(tmp_path: Path) -> None:
    assert faults(templates=str(tmp_path / "none")) == [f"WAITROOM_TEMPLATES={tmp_path / 'none'} is not a folder"]
