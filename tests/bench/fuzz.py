"""Mutates requests, answers and targets of the corpus, and looks for crashes and for what two parsers read in two ways.

    python -m tests.bench.fuzz --seconds 60 [--seed 1] [--only answers|targets|requests]

answers     one feed of the shop's bytes and the same bytes in random pieces must give the same answer; where the strict
            reader finds an answer too, the same one; and what goes on to the client is HTTP to the strict reader
requests    through the server's edge and the table of headers: in pieces or not, the same requests; what the shop
            would be sent is read by three parsers as one request with the same body
targets     judged without a crash, twice the same, as the shop receives it, and safely for thirteen kinds of shops
"""

import argparse
import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import structlog
import uvloop
from starlette.types import Receive, Scope, Send

from tests.edge.corpus.answers import ANSWERS
from tests.edge.corpus.requests import REQUESTS, UNCHANGED_TARGETS
from tests.edge.corpus.smuggling import FROM_CLIENT, FROM_SHOP
from tests.edge.readers import REQUESTS as READERS
from tests.edge.shop_readings import HOST, NARROW, RULES, fault_in_judgement
from tests.edge.strict import Broken, Message, read_answer, read_head
from waitroom.core.errors import OriginFailure
from waitroom.core.settings import Origin, Settings
from waitroom.core.targets import Malformed
from waitroom.edge.clients import Clients
from waitroom.edge.shop.answer import Answer
from waitroom.edge.shop.framing import Framing
from waitroom.edge.shop.headers import Body, HeaderTable, origin_form, plain
from waitroom.edge.wire.heads import EdgeState, Limits
from waitroom.edge.wire.server import EdgeProtocol, make_server

MOST_BYTES = 5000
SETTINGS = Settings(origin=Origin("http", "shop.example", 80))
SPLICES = (
    b"\r\n|\n|\r|\x00| |\t|:|;|,|\r\n |\r\n\r\n|0\r\n\r\n|0\r\n|1\r\na\r\n|ffffffffffffffff|-1|+1|0x1"
    b"|chunked|identity|gzip|content-length: 3\r\n|transfer-encoding: chunked\r\n|connection: close\r\n"
    b"|connection: upgrade\r\nupgrade: x\r\n|host: a\r\n|waitroom-place: 1\r\n|x_forwarded_for: 1\r\n"
    b"|HTTP/1.1 |HTTP/1.0|HTTP/1.1 100 Continue\r\n\r\n|GET / HTTP/1.1\r\nhost: a\r\n\r\n"
    b"|expect: 100-continue\r\n|\xff|\x80|\x7f|cookie: waitroom_a=b; c\r\n|/|//|..|%2e|%2f|%5c|%25|%00|\\|?"
    b"|#|;a|checkout|static/|-/waitroom|http://shop.example|*"
).split(b"|")


class Fault(Exception):
    """An input that was taken wrongly."""


class Mutator:
    """Makes new inputs from old ones. What is found worth keeping is kept by nobody: the seeds are broad."""

    def __init__(self, seed: int, seeds: list[bytes]) -> None:
        self.random = random.Random(seed)
        self.last = b""
        self.seeds = [one for one in seeds if len(one) <= MOST_BYTES]

    def next(self) -> bytes:
        chance = self.random
        data = bytearray(chance.choice(self.seeds))
        for _ in range(chance.choice((1, 1, 2, 3, 5))):
            at = chance.randrange(len(data) + 1)
            to = min(len(data), at + chance.choice((1, 1, 2, 4, 16)))
            match chance.randrange(7):
                case 0:
                    data[at:at] = chance.choice(SPLICES)
                case 1:
                    data[at:to] = chance.choice(SPLICES)
                case 2:
                    del data[at:to]
                case 3:
                    data[at:at] = data[at:to] * chance.choice((1, 1, 50))
                case 4 if at < len(data):
                    data[at] ^= 1 << chance.randrange(8)
                case 5 if at < len(data):
                    data[at] = chance.randrange(256)
                case _:
                    other = chance.choice(self.seeds)
                    cut = chance.randrange(len(other) + 1)
                    data[at:] = other[cut:]
        self.last = bytes(data[:MOST_BYTES])
        return self.last

    def pieces(self, data: bytes) -> list[bytes]:
        cuts = sorted(self.random.randrange(len(data) + 1) for _ in range(self.random.choice((1, 2, 5, 20))))
        return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if b > a]


# Answers.


class NoClient:
    target = b"/"
    peer_lost = False

    def abort(self) -> None:
        pass


class Given(NamedTuple):
    """What the proxy would take from an answer."""

    done: bool
    status: int
    headers: list[tuple[bytes, bytes]]
    content: bytes


class Answers:
    """The answer's parser."""

    def __init__(self, seed: int, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        raws = [raw for one in ANSWERS for raw in (one.answer if isinstance(one.answer, tuple) else (one.answer,))]
        self.mutator = Mutator(seed, [*raws, *(attack.raw for attack in FROM_SHOP)])
        self.table = HeaderTable(SETTINGS)

    def feed(self, pieces: list[bytes], method: bytes) -> Given:
        answer = Answer(self.loop, NoClient(), method == b"HEAD")
        content = b""
        for piece in pieces:
            if answer.over:
                break
            answer.feed(piece)
            content += answer.take()
        if not answer.over:
            answer.finish(None)
        if answer.framing is Framing.UPGRADED:
            content = b""
        return Given(answer.done, answer.status, answer.headers, content)

    def one(self) -> str:
        raw, method = self.mutator.next(), self.mutator.random.choice((b"GET", b"GET", b"GET", b"HEAD"))
        whole, parted = self.feed([raw], method), self.feed(self.mutator.pieces(raw), method)
        if (whole.done or parted.done) and whole != parted:
            raise Fault(f"{raw!r} to {method!r}: {whole} in one piece, {parted} in several")
        if not whole.done:
            return "refused or cut"
        headers, _ = self.table.answer(whole.status, "1.1", whole.headers)
        lines = b"".join(b"%b: %b\r\n" % field for field in headers)
        try:
            read_head(b"HTTP/1.1 %d \r\n%b\r\n" % (whole.status, lines))
        except Broken as error:
            raise Fault(f"{raw!r}: what goes on to the client is no HTTP: {error}") from error
        try:
            strict = self.final(raw, method)
        except Broken:
            return "taken, though not by the strict reader"
        if strict is None or (strict.status, strict.content) != (whole.status, whole.content):
            raise Fault(f"{raw!r} to {method!r}: {whole}, but strictly {strict}")
        return "taken"

    @staticmethod
    def final(raw: bytes, method: bytes) -> Message | None:
        answer = read_answer(raw, method, ended=True)
        while answer is not None and answer.status < 200 and answer.status != 101:
            raw = raw[answer.size :]
            answer = read_answer(raw, method, ended=True)
        return answer


# Requests.


class Pipe:
    """A transport to nowhere."""

    def __init__(self) -> None:
        self.closing = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(name, default)

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes) -> None:
        pass

    write_eof = pause_reading = resume_reading = lambda self: None


class Requests:
    """The server's edge and the table of headers: what would be sent to the shop."""

    def __init__(self, seed: int, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.mutator = Mutator(seed, [*(one.request for one in REQUESTS), *(attack.raw for attack in FROM_CLIENT)])
        self.table = HeaderTable(SETTINGS)
        self.clients = Clients(SETTINGS)
        self.config = make_server(cast(Any, self)).config
        self.sent: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        more, content = True, b""
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            content, more = content + message["body"], message["more_body"]
        status = 200
        try:
            self.sent.append(self.to_shop(scope, content))
        except OriginFailure as failure:
            status = failure.status
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    def to_shop(self, scope: Scope, content: bytes) -> bytes:
        exchange = scope["extensions"]["waitroom"]
        request = self.table.request(
            scope["method"],
            exchange.target,
            exchange.http_version,
            scope["headers"],
            self.clients.of(scope),
            to_origin=((b"waitroom-place", b"7"),),
        )
        if request.body is Body.CHUNKED:
            content = (b"%x\r\n%b\r\n" % (len(content), content) if content else b"") + b"0\r\n\r\n"
        return request.head + content

    async def drive(self, pieces: list[bytes]) -> list[bytes]:
        self.sent = []
        protocol = EdgeProtocol(self.config, EdgeState(Limits()), {}, self.loop)
        protocol.connection_made(cast(asyncio.Transport, Pipe()))
        for piece in pieces:
            protocol.data_received(piece)
            await self.settle(protocol)
        await self.settle(protocol)
        protocol.connection_lost(None)
        await asyncio.gather(*protocol.tasks)
        return self.sent

    @staticmethod
    async def settle(protocol: EdgeProtocol) -> None:
        """Until nothing runs that could go on by itself."""
        for _ in range(4):
            await asyncio.sleep(0)
        while protocol.running is not None and not protocol.running.more_body:
            await asyncio.sleep(0)

    def one(self) -> str:
        raw = self.mutator.next()
        whole = self.loop.run_until_complete(self.drive([raw]))
        parted = self.loop.run_until_complete(self.drive(self.mutator.pieces(raw)))
        # What came before the answer to an upgrade that did not happen may be of the other protocol, and is dropped.
        count = min(len(whole), len(parted)) if b"upgrade" in raw.lower() else None
        if whole[:count] != parted[:count]:
            raise Fault(f"{raw!r}: {whole} in one piece, {parted} in several")
        for sent in whole:
            readings = [read(sent) for read in READERS]
            if not readings[0] == readings[1] == readings[2] or len(readings[0]) != 1:
                raise Fault(f"{raw!r}: {sent!r} is read as {readings}")
            head = read_head(sent)
            names = Counter(plain(name) for name, _ in head[1]) if head else Counter[bytes]()
            if any(names[name] != 1 for name in (b"waitroom-place", b"x-forwarded-for", b"x-forwarded-proto")):
                raise Fault(f"{raw!r}: {sent!r} holds a name of ours twice")
        return "taken" if whole else "refused or cut"


# Targets.


class Targets:
    """The rules for targets."""

    def __init__(self, seed: int, loop: asyncio.AbstractEventLoop) -> None:
        words = (b"/checkout/pay", b"/static/a.css", b"/-/waitroom/status", b"http://shop.example/checkout", b"*")
        self.mutator = Mutator(seed, [*UNCHANGED_TARGETS.values(), *words])

    def one(self) -> str:
        target = self.mutator.next()
        placed = [rules.place(target, HOST) for rules in (RULES, NARROW)]
        if placed != [rules.place(target, HOST) for rules in (RULES, NARROW)]:
            raise Fault(f"{target!r} is judged in two ways")
        if isinstance(placed[0], Malformed):
            return "refused"
        received = target if target.startswith(b"/") else origin_form(target)
        if placed != [rules.place(received, HOST) for rules in (RULES, NARROW)]:
            raise Fault(f"{target!r} is judged as {placed}, and as {received!r} in another way")
        fault = fault_in_judgement(received) if received.startswith(b"/") else None
        if fault is not None:
            raise Fault(f"{target!r}: {fault}")
        return "judged"


KINDS: dict[str, Callable[[int, asyncio.AbstractEventLoop], Answers | Requests | Targets]] = {
    "answers": Answers,
    "requests": Requests,
    "targets": Targets,
}


def fuzz(kind: str, *, seed: int, seconds: float | None = None, inputs: int | None = None) -> Counter[str]:
    """How many inputs ended how; raises Fault at the first that was taken wrongly."""
    found: Counter[str] = Counter()
    loop = uvloop.new_event_loop()
    try:
        harness = KINDS[kind](seed, loop)
        ends_at = time.monotonic() + (seconds or 3600)
        while (inputs is None or found.total() < inputs) and time.monotonic() < ends_at:
            try:
                found[harness.one()] += 1
            except Exception as error:
                raise Fault(f"{kind}, after {found.total()} inputs of seed {seed}: {harness.mutator.last!r}") from error
    finally:
        loop.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--only", choices=KINDS)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    kinds = [options.only] if options.only else list(KINDS)
    for kind in kinds:
        found = fuzz(kind, seed=options.seed, seconds=options.seconds / len(kinds))
        ends = ", ".join(f"{count:,} {end}" for end, count in found.most_common())
        print(f"{kind:<10}{found.total():>12,} inputs, seed {options.seed}: {ends}")


if __name__ == "__main__":
    main()
