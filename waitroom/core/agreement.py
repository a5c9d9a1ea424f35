"""Where settings disagree with each other: what no single one of them can see."""

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from waitroom.core.addresses import leads_to
from waitroom.core.parse import duration_text

if TYPE_CHECKING:
    from waitroom.core.settings import Settings


def disagreements(settings: "Settings") -> Iterator[str]:
    """All of them, as sentences; of secrets no value."""
    if settings.redis_url is not None and not settings.secret:
        yield (
            "WAITROOM_SECRET is missing: with WAITROOM_REDIS_URL every gateway must share a secret; "
            "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
        )
    if settings.admin_listen is not None and settings.admin_listen.port == settings.port != 0:
        yield (
            f"WAITROOM_ADMIN_LISTEN ({settings.admin_listen}) has the port of the public address (WAITROOM_PORT); "
            "give it another, or set it to off"
        )
    if settings.admin_listen is not None and leads_to(settings.origin, settings.admin_listen):
        yield f"WAITROOM_ORIGIN ({settings.origin}) is WAITROOM_ADMIN_LISTEN: shoppers would meet it as the shop"
    if settings.origin_key is not None and settings.origin_cert is None:
        yield "WAITROOM_ORIGIN_KEY is set without WAITROOM_ORIGIN_CERT: set the certificate that it belongs to"
    if settings.origin.scheme != "https" and (settings.origin_ca is not None or settings.origin_cert is not None):
        yield f"WAITROOM_ORIGIN_CA and _CERT are for https: WAITROOM_ORIGIN ({settings.origin}) speaks no TLS"
    if settings.forward_auth and not settings.trusted_proxies:
        yield "WAITROOM_FORWARD_AUTH is set without WAITROOM_TRUSTED_PROXIES: nobody could ask"
    if settings.forward_auth and settings.waiting_status < 300:
        yield (
            f"WAITROOM_WAITING_STATUS ({settings.waiting_status}) is a yes to a proxy that asks "
            "(WAITROOM_FORWARD_AUTH); set it to 503 or 429"
        )
    if settings.invite_share and not settings.invite_only and settings.burst_now < 2:
        yield (
            f"WAITROOM_BURST ({settings.burst_now:g}) is too small for WAITROOM_INVITE_SHARE: it is split between two "
            "lines, and each needs 1; set it to 2 or more"
        )
    if 0 < settings.session_max < settings.session_idle:
        yield (
            f"WAITROOM_SESSION_MAX ({duration_text(settings.session_max)}) is shorter than WAITROOM_SESSION_IDLE "
            f"({duration_text(settings.session_idle)}); raise it, or set it to 0 for no limit"
        )
    if settings.schedule is not None:
        yield from (f"WAITROOM_OPENS_AT, _LOBBY_AT, _CLOSES_AT: {fault}" for fault in settings.schedule.faults())
    elif settings.closes_at is not None:
        yield f"WAITROOM_CLOSES_AT ({settings.closes_at}) is set without WAITROOM_OPENS_AT: there is no sale to close"
    if settings.public_url is not None and settings.cookie_domain is not None:
        host = urlsplit(settings.public_url).hostname or ""
        if host != settings.cookie_domain and not host.endswith("." + settings.cookie_domain):
            yield (
                f"WAITROOM_PUBLIC_URL ({settings.public_url}) is not below WAITROOM_COOKIE_DOMAIN "
                f"({settings.cookie_domain}): browsers would refuse the cookies"
            )
