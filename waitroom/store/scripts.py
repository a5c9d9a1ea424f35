"""Runs the Lua scripts: one script is one atomic step. Redis errors stop here, as `StoreUnavailable`."""

import asyncio
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from waitroom.core.errors import StoreUnavailable

CALL_S = 2.0
Value = str | bytes | int


@cache
def script(name: str) -> tuple[str, str]:
    """(SHA-1, text) of a script with the shared beginning before it."""
    folder = files("waitroom.store") / "lua"
    text = (folder / "_room.lua").read_text() + (folder / f"{name}.lua").read_text()
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), text


def connect(url: str, *, call_s: float = CALL_S) -> Redis:
    """A client that waits for a free connection instead of failing, and gives every call a time limit.

    Nothing is retried here: who may repeat a call knows its id.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=16,
        timeout=call_s,
        socket_timeout=call_s,
        socket_connect_timeout=call_s,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        decode_responses=False,
        client_name="waitroom",
    )
    return Redis.from_pool(pool)


async def run(
    client: Redis, name: str, keys: Sequence[str], args: Sequence[Value], *, call_s: float = CALL_S
) -> list[Any]:
    """One script call; its reply as Redis gave it. Raises StoreUnavailable whatever goes wrong in between."""
    sha, text = script(name)
    try:
        async with asyncio.timeout(call_s):
            try:
                reply = await cast(Any, client).evalsha(sha, len(keys), *keys, *args)
            except NoScriptError:
                reply = await cast(Any, client).eval(text, len(keys), *keys, *args)
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailable(f"{name}: {type(error).__name__}: {error}") from error
    return cast(list[Any], reply)


async def read_score(client: Redis, key: str, member: str) -> float | None:
    """One member's score. Raises StoreUnavailable like `run`."""
    try:
        async with asyncio.timeout(CALL_S):
            return await client.zscore(key, member)
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailable(f"zscore: {type(error).__name__}: {error}") from error
