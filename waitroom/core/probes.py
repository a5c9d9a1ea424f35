"""How the estimate does: a few places are watched from the first range shown for them until they are called.

A handful of places stand for everybody, so the cost does not grow with the line, and nothing is kept of any visitor.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

EVERY_MS = 10_000
NEW_AT_ONCE = 4
MOST = 24

Range = tuple[float, float]


class Probe(NamedTuple):
    """One place under watch: `people` ahead when the wait was first shown, at `at_ms`, as `low_ms` to `high_ms`.

    The same again from when half of those people were gone; `half_at_ms` is 0 until then.
    """

    place: int
    at_ms: int
    people: int
    low_ms: int
    high_ms: int
    half_at_ms: int = 0
    half_low_ms: int = 0
    half_high_ms: int = 0


class Tally(NamedTuple):
    """What came of probes: how many places were called, and how many of them within the range first shown; the same
    for the range shown half-way. `outdated`: given up because the operator changed the limits meanwhile.
    """

    first: int = 0
    first_within: int = 0
    half: int = 0
    half_within: int = 0
    outdated: int = 0


def watch(
    probes: Sequence[Probe],
    tally: Tally,
    *,
    now_ms: int,
    changed_ms: int,
    front: int,
    issued: int,
    ahead: Callable[[int], int],
    wait: Callable[[int], Range | None],
) -> tuple[tuple[Probe, ...], Tally]:
    """Judge the probes whose places are called, and take new ones among the numbers `issued` since the last one.

    `ahead` says how many people stand before a place, `wait` what a page shows for so many: seconds, None if unknown.
    """
    kept: list[Probe] = []
    for probe in probes:
        if probe.at_ms <= changed_ms:
            tally = tally._replace(outdated=tally.outdated + 1)
        elif probe.place < front:
            tally = judged(tally, probe, now_ms)
        else:
            kept.append(probe if probe.half_at_ms else half_way(probe, now_ms, ahead, wait))
    spacing_ms = EVERY_MS if not kept else max(EVERY_MS, (now_ms - kept[0].at_ms) * NEW_AT_ONCE // MOST)
    if not kept or now_ms - kept[-1].at_ms >= spacing_ms:
        first = max(front, kept[-1].place + 1) if kept else front
        kept += fresh(first, issued, now_ms, ahead, wait)
    # Every other one, but always the last: it tells which numbers are new.
    return tuple(kept if len(kept) <= MOST else kept[1 - len(kept) % 2 :: 2]), tally


def judged(tally: Tally, probe: Probe, now_ms: int) -> Tally:
    """With one probe more, whose place was called just now."""
    tally = tally._replace(
        first=tally.first + 1,
        first_within=tally.first_within + (probe.low_ms <= now_ms - probe.at_ms <= probe.high_ms),
    )
    if not probe.half_at_ms:
        return tally
    within = probe.half_low_ms <= now_ms - probe.half_at_ms <= probe.half_high_ms
    return tally._replace(half=tally.half + 1, half_within=tally.half_within + within)


def half_way(probe: Probe, now_ms: int, ahead: Callable[[int], int], wait: Callable[[int], Range | None]) -> Probe:
    """The probe, with the range shown now if half of the people ahead are gone."""
    people = ahead(probe.place)
    shown = wait(people) if 2 * people <= probe.people else None
    if shown is None:
        return probe
    return probe._replace(half_at_ms=now_ms, half_low_ms=int(1000 * shown[0]), half_high_ms=int(1000 * shown[1]))


def fresh(
    first: int, end: int, now_ms: int, ahead: Callable[[int], int], wait: Callable[[int], Range | None]
) -> list[Probe]:
    """New probes, evenly among the places from `first` to the last before `end`."""
    count = min(NEW_AT_ONCE, end - first)
    new = []
    for part in range(count - 1, -1, -1):
        place = end - 1 - (end - first) * part // count
        people = ahead(place)
        shown = wait(people)
        if shown is not None:
            new.append(Probe(place, now_ms, people, int(1000 * shown[0]), int(1000 * shown[1])))
    return new
