"""What a worker has to tell Redis with its next sync. What could not be told is kept."""

from typing import NamedTuple

from waitroom.core.model import Snapshot
from waitroom.core.presence import FAR_MS, Beats, chunk_of, is_due
from waitroom.store.replies import Beat, Renewal

RENEWALS_A_SYNC = 2_000
MOST_SEEN_AGAIN = 20_000


class Parcel(NamedTuple):
    """What goes with one sync. `confirmed`: provisional passes seen again."""

    renewals: list[Renewal]
    beats: list[Beat]
    confirmed: int


class Outbox:
    """Of one worker: filled by its requests, emptied by its loop."""

    def __init__(self) -> None:
        self.beats = Beats()
        self._renewals: dict[tuple[str, int], int] = {}
        self._confirmed = 0
        self._seen_again: dict[tuple[str, int], None] = {}
        self._flushed_ms = 0.0

    def renew(self, generation: str, place: int, end_ms: int, *, confirms: bool) -> None:
        """The latest end of a seat counts, and 0, which gives it back, above all. A pass is confirmed once, however
        many requests bring it.
        """
        self._keep((generation, place), end_ms)
        if confirms and (generation, place) not in self._seen_again:
            if len(self._seen_again) >= MOST_SEEN_AGAIN:
                del self._seen_again[next(iter(self._seen_again))]
            self._seen_again[generation, place] = None
            self._confirmed += 1

    def take(self, snapshot: Snapshot | None, *, now_s: float, everything: bool = False) -> Parcel:
        """The next parcel: at most 2,000 renewals, the beats at the front, and each chunk farther back when it is due;
        after a gap all of them. Without a snapshot nobody knows which generation the beats are of, so they stay.
        """
        taken = list(self._renewals.items())[:RENEWALS_A_SYNC]
        for key, _ in taken:
            del self._renewals[key]
        renewals = [Renewal(generation, place, end_ms) for (generation, place), end_ms in taken]
        confirmed, self._confirmed = self._confirmed, 0
        return Parcel(renewals, self._take_beats(snapshot, now_s * 1000, everything=everything), confirmed)

    def give_back(self, parcel: Parcel) -> None:
        """What could not be delivered; a later word on a seat stands."""
        for renewal in parcel.renewals:
            self._keep((renewal.generation, renewal.place), renewal.end_ms)
        self.beats.give_back(parcel.beats)
        self._confirmed += parcel.confirmed

    def _keep(self, seat: tuple[str, int], end_ms: int) -> None:
        known = self._renewals.get(seat)
        self._renewals[seat] = 0 if 0 in (known, end_ms) else max(known or 0, end_ms)

    def forget_beats(self) -> None:
        """They were of another generation, or of numbers where there are places now."""
        self.beats = Beats()

    def _take_beats(self, snapshot: Snapshot | None, now_ms: float, *, everything: bool) -> list[Beat]:
        if snapshot is None:
            return []
        since_ms, self._flushed_ms = self._flushed_ms, now_ms
        chunks = self.beats.chunks()
        if not everything and snapshot.now_ms - snapshot.state.gap_ms >= FAR_MS:
            near = chunk_of(snapshot.state.front)
            chunks = [c for c in chunks if c in (near, near + 1) or is_due(c, since_ms, now_ms)]
        return [Beat(*beat) for beat in self.beats.take(chunks)]
