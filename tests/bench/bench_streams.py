"""What a large download and a large upload cost in a worker's memory.

    python -m tests.bench.bench_streams [--megabytes 1024] [--json]

A real gateway of one worker, a shop in another process, a visitor inside. Each body has a length or comes in chunks;
its checksum is compared. The worker's resident memory is read every 50 ms. Exit 1 if it grew by more than 30 MB.
"""

import argparse
import asyncio
import http.client
import json
import sys
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from tests.bench.memory import MEGABYTE, MemoryWatch
from tests.bench.wild_shop import blocks, running_wild_shop
from tests.support import Gateway, running_gateway, running_redis
from waitroom.demo.browser import Browser

MOST_GROWTH_BYTES = 30 * MEGABYTE
WAYS = [("down", "length"), ("down", "chunked"), ("up", "length"), ("up", "chunked")]


class Run(NamedTuple):
    """One body, on its way through the gateway. Memory in bytes."""

    direction: str
    framing: str
    size: int
    seconds: float
    before: int
    growth: int
    curve: str


@asynccontextmanager
async def gateway_before_a_wild_shop(**settings: str) -> AsyncIterator[tuple[Gateway, str]]:
    """The gateway, and the cookies of a visitor inside."""
    with running_redis() as redis, running_wild_shop() as shop:
        async with running_gateway(shop, redis.url, rate="unlimited", **settings) as gateway:
            yield gateway, await cookies_of_a_visitor(gateway)


async def cookies_of_a_visitor(gateway: Gateway) -> str:
    browser = Browser(gateway.url)
    for _ in range(2):
        assert (await browser.open("/page")).status == 200
    browser.close()
    return "; ".join(f"{name}={value}" for name, value in browser.cookies.items())


def download(port: int, cookies: str, framing: str, size: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", f"/down/{framing}/{size}", headers={"cookie": cookies})
    answer = connection.getresponse()
    checksum, buffer = 0, memoryview(bytearray(262_144))
    while count := answer.readinto(buffer):
        checksum = zlib.crc32(buffer[:count], checksum)
    connection.close()
    if checksum != checksum_of(size):
        raise AssertionError("the download is not what was sent")


def upload(port: int, cookies: str, framing: str, size: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    chunked = framing == "chunked"
    field = {"transfer-encoding": "chunked"} if chunked else {"content-length": str(size)}
    connection.request("POST", "/up", blocks(size), {"cookie": cookies, **field}, encode_chunked=chunked)
    said = connection.getresponse().read()
    connection.close()
    if said != b"%d %d" % (size, checksum_of(size)):
        raise AssertionError(f"the upload did not arrive as it was sent: {said!r}")


def checksum_of(size: int) -> int:
    checksum = 0
    for block in blocks(size):
        checksum = zlib.crc32(block, checksum)
    return checksum


async def measure(gateway: Gateway, cookies: str, direction: str, framing: str, size: int) -> Run:
    """Send one body through; raises if it does not arrive whole."""
    port = int(gateway.environment["WAITROOM_PORT"])
    send = download if direction == "down" else upload
    with MemoryWatch(gateway.workers()) as memory:
        began = time.monotonic()
        await asyncio.to_thread(send, port, cookies, framing, size)
        seconds = time.monotonic() - began
    return Run(direction, framing, size, seconds, memory.before, memory.growth, memory.curve())


async def run(size: int) -> list[Run]:
    async with gateway_before_a_wild_shop() as (gateway, cookies):
        return [await measure(gateway, cookies, *way, size) for way in WAYS]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    runs = asyncio.run(run(options.megabytes * MEGABYTE))
    if options.json:
        print(json.dumps([run._asdict() for run in runs]))
    else:
        print("way   framing   seconds   MB/s   MB before   MB grown   memory over time, from 0")
        for one in runs:
            print(
                f"{one.direction:5} {one.framing:9} {one.seconds:7.1f} {one.size / MEGABYTE / one.seconds:6.0f} "
                f"{one.before / MEGABYTE:11.1f} {one.growth / MEGABYTE:10.1f}   {one.curve}"
            )
    return int(any(one.growth > MOST_GROWTH_BYTES for one in runs))


if __name__ == "__main__":
    sys.exit(main())
