"""A real Redis of our own: started on the data folder, restarted, ended with its parent.

The socket stands in a 0700 folder under the system's temporary folder, because a data folder's path may be
longer than the 107 bytes that a socket's path can have. A restarted server answers at the same path: whoever
holds the URL only has to connect again. What the server says goes to `redis.log` in the data folder, its
data to `appendonly*`; the folder's other files are described in waitroom.store.data_folder.
"""

import contextlib
import os
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

import structlog

from waitroom.core.errors import EmbeddedUnavailable
from waitroom.core.settings import Settings
from waitroom.store.data_folder import (
    in_sentences,
    make_data_dir,
    read_record,
    remove_record,
    take_lock,
    write_record,
)
from waitroom.store.lifeline import Child, start_child
from waitroom.store.server_program import Server, choose_server, multi_part

SOCKET_PATH_BYTES = 103  # 107 on Linux, 103 on macOS
ANSWER_S = 5.0
LOADING_S = 300.0
STOP_S = 10.0

log = structlog.get_logger()


class EmbeddedRedis:
    """The running server. All methods are for the thread that started it: it is the server's parent."""

    def __init__(self, data_dir: Path, server: Server, lock: int, *, use_pipe: bool | None = None) -> None:
        self.data_dir = data_dir
        self.server = server
        self.fresh = not (data_dir / "appendonly.aof").exists() and not multi_part(data_dir)
        self._lock = lock
        self._use_pipe = sys.platform != "linux" if use_pipe is None else use_pipe
        self._folder = make_socket_folder()
        self.socket = self._folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        return None if self._child is None else self._child.pid

    def start(self) -> None:
        """Start the server and wait until it answers. Raises EmbeddedUnavailable with what it said."""
        own_folder(self._folder)
        output = self.data_dir / "redis.log"
        with output.open("wb") as stream:
            self._child = start_child(
                command_line(self.server, self.data_dir, self.socket),
                output=stream,
                pass_fds=(self._lock,),
                use_pipe=self._use_pipe,
            )
        try:
            self._wait_until_ready(output)
        except BaseException:
            self._child.stop(0)
            raise
        write_record(self.data_dir, {"socket": str(self.socket), "pid": os.getpid(), "redis_pid": self._child.pid})

    def poll(self) -> bool:
        """Whether the server runs and its socket is still there (temporary folders get cleaned)."""
        return self._child is not None and self._child.poll() is None and self.socket.exists()

    def ensure(self) -> bool:
        """Restart a server that ended, on the same folder and socket. True if it had to. Never raises:
        a restart that fails is logged, and tried again at the next call.
        """
        if self._lock < 0 or self.poll():
            return False
        status = None if self._child is None else self._child.stop()
        log.warning("embedded_redis_ended", status=status)
        try:
            self.start()
        except (EmbeddedUnavailable, OSError) as error:
            log.error("embedded_redis_not_restarted", error=str(error))
            return False
        log.info("embedded_redis_restarted", pid=self.pid)
        return True

    def stop(self) -> None:
        """Let the server write out and end; take the socket and the record away. May be called twice."""
        if self._child is not None:
            self._child.stop(STOP_S)
            self._child = None
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock >= 0:
            remove_record(self.data_dir)
            os.close(self._lock)
            self._lock = -1

    def _wait_until_ready(self, output: Path) -> None:
        assert self._child is not None
        begun = time.monotonic()
        while True:
            if self._child.poll() is not None:
                raise EmbeddedUnavailable(explain_end(self.server, self.data_dir, output))
            answer = ping(self.socket)
            waited_s = time.monotonic() - begun
            if answer.startswith(b"+PONG"):
                return
            if waited_s > (LOADING_S if answer.startswith(b"-LOADING") else ANSWER_S):
                raise EmbeddedUnavailable(f"{self.server} did not answer within {waited_s:.0f} s; see {output}.")
            time.sleep(0.005)


def start_embedded(data_dir: Path, *, server: Path | None = None, use_pipe: bool | None = None) -> EmbeddedRedis:
    """Start a server of our own on `data_dir`. Call from the main thread (waitroom.store.lifeline).

    `server` names the program instead of looking for one. Raises EmbeddedUnavailable (nothing to start, or
    it would not) and DataFolderBusy (another gateway has the folder); both say what to do.
    """
    data_dir = make_data_dir(data_dir)
    with in_sentences(data_dir):
        lock = take_lock(data_dir)
        try:
            remove_stale(data_dir)
            running = EmbeddedRedis(data_dir, choose_server(data_dir, server), lock, use_pipe=use_pipe)
        except BaseException:
            os.close(lock)
            raise
        try:
            running.start()
        except BaseException:
            running.stop()
            raise
    return running


def find_running(data_dir: Path) -> str | None:
    """The URL of the server that runs on `data_dir` now, or None."""
    path = read_record(data_dir).get("socket")
    if isinstance(path, str) and ping(Path(path)):
        return f"unix://{path}"
    return None


def redis_of(settings: Settings) -> str | None:
    """The URL of the settings' Redis, or of the one that a gateway runs on their data folder; None if neither."""
    return settings.redis_url.get_secret_value() if settings.redis_url else find_running(settings.data_dir)


def command_line(server: Server, data_dir: Path, path: Path) -> list[str]:
    """No port, no snapshots, nothing evicted."""
    options = {
        "--port": "0",
        "--unixsocket": str(path),
        "--unixsocketperm": "700",
        "--protected-mode": "yes",
        "--daemonize": "no",
        "--databases": "1",
        "--dir": str(data_dir),
        "--appendonly": "yes",
        "--appendfsync": "everysec",
        "--save": "",
        "--maxmemory-policy": "noeviction",
        "--loglevel": "warning",
    }
    return [server.path, *(word for option in options.items() for word in option)]


def explain_end(server: Server, data_dir: Path, output: Path) -> str:
    """Why the server ended at its start, from its own words."""
    lines = output.read_text(errors="replace").splitlines()
    said = [line.split("# ", 1)[-1].strip() for line in lines if line.strip()]
    if any("handle RDB format version" in line for line in said):
        return (
            f"{data_dir} was written by a newer server than {server}. Start with that one again, "
            "or set WAITROOM_DATA_DIR to a new folder: everybody in line then starts again."
        )
    if not said and shutil.disk_usage(data_dir).free == 0:
        return f"{server} did not start on {data_dir}: there is no space left."
    return f"{server} did not start on {data_dir}: {said[-1] if said else 'it said nothing'} (see {output})"


def remove_stale(data_dir: Path) -> None:
    """With the lock held, whatever the record names is a leftover of a gateway that was killed."""
    path = read_record(data_dir).get("socket")
    if isinstance(path, str) and Path(path).parent.name.startswith("waitroom-"):
        with contextlib.suppress(OSError, EmbeddedUnavailable):
            own_folder(Path(path).parent, make=False)
            shutil.rmtree(Path(path).parent)
    remove_record(data_dir)


def make_socket_folder() -> Path:
    """A new 0700 folder whose path leaves room for a socket's name; in /tmp if the temporary folder's is too long."""
    try:
        parent = tempfile.gettempdir()
        if len(os.fsencode(parent)) + len("/waitroom-12345678/redis.sock") > SOCKET_PATH_BYTES:
            parent = "/tmp"  # noqa: S108
        return Path(tempfile.mkdtemp(prefix="waitroom-", dir=parent))
    except OSError as error:
        raise EmbeddedUnavailable(
            f"There is no temporary folder for the socket of Redis: {error.strerror or error}. "
            "Set TMPDIR to a folder that can be written to."
        ) from error


def own_folder(folder: Path, *, make: bool = True) -> None:
    """Make sure that the folder is there and only ours: in a shared temporary folder anyone can make one."""
    if make:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    facts = folder.lstat()
    if not folder.is_dir() or folder.is_symlink() or facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        raise EmbeddedUnavailable(f"{folder} is not a private folder of ours; start the gateway again.")


def ping(path: Path) -> bytes:
    """The first line of the answer; empty if nobody answers."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1.0)
            connection.connect(os.fsencode(path).decode(errors="surrogateescape"))
            connection.sendall(b"PING\r\n")
            return connection.recv(64)
    except (OSError, ValueError):
        return b""
