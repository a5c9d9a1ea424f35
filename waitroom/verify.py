"""For a Python shop: refuse requests that did not come through the gateway.

    from waitroom.verify import AsgiVerify                 # Starlette, FastAPI, Django under ASGI
    app = AsgiVerify(app, secret)

    from waitroom.verify import WsgiVerify                 # Django, Flask
    application = WsgiVerify(application, secret)

`secret` is the gateway's `WAITROOM_SHOP_SECRET`; several, separated by commas, while it is being replaced. Needs
nothing but the standard library (`pip install --no-deps waitroom`). Other languages: `deploy/signature.md`.

A request without a good signature gets 403. `requires_place=True` also refuses what passed without a pass: bypassed
paths, preflights.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import quote

from waitroom.core.seal import is_signed

REFUSED = b"This shop is reached through its waiting room.\n"
PLAIN = "text/plain; charset=utf-8"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Verifier:
    """Checks one request after another; safe in many threads."""

    def __init__(self, secret: str, *, requires_place: bool = False) -> None:
        self._secrets = [key.strip().encode() for key in secret.split(",") if key.strip()]
        if not self._secrets:
            raise ValueError("the secret is empty: without one everybody would be refused")
        self._requires_place = requires_place

    def passes(
        self, signature: bytes, *, method: bytes, host: bytes, target: bytes, place: bytes, admitted_at: bytes
    ) -> bool:
        """Whether the gateway sent this within the last minute. Fields as they came; empty where there are none."""
        if self._requires_place and not place:
            return False
        about = {"method": method, "host": host, "target": target, "place": place, "admitted_at": admitted_at}
        return is_signed(signature, self._secrets, time.time(), **about)


class AsgiVerify:
    """ASGI middleware. Wants `raw_path` of the server, as uvicorn, hypercorn and daphne give it."""

    def __init__(self, app: AsgiApp, secret: str, *, requires_place: bool = False) -> None:
        self.app = app
        self.verifier = Verifier(secret, requires_place=requires_place)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or self._passes(scope):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            fields = [(b"content-type", PLAIN.encode()), (b"content-length", b"%d" % len(REFUSED))]
            await send({"type": "http.response.start", "status": 403, "headers": fields})
            await send({"type": "http.response.body", "body": REFUSED})

    def _passes(self, scope: Scope) -> bool:
        fields: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in fields and name.startswith(b"waitroom-"):
                return False
            fields[name] = value
        query: bytes = scope["query_string"]
        path: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
        return self.verifier.passes(
            fields.get(b"waitroom-signature", b""),
            method=scope.get("method", "GET").encode(),
            host=fields.get(b"host", b""),
            target=path + b"?" + query if query else path,
            place=fields.get(b"waitroom-place", b""),
            admitted_at=fields.get(b"waitroom-admitted-at", b""),
        )


class WsgiVerify:
    """WSGI middleware. Takes the target from `RAW_URI` (gunicorn) or `REQUEST_URI` (uWSGI, mod_wsgi). Servers that give
    neither have decoded the path: then a path is good that is spelled as `urllib.parse.quote` would.
    """

    def __init__(self, app: WsgiApp, secret: str, *, requires_place: bool = False) -> None:
        self.app = app
        self.verifier = Verifier(secret, requires_place=requires_place)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if self._passes(environ):
            return self.app(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", PLAIN), ("Content-Length", str(len(REFUSED)))])
        return [REFUSED]

    def _passes(self, environ: dict[str, Any]) -> bool:
        def field(name: str) -> bytes:
            return str(environ.get(name, "")).encode("latin-1", "replace")

        target = field("RAW_URI") or field("REQUEST_URI")
        if not target:
            path = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1", "replace")
            query = field("QUERY_STRING")
            target = quote(path).encode() + (b"?" + query if query else b"")
        return self.verifier.passes(
            field("HTTP_WAITROOM_SIGNATURE"),
            method=field("REQUEST_METHOD"),
            host=field("HTTP_HOST"),
            target=target,
            place=field("HTTP_WAITROOM_PLACE"),
            admitted_at=field("HTTP_WAITROOM_ADMITTED_AT"),
        )
