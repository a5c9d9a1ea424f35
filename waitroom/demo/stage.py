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
from types import FrameType

from waitroom.core.parse import parse_rate
from waitroom.demo.options import DemoOptions
from waitroom.demo.programme import this_moment
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
    """The parts and the folder; `figures` are the crowd's newest. Leaving it stops the parts and removes a folder that
    was only for this time.
    """

    def __init__(self, options: DemoOptions) -> None:
        self.options = options
        self.people = how_many(options)
        self.sale: DemoSale | None = None
        self.shop_url = self.gateway_url = ""
        self.figures: dict[str, int] = {}
        self._parts: dict[str, Child] = {}
        self._partial = b""
        self._reader = -1

    def __enter__(self) -> "Stage":
        self._temporary = self.options.data_dir is None
        folder = self.options.data_dir or Path(tempfile.mkdtemp(prefix="waitroom-demo-"))
        self.folder = folder.absolute()
        return self

    def __exit__(self, *_: object) -> None:
        with ending_signals(signal.SIG_IGN):  # a second Ctrl-C must not leave half of it undone
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

    def play(self, live: Callable[[str], None]) -> None:
        """Show what happens until the time is over. Raises DemoFailed when a part ends by itself."""
        until = None if self.options.seconds is None else time.monotonic() + self.options.seconds
        while until is None or time.monotonic() < until:
            for name in self._parts:
                self._check(name)
            if self.sale is not None and self.people and self._reader < 0 and time.time() >= self.sale.lobby_s:
                self._start_crowd()
            self._read_figures()
            live(this_moment(self, ask(self.shop_url, "/load")))
            left_s = LOOK_S if until is None else min(LOOK_S, until - time.monotonic())
            time.sleep(max(0.0, left_s))

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
                [sys.executable, *arguments], env=settings, output=output, pass_fds=pass_fds
            )

    def _start_crowd(self) -> None:
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        where = "shop" if self.options.storefront_only else "line"
        arguments = ["-m", "waitroom.demo.crowd", self.gateway_url or self.shop_url, str(self.people), where]
        try:
            self._parts["crowd"] = start_child([sys.executable, *arguments], output=writer)
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
                self.figures = json.loads(line)

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
def ending_signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> Iterator[None]:
    """SIGTERM, a closed terminal and Ctrl-C go to `handler` for a while."""
    before = {each: signal.signal(each, handler) for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    try:
        yield
    finally:
        for each, former in before.items():
            signal.signal(each, former)
