"""Instructions a request, against a bare answer: a figure that other work on the machine does not change.

    python -m tests.bench.bench_instructions [--requests 960] [poll] [pass] [join]

Each server runs under `valgrind --tool=callgrind`, which counts what the process itself executes (not the kernel: what
a request costs there shows in its system calls, and in `bench_gate`). 32 connections ask in turn; the origin, Redis and
the load are other processes. The worker syncs with Redis once in five seconds instead of four times in one: under
valgrind a second holds so many fewer requests. The first requests are not counted. A run repeats to within about 1 %.
"""

import argparse
import asyncio
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, cast

from tests.bench.bench_gate import fill, size_of_page
from tests.bench.servers import BROWSER, run_bare, run_gate, run_origin, start
from tests.support import running_redis
from waitroom.store import circuit, line

CONNECTIONS = 32
KNOWN = 128
"""Tickets that ask in turn; a worker has read them before it is counted, as it has nearly all in a waiting line."""
SIZES = {"poll": 370, "pass": 300}
"""Of the answers; a join's is that of the page."""
END = re.compile(rb"\r\n\r\n")
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


class Counted:
    """A server under valgrind."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, folder: Path) -> None:
        self.process, self.port, self.folder = process, port, folder
        self.marks = 0

    def tell(self, *what: str) -> None:
        subprocess.run(["vgdb", f"--pid={self.process.pid}", *what], check=True, capture_output=True, timeout=120)

    def count(self) -> int:
        """Instructions since the last call."""
        self.marks += 1
        self.tell("dump")
        written = (self.folder / f"out.{self.marks}").read_text()
        found = re.search(r"^(?:totals|summary): (\d+)", written, re.MULTILINE)
        assert found is not None
        return int(found[1])


@contextmanager
def counted(what: str, *arguments: object) -> Iterator[Counted]:
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        command = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/out"]
        command += [sys.executable, "-m", "tests.bench.bench_instructions", "--serve", what]
        command += [str(listener.getsockname()[1]), *map(str, arguments)]
        process = subprocess.Popen(command)
        try:
            told, _ = listener.accept()
            with told:
                port = int(told.makefile().readline())
            yield Counted(process, port, Path(folder))
        finally:
            process.kill()
            process.wait()


def serve(what: str, tell_port: int, *arguments: str) -> None:
    """In the process under valgrind."""

    class Telling:
        def send(self, port: int) -> None:
            with socket.create_connection(("127.0.0.1", tell_port)) as connection:
                connection.sendall(b"%d\n" % port)

    if what == "bare":
        run_bare(cast(Any, Telling()), int(arguments[0]))
    else:
        circuit.SYNC_S, line.AWAY_S = 5.0, 60.0
        run_gate(cast(Any, Telling()), int(arguments[0]), arguments[1])


def ask(sockets: Sequence[socket.socket], requests: Iterator[bytes], count: int) -> None:
    """So many requests: on all connections at once, then all answers, again and again."""
    for _ in range(count // CONNECTIONS):
        for each in sockets:
            each.sendall(next(requests))
        for each in sockets:
            read_answer(each)


def read_answer(connection: socket.socket) -> None:
    data = b""
    while (end := END.search(data)) is None:
        data += read_some(connection)
    length = LENGTH.search(data[: end.end()])
    assert length is not None, data
    assert data.startswith((b"HTTP/1.1 200", b"HTTP/1.1 503")), data
    left = int(length[1]) - (len(data) - end.end())
    while left > 0:
        left -= len(read_some(connection))
    assert left == 0


def read_some(connection: socket.socket) -> bytes:
    data = connection.recv(65_536)
    assert data, "the server closed the connection"
    return data


def per_request(server: Counted, requests: Sequence[bytes], count: int) -> float:
    turn = cycle(requests)
    with ExitStack() as stack:
        address = ("127.0.0.1", server.port)
        sockets = [stack.enter_context(socket.create_connection(address)) for _ in range(CONNECTIONS)]
        ask(sockets, turn, 8 * CONNECTIONS)
        server.tell("instrumentation", "on")
        ask(sockets, turn, 2 * CONNECTIONS)
        server.count()
        ask(sockets, turn, count)
        used = server.count()
        server.tell("instrumentation", "off")
    return used / count


def request(path: str, cookie: str = "") -> bytes:
    fields = {"Host": "127.0.0.1:8000", **BROWSER, **({"Cookie": cookie} if cookie else {})}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join((*lines, "", "")).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=30 * CONNECTIONS)
    parser.add_argument("rows", nargs="*", choices=[*SIZES, "join", []], default=[])
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        parser.exit(1, "valgrind is not installed (apt-get install valgrind)\n")
    with ExitStack() as stack:
        redis = stack.enter_context(running_redis())
        origin, origin_port = start(run_origin)
        stack.callback(origin.terminate)
        gate = stack.enter_context(counted("gate", origin_port, redis.url))
        tickets, pass_ = asyncio.run(fill(redis.url))
        asked = {
            "poll": [
                request("/-/waitroom/status?shown=9000", f"session=abcdef; waitroom_shop_ticket={ticket}")
                for ticket in tickets[:KNOWN]
            ],
            "pass": [request("/product/42?colour=red", f"session=abcdef; waitroom_shop_pass={pass_}")],
            "join": [request("/")],
        }
        print(f"{'':6} {'bare':>9} {'gate':>9} {'share':>6}  instructions a request")
        sizes = {**SIZES, "join": size_of_page(gate.port)}
        for name in options.rows or sizes:
            with counted("bare", sizes[name]) as server:
                bare = per_request(server, asked[name], options.requests)
            ours = per_request(gate, asked[name], options.requests)
            print(f"{name:6} {bare:9.0f} {ours:9.0f} {bare / ours:6.2f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
    else:
        main()
