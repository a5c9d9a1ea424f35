"""What a flood may take at most."""

from contextlib import ExitStack

from waitroom.edge.flood import MOST_PREFLIGHTS, Preflights

HALF = MOST_PREFLIGHTS // 2


def go(preflights: Preflights, stack: ExitStack, addresses: list[str]) -> int:
    """How many of those that come from these addresses go to the shop; they stay there as long as the stack."""
    return sum(stack.enter_context(preflights.one_more(ip)) for ip in addresses)


def test_nobody_takes_all_the_room_there_is_for_preflights() -> None:
    """P6: so many at once reach the shop. Where it took a second over each, sixty connections were enough to have
    everybody else's refused, and with them every call of an app on another origin.
    """
    preflights, stack = Preflights(), ExitStack()

    with stack:
        of_one = go(preflights, stack, [f"2001:db8::{number}" for number in range(200)])
        of_others = go(preflights, stack, [f"192.0.2.{number}" for number in range(200)])
        of_one_more = go(preflights, stack, ["2001:db8::1", "198.51.100.1"])

    assert (of_one, of_others, of_one_more) == (HALF, MOST_PREFLIGHTS - HALF, 0)


def test_room_for_preflights_is_given_back() -> None:
    preflights = Preflights()
    for _ in range(3):
        with ExitStack() as stack:
            assert go(preflights, stack, ["192.0.2.1"] * 200) == HALF
            assert go(preflights, stack, ["192.0.2.2"] * 200) == MOST_PREFLIGHTS // 4

    assert not preflights.by_address
