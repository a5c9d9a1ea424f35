"""The waiting page checks the draw by itself, in a real browser: what agrees, and what was tampered with."""

import json
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser.written_gateway import Gateway, facts
from waitroom.core.sale.draw import Lobby, Places, commitment_of
from waitroom.core.sale.draw_record import Record

SEED = b"\3" * 32
ABOUT = {"room": "shop", "generation": "g1", "source": "a lottery", "opened_at": "2026-01-01T12:00:00.000Z"}
NUMBER = 41


def record(people: int, left_out: tuple[tuple[int, int], ...] = (), *, seed: bytes = SEED) -> dict[str, Any]:
    numbers = people + sum(end - start for start, end in left_out)
    made = Record(
        room=ABOUT["room"],
        generation=ABOUT["generation"],
        opened_at=ABOUT["opened_at"],
        source=ABOUT["source"],
        commitment=commitment_of(seed, **ABOUT),
        drawn_at="2026-01-01T12:14:00.000Z",
        numbers=numbers,
        left_out=left_out,
        people=people,
        note="Zürich 7 12 31",
        seed=seed.hex(),
    )
    return dict(json.loads(made.to_json()))


ANNOUNCED = record(300) | dict.fromkeys(("drawn_at", "numbers", "left_out", "people", "note", "seed", "checksum"))
PLACES = {
    "many": (record(300), Places(Lobby(300), seed=SEED, note="Zürich 7 12 31").of(NUMBER)),
    "few": (record(60), Places(Lobby(60), seed=SEED, note="Zürich 7 12 31").of(NUMBER)),
    "with a loss": (
        record(300, ((10, 30),)),
        Places(Lobby(320, ((10, 30),)), seed=SEED, note="Zürich 7 12 31").of(NUMBER),
    ),
}
DRAWN, PLACE = PLACES["many"]
MOMENTS = {"phase": "lobby", "lobby_at": "2026-01-01T12:00:00Z", "opens_at": "2099-01-01T12:15:00Z"}


def lobby(**changes: Any) -> dict[str, Any]:
    return facts("lobby", number=NUMBER, **{"position": None, "ahead": None, **MOMENTS, **changes})


def drawn(place: int) -> dict[str, Any]:
    return lobby(position=place + 1, ahead=place, place=place, phase="drawn")


@pytest.fixture
def said(context: BrowserContext) -> dict[str, Any]:
    """What `GET draw` answers: `record` can be changed."""
    told: dict[str, Any] = {"record": ANNOUNCED, "asked": 0}

    def answer(route: Route) -> None:
        told["asked"] += 1
        route.fulfill(json=told["record"])

    context.route("**/-/waitroom/draw*", answer)
    return told


def see_the_draw(gateway: Gateway, page: Page, said: dict[str, Any], shown: dict[str, Any], place: int) -> None:
    gateway.said = lobby()
    page.goto(gateway.url)
    page.wait_for_function("() => sessionStorage.length > 0")
    said["record"] = shown
    gateway.said = drawn(place)


@pytest.mark.parametrize("which", PLACES)
def test_the_page_computes_its_own_place_and_says_so(
    gateway: Gateway, page: Page, said: dict[str, Any], which: str
) -> None:
    shown, place = PLACES[which]
    see_the_draw(gateway, page, said, shown, place)

    expect(page.locator("#fairly")).to_have_text("Your place was drawn by lot, and this page has checked it.")
    assert page.locator("#fair a").get_attribute("href") == "/-/waitroom/draw"
    expect(page.locator("#fair")).to_have_class("box")
    page.wait_for_timeout(600)
    assert said["asked"] == 2, "once in the lobby, once after the draw"


def test_without_https_the_page_says_that_it_could_not_check(
    gateway: Gateway, page: Page, said: dict[str, Any]
) -> None:
    page.add_init_script("Object.defineProperty(self, 'isSecureContext', { value: false })")
    see_the_draw(gateway, page, said, DRAWN, PLACE)

    expect(page.locator("#fairly")).to_have_text(
        "This page could not check the draw: browsers do that over https alone."
    )
    expect(page.locator("#fair a")).to_be_visible()


TAMPERED = {
    "another place": (DRAWN, (PLACE + 1) % 300),
    "another seed with a commitment of its own": (record(300, seed=b"\4" * 32), PLACE),
    "a seed that does not give the commitment": (DRAWN | {"seed": "04" * 32}, PLACE),
    "another source": (DRAWN | {"source": "my own lottery"}, PLACE),
    "another number of people": (DRAWN | {"people": 299}, PLACE),
    "another note": (DRAWN | {"note": "1 2 3"}, PLACE),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_tampered_with_is_found(gateway: Gateway, page: Page, said: dict[str, Any], what: str) -> None:
    shown, place = TAMPERED[what]
    see_the_draw(gateway, page, said, shown, place)

    expect(page.locator("#fairly")).to_have_text(
        "This page has checked the draw, and your place does not agree with its record."
    )
    expect(page.locator("#fair")).to_have_class("box lost")


def test_a_commitment_seen_before_a_reload_still_counts(gateway: Gateway, page: Page, said: dict[str, Any]) -> None:
    gateway.said = lobby()
    page.goto(gateway.url)
    page.wait_for_function("() => sessionStorage.length > 0")
    said["record"] = record(300, seed=b"\4" * 32)
    gateway.said = drawn(Places(Lobby(300), seed=b"\4" * 32, note="Zürich 7 12 31").of(NUMBER))

    page.reload()

    expect(page.locator("#fairly")).to_contain_text("does not agree")


def test_who_came_after_the_draw_is_told_nothing_of_it(gateway: Gateway, page: Page, said: dict[str, Any]) -> None:
    said["record"] = DRAWN
    gateway.said = drawn(305) | {"number": 305}
    page.goto(gateway.url)
    page.wait_for_timeout(800)

    assert said["asked"] > 0
    assert not page.locator("#fair").is_visible()
