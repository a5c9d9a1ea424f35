"""Taking a place to another device, over real HTTP: exactly once, by a press of a button, and the same place (P4)."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from html import unescape
from urllib.parse import unquote, urlsplit

import pytest
import pytest_asyncio

from tests.app.live_support import ask, browsers, run
from tests.support import SECRET, Gateway, Shop, page_facts, running_gateway, running_redis, running_shop
from waitroom.core.tokens import Move, Ticket, Tokens
from waitroom.demo.browser import Answer, Browser
from waitroom.edge.pages.transfer import LIFE_MS
from waitroom.edge.transfer import STEP_MS

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop() -> AsyncIterator[Shop]:
    async with running_shop() as shop:
        yield shop


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(shop: Shop) -> AsyncIterator[Gateway]:
    """A line in which nobody's turn comes; two workers."""
    with running_redis() as redis:
        async with running_gateway(shop, redis.url, rate="1/h", burst="1", workers="2") as gateway:
            with browsers(gateway, 1) as (first,):
                await first.open("/")
            yield gateway


async def link_of(browser: Browser) -> str:
    """The path and query of the link."""
    made = (await browser.fetch("/-/waitroom/transfer", method="POST")).json()
    parts = urlsplit(made["url"])
    return f"{parts.path}?{parts.query}"


def form_of(page: Answer) -> dict[str, str]:
    fields = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.body.decode())
    return {name: unescape(value) for name, value in fields}


async def number_of(browser: Browser) -> int | None:
    return (await browser.fetch("/-/waitroom/status")).json()["number"]  # type: ignore[no-any-return]


async def test_a_place_goes_to_another_device_by_the_link_and_one_press(gateway: Gateway, shop: Shop) -> None:
    with browsers(gateway, 2) as (phone, desktop):
        number = page_facts(await phone.open("/product/42?colour=red"))["number"]
        offered = await phone.open("/-/waitroom/transfer", form={"to": "/product/42?colour=red"})
        link = unescape(re.search(r'id="link" href="([^"]+)"', offered.body.decode())[1])  # type: ignore[index]

        shown = await desktop.open(link.removeprefix(gateway.url))
        taken = await desktop.open("/-/waitroom/take", form=form_of(shown))

        assert desktop.cookies == phone.cookies, "the same ticket: the same number, the same visitor"
        assert page_facts(taken)["number"] == number
        assert taken.url == f"{gateway.url}/product/42?colour=red"
        assert await number_of(phone) == number
        assert unquote(re.search(rb'<img src="([^"]+)', offered.body)[1].decode()).startswith("data:image/svg+xml")  # type: ignore[index]
        assert not [arrival for arrival in shop.arrivals if "/-/waitroom" in arrival.target]


async def test_looking_at_the_link_uses_nothing_up(gateway: Gateway) -> None:
    """Previews of messengers, scanners of mail, a prefetch: each opens the link, and it is still good."""
    with browsers(gateway, 2) as (phone, desktop):
        await phone.open("/")
        link = await link_of(phone)

        for method in ("GET", "HEAD", "GET"):
            answer = await ask(gateway, method, link, ("accept", "text/html"), ("sec-purpose", "prefetch"))
            assert answer.status == 200
            assert answer.header("set-cookie") is None
            assert answer.header("referrer-policy") == "strict-origin"
            assert answer.header("cache-control") == "private, no-store"
        await desktop.open("/-/waitroom/take", form=form_of(await desktop.open(link)))

        assert desktop.cookies == phone.cookies


async def test_of_many_who_press_at_once_one_gets_the_place(gateway: Gateway) -> None:
    with browsers(gateway, 13) as (phone, *others):
        await phone.open("/")
        link = await link_of(phone)
        forms = [form_of(await other.open(link)) for other in others]

        answers = await asyncio.gather(
            *(
                other._ask("POST", "/-/waitroom/take", {"accept": "text/html"}, form)
                for other, form in zip(others, forms, strict=True)
            )
        )

        assert sorted(answer.status for answer in answers) == [303] + [410] * 11
        winner = next(at for at, answer in enumerate(answers) if answer.status == 303)
        again = await others[winner]._ask("POST", "/-/waitroom/take", {"accept": "text/html"}, forms[winner])
        assert again.status == 303, "a double click, a lost answer: the same browser may ask again"
        assert b"does not work any more" in next(answer.body for answer in answers if answer.status == 410)


async def test_only_what_was_signed_for_this_room_purpose_and_time_is_taken(gateway: Gateway) -> None:
    """P5."""
    with browsers(gateway, 2) as (phone, desktop):
        await phone.open("/")
        ticket_text = phone.cookies["waitroom_shop_ticket"]
        tokens, now_ms = Tokens("shop", [SECRET]), int(time.time() * 1000)
        ticket = tokens.read_ticket(ticket_text, now_ms)
        assert isinstance(ticket, Ticket)
        good = tokens.sign_move(Move(ticket, now_ms + LIFE_MS))
        other_room = Tokens("other", [SECRET]).sign_move(Move(ticket._replace(room="other"), now_ms + LIFE_MS))
        refused = {
            "a ticket": ticket_text,
            "expired": tokens.sign_move(Move(ticket, now_ms - 1)),
            "another room's": other_room,
            "of another generation": tokens.sign_move(
                Move(ticket._replace(generation="0123456789abcdef"), now_ms + LIFE_MS)
            ),
            "forged": Tokens("shop", ["x" * 40]).sign_move(Move(ticket, now_ms + LIFE_MS)),
            "another number": good.replace(f".{ticket.number}.", f".{ticket.number + 1}."),
            "nothing": "",
            "too long": "x" * 5000,
        }

        for why, token in refused.items():
            answer = await desktop._ask("POST", "/-/waitroom/take", {"accept": "text/html"}, {"t": token})
            assert (answer.status, answer.header("set-cookie")) == (410, None), why
        assert tokens.read_ticket(good, now_ms) is None, "a link is no ticket"
        assert (await desktop._ask("POST", "/-/waitroom/take", {"accept": "text/html"}, {"t": good})).status == 303


async def test_another_site_can_neither_take_nor_make_a_link(gateway: Gateway) -> None:
    with browsers(gateway, 1) as (phone,):
        await phone.open("/")
        link = await link_of(phone)
        token = unquote(link.partition("t=")[2])
        for route, body in (("take", f"t={token}"), ("transfer", "")):
            answer = await ask(
                gateway,
                "POST",
                f"/-/waitroom/{route}",
                ("origin", "https://elsewhere.test"),
                ("sec-fetch-site", "cross-site"),
                ("content-type", "application/x-www-form-urlencoded"),
                ("cookie", f"waitroom_shop_ticket={phone.cookies['waitroom_shop_ticket']}"),
                body=body.encode(),
            )
            assert answer.status == 403


async def test_whoever_has_no_place_has_none_to_take_along(gateway: Gateway) -> None:
    with browsers(gateway, 1) as (stranger,):
        answer = await stranger.fetch("/-/waitroom/transfer", method="POST")

    assert answer.status == 409
    assert answer.json()["type"] == "urn:waitroom:problem:no-place"


@pytest.mark.parametrize("name", ["shop.example", "[", "[::1", "a%zz"])
async def test_the_link_leads_back_to_the_page_it_was_asked_for_on_whatever_the_host_is_called(
    gateway: Gateway, name: str
) -> None:
    """A Host that no parser of addresses takes was answered 500."""
    with browsers(gateway, 1) as (phone,):
        await phone.open("/")
        reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.environment["WAITROOM_PORT"]))
        cookie = "; ".join(f"{name}={value}" for name, value in phone.cookies.items())
        fields = f"host: {name}\r\nreferer: http://{name}/a?b=1#c\r\norigin: http://{name}\r\ncookie: {cookie}\r\n"
        writer.write(f"POST /-/waitroom/transfer HTTP/1.1\r\n{fields}connection: close\r\n\r\n".encode())
        answer = await reader.read(-1)
        writer.close()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"&to=/a%3Fb%3D1" in answer


async def test_an_app_takes_a_place_as_json_with_the_ticket_in_a_field(gateway: Gateway) -> None:
    with browsers(gateway, 1) as (phone,):
        await phone.open("/")
        made = (await phone.fetch("/-/waitroom/transfer", method="POST")).json()
        token = unquote(made["url"].partition("t=")[2])

        form = ("content-type", "application/x-www-form-urlencoded")
        answer = await ask(
            gateway, "POST", "/-/waitroom/take", ("accept", "application/json"), form, body=f"t={token}".encode()
        )

        assert answer.json()["number"] == await number_of(phone)
        assert answer.header("waitroom-ticket") == phone.cookies["waitroom_shop_ticket"]
        assert made["qr"].startswith("data:image/svg+xml")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", made["expires_at"])


async def test_a_link_is_short_lived_and_the_same_within_some_seconds(gateway: Gateway) -> None:
    with browsers(gateway, 1) as (phone,):
        await phone.open("/")
        token = unquote((await link_of(phone)).partition("t=")[2])

        move = Tokens("shop", [SECRET]).read_move(token, int(time.time() * 1000))
        assert isinstance(move, Move)
        assert 0 < move.expires_ms - int(time.time() * 1000) <= LIFE_MS + STEP_MS
        assert Tokens("shop", [SECRET]).read_move(token, move.expires_ms) is None


async def test_no_link_is_ever_written_to_the_log(gateway: Gateway) -> None:
    with browsers(gateway, 2) as (phone, desktop):
        await phone.open("/")
        link = await link_of(phone)
        await desktop.open("/-/waitroom/take", form=form_of(await desktop.open(link)))

    assert unquote(link.partition("t=")[2]) not in gateway.log.read_text()


async def test_a_place_on_two_devices_is_one_admission_and_one_pass(shop: Shop) -> None:
    """P4: when the turn comes both go in, as one."""
    with running_redis() as redis:
        async with running_gateway(shop, redis.url, rate="1/h", burst="1", max_active="5") as gateway:
            with browsers(gateway, 3) as (first, phone, desktop):
                await first.open("/")
                await phone.open("/")
                await desktop.open("/-/waitroom/take", form=form_of(await desktop.open(await link_of(phone))))
                await run(gateway, "set", "rate=600/min")
                for browser in (phone, desktop):
                    async with asyncio.timeout(15):
                        while (await browser.fetch("/-/waitroom/claim", method="POST")).json()["state"] != "admitted":
                            await asyncio.sleep(0.1)
                places = []
                for browser in (phone, desktop):
                    before = len(shop.arrivals)
                    assert (await browser.open("/inside")).body.startswith(b"<!doctype html><title>The shop")
                    places += [arrival.place for arrival in shop.arrivals[before:]]
                status = await run(gateway, "status", "--json")

    assert len(places) == 2
    assert len(set(places)) == 1
    assert '"admitted": 2' in status, "the first visitor, and this one place"
