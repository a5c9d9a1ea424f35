"""A held poll and the connection it hangs on."""

from waitroom.edge.wire.exchange import Exchange
from waitroom.store.held import HeldPolls, finish


async def wait_held(held: HeldPolls, place: int, seconds: float, exchange: Exchange) -> bool:
    """Wait until something changes for a place, or the time is up; False if the client left meanwhile."""
    future = held.hold(place, seconds)
    exchange.on_lost(lambda: finish(future))
    await future
    return not exchange.peer_lost
