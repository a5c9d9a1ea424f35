"""One HTTP request at a time, as a command sends it: nothing is followed, repeated or remembered."""

import http.client
import select
import socket
import ssl
import time
from collections.abc import Sequence
from typing import NamedTuple

from waitroom.core.addresses import Origin
from waitroom.core.settings import Settings
from waitroom.edge.shop.dialer import tls_context
from waitroom.store.reasons import connection_fault

LIMIT_S = 5.0
BODY_BYTES = 1024 * 1024
Field = tuple[str, str]


class Reply(NamedTuple):
    """An answer; header names in lower case. `first_byte_s` is until its head was there; `closes`: no other answer
    will come on this connection.
    """

    status: int
    headers: list[Field]
    body: bytes
    first_byte_s: float
    whole_s: float
    closes: bool

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def field(self, name: str) -> str:
        """All of that name as one list; empty if there is none."""
        return ", ".join(self.all(name))

    @property
    def is_html(self) -> bool:
        return self.field("content-type").lower().startswith(("text/html", "application/xhtml"))


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def to_origin(settings: Settings, *, limit_s: float = LIMIT_S) -> http.client.HTTPConnection:
    """Towards the shop, not yet connected, verified as the gateway does. Raises ConfigError."""
    origin = settings.origin
    match origin.scheme:
        case "https":
            context = tls_context(settings)
            return http.client.HTTPSConnection(origin.host, origin.port, timeout=limit_s, context=context)
        case "unix":
            return UnixConnection(origin.host, limit_s)
        case _:
            return http.client.HTTPConnection(origin.host, origin.port, timeout=limit_s)


def to_public(address: Origin, *, limit_s: float = LIMIT_S) -> http.client.HTTPConnection:
    """Towards the public address, not yet connected, verified as a browser does."""
    if address.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(address.host, address.port, timeout=limit_s, context=context)
    return http.client.HTTPConnection(address.host, address.port, timeout=limit_s)


def ask(connection: http.client.HTTPConnection, method: str, target: str, fields: Sequence[Field]) -> Reply:
    """Send exactly these fields; the body is read up to 1 MiB. Raises OSError and HTTPException."""
    begun = time.monotonic()
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in fields:
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    closes = answer.will_close
    first_byte_s = time.monotonic() - begun
    body = b"" if answer.status == 101 else answer.read(BODY_BYTES)
    if answer.status == 101 or not answer.isclosed():
        connection.close()
    headers = [(name.lower(), value) for name, value in answer.getheaders()]
    return Reply(answer.status, headers, body, first_byte_s, time.monotonic() - begun, closes)


def closes_within(connection: http.client.HTTPConnection, seconds: float) -> float | None:
    """After how long the other side closes an idle connection. None if it does not within `seconds`, or if it was
    closed here, before the end of a large answer.
    """
    if connection.sock is None:
        return None
    begun = time.monotonic()
    readable, _, _ = select.select([connection.sock], [], [], seconds)
    return time.monotonic() - begun if readable else None


def reason(error: Exception, *, limit_s: float = LIMIT_S) -> str:
    """What went wrong, for people."""
    match error:
        case TimeoutError():
            return f"no answer within {limit_s:.0f} s"
        case http.client.RemoteDisconnected():
            return "it closed the connection without an answer"
        case http.client.HTTPException():
            return "what answers there does not speak HTTP"
        case _:
            return connection_fault(error) or str(getattr(error, "strerror", None) or error)
