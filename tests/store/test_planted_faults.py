"""Faults put into the real scripts and rules on purpose: the model and the history checker have to find each.

That both find nothing without a fault is shown by test_room_model.py and test_histories.py.
"""

from collections.abc import Callable, Sequence

import pytest
import uvloop
from hypothesis import HealthCheck, Phase, settings

from tests.store.histories.planted import PLANTED, histories_until_found
from tests.store.room_support import Replacement, rules_taken_out
from tests.store.test_room_model import WRONG, RoomAgainstModel
from tests.support import running_redis
from waitroom.core import presence
from waitroom.core.presence import EPOCH_MS, epoch_of

IN_SCRIPTS: dict[str, Replacement] = {
    "meter without Redis time": (
        "r.now = (CLOCK[1] - r.created) * 1e6 + CLOCK[2]",
        f"r.now = (CLOCK[1] - r.created) * 1e6 + CLOCK[2] + (redis.call('HGET', 'clock-of-' .. "
        f"string.match(STATE, '{{.*}}'), '{WRONG}') or 0)",
    ),
    "release without lease check": ("if redis.call('GET', KEYS[2]) ~= ARGV[2] then return {'lost'} end", ""),
    "front not monotone": ("whole(math.max(front, r.front))", "whole(front)"),
    "claim bit not set": ("redis.call('SETBIT', claimed, place % 65536 + 7 - 2 * (place % 8), 1)", ""),
    "claim bit in another order": ("place % 65536 + 7 - 2 * (place % 8), 1)", "place % 65536, 1)"),
}


def the_epoch_of_now_left_out(now_ms: float, away_after_ms: int) -> range:
    last = epoch_of(now_ms)
    return range(last - -(-away_after_ms // EPOCH_MS), last)


def one_epoch_too_few(now_ms: float, away_after_ms: int) -> range:
    last = epoch_of(now_ms)
    return range(last - -(-away_after_ms // EPOCH_MS) + 1, last + 1)


def one_epoch_later(now_ms: float, away_after_ms: int) -> range:
    last = epoch_of(now_ms)
    return range(last - -(-away_after_ms // EPOCH_MS) + 1, last + 2)


IN_HISTORIES = {
    "a new rate gives a burst anew": 8,
    "a full room is not full": 0,
    "another server is taken for the same": 2,
    "the opening waits for nobody to learn their place": 4,
    "who comes after the draw is in it, too": 2,
    "two places are one": 2,
    "a link is good for any number": 0,
    "each line has all seats": 0,
    "only the first line is changed": 12,
}
"""The seed that is begun with, near one that finds it; all of them by `python -m tests.bench.planted`."""
MOST_HISTORIES = 30


def run_model(*without: Replacement) -> None:
    """At most 200 histories of 30 steps; the first that differs is not made shorter."""
    with running_redis() as server:

        class Planted(RoomAgainstModel):
            pass

        Planted.server, Planted.without = server, without
        case = Planted.TestCase()
        case.settings = settings(  # type: ignore[misc]
            max_examples=200,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        case.runTest()


@pytest.mark.parametrize("fault", IN_SCRIPTS)
def test_the_model_finds_a_fault_in_a_script(fault: str) -> None:
    with pytest.raises(AssertionError):
        run_model(IN_SCRIPTS[fault])


@pytest.mark.parametrize("epochs", [the_epoch_of_now_left_out, one_epoch_too_few, one_epoch_later])
def test_the_model_finds_an_epoch_off_by_one(
    monkeypatch: pytest.MonkeyPatch, epochs: Callable[[float, int], Sequence[int]]
) -> None:
    monkeypatch.setattr(presence, "epochs_seen", epochs)

    with pytest.raises(AssertionError):
        run_model()


@pytest.mark.parametrize("fault", IN_HISTORIES)
def test_the_history_checker_finds_a_fault(one_redis_url: str, fault: str) -> None:
    looking = histories_until_found(one_redis_url, PLANTED[fault], first=IN_HISTORIES[fault], most=MOST_HISTORIES)

    needed = uvloop.run(looking)

    print(f"{fault}: found in history {needed}")
    assert needed


@pytest.mark.parametrize("fault", PLANTED)
def test_what_is_planted_is_another_text_of_a_script_or_another_rule(fault: str) -> None:
    """So that the command that counts them finds each where it was."""
    with PLANTED[fault].in_place() as without, rules_taken_out(without):
        pass
