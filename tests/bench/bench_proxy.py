"""What forwarding costs: requests a second through the proxy, as a share of a bare answer under the same server.

    python tests/bench/bench_proxy.py [--rounds 5] [--seconds 3]

Three processes besides wrk: an origin that writes a constant, and two servers on one core each: `bare` answers with
a constant of the same size from an ASGI function, `proxy` forwards to the origin. They are measured in turn; the
medians count. `bare` is plain uvicorn; `edge` is the same function under our own server. CPU is the server's own,
per request, which says more than the rate where cores are shared.
"""

import argparse
import asyncio
import multiprocessing
import os
import re
import socket
import statistics
import subprocess
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, cast

import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from waitroom.core.settings import Origin, Settings
from waitroom.edge.clients import Clients
from waitroom.edge.origin import OriginPool
from waitroom.edge.proxy import Proxy
from waitroom.edge.server import make_server

BODY = b"x" * 300
FIELDS = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-length", b"300"),
    (b"cache-control", b"no-cache"),
    (b"etag", b'"5f0c-abc"'),
    (b"date", b"Mon, 01 Jan 2024 00:00:00 GMT"),
]
ANSWER = b"HTTP/1.1 200 OK\r\n" + b"".join(b"%b: %b\r\n" % field for field in FIELDS) + b"\r\n" + BODY
REQUEST_FIELDS = [
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
    "Accept-Encoding: gzip, deflate, br",
    "Accept-Language: en-GB,en;q=0.5",
    "Cookie: session=abcdef0123456789; waitroom_shop_pass=" + "e" * 150,
]


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": FIELDS})
    await send({"type": "http.response.body", "body": BODY})


class Constant(asyncio.Protocol):
    """An origin that costs next to nothing: one answer a packet."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER)


def run_origin(pipe: Pipe) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Constant, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(serve())


def run_bare(pipe: Pipe) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    pipe.send(listener.getsockname()[1])
    config = uvicorn.Config(
        bare, http="httptools", ws="none", interface="asgi3", lifespan="off", log_level="warning", access_log=False
    )
    uvloop.run(uvicorn.Server(config).serve(sockets=[listener]))


def serve_edge(pipe: Pipe, make_app: Callable[[], Any]) -> None:
    async def serve() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        pipe.send(listener.getsockname()[1])
        await make_server(make_app()).serve(sockets=[listener])

    uvloop.run(serve())


def run_edge(pipe: Pipe) -> None:
    serve_edge(pipe, lambda: bare)


def run_proxy(pipe: Pipe, origin_port: int) -> None:
    settings = Settings(origin=Origin("http", "127.0.0.1", origin_port))

    def make_app() -> Any:
        proxy = Proxy(settings, OriginPool(settings.origin))
        clients = Clients(settings)

        async def forward(scope: Scope, receive: Receive, send: Send) -> None:
            await proxy.forward(scope, receive, send, client=clients.of(scope))

        return forward

    serve_edge(pipe, make_app)


def start(target: Callable[..., None], *arguments: object) -> tuple[multiprocessing.Process, int]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=target, args=(theirs, *arguments), daemon=True)
    process.start()
    return process, ours.recv()


def cpu_s(pid: int) -> float:
    """User and system time."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def measure(process: multiprocessing.Process, port: int, seconds: int) -> tuple[float, float]:
    """Requests a second, and the server's CPU µs per request."""
    assert process.pid is not None
    fields = [part for field in REQUEST_FIELDS for part in ("-H", field)]
    used_s = cpu_s(process.pid)
    out = subprocess.run(
        ["wrk", "-t1", "-c32", f"-d{seconds}s", *fields, f"http://127.0.0.1:{port}/product/42?colour=red"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    used_s = cpu_s(process.pid) - used_s
    assert "Non-2xx" not in out, out
    assert "Socket errors" not in out, out
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    total = re.search(r"(\d+) requests in", out)
    assert rate
    assert total
    return float(rate[1]), used_s * 1e6 / int(total[1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    options = parser.parse_args()
    _, origin_port = start(run_origin)
    servers = {"bare": start(run_bare), "edge": start(run_edge), "proxy": start(run_proxy, origin_port)}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in servers}
    for process, port in servers.values():
        measure(process, port, 1)
    for _ in range(options.rounds):
        for name, (process, port) in servers.items():
            found[name].append(measure(process, port, options.seconds))
    bare_rate, bare_cpu = (statistics.median(column) for column in zip(*found["bare"], strict=True))
    for name, rounds in found.items():
        rate, cpu = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{name:6} {rate:8.0f}/s {rate / bare_rate:5.2f}   {cpu:6.1f} µs CPU {bare_cpu / cpu:5.2f}")


if __name__ == "__main__":
    main()
