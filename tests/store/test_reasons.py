"""Why a Redis cannot be used is said in words that name what to look at, and never a password."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support import free_port, running_redis
from waitroom.core.errors import StoreUnavailable
from waitroom.store.client import connect, store_errors
from waitroom.store.reasons import redis_fault


async def fault_of(url: str) -> str:
    client = cast(Any, connect(url, call_s=1.0))
    try:
        with pytest.raises(StoreUnavailable) as refused, store_errors("test"):
            await client.ping()
    finally:
        await client.aclose()
    return redis_fault(refused.value)


async def test_where_nobody_listens_it_says_so(tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{free_port()}"

    assert await fault_of(f"redis://{nobody}") == "nobody listens there"
    assert await fault_of(f"rediss://{nobody}") == "nobody listens there"
    assert await fault_of(f"unix://{tmp_path}/none.sock") == "there is no such socket"
    assert f"{nobody}: nobody listens there" in await fault_of(f"redis+sentinel://{nobody}/shop")


async def test_a_missing_and_a_wrong_password_are_told_and_not_shown() -> None:
    with running_redis() as server:
        connected = cast(Any, connect(server.url))
        await connected.config_set("requirepass", "open sesame")
        await connected.aclose()

        for url in (server.url, server.url.replace("unix://", "unix://:sesame@")):
            assert await fault_of(url) == "it wants a password, or another than that of its address"


async def test_what_a_redis_refuses_is_told_in_its_own_words() -> None:
    with running_redis() as server:
        assert await fault_of(f"{server.url}?db=99") == "DB index is out of range"


async def test_what_hangs_and_what_speaks_no_tls_are_told_apart() -> None:
    with running_redis() as server:
        server.freeze()
        assert await fault_of(server.url) == "no answer in time"

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-ERR no TLS here\r\n")
        writer.close()

    plain = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with plain:
        port = plain.sockets[0].getsockname()[1]
        assert (await fault_of(f"rediss://127.0.0.1:{port}")).startswith("no TLS there")


def test_without_a_cause_it_says_that_there_is_no_answer() -> None:
    assert redis_fault(StoreUnavailable("enter: Redis is away")) == "it does not answer"
