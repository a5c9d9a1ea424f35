"""Reading a request's head: what is bounded, refused and kept.

llhttp refuses by itself what smuggling is made of: a length with a transfer coding, two lengths, folded
lines, bare LF and CR, blanks before the colon, control bytes (tests/edge/wire shows it does). Here is
what it lets through: trailer fields among the headers, a missing or second Host, one that names no host, other
codings than chunked, several of them, other versions than 1.0 and 1.1, CONNECT and TRACE, heads of any size.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn, cast
from urllib.parse import unquote

import uvicorn
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from waitroom.core.figures import Figures

# RTSP's and ICE's methods parse too; what llhttp hides is which protocol the request line named.
REFUSED_METHODS: Final = frozenset(
    b"CONNECT TRACE SOURCE DESCRIBE ANNOUNCE SETUP PLAY PAUSE TEARDOWN"
    b" GET_PARAMETER SET_PARAMETER REDIRECT RECORD FLUSH PRI".split()
)
# RFC 3986 §3.2 without a user, and without the comma: to some it parts two hosts.
A_HOST: Final = re.compile(rb"[A-Za-z0-9._~:\[\]%!$&'()*+;=-]*")
LONGEST_HOST: Final = 300
"""A name of 253 characters, and a port."""
MOST_FIELDS: Final = 500
LENGTH_DIGITS: Final = 18  # llhttp takes any number of zeros before a length; not everybody does
NOTED: Final = frozenset((b"host", b"expect", b"transfer-encoding", b"content-length"))
HASH: Final = ord("#")  # in bytes a number is found at once
ASGI: Final = {"version": "3.0", "spec_version": "2.3"}
REASONS: Final = {
    400: b"This request is not valid HTTP.\n",
    405: b"This method is not taken here.\n",
    408: b"The request took too long to arrive.\n",
    431: b"The head of the request is too large.\n",
    501: b"Of transfer codings only chunked is taken here.\n",
    505: b"Only HTTP/1.0 and HTTP/1.1 are spoken here.\n",
}


def refusal(status: int) -> bytes:
    """A whole small answer, the last on its connection."""
    allow = b"allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n" if status == 405 else b""
    text = REASONS[status]
    return (
        b"%bcontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n%bcache-control: no-store\r\n"
        b"connection: close\r\n\r\n%b" % (STATUS_LINE[status], len(text), allow, text)
    )


@dataclass(frozen=True)
class Limits:
    """What one connection may take, and how many there are."""

    head_bytes: int = 65_536
    head_s: float = 10.0
    idle_s: float = 75.0
    """Idle keep-alive (longer than load balancers'); also the step in which a stalled body or answer is noticed."""
    behind_bytes: int = 65_536
    """Bytes held behind a request under way; beyond, the connection closes after the answers it is owed."""
    behind_requests: int = 32
    linger_s: float = 5.0
    connections: int = 100_000
    """Of one worker; beyond, idle ones make room."""


Poll = Callable[[bytes, Sequence[tuple[bytes, bytes]], str, str], tuple[bytes, bytes] | None]
"""Target, header, scheme and peer of a GET → header lines (for `Exchange.answer_ready`) and body of a 200, or None."""


class EdgeState(ServerState):
    """What the connections of a server share. `poll` is asked before the app: what it answers costs no scope."""

    def __init__(self, limits: Limits, counts: list[int] | None = None, poll: Poll | None = None) -> None:
        super().__init__()
        self.limits = limits
        self.counts = Figures().counts if counts is None else counts
        self.poll = poll
        self.draining = False


class Refused(Exception):
    """Raised inside the parser's callbacks; the status is in `HeadReader.refused`."""


class HeadReader(HttpToolsProtocol):
    """The parser's callbacks for the head of a request; `opened` is told of each good one."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.edge = cast(EdgeState, server_state)
        self.limits = self.edge.limits
        self.lost = False
        self.refused: int | None = None
        self.in_head = False
        self.progress = False
        self.host: bytes | None = None
        self.coding: bytes | None = None
        # Upper bound of the bytes of the head being read: those since the last progress, and those of the read
        # that held both the last progress and the head's beginning.
        self.read_bytes = 0
        self.slack_bytes = 0

    def opened(self, method: str, version: str, *, keep_alive: bool, upgrade: bool) -> None:
        raise NotImplementedError

    def on_message_begin(self) -> None:
        self.in_head = True
        self.url = b""
        self.headers = []
        self.host = self.coding = None
        self.expect_100_continue = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.in_head:
            return  # a trailer field
        name = name.lower()
        value = value.rstrip(b" \t")  # llhttp leaves it (RFC 9112 §5.1)
        headers = self.headers
        headers.append((name, value))
        if name in NOTED:
            self.note(name, value)
        if len(headers) > MOST_FIELDS:
            self.deny(431)

    def note(self, name: bytes, value: bytes) -> None:
        """A field that decides where the request ends, or whom it is for."""
        if name == b"host":
            if self.host is not None or not is_host(value):
                self.deny(400)
            self.host = value
        elif name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        elif name == b"content-length":
            if len(value) > LENGTH_DIGITS:
                self.deny(400)
        elif self.coding is None:
            self.coding = value.lower()
        else:
            self.deny(400)

    def deny(self, status: int) -> NoReturn:
        self.refused = status
        raise Refused

    def on_headers_complete(self) -> None:
        if not self.in_head:
            return  # of the head that `read_on_after_upgrade` makes up
        parser = self.parser
        limit = self.limits.head_bytes
        if self.read_bytes + self.slack_bytes > limit and self.head_size() > limit:
            self.deny(431)
        version = parser.get_http_version()
        if version == "1.1":
            if not self.host:
                self.deny(400)
        elif version != "1.0":
            self.deny(505)
        elif self.coding is not None:
            self.deny(400)  # RFC 9112 §6.1
        if self.coding is not None and self.coding != b"chunked":
            self.deny(501)
        method = parser.get_method()
        if method in REFUSED_METHODS:
            self.deny(405)

        url = self.url
        if not (url.isascii() or path_of(url).partition(b"?")[0].isascii()):
            self.deny(400)

        self.progress = True
        self.in_head = False
        self.opened(
            method.decode("ascii"),
            version,
            keep_alive=version == "1.1" and parser.should_keep_alive(),
            upgrade=parser.should_upgrade(),
        )

    def scope_of(self, method: str, version: str, target: bytes, headers: list[tuple[bytes, bytes]]) -> Scope:
        """A request's ASGI scope."""
        raw_path, _, query = path_of(target).partition(b"?")
        path = raw_path.decode("ascii")
        return {
            "type": "http",
            "asgi": ASGI,
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": method,
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": headers,
        }

    def head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def framing(self) -> bytes:
        """The head of a request with nothing but this one's framing; empty if it has no body."""
        length = next((value for name, value in self.headers if name == b"content-length"), b"0")
        if self.coding is not None:
            line = b"transfer-encoding: chunked"
        elif int(length):
            line = b"content-length: " + length
        else:
            return b""
        return b"POST / HTTP/1.1\r\n" + line + b"\r\n\r\n"


def is_host(value: bytes) -> bool:
    """Whether a Host field may say this; also nothing."""
    return len(value) <= LONGEST_HOST and A_HOST.fullmatch(value) is not None


def path_of(target: bytes) -> bytes:
    """The path and query of a target in any form; what it means is judged from the raw target, not here."""
    if HASH in target:
        target = target.partition(b"#")[0]
    if target[:1] == b"/" or b"://" not in target:
        return target
    rest = target.partition(b"://")[2]
    at = min((i for i in (rest.find(b"/"), rest.find(b"?")) if i >= 0), default=len(rest))
    path = rest[at:]
    return path if path[:1] == b"/" else b"/" + path
