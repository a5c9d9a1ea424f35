"""What the browser tests share: chromium, a crowd that keeps the line full, https in front of the gateway, a bank."""

import asyncio
import contextlib
import shutil
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import trustme
from playwright.async_api import Browser as Chromium
from playwright.async_api import Frame, Page, async_playwright

from tests.patience import until
from tests.support import Gateway, need, wait_in_line
from waitroom.demo.browser import Browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP *.test 127.0.0.1",
]
TITLED = "<!doctype html><link rel=icon href=data:,><title>{title}</title><h1>{title}</h1>{body}"


@contextlib.asynccontextmanager
async def running_chromium() -> AsyncIterator[Chromium]:
    """A chromium whose every `.test` host is this machine."""
    need(CHROMIUM, "chromium on PATH")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield chromium
        finally:
            await chromium.close()


@contextlib.asynccontextmanager
async def crowd_in_line(gateway: Gateway, people: int) -> AsyncIterator[list[Browser]]:
    """So many simulated people come at once, and do what the page does until they are inside.

    Entered once all of them are answered; those who came in on the spot are among them.
    """
    browsers = [Browser(gateway.url, timeout_s=30) for _ in range(people)]
    tasks = [asyncio.create_task(wait_in_line(browser, "/crowd")) for browser in browsers]
    try:
        await until(lambda: all(browser.cookies for browser in browsers))
        yield browsers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for browser in browsers:
            browser.close()


def page_answer(title: str, body: str = "", *, status: str = "200 OK", more: str = "") -> bytes:
    """A small HTML page as a whole HTTP answer."""
    content = TITLED.format(title=title, body=body).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: text/html\r\ncache-control: no-store\r\n{more}"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


def redirect_answer(location: str) -> bytes:
    return page_answer("Elsewhere", status="303 See Other", more=f"location: {location}\r\n")


@dataclass
class Navigations:
    """The addresses that a page's main frame went to, in order."""

    urls: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, page: Page) -> "Navigations":
        navigations = cls()

        def note(frame: Frame) -> None:
            if frame == page.main_frame:
                navigations.urls.append(frame.url)

        page.on("framenavigated", note)
        return navigations


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving_tls(authority: trustme.CA, host: str, serve: Serve) -> AsyncIterator[int]:
    """A TLS port with a certificate for `host`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(host).configure_cert(context)

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (OSError, EOFError):
            pass  # browsers open connections on suspicion, and drop them
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0, ssl=context)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()


class TlsFront:
    """The load balancer before a gateway: ends TLS, says so in X-Forwarded-Proto, one request a connection."""

    def __init__(self) -> None:
        self.gateway_port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        kept = [line for line in lines if line and not line.lower().startswith((b"connection:", b"x-forwarded-"))]
        kept += [b"X-Forwarded-Proto: https", b"X-Forwarded-For: 203.0.113.7", b"Connection: close", b"", b""]
        inward, outward = await asyncio.open_connection("127.0.0.1", self.gateway_port)
        outward.write(b"\r\n".join(kept))
        upload = asyncio.create_task(copy(reader, outward))
        try:
            await copy(inward, writer)
        finally:
            upload.cancel()
            outward.close()


async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
