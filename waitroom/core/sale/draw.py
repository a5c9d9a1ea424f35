"""The draw: in which order the people of a lobby are served, so that everyone can check it.

Nothing is shuffled and nothing stored: a place is computed from a number by a keyed permutation, for a hundred million
people as for ten. deploy/draw.md writes it down byte for byte, with examples that a test reads.

    seed        HMAC-SHA256(signing key, packed(version, room, generation, nonce))    secret until the draw
    commitment  SHA-256(packed(version, room, generation, source, opened at, seed))   public when the lobby opens
    key         SHA-256(packed(seed, people, note))                                   fixed by the draw
    place       permute(key, people, index)

`packed` puts the length before each part, so that no two lists of parts read alike. `index` counts the people of the
lobby in the order of their numbers (`Lobby`).
"""

import hmac
from array import array
from dataclasses import dataclass
from hashlib import sha256
from math import isqrt
from struct import Struct

VERSION = "waitroom-draw-1"
FEW = 256
ROUNDS, ROUNDS_OF_FEW = 12, 48
"""Of any two people the two places are as likely as any other two, up to one in a million: so many rounds take the
places of few people, on a grid of few rows. (With 8 rounds five people differ by 6 %.)"""
MOST_REMEMBERED = 1 << 22

_round_input = Struct(">BQ").pack
_length = Struct(">I").pack


def packed(*parts: str | bytes) -> bytes:
    """Each part behind its length: four bytes, the highest first. Text is UTF-8."""
    encoded = [part.encode() if isinstance(part, str) else part for part in parts]
    return b"".join(_length(len(part)) + part for part in encoded)


def make_seed(secret: str, *, room: str, generation: str, nonce: str) -> bytes:
    """32 bytes that nobody can know who does not hold the signing key."""
    return hmac.digest(secret.encode(), packed(VERSION, room, generation, nonce), "sha256")


def commitment_of(seed: bytes, *, room: str, generation: str, source: str, opened_at: str) -> str:
    """64 hexadecimal digits: what is published before the draw. It tells nothing of the seed, and allows no other; nor
    another source of the note.
    """
    return sha256(packed(VERSION, room, generation, source, opened_at, seed)).hexdigest()


def key_of(seed: bytes, people: int, note: str) -> bytes:
    """The key of the permutation."""
    return sha256(packed(seed, str(people), note)).digest()


def permute(key: bytes, people: int, index: int, *, rounds: int = 0) -> int:
    """The place of the one at `index`, of 0 … people − 1: a bijection that the key picks.

    The index is a field of a grid of `rows` × `columns`, hardly larger than `people`. In turns the row is moved by
    what a hash says of the column, and the column by what it says of the row: a Feistel network with sums for XOR
    (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). Whoever lands beyond `people` goes on from
    there. `rounds` is for tests.
    """
    rows = isqrt(people - 1) + 1
    columns = -(-people // rows)
    rounds = rounds or (ROUNDS_OF_FEW if people < FEW else ROUNDS)
    while True:
        row, column = divmod(index, columns)
        for turn in range(0, rounds, 2):
            row = (row + _draw(key, turn, column)) % rows
            column = (column + _draw(key, turn + 1, row)) % columns
        index = row * columns + column
        if index < people:
            return index


def _draw(key: bytes, turn: int, value: int) -> int:
    """A number of 64 bits, by a hash of one block."""
    return int.from_bytes(sha256(key + _round_input(turn, value)).digest()[:8], "big")


@dataclass(frozen=True, slots=True)
class Lobby:
    """Whose places are drawn: the numbers 0 … numbers − 1, but for those in `left_out`, ranges of numbers that nobody
    has because Redis lost its memory in the lobby. Half-open, in order, apart.
    """

    numbers: int
    left_out: tuple[tuple[int, int], ...] = ()

    @property
    def people(self) -> int:
        return self.numbers - self._missing_below(self.numbers)

    def index(self, number: int) -> int:
        """How many people of the lobby came before a number, if somebody has it.

        Numbers left out come behind all people: so each number of the lobby has a place of its own whatever happens.
        """
        below = self._missing_below(number)
        if any(start <= number < stop for start, stop in self.left_out):
            return self.people + below
        return number - below

    def _missing_below(self, number: int) -> int:
        return sum(min(number, stop) - start for start, stop in self.left_out if start < number)


class Places:
    """The places of a lobby that was drawn. Those computed are remembered: the next poll costs a look-up."""

    __slots__ = ("_key", "_known", "_lobby", "_numbers", "_people")

    def __init__(self, lobby: Lobby, *, seed: bytes, note: str) -> None:
        self._lobby, self._numbers, self._people = lobby, lobby.numbers, lobby.people
        self._key = key_of(seed, self._people, note)
        self._known = array("I", bytes(4 * min(self._numbers, MOST_REMEMBERED)))

    def of(self, number: int) -> int:
        """The place of a number. Whoever came after the draw has the number for a place, behind the lobby."""
        if number >= self._numbers:
            return number
        if number < MOST_REMEMBERED:
            known = self._known[number]
            if known:
                return known - 1
            place = self._compute(number)
            self._known[number] = place + 1
            return place
        return self._compute(number)

    def _compute(self, number: int) -> int:
        index = self._lobby.index(number)
        return permute(self._key, self._people, index) if index < self._people else index
