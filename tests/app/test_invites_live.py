"""Invites before a live shop: redeemed once, revoked, expired, forged; two lines that keep one rate and one cap."""

import asyncio
import csv
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis as sync_redis

from tests.app.live_support import ask, browsers, cookies, pass_of, run
from tests.support import (
    SECRET,
    Gateway,
    RedisServer,
    Shop,
    most_in_window,
    page_facts,
    running_gateway,
    running_redis,
    running_shop,
    wait_in_line,
)
from waitroom.core import changes
from waitroom.core.invites import Invite, InviteTokens
from waitroom.demo.browser import Answer, Browser
from waitroom.store.operating import change, plan_change
from waitroom.store.room import Room

NOT_COUNTED, USED, EARLY = b"This invite does not count", b"This invite has been used", b"It is too early"


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@asynccontextmanager
async def inviting(redis: RedisServer, **settings: str) -> AsyncIterator[tuple[Shop, Gateway]]:
    given = {"rate": "1/h", "burst": "2", "invite_share": "50%", **settings}
    async with running_shop() as shop, running_gateway(shop, redis.url, **given) as gateway:
        yield shop, gateway


def link(serial: int, *, uses: int = 1, room: str = "shop", early: bool = False, lasts_s: int = 600) -> str:
    """As `waitroom invite` signs it."""
    invite = Invite("testing", serial, uses, early, (int(time.time()) + lasts_s) * 1000)
    return f"/-/waitroom/invite?t={InviteTokens(room, [SECRET]).sign(invite)}"


async def operate(redis: RedisServer, wanted: changes.Wanted) -> None:
    """What `waitroom set`, `hold` and `resume` do, at once."""
    room = Room.connect(redis.url, "shop")
    try:
        await change(room, await plan_change(room, "shop", wanted), by="a test")
    finally:
        await room.close()


async def press(browser: Browser, target: str) -> Answer:
    """Open the link, and press the button if there is one."""
    page = await browser.open(target)
    found = re.search(rb'name="t" value="([^"]+)"', page.body)
    if found is None:
        return page
    return await browser.open("/-/waitroom/invite", form={"t": found[1].decode()})


async def test_a_link_counts_in_so_many_browsers_and_its_copies_do_not(redis_server: RedisServer) -> None:
    """P4 for invites: however many ask at once, an invite gives as many numbers as it has uses."""
    async with inviting(redis_server, workers="2") as (shop, gateway):
        with browsers(gateway, 16) as (first, copier, twin, *many):
            for _ in range(3):  # a preview, a scanner, a person who looks: nothing is used up
                assert b"You are invited" in (await first.open(link(1))).body
            assert "waitroom_shop_invited" in first.cookies
            assert not shop.arrivals

            story = await press(first, link(1))
            assert story.status == 503
            assert (await wait_in_line(first)).inside_at is not None
            assert (await press(copier, link(1))).body.count(USED)
            assert b"The shop" in (await press(first, link(1))).body  # who is inside, is

            answers = await asyncio.gather(*(press(one, link(2, uses=3)) for one in many))
            numbers = [page_facts(one)["number"] for one in answers if page_facts(one)]
            assert (len(numbers), len(set(numbers))) == (3, 3)
            assert sum(USED in one.body for one in answers) == len(many) - 3

            # One browser that presses ten times at once has one place.
            await twin.open(link(3))
            token = urlsplit(link(3)).query
            fields = (*cookies(twin).items(), ("content-type", "application/x-www-form-urlencoded"))
            origin = ("origin", gateway.url)
            sent = await asyncio.gather(
                *(ask(gateway, "POST", "/-/waitroom/invite", origin, *fields, body=token.encode()) for _ in range(10))
            )
            assert {answer.status for answer in sent} == {303}
            tickets = {ticket_number(answer) for answer in sent}
            assert len(tickets) == 1


def ticket_number(answer: Answer) -> str:
    (cookie,) = (value for name, value in answer.headers if name == "set-cookie")
    return cookie.split(".")[4]


async def test_what_we_did_not_sign_for_this_room_and_this_time_is_no_invite(redis_server: RedisServer) -> None:
    async with inviting(redis_server) as (shop, gateway):
        with browsers(gateway, 3) as (visitor, waiting, walker):
            good = link(1)
            token = good.partition("t=")[2]
            forged = [
                good[:-1] + ("A" if good[-1] != "A" else "E"),
                good.replace(".1.", ".9.", 1),
                link(1, room="other"),
                link(1, lasts_s=-1),
                good.replace("i1.", "t1."),
                "/-/waitroom/invite",
                "/-/waitroom/invite?t=" + "x" * 400,
            ]
            for target in forged:
                answer = await press(visitor, target)
                assert (answer.status, answer.body.count(NOT_COUNTED) > 0) == (403, True), target
            # Without the page's cookie the button does nothing; from another site neither.
            body, kind = f"t={token}".encode(), ("content-type", "application/x-www-form-urlencoded")
            bare = await ask(gateway, "POST", "/-/waitroom/invite", ("origin", gateway.url), kind, body=body)
            foreign = ("origin", "https://evil.example")
            crossed = await ask(gateway, "POST", "/-/waitroom/invite", foreign, kind, body=body)
            assert (bare.status, crossed.status) == (403, 403)

            # No cookie leads into the line of the invited but the one that an invite gave.
            await walker.open("/")
            while not page_facts(await waiting.open("/")):
                waiting.cookies.clear()
            stolen = waiting.cookies["waitroom_shop_ticket"]
            await visitor.open(link(1))
            for value in ("x", stolen, visitor.cookies["waitroom_shop_invited"]):
                answer = await ask(
                    gateway, "GET", "/", ("cookie", f"waitroom_shop_invited={value}"), ("accept", "text/html")
                )
                assert answer.status == 503
            with sync_redis.Redis(unix_socket_path=str(redis_server.socket)) as client:
                assert client.hget("waitroom:{shop}:invited:state", "issued") == b"0"
            assert all(arrival.place is not None for arrival in shop.arrivals)


async def test_invites_are_made_by_the_command_and_taken_back(redis_server: RedisServer, tmp_path: Path) -> None:
    async with inviting(redis_server) as (_, gateway):
        out = tmp_path / "invites.csv"
        making = ["invite", "--count", "3", "--expires", "1h", "--url", gateway.url, "--out", str(out)]
        made = json.loads(await run(gateway, *making, "--json"))
        rows = list(csv.DictReader(out.read_text().splitlines()))
        assert [row["id"] for row in rows] == [f"{made['batch']}-{serial}" for serial in range(3)]
        again = await asyncio.to_thread(gateway.command, *making)
        assert (again.returncode, "is there already" in again.stderr) == (2, True)

        with browsers(gateway, 3) as (first, second, third):
            targets = [row["link"].removeprefix(gateway.url) for row in rows]
            assert page_facts(await press(first, targets[0]))["number"] == 0
            assert "taken back" in await run(gateway, "invite", "--revoke", rows[1]["id"])
            assert NOT_COUNTED in (await press(second, targets[1])).body
            await run(gateway, "invite", "--revoke-batch", made["batch"])
            assert NOT_COUNTED in (await press(third, targets[2])).body
            # Who used one before keeps the place.
            assert (await first.fetch("/-/waitroom/status")).json()["number"] == 0
        told = json.loads(await run(gateway, "status", "--json"))
        assert (told["invited"]["share"], told["invited"]["issued"], told["burst"]) == (0.5, 1, 2.0)


@pytest.mark.timed
async def test_two_lines_together_keep_the_rate_the_cap_and_each_its_order(redis_server: RedisServer) -> None:
    """P1 and P2 over both lines, also across a live change of the rate; P3 within each."""
    settings = {"rate": "12/s", "burst": "6", "invite_share": "40%", "max_active": "60", "workers": "2"}
    async with inviting(redis_server, **settings) as (_, gateway):
        with browsers(gateway, 80) as everybody, sync_redis.Redis(unix_socket_path=str(redis_server.socket)) as client:
            await operate(redis_server, changes.hold("Soon"))
            invited, others = everybody[:35], everybody[35:]
            for serial, one in enumerate(invited):
                await press(one, link(serial))
            most = 0

            async def watch() -> None:
                nonlocal most
                while True:
                    most = max(most, client.zcard("waitroom:{shop}:active"))
                    await asyncio.sleep(0.05)

            watching = asyncio.create_task(watch())
            shopping = [asyncio.create_task(wait_in_line(one, limit_s=18)) for one in everybody]
            await asyncio.sleep(1)
            await operate(redis_server, changes.RESUME)
            await asyncio.sleep(1)
            await operate(redis_server, changes.Wanted(changes.read_words(["rate=5/s"])))
            changed_ms = time.time() * 1000
            await asyncio.gather(*shopping)
            watching.cancel()

            inside = [one for one in everybody if "waitroom_shop_pass" in one.cookies]
            passes = [pass_of(one) for one in inside]
            times = [each.valid_from_ms / 1000 for each in passes]
            slower = [at for at in times if at * 1000 > changed_ms + 2_100]
            assert (len(inside), most) == (60, 60)
            for span in (0.2, 0.5, 1.0, 2.0, 4.0):
                assert most_in_window(times, span) <= 6 + 12 * span
                assert most_in_window(slower, span) <= 6 + 5 * span
            assert len(slower) >= 10
            by_line = {
                generation: [each for each in passes if each.generation == generation]
                for generation in {each.generation for each in passes}
            }
            assert len(by_line) == 2
            assert 15 <= sum("waitroom_shop_pass" in one.cookies for one in invited) <= 33
            assert len(others) == 45
            for line in by_line.values():
                line.sort(key=lambda each: each.place)
                overtaken_by = [
                    sum(later.valid_from_ms < each.valid_from_ms for later in line[at + 1 :])
                    for at, each in enumerate(line)
                ]
                assert max(overtaken_by) <= 15  # those called together come in as they ask
            state = {
                name: client.hmget(f"waitroom:{{shop}}:{name}", "rate", "burst") for name in ("state", "invited:state")
            }
            rates = [float(values[0]) for values in state.values()]
            bursts = [float(values[1]) for values in state.values()]
            assert [sum(rates), sum(bursts)] == pytest.approx([5, 6])


async def test_before_the_opening_only_early_invites_count(redis_server: RedisServer) -> None:
    opens = datetime.fromtimestamp(time.time() + 3600, UTC).isoformat(timespec="seconds")
    async with inviting(redis_server, rate="10/s", burst="10", opens_at=opens, lobby_at="0") as (shop, gateway):
        with browsers(gateway, 3) as (early, patient, nobody):
            assert EARLY in (await press(patient, link(1))).body
            await press(early, link(2, early=True))
            assert (await wait_in_line(early)).inside_at is not None
            await nobody.open("/")
            assert len({arrival.place for arrival in shop.served()}) == 1
            assert "waitroom_shop_pass" not in {**nobody.cookies, **patient.cookies}


async def test_a_room_for_the_invited_alone_lets_in_nobody_else(redis_server: RedisServer) -> None:
    async with inviting(redis_server, rate="5/s", burst="2", invite_share="0", invite_only="1") as (shop, gateway):
        with browsers(gateway, 2) as (stranger, guest):
            refused = await stranger.open("/")
            assert (refused.status, b"By invitation only" in refused.body) == (403, True)
            joined = await stranger.fetch("/-/waitroom/join", method="POST")
            assert "waitroom_shop_ticket" not in stranger.cookies
            assert joined.status in (200, 303, 403)
            told = await ask(gateway, "GET", "/api/x", ("accept", "application/json"))
            assert (told.status, told.json()["title"]) == (403, "By invitation only")
            assert not shop.arrivals

            await press(guest, link(1))
            assert (await wait_in_line(guest)).inside_at is not None


async def test_when_redis_loses_everything_places_stay_and_links_count_anew(redis_server: RedisServer) -> None:
    async with inviting(redis_server) as (_, gateway):
        await operate(redis_server, changes.hold("Soon"))
        with browsers(gateway, 3) as (guest, copier, later):
            assert page_facts(await press(guest, link(1)))["number"] == 0
            assert USED in (await press(copier, link(1))).body
            await asyncio.sleep(0.6)  # a sync, by which the worker remembers

            redis_server.kill()
            redis_server.start()

            for _ in range(60):
                facts = (await guest.fetch("/-/waitroom/status")).json()
                if facts["number"] == 0 and facts["state"] in ("waiting", "held"):
                    break
                await asyncio.sleep(0.1)
            assert facts["number"] == 0
            for _ in range(60):
                again = await press(later, link(1))
                if page_facts(again).get("number") is not None:
                    break
                await asyncio.sleep(0.1)
            assert page_facts(again)["number"] > 0
