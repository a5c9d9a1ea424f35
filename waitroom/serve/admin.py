"""The admin process: the admin app under our server, apart from the workers, so that it answers while they are flooded.

`python -m waitroom.serve.admin <channel> <board> <listening socket>…`, as `waitroom.serve.worker`.
"""

import asyncio
import signal
import socket
import sys
from collections.abc import Sequence

import structlog
from uvicorn.loops.auto import auto_loop_factory

from waitroom import log as logging
from waitroom.edge.admin.routes import create_admin
from waitroom.edge.wire.server import Limits, make_server
from waitroom.serve.board import Board
from waitroom.serve.listening import share_files
from waitroom.serve.task import READY, AdminTask, receive_task

STOP_LIMIT_S = 2

log = structlog.get_logger()


def main(arguments: Sequence[str]) -> int:
    channel_number, board_number, *numbers = map(int, arguments)
    channel, *sockets = (socket.socket(fileno=number) for number in (channel_number, *numbers))
    task = receive_task(channel, AdminTask)
    logging.set_up(task.settings)
    try:
        with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
            runner.run(serve(task, channel, sockets, Board(board_number)))
    except Exception:
        log.exception("admin_failed")
        return 1
    return 0


async def serve(task: AdminTask, channel: socket.socket, sockets: list[socket.socket], board: Board) -> None:
    app = create_admin(task.settings, board.read)
    limits = Limits(connections=share_files(0)[0])
    server = make_server(app, limits=limits, stop_limit_s=STOP_LIMIT_S, on_start=lambda: channel.sendall(READY))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, server.stop)
    try:
        await server.serve(sockets=sockets)
    finally:
        await app.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
