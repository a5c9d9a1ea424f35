"""The table of changes, and who the client is."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitroom.core.errors import ORIGIN_STATUS, OriginFailure
from waitroom.core.requests import fields_of
from waitroom.core.settings import Origin, Settings
from waitroom.edge.clients import Client, Clients, port_of, read_address
from waitroom.edge.shop.headers import MEMO_LIMIT, Body, HeaderTable, RequestHead, origin_form

Header = tuple[bytes, bytes]
ORIGIN = Origin("http", "shop.internal", 3000)
HOST = (b"host", b"shop.example")


def settings(**fields: Any) -> Settings:
    return Settings(origin=ORIGIN, **fields)


def client(peer: str = "192.0.2.7", *headers: Header, scheme: str = "http", **fields: Any) -> Client:
    scope = {"type": "http", "client": (peer, 5), "scheme": scheme, "headers": [HOST, *headers]}
    return Clients(settings(**fields)).of(scope)


def request(
    *headers: Header, to_origin: tuple[Header, ...] = (), drop: frozenset[bytes] = frozenset(), **fields: Any
) -> RequestHead:
    table = HeaderTable(settings())
    asking = client("192.0.2.7", *headers, **fields)
    return table.request("GET", b"/x", "1.1", [HOST, *headers], asking, to_origin=to_origin, drop=drop)


def names(head: RequestHead) -> list[bytes]:
    return [line.partition(b":")[0] for line in head.head.split(b"\r\n")[1:-2]]


def value(head: RequestHead, name: bytes) -> bytes:
    (found,) = [line.partition(b": ")[2] for line in head.head.split(b"\r\n")[1:-2] if line.startswith(name + b": ")]
    return found


def answered(*headers: Header, status: int = 200, to_client: tuple[Header, ...] = ()) -> list[Header]:
    return HeaderTable(settings()).answer(status, "1.1", headers, to_client)[0]


# To the shop.


@pytest.mark.parametrize("name", [b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade", b"connection"])
def test_fields_of_one_hop_end_here(name: bytes) -> None:
    assert name not in names(request((name, b"close")))


def test_what_connection_names_ends_here_but_never_host_or_the_framing() -> None:
    named = (b"connection", b"close, X-Secret ,x_under, Host, content-length, keep-alive, via")
    head = request((b"x-secret", b"1"), (b"x-under", b"1"), named, (b"x-kept", b"1"), (b"content-length", b"5"))

    assert names(head)[:3] == [b"host", b"x-kept", b"content-length"]
    assert head.body is Body.LENGTH
    assert value(head, b"via").startswith(b"1.1 waitroom-")


@pytest.mark.parametrize(
    "name",
    [
        b"waitroom-place",
        b"waitroom_place",
        b"waitroom.place",
        b"waitroom-anything",
        b"waitroom_admitted-at",
        b"waitroom-ticket",
    ],
)
def test_our_names_never_come_from_outside(name: bytes) -> None:
    head = request((name, b"forged"), to_origin=((b"waitroom-place", b"7"),))

    assert b"forged" not in head.head
    assert value(head, b"waitroom-place") == b"7"


@pytest.mark.parametrize("name", [b"x-original-url", b"x_original_url", b"x-original_url", b"x.original~url"])
def test_names_to_drop_are_dropped_in_any_spelling(name: bytes) -> None:
    assert name not in names(request((name, b"/"), drop=frozenset((b"x-original-url",))))
    assert name in names(request((name, b"/")))


@pytest.mark.parametrize("trusted", [True, False])
def test_other_spellings_of_forwarding_names_are_dropped_from_everybody(trusted: bool) -> None:
    proxies = "192.0.2.0/24" if trusted else ""
    forged = [b"x_forwarded_for", b"x-forwarded_proto", b"x_real_ip", b"transfer_encoding", b"content_length"]
    head = request(*((name, b"forged") for name in forged), trusted_proxies=proxies)

    assert b"forged" not in head.head


def test_forwarding_fields_are_replaced_for_strangers() -> None:
    said = [(b"x-forwarded-for", b"1.1.1.1"), (b"x-forwarded-proto", b"https"), (b"x-forwarded-host", b"evil")]
    more = [(b"forwarded", b"for=evil"), (b"x-real-ip", b"evil"), (b"x-forwarded-ssl", b"evil")]
    head = request(*said, *more)

    assert b"evil" not in head.head
    assert head.head.endswith(
        b"x-forwarded-for: 192.0.2.7\r\nx-forwarded-proto: http\r\n"
        b"x-forwarded-host: shop.example\r\nx-forwarded-port: 80\r\n\r\n"
    )


def test_forwarding_fields_of_a_trusted_proxy_are_continued() -> None:
    said = [(b"x-forwarded-for", b"1.1.1.1, 2.2.2.2"), (b"x-forwarded-for", b"3.3.3.3")]
    more = [(b"x-forwarded-proto", b"https"), (b"x-forwarded-prefix", b"/kept"), (b"x-real-ip", b"kept")]
    head = request(*said, *more, trusted_proxies="192.0.2.0/24")

    assert value(head, b"x-forwarded-for") == b"1.1.1.1, 2.2.2.2, 3.3.3.3, 192.0.2.7"
    assert value(head, b"x-forwarded-proto") == b"https"
    assert value(head, b"x-forwarded-port") == b"443"
    assert value(head, b"x-forwarded-prefix") == b"/kept"
    assert value(head, b"x-real-ip") == b"kept"


def test_our_cookies_are_taken_out_and_others_keep_their_bytes() -> None:
    cookie = b'a="x y"; __Host-waitroom_shop_ticket=t; =odd;b=2; waitroom_shop_pass=p'

    assert value(request((b"cookie", cookie)), b"cookie") == b'a="x y"; =odd;b=2'
    assert b"cookie" not in names(request((b"cookie", b"waitroom_shop_pass=p")))
    assert value(request((b"cookie", b"a=my_waitroom_x")), b"cookie") == b"a=my_waitroom_x"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([], Body.NONE),
        ([(b"content-length", b"0")], Body.NONE),
        ([(b"content-length", b"000")], Body.NONE),
        ([(b"content-length", b"010")], Body.LENGTH),
        ([(b"transfer-encoding", b"Chunked")], Body.CHUNKED),
    ],
)
def test_a_body_is_known_by_its_framing(headers: list[Header], body: Body) -> None:
    head = request(*headers)

    assert head.body is body
    assert (b"transfer-encoding" in names(head)) == (body is Body.CHUNKED)


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"gzip", b"chunked, chunked", b""])
def test_other_transfer_codings_are_refused(coding: bytes) -> None:
    with pytest.raises(OriginFailure) as failure:
        request((b"transfer-encoding", coding))

    assert failure.value.status == 501


def test_a_loop_is_seen_by_our_id_and_only_by_it() -> None:
    table = HeaderTable(settings())
    other = HeaderTable(Settings(origin=ORIGIN, room="other"))
    looped: list[Header] = [HOST, (b"via", b"1.1 fred"), (b"via", b"1.0 x, 1.1 " + table.own_id)]

    assert table.has_looped(fields_of(looped))
    assert not other.has_looped(fields_of(looped))
    with pytest.raises(OriginFailure) as failure:
        table.request("GET", b"/", "1.1", looped, client())
    assert failure.value.status == 508


def test_a_request_without_host_gets_the_origins() -> None:
    table = HeaderTable(settings())
    nobody = Clients(settings()).of({"type": "http", "client": None, "scheme": "http", "headers": []})

    head = table.request("GET", b"/", "1.0", [], nobody)

    assert value(head, b"host") == b"shop.internal:3000"
    assert value(head, b"via").startswith(b"1.0 ")


@pytest.mark.parametrize(
    ("target", "form"),
    [
        (b"*", b"*"),
        (b"http://h", b"/"),
        (b"http://h/", b"/"),
        (b"HTTP://h:80/a//b?c#d", b"/a//b?c#d"),
        (b"http://h?x=/y", b"/?x=/y"),
        (b"http://h?u=http://x/y", b"/?u=http://x/y"),
        (b"https://user@[::1]:8/p", b"/p"),
    ],
)
def test_the_absolute_form_loses_scheme_and_host(target: bytes, form: bytes) -> None:
    assert origin_form(target) == form


TOKEN = st.text("abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+.^`|~-_", min_size=1, max_size=20).map(str.encode)
VALUE = st.binary(max_size=30).filter(lambda raw: not set(raw) & {0, 10, 13})
SPECIAL = ("waitroom", "x-forwarded-", "x-real-ip", "forwarded")
NAMED = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
NAMED |= {b"host", b"via", b"cookie", b"content-length", b"expect"}


@given(st.lists(st.tuples(TOKEN, VALUE), max_size=12))
def test_whatever_the_table_does_not_name_passes_unchanged(headers: list[Header]) -> None:
    def is_named(name: bytes) -> bool:
        return name.replace(b"_", b"-") in NAMED or name.decode().replace("_", "-").startswith(SPECIAL)

    others = [(name, val) for name, val in headers if not is_named(name)]

    head = request(*others).head

    expected = b"".join(b"%b: %b\r\n" % field for field in [HOST, *others])
    assert head.startswith(b"GET /x HTTP/1.1\r\n" + expected + b"via: ")
    assert answered(*others)[: len(others)] == others


def test_invented_names_do_not_fill_the_memory() -> None:
    table = HeaderTable(settings())
    for number in range(MEMO_LIMIT + 100):
        table.request(
            "GET", b"/", "1.1", [HOST, (b"x-%d" % number, b"1"), (b"waitroom-%d" % number, b"forged")], client()
        )

    head = table.request("GET", b"/", "1.1", [HOST, (b"waitroom-%d" % (MEMO_LIMIT + 50), b"forged")], client())

    assert b"forged" not in head.head
    assert len(table._request_acts) <= MEMO_LIMIT


# To the client.


def test_the_shops_commands_stay_with_us() -> None:
    table = HeaderTable(settings())
    sent = [(b"waitroom-command", b"complete"), (b"x", b"1"), (b"waitroom_order_id", b"7")]

    passed, commands = table.answer(200, "1.1", sent)

    assert passed[0] == (b"x", b"1")
    assert len(passed) == 2
    assert commands == ((b"waitroom-command", b"complete"), (b"waitroom_order_id", b"7"))


def test_an_answers_connection_names_end_here_but_not_its_length() -> None:
    fields = answered((b"x-hop", b"1"), (b"connection", b"x-hop, content-length"), (b"content-length", b"5"))

    assert [name for name, _ in fields] == [b"content-length", b"via"]


@pytest.mark.parametrize(("status", "kept"), [(200, True), (206, True), (204, False), (304, False)])
def test_the_length_goes_where_there_is_no_body(status: int, kept: bool) -> None:
    assert ((b"content-length", b"5") in answered((b"content-length", b"5"), status=status)) == kept


def test_the_shop_cannot_set_our_cookies() -> None:
    fields = answered((b"set-cookie", b"__Secure-waitroom_shop_pass=x"), (b"set-cookie", b"a=waitroom_"))

    assert fields[0] == (b"set-cookie", b"a=waitroom_")
    assert len(fields) == 2


def test_an_answer_with_our_cookie_is_nobody_elses() -> None:
    cookie = (b"set-cookie", b"waitroom_shop_pass=new")
    fields = answered(
        (b"cache-control", b"public, max-age=60"),
        (b"cache-control", b"s-maxage=9"),
        (b"cdn-cache-control", b"max-age=9"),
        to_client=(cookie,),
    )

    (control,) = [said for name, said in fields if name == b"cache-control"]
    assert {b"private", b'no-cache="set-cookie"', b"max-age=60"} == set(control.split(b", "))
    assert not any(name == b"cdn-cache-control" for name, _ in fields)
    assert fields[-1] == cookie


def test_an_answer_without_our_cookie_keeps_its_cache_fields() -> None:
    fields = [(b"cache-control", b"public, s-maxage=9"), (b"surrogate-control", b"max-age=9")]

    assert answered(*fields, to_client=((b"x-other", b"1"),))[:2] == fields


# The client.


@pytest.mark.parametrize(
    ("forwarded", "ip"),
    [
        (b"198.51.100.1", "198.51.100.1"),
        (b"6.6.6.6, 198.51.100.1", "198.51.100.1"),
        (b"6.6.6.6, 198.51.100.1, 10.0.0.9", "198.51.100.1"),
        (b"10.0.0.8, 10.0.0.9", "10.0.0.8"),
        (b"198.51.100.1, nonsense", "10.0.0.1"),
        (b"198.51.100.1, nonsense, 10.0.0.9", "10.0.0.9"),
        (b"", "10.0.0.1"),
        (b"[2001:db8::1]:443", "2001:db8::1"),
        (b"198.51.100.1:555", "198.51.100.1"),
        (b"::ffff:198.51.100.1", "198.51.100.1"),
    ],
)
def test_the_client_is_the_nearest_address_that_is_no_trusted_proxy(forwarded: bytes, ip: str) -> None:
    found = client("10.0.0.1", (b"x-forwarded-for", forwarded), trusted_proxies="10.0.0.0/8")

    assert (found.ip, found.peer, found.trusted) == (ip, "10.0.0.1", True)


def test_the_last_value_of_a_trusted_proxy_counts() -> None:
    said = [(b"x-forwarded-proto", b"ftp, https"), (b"x-forwarded-host", b"evil, shop.example:8443")]
    found = client("10.0.0.1", *said, trusted_proxies="10.0.0.0/8")

    assert (found.scheme, found.host, found.port) == ("https", b"shop.example:8443", 8443)


@pytest.mark.parametrize("told", [b"", b"evil, ", b"a b", b'a"b', b"a/b", b"a@b", b"h" * 301])
def test_what_names_no_host_is_none_from_a_trusted_proxy_either(told: bytes) -> None:
    """Many proxies pass on what a client says of it: as long as a header may be, the link to a device was a 500."""
    found = client("10.0.0.1", (b"x-forwarded-host", told), trusted_proxies="10.0.0.0/8")

    assert found.host == b"shop.example"


def test_strangers_say_nothing_about_themselves_but_are_noted_once() -> None:
    told: list[str] = []
    clients = Clients(settings(), tell=told.append)
    headers = [HOST, (b"x-forwarded-proto", b"https"), (b"x-forwarded-for", b"1.1.1.1")]
    scope: dict[str, Any] = {"type": "http", "client": ("192.0.2.7", 5), "scheme": "http", "headers": headers}

    found = clients.of(scope)
    clients.of({**scope, "client": ("192.0.2.8", 5)})

    assert (found.ip, found.scheme, found.trusted) == ("192.0.2.7", "http", False)
    assert len(told) == 1
    assert "WAITROOM_TRUSTED_PROXIES=192.0.2.7" in told[0]


@pytest.mark.parametrize("peer", ["192.0.2.7", "10.0.0.1"])
def test_the_public_url_fixes_scheme_and_host(peer: str) -> None:
    said = [(b"x-forwarded-proto", b"http"), (b"x-forwarded-host", b"evil"), (b"x-forwarded-port", b"1")]
    found = client(peer, *said, trusted_proxies="10.0.0.0/8", public_url="https://shop.example:444")

    assert (found.scheme, found.host, found.port) == ("https", b"shop.example:444", 444)


def test_a_client_met_before_is_told_by_scheme_and_host_as_well() -> None:
    clients = Clients(settings())
    scope: dict[str, Any] = {"type": "http", "client": ("192.0.2.7", 5), "scheme": "http", "headers": [HOST]}

    seen = [clients.of(scope), clients.of({**scope, "scheme": "https"}), clients.of({**scope, "headers": []})]

    assert [(found.scheme, found.host, found.port) for found in seen] == [
        ("http", b"shop.example", 80),
        ("https", b"shop.example", 443),
        ("http", b"", 80),
    ]


@pytest.mark.parametrize(
    ("host", "port"), [(b"h", 443), (b"h:8", 8), (b"[::1]", 443), (b"[::1]:9", 9), (b"h:", 443), (b"h:x", 443)]
)
def test_the_port_comes_from_the_host_or_the_scheme(host: bytes, port: int) -> None:
    assert port_of(host, "https") == port


@given(st.binary(max_size=40))
def test_no_entry_breaks_the_reading_of_addresses(entry: bytes) -> None:
    read_address(entry)


def test_every_failure_has_a_public_status() -> None:
    assert {kind: OriginFailure(kind).status for kind in ORIGIN_STATUS} == dict(ORIGIN_STATUS)
    assert set(ORIGIN_STATUS.values()) <= {408, 501, 502, 503, 504, 508}


def test_many_connection_fields_cost_no_more_than_many_fields() -> None:
    """Each new name in a Connection field began the whole head anew: 30 KB blocked a worker for more than a second."""
    table = HeaderTable(settings())
    some = [
        HOST,
        *((b"connection", b"a%d" % index) for index in range(1500)),
        *((b"a%d" % i, b"") for i in range(1500)),
    ]
    began = time.process_time()

    head = table.request("GET", b"/", "1.1", some, client("192.0.2.7")).head

    assert b"\r\na1" not in head
    assert time.process_time() - began < 0.2
