"""The README's picture, of the page as it is: `python -m tests.browser.readme_picture`.

Debian's imagemagick makes it a third of the size: `convert PICTURE +dither -colors 256 PICTURE`.
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


if __name__ == "__main__":
    asyncio.run(take(PICTURE))
    print(f"{PICTURE.stat().st_size:>8} {PICTURE}")
