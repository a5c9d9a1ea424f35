"""The demo's parts: a shop, the gateway before it and a crowd, each in a process of its own.

Settings of the surrounding shell do not reach them, and nothing outlives the process that started them
(waitroom.store.lifeline).
"""

import http.client
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from waitroom.core.parse import parse_rate
from waitroom.core.sentences import people
from waitroom.demo.options import DemoOptions
from waitroom.demo.sale import DemoSale
from waitroom.demo.storefront import ORDER_ROUTE
from waitroom.store.lifeline import Child, start_child

HOST = "127.0.0.1"
SHOP_NAME = "Tindra"
READY_S = 20.0
LOOK_S = 0.5
WAIT_S = 45
"""How long whoever opens the page waits, unless told otherwise."""
OVERRUN_PEOPLE = 300
"""So many at once are too many for the shop by itself."""


class DemoFailed(Exception):
    """A part did not start, or ended by itself. The sentence says what to do."""


class Stage:
    """The parts and the folder. Leaving it stops the parts and removes a folder that was only for this time."""

    def __init__(self, options: DemoOptions) -> None:
        self.options = options
        self.people = how_many(options)
        self.sale: DemoSale | None = None
        self.shop_url = self.gateway_url = ""
        self._parts: dict[str, Child] = {}
        self._figures: dict[str, int] = {}
        self._partial = b""
        self._reader = -1

    def __enter__(self) -> "Stage":
        self._temporary = self.options.data_dir is None
        folder = self.options.data_dir or Path(tempfile.mkdtemp(prefix="waitroom-demo-"))
        self.folder = folder.absolute()
        return self

    def __exit__(self, *_: object) -> None:
        with uninterrupted():
            for part in reversed(self._parts.values()):
                part.stop(8.0)
            if self._reader >= 0:
                os.close(self._reader)
            if self._temporary:
                shutil.rmtree(self.folder, ignore_errors=True)

    def raise_curtain(self, tell: Callable[[str], None]) -> None:
        """Start the parts, each when the one behind it answers; `tell` is told which."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise DemoFailed(f"The folder {self.folder} cannot be used: {error.strerror}.") from error
        alone = self.options.storefront_only
        tell("Starting an example shop …")
        with listen(self.options.port if alone else 0) as listening:
            self.shop_url = f"http://{HOST}:{listening.getsockname()[1]}"
            number = listening.fileno()
            self._start("storefront", ["-m", "waitroom.demo.storefront", str(number)], pass_fds=(number,))
        self._wait_for("storefront", self.shop_url, "/load")
        if not alone:
            with listen(self.options.port) as listening:
                port = listening.getsockname()[1]
            self.gateway_url = f"http://{HOST}:{port}"
            if self.options.sale_in is not None:
                self.sale = DemoSale.after(self.options.sale_in_s, time.time())
            tell("Starting the gateway, and a Redis for it …")
            self._start("gateway", ["-m", "waitroom", "run"], settings=self._settings(port))
            self._wait_for("gateway", self.gateway_url, "/-/waitroom/ready")
        if self.people and self.sale is None:
            self._start_crowd()

    def programme(self) -> Iterator[str]:
        yield ""
        yield f"  Open   {self.gateway_url or self.shop_url}/"
        yield ""
        if self.options.storefront_only:
            yield f"  The shop without a gateway, and {self.people} people in it at once."
            yield "  When they are too many it slows down, and then it fails."
            yield "  Run the demo without --storefront-only to see the same shop behind the line."
        else:
            if self.sale is None:
                yield f"  {self.people} people wait before you; {self.options.rate} are let in."
            else:
                yield from self._sale_programme()
            yield ""
            yield "  Try   close the tab and open the address again: your place is kept"
            yield "        a private window: a second visitor, further back"
            yield f"        the shop's own address, {self.shop_url}/, which has no line before it"
            yield "        order something, then see what became of it, also while the shop is down:"
            yield f"        {self.gateway_url}/-/waitroom/orders"
            yield "  In another shell"
            yield f"        export WAITROOM_DATA_DIR={self.folder}"
            yield "        waitroom status --watch"
            yield "        waitroom orders"
            yield "        waitroom set rate=120/min"
            yield '        waitroom hold "A short break" ; waitroom resume'
        yield ""
        yield "  Below: the crowd now, its orders and failed pages, and how busy the shop is and how long a page takes."
        yield "  Ctrl-C ends everything."
        yield ""

    def looking_back(self) -> Iterator[str]:
        """What the crowd did, once it is over."""
        figures = self._figures
        if not figures:
            return
        if self.options.storefront_only:
            yield f"  {figures['came']} people came to the shop by itself and placed {figures['orders']} orders."
        else:
            yield f"  {figures['came']} people came, {figures['let_in']} were let in, {figures['left']} left the line."
            yield f"  They placed {figures['orders']} orders; the gateway knew of {figures['confirmed']} when asked."
        failed = {0: "No page failed", 1: "1 page failed"}.get(figures["errors"], f"{figures['errors']:,} pages failed")
        yield f"  {failed}, and {people(figures['gave_up'])} gave up."

    def _sale_programme(self) -> Iterator[str]:
        yield f"  A sale opens in {self.options.sale_in}: a countdown, then a lobby with {self.people} people,"
        yield f"  a draw of the places, and {self.options.rate} are let in."
        yield "  Open the address now: in the lobby it makes no difference who came first."
        yield ""
        yield "  After the draw   your page has checked its place; anybody can:"
        yield f"        curl -s {self.gateway_url}/-/waitroom/draw > draw.json"
        yield "        waitroom verify-draw draw.json --number 0"

    def play(self, live: Callable[[str], None]) -> None:
        """Show what happens until the time is over. Raises DemoFailed when a part ends by itself."""
        until = None if self.options.seconds is None else time.monotonic() + self.options.seconds
        while until is None or time.monotonic() < until:
            for name in self._parts:
                self._check(name)
            if self.sale is not None and self.people and self._reader < 0 and time.time() >= self.sale.lobby_s:
                self._start_crowd()
            self._read_figures()
            live(self._line())
            left_s = LOOK_S if until is None else min(LOOK_S, until - time.monotonic())
            time.sleep(max(0.0, left_s))

    def _line(self) -> str:
        figures = self._figures
        parts = [] if self.sale is None else [self.sale.next_event(time.time())]
        if figures and not self.options.storefront_only:
            parts.append(f"waiting {figures['waiting']}")
            parts.append(f"let in {figures['let_in_per_min']}/min")
        if figures:
            unsure = f", {figures['unsure']} unsure" if figures["unsure"] else ""
            parts += [
                f"inside {figures['inside']}",
                f"orders {figures['orders']}{unsure}",
                f"errors {figures['errors']}",
            ]
        load = ask(self.shop_url, "/load")
        if load is None:
            parts.append("shop: no answer")
        else:
            parts.append(f"shop {load['busy']}/{load['workers']} busy, {load['page_ms']} ms")
            if load["refused"]:
                parts.append(f"{load['refused']} refused")
        return " · ".join(parts)

    def _settings(self, port: int) -> dict[str, str]:
        return {
            "WAITROOM_ORIGIN": self.shop_url,
            "WAITROOM_SHOP_NAME": SHOP_NAME,
            "WAITROOM_RATE": self.options.rate,
            "WAITROOM_HOST": HOST,
            "WAITROOM_PORT": str(port),
            "WAITROOM_DATA_DIR": str(self.folder),
            "WAITROOM_STOP_DELAY": "0",
            "WAITROOM_ADMIN_LISTEN": "off",
            "WAITROOM_LOG": "console",
            "WAITROOM_ORDER_ROUTES": ORDER_ROUTE,
            **dict(self.sale.settings() if self.sale else ()),
        }

    def _start(
        self, name: str, arguments: list[str], *, settings: dict[str, str] | None = None, pass_fds: tuple[int, ...] = ()
    ) -> None:
        with self._log(name).open("wb") as output:
            self._parts[name] = start_child(
                [sys.executable, *arguments], env=environment() | (settings or {}), output=output, pass_fds=pass_fds
            )

    def _start_crowd(self) -> None:
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        where = "shop" if self.options.storefront_only else "line"
        arguments = ["-m", "waitroom.demo.crowd", self.gateway_url or self.shop_url, str(self.people), where]
        try:
            self._parts["crowd"] = start_child([sys.executable, *arguments], env=environment(), output=writer)
        finally:
            os.close(writer)

    def _read_figures(self) -> None:
        """The newest whole line of what the crowd wrote."""
        if self._reader < 0:
            return
        try:
            self._partial += os.read(self._reader, 1 << 16)
        except BlockingIOError:
            return
        *whole, self._partial = self._partial.split(b"\n")
        for line in whole:
            if line.startswith(b"{"):
                self._figures = json.loads(line)

    def _wait_for(self, name: str, url: str, path: str) -> None:
        until = time.monotonic() + READY_S
        while ask(url, path) is None:
            self._check(name, "did not start")
            if time.monotonic() > until:
                raise DemoFailed(f"The {name} did not answer within {READY_S:.0f} s.{self._last_words(name)}")
            time.sleep(0.05)

    def _check(self, name: str, fault: str = "ended by itself") -> None:
        status = self._parts[name].poll()
        if status is not None:
            raise DemoFailed(f"The {name} {fault} (status {status}).{self._last_words(name)}")

    def _last_words(self, name: str) -> str:
        if name == "crowd":
            said = self._partial.decode(errors="replace")
        else:
            said = self._log(name).read_text(errors="replace")
        lines = [line for line in said.splitlines() if line.strip()][-8:]
        return "".join(f"\n  {line}" for line in lines)

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


def how_many(options: DemoOptions) -> int:
    if options.crowd is not None:
        return options.crowd
    if options.storefront_only:
        return OVERRUN_PEOPLE
    rate = parse_rate(options.rate)
    if rate.hold or rate.unlimited:
        return 20
    return round(min(500, max(5, rate.per_s * WAIT_S)))


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("WAITROOM_")}


@contextmanager
def listen(port: int) -> Iterator[socket.socket]:
    """A listening socket; raises DemoFailed if the port is taken."""
    listening = socket.socket()
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
        listening.listen(512)
    except OSError as error:
        listening.close()
        raise DemoFailed(
            f"Port {port} cannot be used: {error.strerror}. Choose another by --port, or 0 for a free one."
        ) from error
    with listening:
        yield listening


def ask(url: str, path: str) -> dict[str, int] | None:
    """A small GET; None unless the answer is a 200. Its JSON object, empty if it has none."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=1.0)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(65_536)
        return None if answer.status != 200 else json.loads(body or b"{}")
    except ValueError:
        return {}
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ending takes a moment; a second Ctrl-C must not leave half of it undone."""
    before = {each: signal.signal(each, signal.SIG_IGN) for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
