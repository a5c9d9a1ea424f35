"""A flood without cookies may use the rate, never seats: whoever comes on the spot has to show the pass again.

When more than half of the last minute's provisional passes never came back (the line counts them, over all
workers), or one address has 20 open at this worker, newcomers get the waiting page first, and its first poll
proves the cookie.

Of preflights, which need no pass, so many are at the shop at once; of one address, once half of the room is taken, no
more than a quarter.
"""

import ipaddress
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

OPEN_S = 60.0
MOST_OPEN = 20
REMEMBERED = 20_000
MOST_PREFLIGHTS = 64


class Flood:
    """The provisional passes of this worker's last minute that were not seen again, by address. Bounded."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[str, int], tuple[float, str]] = OrderedDict()
        self._by_address: Counter[str] = Counter()

    def may_come_on_the_spot(self, ip: str, *, workers: int) -> bool:
        """With several workers most passes are seen again by another one: each may have as many more open."""
        now = time.monotonic()
        while self._open and (now - next(iter(self._open.values()))[0] > OPEN_S or len(self._open) > REMEMBERED):
            self.came_back(*next(iter(self._open)))
        return self._by_address.get(network_of(ip), 0) < MOST_OPEN * workers

    def came_on_the_spot(self, ip: str, generation: str, place: int) -> None:
        address = network_of(ip)
        self._open[generation, place] = (time.monotonic(), address)
        self._by_address[address] += 1

    def came_back(self, generation: str, place: int) -> None:
        """The provisional pass was seen again, or is too old to matter."""
        known = self._open.pop((generation, place), None)
        if known is not None:
            self._by_address[known[1]] -= 1
            if self._by_address[known[1]] <= 0:
                del self._by_address[known[1]]


class Preflights:
    """The preflights of a gate that are at the shop, by address."""

    def __init__(self) -> None:
        self.by_address: Counter[str] = Counter()

    @contextmanager
    def one_more(self, ip: str) -> Iterator[bool]:
        """Whether one more may go to the shop; if so it is counted until the end."""
        address, count = network_of(ip), self.by_address.total()
        may_go = count < MOST_PREFLIGHTS and (
            count < MOST_PREFLIGHTS // 2 or self.by_address[address] < MOST_PREFLIGHTS // 4
        )
        self.by_address[address] += may_go
        try:
            yield may_go
        finally:
            self.by_address[address] -= may_go
            if not self.by_address[address]:
                del self.by_address[address]


def network_of(ip: str) -> str:
    """The address; of IPv6 its /64, which is one household."""
    if ":" not in ip:
        return ip
    try:
        return str(ipaddress.ip_network((ip, 64), strict=False))
    except ValueError:
        return ip
