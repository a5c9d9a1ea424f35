"""The commands, against a real Redis: what they print, what they change, how they end."""

import asyncio
import io
import json
import os
import pty
import select
import shlex
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import trustme
import typer
from rich.console import Console
from typer.testing import CliRunner, Result

from tests.support import running_redis
from waitroom import __version__
from waitroom.cli import app
from waitroom.cli.room import why_no_gateway
from waitroom.cli.status_table import table
from waitroom.core.meter import Limits
from waitroom.core.probes import Tally
from waitroom.core.times import iso_utc
from waitroom.store.embedded import EmbeddedRedis, start_embedded
from waitroom.store.overview import Overview, facts, overview
from waitroom.store.replies import Newcomer
from waitroom.store.room import Room

KEY = "k" * 32
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
PASSWORD = "hunter2-and-more"
Command = Callable[..., Result]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    server = start_embedded(tmp_path_factory.mktemp("data"))
    yield server
    server.stop()


@pytest.fixture
def room(redis: EmbeddedRedis) -> Callable[[], Overview]:
    """A new room with 25 people in line and nobody inside; what is returned looks at it."""

    async def prepare() -> None:
        shop = Room.connect(redis.url, "shop")
        await shop.client.flushall()
        await shop.create(Limits(rate_per_s=1.0, burst=1.0, hold=True), wait_ms=0)
        found = await overview(shop)
        assert found is not None
        people = [Newcomer(f"{n:032x}", True, False) for n in range(25)]
        await shop.enter(found.state.generation, 0, people, call_id="a", seat_ms=30_000, now_ms=time.time() * 1000)
        await shop.configure({"hold": "0"}, by="test")
        await shop.close()

    async def look() -> Overview:
        shop = Room.connect(redis.url, "shop")
        found = await overview(shop)
        await shop.close()
        assert found is not None
        return found

    asyncio.run(prepare())
    return lambda: asyncio.run(look())


@pytest.fixture
def command(redis: EmbeddedRedis) -> Command:
    """Run a command beside the gateway: all it knows is the data folder."""

    def run(*words: str, **environ: str) -> Result:
        names = {f"WAITROOM_{name.upper()}": text for name, text in environ.items()}
        return CliRunner().invoke(app, words, env={"WAITROOM_DATA_DIR": str(redis.data_dir)} | names)

    return run


def test_help_is_there_at_once_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; from waitroom.cli import app; app(['--help'], standalone_mode=False);"
        "print(*{'pydantic', 'redis', 'uvicorn', 'starlette', 'jinja2'} & set(sys.modules), sep=' ', end='|')"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30).stdout

    assert all(name in said for name in ("run", "check", "demo", "status", "set", "hold", "resume", "reset"))
    assert said.endswith("\n|")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_plain_text_with_examples_that_can_be_given(name: str) -> None:
    said = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "80"}).output
    _, _, examples = said.partition("\nExamples:\n")
    lines = [line.strip() for line in examples.partition("\n\n")[0].splitlines()]

    assert said.isascii()
    assert max(map(len, said.splitlines())) <= 80
    assert lines
    for line in lines:
        words = [word for word in shlex.split(line) if not word.startswith("WAITROOM_")]
        assert words[:2] == ["waitroom", name]
        COMMANDS[name].make_context(name, words[2:])


def test_a_terminal_that_knows_no_signs_gets_letters(tmp_path: Path) -> None:
    """LANG of an old machine, or a log collector that reads ASCII: `check` ended with a UnicodeEncodeError."""
    environ = os.environ | {"PYTHONIOENCODING": "ascii", "WAITROOM_DATA_DIR": str(tmp_path)}
    for words, shown in (["check"], b"-- settings"), (["simulate", "--crowd", "100"], b"|####"):
        run = subprocess.run([sys.executable, "-m", "waitroom", *words], env=environ, capture_output=True, timeout=60)

        assert shown in run.stdout
        assert run.stderr == b""


def test_the_shell_completes_commands_and_options() -> None:
    asked = {"_WAITROOM_COMPLETE": "complete_bash", "COMP_WORDS": "waitroom sol", "COMP_CWORD": "1"}
    run = subprocess.run(
        [sys.executable, "-m", "waitroom"], env=os.environ | asked, capture_output=True, text=True, timeout=30
    )

    assert run.stdout.split() == ["sold-out"]


def test_options_that_exclude_each_other_end_with_2(command: Command) -> None:
    for words in (["--csv", "--json"], ["--csv", "--try", "a.har"], ["--answer", "a.txt"]):
        assert command("orders", *words).exit_code == 2, words


def test_the_help_of_run_lists_every_setting_and_that_of_check_says_so(command: Command) -> None:
    said = command("run", "--help").output

    assert "WAITROOM_ORIGIN  required" in said
    assert "WAITROOM_RATE  default 60/min" in said
    assert "`waitroom run --help` lists the settings" in command("check", "--help").output


def test_the_version_is_the_packages(command: Command) -> None:
    assert command("--version").output == f"waitroom {__version__}\n"


def test_run_without_settings_says_all_that_is_wrong_and_ends_with_2(command: Command) -> None:
    result = command("run", rate="fast", prot="80")

    assert result.exit_code == 2
    for name in ("WAITROOM_ORIGIN is missing", "WAITROOM_RATE=fast", "WAITROOM_PORT?"):
        assert name in result.stderr


def test_a_command_that_does_not_exist_ends_with_2(command: Command) -> None:
    assert command("sell").exit_code == 2


def test_status_shows_the_room(command: Command, room: Callable[[], Overview]) -> None:
    result = command("status")

    assert result.exit_code == 0
    assert "25 given out, 0 called" in result.output
    assert "1/s, up to 1 at once" in result.output


def test_status_as_json_is_one_object(command: Command, room: Callable[[], Overview]) -> None:
    said = json.loads(command("status", "--json").output)

    assert (said["room"], said["issued"], said["front"], said["rate"], said["hold"]) == (
        "shop",
        25,
        0,
        "1/s",
        False,
    )
    assert (said["inside"], said["max_active"], said["message"], said["workers"]) == (0, 0, "", 0)


def test_watching_goes_on_until_it_is_interrupted(
    redis: EmbeddedRedis, command: Command, room: Callable[[], Overview]
) -> None:
    """On a terminal: drawn anew in place, follows what changes, and ctrl-c ends it without an error."""
    ours, theirs = pty.openpty()
    environ = os.environ | {"WAITROOM_DATA_DIR": str(redis.data_dir), "TERM": "xterm", "COLUMNS": "120"}
    watch = [sys.executable, "-m", "waitroom", "status", "--watch"]
    with subprocess.Popen(watch, stdin=theirs, stdout=theirs, stderr=theirs, env=environ) as shown:
        os.close(theirs)
        try:
            before = read_until(ours, "25 given out")
            assert command("hold", "The till is being mended").exit_code == 0
            after = read_until(ours, "The till is being mended")
            shown.send_signal(signal.SIGINT)
            status = shown.wait(timeout=20)
        finally:
            shown.kill()
            os.close(ours)

    assert "on hold" not in before
    assert "on hold" in after
    assert "\x1b[" in after, "drawn in place"
    assert status == 0


@pytest.mark.parametrize("form", ["table", "json"])
def test_watching_goes_on_when_redis_did_not_answer_for_a_while(form: str) -> None:
    """What failed is said, what was seen last stays, and the next look follows."""
    with running_redis() as server:
        asyncio.run(hold(server.url, "0"))
        ours, theirs = pty.openpty()
        environ = os.environ | {"WAITROOM_REDIS_URL": server.url, "TERM": "xterm", "COLUMNS": "120"}
        watch = [sys.executable, "-m", "waitroom", "status", "--watch", *(["--json"] if form == "json" else [])]
        with subprocess.Popen(watch, stdin=theirs, stdout=theirs, stderr=theirs, env=environ) as shown:
            os.close(theirs)
            try:
                read_until(ours, "shop")
                server.freeze()
                trouble = read_until(ours, "cannot be used")
                server.thaw()
                asyncio.run(hold(server.url, "1"))
                read_until(ours, "on hold" if form == "table" else '"hold": true')
                shown.send_signal(signal.SIGINT)
                status = shown.wait(timeout=20)
            finally:
                server.thaw()
                shown.kill()
                os.close(ours)

    assert "Traceback" not in trouble
    assert status == 0


async def hold(url: str, value: str) -> None:
    """A room, on hold or not."""
    room = Room.connect(url, "shop")
    await room.create(Limits(rate_per_s=1.0, burst=1.0), wait_ms=0)
    await room.configure({"hold": value}, by="test")
    await room.close()


def read_until(terminal: int, text: str, *, within_s: float = 20.0) -> str:
    """What a terminal shows until this text is on it."""
    said, until = b"", time.monotonic() + within_s
    while text.encode() not in said:
        readable, _, _ = select.select([terminal], [], [], max(0.0, until - time.monotonic()))
        assert readable, f"never shown: {text!r} in {said!r}"
        try:
            said += os.read(terminal, 65_536)
        except OSError as error:
            raise AssertionError(f"it ended before {text!r}, and said {said!r}") from error
    return said.decode(errors="replace")


def test_status_says_how_the_waits_shown_came_true(room: Callable[[], Overview]) -> None:
    """P11"""
    found = replace(room(), estimates=Tally(first=120, first_within=100, half=60, half_within=57, outdated=3))
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table("shop", found))

    said = " ".join(console.export_text().split())

    assert "83% of people were let in within the range first shown, 95% within the one shown half-way" in said
    assert "(120 places looked at)" in said
    assert facts("shop", found)["estimates"] == {
        "first": 120, "first_within": 100, "half": 60, "half_within": 57, "outdated": 3,
    }  # fmt: skip


def test_looking_changes_nothing(command: Command, room: Callable[[], Overview]) -> None:
    before = room().state
    command("status")
    command("set", "rate=20/s", "--dry-run")

    assert room().state == before


def test_set_says_what_it_will_do_and_does_it(command: Command, room: Callable[[], Overview]) -> None:
    result = command("set", "rate=20/s", "max_active=500", "message=It goes faster now")

    assert result.exit_code == 0
    assert "Admissions go from 1/s to 20/s, up to 20 at once." in result.output
    assert "At most 500 shoppers inside" in result.output
    assert room().limits == Limits(rate_per_s=20.0, burst=20.0, max_active=500)
    assert room().message == "It goes faster now"


def test_set_with_nonsense_changes_nothing_and_ends_with_2(command: Command, room: Callable[[], Overview]) -> None:
    for words in (["rate=20"], [], ["max_active=5", "speed=9"], ["rate=1/s", "--from-environment"]):
        assert command("set", *words).exit_code == 2

    assert room().limits == Limits(rate_per_s=1.0, burst=1.0)


def test_hold_and_resume_keep_the_rate_and_carry_a_message(command: Command, room: Callable[[], Overview]) -> None:
    command("set", "rate=7/s")
    assert command("hold", "Back at noon").exit_code == 0
    held = room()

    assert command("resume").exit_code == 0

    assert (held.limits.hold, held.message) == (True, "Back at noon")
    assert (room().limits.hold, room().limits.rate_per_s, room().message) == (False, 7.0, "")


def hours_on(count: float) -> str:
    return iso_utc(round(time.time() + 3600 * count) * 1000)


def test_a_sale_is_planned_shown_and_refused_by_command(command: Command, room: Callable[[], Overview]) -> None:
    opens = hours_on(2)
    said = command("set", f"opens_at={opens}", "closes_at=1h", "stock=300", "rate=7/s")
    shown, facts = command("status"), json.loads(command("status", "--json").output)
    refused = command("set", f"closes_at={hours_on(1)}")
    misused = command("set", "opens_at=2026-12-01 10:00")

    assert (said.exit_code, refused.exit_code, misused.exit_code) == (0, 1, 2)
    assert f"A sale opens {opens}" in said.output
    assert "loses their place (25 people)" in said.output
    assert "before the lobby, next: lobby" in shown.output
    assert "about 300 left" in shown.output
    assert (facts["sale"]["phase"], facts["sale"]["opens_at"], facts["sale"]["stock"]) == ("before", opens, 300)
    assert facts["rate"] == "7/s"
    assert "would close" in refused.output
    assert "names no zone" in misused.output


def test_sold_out_is_said_and_taken_back(command: Command, room: Callable[[], Overview]) -> None:
    tried = command("sold-out", "--dry-run")
    before = room().state.sale.is_sold_out
    said = command("sold-out")
    after = room().state.sale
    again = command("sold-out")
    undone = command("sold-out", "--undo")

    assert "25 people" in tried.output
    assert (before, after.is_sold_out, room().state.sale.is_sold_out) == (False, True, False)
    assert "Whoever is inside goes on shopping" in said.output
    assert "nothing changes" in again.output
    assert "the line goes on" in undone.output


def test_a_hold_needs_a_reason(command: Command, room: Callable[[], Overview]) -> None:
    assert command("hold").exit_code == 2
    assert command("hold", " ").exit_code == 2

    assert not room().limits.hold


def test_the_environments_limits_can_be_put_back(command: Command, room: Callable[[], Overview]) -> None:
    command("set", "rate=7/s", "max_active=5")

    result = command("set", "--from-environment", rate="120/min")

    assert result.exit_code == 0
    assert room().limits == Limits(rate_per_s=2.0, burst=2.0)


def test_reset_asks_and_starts_a_new_generation(command: Command, room: Callable[[], Overview]) -> None:
    before = room().state.generation
    assert command("reset").exit_code == 2
    assert room().state.generation == before

    result = command("reset", "--yes")

    assert result.exit_code == 0
    assert room().state.generation != before
    assert room().state.issued == 0


def test_where_no_gateway_runs_the_commands_say_so(command: Command, tmp_path: Path) -> None:
    result = command("status", data_dir=str(tmp_path))

    assert result.exit_code == 1
    assert "No gateway runs on" in result.stderr


def test_a_folder_of_another_user_is_not_taken_for_one_without_a_gateway(tmp_path: Path) -> None:
    """An operator who is not the gateway's user was told that none runs."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    own = os.geteuid()

    if own == 0:
        os.seteuid(65534)  # root may look everywhere
    try:
        said = why_no_gateway(closed)
    finally:
        os.seteuid(own)

    assert said.startswith(f"The data folder {closed} is closed to this user.")


def test_a_room_that_is_not_there_is_named(command: Command, room: Callable[[], Overview]) -> None:
    result = command("status", room="other")

    assert result.exit_code == 1
    assert "There is no room 'other'" in result.stderr


def test_a_redis_that_does_not_answer_is_named_without_its_password(command: Command) -> None:
    result = command("status", redis_url=f"redis://:{PASSWORD}@127.0.0.1:1/0")

    assert result.exit_code == 1
    assert result.stderr == "The Redis at redis://127.0.0.1:1 cannot be used: nobody listens there.\n"
    assert PASSWORD not in result.output


class Shop(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def shop() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Shop)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def wait_until_ready(address: str) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(f"{address}/-/waitroom/ready", timeout=10).close()
        except urllib.error.HTTPError as not_yet:
            not_yet.close()
            time.sleep(0.02)
        else:
            return
    raise TimeoutError("the gateway did not become ready")


def test_run_says_what_it_does_and_stops_in_order(command: Command, shop: str, tmp_path: Path) -> None:
    """From the command line to a page in line, a live change, and the end, with logs that a program can read."""
    given = {"ORIGIN": shop, "DATA_DIR": str(tmp_path), "PORT": "0", "RATE": "0", "STOP_DELAY": "0", "LOG": "json"}
    given["ADMIN_LISTEN"] = "127.0.0.1:0"
    environ = os.environ | {f"WAITROOM_{name}": text for name, text in given.items()}
    run = [sys.executable, "-m", "waitroom", "run"]
    with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as gateway:
        assert gateway.stdout is not None
        try:
            said = [gateway.stdout.readline() for _ in range(4)]
            address = said[0].split()[-1]
            wait_until_ready(address)
            page = urllib.request.Request(f"{address}/shoes", headers={"accept": "text/html"})
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(page, timeout=10)
            refused.value.close()
            status = json.loads(command("status", "--json", data_dir=str(tmp_path)).output)
        finally:
            gateway.terminate()
            _, logged = gateway.communicate(timeout=30)

    assert said[0].startswith("Listening on http://127.0.0.1:")
    assert said[1] == f"Guarding /* of {shop} at 0\n"
    assert said[2] == f"Keeping the line in an embedded Redis in {tmp_path}\n"
    assert said[3].startswith("Metrics and health on http://127.0.0.1:")
    assert (refused.value.code, status["hold"], status["issued"], status["workers"]) == (503, True, 1, 1)
    assert gateway.returncode == 0
    assert {"room_created", "stopping"} <= {json.loads(line)["event"] for line in logged.splitlines()}


def test_check_ticks_off_settings_redis_and_the_shop(command: Command, shop: str) -> None:
    result = command("check", origin=shop)

    assert result.exit_code == 0, result.output
    assert [line[:10].strip() for line in result.output.splitlines()] == [
        "✓ settings",
        "✓ redis",
        "✓ eviction",
        "✓ origin",
    ]
    assert f"{shop} answers HEAD / with 204" in result.output


def test_check_without_a_running_gateway_names_the_server_that_would_be_started(
    command: Command, shop: str, tmp_path: Path
) -> None:
    result = command("check", origin=shop, data_dir=str(tmp_path / "new"))

    assert result.exit_code == 0, result.output
    assert "would be started" in result.output
    assert not (tmp_path / "new").exists()


def test_check_speaks_tls_with_the_shop_as_the_gateway_would(command: Command, shop: str, tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("localhost").configure_cert(context)
    server = HTTPServer(("127.0.0.1", 0), Shop)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    origin = f"https://localhost:{server.server_port}"

    trusted = command("check", origin=origin, origin_ca=str(tmp_path / "ca.pem"))
    untrusted = command("check", origin=origin)
    no_file = command("check", origin=origin, origin_ca=str(tmp_path / "none.pem"))
    server.shutdown()
    server.server_close()

    assert trusted.exit_code == 0, trusted.output
    assert f"{origin} answers HEAD / with 204" in trusted.output
    assert untrusted.exit_code == no_file.exit_code == 1
    assert "its certificate is not trusted" in untrusted.output
    assert "holds no certificates: No such file or directory" in no_file.output


def test_run_does_not_start_with_certificates_that_cannot_be_read(command: Command, tmp_path: Path) -> None:
    result = command("run", origin="https://shop", origin_ca=str(tmp_path / "none.pem"))

    assert result.exit_code == 1
    assert "WAITROOM_ORIGIN_CA" in result.output


def test_check_goes_on_after_a_fault_and_shows_no_password(command: Command) -> None:
    result = command(
        "check", "--json", origin="http://127.0.0.1:1", redis_url=f"redis://:{PASSWORD}@127.0.0.1:1", secret=KEY
    )

    found = json.loads(result.output)
    assert result.exit_code == 1
    assert (found["ok"], [(item["name"], item["ok"]) for item in found["checks"]]) == (
        False,
        [("settings", True), ("redis", False), ("origin", False)],
    )
    assert PASSWORD not in result.output
    assert KEY not in result.output


def test_check_with_wrong_settings_lists_them_and_ends_with_1(command: Command) -> None:
    result = command("check", origin="shop", rate="fast")

    assert result.exit_code == 1
    assert [line[:10] for line in result.output.splitlines()] == ["✗ settings"] * 2


def test_check_says_a_sales_times_as_they_were_understood(command: Command, shop: str) -> None:
    opens = hours_on(2)

    ahead = command("check", origin=shop, opens_at=opens, closes_at="1h")
    over = command("check", origin=shop, opens_at=hours_on(-3), closes_at="1h")
    wrong = command("check", origin=shop, opens_at=opens, lobby_at="30s")

    assert ahead.exit_code == 0
    assert any(f"✓ sale      opens {opens} (in {left}), lobby " in ahead.output for left in ("2h", "1h59m"))
    assert (over.exit_code, "nobody would be let in" in over.output) == (1, True)
    assert (wrong.exit_code, "nobody could take part" in wrong.output) == (1, True)


def test_check_refuses_a_redis_that_evicts(command: Command, shop: str, redis: EmbeddedRedis) -> None:
    async def set_policy(policy: str) -> None:
        room = Room.connect(redis.url, "shop")
        await room.client.config_set("maxmemory-policy", policy)
        await room.close()

    asyncio.run(set_policy("volatile-lru"))
    result = command("check", origin=shop)
    asyncio.run(set_policy("noeviction"))

    assert result.exit_code == 1
    assert "✗ eviction  maxmemory-policy is volatile-lru" in result.output
