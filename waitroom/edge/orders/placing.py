"""What becomes of a request that places an order: noted, sent once, finished, and told to everybody who sent it.

    the body is read whole ── the client leaves: no attempt was made
      └─ it is an order ── the same one is under way here: wait for its answer
           └─ an attempt is noted (`store.attempts`) ── the same one was tried before: `core.orders.repeats` decides
                └─ it is sent to the shop on a fresh connection, and the answer read to the end (`edge.orders.exchange`)
                     └─ what it says is noted (`core.orders.attempt`), and only then the client gets it

A pass lasts as long as payment may take (`WAITROOM_PAYMENT_HELD`) from the order on, and again from its answer on.

*The same*: of the same visitor, with the same `sameness` (`core.orders.routes`), and the same Idempotency-Key if the
client sets one itself: two keys of its own are two orders.

Of an order Redis gets what `Attempt` holds: no body, but a digest of it under a key made of the secret. The answer is
held in this worker's memory for two minutes. The log gets the attempt's id, its route, and what came of it.
"""

import asyncio
import hmac
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, assert_never

import structlog

from waitroom.core.errors import OriginFailure, StoreUnavailable
from waitroom.core.orders.attempt import Attempt, Outcome
from waitroom.core.orders.bodies import netstrings
from waitroom.core.orders.repeats import Repeat, on_repeat
from waitroom.core.orders.routes import Routes, Suspect
from waitroom.core.requests import Header, is_navigation
from waitroom.core.settings import Settings
from waitroom.core.tokens import Pass, derive
from waitroom.edge.answers import NO_STORE, Answer
from waitroom.edge.orders.exchange import IDEMPOTENCY_KEY, WAIT_S, Asked, Exchanges, Placing
from waitroom.edge.orders.repeats import AGAIN, answer_repeat, page_of
from waitroom.edge.orders.uploads import HeldBodies, Upload, read_body
from waitroom.edge.passage import Passage
from waitroom.edge.request import Request
from waitroom.edge.routes import read_form
from waitroom.edge.shop.headers import origin_form
from waitroom.edge.wire.exchange import Exchange
from waitroom.store.attempts import Attempts
from waitroom.store.orders import Found, is_id, new_id, owner_in, owner_of

LOOK_S: Final = 0.3
"""So often a repeat looks at what another worker has under way."""
LOOKING: Final = 64
LOOKING_OF_ONE: Final = 4
"""So many repeats of one worker, and of one visitor, look; more are told at once that the order is under way."""
UPLOAD_S: Final = 900.0
"""So long an order may take whose body is too large to be read before."""
ROUNDS: Final = 6
"""A repeat that meets something new each time it looks is told that the order is under way."""
LONGEST_KEY: Final = 255

REPLAYED: Final[Header] = (b"idempotent-replayed", b"true")

log = structlog.get_logger()


class Orders:
    """The orders of one worker."""

    def __init__(self, settings: Settings, routes: Routes, *, attempts: Attempts, passage: Passage) -> None:
        self.settings = settings
        self.routes = routes
        self.attempts = attempts
        self.passage = passage
        self.line = passage.line
        self.exchanges = Exchanges(attempts, passage)
        self.limit_s = settings.order_limit_ms / 1000
        self._keys = [derive(key, f"waitroom.order.{settings.room}") for key in settings.signing_keys]
        self._placing: dict[str, Placing] = {}
        self._held = HeldBodies(settings.order_body_max)
        self._looking: Counter[str] = Counter()

    def suspect(self, request: Request) -> Suspect | None:
        """What the request may be an order of; its body tells."""
        scope = request.scope
        return self.routes.match(scope["method"], origin_form(request.exchange.target), scope["headers"])

    async def allow_again(self, request: Request) -> None:
        """`POST orders/again`: the visitor's word that the order of `attempt` may be sent once more."""
        fields = await read_form(request) or {}
        id_ = fields.get("attempt", "")
        visitor = self.passage.desk.visitor_of(
            request.scope["headers"], secure=request.secure, now_ms=int(self.line.now_ms())
        )
        if visitor is None or not is_id(id_) or owner_in(id_) != owner_of(visitor):
            await request.answer(self.passage.problems.not_found(request.asked()))
            return
        try:
            is_there = await self.attempts.book.allow_again(id_)
        except StoreUnavailable:
            now_ms = int(self.line.now_ms())
            await request.answer(self.passage.problems.store_away(request.asked(), server_time_ms=now_ms))
            return
        if not is_there:
            await request.answer(self.passage.problems.not_found(request.asked()))
        elif request.asked().html:
            await request.answer(page_of(id_, self.settings.room_query, "said"))
        else:
            await request.answer(Answer(204, [NO_STORE], b""))

    async def place(
        self, request: Request, suspect: Suspect, begun_ms: int, pass_: Pass, fresh: Sequence[Header]
    ) -> None:
        """Answer a request that may place an order."""
        expected = length_of(request, self.settings.order_body_max)
        limit_bytes = self.settings.order_body_max if self._held.has_room(pass_.visitor, expected) else 0
        with self._held.holding(pass_.visitor, min(expected, limit_bytes)):
            try:
                upload = await read_body(request.receive, limit_bytes, self.passage.proxy.pool.limits)
                if upload is None:
                    return
                asked = Asked(request, suspect.routes[0], begun_ms, pass_, fresh, client_key_of(request))
                if not upload.is_whole:
                    with self.exchanges.one_more_of(pass_.visitor):
                        await self._place_unread(asked, upload)
                    return
                order = suspect.reads(b"".join(upload.parts))
                if order is not None:
                    await self._place_once(replace(asked, route=order.route), order.sameness, upload)
                    return
            except OriginFailure as failure:
                await request.answer(self.passage.after_failure(failure, request, pass_, fresh))
                return
        request.receive = upload.again(request.receive)
        await self.passage.finish(self.passage.errand(request, begun_ms, pass_, fresh), request, pass_, fresh)

    async def _place_unread(self, asked: Asked, upload: Upload) -> None:
        """An order too large to be told from others: noted, and not kept from being sent again."""
        log.warning("order_not_protected", route=asked.route.name)
        placing = Placing()
        begun = await self.attempts.begin(self._attempt(asked, "", "", UPLOAD_S), ())
        assert isinstance(begun, Attempt)  # without a digest nothing is the same
        placing.attempt = begun
        await self.exchanges.send(asked, placing, upload.again(asked.request.receive), limit_s=UPLOAD_S)

    async def _place_once(self, asked: Asked, sameness: bytes, upload: Upload) -> None:
        """Send the order, unless it was tried before and the table of `core.orders.repeats` says otherwise."""
        digests = self._digests(asked.pass_.visitor, sameness, asked.client_key)
        is_document = is_navigation(asked.request.fields)
        word = field_of(asked.request, AGAIN.lower().encode()).decode("latin-1")
        last: Attempt | None = None
        by_word = has_waited = False
        for _ in range(ROUNDS):
            placing = self._placing.get(digests[0])
            if placing is not None:
                has_waited = True
                answer = await placing.hear()
                if answer is not None:
                    await asked.request.answer(answer, REPLAYED)
                    return
                if placing.attempt is None:
                    continue  # it was tried elsewhere: look what came of that
                found = Found(placing.attempt, False)
            else:
                with self.exchanges.one_more_of(asked.pass_.visitor):
                    begun = await self._begin(asked, digests, upload, after=last, by_word=by_word)
                if begun is None:
                    return
                found = begun
            last, waited = await self._settled(found.attempt, asked.request.exchange)
            has_waited |= waited
            match on_repeat(
                last,
                now_ms=self.line.now_ms(),
                repeat_ms=self.settings.order_repeat,
                is_document=is_document,
                has_key=bool(asked.client_key),
                has_word=found.may_repeat or word == last.id,
                has_waited=has_waited,
            ):
                case Repeat.WAIT:
                    break
                case Repeat.ANSWER:
                    kept = self.exchanges.kept(last.id)
                    if kept is None:
                        await self._tell(asked, last, asks=False)
                    else:
                        await asked.request.answer(kept, REPLAYED)
                    return
                case Repeat.ASK:
                    await self._tell(asked, last, asks=True)
                    return
                case Repeat.SEND:
                    by_word = found.may_repeat and word != last.id
                case other:
                    assert_never(other)
        await self._tell(asked, last or self._attempt(asked, digests[0], "", 0), asks=False)

    async def _begin(
        self, asked: Asked, digests: Sequence[str], upload: Upload, *, after: Attempt | None, by_word: bool
    ) -> Found | None:
        """Note it and send it; or what was tried before, if that is another than `after`."""
        key = after.idempotency_key if after is not None and after.outcome is Outcome.UNKNOWN else ""
        attempt = self._attempt(asked, digests[0], key, self.limit_s)
        self._placing[digests[0]] = placing = Placing()
        placing.done.add_done_callback(lambda done: self._forget(digests[0], placing))
        try:
            begun = await self.attempts.begin(attempt, digests, after=after.id if after else "", by_word=by_word)
            if isinstance(begun, Found):
                return begun
            placing.attempt = begun
        finally:
            if placing.attempt is None:
                self._forget(digests[0], placing)
                placing.end()
        await self.exchanges.send(asked, placing, upload.again(asked.request.receive), limit_s=self.limit_s)
        return None

    def _forget(self, digest: str, placing: Placing) -> None:
        if self._placing.get(digest) is placing:
            del self._placing[digest]

    async def _settled(self, attempt: Attempt, exchange: Exchange) -> tuple[Attempt, bool]:
        """What came of an attempt that may be under way at another worker, as soon as that is known there, and whether
        that took waiting.
        """
        waited, visitor = False, attempt.visitor
        if attempt.outcome is not Outcome.UNDER_WAY or attempt.worker == self.line.worker:
            return attempt, waited
        if self._looking.total() >= LOOKING or self._looking[visitor] >= LOOKING_OF_ONE:
            return attempt, waited
        self._looking[visitor] += 1
        try:
            for _ in range(int(WAIT_S / LOOK_S)):
                attempt = await self.attempts.book.read(attempt.id, now_ms=self.line.now_ms()) or attempt
                if attempt.outcome is not Outcome.UNDER_WAY or exchange.peer_lost:
                    break
                waited = True
                await asyncio.sleep(LOOK_S)
        except StoreUnavailable:
            pass
        finally:
            self._looking -= Counter((visitor,))
        return attempt, waited

    async def _tell(self, asked: Asked, attempt: Attempt, *, asks: bool) -> None:
        """An answer of ours, with the pass."""
        answer = answer_repeat(attempt, asked.request, asks, room_query=self.settings.room_query)
        fresh = asked.fresh or self.passage.renewal(
            asked.pass_, int(self.line.now_ms()), answer.status, (), asked.request, self.settings.payment_held
        )
        await asked.request.answer(answer, *fresh)

    def _attempt(self, asked: Asked, digest: str, idempotency_key: str, lasts_s: float) -> Attempt:
        now_ms = int(self.line.now_ms())
        id_ = new_id(asked.pass_.visitor, now_ms)
        return Attempt(
            id=id_,
            visitor=asked.pass_.visitor,
            route=asked.route.name,
            begun_ms=now_ms,
            deadline_ms=now_ms + int(lasts_s * 1000),
            worker=self.line.worker,
            idempotency_key=asked.client_key or idempotency_key or id_,
            sameness=digest,
        )

    def _digests(self, visitor: str, sameness: bytes, client_key: str) -> list[str]:
        """One for each secret, so that an order is known again while they are rotated."""
        text = netstrings((visitor.encode(), sameness, client_key.encode()))
        return [hmac.digest(key, text, "sha256").hex()[:32] for key in self._keys]


def field_of(request: Request, wanted: bytes) -> bytes:
    return b", ".join(value.strip() for name, value in request.scope["headers"] if name == wanted)


def client_key_of(request: Request) -> str:
    """The client's own Idempotency-Key, a string in quotes (draft-ietf-httpapi-idempotency-key-header) or, as many
    write it, without; empty if there is none.
    """
    text = field_of(request, IDEMPOTENCY_KEY).decode("latin-1")
    return text.strip('"')[:LONGEST_KEY]


def length_of(request: Request, most: int) -> int:
    """How long the body says it is, as far as it matters."""
    text = field_of(request, b"content-length")
    return min(int(text), most) if text.isdigit() and len(text) < 16 else most
