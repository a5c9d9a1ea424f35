"""The demo: a shop that can really be overrun, browsers and a crowd over real HTTP, and nothing left behind."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Timer

import pytest
import uvicorn
from starlette.requests import Request

from tests.patience import until
from tests.support import Story, wait_in_line
from waitroom.demo.browser import Answer, Browser, NoAnswer
from waitroom.demo.capacity import Limits
from waitroom.demo.crowd import Crowd, Pace
from waitroom.demo.goods import PRODUCTS, Basket
from waitroom.demo.options import DemoOptions
from waitroom.demo.sale import DemoSale
from waitroom.demo.stage import how_many
from waitroom.demo.storefront import Storefront

QUICK = Limits(workers=2, queue=12, patience_s=0.5, page_s=0.01, order_s=0.02)
BRISK = Pace(think_s=(0, 0.02), patience_s=(0.1, 0.2), away_s=(0.1, 0.2))
FORM = {"name": "Ada", "email": "ada@example.org", "address": "Storgatan 1"}


@asynccontextmanager
async def open_shop(limits: Limits = QUICK) -> AsyncIterator[tuple[Storefront, str]]:
    shop = Storefront(limits, seed=1)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(shop.app, log_config=None, lifespan="off", timeout_graceful_shutdown=1, access_log=False)
        )
        serving = asyncio.create_task(server._serve([listening]))
        while not server.started:
            await asyncio.sleep(0.005)
        try:
            yield shop, f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


@asynccontextmanager
async def browsing(url: str, *, keeps_cookies: bool = True, timeout_s: float = 15.0) -> AsyncIterator[Browser]:
    browser = Browser(url, keeps_cookies=keeps_cookies, timeout_s=timeout_s)
    try:
        yield browser
    finally:
        browser.close()


@asynccontextmanager
async def raw_server(*answers: bytes, close_after: bool = False) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Gives each request the next of `answers`; records the heads."""
    heads: list[bytes] = []
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while left:
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(left.pop(0))
                await writer.drain()
                if close_after:
                    break
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heads


async def timed(asking: Awaitable[Answer]) -> tuple[int, float]:
    begun = time.monotonic()
    answer = await asking
    return answer.status, time.monotonic() - begun


@pytest.mark.timed
async def test_the_shop_slows_down_then_fails_when_overrun_and_recovers() -> None:
    async with open_shop() as (shop, url):
        browsers = [Browser(url) for _ in range(60)]
        alone = [await timed(browsers[0].open("/")) for _ in range(5)]
        some = await asyncio.gather(*(timed(browser.open("/")) for browser in browsers[:10]))
        crowd = await asyncio.gather(*(timed(browser.open("/")) for browser in browsers))
        after = await timed(browsers[0].open("/"))
        for browser in browsers:
            browser.close()

    assert {status for status, _ in (*alone, *some, after)} == {200}
    assert max(took_s for _, took_s in some) > 2 * min(took_s for _, took_s in alone)
    refused = [status for status, _ in crowd if status == 503]
    assert len(refused) >= 60 - QUICK.queue - QUICK.workers - 20
    assert sum(status == 200 for status, _ in crowd) >= QUICK.workers
    assert shop.capacity.load.refused == len(refused)
    assert shop.capacity.load.busy == shop.capacity.load.queued == 0


@pytest.mark.timed
async def test_who_waits_too_long_inside_the_shop_is_turned_away() -> None:
    async with open_shop(Limits(workers=1, queue=10, patience_s=0.05, page_s=1.0)) as (_, url):
        browsers = [Browser(url) for _ in range(4)]
        answers = await asyncio.gather(*(timed(browser.open("/")) for browser in browsers))
        for browser in browsers:
            browser.close()

    assert sorted(status for status, _ in answers) == [200, 503, 503, 503]
    assert max(took_s for status, took_s in answers if status == 503) < 0.8, "before the page is done"


async def test_a_basket_is_told_from_the_next_one_and_still_is_when_ordered() -> None:
    """It names the order: with a new name, the same form sent twice would be two orders."""
    async with open_shop() as (_, url), browsing(url) as browser:
        names = []
        for slug in ("one", "pods"):
            await browser.open("/basket", form={"slug": slug})
            names.append(browser.cookies["basket_id"])
        await browser.open("/checkout", form=FORM)
        names.append(browser.cookies["basket_id"])
        await browser.open("/basket", form={"slug": "one"})

    assert len(set(names)) == 1
    assert browser.cookies["basket_id"] != names[0]


async def test_what_the_shop_does_not_have_is_said_in_its_own_look() -> None:
    async with open_shop() as (_, url), browsing(url) as browser:
        answer = await browser.open("/nowhere/at/all")

    assert answer.status == 404
    assert b"That is not here." in answer.body


async def test_an_order_goes_through_from_the_product_to_its_number() -> None:
    async with open_shop() as (shop, url), browsing(url) as browser:
        await browser.open("/basket", form={"slug": "one"})
        basket = await browser.open("/basket", form={"slug": "pods"})
        incomplete = await browser.open("/checkout", form=FORM | {"email": " "})
        placed = await browser.open("/checkout", form=FORM)
        again = await browser.open("/checkout", form=FORM)

    assert b"898" in basket.body
    assert incomplete.status == 422
    assert b"E-mail is missing" in incomplete.body
    assert placed.status == 200
    [number] = shop.orders
    assert placed.url.endswith(f"/orders/{number}")
    assert number.encode() in placed.body
    assert again.url.endswith("/basket")
    assert shop.capacity.load.orders == 1


async def test_a_refused_order_says_so_and_keeps_the_basket() -> None:
    async with open_shop(Limits(workers=1, queue=0)) as (shop, url), browsing(url) as browser:
        browser.cookies["basket"] = "one.1"
        answer = await browser.open("/checkout", form=FORM)

    assert answer.status == 503
    assert answer.header("retry-after") == "10"
    assert b"Your order was not placed" in answer.body
    assert browser.cookies["basket"] == "one.1"
    assert not shop.orders


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        *((f"/products/{product.slug}", 200) for product in PRODUCTS),
        *(("/basket", 200), ("/load", 200), ("/products/other", 404), ("/orders/T-0", 404)),
    ],
)
async def test_a_page_is_whole_and_needs_nothing_from_elsewhere(path: str, status: int) -> None:
    async with open_shop() as (_, url), browsing(url) as browser:
        answer = await browser.open(path)

    assert answer.status == status
    text = answer.body.decode()
    assert not re.findall(r"""(?:src|href|action|url)\s*[=(]\s*["']?(?:https?:)?//""", text)
    identities = re.findall(r'<(?:linearGradient|radialGradient|clipPath) id="([^"]+)"', text)
    assert len(identities) == len(set(identities))


@pytest.mark.parametrize(("place", "greeted"), [("41", True), ("4x", False), ("²", False), ("", False)])
def test_whoever_was_in_line_is_greeted(place: str, greeted: bool) -> None:
    request = Request({"type": "http", "method": "GET", "path": "/", "headers": [(b"waitroom-place", place.encode())]})

    page = Storefront(QUICK).page(request, "missing.html")

    assert (b"You are in, as number 42." in page.body) == greeted


@pytest.mark.parametrize(
    ("cookie", "counts"),
    [
        (None, ()),
        ("one.2-pods.1", (("one", 2), ("pods", 1))),
        ("one.99-other.1-pods.x-watch.-1-dock", (("one", 9),)),
        ("one.²", ()),
        ("-" * 5000 + "one.1", ()),
    ],
)
def test_a_basket_cookie_of_any_kind_is_read(cookie: str | None, counts: tuple[tuple[str, int], ...]) -> None:
    basket = Basket.read(cookie)

    assert basket.counts == counts
    assert Basket.read(basket.write()) == basket


async def test_a_form_that_is_too_long_changes_nothing() -> None:
    async with open_shop() as (_, url), browsing(url) as browser:
        answer = await browser.open("/basket", form={"slug": "one", "note": "x" * 20_000})

    assert answer.status == 400
    assert "basket" not in browser.cookies


async def test_a_browser_reads_chunks_lengths_and_ends_and_keeps_its_cookies() -> None:
    answers = (
        b"HTTP/1.1 200 OK\r\nset-cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\ntransfer-encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\ntrailer: 1\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nset-cookie: a=; Max-Age=0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nto the end",
    )
    async with raw_server(*answers) as (url, heads), browsing(url) as browser:
        chunked, empty, ended = [await browser.open("/") for _ in range(3)]

    assert (chunked.body, empty.body, ended.body) == (b"abcde", b"", b"to the end")
    assert b"cookie: a=1; b=2\r\n" in heads[1]
    assert b"cookie: b=2\r\n" in heads[2]


async def test_a_browser_tries_a_get_again_when_the_kept_connection_was_closed_but_never_a_post() -> None:
    page = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    async with raw_server(page, page, page, close_after=True) as (url, heads), browsing(url) as browser:
        await browser.open("/")
        await browser.open("/")
        with pytest.raises(NoAnswer):
            await browser.open("/checkout", form=FORM)

    assert [head.split(b" ")[0] for head in heads] == [b"GET", b"GET"]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: http://elsewhere.example/\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
    ],
    ids=["nothing", "nonsense", "cut", "endless", "bad chunk", "elsewhere", "long head"],
)
async def test_a_browser_says_when_there_is_no_proper_answer(answer: bytes) -> None:
    async with raw_server(answer, close_after=True) as (url, _), browsing(url, timeout_s=2) as browser:
        with pytest.raises(NoAnswer):
            await browser.open("/")


async def test_a_crowd_in_the_shop_orders_and_stays_bounded() -> None:
    async with open_shop(Limits(workers=8, queue=100, page_s=0.002, order_s=0.004)) as (shop, url):
        crowd = Crowd(url, 10, in_shop=True, pace=BRISK, seed=3)
        running = asyncio.create_task(crowd.run())
        most = 0
        async with asyncio.timeout(10):
            while shop.capacity.load.orders < 10:
                most = max(most, crowd.figures.inside + crowd.figures.waiting)
                await asyncio.sleep(0.02)
        running.cancel()
        await asyncio.wait([running])
        figures = crowd.report()

    assert running.cancelled()
    assert most <= 10
    assert figures["errors"] == 0
    assert figures["inside"] == figures["waiting"] == 0


async def test_a_crowd_before_a_dead_gateway_stays_bounded_and_gives_up() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused
        crowd = Crowd(f"http://127.0.0.1:{taken.getsockname()[1]}", 5, pace=BRISK, seed=1)
        running = asyncio.create_task(crowd.run())
        await until(lambda: crowd.figures.gave_up >= 5)
        running.cancel()
        await asyncio.wait([running])

    assert crowd.figures.let_in == 0


@pytest.mark.parametrize(
    ("options", "people"),
    [
        (DemoOptions(), 45),
        (DemoOptions(rate="10/s"), 450),
        (DemoOptions(rate="1/min"), 5),
        (DemoOptions(rate="0"), 20),
        (DemoOptions(crowd=0), 0),
        (DemoOptions(storefront_only=True), 300),
    ],
)
def test_by_default_the_wait_is_less_than_a_minute(options: DemoOptions, people: int) -> None:
    assert how_many(options) == people


@pytest.mark.parametrize(
    "wrong",
    [
        *({"rate": "fast"}, {"crowd": -1}, {"crowd": 2001}, {"port": 65536}, {"port": -1}, {"seconds": 0}),
        *({"sale_in": "9s"}, {"sale_in": "61m"}, {"sale_in": "soon"}, {"sale_in": "60s", "storefront_only": True}),
    ],
)
def test_an_option_out_of_bounds_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"^(--(rate|crowd|port|seconds|sale-in)=|a sale)"):
        DemoOptions(**wrong)  # type: ignore[arg-type]


SCRIPT = """
import json, sys
from waitroom.demo.run import DemoFailed, DemoOptions, demo

options = json.loads(sys.argv[1])
try:
    demo(DemoOptions(**options), say=lambda text: print("say", text, flush=True),
         live=lambda text: print("live", text, flush=True))
except DemoFailed as failure:
    sys.exit(str(failure))
"""


def start_demo(tmp_path: Path, **options: object) -> "subprocess.Popen[str]":
    environment = os.environ | {"TMPDIR": str(tmp_path), "WAITROOM_RATE": "nonsense of the shell's"}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, json.dumps({"port": 0} | options)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def read_until(running: "subprocess.Popen[str]", what: str, *, within_s: float = 60.0) -> list[str]:
    """The lines up to the one that is waited for; a demo that never says it is ended."""
    assert running.stdout is not None
    too_late = Timer(within_s, running.terminate)
    too_late.start()
    lines = []
    try:
        for line in running.stdout:
            lines.append(line)
            if re.search(what, line):
                return lines
    finally:
        too_late.cancel()
    raise AssertionError("".join(lines))


def descendants(pid: int) -> set[int]:
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    found, new = set[int](), {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return found


def alive(pids: set[int]) -> set[int]:
    left = set()
    for pid in pids:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                left.add(pid)
        except OSError:
            continue
    return left


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@needs_proc
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_the_demo_leaves_no_process_behind(tmp_path: Path, how: signal.Signals) -> None:
    with start_demo(tmp_path, storefront_only=True, crowd=3) as running:
        read_until(running, r"^live inside")
        parts = descendants(running.pid)
        assert len(parts) == 2

        running.send_signal(how)

        status = running.wait(30)
    assert_all_end(parts)
    assert status == (-9 if how == signal.SIGKILL else 0)
    if how != signal.SIGKILL:
        assert not list(tmp_path.glob("waitroom*"))


@needs_proc
@pytest.mark.timed
def test_the_whole_demo_lets_a_crowd_in_and_ends_without_a_trace(tmp_path: Path) -> None:
    """Somebody who opens the address that is printed sees a position fall, and is let in behind the crowd."""
    with start_demo(tmp_path, rate="4/s", crowd=30) as running:
        lines = read_until(running, r"^live waiting [1-9]\d* · let in [1-9]\d*/min · inside [1-9]")
        parts = descendants(running.pid)
        [address] = re.findall(r"Open +(http://\S+)", "".join(lines))
        person = asyncio.run(wait_once(address))

        running.send_signal(signal.SIGINT)

        status = running.wait(30)
    print(f"positions {person.positions}, {(person.inside_at or 0) - person.joined_at:.0f} s")
    assert person.inside_at
    assert person.positions[0] > person.positions[-1]
    assert person.positions == sorted(person.positions, reverse=True)
    assert person.answer is not None
    assert person.answer.status == 200
    assert status == 0
    assert len(parts) >= 5  # shop, gateway, its worker, its Redis, crowd
    assert_all_end(parts)
    assert not list(tmp_path.glob("waitroom*"))


@pytest.mark.timed
def test_a_demo_sale_goes_from_its_lobby_to_its_draw_and_its_opening(tmp_path: Path) -> None:
    """Nobody is let in before the opening, and people are right after it."""
    with start_demo(tmp_path, rate="10/s", crowd=12, sale_in="20s") as running:
        said = "".join(read_until(running, r"^live the draw in .* waiting [1-9]"))
        *lead, opened = read_until(running, r"^live open for ")
        is_in = r"^live open for .* inside [1-9]"
        inside = opened if re.search(is_in, opened) else read_until(running, is_in)[-1]
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 0

    assert "A sale opens in 20s" in said
    assert not re.search(r"inside [1-9]", said + "".join(lead))
    assert int(re.findall(r"open for 0:(\d\d)", inside)[-1]) < 8


def test_a_demo_sale_has_a_lobby_of_five_twelfths_and_a_lead_of_at_most_a_minute() -> None:
    short, long = DemoSale.after(60, now_s=1000), DemoSale.after(600, now_s=1000)

    assert (short.lobby_s, short.drawn_s, short.opens_s) == (1020, 1045, 1060)
    assert (long.lobby_s, long.drawn_s, long.opens_s) == (1200, 1540, 1600)
    told = [short.next_event(at_s) for at_s in (1000, 1020, 1045, 1061)]
    assert told == ["the lobby opens in 0:20", "the draw in 0:25", "the sale opens in 0:15", "open for 0:01"]


@needs_proc
def test_the_whole_demo_ends_when_it_is_killed(tmp_path: Path) -> None:
    with start_demo(tmp_path, rate="10/s", crowd=2) as running:
        read_until(running, r"^live waiting")
        parts = descendants(running.pid)

        running.kill()

    assert len(parts) >= 5
    assert_all_end(parts)


async def wait_once(address: str) -> Story:
    async with browsing(address) as browser:
        return await wait_in_line(browser)


def assert_all_end(pids: set[int]) -> None:
    until = time.monotonic() + 20
    while alive(pids) and time.monotonic() < until:
        time.sleep(0.01)
    assert not alive(pids)


def test_the_demo_ends_by_itself_when_asked_to(tmp_path: Path) -> None:
    with start_demo(tmp_path, storefront_only=True, crowd=0, seconds=0.5) as running:
        said, _ = running.communicate(timeout=60)

    assert running.returncode == 0
    assert "Open   http://127.0.0.1:" in said
    assert "live shop 0/4 busy" in said


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with start_demo(tmp_path, storefront_only=True, port=port) as running:
            said, _ = running.communicate(timeout=60)

    assert running.returncode == 1
    assert f"Port {port} cannot be used" in said


@needs_proc
def test_a_part_that_ends_by_itself_ends_the_demo_with_its_name(tmp_path: Path) -> None:
    with start_demo(tmp_path, storefront_only=True, crowd=0) as running:
        read_until(running, r"^live shop 0")
        [storefront] = descendants(running.pid)

        os.kill(storefront, signal.SIGKILL)

        said, _ = running.communicate(timeout=60)

    assert running.returncode == 1
    assert "The storefront ended by itself (status -9)" in said
