"""Random exchanges through the real server and proxy: valid ones pass unchanged, broken ones are refused or harmless.

Targets are judged as some shop might read them, and forwarded as judged.
"""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.edge.changes import Draft, to_shop
from tests.edge.corpus.exchange import Exchange
from tests.edge.rig import Reply
from tests.edge.shop_readings import HOST, NARROW, RULES, fault_in_judgement
from tests.edge.test_corpus import check_client, requests_in
from tests.edge.test_smuggling import PATIENCE_S, GatewayRig, heard_by_all, read_by_all
from waitroom.core.targets import Malformed

QUICK = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
TOKEN = "abcdefghijklmnopqrstuvwxyz0123456789-!#$%&'*+.^_`|~"
METHODS = st.sampled_from(b"GET POST PUT PATCH DELETE OPTIONS PROPFIND REPORT PURGE SEARCH".split())
NAMES = st.text(TOKEN, min_size=1, max_size=20).map(lambda name: b"x-" + name.encode())
OCTETS = bytes([*range(0x21, 0x7F), *range(0x80, 0x100)])
VALUES = st.lists(st.sampled_from(list(OCTETS)), max_size=30).map(bytes)
FIELDS = st.lists(st.tuples(NAMES, VALUES).map(b": ".join), max_size=8)
TARGET_SIGNS = '/.%;?#\\&=+~:@-_aAbB019"<>{}|^`[]'
TARGETS = st.text(TARGET_SIGNS, max_size=30).map(lambda rest: b"/" + rest.encode())
BODIES = st.one_of(st.none(), st.binary(max_size=300))
STATUSES = st.sampled_from([200, 201, 202, 400, 404, 500, 503])
PHRASES = {200: b"OK", 201: b"Created", 202: b"Accepted", 400: b"Bad Request", 404: b"Not Found"}
PHRASES |= {500: b"Internal Server Error", 503: b"Service Unavailable"}


@pytest.fixture(scope="module")
def rig() -> Iterator[GatewayRig]:
    with GatewayRig() as rig:
        yield rig


@st.composite
def messages(draw: st.DrawFn, start: bytes, fields: list[bytes]) -> tuple[bytes, str]:
    """A whole message with one of the framings, and the row of the table of changes that this one is under."""
    body = draw(BODIES)
    lines, content, row = [start, *fields, *draw(FIELDS)], b"", ""
    at = draw(st.integers(1, len(lines)))
    if body is not None and draw(st.booleans()):
        row = "chunks"
        lines.insert(at, b"transfer-encoding: chunked")
        cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=4)))
        pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) if b > a]
        content = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    elif body is not None:
        lines.insert(at, b"content-length: %d" % len(body))
        content = body
    return b"\r\n".join((*lines, b"", content)), row


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    line = b"%b %b HTTP/1.1" % (draw(METHODS), draw(TARGETS))
    request, row = draw(messages(line, [b"host: shop.example"]))
    status = draw(STATUSES)
    answer, answer_row = draw(messages(b"HTTP/1.1 %d %b" % (status, PHRASES[status]), []))
    if b"content-length" not in answer and not answer_row:
        answer_row = "close"
    return Exchange("random", request, answer, f"{row} {answer_row}", closes=answer_row == "close")


@QUICK
@given(exchange=exchanges(), piece_bytes=st.sampled_from([None, 1, 7, 50]))
def test_random_valid_exchanges_pass_unchanged(rig: GatewayRig, exchange: Exchange, piece_bytes: int | None) -> None:
    (request,) = requests_in(exchange.request)
    rows = frozenset(exchange.rows.split()) | {"place"}

    assert isinstance(exchange.answer, bytes)
    heard = rig.converse(
        rig.gateway.port,
        exchange.request,
        [request.method],
        [Reply(exchange.answer, exchange.closes)],
        piece_bytes=piece_bytes,
        silence_s=PATIENCE_S,
    )

    came = rig.shop.requests[0]
    draft = Draft.of(request.head, request.content)
    assert came.head.startswith(to_shop(draft, rows).partition(b"\r\nvia: ")[0])
    assert (came.content, came.framing) == (request.content, request.framing)
    check_client(heard, [request], exchange, rows)


BREAKS = st.sampled_from(
    b"\0|\n|\r|\r\n|\r\n | |\t|\x7f|\x01|:| :|\r\r\n|\n\n|,|;|+|-|HTTP/1.1|0\r\n\r\n|host: b\r\n|content-length: 3\r\n"
    b"|transfer-encoding: chunked\r\n".split(b"|")
)


@st.composite
def broken(draw: st.DrawFn, whole: bytes) -> bytes:
    """A message with something put in, taken out or doubled where it hurts."""
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(whole)))
        to = min(len(whole), at + draw(st.integers(0, 3)))
        whole = whole[:at] + draw(st.one_of(BREAKS, st.just(whole[at:to] * 2), st.just(b""))) + whole[to:]
    return whole


POSTED = b"POST /a HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 3\r\nx-a: b\r\n\r\nabc"
CHUNKED = b"POST /a HTTP/1.1\r\nhost: shop.example\r\ntransfer-encoding: chunked\r\nx-a: b\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
ANSWERED = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx-a: b\r\n\r\nabc"
IN_CHUNKS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx-a: b\r\n\r\n3\r\nabc\r\n0\r\n\r\n"


@QUICK
@given(raw=st.one_of(broken(POSTED), broken(CHUNKED)))
def test_random_broken_requests_are_refused_or_read_by_all_in_one_way(rig: GatewayRig, raw: bytes) -> None:
    rig.begin()

    heard = rig.converse(rig.gateway.port, raw, [b"POST"], silence_s=0.02)

    found = [one for connection in rig.shop.raw for one in read_by_all(connection)]
    assert rig.has_judged(len(found))
    assert rig.shop.broken == []
    assert all(one.status in (100, 200, 400, 405, 408, 431, 501, 505) for one in heard.answers)


@QUICK
@given(raw=st.one_of(broken(ANSWERED), broken(IN_CHUNKS)))
def test_random_broken_answers_are_refused_or_read_by_all_in_one_way(rig: GatewayRig, raw: bytes) -> None:
    heard = rig.talk(b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n", Reply(raw, closes=True))
    after = rig.talk(b"GET /probe HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")

    found = heard_by_all(heard.raw, [b"GET"] * max(1, len(heard.answers)))
    assert all(one.content == b"probed" for one in found[1:])
    assert after.answers[0].content == b"probed"


@settings(max_examples=400)
@given(target=TARGETS)
@example(b"/static/..%2fcheckout")
@example(b"/static/%252e%252e/checkout")
@example(b"//static/checkout/")
@example(b"/static/..;/checkout")
@example(b"/static\\..\\checkout")
@example(b"/-/./waitroom/status")
def test_no_shop_reads_a_target_in_a_way_that_was_not_judged(target: bytes) -> None:
    assert fault_in_judgement(target) is None


WORDS = st.lists(
    st.sampled_from(
        ["checkout", "static", "-", "waitroom", "..", ".", "%2e", "%2f", "%5c", "%25", "\\", ";a", "?", "#", "/"]
    ),
    max_size=10,
).map(lambda words: b"/" + b"/".join(word.encode() for word in words))
RUN_TOGETHER = WORDS.map(lambda target: b"/" + target.replace(b"/", b"", 3))


@settings(max_examples=400)
@given(target=st.one_of(WORDS, RUN_TOGETHER))
@example(b"///static/checkout")
@example(b"/\\\\static/checkout")
def test_no_shop_reads_a_target_of_guarded_words_in_a_way_that_was_not_judged(target: bytes) -> None:
    """Found here: `new URL("///static/checkout", base)` is /checkout to Node, however many slashes stand before it."""
    assert fault_in_judgement(target) is None


@QUICK
@given(target=st.one_of(TARGETS, WORDS))
def test_what_the_shop_receives_is_what_was_judged(rig: GatewayRig, target: bytes) -> None:
    rig.talk(b"GET %b HTTP/1.1\r\nhost: %b\r\n\r\n" % (target, HOST))

    received = rig.shop.requests[0].start.split(b" ")[1]
    assert received == target
    for rules in (RULES, NARROW):
        assert type(rules.place(received, HOST)) is type(rules.place(target, HOST))


@QUICK
@given(target=WORDS, scheme=st.sampled_from([b"http", b"https", b"HTTP"]))
def test_an_absolute_form_is_judged_as_the_shop_receives_it(rig: GatewayRig, target: bytes, scheme: bytes) -> None:
    absolute = b"%b://%b%b" % (scheme, HOST, target)

    rig.talk(b"GET %b HTTP/1.1\r\nhost: %b\r\n\r\n" % (absolute, HOST))

    received = rig.shop.requests[0].start.split(b" ")[1]
    for rules in (RULES, NARROW):
        judged = rules.place(absolute, HOST)
        assert isinstance(judged, Malformed) or judged == rules.place(received, HOST)
