"""Every scene of the page for everybody: WCAG 2.2 AA as far as a program can tell, small screens, large letters."""

from dataclasses import dataclass
from typing import Any

from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Browser as Chromium
from playwright.async_api import Page

from tests.browser.browser_support import running_chromium
from tests.browser.scenes import SCENES, Stage

PHONE, DESKTOP, NARROW = (390, 844), (1280, 800), (320, 640)
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
EVERYTHING: dict[str, Any] = {"runOnly": {"type": "tag", "values": LEVELS}, "resultTypes": ["violations"]}
COLOURS: dict[str, Any] = {"runOnly": {"type": "rule", "values": ["color-contrast", "target-size"]}}
ALIKE = {"waiting-slower", "waiting-message", "waiting-without-scripts", "no-cookies-kept"}
"""Scenes that differ from another in their text alone."""
EDGE = "element => getComputedStyle(element).borderTopStyle"
INK = "element => getComputedStyle(element).color"
COLOUR = "element => getComputedStyle(element).backgroundColor"
MOVING = "getComputedStyle(document.querySelector('.busy'), '::after').backgroundColor"
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@dataclass
class Seen:
    """What axe found in a scene, and by how many pixels it is too wide: narrow, and with letters twice as large."""

    found: list[str]
    too_wide: tuple[int, int]


async def look(chromium: Chromium, stage: Stage, name: str) -> Seen:
    """All rules on a phone in the light; what colours and sizes can change, also on a desktop in the dark."""
    context = await chromium.new_context(reduced_motion="reduce", color_scheme="light")
    page = await context.new_page()
    await resize(page, PHONE)
    await stage.show(page, SCENES[name])
    found = await findings(page, EVERYTHING)
    await page.emulate_media(color_scheme="dark")
    await resize(page, DESKTOP)
    found += await findings(page, COLOURS)
    await resize(page, NARROW)
    narrow = await page.evaluate(OVERFLOW)
    await resize(page, PHONE)
    await page.evaluate("document.documentElement.style.fontSize = '200%'")
    large = await page.evaluate(OVERFLOW)
    await context.close()
    return Seen(found, (narrow, large))


async def resize(page: Page, size: tuple[int, int]) -> None:
    await page.set_viewport_size({"width": size[0], "height": size[1]})


async def findings(page: Page, options: dict[str, Any]) -> list[str]:
    results = await Axe().run(page, options=options)
    return [
        f"{found['id']}: {node['html'][:120]} {node.get('failureSummary', '')}"
        for found in results.response["violations"]
        for node in found["nodes"]
    ]


async def test_with_the_systems_own_colours_parts_have_edges_and_what_moves_is_seen() -> None:
    async with running_chromium() as chromium:
        page = await chromium.new_page(forced_colors="active", viewport={"width": 390, "height": 844})
        await Stage().show(page, SCENES["waiting"])
        edges = {each: await page.eval_on_selector(each, EDGE) for each in (".part", "#bell")}
        fill, ground = [await page.eval_on_selector(each, COLOUR) for each in ("#progress", "#track")]
        await Stage().show(page, SCENES["called"])
        moving = await page.evaluate(MOVING)
        await Stage().show(page, SCENES["orders"])
        edges[".order"] = await page.eval_on_selector(".order", EDGE)
        await Stage().show(page, SCENES["transfer-take"])
        edges |= {each: await page.eval_on_selector(each, EDGE) for each in (".say", ".button", ".box")}

    assert edges == dict.fromkeys(edges, "solid")
    assert moving == fill != ground


async def test_on_paper_stands_the_place_and_nothing_to_press() -> None:
    async with running_chromium() as chromium:
        page = await chromium.new_page(viewport={"width": 700, "height": 900})
        await Stage().show(page, SCENES["waiting"])
        await page.emulate_media(media="print")
        shown = {each: await page.is_visible(each) for each in ("#position", "#wait", ".note", "#bell", "#leave")}
        edge = await page.eval_on_selector(".part", EDGE)
        await Stage().show(page, SCENES["called"])
        ink, paper = [await page.eval_on_selector(".part", each) for each in (INK, COLOUR)]

    assert shown == {"#position": True, "#wait": True, ".note": True, "#bell": False, "#leave": False}
    assert edge == "solid"
    assert ink == "rgb(20, 25, 26)", "printers leave backgrounds out"
    assert paper == "rgba(0, 0, 0, 0)"


async def test_axe_finds_nothing_in_any_scene_and_nothing_has_to_be_scrolled_sideways() -> None:
    stage, seen = Stage(), dict[str, Seen]()
    async with running_chromium() as chromium:
        for name in SCENES.keys() - ALIKE:
            seen[name] = await look(chromium, stage, name)

    assert {name: each.found for name, each in seen.items() if each.found} == {}
    assert {name: each.too_wide for name, each in seen.items() if any(each.too_wide)} == {}


async def test_axe_would_find_a_pale_text_and_a_button_without_a_name() -> None:
    async with running_chromium() as chromium:
        page = await chromium.new_page()
        await page.set_content("<main><h1>Fine</h1><p style='color: #999'>Pale</p><button></button></main>")
        found = await findings(page, EVERYTHING)

    assert {"color-contrast", "button-name"} <= {each.partition(":")[0] for each in found}


async def test_everything_is_reached_by_the_keyboard_and_seen_there() -> None:
    async with running_chromium() as chromium:
        page = await chromium.new_page()
        await Stage().show(page, SCENES["waiting"])
        reached = []
        for key in ("Tab", "Tab", "Tab", "Enter", "Tab"):
            await page.keyboard.press(key)
            reached.append(
                await page.evaluate("document.activeElement.textContent.trim() || document.activeElement.value")
            )
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")

    assert reached == [
        "Tell me when it’s my turn",
        "Take my place to another device",
        "Leave the line",
        "Leave the line",
        "Give up my place",
    ]
    assert outline == "solid"
