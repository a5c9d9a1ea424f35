"""`waitroom check`: would a gateway with these settings work? Each item is tried, none is assumed."""

import asyncio
import http.client
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from waitroom.config import load
from waitroom.core.errors import ConfigError, EmbeddedUnavailable, StoreUnavailable
from waitroom.core.redis_url import redis_url_shown
from waitroom.core.settings import Settings
from waitroom.edge.dialer import tls_context
from waitroom.log import Redactor, secrets_of
from waitroom.store.embedded import find_running
from waitroom.store.probe import Found, probe
from waitroom.store.server_program import OLDEST, choose_server

CONNECT_S = 5.0


class Item(NamedTuple):
    """One line of the list."""

    name: str
    ok: bool
    detail: str


def check(environ: Mapping[str, str]) -> list[Item]:
    """Every item in order; without valid settings only those."""
    try:
        settings = load(environ)
    except ConfigError as error:
        return [Item("settings", False, fault) for fault in error.faults]
    given = sum(name.startswith("WAITROOM_") for name in environ)
    clean = Redactor(secrets_of(settings)).clean_text
    items = [
        Item("settings", True, f"{given} from the environment, the rest are the defaults"),
        *check_redis(settings),
        check_origin(settings),
    ]
    return [Item(name, ok, clean(detail)) for name, ok, detail in items]


def check_redis(settings: Settings) -> Iterator[Item]:
    url = settings.redis_url.get_secret_value() if settings.redis_url else find_running(settings.data_dir)
    if url is None:
        yield check_embedded(settings)
        return
    try:
        found = asyncio.run(probe(url, settings.room))
    except StoreUnavailable as error:
        yield Item("redis", False, f"{redis_url_shown(url)}: {error}")
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


def check_origin(settings: Settings) -> Item:
    """One HEAD request; any HTTP answer will do."""
    origin = settings.origin
    connection: http.client.HTTPConnection
    match origin.scheme:
        case "https":
            try:
                context = tls_context(settings)
            except ConfigError as error:
                return Item("origin", False, str(error))
            connection = http.client.HTTPSConnection(origin.host, origin.port, timeout=CONNECT_S, context=context)
        case "unix":
            connection = UnixConnection(origin.host)
        case _:
            connection = http.client.HTTPConnection(origin.host, origin.port, timeout=CONNECT_S)
    try:
        connection.request("HEAD", "/", headers={"host": settings.origin_host} if settings.origin_host else {})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return Item("origin", False, f"{origin}: {reason(error)}")
    finally:
        connection.close()
    return Item("origin", True, f"{origin} answers HEAD / with {status}")


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=CONNECT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(CONNECT_S)
        self.sock.connect(self._path)


def reason(error: Exception) -> str:
    """What went wrong, for people."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return f"no TLS there: {error.reason or error}"
        case socket.gaierror():
            return "its name is not known"
        case TimeoutError():
            return f"no answer within {CONNECT_S:.0f} s"
        case ConnectionRefusedError():
            return "nobody listens there"
        case http.client.RemoteDisconnected():
            return "it closed the connection without an answer"
        case http.client.HTTPException():
            return "what answers there does not speak HTTP"
        case _:
            return str(getattr(error, "strerror", None) or error)
