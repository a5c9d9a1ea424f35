"""Other reverse proxies, set up as plainly as they can be: what the gateway's proxy is compared with.

nginx and HAProxy run as one process with one thread and keep connections to the shop open. The two Python ones are an
ASGI function each under the uvicorn that also serves the bare answer; only their client differs.
"""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

from starlette.types import Receive, Scope, Send

from tests.bench.servers import BODY, pin, serve_uvicorn
from tests.support import free_port

NGINX = """
daemon off; master_process off; pid nginx.pid; error_log error.log crit;
events { worker_connections 1024; }
http {
  access_log off; client_max_body_size 0; keepalive_requests 100000000;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  {servers}
}
"""
SHOP = """
  server {{ listen 127.0.0.1:{port} reuseport; default_type text/html; location / {{ return 200 "{body}"; }} }}
"""
PROXY = """
  upstream shop {{ server 127.0.0.1:{origin}; keepalive 64; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    location / {{ proxy_pass http://shop; {options} }}
  }}
"""
HAPROXY = """
global
  nbthread 1
  maxconn 1024
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen shop
  bind 127.0.0.1:{port}
  http-reuse always
  server shop 127.0.0.1:{origin}
"""


def missing(program: str) -> str:
    """A line that says that it is not here and how to get it; empty if it is here."""
    return "" if shutil.which(program) else f"{program} is not installed (Debian: apt-get install {program})"


@contextmanager
def running(program: str, settings: str, port: int, core: int) -> Iterator[int]:
    """The program with these settings until the block ends; its pid."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "settings"
        file.write_text(settings)
        flags = ["-q", "-db", "-f", str(file)] if program == "haproxy" else ["-p", name, "-c", str(file)]
        process = subprocess.Popen([program, *flags])
        try:
            wait_until_open(process, port)
            pin(process.pid, core)
            yield process.pid
        finally:
            process.terminate()
            process.wait()


def wait_until_open(process: "subprocess.Popen[bytes]", port: int, limit_s: float = 10) -> None:
    deadline = time.monotonic() + limit_s
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"{process.args!r} did not start")


@contextmanager
def running_shop(core: int) -> Iterator[int]:
    """A shop that answers everything with the same 300 bytes, as fast as nginx can; its port."""
    port = free_port()
    servers = SHOP.format(port=port, body=BODY.decode())
    with running("nginx", NGINX.replace("{servers}", servers), port, core):
        yield port


@contextmanager
def running_nginx(origin_port: int, core: int, options: str = "") -> Iterator[tuple[int, int]]:
    """nginx with `proxy_pass`; its pid and port. `options` are more directives of the location."""
    port = free_port()
    servers = PROXY.format(port=port, origin=origin_port, options=options)
    with running("nginx", NGINX.replace("{servers}", servers), port, core) as pid:
        yield pid, port


@contextmanager
def running_haproxy(origin_port: int, core: int) -> Iterator[tuple[int, int]]:
    port = free_port()
    with running("haproxy", HAPROXY.format(port=port, origin=origin_port), port, core) as pid:
        yield pid, port


def run_httpx(pipe: Pipe, origin_port: int) -> None:
    """A proxy of a few lines on httpx."""
    import httpx

    client = httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=64, max_keepalive_connections=64))

    async def forward(scope: Scope, receive: Receive, send: Send) -> None:
        url = f"http://127.0.0.1:{origin_port}{scope['raw_path'].decode()}?{scope['query_string'].decode()}"
        request = client.build_request(scope["method"], url, headers=scope["headers"])
        answer = await client.send(request, stream=True)
        headers = [(name.lower(), value) for name, value in answer.headers.raw]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
        async for piece in answer.aiter_raw():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    serve_uvicorn(pipe, forward)


def run_aiohttp(pipe: Pipe, origin_port: int) -> None:
    """The same on aiohttp's client."""
    import aiohttp

    session: Any = None

    async def forward(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal session
        if session is None:
            session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64), auto_decompress=False)
        url = f"http://127.0.0.1:{origin_port}{scope['raw_path'].decode()}?{scope['query_string'].decode()}"
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        async with session.request(scope["method"], url, headers=headers, allow_redirects=False) as answer:
            raw = [(name.lower(), value) for name, value in answer.raw_headers]
            await send({"type": "http.response.start", "status": answer.status, "headers": raw})
            async for piece in answer.content.iter_any():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    serve_uvicorn(pipe, forward)
