"""Children that end with their parent, however the parent ends.

On Linux the kernel does it (`PR_SET_PDEATHSIG`, SIGKILL: a stopped or busy child must go too). Elsewhere
a small watcher reads a pipe that only the parent holds open; when the parent is gone the pipe ends, and
the watcher ends the child: asked first, then killed.

The file is also a program, run before the child's own: `lifeline.py <parent> <pipe or -> <command…>`.
That is what `preexec_fn` would do, but without running Python between fork and exec, which is not safe
once the parent has threads. A parent that died in between is noticed: its child then has another parent.

Linux counts the *thread* that started the child as its parent. Start children from the main thread.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO

PR_SET_PDEATHSIG = 1
ASKED_S = 3.0
WATCH_S = 0.5


class Child:
    """A started child. `stop` asks, waits, kills, reaps; calling it again does nothing."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: int | None) -> None:
        self.process = process
        self._pipe = pipe

    @property
    def pid(self) -> int:
        return self.process.pid

    def poll(self) -> int | None:
        """The exit status, or None while it runs. Reaps."""
        return self.process.poll()

    def stop(self, grace_s: float = ASKED_S, *, ask: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(ask)
            try:
                self.process.wait(grace_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
        status = self.process.wait()
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
        return status


def start_child(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    output: IO[bytes] | int | None = None,
    pass_fds: Sequence[int] = (),
    use_pipe: bool = sys.platform != "linux",
) -> Child:
    """Start `command` in a session of its own, so that a Ctrl-C at the terminal reaches only the parent.

    It gets our environment, but for the settings in it, and `env`: what is set for one process reaches no other.
    `output` takes both of its streams; None shares the parent's.
    """
    theirs, ours = os.pipe() if use_pipe else (None, None)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WAITROOM_")}
    program = [sys.executable, "-I", "-S", __file__, str(os.getpid()), "-" if theirs is None else str(theirs)]
    try:
        process = subprocess.Popen(  # noqa: S603 - the command is this program's own
            [*program, *command],
            env={**inherited, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            pass_fds=(*pass_fds, *(() if theirs is None else (theirs,))),
            start_new_session=True,
        )
    except BaseException:
        if ours is not None:
            os.close(ours)
        raise
    finally:
        if theirs is not None:
            os.close(theirs)
    return Child(process, ours)


def die_with_parent(parent: int) -> None:
    """Linux: ask the kernel to kill this process when `parent` ends; leave at once if it has ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os._exit(1)


def watch(child: int, pipe: int) -> None:
    """End `child` when `pipe` ends; runs in a process of its own, whose parent is `child`."""
    while os.getppid() == child:
        readable, _, _ = select.select([pipe], [], [], WATCH_S)
        if not readable:
            continue
        for sent in (signal.SIGTERM, signal.SIGKILL):
            until = time.monotonic() + ASKED_S
            if os.getppid() == child:
                os.kill(child, sent)
            while os.getppid() == child and time.monotonic() < until:
                time.sleep(0.01)
        return


def main(arguments: Sequence[str]) -> None:
    parent, pipe, *command = arguments
    child = os.getpid()
    if pipe == "-":
        die_with_parent(int(parent))
    elif os.fork() == 0:
        # Nothing else of the parent's may stay open here: a lock held by the watcher would outlive the child.
        kept = (0, 1, 2, int(pipe))
        for fd in (int(name) for name in os.listdir("/dev/fd")):
            if fd not in kept:
                with suppress(OSError):
                    os.close(fd)
        watch(child, int(pipe))
        os._exit(0)
    else:
        os.close(int(pipe))
    os.execvpe(command[0], command, os.environ)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
