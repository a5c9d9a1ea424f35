"""What a request costs where nginx asks the gateway (forward auth), where it goes through it, and without a gateway.

    python -m tests.bench.bench_auth [--rounds 5] [--seconds 3] [--json]

nginx stands in front with the recipes of deploy/proxies, one worker; behind it one worker of the gateway; behind that
nginx again as the shop, with answers of 300 bytes and of 1 MB. Every request carries a pass. 32 connections of wrk, in
turn, after a warm-up; medians over the rounds, shares of the same round. The gateway has one core, everything else
shares the other. `CPU of the gateway` is what a Python process has to do for a request, wherever the limit is.
"""

import http.client
import json
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.app.front_support import Front
from tests.bench.bench_proxy import sign_pass
from tests.bench.rivals import NGINX, missing, running, running_nginx
from tests.bench.servers import BODY, BROWSER, OTHER_CORE, SERVER_CORE, Measured, measure, parser_of, run_gate, start
from tests.support import free_port, running_redis

SIZES = {"300 bytes": 300, "1 MB": 1_000_000}
TRUSTING = {"forward_auth": "1", "trusted_proxies": "127.0.0.1/32"}
WAYS = ("no gateway", "through it", "asks it")
SHOP = """
  server {{ listen 127.0.0.1:{port} reuseport; default_type text/html; root {folder}; sendfile on;
    location / {{ return 200 "{body}"; }} location /big {{ }} }}
"""


@contextmanager
def shop() -> Iterator[int]:
    """300 bytes everywhere, 1 MB from a file at /big."""
    with tempfile.TemporaryDirectory() as name:
        Path(name, "big").write_bytes(b"x" * SIZES["1 MB"])
        Path(name).chmod(0o755)
        port = free_port()
        servers = SHOP.format(port=port, folder=name, body=BODY.decode())
        with running("nginx", f"user root;\n{NGINX}".replace("{servers}", servers), port, OTHER_CORE):
            yield port


@contextmanager
def front(recipe: str, gateway: int, shop_port: int) -> Iterator[int]:
    """nginx with one of our recipes, without TLS; its port."""
    port = free_port()
    servers = Front(Path(), port, [gateway], shop=shop_port).recipe(recipe).replace("listen 443", f"listen {port}")
    with running("nginx", NGINX.replace("{servers}", servers), port, OTHER_CORE):
        yield port


def run(rounds: int, seconds: int) -> dict[tuple[str, str], list[Measured]]:
    headers = [f"{name}: {value}" for name, value in BROWSER.items()]
    headers.append(f"Cookie: session=abcdef; waitroom_shop_pass={sign_pass()}")
    with ExitStack() as stack:
        redis = stack.enter_context(running_redis())
        shop_port = stack.enter_context(shop())
        gateway, gateway_port = start(run_gate, shop_port, redis.url, "1/min", TRUSTING, core=SERVER_CORE)
        stack.callback(gateway.terminate)
        ports = {
            "no gateway": stack.enter_context(running_nginx(shop_port, OTHER_CORE))[1],
            "through it": stack.enter_context(front("nginx.conf", gateway_port, shop_port)),
            "asks it": stack.enter_context(front("nginx-auth.conf", gateway_port, shop_port)),
        }
        urls = {size: "/product/42?colour=red" if size == "300 bytes" else "/big" for size in SIZES}
        for port in ports.values():
            for size, path in urls.items():
                check(port, path, SIZES[size], headers)
        found: dict[tuple[str, str], list[Measured]] = {(size, way): [] for size in SIZES for way in WAYS}
        for turn in range(rounds + 1):
            for size, way in found:
                url = f"http://127.0.0.1:{ports[way]}{urls[size]}"
                took = measure(gateway.pid, url, headers, seconds, core=OTHER_CORE)
                if turn:
                    found[size, way].append(took)
    return found


def check(port: int, path: str, size: int, headers: list[str]) -> None:
    """Everybody gives the whole of the same answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers=dict(line.split(": ", 1) for line in headers))
    answer = connection.getresponse()
    assert (answer.status, len(answer.read())) == (200, size), (port, path)
    connection.close()


def summary(found: dict[tuple[str, str], list[Measured]]) -> list[dict[str, Any]]:
    rows = []
    for (size, way), rounds in found.items():
        pairs = list(zip(rounds, found[size, "through it"], strict=True))
        rows.append(
            {
                "size": size,
                "way": way,
                "per_s": statistics.median(one.per_s for one in rounds),
                "of_through": statistics.median(one.per_s / other.per_s for one, other in pairs),
                "cpu_us": "-" if way == "no gateway" else round(statistics.median(one.cpu_us for one in rounds)),
            }
        )
    return rows


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for program in ("nginx", "wrk"):
        if missing(program):
            parser.exit(1, missing(program) + "\n")
    rows = summary(run(options.rounds, options.seconds))
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{'answer':9} {'nginx':10} {'a second':>9} {'of through':>11} {'CPU of the gateway, µs':>23}")
    for row in rows:
        print("{size:9} {way:10} {per_s:9.0f} {of_through:11.2f} {cpu_us:>23}".format(**row))


if __name__ == "__main__":
    main()
