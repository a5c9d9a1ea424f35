"""The waiting page in a real browser, before a gateway whose answers the test writes."""

import re

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.written_gateway import HOLD_S, PAGES, Gateway, facts, page_facts, until


def test_the_position_falls_without_a_reload(gateway: Gateway, page: Page) -> None:
    page.goto(f"{gateway.url}/phones?x=1")
    expect(page.locator("#position")).to_have_text("30")

    gateway.said = facts(position=12, ahead=11, waiting=80, rate_per_min=0.5, wait_s={"low": 700, "high": 1300})

    expect(page.locator("#position")).to_have_text("12")
    expect(page.locator("#ahead")).to_have_text("11")
    expect(page.locator("#waiting")).to_have_text("80")
    expect(page.locator("#rate")).to_have_text("30 an hour")
    expect(page.locator("#wait")).to_have_text("10 to 25 minutes")
    expect(page).to_have_title("12 in line · Kestrel")
    assert gateway.documents == ["/phones?x=1"]
    assert "/-/waitroom/status?shown=30" in gateway.asked


def test_the_position_never_rises(gateway: Gateway, page: Page) -> None:
    page.goto(gateway.url)
    gateway.said = facts(position=44, ahead=43, waiting=91)

    expect(page.locator("#waiting")).to_have_text("91")

    expect(page.locator("#position")).to_have_text("30")
    expect(page.locator("#ahead")).to_have_text("29")
    assert not any("shown=44" in path for path in gateway.asked)


def test_one_request_is_under_way_at_a_time(gateway: Gateway, page: Page) -> None:
    gateway.said = facts(hold_s=25)
    page.goto(gateway.url)

    until(lambda: gateway.under_way == 1, page)

    page.evaluate("setHidden(true); setHidden(false); dispatchEvent(new Event('online'))")
    page.wait_for_timeout(2500)  # longer than a network that came back may wait

    assert len(gateway.asked) == 1
    assert gateway.most_under_way == 1
    assert all("hold=25" in path for path in gateway.asked)


def test_when_called_the_page_claims_and_goes_to_the_page_first_asked_for(gateway: Gateway, page: Page) -> None:
    page.goto(f"{gateway.url}/phones?x=1#colours")

    gateway.said = facts("called", position=None)

    page.wait_for_selector("text=Welcome to the shop")
    assert page.url == f"{gateway.url}/phones?x=1#colours"
    assert gateway.asked.count("/-/waitroom/claim") == 1


def test_when_called_the_page_goes_to_its_target(gateway: Gateway, page: Page) -> None:
    gateway.target = "/checkout?step=2"
    page.goto(f"{gateway.url}/-/waitroom/enter?to=/checkout?step=2")

    gateway.said = facts("called", position=None)

    page.wait_for_selector("text=Welcome to the shop")
    assert page.url == f"{gateway.url}/checkout?step=2"


@pytest.mark.parametrize(
    "target", ["//elsewhere.test/x", "https://elsewhere.test/", "javascript:alert(1)", "/\\x.test"]
)
def test_a_target_on_another_site_is_not_gone_to(gateway: Gateway, page: Page, target: str) -> None:
    gateway.target = target
    gateway.said = facts("called", position=None)

    page.goto(f"{gateway.url}/phones")

    page.wait_for_selector("text=Welcome to the shop")
    assert page.url == f"{gateway.url}/phones"


def test_a_claim_that_has_to_wait_is_asked_again(gateway: Gateway, page: Page) -> None:
    answers = iter([facts("called", position=None), facts("called", position=None), facts("admitted")])
    gateway.claimed = lambda: next(answers)
    gateway.said = facts("called", position=None)

    page.goto(gateway.url)

    page.wait_for_selector("text=Welcome to the shop")
    assert gateway.asked.count("/-/waitroom/claim") == 3


def test_a_hidden_page_announces_the_turn_and_claims_when_shown(gateway: Gateway, page: Page) -> None:
    page.goto(gateway.url)
    page.evaluate("setHidden(true)")
    gateway.said = facts("called", position=None)

    expect(page).to_have_title("It’s your turn · Kestrel")
    expect(page.locator("#spoken")).to_contain_text("It’s your turn. You are let in as soon as")
    polls = len(gateway.asked)
    until(lambda: len(gateway.asked) > polls + 1, page)
    assert "/-/waitroom/claim" not in gateway.asked

    page.evaluate("setHidden(false)")

    page.wait_for_selector("text=Welcome to the shop")


def test_a_hidden_page_that_holds_a_poll_claims_at_once_when_shown(gateway: Gateway, page: Page) -> None:
    page.goto(gateway.url)
    page.evaluate("setHidden(true)")
    gateway.said = facts("called", position=None, next_poll_s=0.2, hold_s=25)
    until(lambda: any("hold=25" in path for path in gateway.asked), page)

    page.evaluate("setHidden(false)")

    page.wait_for_selector("text=Welcome to the shop", timeout=HOLD_S * 500)


def test_the_turn_taken_in_another_tab_brings_this_one_in_too(gateway: Gateway, page: Page) -> None:
    page.goto(f"{gateway.url}/phones")
    gateway.inside = True

    gateway.said = facts("admitted")

    page.wait_for_selector("text=Welcome to the shop")
    assert "/-/waitroom/claim" not in gateway.asked


def test_offline_the_last_figures_stay_and_the_page_says_so(
    gateway: Gateway, context: BrowserContext, page: Page
) -> None:
    page.goto(gateway.url)
    gateway.said = facts(position=21)
    expect(page.locator("#position")).to_have_text("21")

    context.set_offline(True)

    expect(page.locator("#lost")).to_contain_text("You are offline.")
    expect(page.locator("#position")).to_have_text("21")

    gateway.said = facts(position=9)
    context.set_offline(False)

    expect(page.locator("#position")).to_have_text("9")
    expect(page.locator("#lost")).to_be_hidden()


def test_while_the_gateway_fails_the_page_backs_off_and_says_so(gateway: Gateway, page: Page) -> None:
    page.goto(gateway.url)
    expect(page.locator("#position")).to_have_text("30")
    gateway.status_code, gateway.said = 502, {}

    expect(page.locator("#lost")).to_contain_text("does not answer", timeout=15_000)

    expect(page.locator("#position")).to_have_text("30")
    failed = len(gateway.asked)
    page.wait_for_timeout(1500)
    assert len(gateway.asked) - failed <= 1


def test_a_pause_shows_its_reason_and_ends_without_a_reload(gateway: Gateway, page: Page) -> None:
    page.goto(gateway.url)

    gateway.said = facts("held", message="<b>We</b> mend the till.")
    expect(page.locator("h1:visible")).to_have_text("The line is paused")
    expect(page.locator("#message")).to_have_text("<b>We</b> mend the till.")
    expect(page.locator("#position")).to_have_text("30")

    gateway.said = facts(position=29)
    expect(page.locator("h1:visible")).to_have_text("You’re in line")
    expect(page.locator("#message")).to_be_hidden()
    assert len(gateway.documents) == 1


def test_a_change_of_pace_is_said_and_spoken_for_a_while(gateway: Gateway, page: Page) -> None:
    """P11: the estimate does not jump silently, and whoever cannot see the page hears why it did."""
    page.goto(gateway.url + "/")
    expect(page.locator("#change")).to_be_hidden()

    gateway.said = facts(change="slower", wait_s={"low": 1200, "high": 2400})

    expect(page.locator("#change")).to_have_text(re.compile("more slowly"))
    expect(page.locator("#wait")).to_have_text("20 to 40 minutes")
    expect(page.locator("#spoken")).to_have_text(re.compile("more slowly.*20 to 40 minutes"))
    gateway.said = facts(change=None)
    expect(page.locator("#change")).to_be_hidden()


def test_a_lapsed_visitor_joins_again_with_one_press(gateway: Gateway, page: Page) -> None:
    page.goto(f"{gateway.url}/phones?x=1")
    gateway.said = facts("lapsed", position=None)

    page.get_by_role("button", name="Join the line again").click()

    expect(page.locator("#position")).to_have_text("50")
    assert gateway.joined == ["to=%2Fphones%3Fx%3D1"]


def test_a_visitor_without_a_place_reloads_once_and_is_then_told_about_cookies(gateway: Gateway, page: Page) -> None:
    page.goto(gateway.url)

    gateway.said = facts("none", position=None, number=None)
    gateway.said["state"] = "none"
    gateway_page = facts()
    gateway.page = lambda: (503, *PAGES.waiting(page_facts(gateway_page, None), gzip=True))  # type: ignore[method-assign]

    expect(page.locator("h1:visible")).to_have_text("This page needs cookies")
    page.wait_for_timeout(500)
    assert len(gateway.documents) == 2


def test_a_page_without_the_store_goes_on_by_itself(gateway: Gateway, page: Page) -> None:
    gateway.document = "away"
    gateway.said = facts("held", position=None, number=None)
    page.goto(gateway.url)
    expect(page.locator("h1:visible")).to_have_text("One moment, please")

    gateway.document = "waiting"
    gateway.said = facts()

    expect(page.locator("#position")).to_have_text("30", timeout=15_000)


def test_an_admission_that_does_not_hold_makes_no_tight_loop(gateway: Gateway, page: Page) -> None:
    """A pass that is not stored: status says admitted, the page comes again. It may not spin."""
    gateway_page = facts()
    gateway.page = lambda: (503, *PAGES.waiting(page_facts(gateway_page, None), gzip=True))  # type: ignore[method-assign]
    gateway.said = facts("admitted")

    page.goto(gateway.url)
    page.wait_for_timeout(3000)

    assert len(gateway.documents) <= 2


def test_changes_are_spoken_at_most_once_a_minute(gateway: Gateway, page: Page) -> None:
    page.clock.install()
    page.goto(gateway.url)
    page.clock.run_for(500)
    gateway.said = facts(position=12)
    page.clock.run_for(5000)
    expect(page.locator("#position")).to_have_text("12")
    assert page.locator("#spoken").text_content() == ""

    page.clock.fast_forward(61_000)
    page.clock.run_for(2000)

    expect(page.locator("#spoken")).to_contain_text("You are number 12 in line.")


def test_without_a_script_the_page_shows_the_facts(gateway: Gateway, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()

    page.goto(gateway.url)

    expect(page.locator("#position")).to_have_text("30")
    expect(page.locator("#wait")).to_have_text("up to 2 minutes")
    expect(page.locator("#again")).to_be_visible()
    expect(page.locator("h1:visible")).to_have_count(1)
    gateway.said = facts(position=3)
    page.locator("#again").click()
    expect(page.locator("#position")).to_have_text("3")
    context.close()


def test_without_a_script_the_page_asks_again_by_itself(gateway: Gateway, browser: Browser) -> None:
    gateway.target = "/phones?x=1"
    gateway.said = facts("called", position=None)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{gateway.url}/phones?x=1")
    gateway.inside = True

    page.wait_for_selector("text=Welcome to the shop", timeout=15_000)

    assert gateway.documents == ["/phones?x=1", "/-/waitroom/enter?again=1&to=/phones%3Fx%3D1"]
    context.close()


def test_a_script_that_fails_leaves_the_page_standing(gateway: Gateway, context: BrowserContext) -> None:
    page = context.new_page()
    page.add_init_script("JSON.parse = () => { throw new Error('broken'); }")

    page.goto(gateway.url)

    expect(page.locator("#position")).to_have_text("30")
    expect(page.locator("#again")).to_be_visible()
    assert gateway.asked == []
