"""What waits for Redis: newcomers who want a number, called visitors who want in.

They are gathered into batches, and a batch is repeated with patience where its answer was lost.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from waitroom.core.errors import StoreUnavailable
from waitroom.store.batch import Batcher, Waiter
from waitroom.store.door import Door
from waitroom.store.memory import Memory
from waitroom.store.replies import AdoptNeeded, Claimant, Claimed, Entry, GenerationGone, Newcomer, PhaseDue
from waitroom.store.sale import SaleView, Selling

TRIES = 3
READS = 4
"""So many seats are read at once: the other connections to Redis are the line's."""
WAITING = Claimed("waiting")

Answer = TypeVar("Answer")


class View(SaleView, Protocol):
    """What is asked for needs to be known of the line, beside what a sale does."""

    @property
    def selling(self) -> Selling: ...
    @property
    def is_away(self) -> bool: ...
    @property
    def is_well(self) -> bool: ...
    def seat_ms(self) -> int: ...
    def provisional_ms(self) -> int: ...
    async def next_sync(self) -> None: ...


class Asking:
    """`door` holds those who were called and cannot be let in this very moment. What is given goes into `memory`."""

    def __init__(self, line: View, memory: Memory) -> None:
        self._line = line
        self._room = line.room
        self._memory = memory
        self.door = Door(self._claim_for_door)
        self._enters: Batcher[Newcomer, Entry | None] = Batcher(self._enter_batch)
        self._claims: Batcher[Claimant, Claimed] = Batcher(self._claim_batch)
        self._reads = asyncio.Semaphore(READS)

    async def close(self) -> None:
        """Whoever still waits is cancelled."""
        await self._enters.close()
        await self._claims.close()

    async def enter(self, newcomer: Newcomer) -> Entry | None:
        """A number, perhaps an admission on the spot; None where neither could be. Raises StoreUnavailable."""
        if self._line.is_away:
            raise StoreUnavailable("enter: Redis is away")
        return await self._enters.ask(newcomer)

    def put_newcomer(self, newcomer: Newcomer, waiter: Waiter[Entry | None]) -> None:
        """`enter` without a task to wait in: `waiter` is told. Raises StoreUnavailable at once where Redis is away."""
        if self._line.is_away:
            raise StoreUnavailable("enter: Redis is away")
        self._enters.put(newcomer, waiter)

    async def claim(self, claimant: Claimant, *, wait_s: float) -> Claimed:
        """Claim a called place; up to `wait_s` at the door. Raises StoreUnavailable."""
        if self._line.is_away:
            raise StoreUnavailable("claim: Redis is away")
        claimed = await self._claims.ask(claimant)
        if claimed.outcome == "door" and wait_s > 0:
            claimed = await self.door.wait(claimant, wait_s) or claimed
        return claimed

    async def seat_end(self, generation: str, place: int) -> int | None:
        """When the seat of a pass that has run out ends (ms), if it is still counted. Raises StoreUnavailable."""
        async with self._reads:
            if not self._line.is_well:
                raise StoreUnavailable("seat: Redis is ill")
            return await self._room.seat_end(generation, place, now_ms=self._line.now_ms())

    async def _enter_batch(self, newcomers: list[Newcomer]) -> list[Entry | None]:
        call_id = secrets.token_hex(8)
        return await self._patiently("enter", lambda: self._enter_once(newcomers, call_id))

    async def _claim_batch(self, claimants: list[Claimant]) -> list[Claimed]:
        call_id = secrets.token_hex(8)
        return await self._patiently("claim", lambda: self._claim_once(claimants, call_id))

    async def _patiently(self, what: str, call: Callable[[], Awaitable[list[Answer]]]) -> list[Answer]:
        """Up to three tries, each after another sync: the call carries an id, so a try that was executed and lost its
        answer is not executed again. While Redis is ill nothing is tried before a round of the loop went well. Where a
        change of phase is due it is latched first. Raises StoreUnavailable.
        """
        last = StoreUnavailable(f"{what}: Redis is ill")
        for _ in range(TRIES):
            try:
                if self._line.is_well:
                    try:
                        return await call()
                    except PhaseDue:
                        await self._line.selling.latch()
                    return await call()
            except StoreUnavailable as error:
                last = error
            except (AdoptNeeded, GenerationGone, PhaseDue) as error:
                last = StoreUnavailable(f"{what}: {type(error).__name__}")
            if self._line.is_away:
                break
            await self._line.next_sync()
        raise last

    async def _enter_once(self, newcomers: list[Newcomer], call_id: str) -> list[Entry | None]:
        snapshot = self._line.snapshot
        if snapshot is None:
            raise StoreUnavailable("enter: no snapshot yet")
        seat_ms = self._line.provisional_ms()
        entries = await self._room.enter(
            snapshot.state.generation,
            snapshot.state.issued,
            newcomers,
            call_id=call_id,
            seat_ms=seat_ms,
            now_ms=self._line.now_ms(),
        )
        numbers = [entry.number for entry in entries if entry is not None]
        if numbers:
            self._memory.give_number(snapshot.state.generation, numbers[-1])
        for entry in entries:
            if entry is not None and entry.admit_ms is not None:
                self._memory.give_seat(entry.generation, entry.number, entry.admit_ms + seat_ms)
        return entries

    async def _claim_once(self, claimants: list[Claimant], call_id: str) -> list[Claimed]:
        """One call, in order of place; the answers in the order given. Whose ticket is of another generation, since the
        room was reset while they waited, claims nobody's place in this one.
        """
        snapshot = self._line.snapshot
        if snapshot is None:
            raise StoreUnavailable("claim: no snapshot yet")
        generation, seat_ms = snapshot.state.generation, self._line.seat_ms()
        here = [index for index, claimant in enumerate(claimants) if claimant.generation in ("", generation)]
        if not here:
            return [WAITING] * len(claimants)
        order = sorted(here, key=lambda index: claimants[index].place)
        claims = await self._room.claim(
            generation,
            [claimants[index] for index in order],
            call_id=call_id,
            seat_ms=seat_ms,
            repeat_ms=self._line.settings.claim_repeat,
            now_ms=self._line.now_ms(),
        )
        answers = dict(zip(order, claims, strict=True))
        for index, claim in answers.items():
            if claim.outcome == "admit" and claim.admit_ms is not None:
                self._memory.give_seat(generation, claimants[index].place, claim.admit_ms + seat_ms)
        return [answers.get(index, WAITING) for index in range(len(claimants))]

    async def _claim_for_door(self, claimants: list[Claimant]) -> list[Claimed]:
        """From within the loop: not repeated here, where the next sync would wait for itself."""
        return await self._claim_once(claimants, secrets.token_hex(8))
