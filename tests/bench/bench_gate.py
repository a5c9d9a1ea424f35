"""The hot path against a bare answer: a status poll, a request with a pass, a join.

    python -m tests.bench.bench_gate [--rounds 5] [--seconds 3] [--tickets 10000]

One worker of the gateway, a real Redis, a constant origin, and for each row a bare ASGI function under plain uvicorn
that answers as many bytes. 32 connections of wrk; measured in turn, the medians count. The server measured has a core
to itself, shop and load share the other. The ratio of requests a second is what the budgets speak of; CPU is the
server's own, per request. The tickets ask in turn: with more than a worker remembers (`waitroom.edge.visitor`), each
poll costs the check of a signature.
"""

import asyncio
import statistics
import tempfile
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

from tests.bench.servers import (
    BROWSER,
    OTHER_CORE,
    SERVER_CORE,
    measure,
    parser_of,
    run_bare,
    run_gate,
    run_origin,
    start,
)
from tests.support import SECRET, running_redis
from waitroom.core.tokens import Pass, Ticket, Tokens
from waitroom.store.replies import Newcomer
from waitroom.store.room import Room

TICKETS = 10_000
BUDGETS = {"poll": 0.80, "pass": 0.50, "join": 0.40}


async def fill(redis_url: str, people: int = TICKETS) -> tuple[list[str], str]:
    """A line of so many: their tickets, and one pass."""
    room = Room.connect(redis_url, "shop")
    while (snapshot := await sync(room)) is None:
        await asyncio.sleep(0.1)
    state = snapshot.state
    for first in range(0, people, 200):
        newcomers = [Newcomer(f"{first + i:032x}", True, False) for i in range(200)]
        await room.enter(
            state.generation, first, newcomers, call_id=f"fill{first}", seat_ms=30_000, now_ms=snapshot.now_ms
        )
    await room.close()
    tokens, now_ms = Tokens("shop", [SECRET]), snapshot.now_ms
    tickets = [
        tokens.sign_ticket(Ticket("shop", state.generation, number, f"{number:032x}", now_ms))
        for number in range(5, people)
    ]
    end_ms = now_ms + 39_600_000
    pass_ = tokens.sign_pass(Pass("shop", "f" * 32, state.generation, 3, now_ms, end_ms, now_ms, False))
    return tickets, pass_


async def sync(room: Room):  # type: ignore[no-untyped-def]
    try:
        return await room.sync("", "bench")
    except Exception:  # noqa: BLE001 - whatever the probe meets, there is no room yet
        return None


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--tickets", type=int, default=TICKETS)
    options = parser.parse_args()
    with running_redis() as redis, tempfile.TemporaryDirectory() as folder:
        origin, origin_port = start(run_origin, core=OTHER_CORE)
        gate, port = start(run_gate, origin_port, redis.url, core=SERVER_CORE)
        tickets, pass_ = asyncio.run(fill(redis.url, options.tickets))
        time.sleep(1)
        script = Path(folder) / "polls.lua"
        write_polls(script, tickets)
        base = [f"{name}: {value}" for name, value in BROWSER.items()]
        rows: dict[str, tuple[str, list[str], str | None, int]] = {
            "poll": ("/-/waitroom/status?shown=9000", base, str(script), 370),
            "pass": (
                "/product/42?colour=red",
                [*base, f"Cookie: session=abcdef; waitroom_shop_pass={pass_}"],
                None,
                300,
            ),
            "join": ("/", base, None, size_of_page(port)),
        }
        servers = [origin, gate]
        results: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in rows}
        bares = {name: start(run_bare, row[3], core=SERVER_CORE) for name, row in rows.items()}
        servers += [process for process, _ in bares.values()]
        for _ in range(options.rounds):
            for name, (path, headers, lua, _) in rows.items():
                process, bare_port = bares[name]
                asked = {process.pid: bare_port, gate.pid: port}
                bare, ours = (
                    measure(pid, f"http://127.0.0.1:{at}{path}", headers, options.seconds, lua, OTHER_CORE)
                    for pid, at in asked.items()
                )
                results[name].append((*bare, *ours))
        for process in servers:
            process.terminate()
    print(f"{'':6} {'bare/s':>8} {'gate/s':>8} {'ratio':>6} {'by CPU':>7} {'budget':>7}  bare µs  gate µs")
    for name, rounds in results.items():
        ratio = statistics.median(ours / bare for bare, _, ours, _ in rounds)
        by_cpu = statistics.median(bare / ours for _, bare, _, ours in rounds)
        bare_s, bare_us, gate_s, gate_us = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(
            f"{name:6} {bare_s:8.0f} {gate_s:8.0f} {ratio:6.2f} {by_cpu:7.2f} {BUDGETS[name]:7.2f}"
            f"  {bare_us:7.1f}  {gate_us:7.1f}"
        )


def size_of_page(port: int) -> int:
    """Of the waiting page as it is sent, compressed."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", "/", headers=BROWSER)
        return len(connection.getresponse().read())


def write_polls(path: Path, tickets: list[str]) -> None:
    """A wrk script that sends each ticket in turn."""
    lines = ",".join(f'"{ticket}"' for ticket in tickets)
    path.write_text(
        f"local tickets = {{{lines}}}\nlocal at = 0\n"
        "request = function()\n  at = at % #tickets + 1\n"
        '  wrk.headers["Cookie"] = "session=abcdef; waitroom_shop_ticket=" .. tickets[at]\n'
        "  return wrk.format()\nend\n"
    )


if __name__ == "__main__":
    main()
