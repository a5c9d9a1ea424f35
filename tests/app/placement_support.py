"""Servers that are wrong in one way each: a shop, and a proxy before a real gateway. In threads, on real sockets."""

import contextlib
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

HTML = b"<!doctype html><title>The shop</title>"


@dataclass
class Message:
    """A request or an answer: its first line, fields in order with names in lower case, body."""

    line: str
    fields: list[tuple[str, str]]
    body: bytes = b""

    def get(self, name: str) -> str:
        return next((value for key, value in self.fields if key == name), "")

    def without(self, *names: str) -> "Message":
        return Message(self.line, [pair for pair in self.fields if pair[0] not in names], self.body)

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]

    def encode(self) -> bytes:
        lines = [self.line, *(f"{name}: {value}" for name, value in self.fields), "", ""]
        return "\r\n".join(lines).encode("latin-1") + self.body


def page(*fields: tuple[str, str], status: int = 200, body: bytes = HTML) -> Message:
    head = [("content-type", "text/html"), ("cache-control", "private"), ("content-length", str(len(body)))]
    mine = {name for name, _ in fields}
    return Message(f"HTTP/1.1 {status} X", [*(pair for pair in head if pair[0] not in mine), *fields], body)


def read_message(stream: BinaryIO) -> Message | None:
    line = stream.readline().decode("latin-1").strip()
    if not line:
        return None
    fields = []
    while text := stream.readline().decode("latin-1").strip():
        name, _, value = text.partition(":")
        fields.append((name.lower(), value.strip()))
    message = Message(line, fields)
    message.body = stream.read(int(message.get("content-length") or 0))
    return message


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False


@contextlib.contextmanager
def serving(handle: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Calls `handle` with each connection, in a thread of its own; the port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError, ValueError):
                handle(tls.wrap_socket(self.request, server_side=True) if tls else self.request)

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@dataclass
class PlantedShop:
    """`answer` makes the answer to a request; idle connections are closed after `idle_s`."""

    answer: Callable[[Message], Message] = lambda request: page()
    idle_s: float = 60.0
    port: int = 0
    requests: list[Message] = field(default_factory=list)

    def handle(self, connection: socket.socket) -> None:
        connection.settimeout(self.idle_s)
        with connection, connection.makefile("rb") as stream:
            while (request := read_message(stream)) is not None:
                self.requests.append(request)
                answer = self.answer(request)
                connection.sendall(answer.encode())
                if answer.get("connection") == "close":
                    break


@contextlib.contextmanager
def planted_shop(answer: Callable[[Message], Message] | None = None, *, idle_s: float = 60.0) -> Iterator[PlantedShop]:
    shop = PlantedShop(answer or (lambda request: page()), idle_s)
    with serving(shop.handle) as port:
        shop.port = port
        yield shop


@dataclass
class Front:
    """A proxy that changes what it passes: `request` may answer itself, `answer` changes the gateway's. It gives up on
    an answer after `patience_s`.
    """

    gateway: int
    request: Callable[[Message], Message] = lambda request: request
    answer: Callable[[Message, Message], Message] = lambda request, answer: answer
    patience_s: float = 30.0
    kept: dict[str, Message] = field(default_factory=dict)

    def handle(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            request = read_message(stream)
            if request is None:
                return
            request = self.request(request)
            if request.line.startswith("HTTP/"):
                connection.sendall(request.without("connection").encode())
                return
            connection.sendall(self.answer(request, self.pass_on(request)).encode())

    def pass_on(self, request: Message) -> Message:
        with socket.create_connection(("127.0.0.1", self.gateway), timeout=self.patience_s) as upstream:
            upstream.sendall(request.encode())
            try:
                answer = read_message(upstream.makefile("rb"))
            except TimeoutError:
                return page(status=504)
        assert answer is not None
        return answer


def later(seconds: float, answer: Message) -> Message:
    time.sleep(seconds)
    return answer
