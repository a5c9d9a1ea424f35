"""Whether newcomers prove their cookies."""

from waitroom.core.proofs import ENOUGH, PATIENCE_MS, WINDOW_MS, Proofs


def watch(
    proofs: Proofs, *, seconds: int, given_per_s: int, confirmed_per_s: int, at: tuple[int, int, int]
) -> tuple[int, int, int]:
    """So many seconds at these speeds; returns where it ended, to go on from."""
    now_ms, given, confirmed = at
    for _ in range(seconds * 4):
        now_ms += 250
        given += given_per_s // 4
        confirmed += confirmed_per_s // 4
        proofs.add(now_ms, given, confirmed)
    return now_ms, given, confirmed


def test_nothing_is_known_at_the_start() -> None:
    proofs = Proofs()

    proofs.add(0, 0, 0)

    assert not proofs.is_flooded


def test_passes_that_never_come_back_are_a_flood() -> None:
    proofs = Proofs()

    watch(proofs, seconds=20, given_per_s=20, confirmed_per_s=0, at=(0, 0, 0))

    assert proofs.is_flooded


def test_people_whose_passes_come_back_are_none() -> None:
    proofs = Proofs()

    watch(proofs, seconds=90, given_per_s=20, confirmed_per_s=12, at=(0, 0, 0))

    assert not proofs.is_flooded


def test_a_few_crawlers_are_no_flood() -> None:
    """Fewer than 40 passes judged: three visitors without cookies prove nothing."""
    proofs = Proofs()

    proofs.add(0, 0, 0)
    proofs.add(1000, ENOUGH - 1, 0)
    proofs.add(1000 + PATIENCE_MS, ENOUGH - 1, 0)

    assert not proofs.is_flooded


def test_passes_get_five_seconds_to_come_back() -> None:
    proofs = Proofs()

    proofs.add(0, 0, 0)
    proofs.add(1000, 500, 0)
    proofs.add(PATIENCE_MS, 500, 0)
    early = proofs.is_flooded
    proofs.add(1000 + PATIENCE_MS, 500, 0)

    assert not early
    assert proofs.is_flooded


def test_a_flood_is_forgotten_after_a_minute() -> None:
    proofs = Proofs()
    at = watch(proofs, seconds=20, given_per_s=20, confirmed_per_s=0, at=(0, 0, 0))
    assert proofs.is_flooded

    watch(proofs, seconds=WINDOW_MS // 1000 + 2, given_per_s=0, confirmed_per_s=0, at=at)

    assert not proofs.is_flooded


def test_counters_that_went_back_start_anew() -> None:
    """A Redis that lost its last second, or another room: the old samples say nothing."""
    proofs = Proofs()
    now_ms, _, _ = watch(proofs, seconds=20, given_per_s=20, confirmed_per_s=0, at=(0, 0, 0))

    proofs.add(now_ms + 250, 3, 0)

    assert not proofs.is_flooded
