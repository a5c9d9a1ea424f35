"""A shopper's browser, as far as a gateway can tell: own cookies, one kept connection, redirects, fetch metadata.

Plain HTTP/1.1 on asyncio streams: hundreds of them must cost little, and the demo must not need the
libraries of the tests. An answer is read to its end or the connection is given up.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

HEAD_BYTES = 64 * 1024
BODY_BYTES = 2 * 1024 * 1024
REDIRECTS = 5

DOCUMENT = {
    "accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
    "sec-fetch-dest": "document",
    "sec-fetch-mode": "navigate",
    "sec-fetch-site": "same-origin",
}
SCRIPT = {
    "accept": "application/json",
    "sec-fetch-dest": "empty",
    "sec-fetch-mode": "cors",
    "sec-fetch-site": "same-origin",
}


class NoAnswer(Exception):
    """The server could not be reached, broke off, or took too long."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    url: str

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    def json(self) -> dict[str, Any]:
        """The object in the body; empty if there is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


class Browser:
    """One request at a time. `close` leaves the cookies: opening a page again is coming back."""

    def __init__(self, base_url: str, *, keeps_cookies: bool = True, timeout_s: float = 15.0) -> None:
        parts = urlsplit(base_url)
        self._base = f"{parts.scheme}://{parts.netloc}"
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._keeps_cookies = keeps_cookies
        self._timeout_s = timeout_s
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.cookies: dict[str, str] = {}

    async def open(self, path: str, *, form: Mapping[str, str] | None = None) -> Answer:
        """A document, by GET or by sending a form; redirects within the site are followed."""
        answer = await self._ask("GET" if form is None else "POST", path, DOCUMENT, form)
        for _ in range(REDIRECTS):
            target = answer.header("location")
            if answer.status not in (301, 302, 303, 307, 308) or target is None:
                return answer
            url = urljoin(answer.url, target)
            if not url.startswith(f"{self._base}/"):
                raise NoAnswer(f"redirected to another site by {answer.url}")
            answer = await self._ask("GET", url.removeprefix(self._base), DOCUMENT, None)
        raise NoAnswer(f"redirected too often from {path}")

    async def fetch(self, path: str, *, method: str = "GET", wait_s: float = 0) -> Answer:
        """What a page's script does. `wait_s` is how long the server was asked to hold the answer."""
        return await self._ask(method, path, SCRIPT, {} if method == "POST" else None, wait_s=wait_s)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _ask(
        self, method: str, path: str, headers: Mapping[str, str], form: Mapping[str, str] | None, *, wait_s: float = 0
    ) -> Answer:
        body = b"" if form is None else urlencode(form).encode()
        lines = [f"{method} {path} HTTP/1.1", f"host: {urlsplit(self._base).netloc}", "user-agent: Mozilla/5.0 (crowd)"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if self.cookies:
            lines.append("cookie: " + "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        if form is not None:
            lines += [
                f"origin: {self._base}",
                "content-type: application/x-www-form-urlencoded",
                f"content-length: {len(body)}",
            ]
        request = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
        try:
            async with asyncio.timeout(self._timeout_s + wait_s):
                status, received, content = await self._exchange(request, may_repeat=method == "GET")
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            self.close()
            raise NoAnswer(f"{method} {path}: {error or type(error).__name__}") from error
        except BaseException:
            self.close()
            raise
        self._remember(received)
        return Answer(status, received, content, self._base + path)

    async def _exchange(self, request: bytes, *, may_repeat: bool) -> tuple[int, list[tuple[str, str]], bytes]:
        reused = self._streams is not None
        try:
            return await self._send_and_read(request)
        except (ConnectionError, EOFError):
            self.close()
            if not reused or not may_repeat:  # a kept connection may be closed by the server at any time
                raise
        return await self._send_and_read(request)

    async def _send_and_read(self, request: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port, limit=HEAD_BYTES)
        reader, writer = self._streams
        writer.write(request)
        await writer.drain()
        while True:
            status, headers = read_head(await reader.readuntil(b"\r\n\r\n"))
            if status >= 200:
                break
        fields = dict(headers)
        keep = fields.get("connection", "").lower() != "close"
        if status in (204, 304):
            body = b""
        elif "chunked" in fields.get("transfer-encoding", ""):
            body = await read_chunks(reader)
        elif "content-length" in fields:
            body = await reader.readexactly(check_size(int(fields["content-length"])))
        else:
            body, keep = await reader.read(BODY_BYTES), False
        if not keep:
            self.close()
        return status, headers, body

    def _remember(self, headers: list[tuple[str, str]]) -> None:
        for name, value in headers:
            if name != "set-cookie" or not self._keeps_cookies:
                continue
            pair, *attributes = value.split(";")
            key, _, content = pair.strip().partition("=")
            if any(attribute.strip().lower() == "max-age=0" for attribute in attributes):
                self.cookies.pop(key, None)
            else:
                self.cookies[key] = content


def read_head(head: bytes) -> tuple[int, list[tuple[str, str]]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    parts = first.split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1."):
        raise ValueError("not an answer in HTTP/1")
    pairs = (line.partition(":") for line in lines if line)
    return int(parts[1]), [(name.strip().lower(), value.strip()) for name, _, value in pairs]


async def read_chunks(reader: asyncio.StreamReader) -> bytes:
    """A chunked body (RFC 9112 §7.1) without its trailer. Raises ValueError for one too large or malformed."""
    body = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        check_size(len(body) + size)
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return bytes(body)


def check_size(size: int) -> int:
    if not 0 <= size <= BODY_BYTES:
        raise ValueError(f"an answer of {size} bytes")
    return size
