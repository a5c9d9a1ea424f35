"""What the parent and its processes say to each other, over a socket pair."""

import pickle
import socket
from typing import NamedTuple, TypeVar

from waitroom.core.settings import Settings

READY = b"r"
"""From a process, once it takes connections."""
STOP_LIMIT_S = 30
"""How long requests under way may take to end after the listener closed."""
CLOSE_S = 5.0


def drain_s(settings: Settings) -> float:
    """How long orders may go on after the other requests were cut off."""
    longest_ms = max(room.order_limit_ms for room in settings.every_room)
    return max(0.0, longest_ms / 1000 - STOP_LIMIT_S)


class Task(NamedTuple):
    """What a worker is told. `app` is an import string of `create_app(settings, *, fresh_store)`; `worker` is which
    of the workers it is, from 0.
    """

    settings: Settings
    app: str
    fresh_store: bool
    worker: int


class AdminTask(NamedTuple):
    """What the admin process is told."""

    settings: Settings


AnyTask = TypeVar("AnyTask", Task, AdminTask)


def send_task(channel: socket.socket, task: Task | AdminTask) -> None:
    message = pickle.dumps(task)
    channel.sendall(len(message).to_bytes(4) + message)


def receive_task(channel: socket.socket, kind: type[AnyTask]) -> AnyTask:
    with channel.makefile("rb") as stream:
        task = pickle.loads(stream.read(int.from_bytes(stream.read(4))))  # noqa: S301 - from our own parent
    assert isinstance(task, kind)
    return task
