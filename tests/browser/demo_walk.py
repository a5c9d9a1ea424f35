"""The demo as its visitor sees it, in pictures: `python -m tests.browser.demo_walk FOLDER [OPTION OF THE DEMO…]`.

From the line to the order's number and back, on a phone and a desktop, in the light and in the dark, all at once:
everybody is a visitor of their own. With `--sale-in 40s` it begins before the lobby.
"""

import asyncio
import contextlib
import re
import sys
from pathlib import Path

from playwright.async_api import Browser as Chromium
from playwright.async_api import Error, Page

from tests.browser.browser_support import running_chromium
from tests.browser.shots import SCHEMES, SIZES
from waitroom.demo.browser import Browser, NoAnswer

LINE = ("--rate", "120/min", "--crowd", "30")
ADDRESSES = re.compile(r"http://127\.0\.0\.1:\d+")
LIMIT_MS = 150_000
TOO_MANY = 120


class Walk:
    """One visitor's way, with a picture at each step."""

    def __init__(self, page: Page, folder: Path, name: str) -> None:
        self.page, self.folder, self.name = page, folder, name
        self.steps = 0

    async def picture(self, step: str, *, whole: bool = True) -> None:
        self.steps += 1
        await self.page.wait_for_timeout(700)
        await self.page.screenshot(path=self.folder / f"{self.steps:02}-{step}-{self.name}.png", full_page=whole)

    async def wait(self, gateway: str, *, is_sale: bool) -> None:
        page = self.page
        await page.goto(gateway)
        if is_sale:
            await self.picture("before")
            await page.locator('body[data-state="lobby"]').wait_for(timeout=LIMIT_MS)
            await self.picture("lobby")
            await page.locator('body[data-state="drawn"]').wait_for(timeout=LIMIT_MS)
            await self.picture("drawn")
        await page.locator('body[data-state="waiting"], .hero').first.wait_for(timeout=LIMIT_MS)
        with contextlib.suppress(Error):  # a lucky place in the draw: let in before the picture was taken
            await self.picture("line")
        await page.locator(".hero").wait_for(timeout=LIMIT_MS)

    async def shop(self, gateway: str) -> None:
        page = self.page
        await self.picture("home")
        await page.goto(f"{gateway}/basket")
        await self.picture("basket-empty")
        await page.goto(f"{gateway}/products/one")
        await self.picture("product")
        await page.click("text=Add to basket")
        await page.goto(f"{gateway}/products/pods")
        await page.click("text=Add to basket")
        await self.picture("basket")
        await page.click("text=Go to checkout")
        await self.picture("checkout")
        await page.click("text=Place the order")
        await self.picture("missing")
        for name, text in (("name", "Ada Lind"), ("email", "ada@example.org"), ("address", "Storgatan 1, Lysekil")):
            await page.fill(f'[name="{name}"]', text)
        await page.click("text=Place the order")
        await page.locator(".number").wait_for()
        await self.picture("placed")
        await page.go_back()
        await page.reload()
        await self.picture("checkout-again")
        await page.goto(f"{gateway}/-/waitroom/orders")
        await self.picture("orders")
        await page.goto(f"{gateway}/nowhere")
        await self.picture("nowhere")


async def overrun(walk: Walk, shop: str) -> None:
    """What the shop says when too many come at once, with no line before it."""
    crowd = [asyncio.create_task(come_again_and_again(shop)) for _ in range(TOO_MANY)]
    try:
        for _ in range(20):
            await walk.page.goto(shop)
            if await walk.page.locator(".sorry").count():
                await walk.picture("overrun")
                return
    finally:
        for each in crowd:
            each.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
    sys.exit("the shop was never too busy for a page")


async def come_again_and_again(shop: str) -> None:
    person = Browser(shop)
    try:
        while True:
            with contextlib.suppress(NoAnswer):
                await person.open("/products/one")
            await asyncio.sleep(0.1)
    finally:
        person.close()


async def visit(chromium: Chromium, folder: Path, size: str, scheme: str, gateway: str, *, is_sale: bool) -> Walk:
    width, height = SIZES[size]
    viewport = {"width": width, "height": height}
    page = await chromium.new_page(viewport=viewport, color_scheme=scheme, device_scale_factor=2)  # type: ignore[arg-type]
    walk = Walk(page, folder, f"{size}-{scheme}")
    await walk.wait(gateway, is_sale=is_sale)
    await walk.shop(gateway)
    return walk


async def take_all(folder: Path, options: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "waitroom", "demo", "--port", "0", *LINE, *options]
    demo = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert demo.stdout is not None
    said = ""
    try:
        while "Ctrl-C" not in said and (line := await asyncio.wait_for(demo.stdout.readline(), 60)):
            said += line.decode()
        print(said)
        gateway, shop, *_ = dict.fromkeys(ADDRESSES.findall(said))
        async with running_chromium() as chromium:
            places = [(size, scheme) for size in ("phone", "desktop") for scheme in sorted(SCHEMES)]
            walks = await asyncio.gather(
                *(visit(chromium, folder, *place, gateway, is_sale="--sale-in" in options) for place in places)
            )
            for walk in walks:
                await overrun(walk, shop)
    finally:
        demo.terminate()
        rest = await demo.stdout.read()
        await demo.wait()
    print(rest.decode())


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python -m tests.browser.demo_walk FOLDER [OPTION OF THE DEMO…]")
    asyncio.run(take_all(Path(sys.argv[1]), sys.argv[2:]))
