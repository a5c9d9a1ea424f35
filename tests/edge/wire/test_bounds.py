"""The bounds of a head, of waiting, and of connections."""

import time

import pytest

from tests.edge.wire.rig import HOST, LIMITS, Running
from tests.patience import block_until


def test_a_head_at_the_limit_is_taken_and_one_beyond_is_not(running: Running) -> None:
    room = LIMITS.head_bytes - len(b"/echo") - len(b"hostshop.test") - 4 - len(b"x") - 4
    start = b"GET /echo HTTP/1.1\r\n" + HOST + b"X: "

    taken = running.ask(start + b"a" * room + b"\r\n\r\n")
    refused = running.ask(start + b"a" * (room + 1) + b"\r\n\r\n")

    assert (taken.status, refused.status) == (200, 431)


def test_more_fields_than_anybody_needs_are_refused(running: Running) -> None:
    start = b"GET /echo HTTP/1.1\r\n" + HOST

    taken = running.ask(start + b"a: b\r\n" * 499 + b"\r\n")
    refused = running.ask(start + b"a: b\r\n" * 500 + b"\r\n")

    assert (taken.status, refused.status) == (200, 431)


def test_a_host_longer_than_a_name_can_be_is_refused(running: Running) -> None:
    """What is remembered of clients is kept by their Host: 60 KB of it, 4,096 times, were half a gigabyte."""
    answer = running.ask(b"GET /echo HTTP/1.1\r\nHost: " + b"a" * 301 + b"\r\n\r\n")

    assert answer.status == 400


def test_a_head_behind_another_request_has_the_same_limit(running: Running) -> None:
    client = running.client()

    client.send(
        b"GET /echo/1 HTTP/1.1\r\n"
        + HOST
        + b"\r\nGET /echo/2 HTTP/1.1\r\n"
        + HOST
        + b"X: "
        + b"a" * 70_000
        + b"\r\n\r\n"
    )

    assert client.answer().status == 200
    assert client.answer().status == 431
    assert client.is_closed


@pytest.mark.parametrize("endless", [b"X: " + b"a" * 8192, b"X: a\r\n" * 1024, b"\r\n" * 4096])
def test_an_endless_head_is_cut(running: Running, endless: bytes) -> None:
    client = running.client()
    if endless[:1] == b"X":
        client.send(b"GET / HTTP/1.1\r\n" + HOST)

    for _ in range(12):
        client.send(endless)

    assert client.answer().status == 431
    assert running.app.seen == []


def test_an_endless_trailer_is_cut(running: Running) -> None:
    client = running.client()
    client.send(b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ")
    block_until(lambda: running.app.seen)

    for _ in range(20):
        client.send(b"a" * 8192)

    assert client.answer().status == 400
    block_until(lambda: running.app.lost == ["/echo"])


@pytest.mark.timed
def test_a_slow_head_gets_408_from_its_first_byte_on(running: Running) -> None:
    client = running.client()
    began = time.monotonic()

    for byte in b"GET / HTTP/1.1\r\nHost: shop.t":
        client.send(bytes([byte]))
        time.sleep(0.02)
        if time.monotonic() - began > LIMITS.head_s:
            break

    assert client.answer().status == 408
    assert LIMITS.head_s <= time.monotonic() - began < LIMITS.head_s + 2
    assert client.is_closed


@pytest.mark.timed
def test_a_connection_that_says_nothing_is_closed(running: Running) -> None:
    silent, blank = running.client(), running.client()
    began = time.monotonic()

    blank.send(b"\r\n")
    time.sleep(0.4)
    blank.send(b"\r\n")

    assert silent.is_closed
    assert blank.is_closed
    assert -0.02 < time.monotonic() - began - LIMITS.idle_s < 2  # a loop counts in milliseconds of its own


@pytest.mark.timed
def test_an_idle_connection_is_kept_and_then_closed(running: Running) -> None:
    client = running.client()
    for _ in range(3):
        client.send(b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n")
        assert client.answer().status == 200
        time.sleep(LIMITS.idle_s * 0.6)
    began = time.monotonic()

    assert client.is_closed

    assert 0.1 < time.monotonic() - began < LIMITS.idle_s + 2


def test_idle_connections_make_room_for_new_ones(crowded: Running) -> None:
    """Those that never brought a request go first; one whose request is under way stays."""
    held, used = crowded.client(), crowded.client()
    held.send(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n")
    used.send(b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n")
    used.answer()
    silent, half = crowded.client(), crowded.client()
    half.send(b"GET / HT")
    block_until(lambda: len(crowded.server.edge.connections) == crowded.limits.connections)

    statuses = [crowded.ask(b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n").status for _ in range(2)]

    assert statuses == [200, 200]
    assert silent.is_closed
    assert half.is_closed
    used.send(b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n")
    assert used.answer().status == 200
    crowded.release()
    assert held.answer().body == b"go"


def test_where_no_connection_is_idle_the_newest_is_closed(crowded: Running) -> None:
    held = [crowded.client() for _ in range(crowded.limits.connections)]
    for client in held:
        client.send(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n")
    block_until(lambda: len(crowded.app.seen) == len(held))

    assert crowded.client().is_closed

    crowded.release()
    assert [client.answer().body for client in held] == [b"go"] * len(held)


def test_a_body_that_stops_coming_ends_the_connection(running: Running) -> None:
    client = running.client()

    client.send(b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\nabc")

    assert client.is_closed
    assert running.app.lost == ["/echo"]


def test_a_client_that_reads_nothing_ends_the_connection(running: Running) -> None:
    client = running.client()

    client.send(b"GET /flood HTTP/1.1\r\n" + HOST + b"\r\n")

    block_until(lambda: running.app.lost == ["/flood"])


def test_a_request_under_way_outlives_the_idle_limit(running: Running) -> None:
    client = running.client()
    client.send(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n")

    time.sleep(LIMITS.idle_s * 2.5)
    running.release()

    assert client.answer().body == b"go"
