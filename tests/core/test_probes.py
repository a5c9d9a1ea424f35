"""How the estimate did: a few places stand for everybody, and what they say is what came true."""

import json

from waitroom.core.probes import MOST, Probe, Range, Tally, watch

RATE = 5


class Watch:
    """A line that moves at 5/s in virtual time; `promised` is what the page shows for so many people ahead."""

    def __init__(self, low: float = 0.9, high: float = 1.1) -> None:
        self.low, self.high = low, high
        self.probes: tuple[Probe, ...] = ()
        self.tally = Tally()
        self.changed_ms = 0
        self.most = 0

    def promised(self, ahead: int) -> Range | None:
        return self.low * ahead / RATE, self.high * ahead / RATE + 1

    def run(self, seconds: int, *, since_s: int = 0, people: int = 0, per_s: float = 0, rate: float = RATE) -> None:
        for second in range(since_s, since_s + seconds):
            front = int(rate * second)

            def ahead(place: int, front: int = front) -> int:
                return place - front

            self.probes, self.tally = watch(
                self.probes,
                self.tally,
                now_ms=1000 * second + 1,
                changed_ms=self.changed_ms,
                front=front,
                issued=people + int(per_s * second),
                ahead=ahead,
                wait=self.promised,
            )
            self.most = max(self.most, len(self.probes))


def test_a_range_that_comes_true_is_counted_so_for_everybody_watched() -> None:
    watched = Watch()

    watched.run(300, people=1000)

    assert watched.tally == Tally(4, 4, 4, 4, 0)
    assert watched.probes == ()


def test_a_line_that_moves_at_half_the_pace_promised_is_counted_as_missed() -> None:
    watched = Watch()

    watched.run(500, people=1000, rate=RATE / 2)

    assert watched.tally == Tally(4, 0, 4, 0, 0)


def test_what_was_shown_half_way_counts_by_itself() -> None:
    """The first range is wrong, and corrected before half of the people ahead were gone."""
    watched = Watch(2, 3)
    watched.run(20, people=1000)
    watched.low, watched.high = 0.9, 1.1

    watched.run(300, since_s=20, people=1000)

    assert watched.tally == Tally(4, 0, 4, 4, 0)


def test_what_was_shown_before_a_change_of_limits_is_not_judged() -> None:
    watched = Watch()
    watched.run(20, people=1000)
    watched.changed_ms = 20_000

    watched.run(300, since_s=20, people=1000)

    assert watched.tally == Tally(4, 4, 4, 4, outdated=4)


def test_a_wait_that_nobody_knows_is_not_watched() -> None:
    watched = Watch()
    watched.promised = lambda ahead: None  # type: ignore[method-assign]

    watched.run(30, people=100)

    assert (watched.probes, watched.tally) == ((), Tally())


def test_a_line_of_hours_with_people_coming_all_the_time_keeps_few_probes() -> None:
    """P12: bounded, small on the wire, and newcomers of every hour are among them."""
    watched = Watch()

    watched.run(4 * 3600, people=40_000, per_s=4)

    assert watched.most <= MOST
    assert len(json.dumps(watched.probes)) < 3_000
    assert watched.tally.first >= 12
    assert watched.tally.first_within == watched.tally.first
    newest = watched.probes[-1]
    assert newest.at_ms > 3_600_000
