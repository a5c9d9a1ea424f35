"""What the benchmarks of the gateway share: servers in processes of their own, wrk, and what a process has used."""

import argparse
import asyncio
import multiprocessing
import os
import re
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import Process
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, NamedTuple, cast

import uvicorn
import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.support import SECRET
from waitroom.app import create_app
from waitroom.core.settings import Settings
from waitroom.edge.wire.server import make_server
from waitroom.serve.worker import spare_collector

BODY = b"x" * 300
FIELDS = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-length", b"300"),
    (b"cache-control", b"no-cache"),
    (b"etag", b'"5f0c-abc"'),
    (b"date", b"Mon, 01 Jan 2024 00:00:00 GMT"),
]
ANSWER = b"HTTP/1.1 200 OK\r\n" + b"".join(b"%b: %b\r\n" % field for field in FIELDS) + b"\r\n" + BODY
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    "Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
    "Accept-Encoding": "gzip",
    "Accept-Language": "en-GB,en;q=0.5",
}
NOTHING: Mapping[str, str] = {}
SERVER_CORE, OTHER_CORE = 0, 1
"""The server measured has a core to itself, the shop and the load share another, if there is another."""


def parser_of(text: str | None, *, rounds: int = 5, seconds: int | None = 3) -> argparse.ArgumentParser:
    """The options of a benchmark whose docstring is `text`: how often, and how long each time, if that can be said."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds)
    if seconds is not None:
        parser.add_argument("--seconds", type=int, default=seconds)
    return parser


def pin(pid: int, core: int) -> None:
    cores = sorted(os.sched_getaffinity(os.getppid()))
    os.sched_setaffinity(pid, {cores[core % len(cores)]})


def start(target: Callable[..., None], *arguments: object, core: int | None = None) -> tuple[Process, int]:
    """A process that serves, and its port, which it sends through the pipe that is its first argument."""
    ours, theirs = multiprocessing.Pipe()
    process = Process(target=target, args=(theirs, *arguments), daemon=True)
    process.start()
    assert process.pid is not None
    if core is not None:
        pin(process.pid, core)
    return process, ours.recv()


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


def run_bare(pipe: Pipe, size: int) -> None:
    """Plain uvicorn and a function that returns a constant."""
    body = b"x" * size
    fields = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", b"%d" % size)]

    async def bare(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    serve_uvicorn(pipe, bare)


def serve_uvicorn(pipe: Pipe, app: ASGIApp) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    pipe.send(listener.getsockname()[1])
    config = uvicorn.Config(
        cast(Any, app),
        http="httptools",
        ws="none",
        interface="asgi3",
        lifespan="off",
        log_level="critical",
        access_log=False,  # set later, uvicorn would put the line together all the same
    )
    uvloop.run(uvicorn.Server(config).serve(sockets=[listener]))


def run_gate(
    pipe: Pipe, origin_port: int, redis_url: str, rate: str = "1/min", more: Mapping[str, str] = NOTHING
) -> None:
    """One worker of the gateway, `more` being further settings. A pass needs no new cookie for an hour."""
    settings = Settings.model_validate(
        {
            "origin": f"http://127.0.0.1:{origin_port}",
            "redis_url": redis_url,
            "secret": SECRET,
            "rate": rate,
            "session_idle": "10h",
            **more,
        }
    )

    async def serve() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        app = create_app(settings)
        spare_collector()
        await app.open()
        pipe.send(listener.getsockname()[1])
        await make_server(app).serve(sockets=[listener])

    uvloop.run(serve())


def cpu_s(pid: int) -> float:
    """User and system time."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class Measured(NamedTuple):
    per_s: float
    """Requests a second, by the wall's clock."""
    cpu_us: float
    """CPU of the server, per request."""


def measure(
    pid: int | None, url: str, headers: Sequence[str], seconds: int, script: str | None = None, core: int | None = None
) -> Measured:
    """wrk with 32 connections against the server `pid`."""
    assert pid is not None
    before = cpu_s(pid)
    command = ["wrk", "-t1", "-c32", "--timeout", "10s", f"-d{seconds}s"]
    if core is not None:
        command = ["taskset", "-c", str(core), *command]
    if script is not None:
        command += ["-s", script]
    for header in headers:
        command += ["-H", header]
    out = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    used = cpu_s(pid) - before
    assert "Socket errors" not in out, out
    count = re.search(r"(\d+) requests in", out)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    assert count is not None, out
    assert rate is not None, out
    return Measured(float(rate[1]), used / int(count[1]) * 1e6)
