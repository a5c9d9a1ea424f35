"""Runs the Lua scripts: one script is one atomic step. Redis errors stop here, as `StoreUnavailable`."""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, cast

from redis.exceptions import NoScriptError, RedisError

from waitroom.store.client import Client, store_errors

Value = str | bytes | int
SHARED = ("_room", "_record", "_sale", "_meter", "_seats", "_admission", "_generation")
OWN = {"adopt": ("_merge",), "phase": ("_draw",)}


class Call(NamedTuple):
    """What one call of a script is given."""

    keys: Sequence[str]
    args: Sequence[Value]


@cache
def script(name: str) -> tuple[str, str]:
    """(SHA-1, text) of a script with the shared beginning before it, and a part of its own."""
    return with_digest("".join(map(read, (*SHARED, *OWN.get(name, ()), name))))


@cache
def as_step(text: str) -> tuple[str, str]:
    """(SHA-1, text) of a script made a function, which is called for each of several calls."""
    return with_digest(f"local function step(KEYS, ARGV)\n{text}\nend\n{read('_each')}")


def with_digest(text: str) -> tuple[str, str]:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), text


def read(part: str) -> str:
    return (files("waitroom.store") / "lua" / f"{part}.lua").read_text()


async def run(
    client: Client, name: str, keys: Sequence[str], args: Sequence[Value], *, as_steps: bool = False
) -> list[Any]:
    """One script call; its reply as Redis gave it. Raises StoreUnavailable whatever goes wrong in between."""
    sha, text = as_step(script(name)[1]) if as_steps else script(name)
    with store_errors(name):
        try:
            reply = await cast(Any, client).evalsha(sha, len(keys), *keys, *args)
        except NoScriptError:
            reply = await cast(Any, client).eval(text, len(keys), *keys, *args)
    return cast(list[Any], reply)


async def run_each(client: Client, name: str, calls: Sequence[Call]) -> list[list[Any] | RedisError]:
    """Several calls of one script, as one and as one atomic step; their replies, or what went wrong with one of them.
    Raises like `run` where nothing went well.
    """
    if len(calls) == 1:
        return [await run(client, name, *calls[0])]
    lengths = [length for call in calls for length in (len(call.keys), len(call.args))]
    keys = [key for call in calls for key in call.keys]
    args = [arg for call in calls for arg in call.args]
    return await run(client, name, keys, [len(calls), *lengths, *args], as_steps=True)


def heard(name: str, reply: list[Any] | RedisError) -> list[Any]:
    """The reply to one of several calls. Raises StoreUnavailable where there is none."""
    with store_errors(name):
        if isinstance(reply, RedisError):
            raise reply
    return reply


async def read_score(client: Client, key: str, member: str) -> float | None:
    """One member's score. Raises StoreUnavailable like `run`."""
    with store_errors("zscore"):
        return cast(float | None, await cast(Any, client).zscore(key, member))
