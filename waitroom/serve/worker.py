"""A worker: the app under our server, in an interpreter of its own, ended by the parent's signals.

`python -m waitroom.serve.worker`, with the arguments of `waitroom.serve.child`. The board takes its figures.
"""

import asyncio
import gc
import socket
import sys
from collections.abc import Sequence
from importlib import import_module

import structlog

from waitroom.core.settings import Settings
from waitroom.edge.wire.server import Limits, make_server
from waitroom.serve.board import Board
from waitroom.serve.child import run_child, stop_by_signal
from waitroom.serve.listening import share_files
from waitroom.serve.report import Reporter
from waitroom.serve.task import CLOSE_S, READY, STOP_LIMIT_S, Task, drain_s

YOUNG_OBJECTS = 20_000

log = structlog.get_logger()


def main(arguments: Sequence[str]) -> int:
    try:
        run_child(arguments, Task, work)
    except Exception:
        log.exception("worker_failed")
        return 1
    return 0


async def work(task: Task, channel: socket.socket, sockets: list[socket.socket], board: Board) -> None:
    settings, connections = within_files(task.settings)
    module, _, name = task.app.partition(":")
    app = getattr(import_module(module), name)(settings, fresh_store=task.fresh_store)
    server = make_server(
        app,
        limits=Limits(connections=connections),
        stop_delay_ms=task.settings.stop_delay,
        stop_limit_s=STOP_LIMIT_S,
        on_start=lambda: channel.sendall(READY),
        on_stop=app.stopping,
        counts=app.figures[0].counts,
    )
    reporter = Reporter(app, server, board, task.worker * len(task.settings.every_room))
    stop_by_signal(server)
    spare_collector()
    try:
        reporter.open()
        await app.open()
        await server.serve(sockets=sockets)
    finally:
        # An order is not cut off with the other requests: its outcome is what the shopper wants to know.
        await app.drain(0 if server.force_exit else drain_s(task.settings))
        try:
            async with asyncio.timeout(1.0 if server.force_exit else CLOSE_S):
                await app.close()
        except TimeoutError:
            log.warning("close_cut_short")
        reporter.close()


def within_files(settings: Settings) -> tuple[Settings, int]:
    """The settings, with no more connections to the shop than there are files for, and how many of clients there are
    files for.
    """
    rooms = settings.every_room
    shops = len({room.origin for room in rooms})
    most = max(room.origin_connections for room in rooms)
    clients, to_shops = share_files(most * shops)
    each = max(1, to_shops // shops)
    if each < most:
        log.warning("files_short", connections=clients, origin_connections=each)
        first, *others = (
            room.model_copy(update={"origin_connections": min(each, room.origin_connections)}) for room in rooms
        )
        settings = first.model_copy(update={"rooms": tuple(others)})
    return settings, clients


def spare_collector() -> None:
    """What is here now stays: the collector need not look at it again. Requests leave no cycles behind, so that it
    need not look often either: by default it takes a twentieth of a busy worker's time.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
