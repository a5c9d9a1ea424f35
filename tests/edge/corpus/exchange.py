"""What an exchange of the corpus is, and how its bytes are written down.

What a client sends, what the shop answers, and the rows of the table of changes that apply. Nothing but those rows
may change a byte (`tests/edge/changes.py`). To add one, append it to the group it belongs to.
"""

from dataclasses import dataclass

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass(frozen=True)
class Exchange:
    """`rows` are names of rows, parted by blanks."""

    name: str
    request: bytes
    answer: bytes | tuple[bytes, ...] = OK
    rows: str = ""
    status: int = 0
    """What the gateway answers by itself (row `refused`)."""
    asks_shop: bool = True
    """Whether the shop sees the request."""
    closes: bool = False
    """The shop closes the connection after its answer."""
    gate: int = 0
    """What the gate answers, where a gateway judges targets before the proxy is asked."""
    proxy: bool = False
    """It comes from a trusted proxy."""
    other_host: bool = False
    """The operator has another Host for the shop."""
    admitted: bool = False
    """The gate adds its fields for the shop and a cookie for the client."""


def ask(line: bytes, *fields: bytes, body: bytes = b"", host: bytes = b"host: shop.example") -> bytes:
    return b"\r\n".join((line, *((host,) if host else ()), *fields, b"", body))


def get(target: bytes, *fields: bytes) -> bytes:
    return ask(b"GET %b HTTP/1.1" % target, *fields)


def post(*fields: bytes, body: bytes = b"", target: bytes = b"/order") -> bytes:
    return ask(b"POST %b HTTP/1.1" % target, *fields, body=body)


def say(line: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join((b"HTTP/1.1 " + line, *fields, b"", body))


def sized(body: bytes) -> bytes:
    return b"content-length: %d" % len(body)


CHUNKED = b"transfer-encoding: chunked"
NONE = b"content-length: 0"
GZIP = bytes.fromhex("1f8b08000000000002ff4bcc2b010026b55d9403000000")
