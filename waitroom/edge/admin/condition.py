"""What `GET /health` says: the parts by name, from what the workers reported. No Redis, no request to the shop."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from waitroom.core.figures import AWAY_SINCE_MS, ORIGIN_FAILED_MS, ORIGIN_OK_MS, READY, Report
from waitroom.core.times import iso_ms

STALE_S = 5.0
"""A worker that has not reported for so long does not take requests either."""


def is_ready(report: Report) -> bool:
    return report.age_s is not None and report.age_s < STALE_S and bool(report.gauges[READY])


def condition(rooms: Mapping[str, Sequence[Report]]) -> dict[str, Any]:
    """`status` is ok, degraded (still serving) or down (no worker is ready). Of several rooms the first comes as if it
    were alone, and `rooms` has the store and the shop of each.
    """
    every = {name: condition_of(reports) for name, reports in rooms.items()}
    found = next(iter(every.values()))
    if len(every) == 1:
        return found
    if found["status"] == "ok" and any(each["status"] != "ok" for each in every.values()):
        found["status"] = "degraded"
    parts = {name: {part: each[part] for part in ("store", "origin")} for name, each in every.items()}
    return {**found, "rooms": parts}


def condition_of(reports: Sequence[Report]) -> dict[str, Any]:
    ready = sum(map(is_ready, reports))
    alive = [report.gauges for report in reports if report.age_s is not None]
    store, origin = store_part(alive), origin_part(alive)
    all_well = ready == len(reports) and store["status"] == "ok" and origin["status"] != "failing"
    status: Literal["ok", "degraded", "down"] = "down" if not ready else "ok" if all_well else "degraded"
    return {
        "status": status,
        "workers": {
            "status": "down" if not ready else "ok" if ready == len(reports) else "degraded",
            "ready": ready,
            "configured": len(reports),
            "each": [
                {
                    "worker": worker,
                    "ready": is_ready(report),
                    "report_age_s": None if report.age_s is None else round(report.age_s, 3),
                }
                for worker, report in enumerate(reports)
            ],
        },
        "store": store,
        "origin": origin,
    }


def store_part(alive: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Away if any worker says so; since when the first one does."""
    since = [gauges[AWAY_SINCE_MS] for gauges in alive if gauges[AWAY_SINCE_MS]]
    if since:
        return {"status": "away", "since": iso_ms(min(since)), "workers": len(since)}
    return {"status": "ok" if alive else "unknown", "since": None, "workers": 0}


def origin_part(alive: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Failing if the last that any worker saw of the shop was a failure to answer. Its own 5xx are answers."""
    ok_ms = max((gauges[ORIGIN_OK_MS] for gauges in alive), default=0)
    failed_ms = max((gauges[ORIGIN_FAILED_MS] for gauges in alive), default=0)
    return {
        "status": "unknown" if not ok_ms and not failed_ms else "failing" if failed_ms > ok_ms else "ok",
        "last_answer": iso_ms(ok_ms) if ok_ms else None,
        "last_failure": iso_ms(failed_ms) if failed_ms else None,
    }
