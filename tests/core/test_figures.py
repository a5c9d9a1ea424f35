"""The places of what a worker counts, and how values fall into a distribution."""

import pytest

from waitroom.core import figures
from waitroom.core.figures import COUNTS, GAUGES, Figures, Histogram, observe

HISTOGRAM = Histogram(0, (1, 10, 100), 4)


def places_of(value: object) -> list[int]:
    match value:
        case Histogram(start, _, sum_at):
            return list(range(start, sum_at + 1))
        case dict():
            return list(value.values())
        case _:
            return []


def test_no_two_figures_share_a_place() -> None:
    rows = {name: value for name, value in vars(figures).items() if name.isupper() and name != "ORIGIN_STATUS"}
    taken = [place for value in rows.values() for place in places_of(value)]
    taken += [figures.NUMBERS, figures.ON_THE_SPOT, figures.STARTS, figures.CPU_US]

    assert sorted(taken) == list(range(COUNTS))
    assert (len(Figures().counts), len(Figures().gauges)) == (COUNTS, GAUGES)


@pytest.mark.parametrize(("status", "name"), [(101, "1xx"), (200, "2xx"), (304, "3xx"), (499, "4xx"), (599, "5xx")])
def test_a_status_is_counted_in_its_class(status: int, name: str) -> None:
    assert figures.ANSWERS_AT + status // 100 == figures.ANSWERS[name]
    assert figures.ORIGIN_ANSWERS_AT + status // 100 == figures.ORIGIN_ANSWERS[name]


@pytest.mark.parametrize(
    ("ms", "bucket"), [(-5, 0), (0, 0), (1, 0), (1.01, 1), (10, 1), (100, 2), (100.1, 3), (1e9, 3)]
)
def test_a_value_counts_under_the_first_bound_that_holds_it(ms: float, bucket: int) -> None:
    counts = [0] * 5

    observe(counts, HISTOGRAM, ms)

    assert counts == [*(int(index == bucket) for index in range(4)), int(max(0, ms) * 1000)]
