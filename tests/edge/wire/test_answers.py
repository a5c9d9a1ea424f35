"""How answers are framed, upgrades, and how a server stops."""

import json
import time

import pytest

from tests.edge.wire.rig import HOST, UPGRADE, WAIT_S, Running
from tests.patience import block_until

# Framing of answers.


def test_an_answer_without_length_is_chunked(running: Running) -> None:
    answer = running.ask(b"GET /stream HTTP/1.1\r\n" + HOST + b"\r\n")

    assert answer.body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


def test_an_answer_without_length_to_http_1_0_is_raw_and_closed(running: Running) -> None:
    answer = running.ask(b"GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n" + HOST + b"\r\n")

    assert (answer.body, answer.headers[b"connection"]) == (b"onetwo", b"close")
    assert b"transfer-encoding" not in answer.headers


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_broken_answer_does_not_look_whole(running: Running, version: bytes) -> None:
    client = running.client()
    client.send(b"GET /break HTTP/" + version + b"\r\n" + HOST + b"\r\n")

    if version == b"1.0":
        with pytest.raises(ConnectionResetError):
            client.rest()
    else:
        assert not client.rest().endswith(b"0\r\n\r\n")


def test_an_answer_in_two_parts_is_one_and_has_no_body_for_head(running: Running) -> None:
    client = running.client()
    answers = []
    for method in (b"GET", b"HEAD", b"GET"):
        client.send(method + b" /parts HTTP/1.1\r\n" + HOST + b"\r\n")
        answers.append(client.answer(head=method == b"HEAD"))

    assert [(answer.headers[b"x-from"], answer.headers[b"content-length"]) for answer in answers] == [
        (b"parts", b"6")
    ] * 3
    assert [answer.body for answer in answers] == [b"onetwo", b"", b"onetwo"]


def test_a_poll_is_answered_before_the_app_is_called(running: Running) -> None:
    client = running.client()
    answers = []
    for _ in range(2):
        client.send(b"GET /poll HTTP/1.1\r\n" + HOST + b"\r\n")
        answers.append(client.answer())
    old = running.client()
    old.send(b"GET /poll HTTP/1.0\r\n\r\n")

    assert [(answer.status, answer.headers[b"x-from"], answer.body) for answer in answers] == [
        (200, b"poll", b"1 127.0.0.1")
    ] * 2
    assert old.rest().split(b"\r\n") == [
        b"HTTP/1.1 200 OK",
        b"x-from: poll",
        b"content-length: 11",
        b"connection: close",
        b"",
        b"0 127.0.0.1",
    ]
    assert running.app.seen == []


@pytest.mark.parametrize(
    "line", [b"HEAD /poll HTTP/1.1", b"POST /poll HTTP/1.1", b"GET /poll? HTTP/1.1", b"GET /poll?raise HTTP/1.1"]
)
def test_what_is_no_poll_or_fails_as_one_is_the_apps(running: Running, line: bytes) -> None:
    client = running.client()
    client.send(line + b"\r\n" + HOST + b"\r\n")

    answer = client.answer(head=True)

    assert (answer.status, answer.headers.get(b"x-from"), len(running.app.seen)) == (200, None, 1)


def test_a_poll_behind_another_request_is_answered_in_its_turn(running: Running) -> None:
    client = running.client()
    poll = b"GET /poll HTTP/1.1\r\n" + HOST + b"\r\n"
    client.send(poll + b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n" + poll)

    bodies = [client.answer().body for _ in range(3)]

    assert bodies[0] == b"1 127.0.0.1"
    assert [json.loads(body)["path"] for body in bodies[1:]] == ["/echo", "/poll"]


def test_a_poll_with_a_body_still_to_come_closes_after_its_answer(running: Running) -> None:
    client = running.client()
    client.send(b"GET /poll HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\n")

    answer = client.answer()

    assert (answer.body, answer.headers[b"connection"], client.is_closed) == (b"2 127.0.0.1", b"close", True)


def test_an_app_that_raises_is_answered_500_and_one_that_lies_is_cut(running: Running) -> None:
    raised = running.ask(b"GET /raise HTTP/1.1\r\n" + HOST + b"\r\n")
    split = running.ask(b"GET /split HTTP/1.1\r\n" + HOST + b"\r\n")
    short = running.client()
    short.send(b"GET /short HTTP/1.1\r\n" + HOST + b"\r\n")

    assert (raised.status, raised.headers[b"connection"]) == (500, b"close")
    assert (split.status, b"set-cookie" in split.headers) == (500, False)
    with pytest.raises(AssertionError, match=r"cut|closed"):
        short.answer()


def test_a_304_and_an_answer_to_head_keep_their_length_and_the_connection(running: Running) -> None:
    client = running.client()

    client.send(b"GET /notmodified HTTP/1.1\r\n" + HOST + b"\r\n")
    not_modified = client.answer()
    client.send(b"HEAD /echo HTTP/1.1\r\n" + HOST + b"\r\n")
    head = client.answer(head=True)
    client.send(b"GET /early HTTP/1.1\r\n" + HOST + b"\r\n")

    assert not_modified.headers[b"content-length"] == b"700"
    assert int(head.headers[b"content-length"]) > 0
    assert client.answer().body == b"no"


# Upgrades.


def test_an_upgrade_is_an_ordinary_request_with_its_headers(running: Running) -> None:
    client = running.client()
    client.send(b"GET /echo HTTP/1.1\r\n" + HOST + UPGRADE + b"\r\n")

    first = client.answer().json
    client.send(b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n")
    second = client.answer().json

    assert ["upgrade", "websocket"] in first["headers"]
    assert ["sec-websocket-key", "abc"] in first["headers"]
    assert (first["can_hijack"], second["can_hijack"]) == (True, False)
    assert running.app.seen[0]["type"] == "http"


def test_what_follows_an_upgrade_that_did_not_happen_is_no_request(running: Running) -> None:
    client = running.client()
    client.send(b"GET /echo/1 HTTP/1.1\r\n" + HOST + UPGRADE + b"\r\nGET /echo/2 HTTP/1.1\r\n" + HOST + b"\r\n")

    assert client.answer().json["path"] == "/echo/1"
    assert client.is_closed
    assert len(running.app.seen) == 1


@pytest.mark.parametrize(
    ("framing", "body"),
    [(b"Content-Length: 3\r\n", b"abc"), (b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n0\r\nX: y\r\n\r\n")],
)
def test_a_body_behind_an_upgrade_is_read_and_the_upgrade_ignored(
    running: Running, framing: bytes, body: bytes
) -> None:
    """Java's client asks every plain http server for h2c, also with a POST."""
    client = running.client()
    request = b"POST /echo HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n" + framing + b"\r\n" + body

    client.send(request)
    first = client.answer().json
    for byte in request:
        client.send(bytes([byte]))
    second = client.answer().json
    client.send(request + request)

    assert first["body"] == second["body"] == client.answer().json["body"] == client.answer().json["body"] == "abc"
    assert not first["can_hijack"]


def test_a_hijacked_connection_belongs_to_the_tunnel(running: Running) -> None:
    client = running.client()
    client.send(b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\nGET /upgrade HTTP/1.1\r\n" + HOST + UPGRADE + b"\r\nearly")
    assert client.answer().status == 200
    assert client.answer().headers[b"upgrade"] == b"capitals"

    client.send(b" late")
    while len(client.buffer) < len(b"EARLY LATE"):
        client.more()

    assert client.buffer == b"EARLY LATE"
    client.sock.close()
    block_until(lambda: running.app.ended == ["/echo", "/upgrade"])


def test_an_ordinary_request_cannot_be_hijacked(running: Running) -> None:
    failed = running.ask(b"GET /upgrade HTTP/1.1\r\n" + HOST + b"\r\n")
    assert (failed.status, failed.headers[b"cache-control"]) == (500, b"private, no-store")
    assert running.ask(b"GET /upgrade HTTP/1.0\r\n" + HOST + UPGRADE + b"\r\n").status == 500


# Stopping.


def test_a_stop_goes_on_for_its_delay_and_finishes_what_is_under_way(mortal: Running) -> None:
    held, idle = mortal.client(), mortal.client()
    held.send(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n")
    idle.send(b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n")
    assert idle.answer().status == 200
    block_until(lambda: len(mortal.app.seen) == 2)

    mortal.stop(times=1)
    block_until(lambda: mortal.stopping)
    during = mortal.ask(b"GET /early HTTP/1.1\r\n" + HOST + b"\r\n")
    assert idle.is_closed
    block_until(lambda: not mortal.listener_open())
    mortal.release()

    assert (during.status, during.headers[b"connection"]) == (403, b"close")
    assert held.answer().headers[b"connection"] == b"close"
    mortal.thread.join(WAIT_S)
    assert not mortal.thread.is_alive()


@pytest.mark.timed
def test_a_second_stop_ends_at_once(mortal: Running) -> None:
    client = mortal.client()
    client.send(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n")
    block_until(lambda: mortal.app.seen)
    began = time.monotonic()

    mortal.stop(times=2)
    mortal.thread.join(WAIT_S)

    assert not mortal.thread.is_alive()
    assert time.monotonic() - began < 2
    assert mortal.app.lost == ["/held"]


def test_what_does_not_end_in_time_is_broken(mortal: Running) -> None:
    client = mortal.client()
    client.send(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n")
    block_until(lambda: mortal.app.seen)

    mortal.stop(times=1)
    mortal.thread.join(WAIT_S)

    assert not mortal.thread.is_alive()
    assert client.is_closed
