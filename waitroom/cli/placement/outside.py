"""The way that shoppers come: the public address, with whatever stands in front of the gateway.

No probe takes a place or a seat. Asked are our own routes, and a guarded path by a prefetch (with and without an
upgrade), which is always refused. The held poll shows a ticket that nobody was given, for a number that never will be.
"""

import http.client
import secrets
import time
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from waitroom.cli.placement.answers import public_address
from waitroom.cli.placement.findings import Finding, fault, warning
from waitroom.cli.placement.shop import is_gateway
from waitroom.cli.placement.wire import Field, Reply, ask, reason, to_public
from waitroom.core.addresses import Origin
from waitroom.core.settings import Settings
from waitroom.core.targets import Guarded, TargetRules
from waitroom.core.tokens import Ticket, Tokens
from waitroom.edge.clients import DEFAULT_PORTS
from waitroom.edge.cookies import CookieKind, Cookies
from waitroom.store.overview import Overview

HOLD_S = 5
NEVER_ISSUED = 10**12
APART_S = 0.05
"""Between two answers that have to differ: they tell the time in milliseconds."""
RECIPES = "see deploy/proxies"
STATUS = "/-/waitroom/status"
CACHED = ("age", "x-cache", "x-cache-hits", "cf-cache-status", "x-varnish-cache")


class Outside:
    """The public address, asked on one connection after the other."""

    def __init__(self, settings: Settings, room: Overview | None) -> None:
        assert settings.public_url is not None
        parts = urlsplit(settings.public_url)
        self.settings = settings
        self.room = room
        self.url = settings.public_url
        self.at = Origin(parts.scheme, parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme])
        self.netloc = public_address(settings).netloc

    def ask(self, method: str, target: str, *more: Field, limit_s: float = 10.0) -> Reply:
        connection = to_public(self.at, limit_s=limit_s)
        fields = [("host", self.netloc), ("accept", "application/json"), ("user-agent", "waitroom-check"), *more]
        try:
            return ask(connection, method, target, fields)
        finally:
            connection.close()


def outside_findings(settings: Settings, room: Overview | None, *, hold_s: int = HOLD_S) -> Iterator[Finding]:
    """Only where a gateway is reached; else one warning. `hold_s` is how long a poll is held."""
    outside = Outside(settings, room)
    try:
        first = outside.ask("GET", STATUS)
    except (OSError, http.client.HTTPException) as error:
        yield warning(
            "outside",
            f"From here {outside.url} cannot be reached ({reason(error)}), so the way from outside was not looked at: "
            "run this where browsers are, or look at WAITROOM_PUBLIC_URL.",
        )
        return
    if not (first.status == 200 and is_gateway(first)):
        yield from stranger_findings(first, outside)
        return
    try:
        time.sleep(APART_S)
        yield from cached_findings(first, outside.ask("GET", STATUS))
        yield from refusal_findings(outside)
        yield from cookie_findings(outside)
        yield from hold_findings(outside, hold_s)
    except (OSError, http.client.HTTPException) as error:
        yield fault("outside", f"On the way from outside a request failed: {reason(error)}; {RECIPES}.")


def stranger_findings(reply: Reply, outside: Outside) -> Iterator[Finding]:
    if reply.status == 508:
        yield fault(
            "outside",
            "Requests go round (508): what stands in front, or WAITROOM_ORIGIN, leads back to the gateway; set it to "
            "the shop itself.",
        )
    elif reply.status in (502, 503, 504):
        yield fault(
            "outside",
            f"{outside.url} answers {reply.status} for the gateway: what stands in front does not reach it; look at "
            "its address and port there, and at WAITROOM_HOST and WAITROOM_PORT.",
        )
    else:
        yield warning(
            "outside",
            f"At {outside.url} no gateway answers yet (GET {STATUS}: {reply.status}), so the way from outside was not "
            "looked at: lead /-/waitroom/ and all guarded paths to it.",
        )


def cached_findings(first: Reply, second: Reply) -> Iterator[Finding]:
    marks = [f"{name}: {reply.field(name)}" for reply in (first, second) for name in CACHED if is_hit(reply, name)]
    if first.body == second.body or marks:
        how = f" ({marks[0]})" if marks else ""
        yield fault(
            "outside",
            f"What stands in front caches what says no-store{how}: one shopper's answers would be everybody's; let it "
            f"cache nothing below /-/waitroom/ and heed Cache-Control; {RECIPES}.",
        )
    if "no-store" not in first.field("cache-control").lower():
        yield fault(
            "outside",
            "What stands in front takes our Cache-Control away: browsers and caches would keep the line's answers; let "
            f"it pass on; {RECIPES}.",
        )


def is_hit(reply: Reply, name: str) -> bool:
    value = reply.field(name).lower()
    return bool(value) and (value.strip("0") != "" if name in ("age", "x-cache-hits") else "hit" in value)


def refusal_findings(outside: Outside) -> Iterator[Finding]:
    """A prefetch of a guarded path is answered by an empty 503; one that is a WebSocket as well, by one that speaks."""
    target = guarded_target(outside.settings)
    if target is None:
        return
    if outside.room is not None and outside.room.in_shadow:
        yield warning(
            "outside",
            "In shadow there is no 503 to look at, nor the way of WebSockets: look again without WAITROOM_SHADOW, "
            "before anybody waits.",
        )
        return
    instead = f"set WAITROOM_WAITING_STATUS={429 if outside.settings.forward_auth else 200}"
    refused = outside.ask("GET", target, ("sec-purpose", "prefetch"))
    if outside.settings.bypass.networks and refused.status < 400:
        yield warning("outside", "This machine goes past the line (WAITROOM_BYPASS): look from another one, too.")
        return
    if refused.status != 503:
        yield fault(
            "outside",
            f"What stands in front turns our 503 into {refused.status}: shoppers would not see the waiting page; let "
            "it pass error answers on (proxy_intercept_errors off, no custom error page), or "
            f"{instead}.",
        )
        return
    if refused.body or "no-store" not in refused.field("cache-control").lower():
        yield fault(
            "outside",
            "What stands in front puts its own answer in the place of our 503: shoppers would not see the waiting "
            f"page; switch its error pages off, or {instead}.",
        )
        return
    upgrade = outside.ask(
        "GET",
        target,
        ("sec-purpose", "prefetch"),
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "d2FpdHJvb20tY2hlY2stMQ=="),
    )
    if upgrade.status != 503 or not upgrade.body:
        yield warning(
            "outside",
            "What stands in front does not pass WebSockets on (Upgrade and Connection): a shop that uses them will not "
            f"work; {RECIPES}.",
        )


def guarded_target(settings: Settings) -> str | None:
    """A path behind the line; the first page if it is."""
    rules = TargetRules(settings.guard, settings.bypass.paths)
    candidates = ["/", *(pattern.replace("*", "waitroom-check") for pattern in settings.guard)]
    return next((path for path in candidates if isinstance(rules.place(path.encode(), b""), Guarded)), None)


def cookie_findings(outside: Outside) -> Iterator[Finding]:
    """To leave without having been there deletes two cookies, and nothing else happens."""
    reply = outside.ask("POST", "/-/waitroom/leave", ("content-length", "0"))
    if reply.status != 200:
        yield fault(
            "outside",
            f"POST /-/waitroom/leave gets {reply.status}: what stands in front must let POST through to /-/waitroom/.",
        )
        return
    secure = outside.at.scheme == "https"
    cookies = Cookies(outside.settings.room, outside.settings.cookie_domain)
    names = {cookies.name(kind, secure=secure).decode() for kind in CookieKind}
    came = reply.all("set-cookie")
    if not came:
        yield fault(
            "outside",
            "What stands in front takes our Set-Cookie away: nobody could keep a place; let it pass on; "
            + RECIPES
            + ".",
        )
    elif {cookie.partition("=")[0] for cookie in came} != names:
        yield fault(
            "outside",
            f"The gateway at {outside.url} sets the cookies {', '.join(sorted(c.partition('=')[0] for c in came))}, "
            f"and not {', '.join(sorted(names))}: it believes in another scheme, room or cookie domain; give it this "
            "WAITROOM_PUBLIC_URL, WAITROOM_ROOM and WAITROOM_COOKIE_DOMAIN, or let the proxy not "
            "rename or join cookies.",
        )
    elif secure and not all("secure" in cookie.lower() and "httponly" in cookie.lower() for cookie in came):
        yield fault(
            "outside",
            "What stands in front changes our cookies (Secure, HttpOnly): let it leave Set-Cookie alone; "
            + RECIPES
            + ".",
        )


def hold_findings(outside: Outside, hold_s: int) -> Iterator[Finding]:
    keys = outside.settings.secret
    if outside.room is None or not keys or outside.room.limits.hold:
        return
    begun = time.monotonic()
    try:
        reply = outside.ask(
            "GET", f"{STATUS}?hold={hold_s}", *stray_ticket(outside, outside.room), limit_s=hold_s + 10.0
        )
    except (OSError, http.client.HTTPException):
        reply = None
    took_s = time.monotonic() - begun
    if reply is None or reply.status != 200:
        what = "breaks" if reply is None else f"answers {reply.status} to"
        yield fault(
            "outside",
            f"What stands in front {what} a held poll after {took_s:.0f} s: pages near the front hold theirs for up to "
            f"25 s; give it a time limit above 30 s for answers; {RECIPES}.",
        )
    elif b'"state":"none"' in reply.body:
        yield fault(
            "outside",
            "The gateways do not know a ticket signed with this WAITROOM_SECRET: give all of them the same.",
        )


def stray_ticket(outside: Outside, room: Overview) -> Sequence[Field]:
    tokens = Tokens(outside.settings.room, outside.settings.signing_keys)
    ticket = Ticket(outside.settings.room, room.state.generation, NEVER_ISSUED, secrets.token_hex(16), room.now_ms)
    return [("waitroom-ticket", tokens.sign_ticket(ticket))]
