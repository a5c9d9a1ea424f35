"""What happens to a room in a random history: people, limits, workers, Redis. Each function is one such thing; what
it returns is told with its name.
"""

from dataclasses import replace
from typing import Final

from tests.store.histories.asking import SEAT_MS
from tests.store.histories.events import Lost, Seated
from tests.store.histories.events import Mishap as Told
from tests.store.histories.world import HOUR_S, MOST_PEOPLE, Mishaps, World
from waitroom.core.meter import Limits
from waitroom.store.replies import Newcomer

RATES: Final = [Limits(2, 1), Limits(5, 5), Limits(10, 10), Limits(10, 1), Limits(40, 8), Limits(0.5, 3)]


async def happen(world: World, mishaps: Mishaps) -> None:
    """One of them."""
    what = world.dice.choices(list(mishaps), weights=list(mishaps.values()))[0]
    note = await what(world)
    if what not in UNTOLD:
        world.note(Told(world.now_s, f"{what.__name__.replace('_', ' ')} {note or ''}".strip()))


# People.


async def arrive(world: World) -> None:
    if len(world.people) < MOST_PEOPLE:
        flags = [(True, world.dice.random() < 0.7) for _ in range(world.dice.choice([1, 2, 5, 20, 40]))]
        await world.any_worker().enter([Newcomer(world.dice.randbytes(16).hex(), *flag) for flag in flags])


async def come_and_go(world: World) -> None:
    """Some inside are seen again, some leave; some in the line go away or come back."""
    for person in list(world.people.values()):
        throw = world.dice.random()
        if person.place is not None and world.now_s < person.end_s and throw < 0.3:
            ends_s = world.now_s + SEAT_MS / 1000 if throw < 0.2 else world.now_s
            worker = world.any_worker()
            end_ms = round(world.room.clock.now_ms) + SEAT_MS if throw < 0.2 else 0
            worker.outbox.renew(*person.place, end_ms, confirms=False)
            person.end_s = ends_s
            world.note(Seated(world.now_s, person.place, ends_s))
        elif not person.inside and throw < 0.1:
            person.there = not person.there
            for worker in world.workers:
                for view in (worker, worker.beside):
                    if view is not None:
                        view.door = {number: one for number, one in view.door.items() if one is not person}


# The operator.


async def set_limits(world: World) -> None:
    if world.is_away:
        return
    dice = world.dice
    limits = replace(
        dice.choice(RATES),
        max_active=dice.choice([0, 0, 3, 10]),
        unlimited=dice.random() < 0.05,
        hold=dice.random() < 0.2,
    )
    await world.change_limits(limits)


async def reset(world: World) -> None:
    await world.restart_line()


# Workers.


async def crash(world: World) -> str:
    """With everything it had not told Redis. One who remembers is always left."""
    others = [w for w in world.workers if any(o.snapshot and o is not w for o in world.workers)]
    if others:
        worker = world.dice.choice(others)
        world.workers.remove(worker)
        world.start_worker()
        return worker.name
    return "of nobody"


async def stall(world: World) -> str:
    worker, seconds = world.any_worker(), world.dice.choice([0.5, 1.5, 3, 7])
    worker.stalled_until_s = world.now_s + seconds
    return f"of {worker.name} for {seconds} s"


async def worker_clock_jumps(world: World) -> str:
    worker = world.any_worker()
    worker.wrong_s = world.dice.choice([-HOUR_S, HOUR_S])
    return f"by {worker.wrong_s:.0f} s at {worker.name}"


# Redis.


async def redis_clock_goes_back(world: World) -> str:
    return await go_back(world, world.dice.choice(world.slips))


async def go_back(world: World, back_s: float) -> str:
    world.offset_s -= back_s
    await world.room.clock.pass_s(-back_s)
    return f"by {back_s} s"


async def away(world: World) -> str:
    world.is_away = not world.is_away
    return "begins" if world.is_away else "ends"


async def restart(world: World) -> None:
    """With its data."""
    await become_another_server(world)


async def fail_over(world: World) -> None:
    """To a replica that is up to a second behind, sometimes with a slow clock."""
    if world.backup is None or world.now_s - world.backup[0] > 1:
        await copy_to_replica(world)
        world.fail_over_due_s = world.now_s + world.dice.uniform(0, 0.9)
        return
    since_s, dumps = world.backup
    world.backup = None
    await forget_everything(world)
    for key, dump in dumps.items():
        if dump is not None:
            await world.redis.restore(key, 0, dump)
    world.note(Lost(world.now_s, since_s))
    await become_another_server(world)
    if world.dice.random() < 0.3:
        await redis_clock_goes_back(world)


async def empty(world: World) -> None:
    await forget_everything(world)
    await become_another_server(world)
    world.note(Lost(world.now_s, 0.0))


async def copy_to_replica(world: World) -> None:
    keys = await world.redis.keys(f"{world.room.room.keys.prefix}*")
    world.backup = world.now_s, {key: await world.redis.dump(key) for key in keys}


async def become_another_server(world: World) -> None:
    """A replica that is promoted has a new replication id."""
    await world.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    await world.redis.execute_command("REPLICAOF", "NO", "ONE")


async def forget_everything(world: World) -> None:
    keys = await world.redis.keys(f"{world.room.room.keys.prefix}*")
    if keys:
        await world.redis.delete(*keys)


MISHAPS: Final[Mishaps] = {
    arrive: 12,
    come_and_go: 8,
    set_limits: 3,
    crash: 1.5,
    stall: 2,
    worker_clock_jumps: 2,
    redis_clock_goes_back: 0.5,
    away: 1,
    restart: 0.7,
    fail_over: 2,
    empty: 0.5,
    reset: 0.4,
}
UNTOLD: Final = (arrive, come_and_go, set_limits)
"""They are told by what they bring about."""
