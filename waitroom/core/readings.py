r"""Every way to read a request target's path: decoded or not, with `//` merged, with `..` resolved.

The readings, in every order and combination (`READINGS`):

    raw            as received, up to the first `?`
    decoded        percent-decoded once and twice; also only the unreserved characters (`%2e%2e` is `..` to many)
    cut            at a `?` or `#` that appears on the way
    slashes        `//` as `/`; `\` as `/`; a leading `//name`, or `///name`, as a host, which leaves the rest
    parameters     `;…` removed from each segment
    dots           `.` and `..` resolved
    line breaks    encoded tab, CR and LF removed, as the URL parsers of browsers and of Python do
    C strings      cut at an encoded NUL
    overlong       ASCII in more bytes of UTF-8 than it takes (`%c0%af` is `/` to careless decoders)
    file names     dots and blanks removed at the end of each segment, as Windows does
    lower case     guards are compared in lower case; a bypass must match as written

Bytes that no shop gives a meaning to (space, quotes, braces, everything outside ASCII) are the same whether
encoded or not, in targets and in patterns, so that `/küche/*` can be written as it is read.
"""

import re
from collections.abc import Callable

LONGEST_READ = 4096
MOST_READINGS = 64
MOST_READ_BYTES = 32_768
"""Bounds on the work for one target: a few milliseconds. Addresses of real shops have one or two readings."""

PLAIN = re.compile(rb"(?:/[A-Za-z0-9._~!$&'()*+,=:@-]+(?<!\.))*/?")
"""Has one reading only: nothing in it is decoded, merged, cut, resolved or removed by anybody."""
ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
MEANINGLESS = re.compile(rb"%(20|22|3[CcEe]|5[Ee]|60|7[B-Db-d]|[89A-Fa-f][0-9A-Fa-f])")
UNRESERVED = re.compile(rb"%(2[DdEe]|3[0-9]|4[1-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9AaEe])")
PARAMETERS = re.compile(rb";[^/]*")
SLASHES = re.compile(rb"//+")
OVERLONG = re.compile(rb"(?:([\xc0\xc1])|\xe0([\x80\x81])|\xf0\x80([\x80\x81]))([\x80-\xbf])")
DOTS_AT_END = re.compile(rb"(?<=[^. ])(?!(?<=/)\.\.?(?:/|\Z))[. ]+(?=/|\Z)")
BLANKS_AT_END = re.compile(rb"(?<! ) +(?=/|\Z)")
HOST_LIKE = re.compile(rb"//[^/]*")
HOST_LIKE_TO_BROWSERS = re.compile(rb"///+[^/]*")


def unescape(found: re.Match[bytes]) -> bytes:
    return bytes((int(found[1], 16),))


def even_out(path: bytes) -> bytes:
    """Decode what means nothing to anybody, so that it never makes a second reading."""
    return MEANINGLESS.sub(unescape, path)


def resolve_dots(path: bytes) -> bytes:
    """RFC 3986 §5.2.4 for a path that begins with a slash."""
    segments = path.split(b"/")
    kept: list[bytes] = []
    for segment in segments[1:]:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    ends_in_folder = segments[-1] in (b".", b"..")
    return b"/" + b"/".join(kept) + (b"/" if ends_in_folder and kept else b"")


def drop_host(path: bytes) -> bytes:
    return HOST_LIKE.sub(b"", path, count=1) or b"/" if path.startswith(b"//") else path


def drop_host_as_browsers_do(path: bytes) -> bytes:
    """To the URL standard, which Node follows, any number of slashes stands before a host."""
    return HOST_LIKE_TO_BROWSERS.sub(b"", path, count=1) or b"/" if path.startswith(b"///") else path


def shorten(found: re.Match[bytes]) -> bytes:
    lead: bytes = found[1] or found[2] or found[3]
    return bytes(((lead[0] & 1) << 6 | found[4][0] & 0x3F,))


READINGS: tuple[tuple[tuple[bytes, ...], Callable[[bytes], bytes]], ...] = (
    ((b"%",), lambda path: UNRESERVED.sub(unescape, path)),
    ((b"?",), lambda path: path.partition(b"?")[0]),
    ((b"#",), lambda path: path.partition(b"#")[0]),
    ((b"//",), lambda path: SLASHES.sub(b"/", path)),
    ((b"//",), drop_host),
    ((b"///",), drop_host_as_browsers_do),
    ((b"\\",), lambda path: path.replace(b"\\", b"/")),
    ((b";",), lambda path: PARAMETERS.sub(b"", path)),
    ((b"/.",), resolve_dots),
    ((b"\t", b"\r", b"\n"), lambda path: path.translate(None, b"\t\r\n")),
    ((b"\0",), lambda path: path.partition(b"\0")[0]),
    ((b"\xc0", b"\xc1", b"\xe0\x80", b"\xe0\x81", b"\xf0\x80"), lambda path: OVERLONG.sub(shorten, path)),
    ((b".", b" "), lambda path: DOTS_AT_END.sub(b"", path)),
    ((b" ",), lambda path: BLANKS_AT_END.sub(b"", path)),
)
"""Of what one must be in a path for the change to matter, and the change. Decoding is counted, so it stands apart."""


def readings_of(path: bytes) -> set[bytes] | None:
    """Every way to read `path`, which begins with a slash; None if there are too many, or they are too long."""
    if len(path) > LONGEST_READ:
        return None
    first = even_out(path)
    seen = {(first, 0)}
    todo = [(first, 0)]
    read_bytes = len(first)
    while todo:
        reading, decodings = todo.pop()
        changed = [
            (change(reading), decodings)
            for signs, change in READINGS
            if any(sign in reading for sign in signs)  # one or two, but for what hardly anybody sends
        ]
        if decodings < 2 and b"%" in reading:
            changed.append((even_out(ESCAPE.sub(unescape, reading)), decodings + 1))
        for new in changed:
            if new not in seen:
                seen.add(new)
                todo.append(new)
                read_bytes += len(new[0])
        if len(seen) > MOST_READINGS or read_bytes > MOST_READ_BYTES:
            return None
    return {reading for reading, _ in seen}
