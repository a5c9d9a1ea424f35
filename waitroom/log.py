"""Logging: one line an event, as JSON or for the console, on standard error; no secret in any line.

An event is a fixed name with fields: `log.info("pass_issued", place=41)`. All names stand in EVENTS.
Lines of the libraries (uvicorn, asyncio, redis) come out in the same form as the event `library`.
"""

import logging
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, Final, TextIO, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import structlog

from waitroom.core.settings import Settings

EVENTS: Final[Mapping[str, str]] = {
    "library": "a line of a library: uvicorn, asyncio, redis",
    # the processes
    "worker_ready": "a worker takes requests",
    "worker_ended": "a worker ended unasked; it is started again",
    "worker_killed": "a worker did not stop in time",
    "worker_failed": "a worker ends with an error",
    "workers_do_not_start": "none was ever ready: the gateway gives up",
    "admin_ready": "the admin process takes requests",
    "admin_failed": "the admin process ends with an error",
    "admin_ended": "the admin process ended unasked; it is started again",
    "admin_refused": "a request to the admin API without the right token; said at most once a second",
    "admin_did": "an operator changed the room by the admin API",
    "stopping": "a stop was asked for",
    "stopping_failed": "an error at the beginning of a stop",
    "close_cut_short": "a worker ended before its last sync was through",
    "file_limit_kept": "the limit of open files could not be raised",
    # Redis and the line
    "embedded_redis_ended": "the embedded Redis ended unasked",
    "embedded_redis_restarted": "and was started again",
    "embedded_redis_not_restarted": "and could not be started again yet",
    "store_away": "Redis does not answer",
    "store_back": "Redis answers again",
    "store_found": "which server has the room, where Sentinels or a Cluster say so",
    "store_adopted": "a Redis that restarted was taken over",
    "room_created": "a new room",
    "limits_changed": "the environment's limits were put in force",
    "phase_changed": "a sale came to another phase",
    "draw_announced": "a lobby opened: the commitment to its draw, as each worker learns of it",
    "draw_revealed": "it is fixed who takes part in the draw: the seed",
    "draw_key_missing": "a draw waits for a gateway that holds the signing key it was announced with",
    "sale_changed": "the environment's schedule was put in force",
    "sale_kept": "the environment's schedule was not put in force: why",
    "sync_failed": "an error in a worker's sync; the next one follows",
    # requests
    "request_refused": "a request that cannot be read or is not allowed",
    "request_failed": "an error of ours in a request",
    "answer_incomplete": "an answer of ours that was not ended",
    "forwarded_proto_ignored": "a proxy speaks of https and is not trusted; said once",
    "would_have_waited": "in shadow: requests let through without there being room, since the line before",
    "path_refused": "a path whose requests get no answer of the shop, at its first time",
    "origin_failed": "the shop gave no answer that could be passed on",
    "files_short": "a worker may have fewer open files than connections: how many it takes of clients, and to the shop",
    "connections_ended": "as many connections as there may be: idle ones were closed",
    "slow_clients_ended": "all connections to the shop were taken: the slowest downloads and uploads were ended",
    "order_decided": "what came of an order",
    "order_not_recorded": "Redis did not take note in time of an order, or of what came of it; it is told later",
    "order_not_protected": "an order too large to be told from others: it may be sent twice",
    "order_given_up": "nobody can tell any more what came of an order: its worker has died, or took too long",
    "order_told": "the shop said by the admin API what came of an order",
    "orders_failed": "an error in the notes of orders; the next round follows",
    "answer_cut": "the shop's answer broke off; so did ours",
}

# Fields that have no business in a log, whoever writes them there; also as part of a name.
FORBIDDEN = re.compile(r"cookie|token|secret|password|authori[sz]ation|query|^url$|ticket$|^pass$", re.IGNORECASE)
# Our cookies and headers, in whatever text they turn up.
TOKEN = re.compile(
    r"(waitroom_[a-z0-9-]+_(?:ticket|pass)=|waitroom-(?:ticket|pass)\W{1,6}(?:b['\"])?)[^\s;,'\"]+", re.IGNORECASE
)
QUERY = re.compile(r"(?<=[\w/%.~-])\?[^\s'\"]+")
URL_PASSWORD = re.compile(r"(?<=://)[^\s/@]*@")
HIDDEN = "***"
SHORTEST = 4  # a password of three letters hides nothing, and would blot out every line

Event = MutableMapping[str, Any]


class Unfailing:
    """A stream whose reader may go away: a line that cannot be written is lost, and ends nothing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()


def set_up(settings: Settings, *, stream: TextIO | None = None) -> None:
    """Configure structlog and the standard library's logging for this process."""
    out = cast(TextIO, Unfailing(stream if stream is not None else sys.stderr))
    plain = settings.log == "json" or (settings.log == "auto" and not out.isatty())
    every: list[Callable[[Any, str, Event], Any]] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        Redactor(secrets_of(settings)),
        in_order,
    ]
    renderer: Any = structlog.processors.JSONRenderer() if plain else structlog.dev.ConsoleRenderer(colors=out.isatty())
    structlog.configure(
        processors=[*every, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[name_library_line, *every],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(True)


def name_library_line(logger: Any, method: str, event: Event) -> Event:
    """A library's text becomes a field, so that event names stay a fixed set."""
    return {**event, "event": "library", "library": event["_record"].name, "said": event["event"]}


def in_order(logger: Any, method: str, event: Event) -> Event:
    """What every line has stands first."""
    first = {name: event.pop(name) for name in ("time", "level", "event")}
    return {**first, **event}


class Redactor:
    """Takes out of an event what must not be kept: named fields, known secrets, our tokens, query strings."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._secrets = secrets

    def __call__(self, logger: Any, method: str, event: Event) -> Event:
        return {
            name: HIDDEN if FORBIDDEN.search(name) else self.clean(value) if name[0] != "_" else value
            for name, value in event.items()
        }

    def clean(self, value: Any) -> Any:
        """The same value, or one with the secret parts hidden."""
        match value:
            case None | bool() | int() | float():
                return value
            case Mapping():
                return {str(key): HIDDEN if FORBIDDEN.search(str(key)) else self.clean(v) for key, v in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self.clean(part) for part in value]
            case bytes():
                return self.clean_text(value.decode("utf-8", "backslashreplace"))
            case _:
                return self.clean_text(str(value))

    def clean_text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        if "waitroom" in text or "Waitroom" in text or "WAITROOM" in text:
            text = TOKEN.sub(rf"\1{HIDDEN}", text)
        if "?" in text:
            text = QUERY.sub("?" + HIDDEN, text)
        return URL_PASSWORD.sub(HIDDEN + "@", text) if "@" in text else text


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Every secret among the settings, as text, longest first; a password also as it stands in its URL."""
    found = settings.signing_keys
    for room in settings.every_room:
        found += [key.get_secret_value() for key in room.shop_secret]
        found += [secret.get_secret_value() for _, secret in room.bypass.headers]
    found += [settings.admin_token.get_secret_value()] if settings.admin_token is not None else []
    if settings.redis_url is not None:
        parts = urlsplit(settings.redis_url.get_secret_value())
        found += [parts.password or "", unquote(parts.password or "")]
        found += [value for name, value in parse_qsl(parts.query) if name.endswith("password")]
    return tuple(sorted({text for text in found if len(text) >= SHORTEST}, key=len, reverse=True))
