"""`waitroom check`: would a gateway with these settings work? Each item is tried, none is assumed."""

import asyncio
import http.client
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from waitroom.cli.placement import Finding, look_closely
from waitroom.cli.placement.wire import reason, to_origin
from waitroom.config import load
from waitroom.core.errors import ConfigError, EmbeddedUnavailable, StoreUnavailable
from waitroom.core.redis_url import redis_url_shown
from waitroom.core.sale.changes import at, end_text
from waitroom.core.settings import Settings
from waitroom.core.times import iso_utc
from waitroom.edge.pages.look import look_faults
from waitroom.log import Redactor, secrets_of
from waitroom.store.data_folder import with_secret
from waitroom.store.embedded import redis_of
from waitroom.store.probe import Found, probe
from waitroom.store.reasons import redis_fault
from waitroom.store.server_program import OLDEST, choose_server


class Item(NamedTuple):
    """One line of the list."""

    name: str
    ok: bool
    detail: str


class Checked(NamedTuple):
    items: list[Item]
    findings: list[Finding]

    @property
    def is_ok(self) -> bool:
        """Warnings leave it so."""
        return all(item.ok for item in self.items) and all(each.severity != "fault" for each in self.findings)


def check(
    environ: Mapping[str, str], *, deep: bool = False, tell: Callable[[str], None] = lambda step: None
) -> Checked:
    """Every item in order; without valid settings only those. Then, if wanted, what a closer look finds."""
    try:
        settings = load(environ)
    except ConfigError as error:
        return Checked([Item("settings", False, fault) for fault in error.faults], [])
    given = sum(name.startswith("WAITROOM_") for name in environ)
    clean = Redactor(secrets_of(settings)).clean_text
    items = [
        Item("settings", True, f"{given} from the environment, the rest are the defaults{and_rooms(settings)}"),
        *check_pages(settings),
        *check_sale(settings),
        *check_redis(settings),
        *check_origins(settings),
    ]
    items = [Item(name, ok, clean(detail)) for name, ok, detail in items]
    return Checked(items, look_deep(settings, items, tell) if deep else [])


def look_deep(settings: Settings, items: list[Item], tell: Callable[[str], None]) -> list[Finding]:
    """With the secret and the Redis of a gateway that keeps its own, if one runs."""
    url = redis_of(settings)
    if url is not None and settings.redis_url is None:
        settings = with_secret(settings)
    has_redis = any(item.name == "eviction" for item in items)
    reaches_shops = all(item.ok for item in items if item.name == "origin")
    found = look_closely(settings, url if has_redis else None, reaches_shop=reaches_shops, tell=tell)
    for room in settings.rooms:
        if room.origin != settings.origin:  # only the shop is another
            found += look_closely(
                room.model_copy(update={"public_url": None}), None, reaches_shop=reaches_shops, tell=tell
            )
    return sorted(dict.fromkeys(found), key=lambda finding: finding.severity)


def check_pages(settings: Settings) -> Iterator[Item]:
    """The operator's look of the pages, in every room that has one."""
    for room in settings.every_room:
        of = f"room {room.room}: " if settings.rooms else ""
        yield from (Item("pages", False, of + fault) for fault in look_faults(room))


def check_sale(settings: Settings) -> Iterator[Item]:
    """Every room's times, said as they were understood; times that are over cannot be meant."""
    now_ms = time.time() * 1000
    for room in (settings, *settings.rooms):
        schedule = room.schedule
        if schedule is None:
            continue
        of = f"room {room.room}: " if settings.rooms else ""
        if 0 < schedule.closes_ms <= now_ms:
            yield Item("sale", False, f"{of}closed at {iso_utc(schedule.closes_ms)}: nobody would be let in")
            continue
        lobby = f", lobby {at(schedule.lobby_ms, now_ms)}" if schedule.lobby_ms < schedule.opens_ms else ", no lobby"
        yield Item("sale", True, f"{of}opens {at(schedule.opens_ms, now_ms)}{lobby}, {end_text(schedule, now_ms)}")


def check_redis(settings: Settings) -> Iterator[Item]:
    url = redis_of(settings)
    if url is None:
        yield check_embedded(settings)
        return
    try:
        found = asyncio.run(probe(url, settings.room))
    except StoreUnavailable as error:
        yield Item("redis", False, f"{redis_url_shown(url)}: {redis_fault(error)}")
        return
    yield judge_version(url, found)
    yield judge_policy(found)


def judge_version(url: str, found: Found) -> Item:
    version = ".".join(map(str, found.version))
    where = redis_url_shown(url) + (f" (now {found.address})" if found.address else "")
    detail = f"{found.name} {version} at {where}, answers in {found.latency_ms:.1f} ms"
    if found.name == "Redis" and found.version < OLDEST:
        return Item("redis", False, f"{detail}; {'.'.join(map(str, OLDEST))} is the oldest that works")
    return Item("redis", True, detail)


def judge_policy(found: Found) -> Item:
    if found.policy != "noeviction":
        fault = f"maxmemory-policy is {found.policy or 'unknown'}: it could evict the line; set it to noeviction"
        return Item("eviction", False, fault)
    log = "an append-only file is kept" if found.keeps_log else "no append-only file (appendonly no)"
    return Item("eviction", True, f"nothing is evicted; {log}")


def check_embedded(settings: Settings) -> Item:
    """No server runs: is there one to start, and a folder to start it on?"""
    folder = settings.data_dir.absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return Item("redis", False, f"the data folder {folder} cannot be written; set WAITROOM_DATA_DIR to another")
    try:
        server = choose_server(folder, None)
    except EmbeddedUnavailable as error:
        return Item("redis", False, str(error))
    return Item("redis", True, f"embedded: {server} would be started on {folder}")


def and_rooms(settings: Settings) -> str:
    """The further rooms, with what they guard."""
    told = "; ".join(f"room {room.room} guards {', '.join(room.guard)} at {room.rate}" for room in settings.rooms)
    return f"; {told}" if told else ""


def check_origins(settings: Settings) -> Iterator[Item]:
    """Each shop once."""
    asked: dict[tuple[object, ...], Settings] = {}
    for room in settings.every_room:
        asked.setdefault((room.origin, room.origin_host, room.origin_ca, room.origin_cert), room)
    yield from map(check_origin, asked.values())


def check_origin(settings: Settings) -> Item:
    """One HEAD request; any HTTP answer will do."""
    origin = settings.origin
    try:
        connection = to_origin(settings)
    except ConfigError as error:
        return Item("origin", False, str(error))
    try:
        connection.request("HEAD", "/", headers={"host": settings.origin_host} if settings.origin_host else {})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return Item("origin", False, f"{origin}: {reason(error)}")
    finally:
        connection.close()
    return Item("origin", True, f"{origin} answers HEAD / with {status}")
