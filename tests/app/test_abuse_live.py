"""A moment of the abuse bench: every attack at once, small; the large one is `python -m tests.bench.abuse`."""

from tests.bench.abuse import VISITORS, attack
from tests.bench.attackers import ATTACKS
from tests.bench.bench_streams import cookies_of_a_visitor, gateway_before_a_wild_shop
from tests.bench.memory import MEGABYTE


async def test_visitors_inside_are_served_whatever_others_do() -> None:
    async with gateway_before_a_wild_shop(workers="2") as (gateway, _):
        visitors = [await cookies_of_a_visitor(gateway) for _ in range(VISITORS)]

        outcome = await attack(gateway, ",".join(ATTACKS), 60, 1, visitors, patience_s=30)

    print(f"\n{outcome.found}, {outcome.visits} visits, worst {outcome.worst_ms:.0f} ms")
    assert outcome.faults == []
    assert outcome.visits > 2 * VISITORS
    assert outcome.found["inputs"] > 20
    assert (outcome.peak_mb - outcome.before_mb) * MEGABYTE < 150 * MEGABYTE
