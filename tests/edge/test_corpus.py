"""Every exchange of the corpus through the real server and proxy: not a byte changes but by the table of changes.

The shop records raw bytes. What it and the client must get is worked out by `tests/edge/changes.py` from the rows
that the exchange names. `pytest -s` prints the results as a table.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.edge.changes import ALWAYS, CHANGES, OTHER_HOST, Draft, nothing, to_client, to_shop
from tests.edge.corpus.answers import ANSWERS
from tests.edge.corpus.exchange import Exchange
from tests.edge.corpus.requests import REQUESTS
from tests.edge.gateway_support import gateway
from tests.edge.rig import GO_ON, NUMBERS, OWN_ID, Heard, Reply, Rig
from tests.edge.strict import Message, read_answer, read_request
from tests.support import ROOT, Shop, running_gateway
from waitroom.edge.shop.origin_limits import Limits

EXCHANGES = [*REQUESTS, *ANSWERS]
ENTER = b"GET / HTTP/1.1\r\nhost: shop.example\r\naccept: text/html\r\n"
COOKIE = b"waitroom_shop_pass=x; Path=/"
TO_ORIGIN = ((b"waitroom-place", b"7"), (b"waitroom-admitted-at", b"1700000000000"))
LIMITS = Limits(sweep_s=0.05)
RESULTS: Counter[tuple[str, str]] = Counter()


class Gateways(Rig):
    """The proxy as a stranger, a trusted proxy, and an admitted visitor meet it."""

    def __enter__(self) -> "Gateways":
        super().__enter__()
        enter, shop = self.stack.enter_async_context, self.shop
        self.plain = self.run(enter(gateway(shop, limits=LIMITS))).port
        self.behind_proxy = self.run(enter(gateway(shop, limits=LIMITS, trusted_proxies="127.0.0.1"))).port
        self.renaming = self.run(enter(gateway(shop, limits=LIMITS, origin_host=OTHER_HOST.decode()))).port
        self.admitting = self.run(
            enter(gateway(shop, limits=LIMITS, to_origin=TO_ORIGIN, to_client=((b"set-cookie", COOKIE),)))
        ).port
        return self

    def port_for(self, exchange: Exchange) -> int:
        ports = {
            exchange.proxy: self.behind_proxy,
            exchange.admitted: self.admitting,
            exchange.other_host: self.renaming,
        }
        return ports.get(True, self.plain)


@pytest.fixture(scope="module")
def rig() -> Iterator[Gateways]:
    with Gateways() as rig:
        yield rig
    print(table(RESULTS))


def table(results: Counter[tuple[str, str]]) -> str:
    groups = sorted({group for group, _ in results})
    lines = [f"{group:<12}{results[group, 'passed']:>4} of {results[group, 'tried']:>4}" for group in groups]
    passed = sum(count for (_, what), count in results.items() if what == "passed")
    return "\n".join(("", *lines, f"{'together':<12}{passed:>4} of {results.total() - passed:>4}"))


def requests_in(data: bytes) -> list[Message]:
    """What is written as requests in an exchange, the parts of a pipeline one by one."""
    found = []
    while data := data.removeprefix(b"\r\n"):
        request = read_request(data)
        assert request is not None
        found.append(request)
        data = data[request.size :]
    return found


def answers_of(exchange: Exchange) -> tuple[bytes, ...]:
    return exchange.answer if isinstance(exchange.answer, tuple) else (exchange.answer,)


def replies_of(exchange: Exchange) -> list[Reply]:
    return [Reply(raw, exchange.closes) for raw in answers_of(exchange)]


def final(raw: bytes, method: bytes) -> tuple[Message, list[Message]]:
    """The last answer in what the shop sends, and the interim ones before it."""
    interim = []
    while (answer := read_answer(raw, method, ended=True)) is not None and answer.status < 200:
        interim.append(answer)
        raw = raw[answer.size :]
    assert answer is not None
    return answer, interim


def version_of(request: Message) -> bytes:
    return request.start[-3:]


def known(head: bytes) -> bytes:
    """A head with what differs from gateway to gateway made the same."""
    return NUMBERS.sub(rb"\1N", OWN_ID.sub(b"waitroom-ID", head))


def check_shop(rig: Rig, requests: list[Message], exchange: Exchange, rows: frozenset[str]) -> None:
    assert rig.shop.broken == []
    assert len(rig.shop.requests) == len(requests)
    for request, came in zip(requests, rig.shop.requests, strict=True):
        draft = Draft.of(request.head, request.content, client_version=version_of(request), trusted=exchange.proxy)
        draft.origin_host = b"127.0.0.1:%d" % rig.shop.port
        draft.replaces_host = exchange.other_host
        assert known(came.head) == to_shop(draft, rows)
        assert (came.content, came.framing) == (request.content, request.framing)
        assert came.trailers == (() if "trailers" in rows else request.trailers)


def check_client(heard: Heard, requests: list[Message], exchange: Exchange, rows: frozenset[str]) -> None:
    answers = [one for one in heard.answers if one.status >= 200]
    closes = [version_of(one) == b"1.0" or any(b"close" in v for v in one.values(b"connection")) for one in requests]
    if not any(closes):
        assert answers.pop().content == b"probed"
    assert len(answers) == len(requests)
    went_on = False
    for request, raw, answer, ends in zip(requests, answers_of(exchange), answers, closes, strict=True):
        sent, interim = final(raw, request.method)
        draft = Draft.of(sent.head, sent.content, method=request.method, client_version=version_of(request))
        draft.cookie = COOKIE
        assert known(answer.head) == to_client(draft, rows, closes=ends)
        assert answer.content == sent.content
        assert answer.trailers == (() if "trailers" in rows else sent.trailers)
        assert not interim or "interim" in rows
        went_on |= any(one.status == 100 for one in interim) and bool(request.values(b"expect"))
    assert heard.raw.startswith(GO_ON) == went_on
    assert sum(one.status < 200 for one in heard.answers) == went_on


def check_refused(rig: Rig, heard: Heard, status: int, *, asks_shop: bool) -> None:
    assert heard.answers[0].status == status
    assert len(rig.shop.requests) == asks_shop
    assert rig.shop.broken == []


def check(rig: Rig, heard: Heard, requests: list[Message], exchange: Exchange, *more_rows: str, gate: int = 0) -> None:
    rows = frozenset(exchange.rows.split()) | set(more_rows)
    if gate or exchange.status:
        check_refused(rig, heard, gate or exchange.status, asks_shop=exchange.asks_shop and not gate)
    else:
        check_shop(rig, requests, exchange, rows)
        check_client(heard, requests, exchange, rows)


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda one: one.name)
def test_nothing_changes_but_by_the_table(rig: Gateways, exchange: Exchange) -> None:
    group = exchange.name.partition(":")[0]
    RESULTS[group, "tried"] += 1
    requests = requests_in(exchange.request) if exchange.asks_shop else []
    methods = [one.method for one in requests] or [b"GET"]

    heard = rig.converse(rig.port_for(exchange), exchange.request, methods, replies_of(exchange))

    check(rig, heard, requests, exchange)
    RESULTS[group, "passed"] += 1


def test_the_whole_gateway_changes_no_more_for_a_visitor_with_a_pass() -> None:
    """The same through `waitroom run`: its gate adds the place for the shop, and takes its cookie out."""
    with Rig(asyncio.new_event_loop) as rig:
        shop = Shop(port=rig.shop.port)
        gateway = rig.run(
            rig.stack.enter_async_context(
                running_gateway(shop, None, rate="unlimited", bypass="/probe", session_idle="2h")
            )
        )
        port = int(gateway.environment["WAITROOM_PORT"])
        cookie = b""
        for _ in range(2):  # on the spot, and once more: a pass is confirmed when it is seen again
            answer = rig.converse(port, ENTER + cookie + b"\r\n", [b"GET"]).answers[0]
            cookie = b"cookie: %b\r\n" % answer.values(b"set-cookie")[0].partition(b";")[0]

        for exchange in EXCHANGES:
            if exchange.proxy or exchange.admitted or exchange.other_host:
                continue
            requests = requests_in(exchange.request) if exchange.asks_shop else []
            methods = [one.method for one in requests] or [b"GET"]
            sent = b"".join(one.head[:-2] + cookie + b"\r\n" + body_of(one, exchange) for one in requests)

            heard = rig.converse(port, sent or exchange.request, methods, replies_of(exchange))

            try:
                check(rig, heard, requests, exchange, "place", gate=exchange.gate)
            except AssertionError as error:
                raise AssertionError(exchange.name) from error


def body_of(request: Message, exchange: Exchange) -> bytes:
    """The body as framed."""
    at = exchange.request.find(request.head) + len(request.head)
    return exchange.request[at : at + request.size - len(request.head)]


def test_a_row_is_named_only_where_it_changes_something() -> None:
    for exchange in EXCHANGES:
        if exchange.status:
            continue
        rows = frozenset(exchange.rows.split())
        expected = both_heads(exchange, rows)
        for row in rows - ALWAYS - {"chunks"} - {name for name, acts in CHANGES.items() if nothing in acts}:
            assert both_heads(exchange, rows - {row}) != expected, (exchange.name, row)


def both_heads(exchange: Exchange, rows: frozenset[str]) -> list[bytes]:
    heads = []
    for request, raw in zip(requests_in(exchange.request), answers_of(exchange), strict=True):
        version = version_of(request)
        draft = Draft.of(request.head, b"", client_version=version, trusted=exchange.proxy)
        draft.replaces_host = exchange.other_host
        answer = Draft.of(final(raw, request.method)[0].head, b"", method=request.method, client_version=version)
        heads += [to_shop(draft, rows), to_client(answer, rows, closes=False)]
    return heads


def test_every_row_of_the_table_has_exchanges_and_every_row_named_is_in_it() -> None:
    """The table stands in `deploy/changes.md`; a row that is not there, or that nothing shows, is none."""
    written = re.findall(
        r"^\| `([a-z]+)` \| [^|]+ \| [^|]+ \|$", (ROOT / "deploy" / "changes.md").read_text(), re.MULTILINE
    )

    assert written == list(CHANGES)
    assert {row for exchange in EXCHANGES for row in exchange.rows.split()} == set(CHANGES)
    assert len({exchange.name for exchange in EXCHANGES}) == len(EXCHANGES) >= 250
