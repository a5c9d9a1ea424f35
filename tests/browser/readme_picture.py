"""The README's picture, of the page as it is: `python -m tests.browser.readme_picture`.

With Pillow installed it is saved with 256 colours, at a third of the size; without, as the browser makes it.
"""

import asyncio
from pathlib import Path

from tests.browser.browser_support import running_chromium
from tests.browser.scenes import SCENES, Stage

PICTURE = Path(__file__).parents[2] / ".github" / "waiting-page.png"
WIDTH, HEIGHT = 1280, 720


async def take(path: Path) -> None:
    async with running_chromium() as chromium:
        page = await chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=2)
        await Stage().show(page, SCENES["waiting"])
        await page.wait_for_timeout(2200)  # the bar has come to where it belongs
        await page.emulate_media(reduced_motion="reduce")
        await page.screenshot(path=path)


def with_fewer_colours(path: Path) -> None:
    try:
        from PIL import Image
    except ImportError:
        print("Pillow is not installed: the picture keeps all its colours")
        return
    with Image.open(path) as picture:
        fewer = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    fewer.save(path, optimize=True)


if __name__ == "__main__":
    asyncio.run(take(PICTURE))
    with_fewer_colours(PICTURE)
    print(f"{PICTURE.stat().st_size:>8} {PICTURE}")
