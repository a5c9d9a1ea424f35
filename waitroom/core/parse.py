"""From the text of a setting to its value, and back: what a setting may look like.

A fault is a ValueError whose message continues a sentence that begins with the variable's name. No message repeats a
part that could be a secret.
"""

import ipaddress
import math
import re
from collections.abc import Callable
from typing import NamedTuple

from pydantic import BeforeValidator, SecretStr

DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")
RATE = re.compile(r"(\d+(?:\.\d+)?)/(s|min|h)")
HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 §2.1
SECRET_LENGTH = 32
HEADER_SECRET_LENGTH = 16
LANGUAGES = (
    "ar", "de", "en", "es", "fr", "he", "it", "ja", "ko", "nl", "pl", "pt-BR", "tr", "uk", "zh-Hans", "zh-Hant",
)  # fmt: skip
"""The languages that the pages speak, as BCP 47 tags."""
SIZE = re.compile(r"(\d{1,15})(MiB|KiB|)")
SIZES = {"MiB": 1024 * 1024, "KiB": 1024, "": 1}
SECONDS = {"s": 1, "min": 60, "h": 3600}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Bypass(NamedTuple):
    """What goes to the shop without a pass: path patterns, client addresses, (header name, secret) pairs."""

    paths: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    headers: tuple[tuple[str, SecretStr], ...] = ()


class Rate(NamedTuple):
    """How many may come in. `hold` and `unlimited` are flags, never a rate of 0 or infinity."""

    per_s: float
    unlimited: bool = False
    hold: bool = False

    def __str__(self) -> str:
        if self.unlimited:
            return "unlimited"
        if self.hold:
            return "0"
        for unit, seconds in SECONDS.items():
            value = self.per_s * seconds
            if value >= 1 and abs(value - round(value)) < 1e-6:
                return f"{round(value)}/{unit}"
        return f"{self.per_s * 3600:g}/h"


def from_text(parse: Callable[[str], object]) -> BeforeValidator:
    """A field's text goes through `parse`, also a secret one. Any other value is left alone, so that
    `Settings(rate=Rate(2.0))` works as well as `rate="2/s"`.
    """

    def convert(value: object) -> object:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        return parse(text) if isinstance(text, str) else value

    return BeforeValidator(convert)


class Between:
    """A validator for both bounds (inclusive), written the way the operator writes them."""

    def __init__(self, low: float, high: float, write: Callable[[float], str] = "{:.12g}".format) -> None:
        self.low, self.high, self.write = low, high, write

    def __call__(self, value: float | None) -> float | None:
        if value is None or self.low <= value <= self.high:
            return value
        word = "less" if value < self.low else "more"
        raise ValueError(f"is {word} than {self.write(self.low if value < self.low else self.high)}")


def duration_text(ms: float) -> str:
    """90000 → `1m30s`: the way back from `parse_duration_ms`."""
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000)):
        count, ms = divmod(ms, size)
        parts += [f"{count:.0f}{unit}"] if count else []
    parts += [f"{ms / 1000:.12g}s"] if ms else []
    return "".join(parts) or "0"


def parse_duration_ms(text: str) -> int:
    """`90s`, `10m`, `1h30m`, `0` → milliseconds."""
    text = text.strip()
    if text == "0":
        return 0
    found = DURATION.fullmatch(text)
    if not text or found is None:
        raise ValueError("is not a duration; write it like 90s, 10m or 1h30m")
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return round((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000)


def parse_rate(text: str) -> Rate:
    """`10/s`, `600/min`, `36000/h`, `unlimited`, `0` (= hold)."""
    text = text.strip()
    if text == "unlimited":
        return Rate(1.0, unlimited=True)
    if text == "0":
        return Rate(1.0, hold=True)
    found = RATE.fullmatch(text)
    if found is None:
        raise ValueError("is not a rate; write it like 10/s, 600/min, 36000/h, unlimited, or 0 to hold the line")
    per_s = float(found[1]) / SECONDS[found[2]]
    if not 1 / 3600 <= per_s <= 100_000:
        raise ValueError("is outside 1/h … 100000/s; write 0 to hold the line, or unlimited")
    return Rate(per_s)


def parse_number(text: str) -> float | None:
    """A decimal number, or nothing."""
    if not text.strip():
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("is not a number")
    return number


def parse_share(text: str) -> float:
    """`20%` or `0.2` → 0.2."""
    found = re.fullmatch(r"\s*([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*(%?)\s*", text)
    if found is None:
        raise ValueError("is not a share; write it like 20%")
    return float(found[1]) / (100 if found[2] else 1)


def parse_language(text: str) -> str | None:
    """A language of ours; None for unset."""
    text = text.strip()
    if not text:
        return None
    known = {tag.lower(): tag for tag in LANGUAGES}
    if text.lower() not in known:
        raise ValueError(f"is not a language of the pages; use one of {', '.join(LANGUAGES)}")
    return known[text.lower()]


def parse_integer(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text.strip()):
        raise ValueError("is not a whole number")
    return int(text)


def size_text(size_bytes: float) -> str:
    """1048576 → `1MiB`: the way back from `parse_size_bytes`."""
    for unit, factor in SIZES.items():
        if unit and size_bytes and size_bytes % factor == 0:
            return f"{size_bytes / factor:.0f}{unit}"
    return f"{size_bytes:.12g}"


def parse_size_bytes(text: str) -> int:
    """`65536`, `64KiB`, `1MiB` → bytes."""
    found = SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError("is not a size; write it like 65536, 64KiB or 1MiB")
    return int(found[1]) * SIZES[found[2]]


def parse_folder(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("is not a folder")
    return text


def parse_file(text: str) -> str | None:
    """A path, or nothing."""
    if not text.isprintable():
        raise ValueError("is not a file")
    return text.strip() or None


def parse_switch(text: str) -> bool:
    """`1` or `0`."""
    text = text.strip()
    if text not in ("0", "1"):
        raise ValueError("is neither 1 (on) nor 0 (off)")
    return text == "1"


def split_list(text: str) -> tuple[str, ...]:
    """Comma separated, blanks around the parts dropped."""
    return tuple(part for part in map(str.strip, text.split(",")) if part)


def parse_networks(text: str) -> tuple[Network, ...]:
    """CIDRs or single addresses, comma separated."""
    try:
        return tuple(ipaddress.ip_network(part, strict=False) for part in split_list(text))
    except ValueError:
        raise ValueError("is not a list of addresses; write it like 10.0.0.0/8,192.168.1.5") from None


class Matching:
    """A validator for the form of a text; `fault` says what is wrong with one that has another."""

    def __init__(self, pattern: str, fault: str) -> None:
        self.pattern, self.fault = re.compile(pattern), fault

    def __call__(self, value: str) -> str:
        if not self.pattern.fullmatch(value):
            raise ValueError(self.fault)
        return value


def check_patterns(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise ValueError("names no path; write /* to guard everything")
    for pattern in value:
        if not pattern.startswith("/"):
            raise ValueError(f"has the pattern {pattern!r}, which does not begin with /; write it like /checkout/*")
    return value


def parse_secrets(text: str) -> tuple[SecretStr, ...]:
    """Keys, comma separated. The message never shows a key."""
    keys = split_list(text)
    for index, key in enumerate(keys, 1):
        if len(key) < SECRET_LENGTH:
            raise ValueError(f"has {len(key)} characters in key {index}; use {SECRET_LENGTH} or more")
    return tuple(SecretStr(key) for key in keys)


def parse_token(text: str) -> SecretStr | None:
    """A bearer token, or nothing. The message never shows it."""
    text = text.strip()
    if not text:
        return None
    if not TOKEN.fullmatch(text):
        raise ValueError("holds what no header can carry; use letters, digits and - . _ ~ + /")
    if len(text) < SECRET_LENGTH:
        raise ValueError(f"has {len(text)} characters; use {SECRET_LENGTH} or more")
    return SecretStr(text)


def parse_bypass(text: str) -> Bypass:
    """Path patterns, addresses (`10.0.0.0/8`) and a secret header (`header:X-Monitor=…`), comma separated.

    Faults name the item by its position: a secret with a comma in it makes an item of its own.
    """
    paths: list[str] = []
    networks: list[Network] = []
    headers: list[tuple[str, SecretStr]] = []
    for position, part in enumerate(text.split(","), 1):
        item = part.strip()
        if item.startswith("/"):
            paths.append(item)
        elif item.startswith("header:"):
            name, _, secret = item.removeprefix("header:").partition("=")
            if not HEADER_NAME.fullmatch(name) or len(secret) < HEADER_SECRET_LENGTH:
                raise ValueError(
                    f"has a header rule (item {position}) that is not header:Name=secret "
                    f"with a secret of {HEADER_SECRET_LENGTH} characters or more"
                )
            headers.append((name.lower(), SecretStr(secret)))
        elif item:
            try:
                networks.append(ipaddress.ip_network(item, strict=False))
            except ValueError:
                raise ValueError(
                    f"has an item ({position}) that is neither a path (/feed/*), an address (10.0.0.0/8) "
                    "nor header:Name=secret"
                ) from None
    return Bypass(tuple(paths), tuple(networks), tuple(headers))
