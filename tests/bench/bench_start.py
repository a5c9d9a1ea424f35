"""How long `waitroom run` takes to be ready, with an embedded Redis.

    python -m tests.bench.bench_start            medians of five starts each

With a new data folder; with the folder of a line; and with one whose line is gone, where a worker that remembers it is
waited for (two seconds). Wall is what an operator sees; work is what the processor did, which depends less on what else
the machine does.
"""

import asyncio
import contextlib
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import redis

from tests.app.test_start import children_of, cpu_s
from tests.support import Gateway, free_port
from waitroom.demo.browser import Browser, NoAnswer
from waitroom.store.embedded import start_embedded

ROUNDS = 5
LIMITS_S = {"a new folder": 2.0, "a line kept": 2.0, "a line that is gone": 4.0}


async def start(folder: Path) -> tuple[float, float]:
    """(wall, work) in seconds until the public address says that it is ready."""
    port = str(free_port())
    gateway = Gateway(folder, {"origin": "http://127.0.0.1:9", "port": port, "data_dir": str(folder / "data")})
    began = time.monotonic()
    waiting = asyncio.create_task(gateway.start())
    browser = Browser(f"http://127.0.0.1:{port}", timeout_s=2)
    ready = False
    while not ready:
        await asyncio.sleep(0.01)
        with contextlib.suppress(NoAnswer, TimeoutError):
            ready = (await browser.fetch("/-/waitroom/ready")).status == 200
    wall_s = time.monotonic() - began
    await waiting
    browser.close()
    assert gateway.process is not None
    work_s = sum(cpu_s(pid) for pid in (gateway.process.pid, *children_of(gateway.process.pid)))
    await gateway.stop()
    return wall_s, work_s


def forget(folder: Path) -> None:
    """The folder stays one in which a line was kept, and Redis has none."""
    server = start_embedded(folder / "data")
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
        client.set("something", "else")
    server.stop()


async def main() -> int:
    taken: dict[str, list[tuple[float, float]]] = {what: [] for what in LIMITS_S}
    for _ in range(ROUNDS):
        folder = Path(tempfile.mkdtemp(prefix="wr-"))
        taken["a new folder"].append(await start(folder))
        taken["a line kept"].append(await start(folder))
        forget(folder)
        taken["a line that is gone"].append(await start(folder))
        shutil.rmtree(folder)
    for what, limit_s in LIMITS_S.items():
        wall_s, work_s = (median(times) for times in zip(*taken[what], strict=True))
        print(f"{what:<20} ready after {wall_s:.2f} s (at most {limit_s:.0f}), {work_s:.2f} s of work")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
