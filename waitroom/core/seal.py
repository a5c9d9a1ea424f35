"""`Waitroom-Signature`: by it the shop knows that a request came through the gateway, and as whom.

    Waitroom-Signature: v1 <seconds> <signature>

`seconds` since 1970, decimal. The signature is HMAC-SHA256 in base64url without padding, its key the shared secret in
UTF-8, over these lines, each ended by a line feed (none of them can hold one):

    waitroom-v1
    <seconds>
    <method>              as sent: GET
    <host>                the Host field as the shop gets it
    <target>              the request target as the shop gets it, without a `?` at its very end
    <Waitroom-Place>      empty where the request carries none: it passed without a pass
    <Waitroom-Admitted-At>
"""

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence

HEADER = b"waitroom-signature"
MAX_AGE_S = 60
VALUE = re.compile(rb"v1 (0|[1-9][0-9]{0,14}) ([A-Za-z0-9_-]{43})")


def sign(
    secret: bytes, at_s: int, *, method: bytes, host: bytes, target: bytes, place: bytes = b"", admitted_at: bytes = b""
) -> bytes:
    """The value of the field."""
    lines = (b"waitroom-v1", b"%d" % at_s, method, host, target.removesuffix(b"?"), place, admitted_at, b"")
    digest = hmac.digest(secret, b"\n".join(lines), "sha256")
    return b"v1 %d %b" % (at_s, urlsafe_b64encode(digest).rstrip(b"="))


def is_signed(
    value: bytes,
    secrets: Sequence[bytes],
    now_s: float,
    *,
    method: bytes,
    host: bytes,
    target: bytes,
    place: bytes = b"",
    admitted_at: bytes = b"",
) -> bool:
    """Whether one of the secrets made this value for this request, no more than a minute before or after `now_s`."""
    found = VALUE.fullmatch(value)
    if found is None or abs(now_s - int(found[1])) > MAX_AGE_S:
        return False
    made = [
        sign(secret, int(found[1]), method=method, host=host, target=target, place=place, admitted_at=admitted_at)
        for secret in secrets
    ]
    return any(hmac.compare_digest(value, each) for each in made)
