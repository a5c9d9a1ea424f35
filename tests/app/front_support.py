"""Real proxies before the gateway, with the recipes we give for them."""

import asyncio
import contextlib
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support import ROOT, need

RECIPES = ROOT / "deploy" / "proxies"
APACHE_MODULES = "/usr/lib/apache2/modules"


@dataclass
class Front:
    """Where a recipe is made ready for a test: addresses and certificate changed, nothing else.

    `pem` holds certificate and key; without one the proxy speaks plain HTTP. Each of several gateways gets a line.
    """

    folder: Path
    port: int
    gateways: list[int]
    pem: Path | None = None

    def recipe(self, name: str) -> str:
        text = (RECIPES / name).read_text()
        lines = []
        for line in text.replace("shop.example", "localhost").splitlines():
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


def nginx(front: Front) -> list[str]:
    server = front.recipe("nginx.conf").replace("listen 443", f"listen 127.0.0.1:{front.port}")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {front.folder}/{kind}; " for kind in kinds)
    main = f"daemon off; pid {front.folder}/pid; error_log {front.folder}/log; events {{}}"
    conf = front.write("nginx.conf", f"{main}\nhttp {{ access_log off; {paths}\n{server}\n}}")
    return ["nginx", "-p", str(front.folder), "-e", f"{front.folder}/log", "-c", str(conf)]


def haproxy(front: Front) -> list[str]:
    text = front.recipe("haproxy.cfg").replace("bind :443", f"bind 127.0.0.1:{front.port}")
    return ["haproxy", "-db", "-f", str(front.write("haproxy.cfg", text))]


def caddy(front: Front) -> list[str]:
    options = "{\n\tadmin off\n\tauto_https disable_redirects\n\tstorage file_system " + str(front.folder) + "\n}\n"
    text = options + front.recipe("Caddyfile").replace("localhost {", f"https://localhost:{front.port} {{", 1)
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(front.write("Caddyfile", text))]


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
    return ["apache2", "-DFOREGROUND", "-f", str(front.write("apache.conf", main + text))]


PROXIES: dict[str, Callable[[Front], list[str]]] = {
    "nginx": nginx,
    "haproxy": haproxy,
    "caddy": caddy,
    "apache": apache,
}
PROGRAMS = {"nginx": "nginx", "haproxy": "haproxy", "caddy": "caddy", "apache": "apache2"}


def program(name: str) -> None:
    need(
        shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"), f"{name}, from Debian's packages"
    )


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
