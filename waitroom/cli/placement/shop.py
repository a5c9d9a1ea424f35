"""The shop, asked directly and as the gateway would: Host, forwarding fields and signature as they will be.

One page is asked for, and the redirects of the shop that stay on the public address are followed.
"""

import http.client
import time
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

from waitroom.cli.placement.answers import Address, answer_findings, public_address
from waitroom.cli.placement.findings import Finding, fault, warning
from waitroom.cli.placement.wire import Field, Reply, ask, closes_within, reason, to_origin
from waitroom.core.errors import ConfigError
from waitroom.core.seal import HEADER, sign
from waitroom.core.settings import Settings
from waitroom.edge.clients import DEFAULT_PORTS, make_client

MOST_STEPS = 4
IDLE_S = 2.0


def request_fields(settings: Settings, target: str, host: str) -> list[Field]:
    """The fields of a shopper's GET as the gateway passes it on, with another Host if need be."""
    address = public_address(settings)
    port = urlsplit(f"//{address.netloc}").port or DEFAULT_PORTS[address.scheme]
    client = make_client(
        ip="127.0.0.1",
        peer="127.0.0.1",
        scheme=address.scheme,
        host=address.netloc.encode(),
        port=port,
        forwarded="alone" if settings.forwarded else "no",
    )
    lines = [line.partition(": ") for line in client.fields.decode("latin-1").splitlines()]
    fields = [("host", host), ("accept", "text/html"), ("user-agent", "waitroom-check"), ("via", "1.1 waitroom-check")]
    fields += [(name, value) for name, _, value in lines]
    if settings.shop_secret:
        key = settings.shop_secret[0].get_secret_value().encode()
        seal = sign(key, int(time.time()), method=b"GET", host=host.encode(), target=target.encode())
        fields.append((HEADER.decode(), seal.decode()))
    return fields


def shop_findings(settings: Settings, *, idle_s: float = IDLE_S) -> Iterator[Finding]:
    """Nothing of it takes a place: the gateway is not asked. `idle_s` is how long an idle connection is watched."""
    address = public_address(settings)
    host = settings.origin_host or address.netloc
    try:
        connection = to_origin(settings, limit_s=min(30.0, settings.origin_timeout / 1000))
    except ConfigError as error:
        yield fault("shop", f"{error}")
        return
    try:
        if is_gateway(
            ask(connection, "GET", "/-/waitroom/status", request_fields(settings, "/-/waitroom/status", host))
        ):
            yield fault(
                "shop",
                f"WAITROOM_ORIGIN ({settings.origin}) is a waiting room, perhaps this one: requests would go round; "
                "set it to the shop itself.",
            )
            return
        target = "/"
        for _ in range(MOST_STEPS):
            reply = ask(connection, "GET", target, request_fields(settings, target, host))
            yield from answer_findings(reply, target, settings)
            onward = next_step(reply, target, address)
            if onward is None:
                break
            target = onward
        yield from host_findings(reply, target, settings, host)
        yield from idle_findings(connection, reply, settings, idle_s)
    except (OSError, ValueError, http.client.HTTPException) as error:
        yield fault(
            "shop", f"{settings.origin} did not answer as a shop would: {reason(error)}; look at WAITROOM_ORIGIN."
        )
    finally:
        connection.close()


def is_gateway(reply: Reply) -> bool:
    """By the facts that `GET status` tells anybody."""
    return reply.status in (200, 508) and b'"next_poll_s"' in reply.body


def next_step(reply: Reply, target: str, address: Address) -> str | None:
    """Where a redirect that stays on the public address leads; None for anything else, and for the same page."""
    location = reply.field("location")
    if not 300 <= reply.status < 400 or not location:
        return None
    url = urlsplit(urljoin(f"{address.scheme}://{address.netloc}{target}", location))
    onward = (url.path or "/") + (f"?{url.query}" if url.query else "")
    return onward if address.is_named_by(url) and url.scheme == address.scheme and onward != target else None


def host_findings(reply: Reply, target: str, settings: Settings, host: str) -> Iterator[Finding]:
    """A shop that refuses the Host: does it take its own name?"""
    if reply.status not in (400, 403, 404, 421):
        return
    named = settings.origin.host if settings.origin.scheme != "unix" else "localhost"
    port = settings.origin.port
    own = named if port in (0, DEFAULT_PORTS.get(settings.origin.scheme)) else f"{named}:{port}"
    connection = to_origin(settings)
    try:
        other = ask(connection, "GET", target, request_fields(settings, target, own)) if own != host else reply
    finally:
        connection.close()
    if other.status < 400:
        yield fault(
            "shop",
            f"The shop answers {reply.status} to the Host {host}, and {other.status} to its own name: let it accept "
            f"that name (ALLOWED_HOSTS, server_name …), or set WAITROOM_ORIGIN_HOST={own}.",
        )
    else:
        yield warning(
            "shop",
            f"The shop answers GET {target} with {reply.status}, to the Host {host} as to others: look at "
            "WAITROOM_ORIGIN and WAITROOM_ORIGIN_HOST.",
        )


def idle_findings(
    connection: http.client.HTTPConnection, reply: Reply, settings: Settings, idle_s: float
) -> Iterator[Finding]:
    if reply.closes:
        yield warning(
            "shop",
            "The shop closes the connection behind its answer: every request costs it a new one; let it keep "
            "connections open (keep-alive), 5 s or more.",
        )
        return
    after_s = closes_within(connection, idle_s)
    if after_s is not None:
        retry = "" if settings.retry else ", and set WAITROOM_RETRY=1, or requests in that moment fail"
        yield warning(
            "shop",
            f"The shop closes idle connections after {after_s:.1f} s: most requests will need a new one; raise its "
            f"keep-alive to 5 s or more{retry}.",
        )
