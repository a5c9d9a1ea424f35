"""Who is asking, and under which address the shop is known to them.

What a request says about its own way here counts only from a trusted proxy. `WAITROOM_PUBLIC_URL`
fixes scheme and host, whatever anybody says.
"""

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

import structlog
from starlette.types import Scope

from waitroom.core.requests import Header
from waitroom.core.settings import Settings
from waitroom.edge.wire.heads import is_host

DEFAULT_PORTS = {"http": 80, "https": 443}
MEMO_LIMIT = 4096

# Whether the shop is told by `Forwarded`, too: not; the whole way; the last hop, behind what a trusted proxy wrote.
Forwarded = Literal["no", "alone", "appended"]


class Client(NamedTuple):
    """One request's client.

    `ip` is the visitor's address as far as trusted proxies vouch for it, `peer` the other end of the
    connection. `scheme`, `host` (with its port, if it names one) and `port` are what the browser used.
    `fields` is what the shop is told of it: finished header lines.
    """

    ip: str
    peer: str
    scheme: str
    host: bytes
    port: int
    trusted: bool
    fields: bytes

    @property
    def web_origin(self) -> str:
        """Scheme and host as browsers write them."""
        return f"{self.scheme}://{bare_host(self.host, self.scheme).decode('latin-1')}"


def bare_host(host: bytes, scheme: str) -> bytes:
    """As browsers write it: without the port that goes without saying, which some proxies name."""
    return host.lower().removesuffix(b":%d" % DEFAULT_PORTS[scheme])


def make_client(
    *,
    ip: str,
    peer: str,
    scheme: str,
    host: bytes,
    port: int,
    forwarded_for: Iterable[bytes] | None = None,
    forwarded: Forwarded = "no",
) -> Client:
    """`forwarded_for` is what a trusted proxy sent; None if the peer is none."""
    hops = [*(entry.strip() for entry in forwarded_for or () if entry.strip()), peer.encode()]
    path = b", ".join(hops)
    named = b"x-forwarded-host: %b\r\n" % host if host else b""  # HTTP/1.0 need not say
    fields = b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\n%bx-forwarded-port: %d\r\n" % (
        path,
        scheme.encode(),
        named,
        port,
    )
    if forwarded != "no":
        fields += forwarded_line(hops if forwarded == "alone" else hops[-1:], scheme, host)
    return Client(ip, peer, scheme, host, port, forwarded_for is not None, fields)


def forwarded_line(hops: Sequence[bytes], scheme: str, host: bytes) -> bytes:
    """RFC 7239; what the browser used stands with the first hop."""
    nodes = [b"for=" + node_of(hop) for hop in hops]
    quoted = host.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    nodes[0] += (b';host="%b"' % quoted if host else b"") + b";proto=" + scheme.encode()
    return b"forwarded: %b\r\n" % b", ".join(nodes)


def node_of(hop: bytes) -> bytes:
    """An address as Forwarded has it; `unknown` for what is none."""
    address = read_address(hop)
    if address is None:
        return b"unknown"
    return b'"[%b]"' % address.encode() if ":" in address else address.encode()


class Clients:
    """Tells the client of a request. One per process: it remembers whom it has met."""

    def __init__(self, settings: Settings, *, tell: Callable[[str], None] | None = None) -> None:
        """`tell` is given what operators should know of."""
        self._tell = tell
        self._forwarded: Forwarded = "alone" if settings.forwarded else "no"
        self._networks = settings.trusted_proxies
        self._trusted: dict[str, bool] = {}
        self._known: dict[tuple[str, bytes, str], Client] = {}
        self._public: tuple[str, bytes, int] | None = None
        if settings.public_url is not None:
            parts = urlsplit(settings.public_url)
            self._public = (parts.scheme, parts.netloc.encode(), parts.port or DEFAULT_PORTS[parts.scheme])
        self._proto_was_ignored = False

    def speaks_https(self, scheme: str, peer: str, headers: Sequence[Header]) -> bool:
        """Whether the browser speaks https: the one thing that a poll has to know."""
        if self._public is not None:
            return self._public[0] == "https"
        if self._networks and self._is_trusted(peer):
            scheme = scheme_behind(headers, scheme)
        return scheme == "https"

    def of(self, scope: Scope) -> Client:
        """The client of a request."""
        address = scope["client"]
        peer: str = address[0] if address else ""
        if self._networks and self._is_trusted(peer):
            return self._behind(scope, peer)
        host = b""
        if self._public is None:
            for name, value in scope["headers"]:
                if name == b"host":
                    host = value
                    break
        scheme: str = scope["scheme"]
        key = (peer, host, scheme)
        return self._known.get(key) or self._meet(key, scope)

    def _meet(self, key: tuple[str, bytes, str], scope: Scope) -> Client:
        """A peer not seen before, or not lately, that is no trusted proxy."""
        peer, host, scheme = key
        if self._public is None:
            client = make_client(
                ip=peer, peer=peer, scheme=scheme, host=host, port=port_of(host, scheme), forwarded=self._forwarded
            )
            if not self._proto_was_ignored and (b"x-forwarded-proto", b"https") in scope["headers"]:
                self._proto_was_ignored = True
                hint = f"set WAITROOM_TRUSTED_PROXIES={peer} if this is your proxy, or WAITROOM_PUBLIC_URL"
                structlog.get_logger().warning("forwarded_proto_ignored", peer=peer, hint=hint)
                if self._tell is not None:
                    self._tell(f"X-Forwarded-Proto: https from {peer} does not count; {hint}")
        else:
            public_scheme, public_host, port = self._public
            client = make_client(
                ip=peer, peer=peer, scheme=public_scheme, host=public_host, port=port, forwarded=self._forwarded
            )
        if len(self._known) >= MEMO_LIMIT:
            self._known.clear()
        self._known[key] = client
        return client

    def _behind(self, scope: Scope, peer: str) -> Client:
        """The client as a trusted peer tells it. The last value counts: earlier ones may be the client's own."""
        scheme: str = scope["scheme"]
        host = b""
        said: dict[bytes, bytes] = {}
        forwarded_for: list[bytes] = []
        forwarded: Forwarded = self._forwarded
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"x-forwarded-for":
                forwarded_for += value.split(b",")
            elif name in (b"x-forwarded-host", b"x-forwarded-port"):
                said[name] = value.rpartition(b",")[2].strip()
            elif name == b"forwarded" and forwarded == "alone":
                forwarded = "appended"
        ip = self._nearest_untrusted(forwarded_for, peer)
        if self._public is not None:
            scheme, host, port = self._public
        else:
            scheme = scheme_behind(scope["headers"], scheme)
            told = said.get(b"x-forwarded-host", b"")
            host = told if told and is_host(told) else host
            digits = said.get(b"x-forwarded-port", b"")
            port = int(digits) if digits.isdigit() and len(digits) <= 5 else port_of(host, scheme)
        return make_client(
            ip=ip, peer=peer, scheme=scheme, host=host, port=port, forwarded_for=forwarded_for, forwarded=forwarded
        )

    def _nearest_untrusted(self, forwarded_for: Iterable[bytes], peer: str) -> str:
        """From the right, the first address that is no trusted proxy; what cannot be read ends the search."""
        ip = peer
        for entry in reversed(list(forwarded_for)):
            address = read_address(entry)
            if address is None:
                return ip
            ip = address
            if not self._is_trusted(ip):
                return ip
        return ip

    def _is_trusted(self, ip: str) -> bool:
        found = self._trusted.get(ip)
        if found is None:
            address = read_address(ip.encode())
            found = address is not None and any(ipaddress.ip_address(address) in net for net in self._networks)
            if len(self._trusted) >= MEMO_LIMIT:
                self._trusted.clear()
            self._trusted[ip] = found
        return found


def scheme_behind(headers: Sequence[Header], scheme: str) -> str:
    """The scheme as a trusted peer tells it. The last value counts: earlier ones may be the client's own."""
    said = b""
    for name, value in headers:
        if name == b"x-forwarded-proto":
            said = value.rpartition(b",")[2].strip().lower()
    return said.decode() if said in (b"http", b"https") else scheme


def read_address(entry: bytes) -> str | None:
    """`192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80` → the address; None if it is none."""
    text = entry.strip().decode("latin-1")
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def port_of(host: bytes, scheme: str) -> int:
    """The port that a Host value names, or the scheme's."""
    at = host.rfind(b":")
    if at > host.rfind(b"]"):
        digits = host[at + 1 :]
        if digits.isdigit() and len(digits) <= 5:
            return int(digits)
    return DEFAULT_PORTS[scheme]
