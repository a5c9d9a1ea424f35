"""Addresses among the settings: the shop, the public URL, web origins, cookie domains.

Faults are ValueErrors as in `waitroom.core.parse`.
"""

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from waitroom.core.parse import split_list

LOCAL_ZONES = frozenset(("localhost", "local", "internal", "test", "svc"))
LISTEN = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9A-Za-z._-]{1,253})):([0-9]{1,5})")
HOST_NAME = re.compile(r"(?=.{4,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")


def host_and_port(host: str, port: int) -> str:
    """`shop.internal:80`, `[::1]:80`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Origin(NamedTuple):
    """Where the shop is: `scheme` is http, https or unix; `host` is the path for unix."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix:{self.host}"
        return f"{self.scheme}://{host_and_port(self.host, self.port)}"


class Listen(NamedTuple):
    """An address to listen on; port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return host_and_port(self.host, self.port)


def parse_listen(text: str) -> Listen | None:
    """`127.0.0.1:8081`, `[::1]:8081`, `name:8081`; nothing for `off` or if empty."""
    text = text.strip()
    if text in ("", "off"):
        return None
    found = LISTEN.fullmatch(text)
    if found is None or int(found[3]) > 65535:
        raise ValueError("is not an address and a port; write it like 127.0.0.1:8081 or [::1]:8081, or off")
    return Listen(found[1] or found[2], int(found[3]))


def leads_to(origin: Origin, listen: Listen) -> bool:
    """Whether a connection to the origin would arrive there, as far as the text of both can tell."""
    if origin.scheme == "unix" or origin.port != listen.port:
        return False
    local = {"localhost", "127.0.0.1", "::1"}
    return origin.host == listen.host or (origin.host in local and listen.host in local | {"0.0.0.0", "::"})  # noqa: S104


def is_local_name(host_field: str, own: str = "") -> bool:
    """Whether a Host field is an address, `own`, or a name that public DNS never has: one label, or a reserved last
    one (RFC 6761, RFC 6762, .internal), or that of a Kubernetes service.
    """
    parts = split_address(f"http://{host_field}")
    if parts is None or parts.netloc != host_field or more_than_host(parts) or parts.hostname is None:
        return False
    name = parts.hostname.rstrip(".")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name == own.lower() or "." not in name or name.rpartition(".")[2] in LOCAL_ZONES
    return True


def split_address(text: str) -> SplitResult | None:
    """The parts of a URL with a host (a path for unix) and a port that can be one; None otherwise."""
    if not text.isascii() or not text.isprintable() or " " in text:
        return None
    try:
        parts = urlsplit(text)
        usable = bool(parts.path.strip("/") if parts.scheme == "unix" else parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None


def parse_origin(text: str) -> Origin:
    """`http(s)://host[:port]`, or `unix:` and a path."""
    text = text.strip()
    if text.startswith("unix:/"):
        return Origin("unix", "/" + text.removeprefix("unix:").lstrip("/"), 0)
    parts = split_address(text)
    if parts is None or parts.scheme not in ("http", "https") or more_than_host(parts):
        is_more = parts is not None and parts.scheme in ("http", "https")
        fault = "has more than a host and a port" if is_more else "is not an origin"
        raise ValueError(f"{fault}; write it like http://127.0.0.1:3000, https://shop.internal or unix:/run/shop.sock")
    return Origin(parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))


def parse_host(text: str) -> str | None:
    """What a Host field holds: a name or an address, and perhaps a port. Nothing if empty."""
    text = text.strip()
    if not text:
        return None
    parts = split_address(f"http://{text}")
    if parts is None or parts.netloc != text or more_than_host(parts):
        raise ValueError("is not a host; write it like shop.internal or shop.internal:8443")
    return text


def parse_public_url(text: str) -> str | None:
    """`https://shop.example`: a scheme and a host, nothing more; as browsers write it."""
    text = text.strip()
    if not text:
        return None
    parts = split_address(text)
    if parts is None or parts.scheme not in ("http", "https") or more_than_host(parts):
        raise ValueError("is not a public address; write it like https://shop.example")
    port_unsaid = ":443" if parts.scheme == "https" else ":80"
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(port_unsaid)}"


def more_than_host(parts: SplitResult) -> bool:
    return bool(parts.path.strip("/") or parts.query or parts.fragment) or "@" in parts.netloc


def parse_origins(text: str) -> tuple[str, ...]:
    """Web origins (`https://app.example`), comma separated, as browsers send them."""
    parts = split_list(text.lower())
    for part in parts:
        found = split_address(part)
        if found is None or found.scheme not in ("http", "https") or found.path or more_than_host(found):
            raise ValueError("is not a list of origins; write it like https://app.example,https://www.example")
    return parts


def parse_cookie_domain(text: str) -> str | None:
    text = text.strip().lower().removeprefix(".")
    if text and not HOST_NAME.fullmatch(text):
        raise ValueError("is not a parent domain; write it like shop.example")
    return text or None
