"""The opening of a lobby that was drawn, in a real Redis whose clock the test turns.

By their places nobody has been seen before: presence begins anew with the draw. So the line begins to move only when
everybody has had the time to ask by their place, also where the draw came late.
"""

from dataclasses import replace

import pytest

from tests.store.room_support import rules_taken_out
from tests.store.test_phases import LIMITS, OPENS_S, at, sale_in, schedule
from waitroom.core import watch
from waitroom.core.meter import HORIZON_US
from waitroom.core.model import State
from waitroom.core.settings import Settings
from waitroom.store.holder import Holder

IN_LOBBY_S, LEAD_S, SETTLED_S = 150, 25, 45
PEOPLE, POLL_STEPS, STEP_S = 3000, 40, 0.5
SETTINGS = Settings.model_validate({"origin": "http://127.0.0.1:1"})


async def called_in_two_seconds(url: str) -> int:
    """The worker with the key comes a second after the stated opening; one without it has kept the line till then. Two
    in three of the lobby are there, ask once in twenty seconds, and claim as soon as they are called.
    """
    async with sale_in(url, replace(schedule(), lead_ms=LEAD_S * 1000)) as room:
        await at(room, IN_LOBBY_S)
        for _ in range(PEOPLE // 200):
            await room.enter(200)
        await at(room, OPENS_S - LEAD_S - SETTLED_S)
        holder, drawing, step = Holder(room.room, "w", SETTINGS), room.drawing(), 0
        opened_ms = 0.0
        while not opened_ms or room.clock.now_ms < opened_ms + 2000:
            await room.clock.pass_s(STEP_S)
            step += 1
            if await room.latch() == "open":
                opened_ms = opened_ms or room.clock.now_ms
            if step * STEP_S > SETTLED_S + LEAD_S + 1:
                await drawing.settle(drawing.attach(await room.sync()))
            if room.state.space == "p":
                await room.beat(*(place for place in range(step % POLL_STEPS, PEOPLE, POLL_STEPS) if place % 3))
            room.snapshot = drawing.attach(await room.sync(lease=True))
            await holder.round(room.snapshot)
            if called := [place for place in range(room.state.front) if place % 3]:
                await room.claim(*called[-60:])
        return room.state.front


async def test_the_line_does_not_jump_when_places_are_new(one_redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """P3. Opened at once, the front runs over everybody: nobody has been seen by their place. Two more rules stand in
    the way of that and are taken out too: for the length of the lead, and for ten seconds after numbers were given,
    everybody counts as present.
    """
    kept = await called_in_two_seconds(one_redis_url)
    monkeypatch.setattr(State, "learned_ms", 0)
    monkeypatch.setattr(watch, "JUST_ISSUED_MS", 0)
    with rules_taken_out([("known + math.min(lead, 60000)", "known")]):
        taken_out = await called_in_two_seconds(one_redis_url)

    print(f"front after two seconds: {kept} against {taken_out}")
    assert 0 < kept <= 1.5 * (LIMITS.burst + LIMITS.rate_per_s * (2 + HORIZON_US / 1e6)) + 2
    assert taken_out > PEOPLE / 2
