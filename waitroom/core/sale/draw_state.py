"""What Redis holds of a draw, and what only a holder of its signing key can make: the seed.

draw_nonce, draw_key        drawn at random when the lobby opens; the id of the key that the seed is made with
draw_source, draw_opened    where the note will come from ('' for none); when all this was latched (ms)
draw_commitment             '' where nothing was announced
draw_numbers, draw_drawn    how many numbers take part, and when that was fixed (ms); '' and 0 before
draw_left_out               ranges of numbers that nobody has: '<from>-<to> ' each
draw_seed, draw_note        '' until they are known
draw_known                  since when the places are known (ms); 0 before
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from waitroom.core.sale.draw import Lobby, Places, commitment_of, make_seed
from waitroom.core.sale.draw_record import Record
from waitroom.core.times import iso_ms
from waitroom.core.tokens import key_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """A draw as Redis has it. `numbers` None: not drawn yet."""

    generation: str
    nonce: str
    key_id: str
    source: str
    opened_ms: int
    commitment: str
    drawn_ms: int = 0
    numbers: int | None = None
    left_out: tuple[tuple[int, int], ...] = ()
    seed: str = ""
    note: str = ""
    known_ms: int = 0

    @property
    def lacks_seed(self) -> bool:
        """Whether it is to be revealed."""
        return self.numbers is not None and not self.seed

    @property
    def lacks_note(self) -> bool:
        """Whether an operator has to enter it."""
        return self.numbers is not None and bool(self.source) and not self.note

    @property
    def is_known(self) -> bool:
        """Whether everybody's place follows from it."""
        return self.numbers is not None and bool(self.seed) and not self.lacks_note

    @property
    def lobby(self) -> Lobby:
        assert self.numbers is not None
        return Lobby(self.numbers, self.left_out)

    def places(self) -> Places:
        """Once it is known."""
        return Places(self.lobby, seed=bytes.fromhex(self.seed), note=self.note)

    def record(self, room: str) -> Record:
        """What everybody may know of it now."""
        record = Record(
            room=room,
            generation=self.generation,
            opened_at=iso_ms(self.opened_ms),
            source=self.source,
            commitment=self.commitment,
        )
        if self.numbers is None:
            return record
        return replace(
            record,
            drawn_at=iso_ms(self.drawn_ms),
            numbers=self.numbers,
            left_out=self.left_out,
            people=self.lobby.people,
            note=None if self.lacks_note else self.note,
            seed=self.seed or None,
        )


def read_draw(fields: Mapping[str, str]) -> Draw | None:
    """From the hash in Redis; None where none was announced."""
    if not fields.get("draw_commitment"):
        return None
    numbers = fields.get("draw_numbers", "")
    return Draw(
        generation=fields["generation"],
        nonce=fields["draw_nonce"],
        key_id=fields["draw_key"],
        source=fields["draw_source"],
        opened_ms=int(fields["draw_opened"]),
        commitment=fields["draw_commitment"],
        drawn_ms=int(fields["draw_drawn"]),
        numbers=int(numbers) if numbers else None,
        left_out=read_ranges(fields["draw_left_out"]),
        seed=fields["draw_seed"],
        note=fields["draw_note"],
        known_ms=int(fields["draw_known"]),
    )


def read_ranges(text: str) -> tuple[tuple[int, int], ...]:
    """`'3-7 9-12 '` → half-open ranges, in order, without empty ones."""
    pairs = (tuple(map(int, part.split("-"))) for part in text.split())
    return tuple(sorted((start, stop) for start, stop in pairs if stop > start))


class DrawKeys:
    """The signing keys of one room, for its draws. The first makes new seeds; all make those of their own again."""

    def __init__(self, room: str, secrets: Sequence[str]) -> None:
        self._room = room
        self._secrets = {key_id(secret).decode(): secret for secret in secrets}
        self.signing_id = next(iter(self._secrets), "")

    def seed(self, draw: Draw) -> bytes | None:
        """None without the key, and where it makes another commitment: then this is not the draw it was."""
        secret = self._secrets.get(draw.key_id)
        if secret is None:
            return None
        seed = make_seed(secret, room=self._room, generation=draw.generation, nonce=draw.nonce)
        commitment = self._commit(seed, generation=draw.generation, source=draw.source, opened_ms=draw.opened_ms)
        return seed if commitment == draw.commitment else None

    def commitment(self, *, generation: str, nonce: str, source: str, opened_ms: int) -> str:
        """To a draw that is to be announced now; '' without a key."""
        if not self.signing_id:
            return ""
        seed = make_seed(self._secrets[self.signing_id], room=self._room, generation=generation, nonce=nonce)
        return self._commit(seed, generation=generation, source=source, opened_ms=opened_ms)

    def _commit(self, seed: bytes, *, generation: str, source: str, opened_ms: int) -> str:
        return commitment_of(seed, room=self._room, generation=generation, source=source, opened_at=iso_ms(opened_ms))
