"""A room in a real Redis whose clock the test turns, and scripts with a rule taken out."""

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from importlib.resources import files
from typing import Any, cast

from waitroom.core.meter import Limits
from waitroom.core.model import Snapshot, State
from waitroom.core.presence import Beats, epoch_of
from waitroom.core.sale.schedule import Phase
from waitroom.core.settings import Settings
from waitroom.core.table import EMPTY
from waitroom.store import scripts
from waitroom.store.client import connect
from waitroom.store.drawing import Drawing
from waitroom.store.replies import Beat, Claimant, Claimed, Entry, Newcomer
from waitroom.store.room import Room
from waitroom.store.sale import Announce, latch

START_S = 1_800_000_000
PATIENT_S = 30.0
READS_CLOCK = "redis.call('TIME')"
TURNED_CLOCK = "redis.call('HMGET', 'clock-of-' .. string.match(STATE, '{.*}'), 's', 'us')"
BEGINS = "local STATE, CLOCK = KEYS[1], "
CHECKS_KEYS = """local STATE, declared, anything = KEYS[1], {}, redis.call
for _, key in ipairs(KEYS) do declared[key] = true end
local redis = {call = function(...)
  for _, word in ipairs({...}) do
    if string.find(word, '^waitroom:') and not declared[word] then error('undeclared key ' .. word) end
  end
  return anything(...)
end}
local CLOCK = """

Replacement = tuple[str, str]


def variant(replacements: Sequence[Replacement]) -> Iterator[None]:
    """While the generator runs, every script has these pieces of text replaced. Each piece has to occur somewhere."""
    written = scripts.script
    occurred: set[str] = set()
    scripts_there = [path.name.removesuffix(".lua") for path in (files("waitroom.store") / "lua").iterdir()]
    names = [name for name in scripts_there if not name.startswith("_")]
    texts = {}
    for name in names:
        text = written(name)[1]
        for old, new in replacements:
            if old in text:
                occurred.add(old)
                text = text.replace(old, new)
        texts[name] = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), text
    missing = {old for old, _ in replacements} - occurred
    assert not missing, f"no script holds {missing}"
    scripts.script = texts.__getitem__  # type: ignore[assignment]
    try:
        yield
    finally:
        scripts.script = written


rules_taken_out = contextlib.contextmanager(variant)


def patient_room(url: str, name: str) -> Room:
    """Its calls may take as long as a machine stands still."""
    return Room(connect(url, call_s=PATIENT_S), name)


class Clock:
    """Redis time, as the scripts of this test see it."""

    def __init__(self, client: Any, name: str) -> None:
        self._client, self.key = client, f"clock-of-{{{name}}}"
        self.now_us = START_S * 1_000_000

    @property
    def now_ms(self) -> float:
        return self.now_us / 1000

    async def set(self, now_us: float) -> None:
        self.now_us = round(now_us)
        seconds, rest = divmod(self.now_us, 1_000_000)
        await self._client.hset(self.key, mapping={"s": seconds, "us": rest})

    async def pass_s(self, seconds: float) -> None:
        await self.set(self.now_us + seconds * 1e6)


def drawing_of(room: Room, *, source: str = "", secret: str = "a-key-of-this-test-0123456789abcdef") -> Drawing:
    name = room.keys.of_room[len("waitroom:{") : -2]
    settings = Settings.model_validate({"origin": "http://x", "room": name, "secret": secret, "draw_source": source})
    return Drawing(settings, room)


def announcing(drawing: Drawing, clock: Clock) -> Announce:
    return lambda state, new: drawing.announcement(state, new_generation=new, now_ms=clock.now_ms)


class TestRoom:
    """The verbs with what a test rarely varies filled in. One worker, `w`, unless another is named."""

    __test__ = False

    def __init__(self, room: Room, clock: Clock) -> None:
        self.room, self.clock = room, clock
        self.redis: Any = room.client
        self.snapshot: Snapshot | None = None

    @property
    def generation(self) -> str:
        return self.state.generation

    @property
    def state(self) -> State:
        assert self.snapshot is not None
        return self.snapshot.state

    def drawing(self, *, source: str = "") -> Drawing:
        """A worker's part in the draw."""
        return drawing_of(self.room, source=source)

    async def catch_up(self, *, source: str = "") -> Phase | None:
        """What a worker's round does for a sale: the phase is latched, and a seed revealed."""
        drawing = self.drawing(source=source)
        for _ in range(2):
            phase = await self.latch(source=source)
            self.snapshot = drawing.attach(await self.sync(generation=""))
            await drawing.settle(self.snapshot)
            self.snapshot = drawing.attach(await self.sync(generation=""))
        return phase

    async def latch(self, *, source: str = "") -> Phase | None:
        """The phase brought up to now, and no more."""
        await self.sync(generation="")
        announce = announcing(self.drawing(source=source), self.clock)
        return await latch(self.room, self.state, keep_ms=1000, announce=announce)

    async def sync(self, worker: str = "w", *, lease: bool = False, **what: Any) -> Snapshot:
        known = self.snapshot
        self.snapshot = await self.room.sync(
            what.pop("generation", known.state.generation if known else ""),
            worker,
            wants_lease=lease,
            known=known.table if known else None,
            known_version=known.state.table_version if known and known.table is not EMPTY else "",
            epoch=epoch_of(self.clock.now_ms),
            away_after_ms=90_000,
            **what,
        )
        return self.snapshot

    async def beat(self, *places: int) -> None:
        beats = Beats()
        for place in places:
            beats.note(place)
        await self.sync(beats=[Beat(*taken) for taken in beats.take(beats.chunks())])

    async def enter(
        self, people: int = 1, *, spot: bool = False, number: bool = True, call_id: str = "", seat_ms: int = 600_000
    ) -> list[Entry | None]:
        newcomers = [Newcomer(secrets.token_hex(16), number, spot) for _ in range(people)]
        return await self.enter_these(newcomers, call_id=call_id, seat_ms=seat_ms)

    async def enter_these(
        self, newcomers: Sequence[Newcomer], *, call_id: str = "", seat_ms: int = 600_000, issued: int | None = None
    ) -> list[Entry | None]:
        return await self.room.enter(
            self.generation,
            self.state.issued if issued is None else issued,
            newcomers,
            call_id=call_id or secrets.token_hex(8),
            seat_ms=seat_ms,
            now_ms=self.clock.now_ms,
        )

    async def claim(
        self,
        *places: int,
        visitor: str = "",
        call_id: str = "",
        seat_ms: int = 600_000,
        repeat_ms: int = 120_000,
    ) -> list[Claimed]:
        claimants = [Claimant(place, visitor or f"{place:032x}") for place in sorted(places)]
        return await self.room.claim(
            self.generation,
            claimants,
            call_id=call_id or secrets.token_hex(8),
            seat_ms=seat_ms,
            repeat_ms=repeat_ms,
            now_ms=self.clock.now_ms,
        )

    async def move_front(self, front: int, *, lapsed: int = 0, soon: int = 0, keep_ms: int = 720_000) -> str:
        """As the holder of the lease; leaves `snapshot` with what came of it."""
        await self.sync(lease=True)
        outcome = await self.room.release(
            self.generation, "w", front=front, lapsed=lapsed, soon=soon, table=EMPTY, keep_ms=keep_ms
        )
        await self.sync()
        return outcome

    async def pass_time(self, seconds: float) -> None:
        """Turn the clock, and let keys expire by it: what Redis itself keeps of time runs on."""
        await self.clock.pass_s(seconds)
        keys = await self.keys()
        left = await asyncio.gather(*map(self.redis.pttl, keys))
        passed_ms = round(seconds * 1000)
        expiring = [(key, left_ms - passed_ms) for key, left_ms in zip(keys, left, strict=True) if left_ms > 0]
        await asyncio.gather(*(self.redis.pexpire(key, left_ms) for key, left_ms in expiring))

    async def keys(self) -> list[str]:
        """The room's keys."""
        pattern = self.room.keys.prefix.replace("{", "\\{") + "*"
        return sorted([key.decode() async for key in self.redis.scan_iter(pattern, count=1000)])

    async def set(self, **fields: object) -> None:
        """Write fields of the state as they are."""
        await self.redis.hset(self.room.keys.state, mapping={name: str(value) for name, value in fields.items()})


@contextlib.asynccontextmanager
async def room_in(
    url: str, limits: Limits, *, without: Sequence[Replacement] = (), name: str = ""
) -> AsyncIterator[TestRoom]:
    """A fresh room at a time that only the test moves. Its scripts lack what `without` replaces, and end with an error
    at a key that they did not declare.
    """
    name = name or f"r{secrets.token_hex(4)}"
    with rules_taken_out([*without, (BEGINS, CHECKS_KEYS), (READS_CLOCK, TURNED_CLOCK)]):
        room = patient_room(url, name)
        try:
            clock = Clock(room.client, name)
            await clock.set(clock.now_us)
            assert await room.create(limits, wait_ms=0) == "ok"
            made = TestRoom(room, clock)
            await made.sync()
            yield made
        finally:
            await cast(Any, room.client).aclose()
