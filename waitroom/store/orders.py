"""The orders of a room in Redis: attempts, what came of them, and whose they are.

An attempt's id is `<when it was begun, 11 hex digits><5 random ones>-<16 that stand for its visitor>`. So ids sort by
time, and an id leads to the one hash that holds its visitor's attempts. The visitor's own id cannot be had from it.

Nothing here depends on the generation of the line: orders outlive a `reset`, and their visitor's pass.

What is stored: `Attempt`, which holds no part of an order's body; `sameness` is a digest under a key. For how long:
`WAITROOM_ORDER_KEEP`. How much: the last `MOST_OF_VISITOR` of each visitor.
"""

import asyncio
import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from typing import Final, NamedTuple

from waitroom.core.errors import StoreUnavailable
from waitroom.core.orders.attempt import Attempt, Decider, Outcome, may_learn
from waitroom.store.client import store_errors
from waitroom.store.room import Room
from waitroom.store.scripts import Value

MOST_OF_VISITOR: Final = 100
WORD_MS: Final = 10 * 60_000
"""So long a visitor's word counts that an order may be sent again."""
PAGE: Final = 200
TRIES: Final = 5
OWNER_DIGITS: Final = 16
TIME_DIGITS: Final = 11
ID_LENGTH: Final = TIME_DIGITS + 5 + 1 + OWNER_DIGITS


class Found(NamedTuple):
    """An attempt at the same order made before; `may_repeat`: its visitor said that it may be sent again."""

    attempt: Attempt
    may_repeat: bool


class Listed(NamedTuple):
    """A page of attempts, newest first; `after` is what to ask for the next page with, None if there is none."""

    attempts: list[Attempt]
    after: str | None


class OrderBook:
    """The verbs. Each raises StoreUnavailable, and nothing else of Redis's."""

    def __init__(self, room: Room, *, keep_ms: int) -> None:
        self._room = room
        self._keys = room.keys
        self._keep_ms = keep_ms

    async def begin(
        self, attempt: Attempt, digests: Sequence[str], *, after: str = "", by_word: bool = False
    ) -> Found | None:
        """Write an attempt that is under way, or find the last one at the same order: one of the two, atomically, over
        all workers.

        `digests` tell the order, one for each secret in use, the one that `attempt.sameness` has first; none for an
        order that cannot be told from others. `after` names a found attempt that may be followed by this one; with
        `by_word` only if the visitor said so, and that is used up by it. Repeating the call changes nothing.
        """
        keys = [self._keys.state, self._keys.orders(owner_in(attempt.id)), *map(self._keys.outcome, Outcome)]
        args: list[Value] = ["", attempt.id, to_record(attempt), self._keep_ms, MOST_OF_VISITOR]
        args += [lowest_id(attempt.begun_ms - self._keep_ms), after, int(by_word), *digests]
        reply = await self._room.run("begin_order", keys, args)
        return None if reply[0] == b"ok" else Found(from_record(reply[1]), reply[2] == 1)

    async def decide(
        self,
        id_: str,
        outcome: Outcome,
        *,
        by: Decider,
        now_ms: float,
        status: int | None = None,
        reference: str | None = None,
        location: str | None = None,
    ) -> Attempt | None:
        """Say what came of an attempt; the attempt as it stands then, None if there is none. What is known for sure
        stays (`may_learn`): of two who decide at once the first counts.
        """
        attempt = await self.get(id_)
        for _ in range(TRIES):
            if attempt is None or not may_learn(attempt.outcome, by):
                return attempt
            decided = replace(
                attempt,
                outcome=outcome,
                status=status if status is not None else attempt.status,
                reference=reference if reference is not None else attempt.reference,
                location=location if location is not None else attempt.location,
                decided_ms=int(now_ms),
                decided_by=by,
            )
            there = await self._write(decided, attempt)
            if there == decided:
                return decided
            attempt = there
        raise StoreUnavailable("write_order: others write the same attempt")

    async def put(self, attempt: Attempt, known: Attempt | None) -> Attempt:
        """Write what this worker knows of an attempt, also where Redis lost it; the attempt as it stands then.

        `known` is what Redis is believed to hold. What somebody else wrote meanwhile stays, unless the gateway may
        still learn better; an attempt merely under way never replaces anything.
        """
        for _ in range(TRIES):
            there = await self._write(attempt, known)
            if there == attempt:
                return attempt
            if there is not None and (
                attempt.outcome is Outcome.UNDER_WAY or not may_learn(there.outcome, attempt.decided_by or "gateway")
            ):
                return there
            known = there
        raise StoreUnavailable("write_order: others write the same attempt")

    async def allow_again(self, id_: str) -> bool:
        """Note the visitor's word that the order may be sent again, once, within ten minutes. False: no such attempt.
        Whoever calls has made sure that it is the attempt's own visitor who says so.
        """
        if not is_id(id_):
            return False
        keys = [self._keys.state, self._keys.orders(owner_in(id_))]
        return bool((await self._room.run("allow_order", keys, ["", id_, WORD_MS]))[0] == b"ok")

    async def get(self, id_: str) -> Attempt | None:
        """The attempt of this id, as it was written."""
        if not is_id(id_):
            return None
        with store_errors("hget"):
            record = await self._room.client.hget(self._keys.orders(owner_in(id_)), id_)
        return from_record(record) if record else None

    async def read(self, id_: str, *, now_ms: float) -> Attempt | None:
        """The attempt as it is to be read now."""
        attempt = await self.get(id_)
        return None if attempt is None else (await self._as_read([attempt], now_ms))[0]

    async def of_visitor(self, visitor: str, *, now_ms: float, limit: int = MOST_OF_VISITOR) -> list[Attempt]:
        """The attempts of a visitor as they are to be read now, newest first."""
        with store_errors("hgetall"):
            fields = await self._room.client.hgetall(self._keys.orders(owner_of(visitor)))
        ids = sorted((field for field in fields if field[:1] not in (b"=", b"!")), reverse=True)
        lowest = lowest_id(now_ms - self._keep_ms).encode()
        attempts = [from_record(fields[field]) for field in ids[:limit] if field >= lowest]
        return await self._as_read(attempts, now_ms)

    async def list_by_outcome(
        self, outcome: Outcome, *, now_ms: float, after: str | None = None, limit: int = PAGE
    ) -> Listed:
        """The attempts with this outcome, newest first; `after` as the page before says."""
        highest = f"({after}" if after else "+"
        lowest = f"[{lowest_id(now_ms - self._keep_ms)}"
        with store_errors("zrevrangebylex"):
            ids = await self._room.client.zrevrangebylex(
                self._keys.outcome(outcome), highest, lowest, start=0, num=limit
            )
        found = await asyncio.gather(*(self.get(id_.decode()) for id_ in ids))
        attempts = [attempt for attempt in found if attempt is not None]
        return Listed(await self._as_read(attempts, now_ms), ids[-1].decode() if len(ids) == limit else None)

    async def time_ms(self) -> int:
        """Redis time, for whoever keeps no clock of it."""
        with store_errors("time"):
            seconds, micros = await self._room.client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    async def counts(self) -> dict[Outcome, int]:
        """How many attempts are kept of each outcome."""
        with store_errors("zcard"):
            client = self._room.client
            counts = await asyncio.gather(*(client.zcard(self._keys.outcome(outcome)) for outcome in Outcome))
        return dict(zip(Outcome, counts, strict=True))

    async def give_up_lost(self, *, now_ms: float) -> list[Attempt]:
        """Write down as unknown what is under way and will not be heard of: the deadline has passed, or the worker has
        died. At most a page of the oldest; those that were given up.
        """
        with store_errors("zrangebylex"):
            ids = await self._room.client.zrangebylex(
                self._keys.outcome(Outcome.UNDER_WAY), "-", "+", start=0, num=PAGE
            )
        found = await asyncio.gather(*(self.get(id_.decode()) for id_ in ids))
        before = [attempt for attempt in found if attempt is not None]
        given_up = []
        for was, now in zip(before, await self._as_read(before, now_ms), strict=True):
            if was != now and await self._write(now, was) == now:
                given_up.append(now)
        return given_up

    async def _as_read(self, attempts: Iterable[Attempt], now_ms: float) -> list[Attempt]:
        """Under way is only what its worker can still tell of."""
        read = [attempt.seen_at(now_ms) for attempt in attempts]
        if not any(attempt.outcome is Outcome.UNDER_WAY for attempt in read):
            return read
        with store_errors("zrange"):
            members = await self._room.client.zrangebyscore(self._keys.workers, now_ms - WORKER_SEEN_MS, "+inf")
        alive = {member.partition(b":")[0].decode() for member in members}
        return [
            replace(attempt, outcome=Outcome.UNKNOWN, decided_ms=int(now_ms), decided_by="gateway")
            if attempt.outcome is Outcome.UNDER_WAY and attempt.worker not in alive
            else attempt
            for attempt in read
        ]

    async def _write(self, attempt: Attempt, known: Attempt | None) -> Attempt | None:
        """What stands there then: `attempt`, or what is neither it nor `known`."""
        before = Outcome.UNDER_WAY if known is None else known.outcome
        keys = [self._keys.state, self._keys.orders(owner_in(attempt.id))]
        keys += [self._keys.outcome(before), self._keys.outcome(attempt.outcome)]
        args: list[Value] = ["", attempt.id, "" if known is None else to_record(known), to_record(attempt)]
        reply = await self._room.run("write_order", keys, [*args, self._keep_ms, attempt.sameness])
        if reply[0] == b"ok":
            return attempt
        return from_record(reply[1]) if reply[1] else None


WORKER_SEEN_MS: Final = 10_000
"""A worker that has not synced for so long counts as dead: four rounds a second, and a Redis that hangs in between."""


def owner_of(visitor: str) -> str:
    """What stands for a visitor in keys and ids: of 128 random bits, so that nobody finds them by trying."""
    return sha256(b"waitroom.orders." + visitor.encode()).hexdigest()[:OWNER_DIGITS]


def owner_in(id_: str) -> str:
    return id_[-OWNER_DIGITS:]


def new_id(visitor: str, now_ms: float) -> str:
    return f"{int(now_ms):0{TIME_DIGITS}x}{secrets.token_hex(3)[:5]}-{owner_of(visitor)}"


def lowest_id(at_ms: float) -> str:
    """Below every id begun from then on."""
    return f"{max(0, int(at_ms)):0{TIME_DIGITS}x}"


def is_id(text: str) -> bool:
    """Whether this may be an id: what comes from outside is no key before that."""
    time_part, dash, owner = text[: -OWNER_DIGITS - 1], text[-OWNER_DIGITS - 1 : -OWNER_DIGITS], text[-OWNER_DIGITS:]
    return len(text) == ID_LENGTH and dash == "-" and set(time_part + owner) <= set("0123456789abcdef")


def to_record(attempt: Attempt) -> str:
    """As JSON, one spelling for one value: scripts compare records as text."""
    fields = {name: value for name, value in asdict(attempt).items() if value is not None and name != "recorded"}
    return json.dumps(fields, separators=(",", ":"), sort_keys=True)


def from_record(record: bytes) -> Attempt:
    fields = json.loads(record)
    return Attempt(**{**fields, "outcome": Outcome(fields["outcome"])})
