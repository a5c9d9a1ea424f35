"""Every state of the page as somebody meets it: for the pictures, and for the tests that have to hold in each.

The page is the gateway's own; what the line says is written here, and no server is needed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from playwright.async_api import Page, Route

from waitroom.core.errors import OriginFailure
from waitroom.core.orders.attempt import Attempt, Outcome
from waitroom.core.sale.draw import Lobby, Places, commitment_of
from waitroom.core.sale.draw_record import Record
from waitroom.core.settings import Settings
from waitroom.edge.answers import Answer, Asked
from waitroom.edge.facts import PageFacts, members
from waitroom.edge.orders.pages import OrderPages
from waitroom.edge.pages.languages import Language
from waitroom.edge.pages.problems import Problems
from waitroom.edge.pages.transfer import TransferPages
from waitroom.edge.pages.waiting import Pages

SHOP = "https://shop.test"
PATH = "/phones/kestrel-9"
SETTINGS = Settings.model_validate({"origin": "http://127.0.0.1:9", "shop_name": "Kestrel"})
LEAVING = "addEventListener('DOMContentLoaded', () => (document.querySelector('details').open = true))"
HIDDEN = "Object.defineProperty(document, 'hidden', { get: () => true })"
BLOCKED = "Object.defineProperty(navigator, 'cookieEnabled', { get: () => false })"
FIRST_SEEN = "sessionStorage.setItem('waitroom:first:4711', '3100')"
FIGURES: Mapping[str, Any] = {
    "number": 4711,
    "position": 1204,
    "ahead": 1203,
    "waiting": 5310,
    "rate_per_min": 120.0,
    "wait_low_s": 560.0,
    "wait_high_s": 700.0,
    "next_poll_s": 20.0,
}


SEED, NOTE, PEOPLE = b"\3" * 32, "Lotto 7 12 31", 12_480
ABOUT = {"room": "shop", "generation": "g1", "source": "a lottery", "opened_at": "2026-01-01T12:00:00.000Z"}
PLACE = Places(Lobby(PEOPLE), seed=SEED, note=NOTE).of(FIGURES["number"])
RECORD = Record(
    **ABOUT,
    commitment=commitment_of(SEED, **ABOUT),
    drawn_at="2026-01-01T12:14:00.000Z",
    numbers=PEOPLE,
    left_out=(),
    people=PEOPLE,
    note=NOTE,
    seed=SEED.hex(),
).to_json()
"""Of the draw that gave number 4711 its place, so that the page can check it."""


@dataclass(frozen=True)
class Scene:
    """`seconds` from now are the lobby, the opening and the end of the sale. `script` runs before the page's own."""

    state: str = "waiting"
    figures: Mapping[str, Any] = field(default_factory=dict)
    lobby_s: float | None = None
    opens_s: float | None = None
    kept_s: float | None = None
    script: str = ""
    scripts: bool = True
    offline: bool = False
    record: str | None = None
    answer: Callable[[Problems, Asked], Answer] | None = None

    def facts(self) -> PageFacts:
        now = datetime.now(UTC)
        times = {
            name: (now + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
            for name, seconds in (("lobby_at", self.lobby_s), ("opens_at", self.opens_s))
            if seconds is not None
        }
        known = {**FIGURES, **self.figures, **times}
        if self.kept_s is not None:
            known["kept_until_ms"] = int((now.timestamp() + self.kept_s) * 1000)
        return PageFacts(state=self.state, target=PATH, server_time_ms=int(now.timestamp() * 1000), **known)


def without(*names: str) -> dict[str, None]:
    return dict.fromkeys(names)


PLACELESS = without("position", "ahead", "wait_low_s", "wait_high_s", "rate_per_min")
SCENES: Mapping[str, Scene] = {
    "before": Scene("before", {**PLACELESS, **without("number", "waiting")}, lobby_s=2652, opens_s=3552),
    "lobby": Scene("lobby", {**PLACELESS, "waiting": 12_480}, lobby_s=-300, opens_s=599),
    "drawn": Scene("lobby", {**without("wait_low_s", "wait_high_s", "rate_per_min"), "place": 1203, "waiting": 12_480},
                   lobby_s=-850, opens_s=48),
    "drawn-checked": Scene("lobby", {**without("wait_low_s", "wait_high_s"), "position": PLACE + 1, "ahead": PLACE,
                                     "place": PLACE, "waiting": PEOPLE}, lobby_s=-850, opens_s=48, record=RECORD),
    "drawn-differs": Scene("lobby", {**without("wait_low_s", "wait_high_s"), "position": PLACE, "ahead": PLACE - 1,
                                     "place": PLACE - 1, "waiting": PEOPLE}, lobby_s=-850, opens_s=48, record=RECORD),
    "waiting": Scene(script=FIRST_SEEN),
    "leaving": Scene(script=LEAVING),
    "waiting-scarce": Scene(figures={"stock": 300}, script=FIRST_SEEN),
    "waiting-slower": Scene(
        figures={"change": "slower", "wait_low_s": 1900.0, "wait_high_s": 3400.0, "rate_per_min": 30.0}
    ),
    "waiting-message": Scene(figures={"message": "Blue is sold out. Graphite and silver are still there."}),
    "waiting-hours": Scene(
        figures={"position": 184_220, "ahead": 184_219, "waiting": 240_118,
                 "wait_low_s": 9000.0, "wait_high_s": 12_400.0, "rate_per_min": 600.0}
    ),
    "waiting-without-scripts": Scene(scripts=False),
    "offline": Scene(script=FIRST_SEEN, offline=True),
    "called": Scene("called", {**PLACELESS, "position": 1}),
    "called-away": Scene("called", {**PLACELESS, "position": 1}, script=HIDDEN, kept_s=480),
    "held": Scene("held", {"message": "We are restocking. Back at a quarter past nine.",
                           **without("wait_low_s", "wait_high_s", "rate_per_min")}),
    "lapsed": Scene("lapsed", PLACELESS),
    "left": Scene("left", PLACELESS),
    "sold-out": Scene("sold_out", PLACELESS),
    "closed": Scene("closed", PLACELESS),
    "no-cookies": Scene(script=BLOCKED),
    "store-away": Scene(answer=lambda problems, asked: problems.store_away(asked, server_time_ms=now_ms())),
    "retry": Scene(answer=lambda problems, asked: problems.retry(asked, server_time_ms=now_ms())),
    "shop-broken": Scene(answer=lambda problems, asked: problems.origin_failed(asked, OriginFailure("refused"))),
    "nothing-sent": Scene(
        answer=lambda problems, asked: problems.nothing_sent(
            asked, PageFacts(state="none", server_time_ms=0), enter_url="/"
        )
    ),
    "no-cookies-kept": Scene(answer=lambda problems, asked: problems.no_cookies(asked)),
    "order-unsure": Scene(
        answer=lambda problems, asked: problems.origin_failed(
            replace(asked, safe=False), OriginFailure("timeout", sent=True)
        )
    ),
    "not-found": Scene(answer=lambda problems, asked: problems.not_found(asked)),
    "transfer": Scene(answer=lambda problems, asked: transfer_offered(asked)),
    "transfer-take": Scene(answer=lambda problems, asked: transfer_taken(asked)),
    "transfer-over": Scene(answer=lambda problems, asked: problems.link_over(asked)),
    "invite": Scene(answer=lambda problems, asked: problems.invite(asked, "t")),
    "invite-used": Scene(answer=lambda problems, asked: problems.no_invite(asked, "used", href="/")),
    "invited-only": Scene(answer=lambda problems, asked: problems.invited_only(asked)),
    "frame": Scene(answer=lambda problems, asked: problems.frame(asked)),
    "orders": Scene(answer=lambda problems, asked: orders_of(*Outcome, asked=asked)),
    "orders-none": Scene(answer=lambda problems, asked: orders_of(asked=asked)),
    "orders-away": Scene(answer=lambda problems, asked: orders_of(Outcome.UNKNOWN, asked=asked, recorded=False)),
    "orders-repeated": Scene(answer=lambda problems, asked: order_again(asked, Outcome.CONFIRMED, "")),
    "orders-again": Scene(answer=lambda problems, asked: order_again(asked, Outcome.CONFIRMED, "ask")),
    "orders-unsure": Scene(answer=lambda problems, asked: order_again(asked, Outcome.UNKNOWN, "ask")),
    "orders-granted": Scene(answer=lambda problems, asked: order_again(asked, Outcome.UNKNOWN, "said")),
}  # fmt: skip


class Stage:
    """Shows scenes in a browser's page."""

    def __init__(self, settings: Settings = SETTINGS) -> None:
        self.pages = Pages(settings)
        self.problems = Problems(settings, self.pages)

    async def show(self, page: Page, scene: Scene, *, language: str = "en") -> None:
        """Open the scene, and wait until its script has run."""
        facts = scene.facts()
        spoken = self.pages.languages[language]

        async def answer(route: Route) -> None:
            path = route.request.url.removeprefix(SHOP)
            if path.startswith("/-/waitroom/draw") and scene.record:
                await route.fulfill(body=scene.record, content_type="application/json")
            elif path.startswith("/-/"):
                await route.fulfill(body=b"{%b}" % members(scene.facts()), content_type="application/json")
            else:
                await self._document(route, scene, facts, spoken)

        await page.unroute_all()
        await page.route(f"{SHOP}/**", answer)
        if scene.script:
            await page.add_init_script(scene.script)
        await page.goto(SHOP + PATH)
        if scene.record:
            await page.locator("#fair").wait_for()
        if scene.offline:
            await page.context.set_offline(True)
            await page.locator("#lost").wait_for()

    async def _document(self, route: Route, scene: Scene, facts: PageFacts, language: Language) -> None:
        if scene.answer is None:
            headers, body = self.pages.waiting(facts, language, gzip=False)
            status = 503
        else:
            asked = Asked(html=True, gzip=False, safe=True, request_id="4f1c02", accept_language=language.tag.encode())
            status, headers, body = scene.answer(self.problems, asked)
        fields = {name.decode(): value.decode() for name, value in headers}
        await route.fulfill(status=status, headers=fields, body=body)


@cache
def order_pages() -> OrderPages:
    return OrderPages(SETTINGS, Pages(SETTINGS))


def orders_of(*outcomes: Outcome, asked: Asked, recorded: bool = True) -> Answer:
    """A visitor's orders, one of each; not recorded where Redis is away."""
    attempts = [attempt(outcome, recorded=recorded) for outcome in outcomes]
    return order_pages().listed(attempts, asked, now_ms=now_ms(), complete=recorded)


def order_again(asked: Asked, outcome: Outcome, again: str) -> Answer:
    """To somebody who sends an order again, of which this became."""
    return order_pages().repeated(attempt(outcome), asked, now_ms=now_ms(), again=again)


@cache
def transfer_pages() -> TransferPages:
    return TransferPages(Pages(SETTINGS))


def transfer_offered(asked: Asked) -> Answer:
    """A link as long as they are."""
    link = f"{SHOP}/-/waitroom/transfer?t={'Abc123xyz-_' * 12}&to={PATH}"
    return transfer_pages().offer(asked, link=link, code=transfer_pages().draw(link, now_ms()), back=PATH)


def transfer_taken(asked: Asked) -> Answer:
    return transfer_pages().take(asked, token="t", taker="b", to=PATH, has_other=True)


def attempt(outcome: Outcome, *, recorded: bool = True) -> Attempt:
    is_open, now = outcome is Outcome.UNDER_WAY, now_ms()
    return Attempt(
        id=f"019a8c1f2e4b3c7d-{outcome.value}",
        visitor="",
        route="",
        begun_ms=now - 9_000,
        deadline_ms=now + 60_000,
        worker="",
        idempotency_key="",
        sameness="",
        outcome=outcome,
        reference="K-2071" if outcome is Outcome.CONFIRMED else None,
        decided_ms=None if is_open else now - 5_000,
        recorded=recorded,
    )


def now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)
