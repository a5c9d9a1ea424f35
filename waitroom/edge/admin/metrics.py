"""What `GET /metrics` exports: this gateway's figures from its workers' reports, the room's from Redis.

Counts are sums over the workers, those that ended included, so that they never go back. Labels come from fixed sets;
the one exception, what was found in the room, is bounded.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from waitroom import __version__
from waitroom.core import figures
from waitroom.core.figures import Histogram, Report
from waitroom.core.sale.schedule import PHASES
from waitroom.edge.admin.condition import is_ready
from waitroom.store.overview import Overview

MOST_FINDINGS = 20

COUNTERS: Final[tuple[tuple[str, str, str, Mapping[str, int]], ...]] = (
    ("requests", "Requests by what was decided.", "decision", figures.REQUESTS),
    ("answers", "Answers to clients by class of status.", "status", figures.ANSWERS),
    ("origin_answers", "Answers of the shop by class of status.", "status", figures.ORIGIN_ANSWERS),
    (
        "origin_failures",
        "Requests without an answer of the shop, by what went wrong.",
        "kind",
        figures.ORIGIN_FAILURES,
    ),
    ("refused", "Requests without a pass that were not let through, by kind.", "kind", figures.REFUSED),
    ("would_have_waited", "Requests let through in shadow for which there was no room.", "kind", figures.SHADOWED),
    ("claims", "Turns asked for, by what came of it.", "outcome", figures.CLAIMS),
    ("commands", "What the shop asked for beside its answers; junk is what is not known.", "command", figures.COMMANDS),
    ("numbers", "Numbers given out to people who wait.", "", {"": figures.NUMBERS}),
    ("on_the_spot", "Admissions without waiting.", "", {"": figures.ON_THE_SPOT}),
    ("store_calls", "Calls to Redis.", "call", figures.STORE_CALLS),
    ("store_errors", "Calls to Redis that failed or took too long.", "call", figures.STORE_ERRORS),
)
HISTOGRAMS: Final[tuple[tuple[str, str, Histogram], ...]] = (
    ("wait_seconds", "Time from the number to the admission, of those who waited.", figures.WAIT),
    ("poll_seconds", "Time to answer a poll that is not held; one in eight is timed.", figures.POLL_TIME),
    ("origin_first_byte_seconds", "Time until the shop's answer began.", figures.FIRST_BYTE),
    ("store_sync_seconds", "Time of a sync with Redis.", figures.STORE_TIME),
    ("loop_delay_seconds", "How late a worker's loop is, four times a second.", figures.LOOP_DELAY),
)
GAUGES: Final[tuple[tuple[str, str, int], ...]] = (
    ("connections", "Open connections of clients.", figures.CONNECTIONS),
    ("tunnels", "Open WebSockets and other upgraded connections.", figures.TUNNELS),
    ("held_polls", "Polls that are held until something changes.", figures.HELD),
    ("origin_connections", "Open connections to the shop.", figures.ORIGIN_CONNECTIONS),
)
OF_THE_PROCESS: Final = frozenset(("answers", "connections", "loop_delay_seconds"))
ROOM: Final[tuple[tuple[str, str, Callable[[Overview], float]], ...]] = (
    ("present", "People in line who are there.", lambda room: room.waiting),
    ("away", "Numbers in line whose people are not there.", lambda room: room.away),
    ("inside", "Seats taken.", lambda room: room.inside),
    ("max_active", "Seats there are; 0 is no cap.", lambda room: room.limits.max_active),
    ("door", "People called who asked and wait for a free moment or seat.", lambda room: room.door),
    ("expected", "People called in the last 3 s who have not come yet.", lambda room: room.expected),
    ("issued", "Numbers given out in this run of the room.", lambda room: room.state.issued),
    ("front", "Places called in this run of the room.", lambda room: room.state.front),
    ("lapsed_below", "The place below which every turn is over.", lambda room: room.state.lapsed),
    ("rate_per_second", "Admissions a second as configured; +Inf is no limit.", lambda room: rate_of(room)),
    ("burst", "How many may come in at once.", lambda room: room.limits.burst),
    ("used_rate_per_second", "Admissions a second as measured while people wait.", lambda room: used_rate_of(room)),
    ("on_hold", "1 while nobody new is let in.", lambda room: room.limits.hold),
    (
        "phase",
        "Of a sale: 1 before, 2 lobby, 3 drawn, 4 open, 5 draining, 6 closed, 7 sold out.",
        lambda room: phase_of(room),
    ),
    ("stock", "What is left, as the shop or an operator told; NaN where nobody did.", lambda room: stock_of(room)),
    ("gateway_workers", "Workers of all gateways that Redis has heard of lately.", lambda room: room.workers),
    ("shadow_workers", "Those of them that are in shadow: they let everybody through.", lambda room: room.in_shadow),
)


def phase_of(room: Overview) -> float:
    phase = room.state.sale.phase(room.now_ms)
    return 0 if phase is None else PHASES.index(phase) + 1


def stock_of(room: Overview) -> float:
    stock = room.state.sale.stock
    return math.nan if stock is None else stock


class RoomFigures(NamedTuple):
    """What is known of one room: each worker's report, and the room itself, or None while Redis is away or has none."""

    name: str
    reports: Sequence[Report]
    overview: Overview | None

    @property
    def counts(self) -> list[int]:
        return [sum(column) for column in zip(*(report.counts for report in self.reports), strict=True)]


class Exported(Collector):
    """One scrape's metrics. With several rooms what is a room's has the label `room`; what is a process's stands with
    the first room.
    """

    def __init__(self, rooms: Sequence[RoomFigures]) -> None:
        self._rooms = rooms
        self._reports = rooms[0].reports
        self._labels = ["room"] if len(rooms) > 1 else []

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("waitroom", "What runs here.", {"version": __version__})
        yield from self._gateway()
        yield from self._workers()
        known = GaugeMetricFamily(
            "waitroom_room_known", "1 if Redis told of the room in the last ten seconds.", labels=self._labels
        )
        for room in self._rooms:
            known.add_metric(self._of(room), float(room.overview is not None))
        yield known
        overviews = [(self._of(room), room.overview) for room in self._rooms if room.overview is not None]
        if overviews:
            yield from room_metrics(self._labels, overviews)

    def _of(self, room: RoomFigures) -> list[str]:
        return [room.name] if self._labels else []

    def _placed(self, name: str) -> tuple[list[str], Sequence[tuple[list[str], RoomFigures]]]:
        """(labels, their values with the room they are of) for a figure of the gateway."""
        if name in OF_THE_PROCESS:
            return [], [([], self._rooms[0])]
        return self._labels, [(self._of(room), room) for room in self._rooms]

    def _gateway(self) -> Iterator[Metric]:
        counts = {room.name: room.counts for room in self._rooms}
        for name, text, label, places in COUNTERS:
            labels, rooms = self._placed(name)
            counter = CounterMetricFamily(f"waitroom_{name}", text, labels=[*labels, *([label] if label else [])])
            for of, room in rooms:
                for value, place in places.items():
                    counter.add_metric([*of, *([value] if label else [])], counts[room.name][place])
            yield counter
        for name, text, histogram in HISTOGRAMS:
            labels, rooms = self._placed(name)
            family = HistogramMetricFamily(f"waitroom_{name}", text, labels=labels)
            for of, room in rooms:
                add_histogram(family, of, histogram, counts[room.name])
            yield family
        for name, text, place in GAUGES:
            labels, rooms = self._placed(name)
            gauge = GaugeMetricFamily(f"waitroom_{name}", text, labels=labels)
            for of, room in rooms:
                gauge.add_metric(of, sum(report.gauges[place] for report in room.reports))
            yield gauge
        away = GaugeMetricFamily("waitroom_store_away", "Workers that Redis does not answer.", labels=self._labels)
        for room in self._rooms:
            away.add_metric(self._of(room), sum(bool(report.gauges[figures.AWAY_SINCE_MS]) for report in room.reports))
        yield away
        yield GaugeMetricFamily("waitroom_workers", "Workers there should be.", len(self._reports))

    def _workers(self) -> Iterator[Metric]:
        ready = GaugeMetricFamily("waitroom_worker_ready", "1 while the worker takes requests.", labels=["worker"])
        age = GaugeMetricFamily(
            "waitroom_worker_report_age_seconds", "Age of a running worker's last report.", labels=["worker"]
        )
        memory = GaugeMetricFamily(
            "waitroom_worker_memory_bytes", "Resident memory of a running worker.", labels=["worker"]
        )
        cpu = CounterMetricFamily("waitroom_worker_cpu_seconds", "CPU time of a worker.", labels=["worker"])
        starts = CounterMetricFamily("waitroom_worker_starts", "How often a worker was started.", labels=["worker"])
        for worker, report in enumerate(self._reports):
            label = [str(worker)]
            ready.add_metric(label, is_ready(report))
            cpu.add_metric(label, report.counts[figures.CPU_US] / 1e6)
            starts.add_metric(label, report.counts[figures.STARTS])
            if report.age_s is not None:
                age.add_metric(label, report.age_s)
                memory.add_metric(label, report.gauges[figures.MEMORY])
        yield from (ready, age, memory, cpu, starts)


def room_metrics(labels: Sequence[str], rooms: Sequence[tuple[list[str], Overview]]) -> Iterator[Metric]:
    for name, text, read in ROOM:
        gauge = GaugeMetricFamily(f"waitroom_room_{name}", text, labels=labels)
        for of, room in rooms:
            gauge.add_metric(of, float(read(room)))
        yield gauge
    admissions = CounterMetricFamily("waitroom_room_admissions", "Admissions since the room was made.", labels=labels)
    estimates = CounterMetricFamily(
        "waitroom_room_estimates",
        "Places watched until they were called, by whether the wait shown came true.",
        labels=[*labels, "shown", "came_true"],
    )
    orders = GaugeMetricFamily(
        "waitroom_room_orders",
        "Orders that are kept, by what came of them.",
        labels=[*labels, "outcome"],
    )
    findings = GaugeMetricFamily(
        "waitroom_room_findings",
        f"What `waitroom status` lists to look at, refused paths above all; the {MOST_FINDINGS} most frequent.",
        labels=[*labels, "finding"],
    )
    for of, room in rooms:
        admissions.add_metric(of, room.state.admitted)
        told = room.estimates
        halves = (("first", told.first, told.first_within), ("half_way", told.half, told.half_within))
        for shown, watched, within in halves:
            estimates.add_metric([*of, shown, "yes"], within)
            estimates.add_metric([*of, shown, "no"], watched - within)
        for outcome, count in room.orders.items():
            orders.add_metric([*of, outcome.value], count)
        for what, times in room.findings[:MOST_FINDINGS]:
            findings.add_metric([*of, what], times)
    yield from (admissions, estimates, orders, findings)


def add_histogram(
    family: HistogramMetricFamily, labels: Sequence[str], histogram: Histogram, counts: Sequence[int]
) -> None:
    """Buckets are cumulative; the number of values is the last one, so that the two can never disagree."""
    start, bounds_ms, sum_at = histogram
    buckets, so_far = [], 0
    for index, bound_ms in enumerate((*bounds_ms, math.inf)):
        so_far += counts[start + index]
        buckets.append(("+Inf" if bound_ms == math.inf else repr(bound_ms / 1000), float(so_far)))
    family.add_metric(labels, buckets=buckets, sum_value=counts[sum_at] / 1e6)


def rate_of(room: Overview) -> float:
    if room.limits.hold:
        return 0.0
    return math.inf if room.limits.unlimited else room.limits.rate_per_s


def used_rate_of(room: Overview) -> float:
    return room.admitted_per_min / 60


def exposition(rooms: Sequence[RoomFigures], *, accept: str) -> tuple[bytes, str]:
    """(the text, its content type): the format that `accept` asks for, Prometheus's own unless told otherwise."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Exported(rooms))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
