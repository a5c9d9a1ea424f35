"""What is exported of which figures, in text that Prometheus reads; and what deploy/admin.md says of it."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from waitroom.core import figures
from waitroom.core.figures import Report, observe
from waitroom.core.meter import Limits, Meter
from waitroom.core.model import State
from waitroom.core.probes import Tally
from waitroom.edge.admin.condition import STALE_S, condition_of
from waitroom.edge.admin.metrics import MOST_FINDINGS, Exported, RoomFigures, exposition
from waitroom.store.overview import Overview

CHECKOUT = Path(__file__).parents[3]


def report(age_s: float | None = 0.5, **gauges: int) -> Report:
    made = Report([0] * figures.COUNTS, [0] * figures.GAUGES, age_s)
    for name, value in ({"READY": 1} | gauges).items():
        made.gauges[getattr(figures, name)] = value
    return made


def room(limits: Limits = Limits(2.0, 5.0, 30), findings: int = 1) -> Overview:  # noqa: B008
    state = State(
        generation="g", ordinal=1, created_s=0, issued=500, front=100, lapsed=10, meter=Meter(0.0, 0.0),
        limits=limits, message="", usable_ms=0, admitted=90, on_the_spot=0, confirmed=0, gap_ms=0, holes=((0, 0),),
        table_version="", changed_ms=0, change="", fields={"soon": "4", "soon_at": "10000"},
    )  # fmt: skip
    found = tuple((f"refused fetch /{index}", 1000 - index) for index in range(findings))
    return Overview(state, 12_000, 350, 20, 3, 2, 120.0, Tally(first=10, first_within=8, half=5, half_within=5), found)


def values(reports: list[Report], overview: Overview | None = None) -> dict[tuple[str, str], float]:
    """(name, the label's value) → value, as a Prometheus would read them."""
    text, content_type = exposition([RoomFigures("shop", reports, overview)], accept="")
    assert content_type.startswith("text/plain")
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            key = (sample.name, ",".join(sample.labels.values()))
            assert key not in found
            found[key] = sample.value
    return found


def row(family: Any) -> str:
    """A metric's line in the table."""
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = dict.fromkeys(label for sample in family.samples for label in sample.labels if label != "le")
    if family.type == "info":
        name, labels = f"{name}_info", {"version": None}
    shown = ", ".join(f"`{label}`" for label in labels)
    return f"| `{name}` | {family.type} | {shown} | {family.documentation} |"


def test_the_table_of_metrics_in_the_readme_is_what_is_exported() -> None:
    """To make it anew: "\\n".join of what is compared here."""
    written = re.findall(r"^\| `waitroom_[a-z_]+` \|.*$", (CHECKOUT / "deploy" / "admin.md").read_text(), re.MULTILINE)

    assert written == [row(family) for family in Exported([RoomFigures("shop", [report()], room())]).collect()]


def test_every_script_of_the_store_is_counted() -> None:
    scripts = {path.stem for path in (CHECKOUT / "waitroom" / "store" / "lua").glob("[!_]*.lua")}

    assert set(figures.STORE_CALLS) == scripts | {"seat_end"}


def test_counts_are_sums_over_the_workers_with_those_that_are_gone() -> None:
    here, gone = report(HELD=3), report(age_s=None, READY=0)
    for each, many in ((here, 5), (gone, 7)):
        each.counts[figures.REQUESTS["pass"]] = many
        each.counts[figures.CPU_US] = many * 1_000_000

    found = values([here, gone])

    assert found["waitroom_requests_total", "pass"] == 12
    assert (found["waitroom_held_polls", ""], found["waitroom_workers", ""]) == (3, 2)
    assert [found["waitroom_worker_ready", worker] for worker in "01"] == [1, 0]
    assert [found["waitroom_worker_cpu_seconds_total", worker] for worker in "01"] == [5, 7]
    assert ("waitroom_worker_memory_bytes", "1") not in found


def test_a_distribution_is_cumulative_and_in_seconds() -> None:
    worker = report()
    for wait_s in (0.5, 45, 45, 100_000):
        observe(worker.counts, figures.WAIT, wait_s * 1000)

    found = values([worker])

    assert [found["waitroom_wait_seconds_bucket", bound] for bound in ("1.0", "30.0", "60.0", "+Inf")] == [1, 1, 3, 4]
    assert found["waitroom_wait_seconds_count", ""] == 4
    assert found["waitroom_wait_seconds_sum", ""] == pytest.approx(100_090.5)


def test_the_room_is_told_as_long_as_redis_tells_of_it() -> None:
    found = values([report()], room())

    names = ("present", "away", "inside", "door", "expected", "issued", "front", "rate_per_second")
    assert [found[f"waitroom_room_{name}", ""] for name in names] == [350, 50, 20, 3, 4, 500, 100, 2]
    assert found["waitroom_room_used_rate_per_second", ""] == 2
    assert found["waitroom_room_known", ""] == 1
    labels = ("yes,first", "no,first", "yes,half_way", "no,half_way")
    assert [found["waitroom_room_estimates_total", label] for label in labels] == [8, 2, 5, 0]
    assert {name for name, _ in values([report()]) if "_room_" in name} == {"waitroom_room_known"}


@pytest.mark.parametrize(("flags", "rate"), [({"hold": True}, 0.0), ({"unlimited": True}, math.inf)])
def test_a_hold_is_a_rate_of_nothing_and_no_limit_an_infinite_one(flags: dict[str, bool], rate: float) -> None:
    assert values([report()], room(Limits(2.0, 5.0, **flags)))["waitroom_room_rate_per_second", ""] == rate


def test_what_visitors_ask_for_makes_no_more_than_so_many_labels() -> None:
    found = values([report()], room(findings=200))

    labels = [label for name, label in found if name == "waitroom_room_findings"]
    assert labels == [f"refused fetch /{index}" for index in range(MOST_FINDINGS)]


def test_who_asks_for_openmetrics_gets_it() -> None:
    text, content_type = exposition(
        [RoomFigures("shop", [report()], room())], accept="application/openmetrics-text; version=1.0.0"
    )

    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


def test_health_is_down_only_where_no_worker_takes_requests() -> None:
    unready, gone, hung = report(READY=0), report(age_s=None, READY=0), report(age_s=STALE_S)
    away = report(AWAY_SINCE_MS=1_760_000_000_000)

    assert condition_of([report(), report()])["status"] == "ok"
    assert condition_of([report(), gone])["status"] == condition_of([report(), hung])["status"] == "degraded"
    assert condition_of([unready, gone, hung])["status"] == "down"
    assert condition_of([away])["status"] == "degraded"
    assert condition_of([away])["store"] == {"status": "away", "since": "2025-10-09T08:53:20.000Z", "workers": 1}


@pytest.mark.parametrize(
    ("seen", "status"),
    [
        ([(0, 0)], "unknown"),
        ([(5, 0)], "ok"),
        ([(5, 6)], "failing"),
        ([(5, 6), (7, 0)], "ok"),
        ([(7, 0), (0, 8)], "failing"),
    ],
)
def test_the_shop_fails_if_the_last_that_any_worker_saw_of_it_was_a_failure(
    seen: list[tuple[int, int]], status: str
) -> None:
    reports = [report(ORIGIN_OK_MS=ok, ORIGIN_FAILED_MS=failed) for ok, failed in seen]

    found = condition_of(reports)

    assert found["origin"]["status"] == status
    assert found["status"] == ("degraded" if status == "failing" else "ok")
