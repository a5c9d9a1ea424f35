"""One chain of requests for a browser: several tabs, a page put away and taken out again, clocks, a turn taken once."""

import time

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.written_gateway import WAIT_MS, Gateway, facts, until

HIDEABLE = (
    "let hidden = false;"
    "Object.defineProperty(document, 'hidden', { get: () => hidden });"
    "window.setHidden = (value) => { hidden = value; document.dispatchEvent(new Event('visibilitychange')); };"
)
OPENING = {"phase": "lobby", "position": None, "ahead": None, "wait_s": None}


def iso(in_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + in_s))


def open_tabs(context: BrowserContext, gateway: Gateway, count: int) -> list[Page]:
    tabs = []
    for index in range(count):
        tab = context.new_page()
        tab.add_init_script(HIDEABLE)
        tab.goto(f"{gateway.url}/tab/{index}")
        tabs.append(tab)
    return tabs


def test_the_tabs_of_a_browser_share_one_chain_of_requests(gateway: Gateway, context: BrowserContext) -> None:
    gateway.said = facts(hold_s=25)
    tabs = open_tabs(context, gateway, 3)
    until(lambda: gateway.under_way == 1, tabs[0])
    before = len(gateway.asked)

    gateway.said = facts(position=17, hold_s=25)
    for tab in tabs:
        expect(tab.locator("#position")).to_have_text("17")

    until(lambda: gateway.under_way == 1, tabs[0])
    assert len(gateway.asked) == before + 1
    assert all(path.startswith("/-/waitroom/status") for path in gateway.asked)


def test_when_the_tab_that_asks_is_closed_another_takes_over(gateway: Gateway, context: BrowserContext) -> None:
    tabs = open_tabs(context, gateway, 2)
    tabs.pop().close()
    asked = len(gateway.asked)

    gateway.said = facts(position=9)

    expect(tabs[0].locator("#position")).to_have_text("9")
    assert len(gateway.asked) > asked


def test_the_turn_is_taken_once_and_brings_in_every_tab_that_is_looked_at(
    gateway: Gateway, context: BrowserContext
) -> None:
    """P4. A tab in the background does not load the shop before it is shown."""
    tabs = open_tabs(context, gateway, 3)
    tabs[0].evaluate("setHidden(true)")
    gateway.said = facts("called", position=None)

    for tab in tabs[1:]:
        tab.wait_for_selector("text=Welcome to the shop", timeout=WAIT_MS)
    expect(tabs[0]).to_have_title("It’s your turn · Kestrel")
    gateway.said = facts("admitted")
    tabs[0].wait_for_timeout(600)
    assert tabs[0].url.endswith("/tab/0")
    assert not tabs[0].locator("text=Welcome").is_visible()

    tabs[0].evaluate("setHidden(false)")
    tabs[0].wait_for_selector("text=Welcome to the shop")
    assert sum(path.startswith("/-/waitroom/claim") for path in gateway.asked) <= 2
    assert gateway.admissions == 1


@pytest.mark.parametrize("missing", ["navigator.locks", "self.BroadcastChannel"])
def test_without_locks_or_channels_each_tab_asks_for_itself(
    gateway: Gateway, context: BrowserContext, missing: str
) -> None:
    owner, _, name = missing.partition(".")
    context.add_init_script(f"Object.defineProperty({owner}, '{name}', {{ value: undefined }})")
    gateway.said = facts(hold_s=25)

    tabs = open_tabs(context, gateway, 2)

    until(lambda: gateway.under_way == 2, tabs[0])


def test_a_page_taken_out_of_the_browsers_history_asks_at_once(gateway: Gateway, page: Page) -> None:
    gateway.said = facts(next_poll_s=60)
    page.goto(gateway.url)
    page.wait_for_timeout(200)
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    asked = len(gateway.asked)
    gateway.said = facts(position=8, next_poll_s=60)

    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")

    expect(page.locator("#position")).to_have_text("8")
    assert len(gateway.asked) == asked + 1


def test_the_countdown_goes_by_the_servers_time(gateway: Gateway, page: Page) -> None:
    """A device that is two hours fast counts the same seconds."""
    page.add_init_script("const real = Date.now; Date.now = () => real() + 7200000;")
    gateway.said = facts("lobby", next_poll_s=60, opens_at=iso(125), lobby_at=iso(-600), **OPENING)

    page.goto(gateway.url)

    shown = "document.getElementById('countdown').textContent"
    page.wait_for_function(f"() => {shown} === '2:03'")  # looks at each frame: a second is soon over
    page.wait_for_function("() => document.title === '2:02 · Kestrel'")
    page.wait_for_function(f"() => {shown} === '2:01'")


def test_a_clock_that_is_set_makes_the_page_ask_for_the_time(gateway: Gateway, page: Page) -> None:
    page.add_init_script("window.ahead = 0; const real = Date.now; Date.now = () => real() + window.ahead;")
    gateway.said = facts("lobby", next_poll_s=60, opens_at=iso(125), lobby_at=iso(-600), **OPENING)
    page.goto(gateway.url)
    page.wait_for_timeout(1500)
    assert gateway.asked == []

    page.evaluate("window.ahead = 3600000")

    until(lambda: len(gateway.asked) == 1, page)


def test_when_the_waiting_room_opens_the_page_joins_without_a_reload(gateway: Gateway, page: Page) -> None:
    gateway.said = facts("before", number=None, opens_at=iso(900), lobby_at=iso(30), **OPENING)
    page.goto(f"{gateway.url}/phones")
    expect(page.locator("h1:visible")).to_have_text("Opening soon")
    joined = facts("lobby", opens_at=iso(900), lobby_at=iso(0), **OPENING)
    gateway.join = lambda: joined

    gateway.said = facts("none", number=None, **OPENING)
    expect(page.locator("h1:visible")).to_have_text("You’re in the waiting room")
    gateway.said = facts("lobby", opens_at=iso(50), place=6, **{**OPENING, "phase": "drawn", "position": 7, "ahead": 6})

    expect(page.locator("h1:visible")).to_have_text("Your place is drawn")
    expect(page.locator("#position")).to_have_text("7")
    gateway.said = facts(position=6)
    expect(page.locator("h1:visible")).to_have_text("You’re in line")
    assert gateway.documents == ["/phones"]


def test_sold_out_ends_the_waiting_at_once(gateway: Gateway, page: Page) -> None:
    page.goto(gateway.url)
    gateway.said = facts(stock=12)
    expect(page.locator("#change")).to_contain_text("may be sold out before your turn")
    expect(page.locator("#stock")).to_have_text("about 12")

    gateway.said = facts("sold_out", position=None, stock=0)

    expect(page.locator("h1:visible")).to_have_text("Sold out")
    expect(page.locator("#position")).to_be_hidden()


def test_nobody_is_asked_for_leave_to_notify_who_did_not_press_the_button(gateway: Gateway, page: Page) -> None:
    page.add_init_script(
        "window.asked = []; window.shown = []; window.tones = 0;"
        "window.Notification = class { static permission = 'default';"
        "  static requestPermission() { asked.push(1); Notification.permission = 'granted'; return Promise.resolve(); }"
        "  constructor(title, more) { shown.push(title + ' | ' + more.body); } };"
        "const start = OscillatorNode.prototype.start;"
        "OscillatorNode.prototype.start = function (at) { tones += 1; return start.call(this, at); };"
    )
    page.goto(gateway.url)
    page.wait_for_timeout(500)
    assert page.evaluate("asked.length + tones") == 0

    page.get_by_role("button", name="Tell me when").click()
    expect(page.get_by_role("button", name="Tell me when")).to_have_attribute("aria-pressed", "true")
    page.wait_for_function("() => tones === 2")
    page.evaluate("setHidden(true)")
    gateway.said = facts("called", position=None)

    page.wait_for_function("() => shown.length === 1 && tones === 4")
    assert page.evaluate("asked.length") == 1
    assert page.evaluate("shown[0]") == "It’s your turn | Kestrel"


@pytest.mark.parametrize("scripts", [True, False])
def test_a_place_is_given_back_after_a_question(gateway: Gateway, browser: object, scripts: bool) -> None:
    context = browser.new_context(java_script_enabled=scripts)  # type: ignore[attr-defined]
    page = context.new_page()
    page.goto(f"{gateway.url}/phones")
    expect(page.get_by_role("button", name="Give up my place")).to_be_hidden()

    page.locator("summary").click()
    page.get_by_role("button", name="Give up my place").click()

    expect(page.locator("h1:visible")).to_have_text("You have left the line")
    expect(page.get_by_role("button", name="Join the line again")).to_be_visible()
    asked = len(gateway.asked)
    page.wait_for_timeout(600)
    assert gateway.left == 1
    assert len(gateway.asked) == asked
    context.close()


def test_whoever_stood_on_something_that_goes_is_put_before_the_news(gateway: Gateway, page: Page) -> None:
    page.goto(gateway.url)
    page.locator("summary").focus()

    gateway.said = facts("sold_out", position=None)

    expect(page.locator("h1:visible")).to_have_text("Sold out")
    assert page.evaluate("document.activeElement.textContent") == "Sold out"


def test_where_our_addresses_are_barred_the_page_itself_is_asked_for(gateway: Gateway, page: Page) -> None:
    """A content blocker that takes the polls for tracking: the document still tells, and lets in."""
    page.route("**/-/waitroom/**", lambda route: route.abort())
    gateway.said = facts(position=30, next_poll_s=0.2)
    page.goto(f"{gateway.url}/phones")
    gateway.said = facts(position=11, next_poll_s=0.2)

    expect(page.locator("#position")).to_have_text("11", timeout=25_000)
    assert gateway.documents == ["/phones", "/phones"]
