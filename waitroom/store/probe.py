"""A look at a Redis from outside, before anything depends on it. Changes nothing there."""

import asyncio
import time
from dataclasses import dataclass
from statistics import median
from typing import Any

from waitroom.store.client import connect, store_errors
from waitroom.store.keys import Keys

PINGS = 9
LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Found:
    """What answered. `version` as numbers; `policy` is its maxmemory-policy; `address` is the one that Sentinels or a
    Cluster named, else ''.
    """

    name: str
    version: tuple[int, ...]
    policy: str
    keeps_log: bool
    latency_ms: float
    address: str


async def probe(url: str, room: str) -> Found:
    """Version, eviction and latency of a Redis that runs scripts. Raises StoreUnavailable."""
    client = connect(url)
    try:
        with store_errors("probe"):
            async with asyncio.timeout(LIMIT_S):
                # With a key, so that a cluster leads to the node that has the room.
                await client.eval("return 1", 1, Keys(room).state)
                info: dict[str, Any] = await client.info("everything")
                took_ms = []
                for _ in range(PINGS):
                    begun = time.perf_counter()
                    await client.ping()
                    took_ms.append((time.perf_counter() - begun) * 1000)
    finally:
        await client.aclose()
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info.get("redis_version", "0"))
    return Found(
        name=name,
        version=tuple(int(part) for part in version.split(".") if part.isdecimal()),
        policy=str(info.get("maxmemory_policy", "")),
        keeps_log=bool(info.get("aof_enabled")),
        latency_ms=median(took_ms),
        address=client.found,
    )
