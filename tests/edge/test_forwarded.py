"""The `Forwarded` field (RFC 7239), where it is switched on."""

from typing import Any

import pytest

from waitroom.core.parse import parse_networks
from waitroom.core.requests import Header
from waitroom.core.settings import Origin, Settings
from waitroom.edge.clients import Clients, make_client
from waitroom.edge.passage import leaves
from waitroom.edge.shop.headers import HeaderTable

ORIGIN = Origin("http", "shop.internal", 3000)


def told(peer: str, *headers: Header, host: bytes = b"shop.example:8080", **fields: Any) -> list[bytes]:
    """The values of Forwarded in the request to the shop, in order."""
    settings = Settings(**{"origin": ORIGIN, "forwarded": True, **fields})
    fields_sent = [(b"host", host), *headers]
    client = Clients(settings).of({"type": "http", "client": (peer, 5), "scheme": "http", "headers": fields_sent})
    head = HeaderTable(settings).request("GET", b"/", "1.1", fields_sent, client).head
    return [line.partition(b": ")[2] for line in head.split(b"\r\n") if line.startswith(b"forwarded: ")]


TRUSTED = parse_networks("192.0.2.0/24,2001:db8::/32")
PROXY = "192.0.2.9"


def test_it_is_off_unless_asked_for() -> None:
    assert told("203.0.113.7", forwarded=False) == []
    assert told(PROXY, (b"x-forwarded-for", b"203.0.113.7"), forwarded=False, trusted_proxies=TRUSTED) == []


@pytest.mark.parametrize(
    ("peer", "node"), [("203.0.113.7", b"203.0.113.7"), ("2001:db8::1", b'"[2001:db8::1]"'), ("", b"unknown")]
)
def test_a_client_of_our_own_is_told_with_host_and_scheme(peer: str, node: bytes) -> None:
    assert told(peer) == [b'for=%b;host="shop.example:8080";proto=http' % node]


def test_what_strangers_say_of_it_does_not_count() -> None:
    said = (b"forwarded", b"for=10.0.0.1;proto=https")

    assert told("203.0.113.7", said, trusted_proxies=TRUSTED) == [
        b'for=203.0.113.7;host="shop.example:8080";proto=http'
    ]


def test_the_way_through_trusted_proxies_is_told_from_the_first_hop() -> None:
    headers = (
        (b"x-forwarded-for", b"2001:db8:1::5, not an address"),
        (b"x-forwarded-for", b"198.51.100.4:99"),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-host", b"shop.example"),
    )

    assert told(PROXY, *headers, trusted_proxies=TRUSTED) == [
        b'for="[2001:db8:1::5]";host="shop.example";proto=https, for=unknown, for=198.51.100.4, for=192.0.2.9'
    ]


def test_a_trusted_proxys_own_is_kept_and_our_hop_stands_behind_it() -> None:
    headers = ((b"forwarded", b"for=203.0.113.7;proto=https"), (b"x-forwarded-for", b"203.0.113.7"))

    assert told(PROXY, *headers, trusted_proxies=TRUSTED) == [
        b"for=203.0.113.7;proto=https",
        b'for=192.0.2.9;host="shop.example:8080";proto=http',
    ]


def test_the_public_address_is_what_the_shop_is_told() -> None:
    assert told("203.0.113.7", public_url="https://shop.example") == [
        b'for=203.0.113.7;host="shop.example";proto=https'
    ]


def test_a_host_cannot_break_out_of_its_quotes() -> None:
    client = make_client(
        ip="203.0.113.7", peer="203.0.113.7", scheme="http", host=b'a";for=10.0.0.1;x="\\', port=80, forwarded="alone"
    )

    assert client.fields.endswith(b'forwarded: for=203.0.113.7;host="a\\";for=10.0.0.1;x=\\"\\\\";proto=http\r\n')


@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        (b"https", b"Shop.Example:443", "https://shop.example"),
        (b"http", b"shop.example:80", "http://shop.example"),
        (b"http", b"shop.example:443", "http://shop.example:443"),
        (b"https", b"shop.example:8443", "https://shop.example:8443"),
        (b"https", b"[2001:db8::80]:443", "https://[2001:db8::80]"),
    ],
)
def test_an_address_is_that_of_browsers_also_where_a_proxy_names_the_port_that_goes_without_saying(
    scheme: bytes, host: bytes, origin: str
) -> None:
    """Proxies that send `Host: $host:$server_port` are many. The Origin of a browser's POST was another one to us then,
    and every redirect of the shop's with its whole address led to another host, as if to pay there.
    """
    headers = [(b"host", host), (b"x-forwarded-proto", scheme)]
    scope = {"type": "http", "client": (PROXY, 5), "scheme": "http", "headers": headers}
    client = Clients(Settings(origin=ORIGIN, trusted_proxies=TRUSTED)).of(scope)

    assert client.web_origin == origin
    assert not leaves([(b"location", b"%b://%b/thanks" % (scheme, host.lower()))], client)
    assert not leaves([(b"location", origin.encode() + b"/thanks")], client)
    assert leaves([(b"location", b"https://pay.example/")], client)
