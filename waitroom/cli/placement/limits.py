"""What settings say by themselves, and against the machine: nothing is asked."""

import ipaddress
import os
import resource
from collections.abc import Iterator

from waitroom.cli.placement.findings import Finding, fault, warning
from waitroom.core.estimate import HOLD_BELOW_S
from waitroom.core.parse import Network
from waitroom.core.settings import Settings
from waitroom.core.targets import Free, TargetRules
from waitroom.serve.listening import SPARE_FILES

FEWEST_LETTERS = 10
WIDEST_IPV4, WIDEST_IPV6 = 8, 16


def settings_findings(settings: Settings) -> Iterator[Finding]:
    yield from limit_findings(settings)
    yield from rule_findings(settings)
    yield from secret_findings(settings)
    listen = settings.admin_listen
    if listen is not None and is_public(listen.host):
        token = "" if settings.admin_token is not None else ", for anybody who reaches it"
        yield warning(
            "settings",
            f"WAITROOM_ADMIN_LISTEN={listen} is not on this machine or a private network only: metrics and health are "
            f"there{token}; set it to 127.0.0.1:{listen.port}, or let nobody but your own reach the port.",
        )
    if settings.shadow:
        yield warning("settings", "WAITROOM_SHADOW=1: everybody is let through; unset it before the sale.")
    if settings.public_url is None:
        yield warning(
            "settings",
            "WAITROOM_PUBLIC_URL is not set: scheme and host come from each request, and the way from outside cannot "
            "be looked at; set it to the address that browsers use.",
        )
    elif settings.public_url.startswith("https:") and not settings.trusted_proxies:
        yield warning(
            "settings",
            "WAITROOM_TRUSTED_PROXIES is not set, but something in front speaks https for the gateway: all shoppers "
            "seem to have its address, so that one flood closes the way in on the spot for all; set it to where that "
            "proxy calls from.",
        )


def limit_findings(settings: Settings) -> Iterator[Finding]:
    rate, burst = settings.rate, settings.burst_now
    if rate.hold:
        yield warning("settings", "WAITROOM_RATE=0 lets nobody in: set what the shop can bear, like 10/s.")
    elif not rate.unlimited and burst > max(1.0, 10 * rate.per_s):
        yield warning(
            "settings",
            f"WAITROOM_BURST={burst:g} lets in at once what WAITROOM_RATE={rate} lets in within "
            f"{burst / rate.per_s:.0f} s: the shop meets all of them together; unset it for one second of the rate.",
        )
    if 0 < settings.max_active < burst and not rate.unlimited:
        yield warning(
            "settings",
            f"WAITROOM_MAX_ACTIVE={settings.max_active} is below the burst of {burst:g}: the room is full after the "
            "first moment, and then as fast as people leave; raise it, or lower WAITROOM_RATE.",
        )


def rule_findings(settings: Settings) -> Iterator[Finding]:
    guards, bypass = settings.guard, settings.bypass
    usual = type(settings).model_fields["bypass"].default.split(",")
    for pattern in bypass.paths:
        example = pattern.replace("*", "waitroom-check").encode()
        if pattern == "/*":
            yield fault("settings", "WAITROOM_BYPASS holds /*: nobody ever waits; name only what must not wait.")
        elif pattern.startswith("/*"):
            yield warning(
                "settings",
                f"WAITROOM_BYPASS holds {pattern}: every path that is given this ending goes past the line; name a "
                "folder instead, like /static/*.",
            )
        elif pattern not in usual and isinstance(TargetRules(guards, ()).place(example, b""), Free):
            yield warning(
                "settings",
                f"WAITROOM_BYPASS holds {pattern}, which no guard covers: it does nothing; remove it, or look at "
                "WAITROOM_GUARD.",
            )
    for index, pattern in enumerate(guards):
        example = pattern.replace("*", "waitroom-check").encode()
        others = (*guards[:index], *guards[index + 1 :])
        if "/*" not in bypass.paths and isinstance(TargetRules((pattern,), bypass.paths).place(example, b""), Free):
            yield fault(
                "settings",
                f"WAITROOM_GUARD holds {pattern}, and WAITROOM_BYPASS lets all of it through: take it out of one of "
                "them.",
            )
        elif pattern != "/*" and others and not isinstance(TargetRules(others, ()).place(example, b""), Free):
            yield warning(
                "settings", f"WAITROOM_GUARD holds {pattern}, which another guard covers already: remove one of them."
            )
    for name, networks in (
        ("WAITROOM_BYPASS", bypass.networks),
        ("WAITROOM_TRUSTED_PROXIES", settings.trusted_proxies),
    ):
        for network in networks:
            if is_wide(network):
                meaning = (
                    "nobody of so many addresses ever waits"
                    if name == "WAITROOM_BYPASS"
                    else "so many may claim any address and scheme"
                )
                yield fault("settings", f"{name} holds {network}: {meaning}; name only the addresses that are yours.")


def secret_findings(settings: Settings) -> Iterator[Finding]:
    for name, keys in (("WAITROOM_SECRET", settings.secret), ("WAITROOM_SHOP_SECRET", settings.shop_secret)):
        for number, key in enumerate(keys, 1):
            text = key.get_secret_value()
            if len(set(text)) < FEWEST_LETTERS or is_repeated(text):
                which = f" (number {number})" if len(keys) > 1 else ""
                yield fault(
                    "settings",
                    f"{name}{which} repeats itself and could be guessed, and with it every ticket and pass; make one "
                    "with: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'",
                )


def machine_findings(settings: Settings, *, files: int | None = None, cores: int | None = None) -> Iterator[Finding]:
    """Open files and cores, of this machine unless given."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1] if files is None else files
    cores = (
        len(os.sched_getaffinity(0)) if cores is None and hasattr(os, "sched_getaffinity") else cores or os.cpu_count()
    )
    per_s = settings.rate.per_s if not settings.rate.unlimited else 0
    held = round(per_s * HOLD_BELOW_S / settings.workers)
    needed = 2 * held + settings.origin_connections + SPARE_FILES
    if files != resource.RLIM_INFINITY and files < needed:
        yield warning(
            "machine",
            f"A process may have {files:,} open files here, and a worker needs about {needed:,}: {held:,} held polls "
            f"at {settings.rate}, as many shoppers inside, {settings.origin_connections:,} connections to the shop; "
            "raise the hard limit (LimitNOFILE, ulimit -Hn), WAITROOM_WORKERS, or lower WAITROOM_ORIGIN_CONNECTIONS.",
        )
    if cores and settings.workers > cores:
        yield warning(
            "machine",
            f"WAITROOM_WORKERS={settings.workers} share {cores} cores: more than one a core brings nothing; lower it.",
        )
    elif cores and cores >= 4 and settings.workers == 1:
        yield warning(
            "machine",
            f"One worker uses one of {cores} cores; set WAITROOM_WORKERS, unless other programs have the rest.",
        )


def is_public(host: str) -> bool:
    """An address that more than a private network may reach; names are not looked up."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_unspecified or not (address.is_private or address.is_loopback or address.is_link_local)


def is_wide(network: Network) -> bool:
    widest = WIDEST_IPV4 if network.version == 4 else WIDEST_IPV6
    return network.prefixlen < widest


def is_repeated(text: str) -> bool:
    """The same piece over and over."""
    return text in (text + text)[1:-1]
