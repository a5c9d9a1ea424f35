"""The parent and its workers, as processes: what starts, what is started again, what ends, and in which order."""

import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.patience import block_until
from waitroom.serve.listening import SPARE_FILES, CannotListen, listen, raise_file_limit, share_files

ROOT = Path(__file__).parents[2]
SECRET = "test-secret-" + "s" * 40
WAIT_S = 60.0


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Gateway:
    """A parent process with the tiny app of serve_support."""

    def __init__(self, folder: Path, *, app: str = "create_app", **values: Any) -> None:
        self.folder = folder
        settings = {
            "origin": "http://127.0.0.1:9",
            "port": 0,
            "stop_delay": 500,
            "data_dir": str(folder),
            "redis_url": "redis://:hidden-password@redis.test/0",
            "secret": SECRET,
            **values,
        }
        self.log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.app.serve_support", json.dumps(settings), app],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=self.log,
        )
        self.port = 0
        self.lines: list[str] = []

    def ready(self) -> "Gateway":
        assert self.process.stdout is not None
        self.lines = [self.process.stdout.readline().decode().rstrip() for _ in range(3)]
        assert self.lines[0].startswith("Listening on http://"), self.said()
        self.port = int(self.lines[0].rpartition(":")[2])
        return self

    def said(self) -> str:
        return (self.folder / "log").read_text()

    def connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        connection.connect()
        return connection

    def send(self, path: str) -> http.client.HTTPConnection:
        connection = self.connect()
        connection.request("GET", path)
        return connection

    def ask(self, path: str = "/") -> Any:
        connection = self.send(path)
        try:
            return json.load(connection.getresponse())
        finally:
            connection.close()

    @property
    def refuses(self) -> bool:
        try:
            self.connect().close()
        except ConnectionRefusedError:
            return True
        return False

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)

    def ended(self, wait_s: float = WAIT_S) -> int:
        return self.process.wait(wait_s)

    def end(self) -> None:
        self.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.log.close()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    started: list[Gateway] = []

    def start(**values: Any) -> Gateway:
        started.append(Gateway(tmp_path, **values))
        return started[-1]

    yield start
    for each in started:
        each.end()


def test_it_says_where_it_listens_what_it_guards_and_which_redis_without_secrets(
    gateway: Callable[..., Gateway],
) -> None:
    running = gateway().ready()

    assert running.lines == [
        f"Listening on http://127.0.0.1:{running.port}",
        "Guarding /* of http://127.0.0.1:9 at 1/s",
        "Keeping the line in Redis at redis://redis.test:6379",
    ]
    assert running.ask()["opened"]


def test_settings_reach_a_worker_and_are_in_no_environment_or_command_line(gateway: Callable[..., Gateway]) -> None:
    running = gateway().ready()

    facts = running.ask()

    assert (facts["secret"], facts["redis_url"]) == ([SECRET], "redis://:hidden-password@redis.test/0")
    for name in ("environ", "cmdline"):
        seen = Path(f"/proc/{facts['pid']}/{name}").read_bytes()
        assert SECRET.encode() not in seen
        assert b"hidden-password" not in seen


def test_several_workers_share_the_address(gateway: Callable[..., Gateway]) -> None:
    running = gateway(workers=2).ready()
    pids: set[int] = set()

    def both_answered() -> bool:
        connections = [running.send("/") for _ in range(20)]
        pids.update(json.load(connection.getresponse())["pid"] for connection in connections)
        for connection in connections:
            connection.close()
        return len(pids) == 2

    block_until(both_answered)
    assert pids == set(children_of(running.process.pid))


@pytest.mark.parametrize("how", ["kill", "crash"])
def test_a_worker_that_ends_is_started_again(gateway: Callable[..., Gateway], how: str) -> None:
    running = gateway().ready()
    first = running.ask()["pid"]

    if how == "kill":
        os.kill(first, signal.SIGKILL)
    else:
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            running.ask("/crash")

    assert running.ask()["pid"] != first  # the connection waited in the parent's socket
    assert running.process.poll() is None
    assert "worker_ended" in running.said()


def test_one_worker_dies_and_the_other_goes_on(gateway: Callable[..., Gateway]) -> None:
    running = gateway(workers=2).ready()
    block_until(lambda: running.said().count("worker_ready") == 2)
    one, other = children_of(running.process.pid)
    kept = running.send("/")
    while json.load(kept.getresponse())["pid"] != other:
        kept.close()
        kept = running.send("/")

    os.kill(one, signal.SIGKILL)
    block_until(lambda: not is_alive(one))
    kept.request("GET", "/")

    assert json.load(kept.getresponse())["pid"] == other
    kept.close()


def test_workers_end_with_a_parent_that_is_killed(gateway: Callable[..., Gateway]) -> None:
    running = gateway(workers=2).ready()
    block_until(lambda: running.said().count("worker_ready") == 2)
    children = children_of(running.process.pid)
    assert len(children) == 2

    running.kill()

    block_until(lambda: not any(is_alive(child) for child in children))
    assert running.refuses


def test_workers_and_the_embedded_redis_end_with_a_parent_that_is_killed(
    gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    running = gateway(redis_url=None, secret=()).ready()
    facts = running.ask()
    children = children_of(running.process.pid)

    running.kill()

    assert len(children) == 2
    block_until(lambda: not any(is_alive(child) for child in children))
    assert facts["redis_url"].startswith("unix://")
    assert facts["secret"] == [(tmp_path / "secret").read_text().strip()]


def test_only_the_first_worker_is_told_that_the_store_is_fresh(gateway: Callable[..., Gateway]) -> None:
    running = gateway(redis_url=None, secret=()).ready()
    first = running.ask()

    os.kill(first["pid"], signal.SIGKILL)
    second = running.ask()

    assert (first["fresh_store"], second["fresh_store"]) == (True, False)
    assert second["redis_url"] == first["redis_url"]


def test_an_embedded_redis_that_dies_is_started_again_at_the_same_place(gateway: Callable[..., Gateway]) -> None:
    running = gateway(redis_url=None, secret=()).ready()
    facts = running.ask()
    (redis,) = set(children_of(running.process.pid)) - {facts["pid"]}
    path = facts["redis_url"].removeprefix("unix://")

    os.kill(redis, signal.SIGKILL)
    block_until(lambda: "embedded_redis_restarted" in running.said())

    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(b"PING\r\n")
        assert connection.recv(100) == b"+PONG\r\n"
    assert running.ask()["pid"] == facts["pid"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_goes_in_order(gateway: Callable[..., Gateway], tmp_path: Path, number: int) -> None:
    running = gateway(stop_delay=700).ready()
    pid = running.ask()["pid"]
    held, slow = running.send("/held"), running.send("/slow")
    time.sleep(0.1)

    running.kill(number)
    told = json.load(held.getresponse())
    late = running.ask()
    block_until(lambda: running.refuses)
    still_open = is_alive(pid)
    finished = slow.getresponse()

    assert told["stopping"]
    assert late["stopping"]
    assert still_open
    assert (finished.status, finished.getheader("connection")) == (200, "close")
    finished.read()
    assert running.ended() == 0
    assert (tmp_path / f"closed-{pid}").exists()
    assert not is_alive(pid)
    held.close()
    slow.close()


def test_a_second_signal_stops_at_once(gateway: Callable[..., Gateway]) -> None:
    running = gateway(stop_delay=60_000).ready()
    pid = running.ask()["pid"]
    endless = running.send("/endless")
    time.sleep(0.1)
    running.kill(signal.SIGTERM)
    block_until(lambda: running.ask()["stopping"])
    began = time.monotonic()

    running.kill(signal.SIGINT)

    assert running.ended() == 0
    assert time.monotonic() - began < 30, "long before the minute is over"
    assert not is_alive(pid)
    endless.close()


def test_redis_is_there_until_the_last_worker_has_closed(gateway: Callable[..., Gateway]) -> None:
    running = gateway(redis_url=None, secret=(), stop_delay=0).ready()
    facts = running.ask()
    slow = running.send("/slow")
    time.sleep(0.1)
    path = facts["redis_url"].removeprefix("unix://")

    running.kill(signal.SIGTERM)
    block_until(lambda: running.refuses)
    there = Path(path).exists()
    assert slow.getresponse().status == 200
    slow.close()

    assert there
    assert running.ended() == 0
    assert not Path(path).exists()


def test_an_app_that_does_not_start_ends_the_gateway(gateway: Callable[..., Gateway], tmp_path: Path) -> None:
    running = gateway(app="create_broken")

    assert running.ended() == 1
    assert (tmp_path / "attempts").read_text() == "xxx"
    assert "workers_do_not_start" in running.said()


def test_a_taken_address_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=rf"127\.0\.0\.1:{port} is taken by another program.*WAITROOM_PORT"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_is_a_sentence(host: str) -> None:
    with pytest.raises(CannotListen, match=r"WAITROOM_HOST"):
        listen(host, 0)


def test_all_addresses_of_a_name_get_the_same_port_and_each_family_its_own_socket() -> None:
    sockets = listen("::", 0)
    try:
        assert [each.family for each in sockets] == [socket.AF_INET6, socket.AF_INET]
        assert len({each.getsockname()[1] for each in sockets}) == 1
        assert sockets[0].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
    finally:
        for each in sockets:
            each.close()


@pytest.mark.parametrize("files", [64, 256, 1024, 4096, 1_048_576])
def test_clients_and_what_they_ask_the_shop_for_share_the_files(files: int) -> None:
    """With 1,024 files and a thousand connections to the shop, the last of those in use found none left: 502."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = min(files, before[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, before[1]))
    try:
        clients, to_shop = share_files(1000)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    assert clients + to_shop <= files - min(SPARE_FILES, 24)
    assert min(clients, 1000) <= to_shop + 1
    assert clients >= files // 4


def test_the_file_limit_is_raised_to_what_is_allowed() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    try:
        raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
