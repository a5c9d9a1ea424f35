"""The URL of a Redis: one server, the server that Sentinels name, or the node of a Cluster that has the room.

    redis://[user:password@]host[:6379][/db]
    unix:///path
    redis+sentinel://[user:password@]host[:26379],host…/master-name[/db]
    redis+cluster://[user:password@]host[:6379],host…

`rediss` instead of `redis` is TLS to all of them. Faults are ValueErrors as in `waitroom.core.parse`. A URL may hold
passwords, so no message repeats any of it.
"""

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from pydantic import SecretStr

from waitroom.core.addresses import host_and_port, split_address

SCHEMES = {
    f"redis{tls}{kind}": (kind.removeprefix("+") or "server", bool(tls))
    for tls in ("", "s")
    for kind in ("", "+sentinel", "+cluster")
} | {"unix": ("unix", False)}
LOGIN = {"username", "password"}
SENTINEL_LOGIN = {"sentinel_username", "sentinel_password"}
TLS = {f"ssl_{name}" for name in ("cert_reqs", "ca_certs", "certfile", "keyfile", "check_hostname")}
TLS_VALUES = {"ssl_cert_reqs": ("required", "optional", "none"), "ssl_check_hostname": ("true", "false")}
PORTS = {"server": 6379, "sentinel": 26379, "cluster": 6379}
ADVICE = {
    "server": "write it like redis://127.0.0.1:6379/0, rediss://user:password@host:6379 or unix:///run/redis.sock",
    "unix": "write it like unix:///run/redis.sock",
    "sentinel": "write it like redis+sentinel://one:26379,two:26379,three:26379/mymaster/0",
    "cluster": "write it like redis+cluster://one:6379,two:6379,three:6379",
}

Host = tuple[str, int]


class RedisPlace(NamedTuple):
    """What a URL says. `kind`: server, unix (the path is the one host), sentinel or cluster (hosts to ask first)."""

    kind: str
    hosts: tuple[Host, ...]
    tls: bool = False
    db: int = 0
    master: str = ""
    options: dict[str, str] = {}  # noqa: RUF012  # never changed

    def __str__(self) -> str:
        """Where it is, without user, password or options: fit for a terminal and a log."""
        if self.kind == "unix":
            return f"unix:{self.hosts[0][0]}"
        scheme = next(scheme for scheme, meaning in SCHEMES.items() if meaning == (self.kind, self.tls))
        hosts = ",".join(shown(host) for host in self.hosts)
        return f"{scheme}://{hosts}" + (f"/{self.master}" if self.master else "") + (f"/{self.db}" if self.db else "")


def shown(host: Host) -> str:
    return host_and_port(*host)


def parse_redis_url(text: str) -> SecretStr | None:
    """A URL that `redis_place` can read, kept secret. Nothing if empty."""
    text = text.strip()
    if not text:
        return None
    redis_place(text)
    return SecretStr(text)


def redis_place(text: str) -> RedisPlace:
    """Raises ValueError with a sentence that says what is wrong."""
    scheme, colon, rest = text.partition(":")
    kind, tls = SCHEMES.get(scheme, ("server", False))
    if not colon or scheme not in SCHEMES or not text.isascii() or not text.isprintable() or set(text) & set(' "<>\\'):
        raise ValueError(f"is not the address of a Redis; {ADVICE['server']}")
    rest, _, query = rest.removeprefix("//").partition("?")
    options = read_options(query, kind=kind, tls=tls)
    netloc, _, path = rest.partition("/")
    login, _, hosts = netloc.rpartition("@")
    if "@" in path or "#" in rest or "@" in login:
        raise ValueError("has a user or password with / ? # or @ in it; write these as %2F %3F %23 %40")
    username, has_password, password = login.partition(":")
    named = {"username": unquote(username), "password": unquote(password) if has_password else ""}
    options = {name: text for name, text in named.items() if text} | options
    if kind == "unix":
        if hosts or not path.strip("/"):
            raise ValueError(f"names no socket; {ADVICE[kind]}")
        return RedisPlace(kind, (("/" + unquote(path), 0),), db=int(options.pop("db", "0")), options=options)
    found = tuple(read_host(host, kind=kind) for host in hosts.split(","))
    if kind == "server" and len(found) > 1:
        raise ValueError("has more than one host; several belong to redis+sentinel:// or redis+cluster://")
    master, db = read_path(path, kind=kind)
    db = int(options.pop("db", db))
    if kind == "cluster" and db:
        raise ValueError("has a database number, and a Cluster has only database 0")
    return RedisPlace(kind, found, tls, db, master, options)


def read_host(text: str, *, kind: str) -> Host:
    parts = split_address(f"redis://{text}") if text else None
    if parts is None or parts.path or parts.hostname is None:
        raise ValueError(f"has a host that is none; {ADVICE[kind]}")
    return parts.hostname, parts.port or PORTS[kind]


def read_path(path: str, *, kind: str) -> tuple[str, int]:
    """The name of the master, where there is one, and the number of the database."""
    master, _, db = path.partition("/") if kind == "sentinel" else ("", "", path)
    if kind == "sentinel" and not re.fullmatch(r"[\w.-]+", master):
        raise ValueError(f"does not name the master that the Sentinels watch; {ADVICE[kind]}")
    if not re.fullmatch(r"\d{0,5}", db.removesuffix("/") if kind == "sentinel" else db):
        raise ValueError(f"has more after the {'master' if master else 'host'} than a database number; {ADVICE[kind]}")
    return master, int(db.strip("/") or 0)


def read_options(query: str, *, kind: str, tls: bool) -> dict[str, str]:
    """The options that the client is made with. Raises ValueError, in words that end a sentence."""
    options = dict(parse_qsl(query, keep_blank_values=True))
    known = {"db"} | LOGIN | (TLS if tls else set()) | (SENTINEL_LOGIN if kind == "sentinel" else set())
    if not set(options) <= known:
        if set(options) <= known | TLS:
            raise ValueError("has an option for TLS, and no TLS; write rediss instead of redis")
        raise ValueError(f"has an option that is none of {', '.join(sorted(known))}")
    if not re.fullmatch(r"\d{1,5}", options.get("db", "0")):
        raise ValueError("has a db that is no number")
    for name, values in TLS_VALUES.items():
        options |= {name: options[name].lower()} if name in options else {}
        if options.get(name, values[0]) not in values:
            raise ValueError(f"has a {name} that is none of {', '.join(values)}")
    return options


def redis_url_shown(url: str) -> str:
    """Where a Redis is, without user, password or options."""
    return str(redis_place(url))
