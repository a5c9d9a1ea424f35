"""How a process of the gateway begins and is asked to end: alike for a worker and for the admin process.

Its arguments are file numbers: `<channel> <board> <listening socket>…`. The channel brings the task, and takes one byte
when connections are accepted.
"""

import asyncio
import signal
import socket
from collections.abc import Callable, Coroutine, Sequence

from uvicorn.loops.auto import auto_loop_factory

from waitroom import log as logging
from waitroom.edge.wire.server import EdgeServer
from waitroom.serve.board import Board
from waitroom.serve.task import AnyTask, receive_task

Work = Callable[[AnyTask, socket.socket, list[socket.socket], Board], Coroutine[object, object, None]]


def run_child(arguments: Sequence[str], kind: type[AnyTask], work: Work[AnyTask]) -> None:
    """Do the work in a loop of this process's own. Raises what the work raises."""
    channel_number, board_number, *numbers = map(int, arguments)
    channel, *sockets = (socket.socket(fileno=number) for number in (channel_number, *numbers))
    task = receive_task(channel, kind)
    logging.set_up(task.settings)
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(work(task, channel, sockets, Board(board_number)))


def stop_by_signal(server: EdgeServer) -> None:
    """The parent's word, or Ctrl-C. To be called in the process's loop."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, server.stop)
