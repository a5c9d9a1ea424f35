"""The order of requests and answers on one connection, answers before the body, and the end of a connection."""

import gc
import itertools
import random
import socket
import struct
import threading
import time

import pytest

from tests.edge.wire.rig import HOST, LIMITS, UPGRADE, WAIT_S, Running
from tests.patience import block_until

# Pipelining, and the end of a connection.


def test_pipelined_requests_are_answered_in_order(running: Running) -> None:
    client = running.client()

    client.send(
        b"".join(
            b"POST /echo/%d HTTP/1.1\r\n" % i + HOST + b"Content-Length: 1\r\n\r\n" + b"%d" % (i % 10)
            for i in range(20)
        )
    )

    assert [client.answer().json["path"] for _ in range(20)] == [f"/echo/{i}" for i in range(20)]


def test_requests_that_come_while_one_is_held_are_answered_after_it(patient: Running) -> None:
    client = patient.client()
    client.send(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\nGET /echo/1 HTT")
    block_until(lambda: patient.app.seen)

    client.send(b"P/1.1\r\n" + HOST + b"\r\nPOST /echo/2 HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\na")
    time.sleep(0.05)
    client.send(b"bc")
    time.sleep(0.05)
    assert len(patient.app.seen) == 1
    patient.release()

    assert client.answer().body == b"go"
    assert client.answer().json["path"] == "/echo/1"
    assert client.answer().json["body"] == "abc"


@pytest.mark.parametrize("path", ["/held", "/disconnect"])
@pytest.mark.parametrize(
    "behind", [b"", b"GET /2 HTTP/1.1\r\n" + HOST + b"\r\n", b"GET /2 HT", b"POST /2 HTTP/1.1\r\n"]
)
@pytest.mark.parametrize("apart", [False, True])
def test_a_lost_connection_is_told_also_with_data_behind(
    running: Running, path: str, behind: bytes, apart: bool
) -> None:
    client = running.client()
    request = b"GET " + path.encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n"

    client.send(request if apart else request + behind)
    block_until(lambda: running.app.seen)
    if apart and behind:
        client.send(behind)
        client.send(behind)
    time.sleep(0.02)
    client.sock.close()

    block_until(lambda: running.app.lost == [path])
    block_until(lambda: running.app.ended == [path])
    assert len(running.app.seen) == 1


def test_more_behind_a_request_than_is_held_costs_nobody_memory(running: Running) -> None:
    client = running.client()
    client.send(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n")
    block_until(lambda: running.app.seen)

    client.send(b"POST /2 HTTP/1.1\r\n" + HOST + b"Content-Length: 4000000\r\n\r\n" + b"x" * 4_000_000)
    (connection,) = running.server.edge.connections
    running.release()
    answer = client.answer()

    assert (answer.body, answer.headers[b"connection"]) == (b"go", b"close")
    assert len(connection.held) <= LIMITS.behind_bytes  # type: ignore[union-attr]
    assert len(running.app.seen) == 1


def test_a_flood_of_small_requests_is_cut_after_those_that_are_kept(running: Running) -> None:
    client = running.client()

    client.send(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n" + (b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n") * 1000)
    block_until(lambda: running.app.seen)
    running.release()

    answers = [client.answer() for _ in range(LIMITS.behind_requests + 1)]
    assert [b"connection" in answer.headers for answer in answers] == [False] * LIMITS.behind_requests + [True]
    assert client.is_closed


def test_a_refusal_waits_for_the_answers_before_it(running: Running) -> None:
    client = running.client()
    client.send(
        b"GET /held HTTP/1.1\r\n" + HOST + b"\r\nGET /echo HTTP/1.1\r\n" + HOST + b"\r\nBREW / HTTP/1.1\r\n\r\n"
    )
    block_until(lambda: running.app.seen)
    time.sleep(0.05)

    running.release()

    assert [client.answer().status for _ in range(3)] == [200, 200, 400]
    assert client.is_closed


def test_nothing_after_connection_close_is_read(running: Running) -> None:
    client = running.client()

    client.send(
        b"GET /echo/1 HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\nGET /echo/2 HTTP/1.1\r\n" + HOST + b"\r\n"
    )

    assert client.answer().headers[b"connection"] == b"close"
    assert client.is_closed
    assert len(running.app.seen) == 1


# Answers before the body.


def test_an_answer_before_the_body_closes_and_the_body_is_no_request(running: Running) -> None:
    client = running.client()
    smuggled = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
    client.send(
        b"POST /early HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(smuggled)
    )

    answer = client.answer()
    client.send(smuggled)

    assert (answer.status, answer.headers[b"connection"]) == (403, b"close")
    assert client.is_closed
    assert [scope["path"] for scope in running.app.seen] == ["/early"]


def test_expect_is_answered_once_the_app_wants_the_body(running: Running) -> None:
    client = running.client()
    client.send(b"POST /echo HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")

    assert client.answer(head=True).status == 100
    client.send(b"abc")

    assert client.answer().json["body"] == "abc"


def test_expect_under_http_1_0_is_ignored(running: Running) -> None:
    client = running.client()
    client.send(b"POST /echo HTTP/1.0\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    time.sleep(0.05)
    client.send(b"abc")

    assert client.answer().json["body"] == "abc"


def test_a_large_early_answer_arrives_whole_although_the_client_still_sends(patient: Running) -> None:
    client = patient.client()
    client.send(b"POST /large HTTP/1.1\r\n" + HOST + b"Content-Length: 100000000\r\n\r\n")
    sender = threading.Thread(target=send_until_closed, args=(client.sock,))
    sender.start()
    time.sleep(0.1)

    answer = client.answer()

    assert (answer.status, len(answer.body)) == (403, 3_000_000)
    client.sock.shutdown(socket.SHUT_RDWR)
    sender.join(WAIT_S)
    block_until(lambda: not patient.server.edge.connections)


def send_until_closed(sock: socket.socket) -> None:
    try:
        for _ in range(2000):
            sock.sendall(b"x" * 50_000)
    except OSError:
        pass


def test_a_client_that_never_stops_sending_is_ended(running: Running) -> None:
    client = running.client()
    client.send(b"POST /early HTTP/1.1\r\n" + HOST + b"Content-Length: 100000000\r\n\r\n")
    assert client.answer().status == 403

    block_until(lambda: not running.server.edge.connections)


def test_a_reset_in_the_middle_of_anything_leaves_nothing_behind(running: Running) -> None:
    requests = [
        b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n" + b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n",
        b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\nabc",
        b"GET /flood HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTT",
        b"BREW / HTTP/1.1\r\n\r\n",
        b"GET /upgrade HTTP/1.1\r\n" + HOST + UPGRADE + b"\r\n",
    ]
    for request in requests * 5:
        client = running.client()
        client.send(request)
        time.sleep(0.005)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sock.close()

    block_until(lambda: not running.server.edge.connections and not running.server.edge.tasks)


@pytest.mark.parametrize("seed", range(12))
def test_where_the_bytes_are_cut_changes_nothing(patient: Running, seed: int) -> None:
    requests = [
        b"GET /echo/1?a HTTP/1.1\r\n" + HOST + b"X-Empty:\r\n\r\n",
        b"POST /echo/2 HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nabcde",
        b"\r\nPOST /echo/3 HTTP/1.1\r\n"
        + HOST
        + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-T:\r\nX-U: u\r\n\r\n",
        b"POST /echo/4 HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc",
        b"HEAD /echo/5 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /echo/6 HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 3000 + b"\r\n\r\n",
    ]
    stream = b"".join(requests)
    cuts = sorted(random.Random(seed).sample(range(1, len(stream)), 25))
    client = patient.client()
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    for begin, end in itertools.pairwise([0, *cuts, len(stream)]):
        client.send(stream[begin:end])
        time.sleep(0.001)
    answers = [client.answer(head=i == 5) for i in range(1, 7)]

    bodies = [answer.json for i, answer in enumerate(answers, 1) if i != 5]
    assert [body["path"] for body in bodies] == ["/echo/1", "/echo/2", "/echo/3", "/echo/4", "/echo/6"]
    assert [body["body"] for body in bodies] == ["", "abcde", "ab", "abc", ""]
    assert bodies[0]["headers"] == [["host", "shop.test"], ["x-empty", ""]]
    assert bodies[4]["headers"] == [["host", "shop.test"], ["x", "y" * 3000]]


@pytest.mark.timed
def test_a_request_leaves_nothing_for_the_collector(patient: Running) -> None:
    """Cyclic garbage per request would cost a pause of the collector every few hundred of them."""
    client = patient.client()
    request = b"GET /early HTTP/1.1\r\n" + HOST + b"\r\n"
    client.send(request)
    client.answer()
    gc.collect()
    gc.disable()
    try:
        for _ in range(200):
            client.send(request)
            client.answer()
        patient.app.seen.clear()
        assert gc.collect() < 200
    finally:
        gc.enable()
