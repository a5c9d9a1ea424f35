"""Real proxies before the gateway, with the recipes we give for them."""

import asyncio
import contextlib
import os
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import trustme

from tests.support import (
    ROOT,
    Gateway,
    Shop,
    free_port,
    need,
    page_facts,
    running_gateway,
    running_redis,
    running_shop,
)
from waitroom.demo.browser import Answer

RECIPES = ROOT / "deploy" / "proxies"
APACHE_MODULES = "/usr/lib/apache2/modules"
DOCUMENT = {"accept": "text/html", "sec-fetch-dest": "document", "sec-fetch-mode": "navigate"}


@dataclass
class Front:
    """Where a recipe is made ready for a test: addresses and certificate changed, nothing else.

    `pem` holds certificate and key; without one the proxy speaks plain HTTP. Each of several gateways gets a line.
    """

    folder: Path
    port: int
    gateways: list[int]
    pem: Path | None = None
    shop: int = 0

    def recipe(self, name: str) -> str:
        text = (RECIPES / name).read_text().replace("shop.example", "localhost")
        text = text.replace("127.0.0.1:3000", f"127.0.0.1:{self.shop}")
        lines = []
        for line in text.splitlines():
            if self.pem is None and "/etc/ssl/" in line and "bind" not in line:
                continue
            for number, port in enumerate(self.gateways, 1):
                lines.append(
                    line.replace("127.0.0.1:8080", f"127.0.0.1:{port}").replace("gateway1", f"gateway{number}")
                )
                if not re.match(r"\s+server .*127.0.0.1:8080", line):
                    break
        text = "\n".join([*lines, ""])
        if self.pem is None:
            return re.sub(r" ssl( crt \S+)?", "", text)
        return re.sub(r"/etc/ssl/localhost\.(pem|key)", str(self.pem), text)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path


def nginx(front: Front, recipe: str = "nginx.conf") -> list[str]:
    server = front.recipe(recipe).replace("listen 443", f"listen 127.0.0.1:{front.port}")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {front.folder}/{kind}; " for kind in kinds)
    main = f"daemon off; pid {front.folder}/pid; error_log {front.folder}/log; events {{}}"
    conf = front.write("nginx.conf", f"{main}\nhttp {{ access_log off; {paths}\n{server}\n}}")
    return [program("nginx"), "-p", str(front.folder), "-e", f"{front.folder}/log", "-c", str(conf)]


def haproxy(front: Front, recipe: str = "haproxy.cfg") -> list[str]:
    script = front.write("waitroom.lua", front.recipe("waitroom.lua"))
    text = front.recipe(recipe).replace("bind :443", f"bind 127.0.0.1:{front.port}")
    text = text.replace("/etc/haproxy/waitroom.lua", str(script))
    return [program("haproxy"), "-db", "-f", str(front.write("haproxy.cfg", text))]


def caddy(front: Front, recipe: str = "Caddyfile") -> list[str]:
    options = "{\n\tadmin off\n\tauto_https disable_redirects\n\tstorage file_system " + str(front.folder) + "\n}\n"
    text = options + front.recipe(recipe).replace("localhost {", f"https://localhost:{front.port} {{", 1)
    return [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(front.write("Caddyfile", text))]


def apache(front: Front) -> list[str]:
    names = ["mpm_event", "authz_core", "proxy", "proxy_http", "proxy_wstunnel", "ssl", "headers", "socache_shmcb"]
    modules = "\n".join(f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so" for name in names)
    text = (
        front.recipe("apache.conf")
        .replace("*:443", f"127.0.0.1:{front.port}")
        .replace("Port 443", f"Port {front.port}")
    )
    main = f"""ServerRoot {front.folder}
PidFile {front.folder}/pid
ErrorLog {front.folder}/log
DefaultRuntimeDir {front.folder}
ServerName localhost
Listen 127.0.0.1:{front.port}
{modules}
"""
    return [program("apache2"), "-DFOREGROUND", "-f", str(front.write("apache.conf", main + text))]


Command = Callable[[Front], list[str]]
PROXIES: dict[str, Command] = {
    "nginx": nginx,
    "haproxy": haproxy,
    "caddy": caddy,
    "apache": apache,
    "nginx-auth": lambda front: nginx(front, "nginx-auth.conf"),
    "haproxy-auth": lambda front: haproxy(front, "haproxy-auth.cfg"),
    "caddy-auth": lambda front: caddy(front, "Caddyfile-auth"),
}
PROGRAMS = {"nginx": "nginx", "haproxy": "haproxy", "caddy": "caddy", "apache": "apache2"}


def program(name: str) -> str:
    """Where it is: a server's folder need not be on a user's PATH. Skips without it."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin")
    need(found, f"{name}, from Debian's packages")
    return str(found)


async def until_ready(url: str, tls: ssl.SSLContext | None, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + 20
    async with httpx.AsyncClient(verify=tls or True, trust_env=False) as client:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(f"{url}/-/waitroom/ready")).status_code == 200:
                    return
            assert process.poll() is None, (folder / "out").read_text()
            assert time.monotonic() < deadline, (folder / "out").read_text()
            await asyncio.sleep(0.05)


@dataclass
class Placement:
    """A proxy, the gateway and the shop behind it, and how a browser reaches them."""

    url: str
    gateway: Gateway
    shop: Shop
    tls: ssl.SSLContext

    def browser(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, verify=self.tls, timeout=40, trust_env=False)


@contextlib.asynccontextmanager
async def placed(
    name: str, folder: Path, settings: Mapping[str, str] | None = None, command: Command | None = None
) -> AsyncIterator[Placement]:
    """With the recipe of this name, or what `command` writes. The gateway trusts the proxy's address and knows its own
    public one, as the recipes say.
    """
    program(PROGRAMS[name.removesuffix("-auth")])
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    port = free_port()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "shop.pem"))
    tls = ssl.create_default_context()
    authority.configure_trust(tls)
    url = f"https://localhost:{port}"
    given = {"public_url": url, "trusted_proxies": "127.0.0.1/32,::1/128", "rate": "1/h", "burst": "1"}
    given |= settings or {}
    with running_redis() as redis:
        async with running_shop() as shop, running_gateway(shop, redis.url, **given) as gateway:
            front = Front(folder, port, [int(gateway.environment["WAITROOM_PORT"])], folder / "shop.pem", shop.port)
            words = (command or PROXIES[name])(front)
            with (folder / "out").open("wb") as out:
                process = subprocess.Popen(words, stdout=out, stderr=out, cwd=folder)
            try:
                await until_ready(url, tls, process, folder)
                yield Placement(url, gateway, shop, tls)
            finally:
                process.terminate()
                await asyncio.to_thread(process.wait, 20)


def facts_of(answer: httpx.Response) -> dict[str, Any]:
    return page_facts(Answer(answer.status_code, [], answer.content, ""))


async def repeated_through_socket(place: Placement, browser: httpx.AsyncClient, data: bytes) -> bytes:
    """Switch protocols at /live with the browser's cookies, send the bytes, read as many."""
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies.jar)
    port = int(place.url.rpartition(":")[2])
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("localhost", port, ssl=place.tls)
        try:
            writer.write(
                f"GET /live HTTP/1.1\r\nhost: localhost:{port}\r\ncookie: {cookies}\r\nupgrade: websocket\r\n"
                "connection: Upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                "\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 "), head
            writer.write(data)
            return await reader.readexactly(len(data))
        finally:
            writer.close()
