"""How shops read a request target, written from what servers do and not from our rules. None: this one refuses it.

The rules of `waitroom.core.targets` must be on the safe side of each of them, and of each after each other.
"""

import posixpath
import re
from collections.abc import Callable
from urllib.parse import unquote_to_bytes, urlsplit

from waitroom.core.targets import Free, Guarded, Malformed, Own, TargetRules

GUARD, BYPASS, OWN = b"/checkout", b"/static/", b"/-/waitroom"
RULES = TargetRules([GUARD.decode() + "/*"], [])
NARROW = TargetRules(["/*"], [BYPASS.decode() + "*"])
HOST = b"shop.example"


def path_of(target: bytes) -> bytes:
    return target.partition(b"?")[0]


def normal(path: bytes) -> bytes:
    """Slashes merged and dots resolved, the slash at the end kept."""
    found = posixpath.normpath(b"/" + path.lstrip(b"/"))
    return found + b"/" if path.endswith((b"/", b"/.", b"/..")) and found != b"/" else found


def nginx(target: bytes) -> bytes:
    return normal(unquote_to_bytes(path_of(target)))


def wsgi(target: bytes) -> bytes:
    return unquote_to_bytes(path_of(target))


def plain(target: bytes) -> bytes:
    return path_of(target)


def tomcat(target: bytes) -> bytes:
    return normal(unquote_to_bytes(re.sub(rb";[^/]*", b"", path_of(target))))


def jetty(target: bytes) -> bytes:
    return normal(re.sub(rb";[^/]*", b"", unquote_to_bytes(path_of(target))))


def iis(target: bytes) -> bytes:
    return normal(unquote_to_bytes(path_of(target)).replace(b"\\", b"/")).lower()


def windows(target: bytes) -> bytes:
    """File names end in no dot and no blank."""
    return b"/".join(part if part in (b".", b"..") else part.rstrip(b". ") for part in nginx(target).split(b"/"))


def careless_utf8(target: bytes) -> bytes:
    """Decodes what is longer than need be, as decoders did before RFC 3629."""
    path = re.sub(
        rb"([\xc0\xc1])([\x80-\xbf])", lambda two: bytes((two[1][0] << 6 & 0x40 | two[2][0] & 0x3F,)), wsgi(target)
    )
    return normal(path)


def twice(target: bytes) -> bytes:
    return normal(unquote_to_bytes(nginx(target).partition(b"?")[0]))


def dots_then_decode(target: bytes) -> bytes:
    return unquote_to_bytes(normal(path_of(target)))


def python(target: bytes) -> bytes | None:
    """urlsplit takes `//name/path` for a host and removes tabs and line breaks."""
    try:
        return unquote_to_bytes(urlsplit(target.decode("latin-1")).path.encode("latin-1"))
    except ValueError:
        return None


def browser(target: bytes) -> bytes:
    """As the URL standard has it, which Node, Deno and Bun follow: `\\` is `/`, `//name` a host, %2e a dot."""
    path = re.split(rb"[?#]", target)[0].replace(b"\\", b"/")
    if path.startswith(b"//"):
        path = b"/" + path.lstrip(b"/").partition(b"/")[2]
    segments: list[bytes] = []
    dots = b""
    for segment in path.split(b"/")[1:]:
        dots = segment.lower().replace(b"%2e", b".")
        if dots == b"..":
            del segments[-1:]
        elif dots != b".":
            segments.append(segment)
    if dots in (b".", b".."):
        segments.append(b"")
    return b"/" + b"/".join(segments)


def browser_then_decode(target: bytes) -> bytes:
    return unquote_to_bytes(browser(target))


SHOPS: tuple[Callable[[bytes], bytes | None], ...] = (
    plain,
    wsgi,
    nginx,
    tomcat,
    jetty,
    iis,
    windows,
    careless_utf8,
    twice,
    dots_then_decode,
    python,
    browser,
    browser_then_decode,
)


def below(path: bytes, folder: bytes) -> bool:
    return path == folder or path.startswith(folder + b"/")


def fault_in_judgement(target: bytes) -> str | None:
    """What is wrong with how a target in origin form is judged, if anything."""
    guarded, narrow = RULES.place(target, HOST), NARROW.place(target, HOST)
    for shop in SHOPS:
        path = shop(target)
        if path is None:
            continue
        if below(path.lower(), GUARD) and not isinstance(guarded, Guarded | Malformed | Own):
            return f"{shop.__name__} reads {path!r}, which is guarded, and it is {guarded}"
        if isinstance(narrow, Free) and not path.startswith(BYPASS):
            return f"{shop.__name__} reads {path!r}, and it passes without a pass"
        if below(path, OWN) and isinstance(guarded, Free | Guarded):
            return f"{shop.__name__} reads {path!r}, which is ours, and it goes to the shop as {guarded}"
    return None
