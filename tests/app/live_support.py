"""What the live tests share: browsers that are closed however a test ends, and commands from another process."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support import Gateway
from waitroom.demo.browser import Answer, Browser, read_chunks, read_head


@contextmanager
def browsers(gateway: Gateway, count: int) -> Iterator[list[Browser]]:
    """Visitors of this gateway, who have not been here before."""
    opened = [Browser(gateway.url, timeout_s=30) for _ in range(count)]
    try:
        yield opened
    finally:
        for browser in opened:
            browser.close()


async def run(gateway: Gateway, *words: str) -> str:
    """`waitroom …` with the gateway's settings; what it printed."""
    done = await asyncio.to_thread(gateway.command, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def ask(gateway: Gateway, method: str, target: str, *fields: tuple[str, str], body: bytes = b"") -> Answer:
    """One request on a connection of its own, with exactly these fields besides Host and the length of the body."""
    port = int(gateway.environment["WAITROOM_PORT"])
    lines = [f"{method} {target} HTTP/1.1", f"host: 127.0.0.1:{port}", *(f"{name}: {value}" for name, value in fields)]
    if body or method == "POST":
        lines.append(f"content-length: {len(body)}")
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
            status, headers = read_head(await reader.readuntil(b"\r\n\r\n"))
            names = dict(headers)
            if method == "HEAD":
                content = b""
            elif "chunked" in names.get("transfer-encoding", ""):
                content = await read_chunks(reader)
            else:
                content = await reader.readexactly(int(names.get("content-length", 0)))
        finally:
            writer.close()
    return Answer(status, headers, content, f"{gateway.url}{target}")
