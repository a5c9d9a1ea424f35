"""Three readers of HTTP that know nothing of one another: ours, that forgives nothing; h11; one that forgives much.

What all three find in the same bytes is what it says. The forgiving one does what careless servers do: LF ends a line,
`_` is `-`, blanks around names go, folded lines are joined, the last length counts, chunked beats it.
"""

import http.client
import io
from collections.abc import Callable, Sequence
from typing import NamedTuple

import h11

from tests.edge.strict import Broken, read_answer, read_request

ROOM_BYTES = 200_000


class Read(NamedTuple):
    """One message: its start line without the version, and its content."""

    start: bytes
    content: bytes


def strict_requests(raw: bytes) -> list[Read]:
    found = []
    while raw and (message := read_request(raw)) is not None:
        found.append(Read(message.start.rpartition(b" ")[0], message.content))
        raw = raw[message.size :]
    return found


def h11_requests(raw: bytes) -> list[Read]:
    """Raises h11.RemoteProtocolError for what is none."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=ROOM_BYTES)
    connection.receive_data(raw)
    found: list[Read] = []
    start, content = b"", b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            start, content = event.method + b" " + event.target, b""
        elif isinstance(event, h11.Data):
            content += event.data
        elif isinstance(event, h11.EndOfMessage):
            found.append(Read(start, content))
            connection.send(h11.Response(status_code=200, headers=[(b"content-length", b"0")]))
            connection.send(h11.EndOfMessage())
            if connection.their_state is not h11.DONE:
                return found
            connection.start_next_cycle()
        else:
            return found


def careless_requests(raw: bytes) -> list[Read]:
    stream = io.BytesIO(raw)
    found = []
    while (start := stream.readline()) and start.endswith(b"\n"):
        if not start.strip():
            continue
        fields = careless_fields(stream)
        if fields is None:
            break
        content = careless_body(stream, fields)
        if content is None:
            break
        found.append(Read(b" ".join(start.split()[:2]), content))
    return found


def careless_fields(stream: io.BytesIO) -> dict[bytes, bytes] | None:
    fields: dict[bytes, bytes] = {}
    last = b""
    while (line := stream.readline()).endswith(b"\n"):
        if not line.strip(b"\r\n"):
            return fields
        if line[:1] in b" \t":
            fields[last] = fields.get(last, b"") + line.strip()
            continue
        name, _, value = line.partition(b":")
        last = name.strip(b" \t\x0b\x00").lower().replace(b"_", b"-")
        fields[last] = value.strip(b" \t\r\n\x0b\x00")
    return None


def careless_body(stream: io.BytesIO, fields: dict[bytes, bytes]) -> bytes | None:
    if b"chunked" in fields.get(b"transfer-encoding", b"").lower():
        content = b""
        while line := stream.readline():
            size = int(line.partition(b";")[0].strip() or b"0", 16)
            if size == 0:
                return content if careless_fields(stream) is not None else None
            data = stream.read(size)
            if len(data) < size:
                return None
            content += data
            stream.readline()
        return None
    length = int(fields.get(b"content-length", b"0") or b"0")
    data = stream.read(length)
    return data if len(data) == length else None


REQUESTS: tuple[Callable[[bytes], list[Read]], ...] = (strict_requests, h11_requests, careless_requests)


def strict_answers(raw: bytes, methods: Sequence[bytes]) -> list[Read]:
    found: list[Read] = []
    due = [*methods]
    while due and (answer := read_answer(raw, due[0], ended=True)) is not None:
        raw = raw[answer.size :]
        if answer.status >= 200:
            found.append(Read(b"%d" % answer.status, answer.content))
            del due[0]
    if raw and not due:
        raise Broken(f"bytes after the last answer: {raw[:40]!r}")
    return found


def h11_answers(raw: bytes, methods: Sequence[bytes]) -> list[Read]:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=ROOM_BYTES)
    connection.receive_data(raw)
    connection.receive_data(b"")
    found: list[Read] = []
    for method in methods:
        connection.send(h11.Request(method=method, target="/", headers=[(b"host", b"a")]))
        connection.send(h11.EndOfMessage())
        start, content = b"", b""
        while True:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError:
                return found
            if isinstance(event, h11.EndOfMessage):
                break
            if event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return found
            if isinstance(event, h11.Response):
                start = b"%d" % event.status_code
            elif isinstance(event, h11.Data):
                content += event.data
        found.append(Read(start, content))
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            return found
        connection.start_next_cycle()
    return found


class _Stream:
    """What `http.client` takes for a socket. Several answers are read from one."""

    def __init__(self, raw: bytes) -> None:
        self.file = io.BytesIO(raw)

    def makefile(self, mode: str) -> io.BytesIO:
        return self.file


def python_answers(raw: bytes, methods: Sequence[bytes]) -> list[Read]:
    """As Python's own client reads them, which forgives a good deal."""
    stream = _Stream(raw)
    found: list[Read] = []
    for method in methods:
        answer = http.client.HTTPResponse(stream, method=method.decode())  # type: ignore[arg-type]
        # Closing an answer would close the stream for those behind.
        answer._close_conn = lambda: None  # type: ignore[attr-defined]
        try:
            answer.begin()
            content = answer.read()
        except (http.client.HTTPException, ConnectionError):
            return found
        found.append(Read(b"%d" % answer.status, content))
    return found


ANSWERS: tuple[Callable[[bytes, Sequence[bytes]], list[Read]], ...] = (strict_answers, h11_answers, python_answers)
