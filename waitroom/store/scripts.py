"""Runs the Lua scripts: one script is one atomic step. Redis errors stop here, as `StoreUnavailable`."""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, cast

from redis.exceptions import NoScriptError

from waitroom.store.client import Client, store_errors

Value = str | bytes | int
SHARED = ("_room", "_meter", "_admission", "_generation")


@cache
def script(name: str) -> tuple[str, str]:
    """(SHA-1, text) of a script with the shared beginning before it."""
    folder = files("waitroom.store") / "lua"
    text = "".join((folder / f"{part}.lua").read_text() for part in (*SHARED, name))
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), text


async def run(client: Client, name: str, keys: Sequence[str], args: Sequence[Value]) -> list[Any]:
    """One script call; its reply as Redis gave it. Raises StoreUnavailable whatever goes wrong in between."""
    sha, text = script(name)
    with store_errors(name):
        try:
            reply = await cast(Any, client).evalsha(sha, len(keys), *keys, *args)
        except NoScriptError:
            reply = await cast(Any, client).eval(text, len(keys), *keys, *args)
    return cast(list[Any], reply)


async def read_score(client: Client, key: str, member: str) -> float | None:
    """One member's score. Raises StoreUnavailable like `run`."""
    with store_errors("zscore"):
        return cast(float | None, await cast(Any, client).zscore(key, member))
