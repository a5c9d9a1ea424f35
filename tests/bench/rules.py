"""Takes each rule of the line out of the code, one at a time, and shows which test says so, and what came of it.

    python -m tests.bench.rules              every rule; about four minutes
    python -m tests.bench.rules door meter   those whose names hold one of these words

The package and the tests are copied to a folder of their own; there the text that holds the rule is replaced, and the
test that knows of it is run. A test that passes all the same is a rule that nothing guards: exit status 1.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support import ROOT

LIMIT_S = 240
NEEDS_THE_TEXT = ('    assert not missing, f"no script holds {missing}"\n', "")
"""What tests/store/room_support.py makes sure of: not where the text was taken out on purpose."""


class Rule(NamedTuple):
    """`old` stands once in the file of the package, and `new` in its place is the code without the rule."""

    name: str
    file: str
    old: str
    new: str
    test: str


ADMISSION, METER, RECORD = (f"store/lua/_{name}.lua" for name in ("admission", "meter", "record"))
ROOM, SEATS = "store/lua/_room.lua", "store/lua/_seats.lua"
ENTER, CLAIM, SYNC, RELEASE = (f"store/lua/{name}.lua" for name in ("enter", "claim", "sync", "release"))
CONFIGURE, ADOPT, CREATE = (f"store/lua/{name}.lua" for name in ("configure", "adopt", "create"))
RULES, MATTER = "tests/store/test_room_rules.py::", "tests/store/test_rules_matter.py::"
AFTER, LIFE = "tests/store/test_rules_after_a_loss.py::", "tests/store/test_room_life.py::"
HOLDER, HELD, BATCH = (f"tests/store/test_{name}.py::" for name in ("holder", "held", "batch"))

TABLE = [
    # The meter.
    Rule(
        "idle credit is not banked",
        ADMISSION,
        "r.next_at = math.max(r.next_at, at) + r.spacing",
        "r.next_at = r.next_at + r.spacing",
        RULES + "test_idle_credit_is_not_banked",
    ),
    Rule(
        "a spent burst is no backlog",
        "core/meter.py",
        "return free_at(meter, limits, now_us) - now_us",
        "return max(0.0, meter.next_at_us - now_us)",
        MATTER + "test_a_spent_burst_does_not_pause_the_line",
    ),
    Rule(
        "credit stays within the burst",
        "core/meter.py",
        "return min(full, max(0.0, full - (meter.next_at_us - now_us)))",
        "return full - (meter.next_at_us - now_us)",
        MATTER + "test_credit_is_kept_within_the_burst",
    ),
    Rule(
        "reservations reach no further than the horizon",
        METER,
        "local HORIZON = 2000000",
        "local HORIZON = 600000000",
        RULES + "test_a_hold_is_felt_within_the_horizon_after_a_mass_return",
    ),
    Rule(
        "meter times begin with the room",
        ROOM,
        "r.now = (CLOCK[1] - r.created) * 1e6 + CLOCK[2]",
        "r.now = CLOCK[1] * 1e6 + CLOCK[2]; r.created = 0",
        RULES + "test_meter_times_since_creation_keep_seven_thousand_a_second",
    ),
    Rule(
        "numbers are written in full",
        ROOM,
        "return string.format('%.3f', number)",
        "return tostring(number)",
        RULES + "test_numbers_are_never_written_in_exponent_form",
    ),
    Rule(
        "a new rate converts the meter, lowered",
        CONFIGURE,
        "redis.call('HSET', STATE, 'next_at', micros(next_at))",
        "",
        RULES + "test_lowering_the_rate_lets_no_crowd_in",
    ),
    Rule(
        "a new rate converts the meter, raised",
        CONFIGURE,
        "redis.call('HSET', STATE, 'next_at', micros(next_at))",
        "",
        RULES + "test_raising_the_rate_is_felt_at_once",
    ),
    Rule(
        "a clock that went back starts the meter anew",
        METER,
        "if free - r.now > HORIZON + r.spacing + 1000 then",
        "if false then",
        RULES + "test_a_clock_that_went_back_does_not_stop_the_line",
    ),
    Rule(
        "a hold is a flag",
        METER,
        "  if r.hold then return 0 end\n",
        "",
        "tests/store/test_room.py::test_a_held_room_lets_nobody_in_who_has_no_admission_yet",
    ),
    # The door, and who comes on the spot.
    Rule(
        "claims go by place, through the door",
        CLAIM,
        "if rank < math.min(left, seats) then",
        "if math.min(left, seats) > 0 then",
        RULES + "test_the_door_keeps_the_order_whoever_asks_when",
    ),
    Rule(
        "a mass return stands at the door",
        CLAIM,
        "if rank < math.min(left, seats) then",
        "if not r.hold then",
        RULES + "test_a_hold_is_felt_within_the_horizon_after_a_mass_return",
    ),
    Rule(
        "who left the door drops out",
        ADMISSION,
        "{'-inf', now_ms - 5000}",
        "{'-inf', '-inf'}",
        RULES + "test_whoever_left_the_door_blocks_nobody_for_more_than_five_seconds",
    ),
    Rule(
        "nobody comes on the spot before people at the door",
        ENTER,
        " and redis.call('ZCARD', KEYS[4]) == 0 then",
        " then",
        "tests/store/test_room.py::test_nobody_comes_on_the_spot_while_somebody_stands_at_the_door",
    ),
    Rule(
        "nobody comes on the spot before people just called",
        ENTER,
        " and not expected",
        "",
        RULES + "test_newcomers_do_not_come_before_people_who_were_called",
    ),
    Rule(
        "nobody comes on the spot while people wait",
        ENTER,
        "if r.front >= r.issued and numbers",
        "if numbers",
        RULES + "test_newcomers_do_not_come_before_people_who_wait",
    ),
    Rule(
        "a seat on the spot is provisional",
        "store/line.py",
        "return PROVISIONAL_MS",
        "return self.seat_ms()",
        "tests/app/test_gate_live.py::test_seats_of_those_without_cookies_are_provisional",
    ),
    Rule(
        "a full room is full",
        SEATS,
        "return r.max_active - taken",
        "return math.huge",
        RULES + "test_no_claim_succeeds_in_a_full_room",
    ),
    Rule(
        "at most 200 visitors a call",
        "store/batch.py",
        "MOST = 200",
        "MOST = 5000",
        BATCH + "test_no_call_carries_more_than_two_hundred",
    ),
    Rule(
        "a retry is answered, not executed",
        RECORD,
        "return kept and cmsgpack.unpack(kept)",
        "return nil",
        RULES + "test_a_retry_takes_no_second_number_and_no_second_admission",
    ),
    # Presence.
    Rule(
        "a number just issued counts as present",
        "core/watch.py",
        "JUST_ISSUED_MS = 10_000",
        "JUST_ISSUED_MS = 0",
        MATTER + "test_newcomers_who_have_not_polled_yet_are_not_passed_over",
    ),
    Rule(
        "after a gap absence has to be found anew",
        RELEASE,
        "if since > 5000 or since < -5000 then",
        "if false then",
        MATTER + "test_after_an_outage_the_front_does_not_jump",
    ),
    Rule(
        "after a gap everybody counts as present",
        "core/watch.py",
        "if now_ms - state.gap_ms < GRACE_MS or",
        "if",
        MATTER + "test_after_an_outage_the_front_does_not_jump",
    ),
    Rule(
        "after a gap all flush before anybody releases",
        "core/watch.py",
        "if now_ms - state.gap_ms >= SETTLE_MS and complete",
        "if complete",
        HOLDER + "test_nobody_is_called_for_a_second_after_a_gap",
    ),
    Rule(
        "several workers' beats are merged",
        SYNC,
        "'OR', KEYS[beat], KEYS[beat], KEYS[8])",
        "'OR', KEYS[beat], KEYS[8])",
        RULES + "test_beats_of_several_workers_are_merged",
    ),
    # Calling.
    Rule(
        "only those called a moment ago are on their way",
        "core/watch.py",
        "        return tuple(ages)\n",
        "        return (snapshot.state.front - snapshot.state.admitted - len(at_door), *ages[1:])\n",
        MATTER + "test_the_rate_is_used_whoever_leaves_or_sleeps[3000-0.0-0.8]",
    ),
    Rule(
        "more are called where few come",
        "core/release.py",
        "want = math.ceil(due / room.coming.share - 1e-9)",
        "want = math.ceil(due - 1e-9)",
        MATTER + "test_the_rate_is_used_whoever_leaves_or_sleeps[12000-0.9-0.0]",
    ),
    Rule(
        "who takes longer is called earlier",
        "core/release.py",
        "return sum(1 - part / self.share for part in self.by_age)",
        "return 0.0",
        MATTER + "test_phones_that_answer_seconds_after_the_call_are_called_so_much_earlier",
    ),
    Rule(
        "who does not come soon is hardly expected",
        "core/release.py",
        "        return sum(people * chance for people, chance in zip(soon, chances, strict=False))",
        "        return self.share * sum(soon)",
        MATTER + "test_taking_the_share_of_everybody_called_keeps_the_line_waiting_for_the_absent",
    ),
    Rule(
        "the last to be called tell how many come",
        "core/release.py",
        "ENOUGH = 60",
        "ENOUGH = 10**9",
        MATTER + "test_a_long_memory_of_who_came_is_wrong_while_people_leave",
    ),
    Rule(
        "seats are not refilled by guessing",
        "core/release.py",
        "    if room.limits.max_active:\n",
        "    if False:\n",
        MATTER + "test_seats_are_not_refilled_by_guessing",
    ),
    Rule(
        "the front stays within what was issued",
        RELEASE,
        "if front > r.issued then return {'refused'} end\n",
        "",
        RULES + "test_the_front_stands_within_what_was_issued_and_never_goes_back",
    ),
    Rule(
        "the front never goes back",
        RELEASE,
        "whole(math.max(front, r.front))",
        "whole(front)",
        RULES + "test_the_front_stands_within_what_was_issued_and_never_goes_back",
    ),
    Rule(
        "only the holder of the lease moves the front",
        RELEASE,
        "if redis.call('GET', KEYS[2]) ~= ARGV[2] then return {'lost'} end\n",
        "",
        RULES + "test_two_holders_never_both_move_the_front",
    ),
    Rule(
        "a sync does not renew the lease",
        SYNC,
        "'PX', 2000, 'NX')",
        "'PX', 2000)",
        RULES + "test_a_holder_that_only_syncs_loses_the_lease",
    ),
    Rule(
        "a round that failed gives the lease to another",
        "store/holder.py",
        "        return now_s >= self._no_lease_before_s",
        "        return True",
        "tests/store/test_line_memory.py::test_a_worker_whose_rounds_fail_leaves_the_lease_to_another",
    ),
    # Being away, and claiming again.
    Rule(
        "a turn does not lapse while nobody can claim",
        RELEASE,
        "if not r.hold and not full and since > 0",
        "if since > 0",
        RULES + "test_a_turn_does_not_lapse_during_a_hold",
    ),
    Rule(
        "a claimed place is its visitor's",
        CLAIM,
        "if owner ~= visitor then",
        "if false then",
        RULES + "test_another_visitor_never_gets_a_claimed_place",
    ),
    Rule(
        "a seat lasts as long as the latest pass",
        SEATS,
        "active, 'GT', ",
        "active, ",
        RULES + "test_a_seat_never_ends_before_the_latest_pass_signed",
    ),
    # Held polls.
    Rule(
        "a moved front wakes those it called",
        "store/held.py",
        "        held.wake(old.front, new.front)",
        "        held.wake(0, 0)",
        HELD + "test_a_sync_wakes_those_called_since_the_last_and_everybody_where_all_are_concerned",
    ),
    Rule(
        "held polls are bounded",
        "store/held.py",
        "elif self._count > self._most:",
        "elif False:",
        HELD + "test_over_the_cap_the_farthest_are_answered_first",
    ),
    Rule(
        "who may be next asks at once",
        "edge/status.py",
        "if first and soonest_s >= SOON_S:",
        "if first and (wait is None or soonest_s >= SOON_S):",
        "tests/edge/test_status.py::test_whoever_may_be_next_asks_at_once_also_where_nobody_knows_the_pace",
    ),
    # A Redis that was lost.
    Rule(
        "another server is another server",
        ROOM,
        "if not v[1] or v[2] ~= server_id() then",
        "if not v[1] then",
        RULES + "test_no_number_is_given_twice_after_a_loss",
    ),
    Rule(
        "numbers go on far above the old ones",
        ADOPT,
        "(math.floor(issued / 65536) + 3 + tonumber(string.sub(id, 1, 4), 16) % 16) * 65536",
        "issued",
        RULES + "test_no_number_is_given_twice_after_a_loss",
    ),
    Rule(
        "a loss gives no credit",
        ADOPT,
        "'next_at', micros(now + HORIZON + spent)",
        "'next_at', 0",
        RULES + "test_a_lost_redis_gives_no_second_burst",
    ),
    Rule(
        "seats of before stay counted",
        SEATS,
        "redis.call('ZCARD', active) + ghost_seats(ghosts)",
        "redis.call('ZCARD', active)",
        RULES + "test_a_lost_redis_does_not_overfill_the_room",
    ),
    Rule(
        "no seat is given before all have put theirs back",
        SEATS,
        "  if is_recent(r.gap) then return 0 end\n",
        "",
        AFTER + "test_no_seat_is_given_before_every_worker_could_put_its_own_back",
    ),
    Rule(
        "a fresh room waits for whoever remembers one",
        CREATE,
        "  if now_ms - tonumber(since) < wait_ms then return {'wait'} end\n",
        "",
        RULES + "test_a_room_is_not_made_anew_before_whoever_remembers_it_could_speak",
    ),
    Rule(
        "the higher ordinal wins",
        ADOPT,
        "or tonumber(mine.ordinal or 0) > tonumber(kept.ordinal) then",
        "or false then",
        LIFE + "test_the_higher_ordinal_wins",
    ),
    Rule(
        "a ticket of another generation is nobody's",
        ROOM,
        "  if generation ~= '' and v[1] ~= generation then return nil, {'generation', v[1]} end\n",
        "",
        LIFE + "test_a_reset_voids_tickets_and_keeps_the_people_inside",
    ),
    Rule(
        "a restart undoes no live change",
        CONFIGURE,
        "if redis.call('HGET', STATE, 'digest') == ARGV[3] then reply[2] = 0; return reply end",
        "",
        LIFE + "test_the_environments_limits_are_written_only_when_they_changed",
    ),
    # The draw.
    Rule(
        "twelve rounds",
        "core/sale/draw.py",
        "ROUNDS, ROUNDS_OF_FEW = 12, 48",
        "ROUNDS, ROUNDS_OF_FEW = 8, 8",
        "tests/core/sale/test_draw.py::test_two_people_may_get_any_two_places",
    ),
    Rule(
        "the opening waits for the lead, also where the draw came late",
        "store/lua/phase.lua",
        "known + math.min(lead, 60000)",
        "known",
        "tests/store/test_phases.py::test_after_an_outage_over_the_draw_the_opening_waits_for_the_lead",
    ),
    Rule(
        "the opening finds those who come first held",
        "edge/status.py",
        "if soonest_s < HOLD_BELOW_S:\n                # Nothing",
        "if False:\n                # Nothing",
        "tests/edge/test_status.py::test_the_opening_finds_those_who_come_first_with_a_poll_that_is_held",
    ),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only rules whose names hold one of these")
    words = parser.parse_args().words
    rows = [rule for rule in TABLE if not words or any(word in rule.name for word in words)]
    if not rows:
        parser.error(f"no rule's name holds {' or '.join(words)}")
    unguarded = 0
    with tempfile.TemporaryDirectory(prefix="wr-") as name:
        folder = Path(name)
        for part in ("waitroom", "tests", "templates", "deploy"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        for part in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / part, folder)
        replace_in(folder / "tests" / "store" / "room_support.py", *NEEDS_THE_TEXT)
        for rule in rows:
            found = list(fails_without(rule, folder))
            unguarded += not found
            print(f"{'✓' if found else '✗'} without “{rule.name}”: {rule.test.partition('::')[2] or rule.test}")
            for line in found or ["passes all the same"]:
                print(f"      {line}", flush=True)
    print(f"{len(rows) - unguarded} of {len(rows)} rules are guarded")
    return 1 if unguarded else 0


def fails_without(rule: Rule, folder: Path) -> Iterator[str]:
    """What the test complains of without the rule; nothing if it passes."""
    path = folder / "waitroom" / rule.file
    written = path.read_text()
    replace_in(path, rule.old, rule.new)
    try:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--reruns", "0", rule.test]
        run = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False, stdin=subprocess.DEVNULL
        )
    finally:
        path.write_text(written)
    if run.returncode not in (0, 1):
        raise RuntimeError(f"{rule.name}: {run.stdout}{run.stderr}")
    if run.returncode == 1:
        yield from re.findall(r"^E +(assert .*|\w*Error.*|Failed.*)", run.stdout, re.M)[:2] or ["fails"]


def replace_in(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    if text.count(old) != 1:
        raise RuntimeError(f"{path} holds {old!r} {text.count(old)} times")
    path.write_text(text.replace(old, new))


if __name__ == "__main__":
    sys.exit(main())
