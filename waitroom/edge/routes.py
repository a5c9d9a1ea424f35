"""The table of the routes under `/-/waitroom/`, and the rules that all of them keep. None ever reaches the shop.

Whoever serves a route puts it into the table: `routes.add("draw", READ, self._draw)`.

- A POST must come from the shop's own pages, or from no browser at all.
- A form that does not arrive whole in time does nothing.
- The shop's own origins (`WAITROOM_CORS_ORIGINS`) may read our JSON, and their preflights are answered here.

`auth`, where it is asked for, is `waitroom.edge.forward_auth`'s.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final
from urllib.parse import parse_qs

from waitroom.core.errors import OriginFailure
from waitroom.core.paths import same_site_path
from waitroom.core.requests import Fields, Header, value_of
from waitroom.core.settings import Settings
from waitroom.edge.answers import Answer, json_headers
from waitroom.edge.clients import Client
from waitroom.edge.cloudflare import waiting_room
from waitroom.edge.cors import Cors
from waitroom.edge.facts import PageFacts, members
from waitroom.edge.pages.problems import Problems
from waitroom.edge.request import Request

READ: Final = ("GET", "HEAD")
POST: Final = ("POST",)
FORM_LIMIT_BYTES = 16_384
FORM_S: Final = 10.0
"""So long a form may take to arrive, however it trickles in."""
MOST_FIELDS = 100
Handler = Callable[[Request], Awaitable[None]]


class Routes:
    """Path below the prefix → the methods it takes, and who answers it."""

    def __init__(self, settings: Settings, problems: Problems) -> None:
        self._public_url = settings.public_url
        self._problems = problems
        self._cors = Cors(settings.cors_origins)
        self._cloudflare = settings.cloudflare_json
        self.is_plain = not (self._cors or self._cloudflare)
        """Our JSON is the same for every origin, and has nothing for apps of others. Asked with every poll."""
        self._routes: dict[str, tuple[Sequence[str], Handler]] = {}

    def add(self, path: str, methods: Sequence[str], handler: Handler) -> None:
        """A path has one handler: to add it twice is an error."""
        if path in self._routes:
            raise ValueError(f"the route {path} is there already")
        self._routes[path] = (methods, handler)

    async def answer(self, request: Request, path: str) -> None:
        """Answer a request below the prefix."""
        method = request.scope["method"]
        methods, handler = self._routes.get(path, ((), None))
        if handler is None:
            await request.answer(self._problems.not_found(request.asked()))
        elif method in methods:
            if method == "POST" and not self._is_from_here(request):
                await request.answer(self._problems.forbidden(request.asked()))
            else:
                try:
                    await handler(request)
                except OriginFailure as failure:
                    await request.answer(self._problems.origin_failed(request.asked(), failure))
        elif method == "OPTIONS" and self.cors(request.fields):
            await self._preflight(request, methods)
        else:
            await request.answer(self._problems.method_not_allowed(request.asked(), allow=methods))

    def base(self, client: Client) -> str:
        """The public address, without the closing slash."""
        return self._public_url or client.web_origin

    def cors(self, fields: Fields) -> list[Header]:
        """The fields that let the shop's own origins read our JSON; none for anybody else."""
        return self._cors.fields(fields.get(b"origin")) if self._cors else []

    def say(self, request: Request, facts: PageFacts, *more: Header, status: int = 200) -> Awaitable[None]:
        """The facts as JSON; with another status than 200 they stand in place of the shop's answer."""
        body = b"{%b}" % members(facts)
        headers = [*more, *self.cors(request.fields)]
        if self._cloudflare:
            is_waiting = status != 200 or facts.state not in ("admitted", "none", "left")
            body = b"%b,%b}" % (body[:-1], waiting_room(facts, is_waiting=is_waiting))
        if status != 200:
            headers.append((b"retry-after", b"%d" % max(1, round(facts.next_poll_s))))
        return request.answer(Answer(status, [*json_headers(body), *headers], body))

    async def _preflight(self, request: Request, methods: Sequence[str]) -> None:
        headers = self.cors(request.fields)
        headers += [
            (b"access-control-allow-methods", ", ".join(methods).encode()),
            (b"access-control-allow-headers", b"waitroom-ticket, waitroom-pass, content-type"),
            (b"access-control-max-age", b"600"),
        ]
        await request.answer(Answer(204, headers, b""))

    def _is_from_here(self, request: Request) -> bool:
        """By fetch metadata, else by Origin. A request with neither and without cookies comes from an app."""
        fields = request.fields
        origin = fields.get(b"origin")
        if origin in self._cors:
            return True
        site = fields.get(b"sec-fetch-site")
        if site is not None:
            return site in (b"same-origin", b"none")
        if origin is not None:
            return bool(origin == self.base(request.client).encode("latin-1"))
        return b"cookie" not in fields


async def read_form(request: Request, *, limit_s: float = FORM_S) -> dict[str, str] | None:
    """The fields of an HTML form; None if something else was sent. The body is read whole, within its limit. Raises
    OriginFailure for one that does not arrive, so that nothing is done in the name of a client who has left.
    """
    content_type = value_of(request.scope["headers"], b"content-type")
    body, more = b"", True
    try:
        async with asyncio.timeout(limit_s):
            while more and len(body) <= FORM_LIMIT_BYTES:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise OriginFailure("upload", "the client left")
                body += message.get("body", b"")
                more = message.get("more_body", False)
    except TimeoutError:
        raise OriginFailure("upload", "no more of a form") from None
    if not content_type.lower().startswith(b"application/x-www-form-urlencoded"):
        return None
    return read_fields(body[:FORM_LIMIT_BYTES])


def read_query(request: Request) -> dict[str, str]:
    return read_fields(request.exchange.target.partition(b"?")[2])


def read_fields(form: bytes) -> dict[str, str]:
    """The fields of a form or a query, the first of each name; none of them where there are too many to be ours."""
    try:
        found = parse_qs(form.decode("latin-1"), max_num_fields=MOST_FIELDS)
    except ValueError:
        return {}
    return {name: values[0] for name, values in found.items()}


def target_of(fields: Mapping[str, str]) -> str | None:
    """The path of this site that the field `to` names; None if it leads elsewhere."""
    return same_site_path(fields.get("to", "/"))
