"""Redis servers that belong together: a cluster of three and a spare; a master, its replica and a Sentinel."""

import contextlib
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot

from tests.patience import block_until
from tests.support import free_port, need
from waitroom.store.keys import Keys
from waitroom.store.server_program import system_path

NODE_TIMEOUT_MS = 1_000
SLOTS = 16_384


@cache
def redis_7() -> str | None:
    """A redis-server on PATH that can be told its cluster port."""
    path = shutil.which("redis-server", path=system_path())
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout if path else ""
    return path if path and int(version.partition("v=")[2].partition(".")[0] or 0) >= 7 else None


def until(holds: Callable[[], object], *, within_s: float = 10.0) -> None:
    """However Redis answers in between."""
    block_until(holds, within_s=within_s, despite=(redis.RedisError,))


class Server:
    """One redis-server (or Sentinel) on a port of its own."""

    def __init__(self, folder: Path, *options: str, sentinel: bool = False) -> None:
        need(redis_7(), "redis-server 7 or newer on PATH")
        self.folder, self.port = folder, free_port()
        folder.mkdir()
        self.options = ["--port", str(self.port), "--dir", str(folder), "--save", "", "--bind", "127.0.0.1", *options]
        if sentinel:
            (folder / "sentinel.conf").write_text("")
            self.options = [str(folder / "sentinel.conf"), "--sentinel", *self.options]
        self.process: subprocess.Popen[bytes] | None = None
        self.client: Any = redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=5)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        binary = redis_7()
        assert binary is not None
        self.process = subprocess.Popen([binary, *self.options], stdout=subprocess.DEVNULL)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, as a machine that loses its power."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self) -> None:
        self.client.close()
        self.kill()


@contextlib.contextmanager
def servers() -> Iterator[Callable[..., Server]]:
    """Starts servers, and ends them all."""
    folder = Path(tempfile.mkdtemp(prefix="wr-"))
    started: list[Server] = []

    def start(*options: str, sentinel: bool = False) -> Server:
        server = Server(folder / str(len(started)), *options, sentinel=sentinel)
        started.append(server)
        server.start()
        return server

    try:
        yield start
    finally:
        for server in started:
            server.close()
        shutil.rmtree(folder, ignore_errors=True)


class Cluster:
    """Three masters, and a spare that may become a replica."""

    def __init__(self, masters: Sequence[Server], spare: Server) -> None:
        self.masters, self.spare = list(masters), spare

    @property
    def url(self) -> str:
        """Names two of the nodes."""
        return f"redis+cluster://{self.masters[0].address},{self.masters[1].address}"

    def join(self) -> None:
        nodes = [*self.masters, self.spare]
        for at, node in enumerate(nodes):
            until(node.client.ping)
            node.client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", at + 1)
            if at < 3:
                first, last = SLOTS * at // 3, SLOTS * (at + 1) // 3 - 1
                node.client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        for node in nodes:
            for other in nodes:
                bus = other.options[other.options.index("--cluster-port") + 1]
                node.client.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port, bus)
        until(lambda: all(self.knows_all(node) for node in nodes))

    @staticmethod
    def knows_all(node: Server) -> bool:
        info = node.client.execute_command("CLUSTER INFO")
        return (info["cluster_state"], info["cluster_known_nodes"], info["cluster_size"]) == ("ok", "4", "3")

    def owner(self, room: str) -> Server:
        """The master that has the room."""
        slot = slot_of(room)
        slots = self.spare.client.execute_command("CLUSTER", "SLOTS")
        (port,) = [master[1] for first, last, master, *_ in slots if first <= slot <= last]
        return next(node for node in (*self.masters, self.spare) if node.port == port)

    def follow(self, master: Server) -> None:
        """The spare becomes the replica of this master, and has caught up."""
        node_id = master.client.execute_command("CLUSTER", "MYID")
        until(lambda: self.spare.client.execute_command("CLUSTER", "REPLICATE", node_id))
        until(lambda: self.spare.client.info("replication")["master_link_status"] == "up")

    def begin_move(self, room: str, source: Server, target: Server) -> None:
        """From here on the slot of the room is on its way: keys that are not there yet are refused."""
        slot = slot_of(room)
        ids = [node.client.execute_command("CLUSTER", "MYID") for node in (source, target)]
        target.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])

    def end_move(self, room: str, source: Server, target: Server) -> int:
        """Every key goes over; then all nodes are told. How many keys."""
        slot, moved = slot_of(room), 0
        while keys := source.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 10):
            source.client.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
            moved += len(keys)
        target_id = target.client.execute_command("CLUSTER", "MYID")
        for node in (target, source, *self.masters):
            node.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", target_id)
        return moved


def slot_of(room: str) -> int:
    return int(key_slot(Keys(room).state.encode()))


@contextlib.contextmanager
def running_cluster() -> Iterator[Cluster]:
    with servers() as start:
        nodes = [
            start(
                *("--cluster-enabled", "yes", "--cluster-port", str(free_port())),
                *("--cluster-node-timeout", str(NODE_TIMEOUT_MS), "--repl-diskless-sync-delay", "0"),
            )
            for _ in range(4)
        ]
        cluster = Cluster(nodes[:3], nodes[3])
        cluster.join()
        yield cluster


class Watched:
    """A master, its replica, and the Sentinel that watches them and decides alone."""

    NAME = "shop-redis"

    def __init__(self, master: Server, replica: Server, sentinel: Server) -> None:
        self.master, self.replica, self.sentinel = master, replica, sentinel

    @property
    def url(self) -> str:
        """With a Sentinel that does not answer before the one that does."""
        return f"redis+sentinel://127.0.0.1:1,{self.sentinel.address}/{self.NAME}"

    def named(self) -> int:
        """The port of the master that the Sentinel names."""
        found = self.sentinel.client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.NAME)
        return int(found[1])


@contextlib.contextmanager
def running_sentinel(*, down_after_ms: int = 1_000) -> Iterator[Watched]:
    with servers() as start:
        master = start("--repl-diskless-sync-delay", "0")
        replica = start("--replicaof", "127.0.0.1", str(master.port))
        sentinel = start(sentinel=True)
        until(lambda: replica.client.info("replication")["master_link_status"] == "up")
        until(sentinel.client.ping)
        name = Watched.NAME
        sentinel.client.execute_command("SENTINEL", "MONITOR", name, "127.0.0.1", master.port, 1)
        for option, value in (("down-after-milliseconds", down_after_ms), ("failover-timeout", 10_000)):
            sentinel.client.execute_command("SENTINEL", "SET", name, option, value)
        until(lambda: sentinel.client.sentinel_slaves(name))
        yield Watched(master, replica, sentinel)
