"""What a Redis says of itself, and how quickly; what a running room says of its gateways."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from waitroom.cli.placement.findings import Finding, fault, warning
from waitroom.core.model import write_limits
from waitroom.core.settings import Settings
from waitroom.store.client import connect, store_errors
from waitroom.store.environment import limits_of
from waitroom.store.keys import Keys
from waitroom.store.overview import Overview, overview
from waitroom.store.room import Room

PINGS = 20
SLOW_MS, WORST_MS, SLOW_SCRIPT_MS = 5.0, 100.0, 100.0
CLOCK_S = 2.0
FULL = 0.8
CLIENTS_A_WORKER = 16


class Seen(NamedTuple):
    """`ahead_s`: how far Redis's clock is ahead of this machine's. `cluster` is its state, '' where it is none;
    `sentinels` what those of the settings complain of.
    """

    info: dict[str, Any]
    pings_ms: list[float]
    script_ms: float
    ahead_s: float
    cluster: str
    room: Overview | None
    sentinels: Sequence[str] = ()


async def look_at(url: str, room_name: str) -> Seen:
    """Plain reads and one script that does nothing. Raises StoreUnavailable."""
    client = connect(url)
    try:
        with store_errors("look"):
            info = await client.info("everything")
            pings = [await timed(client.ping()) for _ in range(PINGS)]
            script = await timed(client.eval("return redis.call('TIME')", 1, Keys(room_name).state))
            before = time.time()
            seconds, micros = await client.time()
            ahead_s = seconds + micros / 1e6 - (before + time.time()) / 2
            cluster = await cluster_state(client) if info.get("cluster_enabled") else ""
            room = await overview(Room(client, room_name))
            sentinels = await client.ask_quorum()
    finally:
        await client.aclose()
    return Seen(info, pings, script, ahead_s, cluster, room, sentinels)


async def timed(call: Any) -> float:
    begun = time.perf_counter()
    await call
    return (time.perf_counter() - begun) * 1000


async def cluster_state(client: Any) -> str:
    try:
        told = await client.execute_command("CLUSTER INFO")
    except RedisError:  # not among the rights that the gateway needs
        return ""
    text = told.decode() if isinstance(told, bytes) else str(told)
    return next((line.partition(":")[2] for line in text.split() if line.startswith("cluster_state:")), "")


def redis_findings(url: str, settings: Settings) -> tuple[list[Finding], Overview | None]:
    """And the room there, if there is one. Raises StoreUnavailable."""
    seen = asyncio.run(look_at(url, settings.room))
    found = [*speed_findings(seen), *keeping_findings(seen.info, settings), *role_findings(seen)]
    if seen.room is not None:
        found += room_findings(seen.room, settings)
    return found, seen.room


def speed_findings(seen: Seen) -> Iterator[Finding]:
    middle, worst = median(seen.pings_ms), max(seen.pings_ms)
    if middle > SLOW_MS or worst > WORST_MS or seen.script_ms > SLOW_SCRIPT_MS:
        yield warning(
            "redis",
            f"Redis answers in {middle:.1f} ms, at worst in {worst:.1f} ms of {PINGS} times, a script in "
            f"{seen.script_ms:.1f} ms: newcomers wait for that; take one nearer or less busy for WAITROOM_REDIS_URL.",
        )
    if abs(seen.ahead_s) > CLOCK_S:
        word = "ahead of" if seen.ahead_s > 0 else "behind"
        yield warning(
            "machine",
            f"Redis's clock is {abs(seen.ahead_s):.0f} s {word} this machine's: times in the log and of signed "
            "requests will be off; let both keep time (NTP).",
        )


def keeping_findings(info: dict[str, Any], settings: Settings) -> Iterator[Finding]:
    if not info.get("aof_enabled"):
        yield warning(
            "redis",
            "No append-only file: after a restart only what the gateways remember is known; set appendonly yes.",
        )
    for field, what in (("aof_last_write_status", "append-only file"), ("rdb_last_bgsave_status", "snapshot")):
        if info.get(field, "ok") != "ok":
            yield fault(
                "redis", f"Redis could not write its {what}, and may refuse to be written to: look at its disk and log."
            )
    most, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    if most and used > FULL * most:
        yield fault(
            "redis",
            f"Redis uses {used / most:.0%} of its maxmemory ({most / 2**20:.0f} MB), and when it is full nobody new "
            "gets in: raise maxmemory, or give the line a Redis of its own.",
        )
    free = int(info.get("maxclients", 10_000)) - int(info.get("connected_clients", 0))
    if free < CLIENTS_A_WORKER * settings.workers:
        yield warning(
            "redis",
            f"Redis takes {free} connections more, and WAITROOM_WORKERS={settings.workers} may open "
            f"{CLIENTS_A_WORKER * settings.workers}: raise maxclients.",
        )


def role_findings(seen: Seen) -> Iterator[Finding]:
    info = seen.info
    if info.get("role") == "slave":
        yield fault(
            "redis", "WAITROOM_REDIS_URL leads to a replica, which takes no writes: name the master, or the Sentinels."
        )
    elif info.get("connected_slaves") and "min_slaves_good_slaves" not in info:
        yield warning(
            "redis",
            "Redis has replicas, and takes writes also when cut off from all of them, which are lost then: set "
            "min-replicas-to-write 1.",
        )
    for complaint in seen.sentinels:
        yield warning(
            "redis", f"A Sentinel is no help when the master fails ({complaint}): mend it, or WAITROOM_REDIS_URL."
        )
    if seen.cluster not in ("", "ok"):
        yield fault("redis", f"The cluster is in state {seen.cluster}: look at CLUSTER NODES; slots have no node.")


def room_findings(room: Overview, settings: Settings) -> Iterator[Finding]:
    for what, times in room.findings:
        if what.startswith("X-Forwarded-Proto"):  # kept for a day, so it may be mended by now
            tell = fault if settings.public_url is None and not settings.trusted_proxies else warning
            yield tell("outside", f"A gateway said within the last day: {what} ({times} ×).")
    if room.workers and write_limits(room.limits) != write_limits(limits_of(settings)):
        yield warning(
            "settings",
            "The limits in force are not those of these settings: somebody changed them live; `waitroom status` shows "
            "them, `waitroom set --from-environment` goes back.",
        )
    if 0 < room.in_shadow < room.workers:
        yield fault(
            "settings",
            f"{room.in_shadow} of {room.workers} workers are in shadow and let everybody through, the others do not: "
            "give all gateways the same WAITROOM_SHADOW.",
        )
