"""One large body down and one up: throughput and memory of the gateway beside nginx and HAProxy.

    python -m tests.bench.bench_bulk [--megabytes 1024] [--rounds 3] [--json]

The same shop and the same client for all, in turn; medians. The server measured has one core, shop and client share
the other. The shop and the client only move bytes (content is `bench_streams`' matter), in blocks of 256 KiB.
`nginx` down is with `proxy_buffering` on (its default: a slow client fills a temporary file) and off; up it is with
`proxy_request_buffering off`, because by default it writes the whole upload to disk first. Memory is how much the
resident set grew over what it was before the body. Exit 1 if the gateway's grew by more than 30 MB.
"""

import asyncio
import json
import re
import socket
import statistics
import sys
import time
from contextlib import ExitStack
from multiprocessing.connection import Connection as Pipe
from typing import Any, NamedTuple, cast

import uvloop

from tests.bench.bench_proxy import python, sign_pass
from tests.bench.memory import MEGABYTE, MemoryWatch
from tests.bench.rivals import missing, running_haproxy, running_nginx
from tests.bench.servers import OTHER_CORE, SERVER_CORE, cpu_s, parser_of, pin, run_gate, start
from tests.support import running_redis

BLOCK = bytes(262_144)
MOST_GROWTH_BYTES = 30 * MEGABYTE
NGINX_OPTIONS = {
    "nginx, buffering": "",
    "nginx, no buffering": "proxy_buffering off; proxy_request_buffering off;",
}


class Bulk(asyncio.BufferedProtocol):
    """A shop that gives as many bytes as the path names, and swallows what it is sent: system calls and no more."""

    def __init__(self) -> None:
        self.room = memoryview(bytearray(1_048_576))
        self.left = 0  # of the request's body

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.writable = asyncio.Event()
        self.writable.set()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.room

    def buffer_updated(self, nbytes: int) -> None:
        if not self.left:
            head, _, rest = bytes(self.room[:nbytes]).partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1]
            if path.startswith(b"/down/"):
                self.sending = asyncio.get_running_loop().create_task(self.send(int(path[6:])))
                return
            length = re.search(rb"(?i)content-length: *(\d+)", head)
            self.left, nbytes = int(length[1]) if length else 0, len(rest)
        self.left -= nbytes
        if not self.left:
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    async def send(self, size: int) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while size > 0 and not self.transport.is_closing():
            self.transport.write(BLOCK[: min(size, len(BLOCK))])
            size -= len(BLOCK)
            await self.writable.wait()


def run_bulk(pipe: Pipe) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Bulk, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(serve())


class Moved(NamedTuple):
    """One body through one server. Bytes, seconds."""

    per_s: float
    cpu_s: float
    growth: int
    curve: str


Found = dict[tuple[str, str], list[Moved]]


def move(pid: int, port: int, direction: str, size: int, cookie: str) -> Moved:
    with MemoryWatch([pid]) as memory, socket.create_connection(("127.0.0.1", port), 60) as client:
        used_s, began = cpu_s(pid), time.monotonic()
        down = direction == "down"
        line = f"GET /down/{size}" if down else "POST /up"
        length = "" if down else f"content-length: {size}\r\n"
        client.sendall(f"{line} HTTP/1.1\r\nhost: 127.0.0.1\r\ncookie: {cookie}\r\n{length}\r\n".encode())
        for _ in range(0 if down else size // len(BLOCK)):
            client.sendall(BLOCK)
        room = bytearray(1_048_576)
        head, _, body = client.recv(65_536).partition(b"\r\n\r\n")
        assert b" 200 " in head, head
        left = (size if down else 2) - len(body)
        while left:
            count = client.recv_into(room)
            assert count, "the answer was cut"
            left -= count
        seconds = time.monotonic() - began
        used_s = cpu_s(pid) - used_s
    return Moved(size / seconds, used_s, memory.growth, memory.curve())


def run(size: int, rounds: int) -> tuple[Found, list[str]]:
    absent = [line for program in ("nginx", "haproxy") if (line := missing(program))]
    cookie = f"waitroom_shop_pass={sign_pass()}"
    pin(0, OTHER_CORE)
    with ExitStack() as stack:
        redis = stack.enter_context(running_redis())
        process, shop = start(run_bulk, core=OTHER_CORE)
        stack.callback(process.terminate)
        servers = {"waitroom": stack.enter_context(python(run_gate, shop, redis.url))}
        if not missing("nginx"):
            for name, options in NGINX_OPTIONS.items():
                servers[name] = stack.enter_context(running_nginx(shop, SERVER_CORE, options))
        if not missing("haproxy"):
            servers["haproxy"] = stack.enter_context(running_haproxy(shop, SERVER_CORE))
        found: Found = {}
        for _ in range(rounds):
            for direction in ("down", "up"):
                for name, (pid, port) in servers.items():
                    if (direction, name) != ("up", "nginx, buffering"):
                        found.setdefault((direction, name), []).append(move(pid, port, direction, size, cookie))
    return found, absent


def summary(
    direction: str, name: str, rounds: list[Moved], found: dict[tuple[str, str], list[Moved]]
) -> dict[str, Any]:
    """Medians, and the share of nginx's throughput in the same round; the largest growth and its curve."""
    against = found.get((direction, "nginx, no buffering" if direction == "up" else "nginx, buffering"))
    shares = [one.per_s / other.per_s for one, other in zip(rounds, against, strict=True)] if against else [0.0]
    most = max(rounds, key=lambda one: one.growth)
    return {
        "direction": direction,
        "name": name,
        "mb_per_s": statistics.median(one.per_s for one in rounds) / MEGABYTE,
        "of_nginx": statistics.median(shares),
        "cpu_s": statistics.median(one.cpu_s for one in rounds),
        "grown_mb": most.growth / MEGABYTE,
        "curve": most.curve,
    }


def main() -> int:
    parser = parser_of(__doc__, rounds=3, seconds=None)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found, absent = run(options.megabytes * MEGABYTE, options.rounds)
    table = [summary(*key, rounds, found) for key, rounds in found.items()]
    if options.json:
        print(json.dumps({"rows": table, "absent": absent}))
    else:
        print(f"{'way':5} {'server':20} {'MB/s':>6} {'of nginx':>9} {'CPU s':>6} {'MB grown':>9}  memory, from 0")
        for row in table:
            print(
                "{direction:5} {name:20} {mb_per_s:6.0f} {of_nginx:9.2f} {cpu_s:6.2f} {grown_mb:9.1f}  {curve}".format(
                    **row
                )
            )
        print(*absent, "budgets: waitroom down at least 1.00 of nginx, up 0.50, grown less than 30 MB", sep="\n")
    grown = max(one.growth for (_, name), rounds in found.items() if name == "waitroom" for one in rounds)
    return int(grown > MOST_GROWTH_BYTES)


if __name__ == "__main__":
    sys.exit(main())
