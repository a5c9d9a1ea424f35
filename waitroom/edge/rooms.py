"""Several rooms in one gateway: each request finds the gates of the lines that it is behind.

    below /-/waitroom/   the room that the query names, `room=drop`; without it the environment's
    behind one line      that room's gate
    behind several       one gate after the other (waitroom.core.rooms says which): what the first would forward goes to
                         the second, with what the browser gets from both; the last one forwards it
    free                 to the shop of the room whose guard it matches

A pass is signed for its room and stands in that room's cookie, so it is nothing to any other gate.
"""

from collections.abc import Awaitable, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from waitroom.core.figures import REQUESTS
from waitroom.core.requests import Header
from waitroom.core.rooms import RoomGuards, RoomRules
from waitroom.core.targets import OWN_PREFIX, Free, Guarded, Own
from waitroom.core.tokens import Pass
from waitroom.edge.cookies import cache_rules
from waitroom.edge.gate import Gate
from waitroom.edge.passage import Passage
from waitroom.edge.request import Request
from waitroom.edge.shop.proxy import NOTHING

ROOM = b"room="


class Rooms:
    """The ASGI application of a worker that has several rooms; the environment's is the first."""

    def __init__(self, gates: Sequence[Gate]) -> None:
        self.gates = tuple(gates)
        first = gates[0]
        self.clients = first.clients
        self.problems = first.problems
        every = [gate.settings for gate in gates]
        self.rules = RoomRules([RoomGuards(settings.guard, settings.bypass.paths) for settings in every])
        self._named = {gate.settings.room.encode(): gate for gate in gates}
        self._fronts: dict[tuple[int, ...], ASGIApp] = {}

    def poll(self, target: bytes, headers: Sequence[Header], scheme: str, peer: str) -> tuple[bytes, bytes] | None:
        if not target.startswith(OWN_PREFIX):
            return None
        gate = self._gate_asked_for(target)
        return None if gate is None else gate.poll(target, headers, scheme, peer)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        target: bytes = scope["extensions"]["waitroom"].target
        if target.startswith(OWN_PREFIX):
            return self._own(target, scope, receive, send)
        client = self.clients.of(scope)
        match self.rules.place(target, client.host):
            case Guarded(rooms):
                return self._front(rooms)(scope, receive, send)
            case Free():
                return self._free(Request(scope, receive, send, client))
            case Own():
                return self._own(target, scope, receive, send)
            case _:
                return self.gates[0](scope, receive, send)

    def _own(self, target: bytes, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        gate = self._gate_asked_for(target)
        if gate is None:
            request = Request(scope, receive, send, self.clients.of(scope))
            return request.answer(self.problems.not_found(request.asked()))
        return gate(scope, receive, send)

    def _gate_asked_for(self, target: bytes) -> Gate | None:
        asked_for = room_asked_for(target)
        return self.gates[0] if asked_for is None else self._named.get(asked_for)

    def _free(self, request: Request) -> Awaitable[None]:
        gate = self.gates[self.rules.home(request.exchange.target)]
        gate.counts[REQUESTS["free"]] += 1
        return gate.passage.forward(request, int(gate.line.now_ms()), drop=gate.bypasses.drops)

    def _front(self, rooms: tuple[int, ...]) -> ASGIApp:
        """The gates of these rooms, one behind the other. Kept: there are few combinations that a target can have."""
        front = self._fronts.get(rooms)
        if front is None:
            front = self.gates[rooms[-1]]
            for room in reversed(rooms[:-1]):
                gate = self.gates[room]
                front = gate.with_passage(Onward(gate, front))
            self._fronts[rooms] = front
        return front


def front_of(gates: Sequence[Gate]) -> "Gate | Rooms":
    """What a request meets first: of a single room its gate, at no further cost."""
    return gates[0] if len(gates) == 1 else Rooms(gates)


class Onward(Passage):
    """Behind a gate stands not yet the shop, but the gate of another room."""

    def __init__(self, gate: Gate, behind: ASGIApp) -> None:
        before = gate.passage
        super().__init__(gate.line, gate.desk, gate.proxy, gate.problems, before.flood, before.gauges)
        self._behind = behind

    async def forward(
        self,
        request: Request,
        begun_ms: int,
        pass_: Pass | None = None,
        fresh: Sequence[Header] = (),
        *,
        drop: frozenset[bytes] = NOTHING,
    ) -> None:
        """The pass is renewed now if it is due, for what the answer will be is not known here."""
        if pass_ is not None and not fresh:
            fresh = self.renewal(pass_, begun_ms, 200, (), request)
        scope = request.scope
        if drop:
            kept = [(name, value) for name, value in scope["headers"] if name.replace(b"_", b"-") not in drop]
            scope = {**scope, "headers": kept}
        await self._behind(scope, request.receive, adding(request.send, fresh) if fresh else request.send)


def adding(send: Send, fresh: Sequence[Header]) -> Send:
    """Sends the same, and these cookies with the head of the answer, which no shared cache may keep then."""

    async def send_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*cache_rules(message["headers"]), *fresh]}
        await send(message)

    return send_on


def room_asked_for(target: bytes) -> bytes | None:
    """The room that the query of a target names, as written; None if it names none."""
    if ROOM not in target:
        return None
    parts = target.partition(b"?")[2].split(b"&")
    return next((part[len(ROOM) :] for part in parts if part.startswith(ROOM)), None)
