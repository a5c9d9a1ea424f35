"""What of a request reaches the app, and what is refused before it."""

import socket

import pytest

from tests.edge.wire.rig import GOOD, HOST, POST, Running
from tests.patience import block_until

# What reaches the app.


def test_trailer_fields_reach_neither_headers_nor_app(running: Running) -> None:
    head = b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"

    answer = running.ask(head + b"3\r\nabc\r\n0\r\nHost: evil\r\nCookie: pass=forged\r\n", b"X-Late: 1\r\n\r\n")

    assert answer.json["body"] == "abc"
    assert answer.json["headers"] == [["host", "shop.test"], ["transfer-encoding", "chunked"]]
    assert running.app.seen[0]["headers"] == [(b"host", b"shop.test"), (b"transfer-encoding", b"chunked")]


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/a//b/../c;x=1", "/a//b/../c;x=1", ""),
        ("/a?", "/a", ""),
        ("/a?b?c=%20", "/a", "b?c=%20"),
        ("/a%2Fb%20c", "/a/b c", ""),
        ("/a#b?c", "/a", ""),
        ("//evil/x", "//evil/x", ""),
        ("http://shop.test/a?b", "/a", "b"),
        ("http://shop.test", "/", ""),
        ("http://shop.test?b", "/", "b"),
        ("HTTP://u@other:81//x?y#z", "//x", "y"),
        ('/"<>\\^`{|}%zz', '/"<>\\^`{|}%zz', ""),
    ],
)
def test_the_target_is_handed_over_as_received(running: Running, target: str, path: str, query: str) -> None:
    answer = running.ask(b"GET " + target.encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n")

    assert (answer.json["target"], answer.json["path"], answer.json["query"]) == (target, path, query)


def test_options_star_is_an_ordinary_request(running: Running) -> None:
    answer = running.ask(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n")

    assert (answer.json["method"], answer.json["target"]) == ("OPTIONS", "*")


def test_blanks_after_a_value_are_no_part_of_it(running: Running) -> None:
    answer = running.ask(b"GET /echo HTTP/1.1\r\nHost: shop.test \t\r\nX-A:\r\nX-B:  b  b \r\n\r\n")

    assert answer.json["headers"] == [["host", "shop.test"], ["x-a", ""], ["x-b", "b  b"]]


def test_a_request_in_single_bytes_is_the_same_request(running: Running) -> None:
    request = (
        b"POST /echo?q=1 HTTP/1.1\r\n" + HOST + b"X-Empty:\r\nX-B: b\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2;ext=1\r\nab\r\n1\r\nc\r\n0\r\nX-Trailer:\r\nX-T: 1\r\n\r\n"
    )

    whole = running.ask(request)
    client = running.client()
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in request:
        client.send(bytes([byte]))

    assert client.answer().json == whole.json


def test_headers_keep_their_order_and_repetitions(running: Running) -> None:
    answer = running.ask(b"GET /echo HTTP/1.1\r\nCookie: a=1\r\n" + HOST + b"X-A: 1\r\ncookie: b=2\r\nx_a: 3\r\n\r\n")

    assert [name for name, _ in answer.json["headers"]] == ["cookie", "host", "x-a", "cookie", "x_a"]


def test_a_trailer_that_says_close_closes(running: Running) -> None:
    """llhttp heeds `Connection: close` among trailers and drops what follows: the next request waited for ever."""
    client = running.client()

    client.send(b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nConnection: close\r\n\r\n")

    answer = client.answer()
    assert (answer.status, answer.headers[b"connection"]) == (200, b"close")
    assert client.is_closed


# What is refused before the app.

BAD = {
    "no Host": (400, GOOD + b"\r\n"),
    "empty Host": (400, GOOD + b"Host:\r\n\r\n"),
    "two Hosts": (400, GOOD + HOST + b"Host: other\r\n\r\n"),
    "two equal Hosts": (400, GOOD + HOST + HOST + b"\r\n"),
    "two Hosts under 1.0": (400, b"GET / HTTP/1.0\r\n" + HOST + HOST + b"\r\n"),
    **{
        f"a Host that is none, {host!r}": (400, GOOD + b"Host: " + host + b"\r\n\r\n")
        for host in (b"a b", b"a,b", b"a/b", b"a@b", b"a?b", b"a\\b", b"\xe4", b'"a"', b"<a>")
    },
    "a folded line": (400, GOOD + HOST + b"X: a\r\n b\r\n\r\n"),
    "bare LF": (400, b"GET / HTTP/1.1\nHost: a\n\n"),
    "bare LF in a header": (400, GOOD + b"Host: a\nX: b\r\n\r\n"),
    "bare CR in a header": (400, GOOD + b"Host: a\rX: b\r\n\r\n"),
    "bare LF at the end": (400, GOOD + HOST + b"\n"),
    "NUL in a value": (400, GOOD + HOST + b"X: a\0b\r\n\r\n"),
    "a control byte in a value": (400, GOOD + HOST + b"X: a\x01b\r\n\r\n"),
    "bytes over 127 in a target": (400, b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a blank before the colon": (400, GOOD + b"Host : a\r\n\r\n"),
    "a blank before the name": (400, GOOD + b" Host: a\r\n\r\n"),
    "no name": (400, GOOD + HOST + b": a\r\n\r\n"),
    "no colon": (400, GOOD + HOST + b"X\r\n\r\n"),
    "length, then coding": (400, POST + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "coding, then length": (400, POST + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
    "two lengths": (400, POST + HOST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    "a list of lengths": (400, POST + HOST + b"Content-Length: 3, 3\r\n\r\nabc"),
    "a signed length": (400, POST + HOST + b"Content-Length: +3\r\n\r\nabc"),
    "a long length": (400, POST + HOST + b"Content-Length: 0000000000000000003\r\n\r\nabc"),
    "a huge length": (400, POST + HOST + b"Content-Length: 99999999999999999999\r\n\r\n"),
    "chunked twice": (400, POST + HOST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n"),
    "identity, then chunked": (
        400,
        POST + HOST + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "chunked not last": (400, POST + HOST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    "an empty coding": (400, POST + HOST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n"),
    "a coding under 1.0": (400, b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "another coding": (501, POST + HOST + b"Transfer-Encoding: gzip\r\n\r\n"),
    "another coding and chunked": (501, POST + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "nearly chunked": (501, POST + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "HTTP/2.0": (505, b"GET / HTTP/2.0\r\n" + HOST + b"\r\n"),
    "HTTP/0.9": (505, b"GET /\r\n\r\n"),
    "the preface of HTTP/2": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "CONNECT": (405, b"CONNECT shop.test:443 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "TRACE": (405, b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "RTSP": (405, b"PLAY / RTSP/1.0\r\n" + HOST + b"\r\n"),
    "an unknown method": (400, b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "no HTTP at all": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_a_good_request_never_reaches_the_app(running: Running, name: str) -> None:
    status, request = BAD[name]
    client = running.client()

    client.send(request)
    answer = client.answer()

    assert (answer.status, answer.headers[b"connection"]) == (status, b"close")
    assert (b"allow" in answer.headers) == (status == 405)
    assert client.is_closed
    assert running.app.seen == []


def test_http_1_0_without_host_is_taken_for_health_checks(running: Running) -> None:
    assert running.ask(b"OPTIONS /ready HTTP/1.0\r\n\r\n").status == 200


@pytest.mark.parametrize(
    "bad_chunk", [b"3\nabc\r\n", b"0x3\r\nabc\r\n", b"3 \r\nabc\r\n", b"3\r\nabcX", b"f" * 17 + b"\r\n"]
)
def test_a_bad_chunk_is_refused_and_the_app_told(running: Running, bad_chunk: bytes) -> None:
    head = b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    client = running.client()
    client.send(head + b"1\r\na\r\n")
    block_until(lambda: running.app.seen)

    client.send(bad_chunk)

    assert client.answer().status == 400
    assert client.is_closed
    block_until(lambda: running.app.lost == ["/echo"])
