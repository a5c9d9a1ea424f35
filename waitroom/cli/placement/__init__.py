"""`waitroom check --deep`: what is wrong with a placement, before shoppers find out.

Settings and machine by themselves (limits.py), Redis and the room in it (store.py), the shop, asked directly as the
gateway would (shop.py, answers.py), and the way from outside (outside.py). Each finding is a sentence that ends with
what mends it.
"""

from collections.abc import Callable

from waitroom.cli.placement.findings import Finding, fault
from waitroom.cli.placement.limits import machine_findings, settings_findings
from waitroom.cli.placement.outside import HOLD_S, outside_findings
from waitroom.cli.placement.shop import shop_findings
from waitroom.cli.placement.store import redis_findings
from waitroom.core.errors import StoreUnavailable
from waitroom.core.settings import Settings
from waitroom.log import Redactor, secrets_of
from waitroom.store.overview import Overview

__all__ = ["Finding", "look_closely"]


def look_closely(
    settings: Settings, redis_url: str | None, *, reaches_shop: bool, tell: Callable[[str], None]
) -> list[Finding]:
    """Every finding, faults first. `redis_url` is None where no Redis answers; `tell` is given each step before it.
    What the plain check found wrong is not tried again. Takes ten to twenty seconds.
    """
    tell("settings and this machine")
    found = [*settings_findings(settings), *machine_findings(settings)]
    room: Overview | None = None
    if redis_url is not None:
        tell("Redis: speed, persistence, clock, room")
        try:
            about_redis, room = redis_findings(redis_url, settings)
            found += about_redis
        except StoreUnavailable as error:
            found.append(
                fault("redis", f"Redis did not let itself be looked at: {error}; give the gateway its rights.")
            )
    if reaches_shop:
        tell(f"the shop at {settings.origin}, asked as the gateway will")
        found += shop_findings(settings)
    if settings.public_url is not None:
        tell(f"the way from outside, by {settings.public_url} (a poll is held for {HOLD_S} s)")
        found += outside_findings(settings, room)
    clean = Redactor(secrets_of(settings)).clean_text
    ordered = sorted(dict.fromkeys(found), key=lambda finding: finding.severity)
    return [finding._replace(sentence=clean(finding.sentence)) for finding in ordered]
