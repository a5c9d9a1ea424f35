"""Orders on their way to the shop: each is sent once, in a task of its own, and its answer read to the end.

Neither the client nor the gateway's stop ends such a task: its limit does. What the answer says is noted first, then
the client gets it, and whoever sent the same order again and waited.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

import structlog
from starlette.types import Receive

from waitroom.core.errors import OriginFailure
from waitroom.core.figures import ORDERS
from waitroom.core.orders.attempt import Attempt, Verdict, outcome_without_answer
from waitroom.core.orders.routes import Route
from waitroom.core.requests import Header, value_of
from waitroom.core.tokens import Pass
from waitroom.edge.answers import Answer
from waitroom.edge.orders.detached import Collected
from waitroom.edge.passage import Passage
from waitroom.edge.request import Request
from waitroom.store.attempts import Attempts

WAIT_S: Final = 25.0
"""So long a repeat waits for the answer to the first; then it is told that the order is under way."""
WAITING: Final = 8
"""So many repeats of one order wait; more are told at once."""
KEPT_S: Final = 120.0
KEPT_BYTES: Final = 16 * 1024 * 1024
LONGEST_LOCATION: Final = 1_000
UNDER_WAY_OF_ONE: Final = 32
"""So many orders of one visitor are under way at a worker: each goes on without its client, and holds a connection."""

IDEMPOTENCY_KEY: Final = b"idempotency-key"
ATTEMPT: Final = b"waitroom-order-attempt"
ENCODED: Final = frozenset((b"accept-encoding",))

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that places an order, and what goes along with it. `client_key` is the client's own Idempotency-Key."""

    request: Request
    route: Route
    begun_ms: int
    pass_: Pass
    fresh: Sequence[Header]
    client_key: str

    @property
    def is_unproven(self) -> bool:
        """It came on the spot with this very request: its cookie has to come back first."""
        return bool(self.fresh) and self.pass_.provisional


class Placing:
    """An order under way in this worker. `done` brings the whole answer, or None where there is none to be given again;
    `attempt` is what is known of it, None as long as it has not begun.
    """

    __slots__ = ("attempt", "done", "waiting")

    def __init__(self) -> None:
        self.attempt: Attempt | None = None
        self.done: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self.waiting = 0

    async def hear(self) -> Answer | None:
        """The same answer for a repeat; None where there is none, or the wait is too long."""
        if self.waiting >= WAITING:
            return None
        self.waiting += 1
        try:
            await asyncio.wait((self.done,), timeout=WAIT_S)
        finally:
            self.waiting -= 1
        return self.done.result() if self.done.done() else None

    def end(self, answer: Answer | None = None) -> None:
        if not self.done.done():
            self.done.set_result(answer)


class Exchanges:
    """What this worker has under way at the shop, and the answers of the last two minutes."""

    def __init__(self, attempts: Attempts, passage: Passage) -> None:
        self.attempts = attempts
        self.passage = passage
        self.line = passage.line
        self.held_ms = passage.line.settings.payment_held
        self._tasks: set[asyncio.Task[Answer | None]] = set()
        self._of_visitor: Counter[str] = Counter()
        self._kept: OrderedDict[str, tuple[float, Answer]] = OrderedDict()
        self._kept_bytes = 0

    def __len__(self) -> int:
        return len(self._tasks)

    @contextmanager
    def one_more_of(self, visitor: str) -> Iterator[None]:
        """Counts an order from its beginning to its end. Raises OriginFailure for one more than a visitor may have."""
        if self._of_visitor[visitor] >= UNDER_WAY_OF_ONE:
            raise OriginFailure("busy", "too many orders of one visitor")
        self._of_visitor[visitor] += 1
        try:
            yield
        finally:
            self._of_visitor -= Counter((visitor,))

    async def send(self, asked: Asked, placing: Placing, receive: Receive, *, limit_s: float) -> None:
        """Send the order of `placing`, which has begun, and its client the answer. `receive` brings the body."""
        if not asked.is_unproven:
            end_ms = int(self.line.now_ms()) + max(self.held_ms, int(limit_s * 1000))
            self.line.renew(asked.pass_.generation, asked.pass_.place, max(end_ms, asked.pass_.end_ms))
        collected = Collected(asked.request)
        task = asyncio.create_task(self._run(asked, placing, collected, receive, limit_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        answer = await asyncio.shield(task)
        if answer is None:
            await collected.finish()
        else:
            await asked.request.answer(answer)

    def kept(self, id_: str) -> Answer | None:
        """The answer to an attempt of this worker's, for two minutes."""
        until, answer = self._kept.get(id_, (0.0, None))
        return answer if until > asyncio.get_running_loop().time() else None

    async def drain(self, limit_s: float) -> None:
        """Until all that is under way has come to its end; after `limit_s` nobody can tell what comes of the rest."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=limit_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(
        self, asked: Asked, placing: Placing, collected: Collected, receive: Receive, limit_s: float
    ) -> Answer | None:
        attempt, answer = placing.attempt, None
        assert attempt is not None
        try:
            verdict, answer = await self._exchange(asked, attempt, collected, receive, limit_s)
            now_ms = int(self.line.now_ms())
            location = value_of(collected.headers, b"location")
            placing.attempt = await self.attempts.decide(
                replace(
                    attempt,
                    outcome=verdict.outcome,
                    status=collected.status or None,
                    reference=verdict.reference,
                    location=location[:LONGEST_LOCATION].decode("latin-1") or None,
                    decided_ms=now_ms,
                    decided_by="gateway",
                )
            )
            self.line.counts[ORDERS[verdict.outcome]] += 1
            what, took_ms = verdict.outcome.value, now_ms - attempt.begun_ms
            log.info("order_decided", attempt=attempt.id, route=attempt.route, outcome=what, took_ms=took_ms)
            if answer is not None:
                self._keep(attempt.id, answer)
            return answer
        finally:
            placing.end(answer)

    async def _exchange(
        self, asked: Asked, attempt: Attempt, collected: Collected, receive: Receive, limit_s: float
    ) -> tuple[Verdict, Answer | None]:
        """What came of it, and the answer for the client; None if that was passed on."""
        request, passage = asked.request, self.passage
        more: tuple[Header, ...] = ((ATTEMPT, attempt.id.encode()),)
        if not asked.client_key:
            more += ((IDEMPOTENCY_KEY, b'"%b"' % attempt.idempotency_key.encode()),)
        errand = passage.errand(
            collected.request(receive),
            asked.begun_ms,
            asked.pass_,
            asked.fresh,
            drop=ENCODED if asked.route.reads_answers else frozenset(),
            more=more,
            held_ms=self.held_ms,
        )
        try:
            async with asyncio.timeout(limit_s):
                ended = await errand.run()
            if ended.whole:
                body = None if is_encoded(collected.headers) else collected.body
                return asked.route.judge(ended.status, collected.headers, body, ended.commands), collected.answer
            failure = OriginFailure("reset", "the answer broke off", sent=True)
        except OriginFailure as error:
            failure = error
        except TimeoutError:
            failure = OriginFailure("timeout", "no whole answer in time", sent=True)
        except asyncio.CancelledError:
            failure = OriginFailure("timeout", "the gateway had to stop", sent=True)
        verdict = Verdict(outcome_without_answer(sent=failure.sent))
        if collected.is_passed_on:
            collected.give_up()
            return verdict, None
        return verdict, passage.after_failure(failure, request, asked.pass_, asked.fresh, self.held_ms)

    def _keep(self, id_: str, answer: Answer) -> None:
        now = asyncio.get_running_loop().time()
        self._kept[id_] = (now + KEPT_S, answer)
        self._kept_bytes += len(answer.body)
        while self._kept_bytes > KEPT_BYTES or next(iter(self._kept.values()))[0] < now:
            _, (_, oldest) = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest.body)


def is_encoded(headers: Sequence[Header]) -> bool:
    return any(name == b"content-encoding" and value.strip().lower() != b"identity" for name, value in headers)
