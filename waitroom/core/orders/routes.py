"""Which requests place an order, what tells one order from another, and what the shop's answer says of it.

A route, as written in WAITROOM_ORDER_ROUTES; several are separated by commas or line breaks, words by blanks:

    POST /checkout/confirm key=form:basket_id success=location:/thanks/* reference=location:/thanks/*
    POST /shop-api json:/query~addPaymentToOrder key=cookie:session success=json:/data/addPaymentToOrder/code

    word          takes                                meaning
    ----------    ---------------------------------    -------------------------------------------------------------
    POST          POST, PUT, PATCH                     the method, first
    /path         a pattern; * is any text             the path, second; read as a guard (`core.targets`)
    (none)        form json query header               the body is an order only if each of these is so
    key=          form json query header cookie        what tells one order from another; several: all together
    success=      status location header json          one of these is enough to call the order confirmed
    reference=    location header json                 where the order's number stands; the first that is there

How places are written is `core.orders.places`'. A blank, a comma, an = or a ~ of a name or value is written %20, %2C,
%3D or %7E, a % is %25.

Two requests are the same order if route, path and key are the same. Without a key, and where a key is missing in a
request, the address and the whole body count (`core.orders.bodies`). Success counts in 2xx and 3xx answers only; an
answer with the shop's `Waitroom-Order-Id` is confirmed by that alone.

This module refuses routes that cannot be read (`read_routes`); of requests and answers it refuses nothing.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from waitroom.core.commands import ORDER_ID
from waitroom.core.orders.attempt import Verdict, outcome_of, reference_of
from waitroom.core.orders.bodies import KNOWN_IGNORED, Body, Ignored, netstrings, read_body
from waitroom.core.orders.places import Headers, Misplaced, Place, in_answer, in_request, parameter, read_place
from waitroom.core.readings import PLAIN, readings_of
from waitroom.core.requests import value_of
from waitroom.core.targets import guard_patterns

if TYPE_CHECKING:
    from waitroom.core.settings import Settings

METHODS: Final = ("POST", "PUT", "PATCH")
MOST_ROUTES: Final = 32
WORDS: Final = {
    "": ("form", "json", "query", "header"),
    "key": ("form", "json", "query", "header", "cookie"),
    "success": ("status", "location", "header", "json"),
    "reference": ("location", "header", "json"),
}
WORD = re.compile(r"([a-z]+)=(.*)")
EXAMPLE: Final = "write it like POST /checkout/confirm key=form:basket_id success=location:/thanks/*"
KNOWN: Final = "known"
NO_BODY: Final = Body(b"")
NOTHING_IGNORED: Final = Ignored(())


@dataclass(frozen=True, slots=True)
class Order:
    """A request that places an order.

    `sameness` is equal for two requests that are the same order. It is made of what the shopper sent: to be hashed
    with a key, and kept nowhere else. `key` is what told it from others, None where the whole body does.
    """

    route: "Route"
    sameness: bytes = field(repr=False)
    key: str | None = field(repr=False)


class Route:
    """One route. `name` is method, path and conditions, as written."""

    def __init__(self, method: str, path: str, places: Sequence[tuple[str, str, Place]]) -> None:
        """`places`: the word, the text behind it, and what that means."""
        self.method = method
        self.path = path
        self.name = " ".join((method, path, *(text for word, text, _ in places if not word)))
        self.conditions, self.keys, self.successes, self.references = (
            tuple(place for each, _, place in places if each == word) for word in WORDS
        )
        self._patterns = tuple(guard_patterns(path))

    @property
    def reads_answers(self) -> bool:
        """Whether a rule looks into the body of an answer: then the shop had better not compress it."""
        return any(place.source == "json" for place in (*self.successes, *self.references))

    def is_at(self, readings: Iterable[bytes]) -> bool:
        """Whether one of the readings of a path, in lower case, is this route's."""
        return any(pattern.matches(reading) for reading in readings for pattern in self._patterns)

    def judge(self, status: int, headers: Headers, body: bytes | None, commands: Headers = ()) -> Verdict:
        """What a whole answer says. Never raises.

        `headers` in lower case; `body` without a content coding, None where it was too long to be kept: then no rule
        about it holds. `commands` are the shop's `Waitroom-*` fields.
        """
        content = read_body(body, "application/json", NOTHING_IGNORED) if body and self.reads_answers else NO_BODY
        named = value_of(commands, ORDER_ID)
        reference = reference_of(named.decode("utf-8", "replace"))
        sure = reference is not None or any(
            place.accepts(in_answer(place, status, headers, content)) for place in self.successes
        )
        for place in self.references:
            reference = reference or reference_of(in_answer(place, status, headers, content) or "")
        return Verdict(outcome_of(status, sure=sure), reference)


class Suspect:
    """A request to the address of one or more routes, its body not seen yet."""

    __slots__ = ("_headers", "_ignored", "_target", "routes")

    def __init__(self, routes: Sequence[Route], target: bytes, headers: Headers, ignored: Ignored) -> None:
        self.routes, self._target, self._headers, self._ignored = routes, target, headers, ignored

    def reads(self, body: bytes) -> Order | None:
        """The order, by the first route whose conditions hold; None if this request is none. Never raises."""
        kind = value_of(self._headers, b"content-type").decode("latin-1")
        content = read_body(body, kind, self._ignored)
        for route in self.routes:
            if all(place.accepts(self._at(place, content)) for place in route.conditions):
                return self._order(route, content)
        return None

    def _order(self, route: Route, content: Body) -> Order:
        path, _, query = self._target.partition(b"?")
        about = (route.name.encode(), path)
        keys = [text for place in route.keys if (text := self._at(place, content))]
        if keys and len(keys) == len(route.keys):
            texts = (key.encode("utf-8", "surrogatepass") for key in keys)
            return Order(route, netstrings((*about, b"key", *texts)), " ".join(keys))
        asked = sorted(each for each in query.split(b"&") if not self._ignored.has(parameter(each)[0]))
        return Order(route, netstrings((*about, b"body", content.canonical, *asked)), None)

    def _at(self, place: Place, content: Body) -> str | None:
        return in_request(place, self._target, self._headers, content)


class Routes:
    """All routes, compiled. Stateless and safe to share; false where there is none."""

    def __init__(self, routes: Sequence[Route] = (), ignored: Ignored = NOTHING_IGNORED) -> None:
        self.routes = tuple(routes)
        self.methods = frozenset(route.method for route in routes)
        self._ignored = ignored

    def __bool__(self) -> bool:
        return bool(self.routes)

    def match(self, method: str, target: bytes, headers: Headers) -> Suspect | None:
        """A request that may place an order, by method and path; its body decides (`Suspect.reads`).

        `target` in origin form, as received; `headers` in lower case.
        """
        if method not in self.methods:
            return None
        path = target.partition(b"?")[0]
        readings = {path} if PLAIN.fullmatch(path) else readings_of(path) or {path}
        lowered = {reading.lower() for reading in readings}
        found = [route for route in self.routes if route.method == method and route.is_at(lowered)]
        return Suspect(found, target, headers, self._ignored) if found else None


def read_routes(text: str, ignore: Sequence[str] = (KNOWN,)) -> Routes:
    """Raises ValueError with every fault, `; ` between them; the message continues a sentence that begins with the
    variable. `ignore` as in WAITROOM_ORDER_IGNORE.
    """
    routes, faults = [], []
    written = [words for line in text.replace(",", "\n").splitlines() if (words := line.split())]
    for position, words in enumerate(written, 1):
        route, wrong = read_route(words)
        routes += [route] if route is not None else []
        faults += [f"has a fault in route {position}: {fault}" for fault in wrong]
    if len(written) > MOST_ROUTES:
        faults.append(f"has {len(written)} routes; {MOST_ROUTES} are the most")
    if faults:
        raise ValueError("; ".join(faults))
    return Routes(routes, Ignored(ignored_names(ignore)))


def routes_of(settings: "Settings") -> Routes:
    return read_routes(settings.order_routes, settings.order_ignore)


def check_routes(text: str) -> str:
    """The text, for a setting; raises ValueError as `read_routes`."""
    read_routes(text)
    return text


def read_route(words: Sequence[str]) -> tuple[Route | None, list[str]]:
    """One route from its words, or None, and everything that is wrong with it."""
    method, path = words[0], words[1] if len(words) > 1 else ""
    faults = []
    if method not in METHODS:
        faults.append(f"{method!r} (word 1) is not a method that places orders ({', '.join(METHODS)}); {EXAMPLE}")
    if not path.startswith("/"):
        faults.append(
            f"{path!r} (word 2) is not a path, which begins with /; {EXAMPLE}" if path else f"has no path; {EXAMPLE}"
        )
    places = []
    for position, text in enumerate(words[2:], 3):
        found = WORD.fullmatch(text)
        word, rest = (found[1], found[2]) if found is not None else ("", text)
        if word not in WORDS:
            faults.append(f"{text!r} (word {position}) is not known; key=, success= and reference= are")
            continue
        try:
            places.append((word, rest, read_place(rest, WORDS[word], valued=word in ("", "success"))))
        except Misplaced as fault:
            faults.append(f"{text!r} (word {position}) {fault}")
    return (None if faults else Route(method, path, places)), faults


def ignored_names(ignore: Iterable[str]) -> list[str]:
    """The names of WAITROOM_ORDER_IGNORE: `known` stands for those of the big frameworks."""
    known = [name for names in KNOWN_IGNORED.values() for name in names]
    return [name for each in ignore for name in (known if each == KNOWN else [each])]
