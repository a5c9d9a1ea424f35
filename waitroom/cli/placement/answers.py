"""What one answer of the shop shows by itself: where it leads, what it keeps, who may keep it."""

import re
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit

from waitroom.cli.placement.findings import Finding, fault, warning
from waitroom.cli.placement.wire import Reply
from waitroom.core.addresses import host_and_port
from waitroom.core.parse import duration_text
from waitroom.core.seal import MAX_AGE_S
from waitroom.core.settings import Settings
from waitroom.edge.clients import DEFAULT_PORTS

SLOW_S = 1.0
CLOCK_S = 5.0
MOST_LINKS = 3
LINK = re.compile(
    rb"""<(a|link|base|form|script|img|iframe)\b[^>]*?\s(?:href|src|action)\s*=\s*["']?([^"'\s>]+)""", re.I
)
SESSION_LIKE = re.compile(r"sess|sid$|^sid|cart|basket", re.I)


class Address(NamedTuple):
    """How browsers reach the shop: what the gateway will tell it."""

    scheme: str
    netloc: str

    @property
    def host(self) -> str:
        return urlsplit(f"//{self.netloc}").hostname or ""

    def is_named_by(self, url: SplitResult) -> bool:
        return same_netloc(url.netloc, self.netloc, url.scheme or self.scheme)


def public_address(settings: Settings) -> Address:
    """Of the settings; without one, what a browser on this machine would use."""
    if settings.public_url is None:
        return Address("http", f"localhost:{settings.port}")
    parts = urlsplit(settings.public_url)
    return Address(parts.scheme, parts.netloc)


def names_origin(url: SplitResult, settings: Settings, address: Address) -> bool:
    """The shop's own address, where that is not the public one."""
    origin = settings.origin
    if origin.scheme == "unix" or address.is_named_by(url):
        return False
    names = {host_and_port(origin.host, origin.port), *([settings.origin_host] if settings.origin_host else [])}
    return any(same_netloc(url.netloc, name, url.scheme) for name in names)


def same_netloc(one: str, other: str, scheme: str) -> bool:
    """Host and port, the scheme's port being as good as none."""
    default = f":{DEFAULT_PORTS.get(scheme, 0)}"
    return one.lower().removesuffix(default) == other.lower().removesuffix(default)


def answer_findings(reply: Reply, target: str, settings: Settings) -> Iterator[Finding]:
    """All that one answer shows by itself."""
    address = public_address(settings)
    if reply.status >= 500:
        yield fault(
            "shop", f"The shop answers GET {target} with {reply.status}: mend it, or look at WAITROOM_ORIGIN and Host."
        )
    if reply.first_byte_s > SLOW_S:
        yield warning(
            "shop",
            f"The shop takes {reply.first_byte_s:.1f} s to begin its answer to GET {target}, with nobody else there: "
            "set WAITROOM_RATE to what it bears (waitroom simulate), not to what is wished for.",
        )
    yield from redirect_findings(reply, target, settings, address)
    if reply.is_html:
        yield from link_findings(reply.body, target, settings, address)
        yield from cache_findings(reply, target)
    for cookie in reply.all("set-cookie"):
        yield from cookie_findings(cookie, settings, address)
    yield from clock_findings(reply, settings)


def redirect_findings(reply: Reply, target: str, settings: Settings, address: Address) -> Iterator[Finding]:
    location = reply.field("location")
    if not 300 <= reply.status < 400 or not location:
        return
    here = f"{address.scheme}://{address.netloc}{target}"
    url = urlsplit(urljoin(here, location))
    if names_origin(url, settings, address):
        yield fault(
            "shop",
            f"The shop redirects {target} to {location}: to its own address, past the gateway; let it take its name "
            f"from the Host it is told ({settings.origin_host or address.netloc}) or from X-Forwarded-Host"
            + (", and unset WAITROOM_ORIGIN_HOST." if settings.origin_host else "."),
        )
    elif not address.is_named_by(url):
        yield warning(
            "shop",
            f"The shop redirects {target} to {url.scheme}://{url.netloc}, which is not {address.netloc}: if shoppers "
            "are to wait there, WAITROOM_PUBLIC_URL has to name it, or it needs a gateway of its own.",
        )
    elif url.scheme != address.scheme:
        mend = (
            "set WAITROOM_PUBLIC_URL to the https address"
            if address.scheme == "http"
            else "let it believe the X-Forwarded-Proto that the gateway sends (trusted proxies, in its settings)"
        )
        yield fault(
            "shop", f"The shop redirects {target} to {url.scheme}, while shoppers come by {address.scheme}: {mend}."
        )
    elif url.geturl() == here:
        yield fault(
            "shop",
            f"The shop redirects {target} to itself, for ever: let it believe the X-Forwarded-Proto and "
            "Host it is told.",
        )


def link_findings(body: bytes, target: str, settings: Settings, address: Address) -> Iterator[Finding]:
    """Links of a page that lead past the gateway, the first few of each kind of element."""
    past: dict[str, list[str]] = {}
    plain: list[str] = []
    for tag, link in LINK.findall(body):
        text = link.decode("latin-1")
        try:
            url = urlsplit(urljoin(f"{address.scheme}://{address.netloc}{target}", text))
            is_past = names_origin(url, settings, address)
        except ValueError:
            continue
        if is_past:
            past.setdefault(tag.decode().lower(), []).append(text)
        elif address.is_named_by(url) and url.scheme == "http" and address.scheme == "https":
            plain.append(text)
    for tag, links in past.items():
        yield fault(
            "shop",
            f"GET {target} names the shop's own address in <{tag}> ({', '.join(links[:MOST_LINKS])}), past the "
            "gateway: let the shop build links from the Host it is told, or set its public address in its settings.",
        )
    if plain:
        yield warning(
            "shop",
            f"GET {target} links to http ({', '.join(plain[:MOST_LINKS])}), while shoppers come by https: let the shop "
            "believe the X-Forwarded-Proto that the gateway sends.",
        )


def cache_findings(reply: Reply, target: str) -> Iterator[Finding]:
    control = reply.field("cache-control").lower().replace(" ", "")
    words = control.split(",")
    shared = next((word for word in words if word == "public" or re.fullmatch(r"s-maxage=0*[1-9]\d*", word)), None)
    if shared is not None and "private" not in words and "no-store" not in words:
        yield warning(
            "shop",
            f"The page {target} says Cache-Control: {shared}: a CDN in front would show it past the line, to "
            "everybody; let the shop say private for pages, or let the CDN not cache HTML.",
        )


def cookie_findings(cookie: str, settings: Settings, address: Address) -> Iterator[Finding]:
    """Why a browser would not keep it (RFC 6265bis, section 5.7)."""
    pair, *rest = cookie.split(";")
    name = pair.partition("=")[0].strip()
    attributes = {part.partition("=")[0].strip().lower(): part.partition("=")[2].strip() for part in rest}
    domain = attributes.get("domain", "").lower().removeprefix(".")
    secure, lost = "secure" in attributes, f"browsers will not keep the shop's cookie {name}: "
    if domain and address.host != domain and not address.host.endswith("." + domain):
        yield fault(
            "shop", f"{lost}it is for Domain={domain}, and shoppers are on {address.host}; take Domain out in the shop."
        )
    if secure and address.scheme == "http" and address.host not in ("localhost", "127.0.0.1"):
        yield fault(
            "shop",
            f"{lost}it is Secure, and shoppers come by http; set WAITROOM_PUBLIC_URL to the https address, or the "
            "shop's cookies for http.",
        )
    if attributes.get("samesite", "").lower() == "none" and not secure:
        yield fault("shop", f"{lost}it says SameSite=None without Secure; set both in the shop, or neither.")
    if name.startswith("__Host-") and (not secure or domain or attributes.get("path") != "/"):
        yield fault("shop", f"{lost}a __Host- name needs Secure, Path=/ and no Domain; mend it in the shop.")
    elif name.startswith("__Secure-") and not secure:
        yield fault("shop", f"{lost}a __Secure- name needs Secure; mend it in the shop.")
    life = attributes.get("max-age", "")
    if SESSION_LIKE.search(name) and life.isdigit() and 0 < int(life) * 1000 < settings.session_idle:
        yield warning(
            "shop",
            f"The shop's cookie {name} lives {duration_text(int(life) * 1000)}, less than WAITROOM_SESSION_IDLE="
            f"{duration_text(settings.session_idle)}: seats stay taken by people whose session is over; "
            "set it to the same.",
        )


def clock_findings(reply: Reply, settings: Settings) -> Iterator[Finding]:
    """The Date field has whole seconds, and the answer took a while."""
    try:
        shown = parsedate_to_datetime(reply.field("date")).timestamp()
    except (TypeError, ValueError):
        return
    off_s = shown + 0.5 - (time.time() - reply.whole_s / 2)
    if abs(off_s) <= CLOCK_S + reply.whole_s:
        return
    tell = fault if settings.shop_secret and abs(off_s) > MAX_AGE_S / 2 else warning
    signed = ", and refuses signed requests that are a minute off (WAITROOM_SHOP_SECRET)" if tell is fault else ""
    yield tell(
        "shop",
        f"The shop's clock is {abs(off_s):.0f} s {'ahead of' if off_s > 0 else 'behind'} this machine's{signed}: let "
        "both keep time (NTP).",
    )
