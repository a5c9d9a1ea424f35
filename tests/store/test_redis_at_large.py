"""Redis as operators run it: a user with few rights, TLS, a pool that is used up, keys on their way to another node."""

import asyncio
import json
import re
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest
import redis
import trustme

from tests.app.live_support import browsers
from tests.redis_sets import redis_7, running_cluster, servers, until
from tests.store.room_support import PATIENT_S, patient_room
from tests.support import ROOT, need, redis_binaries, running_gateway, running_redis, running_shop, wait_in_line
from waitroom.core.errors import StoreUnavailable
from waitroom.core.invites import Invite
from waitroom.core.meter import Limits
from waitroom.core.orders.attempt import Attempt, Outcome
from waitroom.core.presence import epoch_of
from waitroom.core.table import EMPTY
from waitroom.store.client import Client, connect
from waitroom.store.invites import Redeemed, invited_of, note_batch, redeem, revoke
from waitroom.store.orders import OrderBook, new_id
from waitroom.store.overview import overview
from waitroom.store.probe import probe
from waitroom.store.replies import AdoptNeeded, Beat, Claimant, Newcomer
from waitroom.store.room import Room

LIMITS = Limits(10, 5)
NOT_IN_SCRIPTS = {"eval", "evalsha", "hello", "ping", "client|setname", "zrangebylex", "zrevrangebylex"}


async def use_every_verb(room: Room) -> None:
    """Each script runs at least once, and whatever a command of the command line reads."""
    if await room.create(LIMITS, wait_ms=2000) == "wait":
        assert await room.create(LIMITS, wait_ms=0) == "ok"
    first = await room.sync("", "w", wants_lease=True)
    generation = first.state.generation
    people = [Newcomer(f"{at:032x}", True, at < 3) for at in range(20)]
    await room.enter(generation, 0, people, call_id="one", seat_ms=60_000, now_ms=first.now_ms)
    beats = [Beat(0, 0, b"\xff")]
    await room.sync(generation, "w", wants_lease=True, beats=beats, epoch=epoch_of(first.now_ms))
    epochs = range(epoch_of(first.now_ms), epoch_of(first.now_ms) + 2)
    await room.look(generation, "w", [0], epochs, door_from=0)
    await room.release(generation, "w", front=20, lapsed=0, soon=0, table=EMPTY, keep_ms=60_000)
    claimants = [Claimant(at, f"{at:032x}") for at in range(20)]
    await room.claim(generation, claimants, call_id="two", seat_ms=60_000, repeat_ms=60_000, now_ms=first.now_ms)
    await room.seat_end(generation, 0, now_ms=first.now_ms)
    await room.note({"host_refused": 1})
    await room.configure({"message": "Soon."}, by="test")
    last = await room.sync(generation, "w")
    assert await overview(room) is not None
    await room.adopt(last, session_idle_ms=60_000)
    await room.reset(last.state, by="test", keep_ms=60_000)
    await use_the_book(OrderBook(room, keep_ms=60_000))
    await use_invites(room)


async def use_the_book(book: OrderBook) -> None:
    """An order that is sent again by its visitor's word, and everything that is read of it."""
    now_ms, visitor = await book.time_ms(), "a" * 32
    last = ""
    for _ in range(2):
        id_ = new_id(visitor, now_ms)
        attempt = Attempt(
            id=id_,
            visitor=visitor,
            route="POST /buy",
            begun_ms=now_ms,
            deadline_ms=now_ms,
            worker="w",
            idempotency_key=id_,
            sameness="same",
        )
        assert await book.begin(attempt, ["same"], after=last, by_word=bool(last)) is None
        assert await book.decide(id_, Outcome.UNKNOWN, by="gateway", now_ms=now_ms) is not None
        assert await book.allow_again(id_)
        last = id_
    assert len(await book.of_visitor(visitor, now_ms=now_ms)) == 2
    assert len((await book.list_by_outcome(Outcome.UNKNOWN, now_ms=now_ms)).attempts) == 2
    assert await book.give_up_lost(now_ms=now_ms) == []


async def use_invites(room: Room) -> None:
    invited = invited_of(room, "shop")
    assert await invited.create(LIMITS, wait_ms=0) == "ok"
    invite = Invite("batch", 0, 1, False, 2_000_000_000_000)
    given = await redeem(invited, invite, "a" * 32)
    assert isinstance(given, Redeemed)
    await invited.sync("", "w", wants_lease=True)
    await invited.release(given.generation, "w", front=1, lapsed=1, soon=0, table=EMPTY, keep_ms=60_000)
    assert await redeem(invited, invite, "a" * 32) == "used"
    await note_batch(room, "batch", {"count": "1"}, expires_ms=invite.expires_ms)
    assert await revoke(room, "batch", 0, by="test") is not None


def rights() -> list[str]:
    """The rules that `deploy/redis.md` gives the user, without the password's."""
    (block,) = re.findall(
        r"ACL SETUSER waitroom on >password (.*?)```", (ROOT / "deploy" / "redis.md").read_text(), re.S
    )
    return [str(rule) for rule in block.split()]


def commands(rules: Sequence[str]) -> set[str]:
    return {rule[1:] for rule in rules if rule[0] == "+"}


def called_by_scripts() -> set[str]:
    texts = [path.read_text() for path in (files("waitroom.store") / "lua").iterdir()]
    return {name.lower() for text in texts for name in re.findall(r"redis\.call\('(\w+)'", text)}


def test_the_rights_in_the_readme_are_the_commands_that_are_used() -> None:
    assert commands(rights()) - NOT_IN_SCRIPTS == called_by_scripts()


@pytest.mark.parametrize("binary", redis_binaries() or [""], ids=lambda path: Path(path).name)
async def test_a_user_with_these_rights_can_do_everything_and_without_any_of_them_something_fails(binary: str) -> None:
    with running_redis(binary or None) as server:
        admin: Any = redis.Redis(unix_socket_path=str(server.socket))
        rules = rights()
        url = f"unix://waitroom:password@{server.socket}"

        async def denied(without: str) -> list[str]:
            given = [rule for rule in rules if rule != without]
            admin.execute_command("ACL", "SETUSER", "waitroom", "reset", "on", ">password", *given)
            admin.execute_command("ACL", "LOG", "RESET")
            admin.flushdb()
            raised = []
            room = patient_room(url, "shop")
            try:
                await use_every_verb(room)
                await probe(url, "shop")
            except StoreUnavailable as error:
                raised.append(str(error))
            finally:
                await room.close()
            return [*raised, *(str(entry) for entry in admin.acl_log() if "client" not in entry["object"])]

        with_all = await denied("")
        without = {rule: await denied(rule) for rule in rules if rule[0] == "+" and rule != "+hello"}
        admin.close()

    assert with_all == []
    assert [rule for rule, refused in without.items() if not refused] == []


PASSWORD = "p@ss/w:rd?"
"""Has what has to be written as %xx in a URL."""


@pytest.mark.timed  # each call has a limit of its own
@pytest.mark.parametrize(
    ("url", "database"),
    [
        ("redis://:{password}@127.0.0.1:{port}", 0),
        ("redis://:{password}@127.0.0.1:{port}/5", 5),
        ("redis://waitroom:{password}@localhost:{port}?db=6", 6),
        ("unix://:{password}@{socket}", 0),
        ("unix://waitroom:{password}@{socket}?db=7", 7),
    ],
)
async def test_everything_works_at_each_kind_of_address_and_in_its_database_only(url: str, database: int) -> None:
    with servers() as start:
        server = start()
        until(server.client.ping)
        socket = server.folder / "r.sock"
        server.kill()
        server.options += ["--unixsocket", str(socket), "--requirepass", PASSWORD, "--user", "waitroom"]
        server.options += ["on", f">{PASSWORD}", "~*", "&*", "+@all"]
        server.start()
        admin: Any = redis.Redis(port=server.port, password=PASSWORD, decode_responses=True)
        until(admin.ping)
        address = url.format(password=quote(PASSWORD, safe=""), port=server.port, socket=socket)

        room = patient_room(address, "shop")
        await use_every_verb(room)
        await room.close()
        used = set(admin.info("keyspace"))
        with pytest.raises(StoreUnavailable) as refused:
            await probe(address.replace(quote(PASSWORD, safe=""), "wrong"), "shop")
        admin.close()

    assert used == {f"db{database}"}
    assert "WRONGPASS" in str(refused.value) or "invalid" in str(refused.value)
    assert "wrong@" not in str(refused.value)


@pytest.mark.timed  # each call has a limit of its own
async def test_a_gateway_at_a_redis_with_a_password_and_a_database_says_where_and_not_the_password() -> None:
    with servers() as start:
        server = start("--requirepass", PASSWORD)
        admin: Any = redis.Redis(port=server.port, password=PASSWORD, db=4)
        until(admin.ping)
        url = f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}/4"
        async with running_shop() as shop, running_gateway(shop, url, workers="2") as gateway:
            with browsers(gateway, 3) as people:
                inside = [(await wait_in_line(browser)).inside_at for browser in people]
            status = await asyncio.to_thread(gateway.command, "status", "--json")
            said = gateway.log.read_text()
        issued = int(admin.hget("waitroom:{shop}:state", "issued"))
        admin.close()

    assert all(inside)
    assert (issued, json.loads(status.stdout)["issued"]) == (3, 3)
    assert f"Keeping the line in Redis at redis://127.0.0.1:{server.port}/4" in said
    assert PASSWORD not in said + status.stdout + status.stderr
    assert quote(PASSWORD, safe="") not in said


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.timed  # each call has a limit of its own
async def test_tls_with_an_authority_of_ones_own_and_a_certificate_of_the_clients(
    authority: trustme.CA, tmp_path: Path
) -> None:
    need(redis_7(), "redis-server 7 or newer on PATH")
    for name, cert in (("server", authority.issue_cert("127.0.0.1")), ("client", authority.issue_cert("gateway"))):
        cert.private_key_pem.write_to_path(str(tmp_path / f"{name}.key"))
        cert.cert_chain_pems[0].write_to_path(str(tmp_path / f"{name}.pem"))
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    with servers() as start:
        files = ("--tls-ca-cert-file", ca, "--tls-cert-file", tmp_path / "server.pem")
        server = start(*map(str, files), "--tls-key-file", str(tmp_path / "server.key"))
        until(server.client.ping)
        server.client.config_set("port", "0")
        server.client.config_set("tls-port", str(server.port))
        client = f"ssl_certfile={tmp_path}/client.pem&ssl_keyfile={tmp_path}/client.key"
        url = f"rediss://127.0.0.1:{server.port}?ssl_ca_certs={ca}"

        async def tried(url: str) -> str:
            try:
                return (await probe(url, "shop")).name
            except StoreUnavailable as error:
                return str(error)

        assert await tried(f"{url}&{client}") == "Redis"
        assert await tried(f"{url.replace('127.0.0.1', 'localhost')}&{client}&ssl_check_hostname=false") == "Redis"
        assert "CERTIFICATE_VERIFY_FAILED" in await tried(f"{url.partition('?')[0]}?{client}")
        assert "Hostname mismatch" in await tried(f"{url.replace('127.0.0.1', 'localhost')}&{client}")
        assert "No such file" in await tried(f"{url}x&{client}")
        assert await tried(url) != "Redis", "the server asks for a certificate"
        room = patient_room(f"{url}&{client}", "shop")
        await use_every_verb(room)
        await room.close()


async def test_a_call_waits_for_a_free_connection_instead_of_failing() -> None:
    with running_redis() as server:
        client = connect(server.url, call_s=PATIENT_S)
        answers = await asyncio.gather(*(client.incr("n") for _ in range(500)))
        connected = await client.info("clients")
        await client.aclose()

    assert sorted(answers) == list(range(1, 501))
    assert connected["connected_clients"] <= 16


async def test_every_command_has_a_time_limit() -> None:
    with running_redis() as server:
        client = connect(server.url, call_s=0.5)
        await client.ping()
        server.freeze()
        began = time.monotonic()
        with pytest.raises((TimeoutError, redis.RedisError)):
            async with asyncio.timeout(30):
                await client.ping()
        took_s = time.monotonic() - began
        server.thaw()
        while not await answers(client):
            await asyncio.sleep(0.05)
        await client.aclose()

    assert took_s < 20


async def test_an_answer_that_came_too_late_is_not_taken_for_the_next_one() -> None:
    with running_redis() as server:
        client = connect(server.url, call_s=1.0)
        await client.set("late", "late")
        server.freeze()
        late = [asyncio.create_task(read(client, "late")) for _ in range(20)]
        await asyncio.gather(*late)
        server.thaw()
        while await read(client, "late") is None:
            await asyncio.sleep(0.05)
        answers = await asyncio.gather(*(client.echo(f"{at}") for at in range(100)))
        await client.aclose()

    assert {task.result() for task in late} == {None}
    assert answers == [b"%d" % at for at in range(100)]


async def answers(client: Client) -> bool:
    try:
        return bool(await client.ping())
    except (TimeoutError, redis.RedisError):
        return False


async def read(client: Client, key: str) -> bytes | None:
    try:
        return cast(bytes, await client.get(key))
    except (TimeoutError, redis.TimeoutError, redis.ConnectionError):
        return None


async def test_while_a_slot_is_on_its_way_calls_wait_and_go_on_at_the_new_node() -> None:
    """Once: what is refused while keys are on two nodes is executed when they are on one, and numbers run on."""
    with running_cluster() as cluster:
        source = cluster.owner("shop")
        target = next(node for node in cluster.masters if node is not source)
        room = patient_room(cluster.url, "shop")
        assert await room.create(LIMITS, wait_ms=0) == "ok"
        generation = (await room.sync("", "w")).state.generation
        people = [Newcomer(f"{at:032x}", True, False) for at in range(100)]

        async def enter(call_id: str) -> list[int]:
            entries = await room.enter(generation, 0, people, call_id=call_id, seat_ms=1000, now_ms=0)
            return [entry.number for entry in entries if entry is not None]

        before = await enter("before")
        await asyncio.to_thread(cluster.begin_move, "shop", source, target)
        meanwhile = asyncio.create_task(enter("meanwhile"))
        await asyncio.sleep(0.3)
        assert not meanwhile.done()
        moved = await asyncio.to_thread(cluster.end_move, "shop", source, target)
        refused = None
        try:
            await meanwhile
        except Exception as error:  # noqa: BLE001 - its name is the finding
            refused = type(error).__name__
        found = room.client.found
        adopted = await room.adopt(None, session_idle_ms=1000)
        numbers = await enter("meanwhile")
        await room.close()

    assert moved >= 2
    assert found == target.address
    assert refused == "AdoptNeeded", "another node is another server"
    assert adopted
    assert before == list(range(100))
    assert min(numbers) >= 131_072


@pytest.mark.parametrize("server", redis_binaries())
@pytest.mark.parametrize("lines", [1, 2])
async def test_a_master_that_became_a_replica_is_connected_to_anew(server: str, lines: int) -> None:
    """P7. Behind its name there may be another server by then. Cause: Redis 6.2 tells a script that it may not write
    within an error of another kind. Effect: the gateway went on asking the old master.
    """
    with running_redis(server) as own:
        room = Room.connect(own.url, "shop")
        watcher: Any = redis.Redis.from_url(own.url)
        try:
            asked = [room, invited_of(room, "shop")][:lines]
            for one in asked:
                await one.create(LIMITS, wait_ms=0)
            room.keep_step(asked[-1])
            watcher.replicaof("127.0.0.1", 1)
            refused = await asyncio.gather(*(one.sync("", "w") for one in asked), return_exceptions=True)
            assert all(isinstance(error, StoreUnavailable) and "read only" in str(error) for error in refused)
            opened = watcher.info("stats")["total_connections_received"]
            watcher.replicaof("NO", "ONE")

            with pytest.raises(AdoptNeeded):
                await room.sync("", "w")

            assert watcher.info("stats")["total_connections_received"] == opened + 1
        finally:
            watcher.close()
            await room.close()
