"""Pictures of every page: `python -m tests.browser.shots FOLDER [NAME…] [LANGUAGE…] [SIZE…] [SCHEME…]`.

Every state on a phone in English; what is seen most also on a desktop, in the dark, in German and in Arabic. With a
language, a size or a scheme of colours, every state in each of those named.
"""

import argparse
import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from playwright.async_api import Browser as Chromium

from tests.browser.browser_support import running_chromium
from tests.browser.scenes import SCENES, Stage
from waitroom.core.parse import LANGUAGES

SIZES = {"phone": (390, 844), "narrow": (320, 640), "desktop": (1280, 800)}
SCHEMES = {"light", "dark"}
MOST_SEEN = ("waiting", "called", "lobby")


class Shot(NamedTuple):
    scene: str
    size: str = "phone"
    scheme: Any = "light"
    language: str = "en"

    @property
    def name(self) -> str:
        return f"{self.scene}-{self.size}-{self.scheme}-{self.language}.png"


def shots() -> Iterator[Shot]:
    for scene in SCENES:
        yield Shot(scene)
    for scene in MOST_SEEN:
        yield Shot(scene, scheme="dark")
        yield Shot(scene, "desktop")
        yield Shot(scene, "desktop", "dark")
        for language in {"de", "ar"}.intersection(LANGUAGES):
            yield Shot(scene, language=language)
            yield Shot(scene, "desktop", language=language)


async def take(chromium: Chromium, stage: Stage, shot: Shot, folder: Path) -> None:
    width, height = SIZES[shot.size]
    context = await chromium.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=2,
        color_scheme=shot.scheme,
        locale=shot.language,
        java_script_enabled=SCENES[shot.scene].scripts,
    )
    page = await context.new_page()
    await stage.show(page, SCENES[shot.scene], language=shot.language)
    await page.wait_for_timeout(2200)  # the bar has come to where it belongs
    await page.screenshot(path=folder / shot.name, full_page=True)
    await context.close()


async def take_all(folder: Path, wanted: list[Shot]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    stage = Stage()
    async with running_chromium() as chromium:
        for start in range(0, len(wanted), 4):
            await asyncio.gather(*(take(chromium, stage, shot, folder) for shot in wanted[start : start + 4]))
    for shot in wanted:
        print(f"{(folder / shot.name).stat().st_size:>8} {shot.name}")


def asked_for(words: set[str]) -> Iterator[Shot]:
    names, rest = words & SCENES.keys(), words - SCENES.keys()
    if not rest:
        yield from (shot for shot in shots() if not names or shot.scene in names)
        return
    sizes, schemes, languages = rest & SIZES.keys() or {"phone"}, rest & SCHEMES or {"light"}, rest & {*LANGUAGES}
    for each in itertools.product(sorted(names) or SCENES, sorted(sizes), sorted(schemes), sorted(languages) or ["en"]):
        yield Shot(*each)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.browser.shots")
    parser.add_argument("folder", type=Path)
    parser.add_argument("words", nargs="*", choices=[*SCENES, *LANGUAGES, *SIZES, *sorted(SCHEMES), []])
    given = parser.parse_args()
    asyncio.run(take_all(given.folder, list(asked_for(set(given.words)))))
