"""The admin process: the admin app under our server, apart from the workers, so that it answers while they are flooded.

`python -m waitroom.serve.admin`, with the arguments of `waitroom.serve.child`.
"""

import socket
import sys
from collections.abc import Sequence

import structlog

from waitroom.edge.admin.routes import create_admin
from waitroom.edge.wire.server import Limits, make_server
from waitroom.serve.board import Board
from waitroom.serve.child import run_child, stop_by_signal
from waitroom.serve.listening import share_files
from waitroom.serve.task import READY, AdminTask

STOP_LIMIT_S = 2

log = structlog.get_logger()


def main(arguments: Sequence[str]) -> int:
    try:
        run_child(arguments, AdminTask, serve)
    except Exception:
        log.exception("admin_failed")
        return 1
    return 0


async def serve(task: AdminTask, channel: socket.socket, sockets: list[socket.socket], board: Board) -> None:
    app = create_admin(task.settings, board.read)
    limits = Limits(connections=share_files(0)[0])
    server = make_server(app, limits=limits, stop_limit_s=STOP_LIMIT_S, on_start=lambda: channel.sendall(READY))
    stop_by_signal(server)
    try:
        await server.serve(sockets=sockets)
    finally:
        await app.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
