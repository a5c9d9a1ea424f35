"""The verbs of a room: each is one script, one atomic step. Values in, values out; no memory of its own."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

from redis.exceptions import RedisError

from waitroom.core.errors import StoreUnavailable
from waitroom.core.figures import STORE_CALLS, STORE_ERRORS, Figures
from waitroom.core.meter import Limits
from waitroom.core.model import Snapshot, Space, State, read_limits, read_state, write_limits
from waitroom.core.presence import EPOCH_MS, chunk_of
from waitroom.core.table import EMPTY, Table, decode
from waitroom.store.batch import Batcher
from waitroom.store.client import Client, connect
from waitroom.store.keys import Keys
from waitroom.store.replies import (
    Beat,
    Change,
    Claimant,
    Claimed,
    Entry,
    Look,
    Newcomer,
    Renewal,
    checked,
    epoch_ms,
    flatten,
    pairs,
)
from waitroom.store.scripts import Call, Value, heard, read_score, run, run_each

HOUR_MS = 3_600_000
MOST_FINDINGS = 200
IN_SHADOW = "shadow"
FLAGS = {(False, False): "", (True, False): "n", (False, True): "s", (True, True): "ns"}


class Room:
    """One room in one Redis. A verb that cannot be done raises StoreUnavailable, AdoptNeeded or GenerationGone."""

    def __init__(self, client: Client, name: str, counts: list[int] | None = None, *, line: str = "") -> None:
        self.client = client
        self.keys = Keys(name, line)
        self.counts = Figures().counts if counts is None else counts
        self._in_step: dict[str, Batcher[Call, list[Any] | RedisError]] = {}

    @classmethod
    def connect(cls, url: str, name: str, counts: list[int] | None = None, *, line: str = "") -> "Room":
        """Makes no connection yet. Calls and errors are counted into `counts` (waitroom.core.figures). `line` is as in
        `Keys`.
        """
        return cls(connect(url), name, counts, line=line)

    async def run(self, verb: str, keys: Sequence[str], args: Sequence[Value]) -> list[Any]:
        """One script call, counted. Raises StoreUnavailable."""
        if verb in self._in_step:
            return heard(verb, await self._in_step[verb].ask(Call(keys, args)))
        with self._counted(verb):
            return await run(self.client, verb, keys, args)

    async def _run_each(self, verb: str, calls: Sequence[Call]) -> list[list[Any] | RedisError]:
        with self._counted(verb):
            return await run_each(self.client, verb, calls)

    def keep_step(self, beside: "Room") -> None:
        """What the loops of both lines ask for in one turn goes as one call, by this one's client."""
        beside._in_step = self._in_step
        for verb in ("sync", "look", "release"):
            self._in_step[verb] = Batcher(partial(self._run_each, verb))

    def fall_out_of_step(self) -> None:
        """Each of both lines calls for itself from now on."""
        self._in_step.clear()

    @contextmanager
    def _counted(self, verb: str) -> Iterator[None]:
        self.counts[STORE_CALLS[verb]] += 1
        try:
            yield
        except StoreUnavailable:
            self.counts[STORE_ERRORS[verb]] += 1
            raise

    async def close(self) -> None:
        await self.client.aclose()

    async def create(
        self, limits: Limits, sale: Mapping[str, str] | None = None, *, wait_ms: int
    ) -> Literal["ok", "exists", "wait"]:
        """A fresh room, where none is, with limits and the fields of a sale. Until `wait_ms` have passed it answers
        *wait*: who remembers may adopt.
        """
        fields = flatten({**write_limits(limits), **(sale or {})})
        keys = [self.keys.state, self.keys.init, self.keys.log]
        reply = await self.run("create", keys, ["", secrets.token_hex(8), wait_ms, *fields])
        return reply[0].decode()  # type: ignore[no-any-return]

    async def adopt(
        self, remembered: Snapshot | None, *, session_idle_ms: int, granted: Sequence[Renewal] = (), issued: int = 0
    ) -> bool:
        """Take over what Redis came back with, merged with what this worker remembers; False if there is nothing.

        `granted`: the seats this worker was given since that snapshot, which counts only those before; `issued`: the
        number behind the last one that it was given since.
        """
        fields = {} if remembered is None else {k: v for k, v in remembered.state.fields.items() if k != "server"}
        if fields:
            fields["issued"] = str(max(int(fields["issued"]), issued))
        seats = 0 if remembered is None else remembered.seats
        keys = [self.keys.state, self.keys.active, self.keys.log, self.keys.ghosts]
        args: list[Value] = ["", seats, session_idle_ms, len(granted)]
        for seat in granted:
            args += (f"{seat.generation}:{seat.place}", seat.end_ms)
        reply = await self.run("adopt", keys, [*args, *flatten(fields)])
        return bool(reply[0] == b"ok")

    async def enter(
        self, generation: str, issued: int, newcomers: Sequence[Newcomer], *, call_id: str, seat_ms: int, now_ms: float
    ) -> list[Entry | None]:
        """Numbers for newcomers, at most 200; None for one who may take no number and cannot come in on the spot.

        `issued` is a hint, of the caller's snapshot. Repeating a `call_id` within 20 s repeats the answer.
        """
        chunk = chunk_of(issued)
        lines = [f"{visitor} {FLAGS[may_number, may_spot]}\n" for visitor, may_number, may_spot in newcomers]
        while True:
            keys = [
                self.keys.state,
                self.keys.reply(generation, call_id),
                self.keys.active,
                self.keys.door(generation)[0],
            ]
            keys += [
                self.keys.minute(now_ms),
                self.keys.ghosts,
                *self.keys.claims(generation, chunk),
                *self.keys.claims(generation, chunk + 1),
            ]
            reply = await self.run("enter", keys, [generation, chunk, seat_ms, len(lines), "".join(lines)])
            if reply[0] != b"stale":
                break
            chunk = chunk_of(int(reply[1]))
        number, created, *outcomes = checked(reply)
        entries: list[Entry | None] = []
        next_number = int(number)
        for outcome in outcomes:
            if outcome == b"":
                entries.append(None)
                continue
            entries.append(Entry(generation, next_number, None if outcome == b"w" else epoch_ms(created, outcome)))
            next_number += 1
        return entries

    async def claim(
        self,
        generation: str,
        claimants: Sequence[Claimant],
        *,
        call_id: str,
        seat_ms: int,
        repeat_ms: int,
        now_ms: float,
    ) -> list[Claimed]:
        """Called visitors ask to be let in; in the order given, which must be that of their places. At most 200."""
        chunks = sorted({chunk_of(claimant.place) for claimant in claimants})
        index = {chunk: 9 + 2 * at for at, chunk in enumerate(chunks)}
        keys = [self.keys.state, self.keys.reply(generation, call_id), self.keys.active, *self.keys.door(generation)]
        keys += [self.keys.minute(now_ms), self.keys.ended, self.keys.ghosts]
        for chunk in chunks:
            keys += self.keys.claims(generation, chunk)
        args: list[Value] = [generation, seat_ms, repeat_ms]
        for place, visitor, _ in claimants:
            args += (place, visitor, index[chunk_of(place)])
        created, *flat = checked(await self.run("claim", keys, args))
        claims = []
        for what, value in zip(flat[::2], flat[1::2], strict=True):
            outcome = what.decode()
            admit = epoch_ms(created, value) if outcome in ("admit", "again") else None
            claims.append(Claimed(outcome, admit, int(value) if outcome == "door" else 0))
        return claims

    async def sync(
        self,
        generation: str,
        worker: str,
        *,
        key_ids: Sequence[str] = (),
        in_shadow: bool = False,
        wants_lease: bool = False,
        known: Table | None = None,
        known_version: str = "",
        renewals: Sequence[Renewal] = (),
        confirmed: int = 0,
        beats: Sequence[Beat] = (),
        space: Space = "p",
        epoch: int = 0,
        away_after_ms: int = HOUR_MS,
        ended_since_ms: int = 0,
        ended_kept_ms: int = HOUR_MS,
    ) -> Snapshot:
        """Flush what this worker has, fetch what is. `generation` '' takes any (then without beats).

        `ended_since_ms` asks for the passes that ended early since then; those are kept for `ended_kept_ms`.
        Beats of `epoch`, in `space`, are kept as long as they count for somebody seen then.
        """
        gen = generation or "none"
        keys = [self.keys.state, self.keys.lease, self.keys.table(gen), self.keys.active, *self.keys.door(gen)]
        keys += [self.keys.workers, self.keys.scratch(worker), self.keys.ended, self.keys.ghosts]
        keys += [self.keys.beat(gen, space, epoch, beat.chunk) for beat in beats]
        args: list[Value] = [
            generation,
            worker_name(worker, key_ids, in_shadow),
            int(wants_lease),
            known_version or "-",
        ]
        args += (confirmed, away_after_ms + 2 * EPOCH_MS, ended_since_ms, ended_kept_ms, len(renewals))
        for renewal in renewals:
            args += (f"{renewal.generation}:{renewal.place}", renewal.end_ms)
        for beat in beats:
            args += (beat.offset, beat.bits)
        now_ms, holder, seats, door, workers, ended, blob, *flat = checked(await self.run("sync", keys, args))
        state = read_state(pairs(flat))
        table = EMPTY
        if blob:
            table = decode(blob)
        elif known is not None and state.table_version == known_version:
            table = known
        held_keys = frozenset(key.decode() for member in workers for key in member.split(b":")[1:])
        return Snapshot(state, now_ms, seats, door, len(workers), held_keys, bool(holder), table, tuple(ended))

    async def look(
        self,
        generation: str,
        worker: str,
        chunks: Sequence[int],
        epochs: range,
        *,
        door_from: int,
        space: Space = "p",
    ) -> tuple[list[int], list[Look]]:
        """(places at the door from `door_from` on, bits of each chunk)."""
        keys = [self.keys.state, self.keys.door(generation)[0], self.keys.scratch(worker)]
        for chunk in chunks:
            keys.append(self.keys.claims(generation, chunk)[1])
            keys += [self.keys.beat(generation, space, epoch, chunk) for epoch in epochs]
        door, *flat = checked(await self.run("look", keys, [generation, len(epochs), door_from]))
        looks = [Look(seen, claimed) for seen, claimed in zip(flat[::2], flat[1::2], strict=True)]
        return [int(place) for place in door], looks

    async def release(
        self,
        generation: str,
        worker: str,
        *,
        front: int,
        lapsed: int,
        soon: int,
        table: Table,
        keep_ms: int,
        lapsed_before: int = 0,
    ) -> Literal["ok", "lost", "gap", "refused"]:
        """Move the front and publish the table; needs the lease, and keeps it. Never moves the front back. Claims of
        chunks in which the last turn has lapsed since `lapsed_before` are kept for `keep_ms` from now on.
        """
        keys = [self.keys.state, self.keys.lease, self.keys.table(generation), self.keys.active, self.keys.ghosts]
        ended = chunk_of(lapsed) - chunk_of(lapsed_before)
        for chunk in range(chunk_of(lapsed_before), chunk_of(front) + 1):
            keys += self.keys.claims(generation, chunk)
        args: list[Value] = [
            generation,
            worker,
            front,
            lapsed,
            soon,
            keep_ms,
            ended,
            table.encode(),
            secrets.token_hex(6),
        ]
        reply = await self.run("release", keys, args)
        if reply[0] in (b"lost", b"gap", b"refused"):
            return reply[0].decode()  # type: ignore[no-any-return]
        checked(reply)
        return "ok"

    async def seat_end(self, generation: str, place: int, *, now_ms: float) -> int | None:
        """The end (ms) of a seat that is still counted, else None."""
        with self._counted("seat_end"):
            end = await read_score(self.client, self.keys.active, f"{generation}:{place}")
        return int(end) if end is not None and end > now_ms else None

    async def note(self, findings: Mapping[str, int], *, key: str | None = None) -> None:
        """Count findings for `waitroom status`, or under another key alike; at most 200 different ones are kept."""
        args: list[Value] = ["", MOST_FINDINGS]
        for what, times in findings.items():
            args += (what, times)
        await self.run("note", [self.keys.state, key or self.keys.findings], args)

    async def configure(
        self,
        fields: Mapping[str, str],
        *,
        by: str,
        digest: str = "",
        generation: str = "",
        invited: Mapping[str, str] | None = None,
    ) -> Change:
        """Change limits (`write_limits`) and `message`, live; with a `digest` only if it is not the one in force. In
        the same moment those of the line of the `invited`, if there is one. Raises Unsettled right after an adoption.
        """
        keys = [self.keys.state, self.keys.log]
        args: list[Value] = [generation, by, digest, len(fields), *flatten(fields)]
        if invited is not None:
            keys.append(self.keys.beside)
            args += flatten(invited)
        applied, *flat = checked(await self.run("configure", keys, args))
        before = pairs(flat)
        after = before | dict(fields) if applied else before
        return Change(bool(applied), read_limits(before), read_limits(after), before["message"], after["message"])

    async def reset(self, state: State, *, by: str, keep_ms: int) -> str:
        """Start a new generation; its id. Tickets of the old one are void, people inside stay."""
        generation = secrets.token_hex(8)
        args: list[Value] = [state.generation, generation, by, keep_ms]
        checked(await self.run("reset", self.generation_keys(state), args))
        return generation

    def generation_keys(self, state: State) -> list[str]:
        """What a script needs that may end the generation."""
        keys = [self.keys.state, self.keys.log, *self.keys.door(state.generation)]
        for chunk in range(chunk_of(state.lapsed), chunk_of(state.front) + 1):
            keys += self.keys.claims(state.generation, chunk)
        return keys


def worker_name(worker: str, key_ids: Sequence[str], in_shadow: bool) -> str:
    """How a worker stands among the others: `<id>:<ids of its keys>`, with `:shadow` behind if it is."""
    return ":".join((worker, *key_ids, *([IN_SHADOW] if in_shadow else [])))
