"""How far `ahead` is from the truth, with parts of a long line absent: at random, in runs, and at the worst."""

import random
from collections.abc import Iterator

from waitroom.core.presence import CHUNK, Presence
from waitroom.core.table import Facts, decode, make_table

SAMPLES = 3000
ABSENT = (0, 10, 30, 60, 90)
RUN = 3000
FRONT = 12_345


def presence_of(marks: bytes) -> Presence:
    """One byte a place, 1 who is there."""
    presence = Presence()
    digits = marks.translate(bytes([48, 49]) + bytes(254))
    for chunk in range(-(-len(marks) // CHUNK)):
        bits = int(digits[chunk * CHUNK : (chunk + 1) * CHUNK][::-1], 2)
        presence.update(chunk, bits.to_bytes(CHUNK // 8, "little"))
    return presence


def patterns(people: int, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    for absent in ABSENT:
        yield f"{absent} % at random", bytes(chance.choices((0, 1), (absent, 100 - absent), k=people))
    for absent in ABSENT[1:]:
        marks = bytearray()
        while len(marks) < people:
            length = int(chance.expovariate(1 / RUN)) + 1
            marks += bytes([chance.random() * 100 >= absent]) * length
        yield f"{absent} % in runs", bytes(marks[:people])


def errors(marks: bytes, front: int, chance: random.Random) -> list[tuple[int, int]]:
    """(places behind the front, people that `ahead` is off by) of places anywhere, as a worker reads the table."""
    table = decode(make_table(presence_of(marks), front=front, issued=len(marks), facts=Facts()).encode())
    line = len(marks) - front
    backs = [chance.randrange(min(line, 50_000)) for _ in range(SAMPLES // 3)]
    backs += [chance.randrange(line) for _ in range(SAMPLES)]
    found, at, truth = [], 0, 0
    for back in sorted(backs):
        truth += marks.count(1, front + at, front + back)
        at = back
        found.append((back, abs(table.ahead(front, front + back) - truth)))
    return found


def worst_errors(people: int, *, seed: int = 1) -> dict[str, str]:
    """The largest error of each pattern: people within the first 7,000 places, people anywhere, and from 100,000 places
    back as part of the distance.
    """
    chance = random.Random(seed)
    found = {}
    for name, marks in patterns(people, chance):
        off = errors(marks, FRONT, chance)
        near = max(by for back, by in off if back < 7000)
        part = max((by / back for back, by in off if back >= 100_000), default=0.0)
        found[name] = f"{near}  {max(by for _, by in off)}  {part:.2%}"
    return found
