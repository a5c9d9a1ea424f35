"""What two parsers might read in two ways is refused, or reaches the other side in a form that nobody can misread.

Each attack of the corpus is sent in one piece and in small ones. What the shop and the client got is read by three
parsers that know nothing of one another: they must find the same requests and answers, and never the hidden one.
"""

import time
from collections.abc import Iterator

import h11
import pytest

from tests.edge.corpus.exchange import get
from tests.edge.corpus.smuggling import FROM_CLIENT, FROM_SHOP, Attack
from tests.edge.gateway_support import Gateway, gateway
from tests.edge.readers import ANSWERS, REQUESTS, Read
from tests.edge.rig import PROBE, Heard, Reply, Rig
from tests.edge.strict import Broken
from waitroom.edge.shop.headers import REWRITES
from waitroom.edge.shop.origin_limits import Limits

LIMITS = Limits(sweep_s=0.02, first_byte_s=1, idle_s=0.1, go_ahead_s=0.05)
PIECE_BYTES = 7
PATIENCE_S = 15.0
SILENT_S = 0.15
"""How long nothing must be heard from a gateway that rightly says nothing."""
SET_BY_US = (
    "waitroom-place",
    "waitroom-admitted-at",
    "waitroom-pass",
    "waitroom-ticket",
    "waitroom-command",
    "waitroom-order-id",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "forwarded",
    "x-real-ip",
    "x-original-url",
    "x-rewrite-url",
    "content-length",
    "transfer-encoding",
)


class GatewayRig(Rig):
    gateway: Gateway

    def __enter__(self) -> "GatewayRig":
        super().__enter__()
        self.gateway = self.run(
            self.stack.enter_async_context(
                gateway(self.shop, limits=LIMITS, drop=REWRITES, to_origin=((b"waitroom-place", b"7"),))
            )
        )
        return self

    @property
    def judged(self) -> int:
        """How many requests came to be judged by the gateway, those to PROBE among them."""
        return len(self.gateway.outcomes) + len(self.gateway.failures)

    def begin(self) -> None:
        self.gateway.forget()

    def talk(self, raw: bytes, reply: Reply | None = None, *, methods: list[bytes] | None = None) -> Heard:
        replies = [reply] if reply is not None else []
        return self.converse(self.gateway.port, raw, methods or [b"GET"], replies, silence_s=PATIENCE_S)

    def has_judged(self, count: int) -> bool:
        """Whether so many came to be judged; a moment is given to those that are only just being finished."""
        until = time.monotonic() + PATIENCE_S
        while self.judged < count and time.monotonic() < until:
            time.sleep(0.005)
        return self.judged >= count


@pytest.fixture(scope="module")
def rig() -> Iterator[GatewayRig]:
    with GatewayRig() as rig:
        yield rig


def read_by_all(raw: bytes) -> list[Read]:
    """The requests in what a shop received, as everybody reads them."""
    found = [read(raw) for read in REQUESTS]
    assert found[0] == found[1] == found[2]
    return found[0]


def heard_by_all(raw: bytes, methods: list[bytes]) -> list[Read]:
    """The answers in what a client received, as everybody reads them."""
    found = [read(raw, methods) for read in ANSWERS]
    assert found[0] == found[1] == found[2]
    return found[0]


@pytest.mark.parametrize("attack", FROM_CLIENT, ids=lambda one: one.name)
def test_what_a_client_hides_never_reaches_the_shop(rig: GatewayRig, attack: Attack) -> None:
    for pieces in (None, PIECE_BYTES if len(attack.raw) < 4000 else 4000):
        rig.begin()
        method = attack.raw.partition(b" ")[0]

        silence_s = SILENT_S if 0 in attack.statuses else PATIENCE_S
        heard = rig.converse(rig.gateway.port, attack.raw, [method], piece_bytes=pieces, silence_s=silence_s)

        seen = [one for raw in rig.shop.raw for one in read_by_all(raw)]
        asked = [one for one in seen if one.start != b"GET /probe"]
        status = heard.answers[0].status if heard.answers else 0
        assert status in attack.statuses
        assert len(asked) == (attack.reaches if status in (0, 100, 200) else 0)
        assert not any(b"/smuggled" in one.start for one in seen)
        assert rig.has_judged(len(seen))
        assert rig.shop.broken == []


@pytest.mark.parametrize("attack", FROM_SHOP, ids=lambda one: one.name)
def test_what_a_shop_hides_never_reaches_a_client(rig: GatewayRig, attack: Attack) -> None:
    """Neither the one who asked, nor the next one on the same connection, nor another."""
    rig.begin()

    heard = rig.talk(get(b"/"), Reply(attack.raw, attack.closes))
    after = rig.talk(PROBE)

    whole = heard_by_all(heard.raw, [b"GET"] * max(1, len(heard.answers)))
    first = int(whole[0].start) if whole else 0
    assert first in attack.statuses
    assert b"EVIL" not in b"".join(one.content for one in whole)
    assert all(one.content == b"probed" for one in whole[1:])
    assert after.answers[0].content == b"probed"


@pytest.mark.parametrize("name", SET_BY_US)
def test_a_name_that_we_set_comes_from_us_alone_in_any_spelling(rig: GatewayRig, name: str) -> None:
    spellings = {name.replace("-", sign) for sign in "_.~!#$%&'*+^`|"} | {name, name.replace("-", "_", 1)}
    spellings |= {spelling.upper() for spelling in spellings}
    if name in ("content-length", "transfer-encoding"):
        spellings -= {name, name.upper()}
    fields = [b"%b: evil" % spelling.encode() for spelling in sorted(spellings)]

    rig.talk(get(b"/", *fields))

    (request,) = rig.shop.requests
    assert b"evil" not in request.head
    assert len(request.fields) == len({as_cgi_names_it(found) for found, _ in request.fields})


def as_cgi_names_it(name: bytes) -> bytes:
    """Some servers make `_` of everything that is no letter or digit."""
    return bytes(byte if chr(byte).isalnum() else ord("_") for byte in name.upper())


def test_what_connection_names_takes_nothing_of_ours_away(rig: GatewayRig) -> None:
    named = b", ".join(name.encode() for name in SET_BY_US) + b", host, via, cookie"

    rig.talk(get(b"/", b"connection: " + named, b"cookie: a=1"))

    (request,) = rig.shop.requests
    ours = ("host", "via", "waitroom-place", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host")
    assert all(request.values(name.encode()) for name in ours)


def test_the_readers_differ_where_there_is_something_to_smuggle() -> None:
    """That they agree on what we forward says something only if they don't agree on everything."""
    readings = []
    for attack in FROM_CLIENT:
        found = []
        for read in REQUESTS:
            try:
                found.append(len(read(attack.raw)))
            except (Broken, h11.ProtocolError, ValueError, OverflowError):
                found.append(-1)
        readings.append(found)

    assert sum(len(set(found)) > 1 for found in readings) >= 60
    assert len(FROM_CLIENT) >= 100
    assert len(FROM_SHOP) >= 50
