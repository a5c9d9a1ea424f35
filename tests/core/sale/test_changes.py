"""What a live change of a sale does, and what it is refused for."""

from dataclasses import replace

import pytest

from waitroom.core.changes import Misused, read_words
from waitroom.core.sale.changes import Planned, Refused, plan_sale, planned
from waitroom.core.sale.schedule import NO_SALE, Phase, Sale, Schedule, read_sale, write_new_sale, write_schedule
from waitroom.core.times import iso_utc

NOW_MS = 1_800_000_000_000
MINUTE_MS = 60_000
TIMES = Schedule(
    opens_ms=NOW_MS + 30 * MINUTE_MS,
    lobby_ms=NOW_MS + 15 * MINUTE_MS,
    closes_ms=NOW_MS + 90 * MINUTE_MS,
    at_close="drain",
    lead_ms=MINUTE_MS,
)


def minutes(count: float) -> str:
    """So many minutes from now, as a word."""
    return iso_utc(round(NOW_MS + count * MINUTE_MS))


def sale(phase: Phase, schedule: Schedule = TIMES, *, lobby_size: str = "5", **fields: str) -> Sale:
    return read_sale(
        {
            **write_schedule(schedule),
            "phase": phase,
            "lobby_size": "" if phase in ("before", "lobby") else lobby_size,
            "drawn_at": str(schedule.draw_ms),
            **fields,
        }
    )


def plan(before: Sale, *words: str, now_ms: int = NOW_MS) -> Planned:
    return plan_sale(before, read_words(words), now_ms=now_ms, waiting=12)


RUNNING = replace(TIMES, opens_ms=NOW_MS - 10 * MINUTE_MS, lobby_ms=NOW_MS - 25 * MINUTE_MS)
OVER = replace(RUNNING, closes_ms=NOW_MS - MINUTE_MS)


def test_a_first_sale_begins_with_its_own_fields_and_says_whom_it_shuts_out() -> None:
    done = plan(NO_SALE, f"opens_at={minutes(30)}", "closes_at=1h")

    assert done.fields == write_new_sale(TIMES)
    assert done.effects[0] == (
        f"A sale opens {minutes(30)} (in 30m) and closes {minutes(90)} (in 1h30m) "
        "(then everyone in line still gets a turn)."
    )
    assert "12 people" in done.effects[-1]


@pytest.mark.parametrize("phase", ["before", "lobby", "drawn"])
def test_a_sale_that_is_put_off_keeps_its_phase_its_lobby_and_its_draw(phase: Phase) -> None:
    done = plan(sale(phase), f"opens_at={minutes(60)}")

    moved = {"opens_at": str(NOW_MS + 60 * MINUTE_MS), "lobby_at": str(NOW_MS + 45 * MINUTE_MS), "due": "1"}
    assert done.fields == moved
    assert "instead of" in done.effects[0]


def test_the_window_is_extended_while_it_is_open() -> None:
    done = plan(sale("open", RUNNING), f"closes_at={minutes(120)}")

    assert done.fields == {"closes_at": str(NOW_MS + 120 * MINUTE_MS), "due": "1"}


@pytest.mark.parametrize(
    ("phase", "lobby_size", "back"), [("draining", "5", "drawn"), ("closed", "5", "drawn"), ("closed", "", "lobby")]
)
@pytest.mark.parametrize("word", [f"closes_at={minutes(60)}", "closes_at="])
def test_a_later_end_opens_a_closed_sale_again(phase: Phase, lobby_size: str, back: str, word: str) -> None:
    done = plan(sale(phase, OVER, lobby_size=lobby_size), word)

    assert done.fields["phase"] == back
    assert done.effects[0].startswith("The sale is open again")


def test_a_sale_can_be_closed_at_once_and_a_draining_line_be_stopped() -> None:
    closed = plan(sale("open", RUNNING), "closes_at=now")
    stopped = plan(sale("draining", OVER), "at_close=stop")

    assert closed.fields == {"closes_at": str(NOW_MS), "due": "1"}
    assert "still get a turn" in closed.effects[-1]
    assert stopped.fields == {"at_close": "stop", "due": "1", "phase": "closed"}


@pytest.mark.parametrize(
    "before", [sale("closed", OVER), sale("open", RUNNING, sold_out="1", stock="0")], ids=["closed", "sold out"]
)
def test_after_a_sale_that_is_over_the_next_one_begins_afresh(before: Sale) -> None:
    done = plan(before, f"opens_at={minutes(1000)}")

    fresh = {"phase": "before", "sold_out": "0", "stock": "", "lobby_size": "", "closes_at": "0"}
    assert {name: done.fields[name] for name in fresh} == fresh
    assert int(done.fields["opens_at"]) - int(done.fields["lobby_at"]) == 15 * MINUTE_MS


@pytest.mark.parametrize(
    ("before", "words", "says"),
    [
        (NO_SALE, ("closes_at=1h",), "There is no sale to change"),
        (NO_SALE, (f"opens_at={minutes(-1)}",), "is past"),
        (NO_SALE, (f"opens_at={minutes(30)}", f"lobby_at={minutes(31)}"), "would open after the sale"),
        (NO_SALE, (f"opens_at={minutes(30)}", "lobby_at=30s"), "nobody could take part"),
        (NO_SALE, (f"opens_at={minutes(30)}", f"closes_at={minutes(29)}"), "before it opens"),
        (sale("open", RUNNING), (f"opens_at={minutes(60)}",), "The sale has opened"),
        (sale("draining", OVER), (f"opens_at={minutes(60)}",), "The sale has opened"),
        (sale("open", RUNNING), (f"closes_at={minutes(-1)}",), "closes_at=now"),
        (sale("lobby"), ("lobby_at=20m",), "The lobby is open already"),
        (sale("before"), (f"opens_at={minutes(200)}",), "before it opens"),
        (sale("drawn"), ("opens_at=",), "The places of this sale are drawn"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(before: Sale, words: tuple[str, ...], says: str) -> None:
    with pytest.raises(Refused, match=says):
        plan(before, *words)


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("opens_at=2026-12-01 10:00", "names no zone"),
        ("closes_at=soon", "is not a time"),
        ("at_close=now", "is not one of drain, stop"),
        ("draw_lead=11m", "is not within 1s and 10m"),
        ("stock=-1", "is not a number from 0"),
        ("stock=many", "is not a whole number"),
        ("sold_out=perhaps", "1"),
    ],
)
def test_a_word_that_cannot_be_read_is_refused_before_anything_is_asked(word: str, says: str) -> None:
    with pytest.raises(Misused, match=says):
        read_words([word])


def test_a_schedule_is_taken_away_before_anybody_was_drawn() -> None:
    assert plan(sale("lobby"), "opens_at=").fields == {"phase": "", "due": "0"}
    assert plan(sale("closed", OVER, lobby_size="0"), "opens_at=").fields == {"phase": "", "due": "0"}
    assert plan(NO_SALE, "opens_at=").fields == {}


def test_stock_and_sold_out_follow_each_other() -> None:
    few = sale("open", RUNNING, stock="7")
    none = sale("open", RUNNING, stock="0", sold_out="1")

    assert plan(few, "stock=0").fields == {"stock": "0", "sold_out": "1"}
    assert plan(few, "stock=7").fields == {}
    assert plan(few, "sold_out=1").fields == {"sold_out": "1"}
    assert plan(none, "stock=40").fields == {"stock": "40", "sold_out": "0"}
    assert plan(none, "sold_out=0").fields == {"sold_out": "0", "stock": ""}
    assert plan(NO_SALE, "stock=300").fields == {"stock": "300"}
    assert "about 300 are left" in plan(NO_SALE, "stock=300").effects[0]
    assert "12 people" in plan(few, "sold_out=1").effects[0]


def test_the_environment_of_a_new_deployment_may_name_times_that_are_past() -> None:
    """A gateway that comes back in the middle of a sale opens what should be open."""
    assert planned(NO_SALE, RUNNING, now_ms=NOW_MS).fields == write_new_sale(RUNNING)
    assert planned(sale("open", RUNNING), RUNNING, now_ms=NOW_MS).fields == {}
