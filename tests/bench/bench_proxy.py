"""What forwarding costs, beside other proxies: requests a second, and CPU per request, as shares of a bare answer.

    python -m tests.bench.bench_proxy [--rounds 5] [--seconds 3] [--json]

Everybody forwards the same request to the same nginx (`return 200`, 300 bytes), or, `bare`, answers as many bytes from
an ASGI function under plain uvicorn. `waitroom` is one worker of the gateway with a pass; nginx and HAProxy have one
thread; the two Python proxies stand in `rivals`. 32 connections of wrk, in turn, after a warm-up; medians over the
rounds. The server measured has one core, wrk and the shop share the other, so for the two compiled proxies the rate is
at times that of the load; CPU is the server's own and says more where cores are shared.

Where a worker's CPU goes with a request with a pass (`perf record -g -p <worker>`, `perf report --sort dso`):

    the kernel: two reads, two writes, a share of a poll   33 %
    the interpreter: uvicorn's base, edge, gate, proxy     56 %
    uvloop and asyncio's tasks and futures                  5 %
    libc                                                    3 %
    llhttp, for request and answer                          3 %

A bare answer under uvicorn makes three system calls (head and body are written apart), a proxied one four.
"""

import http.client
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import Any

from tests.bench.rivals import missing, run_aiohttp, run_httpx, running_haproxy, running_nginx, running_shop
from tests.bench.servers import (
    BODY,
    BROWSER,
    OTHER_CORE,
    SERVER_CORE,
    Measured,
    measure,
    parser_of,
    run_bare,
    run_gate,
    start,
)
from tests.support import SECRET, running_redis
from waitroom.core.tokens import Pass, Tokens

PATH = "/product/42?colour=red"
BUDGETS = "budgets: waitroom at least 0.50 of bare, and 10 times httpx"


@contextmanager
def python(target: Callable[..., None], *arguments: object) -> Iterator[tuple[int, int]]:
    process, port = start(target, *arguments, core=SERVER_CORE)
    assert process.pid is not None
    try:
        yield process.pid, port
    finally:
        process.terminate()


def sign_pass() -> str:
    """Good for the run, without a renewal."""
    now_ms = int(time.time() * 1000)
    return Tokens("shop", [SECRET]).sign_pass(
        Pass("shop", "f" * 32, "0" * 16, 3, now_ms - 1000, now_ms + 39_600_000, now_ms, False)
    )


def run(rounds: int, seconds: int) -> tuple[dict[str, list[Measured]], list[str]]:
    """The measurements of each that is here, and a line for each that is not."""
    headers = [f"{name}: {value}" for name, value in BROWSER.items()]
    headers.append(f"Cookie: session=abcdef; waitroom_shop_pass={sign_pass()}")
    absent = [line for program in ("nginx", "haproxy") if (line := missing(program))]
    with ExitStack() as stack:
        redis = stack.enter_context(running_redis())
        shop = stack.enter_context(running_shop(OTHER_CORE))
        servers = {
            "bare": stack.enter_context(python(run_bare, 300)),
            "waitroom": stack.enter_context(python(run_gate, shop, redis.url)),
            "nginx": stack.enter_context(running_nginx(shop, SERVER_CORE)),
        }
        if not missing("haproxy"):
            servers["haproxy"] = stack.enter_context(running_haproxy(shop, SERVER_CORE))
        for name, target in (("aiohttp", run_aiohttp), ("httpx", run_httpx)):
            if find_spec(name) is None:
                absent.append(f"{name} is not installed (pip install {name})")
            else:
                servers[name] = stack.enter_context(python(target, shop))
        found: dict[str, list[Measured]] = {name: [] for name in servers}
        for _, port in servers.values():
            check(port, headers)
        for turn in range(rounds + 1):
            for name, (pid, port) in servers.items():
                took = measure(pid, f"http://127.0.0.1:{port}{PATH}", headers, seconds if turn else 1, core=OTHER_CORE)
                if turn:
                    found[name].append(took)
    return found, absent


def check(port: int, headers: list[str]) -> None:
    """Everybody gives the same answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", PATH, headers=dict(line.split(": ", 1) for line in headers))
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, BODY)
    connection.close()


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if missing("nginx"):
        parser.exit(1, missing("nginx") + ": it is the shop here\n")
    found, absent = run(options.rounds, options.seconds)
    table = [summary(name, rounds, found["bare"]) for name, rounds in found.items()]
    if options.json:
        print(json.dumps({"rows": table, "absent": absent}))
        return
    print(f"{'':9} {'a second':>9} {'of bare':>8} {'CPU µs':>7} {'of bare':>8}")
    for row in table:
        print("{name:9} {per_s:9.0f} {by_wall:8.2f} {cpu_us:7.1f} {by_cpu:8.2f}".format(**row))
    print(*absent, BUDGETS, sep="\n")


def summary(name: str, rounds: list[Measured], bare: list[Measured]) -> dict[str, Any]:
    """Medians; the shares are of the same round."""
    pairs = list(zip(rounds, bare, strict=True))
    return {
        "name": name,
        "per_s": statistics.median(one.per_s for one in rounds),
        "by_wall": statistics.median(one.per_s / other.per_s for one, other in pairs),
        "cpu_us": statistics.median(one.cpu_us for one in rounds),
        "by_cpu": statistics.median(other.cpu_us / one.cpu_us for one, other in pairs),
    }


if __name__ == "__main__":
    main()
