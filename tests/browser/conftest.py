"""One chromium for all tests of the page, and a gateway that says what a test writes."""

import shutil
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer

import pytest
from playwright.async_api import expect as expect_async
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.written_gateway import WAIT_MS, Gateway, handler_for
from tests.support import need

CHROMIUM = shutil.which("chromium")

expect.set_options(timeout=WAIT_MS)
expect_async.set_options(timeout=WAIT_MS)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    gateway = Gateway()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(gateway))
    gateway.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield gateway
    gateway.said = {}  # ends the polls that are held
    server.shutdown()
    thread.join()
    server.server_close()
    assert gateway.unexpected == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    need(CHROMIUM, "chromium on PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 390, "height": 844}, reduced_motion="reduce")
    context.set_default_timeout(WAIT_MS)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page that may be told it is hidden; at its end nothing was refused by the policy or thrown."""
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
    page.add_init_script(
        "let hidden = sessionStorage.getItem('test:hidden') === '1';"
        "Object.defineProperty(document, 'hidden', { get: () => hidden });"
        "window.setHidden = (value) => { hidden = value; document.dispatchEvent(new Event('visibilitychange')); };"
    )
    yield page
    assert faults == []
