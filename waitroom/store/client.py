"""A client that finds the server of a room: at its address, by asking Sentinels, or by following a Cluster.

All keys of a room share a slot, so in a cluster, too, a room has one server: any node says which with MOVED. There is
one pool of connections, to that server, and it waits for a free connection instead of failing. Each command has a time
limit. None is repeated after it may have been executed: whoever may repeat a call knows its id.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, cast

from hiredis import pack_command
from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands import AsyncCoreCommands
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ConnectionError,
    MovedError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from waitroom.core.errors import StoreUnavailable
from waitroom.core.redis_url import SENTINEL_LOGIN, Host, RedisPlace, redis_place, shown
from waitroom.store.reasons import redis_fault

CALL_S = 2.0
SENTINEL_S = 0.5
MOVING_S = 0.05
CONNECTIONS = 16
MOST_NODES = 64


class Packing:
    """Writes a command in one call: redis-py takes a microsecond for each argument, and scripts have many."""

    def pack_command(self, *words: Any) -> list[bytes]:
        return [pack_command((*words[0].split(), *words[1:]))]  # `CONFIG GET` is two words


class TcpConnection(Packing, Connection): ...


class TlsConnection(Packing, SSLConnection): ...


class UnixConnection(Packing, UnixDomainSocketConnection): ...


@contextmanager
def store_errors(what: str) -> Iterator[None]:
    """Redis errors end here: above there is only StoreUnavailable."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailable(f"{what}: {type(error).__name__}: {error}".rstrip(": ")) from error


if TYPE_CHECKING:

    class Commands:
        """To redis-py's own types an answer may be there at once; here each is awaited."""

        def __getattr__(self, command: str) -> Callable[..., Awaitable[Any]]: ...
else:
    Commands = AsyncCoreCommands


class Client(Commands):
    """Every command goes to the server of the room, also those without a key. Raises what redis-py raises.

    redis-py's methods (`evalsha`, `zscore`, …) all come down to `execute_command`. `found` is the address that
    Sentinels or a Cluster named, while it is known.
    """

    _is_async_client: Literal[True] = True
    _event_dispatcher: Any = None

    def __init__(self, place: RedisPlace, *, call_s: float = CALL_S) -> None:
        self._place, self._call_s = place, call_s
        self._at: Host | None = None
        self._servers: dict[Host, Redis] = {}
        self._nodes = deque(place.hosts, maxlen=MOST_NODES)
        self._sentinels = [self._sentinel(host) for host in place.hosts] if place.kind == "sentinel" else []
        self._finding = asyncio.Lock()

    @property
    def found(self) -> str:
        return shown(self._at) if self._at and self._place.kind in ("sentinel", "cluster") else ""

    async def execute_command(self, *words: Any, **options: Any) -> Any:
        """Where a slot is on its way to another node, tried again until it has arrived, within the time limit."""
        async with asyncio.timeout(self._call_s):
            while True:
                at = self._at or await self._find()
                try:
                    return await cast(Any, self._server(at)).execute_command(*words, **options)
                except MovedError as moved:
                    self._settle((moved.host or at[0], moved.port))
                    if self._at == at:
                        await asyncio.sleep(MOVING_S)
                except (AskError, TryAgainError):
                    await asyncio.sleep(MOVING_S)
                except ResponseError as error:
                    if is_no_master(error):
                        # Behind a name there may be another server now, so connect anew.
                        self._lose(at)
                        await self._server(at).connection_pool.disconnect(inuse_connections=False)
                    raise
                except BaseException:
                    self._lose(at)
                    raise

    async def aclose(self) -> None:
        for server in (*self._servers.values(), *self._sentinels):
            await server.aclose()

    def _lose(self, at: Host) -> None:
        """Look for the server again before the next call."""
        if self._at == at:
            self._at = None

    def _settle(self, at: Host) -> None:
        self._at = at
        if self._place.kind == "cluster" and at not in self._nodes:
            self._nodes.append(at)

    async def _find(self) -> Host:
        match self._place.kind:
            case "sentinel":
                async with self._finding:
                    if self._at is None:
                        self._settle(await self._ask_sentinels())
            case "cluster":
                # Any node will do: it says which one has the room.
                self._at = self._nodes[0]
                self._nodes.rotate(-1)
            case _:
                self._at = self._place.hosts[0]
        assert self._at is not None
        return self._at

    async def _ask_sentinels(self) -> Host:
        """The address of the master, from the first Sentinel that knows it."""
        faults, question = [], ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._place.master)
        for sentinel, host in zip(self._sentinels, self._place.hosts, strict=True):
            try:
                async with asyncio.timeout(SENTINEL_S):
                    found = await cast(Any, sentinel).execute_command(*question)
            except (RedisError, OSError, TimeoutError) as error:
                faults.append(f"{shown(host)}: {redis_fault(error)}")
                continue
            if found:
                return found[0].decode(), int(found[1])
            faults.append(f"{shown(host)}: it does not know it")
        raise ConnectionError(f"no Sentinel names the master {self._place.master}: {', '.join(faults)}")

    async def ask_quorum(self) -> list[str]:
        """What keeps Sentinels from agreeing on another master, one of them at a time; empty if nothing does, or where
        there are none.
        """
        faults = []
        for sentinel, host in zip(self._sentinels, self._place.hosts, strict=False):
            try:
                async with asyncio.timeout(SENTINEL_S):
                    await cast(Any, sentinel).execute_command("SENTINEL", "CKQUORUM", self._place.master)
            except (RedisError, OSError, TimeoutError) as error:
                faults.append(f"{shown(host)}: {redis_fault(error)}")
        return faults

    def _server(self, at: Host) -> Redis:
        if at not in self._servers:
            options = {name: text for name, text in self._place.options.items() if name not in SENTINEL_LOGIN}
            self._servers[at] = self._connect(at, options, self._call_s, db=self._place.db, client_name="waitroom")
        return self._servers[at]

    def _sentinel(self, host: Host) -> Redis:
        options = {name: text for name, text in self._place.options.items() if name.startswith("ssl_")}
        options |= {
            name.removeprefix("sentinel_"): self._place.options[name]
            for name in SENTINEL_LOGIN
            if name in self._place.options
        }
        return self._connect(host, options, SENTINEL_S)

    def _connect(self, host: Host, options: dict[str, str], limit_s: float, **more: Any) -> Redis:
        """Makes no connection yet. Nothing is retried here."""
        more |= options
        if "ssl_check_hostname" in options:
            more["ssl_check_hostname"] = options["ssl_check_hostname"] == "true"
        if self._place.kind == "unix":
            more |= {"path": host[0], "connection_class": UnixConnection}
        else:
            more |= {"host": host[0], "port": host[1], "socket_connect_timeout": limit_s}
            more["connection_class"] = TlsConnection if self._place.tls else TcpConnection
        pool = BlockingConnectionPool(
            max_connections=CONNECTIONS,
            timeout=limit_s,
            socket_timeout=limit_s,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
            decode_responses=False,
            **more,
        )
        return Redis.from_pool(pool)


def is_no_master(error: ResponseError) -> bool:
    """The server is not the master any more. Redis 6.2 says so of a script within an error of another kind."""
    return isinstance(error, ClusterDownError | ReadOnlyError) or "-READONLY " in str(error)


def connect(url: str, *, call_s: float = CALL_S) -> Client:
    """Makes no connection yet."""
    return Client(redis_place(url), call_s=call_s)
