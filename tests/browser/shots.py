"""Pictures of every page, from a real gateway: `python -m tests.browser.shots FOLDER`."""

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Any

from playwright.async_api import Browser as Chromium
from playwright.async_api import BrowserContext, Page

from tests.browser.browser_support import crowd_in_line, running_chromium
from tests.support import Gateway, RedisServer, Shop, running_gateway, running_redis, running_shop

PHONE, DESKTOP = (390, 844), (1280, 800)
SIZES = {"phone": PHONE, "desktop": DESKTOP}
HIDDEN = "Object.defineProperty(document, 'hidden', { get: () => true })"


class Studio:
    """One gateway, one chromium, a folder for the pictures."""

    def __init__(self, gateway: Gateway, chromium: Chromium, folder: Path) -> None:
        self.gateway, self.chromium, self.folder = gateway, chromium, folder

    async def person(self, size: tuple[int, int] = PHONE, **options: Any) -> BrowserContext:
        viewport: Any = {"width": size[0], "height": size[1]}
        options.setdefault("device_scale_factor", 2)
        return await self.chromium.new_context(viewport=viewport, **options)

    async def take(self, page: Page, name: str, *, sizes: tuple[str, ...] = ("phone", "desktop")) -> None:
        """The page as it stands, in each size, light and dark."""
        await page.bring_to_front()
        for size in sizes:
            await page.set_viewport_size({"width": SIZES[size][0], "height": SIZES[size][1]})
            for scheme in ("light", "dark"):
                await page.emulate_media(color_scheme=scheme)
                await page.wait_for_timeout(150)
                await page.screenshot(path=self.folder / f"{name}-{size}-{scheme}.png")

    async def visit(self, name: str, path: str, *, shows: str) -> None:
        """Open a page as a newcomer, wait in line if there is one, and take the page that shows this."""
        person = await self.person()
        page = await person.new_page()
        await page.goto(self.gateway.url + path)
        await page.wait_for_selector(f"text={shows}", timeout=60_000)
        await self.take(page, name)
        await person.close()


async def in_line(studio: Studio) -> None:
    """Waiting, paused, and when the turn comes while nobody looks."""
    person = await studio.person(DESKTOP)
    page = await person.new_page()
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(crowd_in_line(studio.gateway, 260))
        await page.goto(f"{studio.gateway.url}/phones/kestrel-9?colour=red")
        await stack.enter_async_context(crowd_in_line(studio.gateway, 90))
        await page.wait_for_function(
            "() => Number(document.getElementById('position').textContent) < 190", timeout=60_000
        )
        await page.wait_for_timeout(1500)
        await studio.take(page, "waiting")
        await asyncio.to_thread(studio.gateway.command, "hold", "We are restocking. Back at a quarter past nine.")
        await page.wait_for_selector("#message:visible")
        await studio.take(page, "held")
        await asyncio.to_thread(studio.gateway.command, "resume")
        await asyncio.to_thread(studio.gateway.command, "set", "rate=1/s")
        await page.wait_for_function("() => document.getElementById('change').textContent.includes('slowly')")
        await page.wait_for_timeout(1500)
        await studio.take(page, "waiting-slower")
        without = await studio.person(java_script_enabled=False)
        plain = await without.new_page()
        await plain.goto(f"{studio.gateway.url}/phones")
        await studio.take(plain, "waiting-without-scripts", sizes=("phone",))
        await page.close()
        hidden = await person.new_page()
        await hidden.add_init_script(HIDDEN)
        await hidden.goto(f"{studio.gateway.url}/phones")
        await asyncio.to_thread(studio.gateway.command, "set", "rate=40/s")
        await hidden.wait_for_selector("body[data-state=called]", timeout=60_000)
        await studio.take(hidden, "called")
        await asyncio.to_thread(studio.gateway.command, "set", "rate=1/min")
        posted = await studio.person()
        form = await posted.new_page()
        await form.set_content(f"<form method=post action={studio.gateway.url}/order></form>")
        async with form.expect_navigation():
            await form.evaluate("document.forms[0].submit()")
        await studio.take(form, "nothing-sent")
        framing = await posted.new_page()
        await framing.set_content(f"<iframe width=360 height=240 src={studio.gateway.url}/phones></iframe>")
        await framing.frame_locator("iframe").locator("h1").wait_for()
        await studio.take(framing, "frame", sizes=("phone",))
    await person.close()


async def lapsed(studio: Studio) -> None:
    """Called while away, and back too late."""
    async with crowd_in_line(studio.gateway, 30):
        person = await studio.person()
        page = await person.new_page()
        await page.goto(f"{studio.gateway.url}/phones")
        await page.goto("about:blank")
        await asyncio.sleep(20)
        await page.goto(f"{studio.gateway.url}/phones")
        await studio.take(page, "lapsed")
        await person.close()


async def without_cookies(studio: Studio) -> None:
    await studio.visit("no-cookies", "/-/waitroom/enter?again=1&to=/phones", shows="Error 403")
    async with crowd_in_line(studio.gateway, 30):
        person = await studio.person()
        page = await person.new_page()
        session = await person.new_cdp_session(page)
        await session.send("Emulation.setDocumentCookieDisabled", {"disabled": True})
        await page.goto(f"{studio.gateway.url}/phones")
        await studio.take(page, "no-cookies-by-script")
        await person.close()


async def failing(studio: Studio, shop: Shop, redis: RedisServer) -> None:
    """The shop broken, an address of ours that does not exist, and Redis gone."""
    shop.answers["/broken"] = b"nonsense\r\n\r\n"
    await studio.visit("shop-broken", "/broken", shows="Error 502")
    await studio.visit("not-found", "/-/waitroom/nothing", shows="Error 404")
    async with crowd_in_line(studio.gateway, 60):
        person = await studio.person()
        page = await person.new_page()
        await page.goto(f"{studio.gateway.url}/phones")
        redis.kill()
        await page.wait_for_selector("h1:text-is('The line is paused'):visible", timeout=60_000)
        await studio.take(page, "held-store-away")
        await person.set_offline(True)
        await page.wait_for_selector("#lost:visible", timeout=60_000)
        await studio.take(page, "offline", sizes=("phone",))
    await studio.visit("store-away", "/phones", shows="One moment")


async def take_all(folder: Path) -> None:
    """A slow line for the pictures of waiting, a quick one for the rest."""
    folder.mkdir(parents=True, exist_ok=True)
    async with running_shop() as shop, running_chromium() as chromium:
        with running_redis() as redis:
            async with running_gateway(shop, redis.url, shop_name="Kestrel", rate="2/s") as gateway:
                await in_line(Studio(gateway, chromium, folder))
        with running_redis() as redis:
            async with running_gateway(shop, redis.url, shop_name="Kestrel", rate="5/s", turn_held="10s") as gateway:
                studio = Studio(gateway, chromium, folder)
                await lapsed(studio)
                await without_cookies(studio)
                await failing(studio, shop, redis)
    for picture in sorted(folder.glob("*.png")):
        print(f"{picture.stat().st_size:>8} {picture.name}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.browser.shots FOLDER")
    asyncio.run(take_all(Path(sys.argv[1])))
