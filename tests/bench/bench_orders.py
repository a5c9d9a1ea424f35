"""What an order costs beside the same request at an address that takes no orders, and beside a gateway without routes.

    python -m tests.bench.bench_orders [--rounds 5] [--seconds 3]

One worker each, by turns, 32 connections of 500 visitors, every order another one. An order is noted in Redis before
the shop sees it, and what came of it before the client does: two calls. CPU is the worker's; Redis's is told apart.
"""

import asyncio
import os
import statistics
import tempfile
import time
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import cast

import uvloop

from tests.bench.servers import ANSWER, BROWSER, cpu_s, measure, parser_of, run_gate, start
from tests.support import SECRET, running_redis
from waitroom.core.tokens import Pass, Tokens

VISITORS = 500
ROUTES = {"order_routes": "POST /order key=form:basket"}


class Reading(asyncio.Protocol):
    """A shop that reads each request to its end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.unread = b""

    def data_received(self, data: bytes) -> None:
        self.unread += data
        while (end := self.unread.find(b"\r\n\r\n")) >= 0:
            head = self.unread[:end].lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            if len(self.unread) < end + 4 + length:
                return
            self.unread = self.unread[end + 4 + length :]
            self.transport.write(ANSWER)


def run_reading(pipe: Pipe) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Reading, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(serve())


def write_posts(path: Path) -> None:
    """A wrk script: the passes in turn, each time another basket."""
    now_ms = round(time.time() * 1000)
    tokens = Tokens("shop", [SECRET])
    passes = (Pass("shop", f"{at:032x}", "g", at, now_ms, now_ms + 36_000_000, now_ms, False) for at in range(VISITORS))
    lines = ",".join(f'"{tokens.sign_pass(pass_)}"' for pass_ in passes)
    path.write_text(
        f"local passes = {{{lines}}}\nlocal at = {os.getpid() * 1_000_000 + now_ms % 1_000_000}\n"
        'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/x-www-form-urlencoded"\n'
        "request = function()\n  at = at + 1\n"
        '  wrk.headers["Cookie"] = "session=abcdef; waitroom_shop_pass=" .. passes[at % #passes + 1]\n'
        '  return wrk.format(nil, nil, nil, "basket=" .. at .. "&name=Ann+Example&street=Nowhere+Lane+1")\nend\n'
    )


def main() -> None:
    options = parser_of(__doc__).parse_args()
    with running_redis() as redis, tempfile.TemporaryDirectory() as folder:
        assert redis.process is not None
        origin, origin_port = start(run_reading)
        without, without_port = start(run_gate, origin_port, redis.url)
        routed, routed_port = start(run_gate, origin_port, redis.url, "1/min", ROUTES)
        headers = [f"{name}: {value}" for name, value in BROWSER.items()]
        rows = {
            "plain, no routes": (without.pid, without_port, "/pay"),
            "plain, with routes": (routed.pid, routed_port, "/pay"),
            "order": (routed.pid, routed_port, "/order"),
        }
        figures: dict[str, list[tuple[float, float, float]]] = {name: [] for name in rows}
        time.sleep(3)
        script = Path(folder) / "posts.lua"
        for _ in range(options.rounds):
            for name, (pid, port, path) in rows.items():
                write_posts(script)  # no order twice
                redis_s = cpu_s(redis.process.pid)
                found = measure(pid, f"http://127.0.0.1:{port}{path}", headers, options.seconds, str(script))
                redis_us = (cpu_s(redis.process.pid) - redis_s) / (found.per_s * options.seconds) * 1e6
                figures[name].append((*found, redis_us))
        for process in (origin, without, routed):
            process.terminate()
    print(f"{'':20} {'a second':>9} {'CPU µs':>8} {'Redis µs':>9}  CPU against plain")
    base = figures["plain, no routes"]
    for name, rounds in figures.items():
        per_s, cpu_us, redis_us = (statistics.median(column) for column in zip(*rounds, strict=True))
        share = statistics.median(one[1] / plain[1] for one, plain in zip(rounds, base, strict=True))
        print(f"{name:20} {per_s:9.0f} {cpu_us:8.0f} {redis_us:9.0f}  {share:.2f}")


if __name__ == "__main__":
    main()
