"""A reader of HTTP/1.1 as RFC 9112 has it and not one byte more, to judge what others write.

It forgives nothing: what two parsers might read in two ways is `Broken`.
"""

import re
from typing import NamedTuple

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e]+) HTTP/1\.([01])")
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9]) ([\t \x21-\x7e\x80-\xff]*)")
FIELD = re.compile(
    rb"(" + TOKEN + rb"):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t \x21-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*"
)
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})((?:;[\t \x21-\x7e\x80-\xff]*)?)")
FRAMING = (b"content-length", b"transfer-encoding")

Field = tuple[bytes, bytes]


class Broken(Exception):
    """Not HTTP/1.1, or not in only one way."""


class Message(NamedTuple):
    """One request or answer. `head` is its bytes up to and with the empty line, `content` its body unframed."""

    start: bytes
    fields: tuple[Field, ...]
    head: bytes
    framing: str
    content: bytes
    trailers: tuple[Field, ...]
    size: int
    """How many bytes it is on the wire."""

    def values(self, name: bytes) -> list[bytes]:
        return [value for found, value in self.fields if found.lower() == name]

    @property
    def method(self) -> bytes:
        return self.start.partition(b" ")[0]

    @property
    def status(self) -> int:
        return int(self.start.split(b" ")[1])


def read_head(data: bytes) -> tuple[bytes, tuple[Field, ...], bytes] | None:
    """The start line, the fields, and all their bytes; None if the end is not here yet."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = data[:end].split(b"\r\n")
    return lines[0], tuple(read_field(line) for line in lines[1:]), data[: end + 4]


def read_field(line: bytes) -> Field:
    found = FIELD.fullmatch(line)
    if found is None:
        raise Broken(f"no field: {line[:80]!r}")
    return found[1], found[2]


def length_of(fields: tuple[Field, ...]) -> tuple[str, int]:
    """How the body is framed by its fields: `length`, `chunked`, or `none` where they say nothing."""
    said = [(name.lower(), value) for name, value in fields if name.lower() in FRAMING]
    if not said:
        return "none", 0
    if len(said) > 1:
        raise Broken("the length is told twice")
    name, value = said[0]
    if name == b"content-length" and re.fullmatch(rb"[0-9]{1,18}", value):
        return "length", int(value)
    if name == b"transfer-encoding" and value.lower() == b"chunked":
        return "chunked", 0
    raise Broken(f"no framing: {name!r}: {value!r}")


def read_chunks(data: bytes, at: int) -> tuple[bytes, tuple[Field, ...], int] | None:
    """The content, the trailer fields, and where they end."""
    content: list[bytes] = []
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            if re.search(rb"\n|\r[^\n]", data[at:]):
                raise Broken("a line break in a chunk's size")
            return None
        found = CHUNK_SIZE.fullmatch(data, at, end)
        if found is None:
            raise Broken(f"no chunk size: {data[at:end][:40]!r}")
        at, size = end + 2, int(found[1], 16)
        if size == 0:
            break
        if len(data) < at + size + 2:
            return None
        if data[at + size : at + size + 2] != b"\r\n":
            raise Broken("a chunk that is longer than it says")
        content.append(data[at : at + size])
        at += size + 2
    trailers: list[Field] = []
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return None
        if end == at:
            return b"".join(content), tuple(trailers), end + 2
        trailers.append(read_field(data[at:end]))
        at = end + 2


def finish(
    head: tuple[bytes, tuple[Field, ...], bytes], data: bytes, framing: str, length: int, *, ended: bool
) -> Message | None:
    start, fields, raw = head
    at = len(raw)
    if framing == "none":
        return Message(start, fields, raw, framing, b"", (), at)
    if framing == "chunked":
        found = read_chunks(data, at)
        return Message(start, fields, raw, framing, *found) if found else None
    if framing == "close":
        return Message(start, fields, raw, framing, data[at:], (), len(data)) if ended else None
    if len(data) < at + length:
        return None
    return Message(start, fields, raw, framing, data[at : at + length], (), at + length)


def read_request(data: bytes) -> Message | None:
    """The first request in `data`; None if it is not whole yet."""
    head = read_head(data)
    if head is None:
        return None
    line = REQUEST_LINE.fullmatch(head[0])
    if line is None:
        raise Broken(f"no request line: {head[0][:80]!r}")
    hosts = sum(name.lower() == b"host" for name, _ in head[1])
    if hosts > 1 or (line[3] == b"1" and not hosts):
        raise Broken(f"{hosts} hosts")
    return finish(head, data, *length_of(head[1]), ended=False)


def read_answer(data: bytes, method: bytes, *, ended: bool) -> Message | None:
    """The first answer in `data` to a request by `method`, also an interim one; `ended`: no more will come."""
    head = read_head(data)
    if head is None:
        return None
    line = STATUS_LINE.fullmatch(head[0])
    if line is None:
        raise Broken(f"no status line: {head[0][:80]!r}")
    status = int(line[2])
    framing, length = length_of(head[1])
    if status < 200 or status in (204, 304) or method == b"HEAD":
        framing = "none"
    elif framing == "none":
        framing = "close"
    return finish(head, data, framing, length, ended=ended)


def read_all(data: bytes) -> list[Message]:
    """Every request in `data`, which holds nothing else."""
    found = []
    while data:
        message = read_request(data)
        if message is None:
            raise Broken(f"{len(data)} bytes that are no whole request")
        found.append(message)
        data = data[message.size :]
    return found
