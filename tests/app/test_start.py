"""The start of `waitroom run`: how long it takes; what may be wrong is a sentence; and nothing outlives its parent."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

READY_S, AIR_S = 2.0, 1.0
"""What a start may take, and what a slow or busy processor is given besides."""
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts gateways on one data folder, and ends them."""
    started: list[subprocess.Popen[str]] = []

    def run(*before: str, **settings: str) -> "subprocess.Popen[str]":
        given = {"origin": "http://127.0.0.1:9", "data_dir": str(tmp_path / "data"), "port": "0", "admin_listen": "off"}
        given |= {"stop_delay": "0s", "log": "json"} | settings
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WAITROOM_")}
        environment |= {f"WAITROOM_{name.upper()}": value for name, value in given.items()}
        command = [*before, sys.executable, "-m", "waitroom", "run"]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, env=environment, text=True, **streams))  # type: ignore[call-overload]
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def of_process(pid: int) -> list[str]:
    """What the system says of a process: its state first."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["Z"]


def cpu_s(pid: int) -> float:
    user, system = of_process(pid)[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@pytest.mark.timed
def test_it_is_ready_after_little_work(start: Start) -> None:
    """With an embedded Redis and a new data folder. Work, not time: on a machine with nothing else to do they are the
    same, for nothing of it is done side by side (`python -m tests.bench.bench_start`).
    """
    gateway = start()
    assert gateway.stdout is not None
    assert gateway.stdout.readline().startswith("Listening on ")

    work_s = sum(cpu_s(pid) for pid in (gateway.pid, *children_of(gateway.pid)))

    print(f"ready after {work_s:.2f} s of work")
    assert work_s <= READY_S + AIR_S


def test_a_taken_port_is_said_before_anything_is_started(start: Start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        gateway = start(port=str(port))
        said, faults = gateway.communicate(timeout=60)

    assert (gateway.returncode, said) == (1, "")
    assert faults == f"127.0.0.1:{port} is taken by another program; end that one, or set WAITROOM_PORT.\n"
    assert not (tmp_path / "data").exists()


def test_a_second_gateway_on_the_folder_is_told_who_has_it(start: Start, tmp_path: Path) -> None:
    first = start()
    assert first.stdout is not None
    assert first.stdout.readline().startswith("Listening on ")
    second = start()

    _, faults = second.communicate(timeout=60)

    assert second.returncode == 1
    assert faults == (
        f"Another gateway (process {first.pid}) is using {tmp_path / 'data'}. "
        "Stop it, or set WAITROOM_DATA_DIR to another folder.\n"
    )
    assert first.poll() is None


def test_where_nothing_can_be_written_it_says_so(start: Start, tmp_path: Path) -> None:
    """As on a full disk: every write of more than nothing fails."""
    gateway = start("sh", "-c", 'ulimit -f 0; exec "$@"', "sh")

    said, faults = gateway.communicate(timeout=60)

    assert (gateway.returncode, said) == (1, "")
    assert faults == (
        f"The data folder {tmp_path / 'data'} cannot be used: File too large. Set WAITROOM_DATA_DIR to another.\n"
    )


@pytest.mark.parametrize("number", [1, 2])
def test_a_parent_killed_while_it_starts_leaves_nothing_behind(start: Start, number: int) -> None:
    """Killed as soon as it has a first child, which is Redis, or a second, which is a worker."""
    gateway = start()
    until = time.monotonic() + 60
    while len(children := children_of(gateway.pid)) < number:
        assert time.monotonic() < until
        time.sleep(0.001)

    os.kill(gateway.pid, signal.SIGKILL)
    gateway.wait()
    while not all(of_process(child)[0] == "Z" for child in children):
        assert time.monotonic() < until
        time.sleep(0.02)
    again = start()

    assert again.stdout is not None
    assert again.stdout.readline().startswith("Listening on "), "what is left stands in nobody's way"
