"""The data folder: made, locked, and what is written in it beside the server's own files.

lock            flock: one gateway a folder; the server inherits it, so an orphan keeps it too
embedded.json   where the running server answers (for commands in another shell)
secret          the generated signing key, 0600
"""

import errno
import fcntl
import json
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from waitroom.core.errors import DataFolderBusy, EmbeddedUnavailable
from waitroom.core.settings import Settings

ORPHAN_S = 5.0
SECRET_LENGTH = 32


def make_data_dir(data_dir: Path) -> Path:
    """The folder, made if it is not there, and one that can be written to. Raises EmbeddedUnavailable."""
    data_dir = data_dir.absolute()
    with in_sentences(data_dir):
        try:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except FileExistsError as error:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(data_dir)) from error
        with tempfile.TemporaryFile(dir=data_dir):
            pass  # rights alone do not tell: a file system may be read-only, or have no room for another file
    return data_dir


@contextmanager
def in_sentences(data_dir: Path) -> Iterator[None]:
    """What the system says of the folder's files is raised as EmbeddedUnavailable, which says what to do."""
    try:
        yield
    except OSError as error:
        folder, file = os.path.split(str(error.filename))
        of = f" ({file})" if folder == str(data_dir) and os.path.exists(error.filename) else ""
        raise EmbeddedUnavailable(
            f"The data folder {data_dir} cannot be used: {error.strerror or error}{of}. "
            "Set WAITROOM_DATA_DIR to another."
        ) from error


def load_or_make_secret(data_dir: Path) -> str:
    """The signing key kept in the folder, made at the first call. Two simultaneous callers get the same."""
    data_dir = make_data_dir(data_dir)
    path = data_dir / "secret"
    folder = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if not path.exists():
            write_private(path, secrets.token_urlsafe(48) + "\n")
            os.fsync(folder)
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        secret = path.read_text().strip()
    except OSError as error:
        raise EmbeddedUnavailable(f"The secret in {path} cannot be read or made: {error.strerror}.") from error
    finally:
        os.close(folder)
    if len(secret) < SECRET_LENGTH:
        raise EmbeddedUnavailable(
            f"{path} holds {len(secret)} characters, fewer than {SECRET_LENGTH}. "
            "Put the right key back, or remove the file: a new one is made, and everybody in line starts again."
        )
    return secret


def with_secret(settings: Settings) -> Settings:
    """The settings, with the folder's signing key where they name none. Raises EmbeddedUnavailable."""
    if settings.secret:
        return settings
    return settings.throughout(secret=(SecretStr(load_or_make_secret(settings.data_dir)),))


def take_lock(data_dir: Path) -> int:
    """The folder's lock. Waits a little for the server of a gateway that was killed a moment ago."""
    lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + ORPHAN_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode(errors="replace").strip()
            if is_alive(holder) or time.monotonic() > until:
                os.close(lock)
                raise DataFolderBusy(
                    f"Another gateway (process {holder or 'unknown'}) is using {data_dir}. "
                    "Stop it, or set WAITROOM_DATA_DIR to another folder."
                ) from None
            time.sleep(0.02)
        except OSError as error:
            os.close(lock)
            raise EmbeddedUnavailable(
                f"{data_dir} is on a file system without locks ({error.strerror}). "
                "Set WAITROOM_DATA_DIR to a folder on a local disk."
            ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def read_record(data_dir: Path) -> dict[str, object]:
    try:
        found = json.loads((data_dir / "embedded.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_record(data_dir: Path, facts: dict[str, object]) -> None:
    write_private(data_dir / "embedded.json", json.dumps(facts) + "\n")


def remove_record(data_dir: Path) -> None:
    (data_dir / "embedded.json").unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Write the whole file or nothing, readable by its owner only."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
