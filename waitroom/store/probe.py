"""A look at a Redis from outside, before anything depends on it. Changes nothing there."""

import asyncio
import time
from dataclasses import dataclass
from statistics import median
from typing import Any, cast

from redis.exceptions import RedisError

from waitroom.core.errors import StoreUnavailable
from waitroom.store.scripts import connect

PINGS = 9
LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Found:
    """What answered. `version` as numbers; `policy` is its maxmemory-policy."""

    name: str
    version: tuple[int, ...]
    policy: str
    keeps_log: bool
    latency_ms: float


async def probe(url: str) -> Found:
    """Version, eviction and latency of a Redis that runs scripts. Raises StoreUnavailable."""
    client = cast(Any, connect(url))
    try:
        async with asyncio.timeout(LIMIT_S):
            info: dict[str, Any] = await client.info("everything")
            await client.eval("return 1", 0)
            took_ms = []
            for _ in range(PINGS):
                begun = time.perf_counter()
                await client.ping()
                took_ms.append((time.perf_counter() - begun) * 1000)
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailable(f"{type(error).__name__}: {error}".rstrip(": ")) from error
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
    )
