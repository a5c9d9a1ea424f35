"""The parent's watch over its workers, the admin process and Redis: starting, restarting, stopping."""

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import structlog

from waitroom.core.settings import Settings
from waitroom.serve.board import Board
from waitroom.serve.task import CLOSE_S, STOP_LIMIT_S, AdminTask, Task, drain_s, send_task
from waitroom.store.embedded import EmbeddedRedis
from waitroom.store.lifeline import Child, start_child

TICK_S = 1.0
HURRY_S = 3.0
LIVED_S = 10.0
"""A worker that lived this long and ends is an accident, not a fault of its start."""
PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
ATTEMPTS = 3
"""So many starts of one worker, while none was ever ready, are enough to give up."""
ADMIN = -1
"""The index of the admin process, beside the workers'."""
ADMIN_END_S = 3.0

log = structlog.get_logger()


class Process:
    """One worker, or the admin process, seen from the parent."""

    def __init__(self, index: int, child: Child, channel: socket.socket) -> None:
        self.index = index
        self.child = child
        self.channel = channel
        self.born = time.monotonic()
        self.is_ready = False


class Signals:
    """Stop signals received so far, and a socket that is readable after any."""

    def __init__(self, wakeup: socket.socket) -> None:
        self.wakeup = wakeup
        self.stops = 0

    def note(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self.stops += 1


class Parent:
    """Starts workers, watches them and Redis, stops them."""

    def __init__(
        self,
        settings: Settings,
        sockets: Sequence[socket.socket],
        admin_sockets: Sequence[socket.socket],
        redis: EmbeddedRedis | None,
        signals: Signals,
        *,
        app: str,
        announce: Callable[[], object],
    ) -> None:
        self.settings = settings
        self.sockets = sockets
        self.admin_sockets = admin_sockets
        self.rooms = len(settings.every_room)
        self.board = Board.make(settings.workers * self.rooms)
        self.redis = redis
        self.signals = signals
        self.app = app
        self.announce = announce
        self.processes: list[Process] = []
        indices = [*range(settings.workers), *([ADMIN] if admin_sockets else [])]
        self.due = dict.fromkeys(indices, 0.0)
        self.failures = dict.fromkeys(indices, 0)
        self.was_ready = False
        self.status = 0
        self.stops_seen = 0
        self.deadline: float | None = None
        self.selector = selectors.DefaultSelector()
        self.selector.register(signals.wakeup, selectors.EVENT_READ, None)

    @property
    def is_stopping(self) -> bool:
        return self.deadline is not None

    @property
    def workers(self) -> list[Process]:
        return [process for process in self.processes if process.index != ADMIN]

    def watch(self) -> int:
        """Until all workers ended after a stop signal, or none could be started."""
        while not (self.is_stopping and not self.workers):
            if not self.is_stopping:
                self.start_due()
            for key, _ in self.selector.select(self.wait_s()):
                self.hear(key.data)
            while self.signals.stops > self.stops_seen:
                self.stops_seen += 1
                self.stop()
            for process in [process for process in self.processes if process.child.poll() is not None]:
                self.bury(process)
            if self.redis is not None and not self.is_stopping:
                self.redis.ensure()
            if self.deadline is not None and self.deadline <= time.monotonic():
                for worker in self.workers:
                    log.warning("worker_killed", worker=worker.index, pid=worker.child.pid)
                    worker.child.process.kill()
                self.deadline += HURRY_S
        return self.status

    def wait_s(self) -> float:
        times = [*self.due.values(), *([] if self.deadline is None else [self.deadline])]
        return min([TICK_S, *(max(0.0, at - time.monotonic()) for at in times)])

    def start_due(self) -> None:
        now = time.monotonic()
        for index in [index for index, at in self.due.items() if at <= now]:
            del self.due[index]
            self.start(index)

    def start(self, index: int) -> None:
        ours, theirs = socket.socketpair()
        is_admin = index == ADMIN
        # Only the first workers of a new store may take it that nobody remembers an older room.
        fresh_store = self.redis is not None and self.redis.fresh and not self.was_ready
        sockets = self.admin_sockets if is_admin else self.sockets
        numbers = [theirs.fileno(), self.board.number, *(each.fileno() for each in sockets)]
        # -P: what stands in the folder we were started in is nobody's module.
        module = "waitroom.serve.admin" if is_admin else "waitroom.serve.worker"
        command = [sys.executable, "-P", "-m", module, *map(str, numbers)]
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        with theirs:
            child = start_child(command, env={"PYTHONPATH": path}, pass_fds=numbers)
        # Each is told the secrets that it needs, and no others.
        if is_admin:
            send_task(ours, AdminTask(self.settings.throughout(secret=())))
        else:
            settings = self.settings.throughout(admin_token=None)
            send_task(ours, Task(settings, self.app, fresh_store, index))
        process = Process(index, child, ours)
        self.processes.append(process)
        self.selector.register(ours, selectors.EVENT_READ, process)

    def hear(self, process: Process | None) -> None:
        """A signal, a process that is ready, or the end of a process's channel."""
        if process is None:
            self.signals.wakeup.recv(4096)
            return
        try:
            said = process.channel.recv(1)
        except ConnectionError:
            said = b""
        if not said:
            self.selector.unregister(process.channel)
            process.channel.close()
            return
        process.is_ready = True
        if process.index == ADMIN:
            log.info("admin_ready", pid=process.child.pid)
            return
        log.info("worker_ready", worker=process.index, pid=process.child.pid)
        if not self.was_ready:
            self.was_ready = True
            self.announce()

    def bury(self, process: Process) -> None:
        """`process` has ended: start it again, unless we are stopping or no worker ever gets anywhere."""
        index, pid, status = process.index, process.child.pid, process.child.stop()
        self.processes.remove(process)
        if process.channel.fileno() >= 0:
            self.selector.unregister(process.channel)
            process.channel.close()
        if index != ADMIN:
            for room in range(self.rooms):
                self.board.clear(index * self.rooms + room)
        if self.is_stopping:
            return
        if index == ADMIN:
            log.warning("admin_ended", pid=pid, status=status)
        else:
            log.warning("worker_ended", worker=index, pid=pid, status=status)
        now = time.monotonic()
        failures = 0 if process.is_ready and now - process.born > LIVED_S else self.failures[index]
        self.failures[index] = failures + 1
        if index != ADMIN and not self.was_ready and failures + 1 >= ATTEMPTS:
            log.error("workers_do_not_start")
            self.status = 1
            self.stop()
            return
        self.due[index] = now + (min(LONGEST_PAUSE_S, PAUSE_S * 2 ** (failures - 1)) if failures else 0.0)

    def stop(self) -> None:
        """First in order: workers go on for `stop_delay` and finish what is under way. Then at once. The admin process
        goes on until they have ended.
        """
        first = not self.is_stopping
        now = time.monotonic()
        delay_s = self.settings.stop_delay / 1000
        in_order_s = max(1.0, delay_s) + STOP_LIMIT_S + drain_s(self.settings) + 2 * CLOSE_S
        self.deadline = now + (in_order_s if first else HURRY_S)
        self.due.clear()
        log.info("stopping", at_once=not first)
        for worker in self.workers:
            worker.child.process.send_signal(signal.SIGTERM)
        # The workers hold the sockets while they take connections; held here too, they would never close.
        for each in self.sockets:
            each.close()

    def close(self) -> None:
        """Leave no process behind, whatever brought us here."""
        for process in self.processes:
            process.child.stop(ADMIN_END_S if process.index == ADMIN else 0)
            process.channel.close()
        self.board.close()
        self.selector.close()


@contextmanager
def noted_signals() -> Iterator[Signals]:
    """Note stop signals and ends of children instead of being interrupted by them."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        signals = Signals(ours)
        # A gateway started with nohup keeps ignoring the end of its terminal.
        numbers = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.add(signal.SIGHUP)
        before = {number: signal.signal(number, signals.note) for number in numbers}
        fd = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        try:
            yield signals
        finally:
            signal.set_wakeup_fd(fd)
            for number, handler in before.items():
                signal.signal(number, handler)
