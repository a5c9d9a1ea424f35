"""What an admin request brings, and how it is answered: the token, the operator's name, a JSON body, problems."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from pydantic import SecretStr
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from waitroom.core.changes import Misused
from waitroom.core.sentences import one_line

BODY_LIMIT_BYTES = 16_384
BODY_S = 10.0
LONGEST_NAME = 64
API_OFF = "There is no admin API without a token: set WAITROOM_ADMIN_TOKEN and start the gateway again."
MISSING = "Send the token of WAITROOM_ADMIN_TOKEN along, as Authorization: Bearer."
WRONG = "That is not the token of WAITROOM_ADMIN_TOKEN."
HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}

log = structlog.get_logger()


class Refused(Exception):
    """An answer other than what was asked for; `detail` is public."""

    def __init__(self, status: int, kind: str, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail, self.headers = status, kind, detail, headers or {}


class Bearer:
    """The token, kept as a digest. Digests are compared, in constant time: how long it takes tells nothing, not even
    the token's length.
    """

    def __init__(self, token: SecretStr | None) -> None:
        self._digest = None if token is None else digest(token.get_secret_value())
        self._told_at = float("-inf")

    def is_right(self, request: Request) -> bool:
        """Whether the request carries the token: in one Authorization field, and nowhere else."""
        given = request.headers.getlist("authorization")
        if self._digest is None or len(given) != 1:
            return False
        scheme, _, token = given[0].partition(" ")
        is_token = hmac.compare_digest(digest(token.strip(" ")), self._digest)
        return is_token and scheme.lower() == "bearer"

    def demand(self, request: Request) -> None:
        """Raises Refused: 404 where there is no token to know, 401 as RFC 6750 §3 has it."""
        if self._digest is None:
            raise Refused(404, "no-token", API_OFF)
        if self.is_right(request):
            return
        given = "authorization" in request.headers
        if given and time.monotonic() - self._told_at >= 1:
            self._told_at = time.monotonic()
            log.warning("admin_refused", ip=request.client.host if request.client else "")
        challenge = 'Bearer realm="waitroom"' + (', error="invalid_token"' if given else "")
        raise Refused(401, "token", WRONG if given else MISSING, headers={"www-authenticate": challenge})


async def read_fields(request: Request, *names: str) -> dict[str, Any]:
    """The fields of a JSON object, which may be left out; none but those named. Raises Refused and Misused."""
    try:
        async with asyncio.timeout(BODY_S):
            raw = await read_body(request)
    except TimeoutError:
        raise Refused(408, "misused", "The body took too long to arrive.") from None
    if raw and request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "misused", "Send JSON, as Content-Type: application/json.")
    try:
        given = json.loads(raw) if raw else {}
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise Refused(400, "misused", "The body is not a JSON object.")
    strange = sorted(given.keys() - set(names))
    if strange:
        raise Misused(f"{strange[0][:40]!r} is not known here; {', '.join(names)} are.")
    return given


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def operator(request: Request) -> str:
    """Who does this, for the room's log: `api`, or the name that `Waitroom-Operator` gives, printable and bounded."""
    raw = request.headers.get("waitroom-operator", "").encode("latin-1").decode("utf-8", "replace")
    name = one_line(raw)[:LONGEST_NAME]
    return f"{name} (api)" if name else "api"


async def read_body(request: Request) -> bytes:
    raw = bytearray()
    try:
        async for piece in request.stream():
            raw += piece
            if len(raw) > BODY_LIMIT_BYTES:
                raise Refused(413, "misused", f"The body is larger than {BODY_LIMIT_BYTES:,} bytes.")
    except ClientDisconnect:
        raise Refused(400, "misused", "The body did not arrive whole.") from None
    return bytes(raw)


def flag(given: dict[str, Any], name: str) -> bool:
    """A switch taken out of the fields."""
    value = given.pop(name, False)
    if not isinstance(value, bool):
        raise Misused(f"{name} is true or false")
    return value


def texts(given: Mapping[str, Any]) -> dict[str, str]:
    """The fields as the commands have them: numbers as text; null is nothing."""
    found = {}
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float | None):
            raise Misused(f"{name} is a text or a number")
        found[name] = "" if value is None else str(value)
    return found


def answer_json(value: object, *, status: int = 200) -> Response:
    body = json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace") + b"\n"
    return Response(body, status, {**HEADERS, "content-type": "application/json"})


def problem(refusal: Refused) -> Response:
    """Problem JSON (RFC 9457)."""
    members = {
        "type": f"urn:waitroom:problem:{refusal.kind}",
        "title": HTTPStatus(refusal.status).phrase,
        "status": refusal.status,
        "detail": refusal.detail,
    }
    answer = answer_json(members, status=refusal.status)
    answer.headers["content-type"] = "application/problem+json"
    answer.headers.update(refusal.headers)
    return answer
