"""The admin listener of a real gateway: what it says and changes, and that it goes on whatever happens beside it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from tests.app.live_support import ask, browsers, run
from tests.support import (
    SECRET,
    Gateway,
    RedisServer,
    Shop,
    free_port,
    page_facts,
    running_gateway,
    running_redis,
    running_shop,
    wait_in_line,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "an-admin-token-of-a-test-0123456789"
FLOOD = """
import asyncio, sys
async def one(port):
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(200):
            writer.write(b"GET /shoes HTTP/1.1\\r\\nhost: x\\r\\naccept: text/html\\r\\n\\r\\n" * 8)
            if not await reader.read(1 << 20):
                break
        writer.close()
async def main(port):
    await asyncio.gather(*(one(port) for _ in range(50)))
asyncio.run(main(int(sys.argv[1])))
"""


@dataclass
class Stage:
    """A gateway with its admin listener, and a client that holds the token."""

    redis: RedisServer
    shop: Shop
    gateway: Gateway
    client: httpx.AsyncClient

    async def metrics(self) -> dict[tuple[str, str], float]:
        """(name, the label's value) → value."""
        answer = await self.client.get("/metrics")
        assert answer.status_code == 200
        families = text_string_to_metric_families(answer.text)
        samples = [sample for family in families for sample in family.samples]
        return {(sample.name, ",".join(sample.labels.values())): sample.value for sample in samples}

    async def until(self, claim: Callable[[dict[tuple[str, str], float]], bool]) -> dict[tuple[str, str], float]:
        """The metrics, once they are so."""
        found: dict[tuple[str, str], float] = {}

        async def is_so() -> bool:
            nonlocal found
            found = await self.metrics()
            return claim(found)

        await until(is_so)
        return found

    async def post(self, path: str, body: object = None, **headers: str) -> dict[str, Any]:
        answer = await self.client.post(f"/api/{path}", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def log(self) -> list[tuple[str, str]]:
        entries = (await self.client.get("/api/log")).json()["entries"]
        assert [entry["at"] for entry in entries] == sorted((entry["at"] for entry in entries), reverse=True)
        return [(entry.get("by", ""), entry.get("change", entry["event"])) for entry in entries]

    def child(self, module: str) -> list[int]:
        return [pid for pid in self.gateway.children() if module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]


async def until(claim: Callable[[], Awaitable[bool]], within_s: float = 10.0) -> float:
    """How long it took to become so."""
    began = time.monotonic()
    while not await claim():
        assert time.monotonic() - began < within_s, "did not become so"
        await asyncio.sleep(0.05)
    return time.monotonic() - began


@asynccontextmanager
async def staged(**settings: str) -> AsyncIterator[Stage]:
    address = f"127.0.0.1:{free_port()}"
    given = {"workers": "2", "rate": "2/s", "burst": "1", "admin_listen": address, "admin_token": TOKEN, **settings}
    with running_redis() as redis:
        async with running_shop() as shop, running_gateway(shop, redis.url, **given) as gateway:
            fields = {"authorization": f"Bearer {TOKEN}"}
            async with httpx.AsyncClient(base_url=f"http://{address}", headers=fields, timeout=10) as client:
                stage = Stage(redis, shop, gateway, client)
                await stage.until(lambda found: [found["waitroom_worker_ready", worker] for worker in "01"] == [1, 1])
                yield stage


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with staged() as made:
        yield made


async def test_it_is_told_where_it_listens_and_says_that_all_is_well(stage: Stage) -> None:
    await stage.client.post("/api/resume")
    said = stage.gateway.log.read_text()
    answers = [await stage.client.get(path) for path in ("/live", "/ready", "/health")]

    assert f"Metrics, health and the admin API on {stage.client.base_url}".rstrip("/") in said
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    health = answers[2].json()
    assert (health["workers"]["ready"], health["workers"]["configured"], health["store"]["status"]) == (2, 2, "ok")
    assert all(each["report_age_s"] < 3 for each in health["workers"]["each"])


async def test_nothing_of_it_is_reached_through_the_public_address(stage: Stage) -> None:
    token = ("authorization", f"Bearer {TOKEN}")
    admin = ("host", f"{stage.client.base_url.host}:{stage.client.base_url.port}")

    for path in ("/metrics", "/health", "/api/room", "/-/waitroom/metrics", "/-/waitroom/api/room"):
        for target in (path, str(stage.client.base_url.join(path))):
            answer = await ask(stage.gateway, "GET", target, token)
            assert b"waitroom_requests_total" not in answer.body
            assert b'"generation"' not in answer.body
    assert (await ask(stage.gateway, "GET", "/metrics", token, admin)).status >= 400


async def test_over_the_wire_the_token_decides_and_a_wrong_one_is_logged_without_it(stage: Stage) -> None:
    wrong = "a-wrong-token-0123456789-0123456789"
    bad = {b"authorization": b"Bearer \xe4\xff"}

    assert (await stage.client.get("/api/room")).status_code == 200
    assert (await stage.client.get("/api/room", headers=bad)).status_code == 401
    for field in (f"Bearer {wrong}", "Bearer", f"Basic {TOKEN}"):
        answer = await stage.client.get(f"/api/room?token={TOKEN}", headers={"authorization": field})
        assert answer.status_code == 401
    assert stage.gateway.events("admin_refused")
    assert wrong not in stage.gateway.log.read_text()


async def test_the_api_does_what_the_commands_do_and_every_worker_follows_within_a_second(stage: Stage) -> None:
    with browsers(stage.gateway, 8) as people:
        await stage.post("set", {"rate": "1/h"})
        await asyncio.gather(*(browser.open("/") for browser in people))
        line = [browser for browser in people if page_facts(await browser.open("/"))]

        async def told(message: str | None, **expected: object) -> float:
            """Who is called meanwhile hears the message, and nothing of a rate."""

            async def all_are() -> bool:
                answers = [(await browser.fetch("/-/waitroom/status")).json() for browser in line]
                waiting = [facts for facts in answers if facts["state"] != "called"]
                same = all(facts["message"] == message for facts in answers)
                return same and all(expected.items() <= facts.items() for facts in waiting)

            return await until(all_are)

        dry = await stage.post("set", {"rate": "3/h", "message": "Soon", "dry_run": True})
        before = json.loads(await run(stage.gateway, "status", "--json"))
        done = await stage.post("set", {"rate": "3/h", "message": "Soon"}, **{"waitroom-operator": "Zoe\tB"})
        took_s = [await told("Soon", rate_per_min=0.05)]
        again = await stage.post("set", {"rate": "3/h", "message": "Soon"})
        held = await stage.post("hold", {"reason": "The till is being mended"})
        took_s.append(await told("The till is being mended", state="held"))
        by_command = await run(stage.gateway, "hold", "The till is being mended")
        await stage.post("resume")
        took_s.append(await told(None, state="waiting", rate_per_min=0.05))
        room = (await stage.client.get("/api/room")).json()
        status = json.loads(await run(stage.gateway, "status", "--json"))
        refused = await stage.client.post("/api/reset", json={"confirm": "another"})
        reset = await stage.post("reset", {"confirm": "shop"})
        log = await stage.log()

    assert len(line) >= 3
    assert (before["rate"], before["message"]) == ("1/h", "")
    assert (dry["changed"], dry["dry_run"], dry["effects"]) == (False, True, done["effects"])
    assert any("Admissions go from 1/h to 3/h" in effect for effect in done["effects"])
    assert (again["changed"], again["effects"]) == (False, ["It is so already: nothing changes."])
    assert by_command.strip() == again["effects"][0]
    assert held["effects"][0].startswith("Nobody new is let in until `waitroom resume`.")
    goes_on = {"server_time": 0, "findings": 0, "estimates": 0, "inside": 0}
    assert room | goes_on == status | goes_on
    assert refused.status_code == 422
    assert reset["generation"] != room["generation"]
    assert log[:2] == [("api", "room_reset"), ("api", "hold=0 message=")]
    assert ("Zoe B (api)", f"rate={3 / 3600} message=Soon") in log
    print("seen by every worker within", [round(seconds, 2) for seconds in took_s])
    assert max(took_s) < 3


async def test_a_sale_is_changed_over_the_api_or_refused_with_a_sentence(stage: Stage) -> None:
    refused = await stage.client.post("/api/set", json={"closes_at": "now"})
    sold_out = await stage.client.post("/api/sold-out")
    during = (await stage.client.get("/api/room")).json()["sale"]
    undone = await stage.client.post("/api/set", json={"stock": 300})
    after = (await stage.client.get("/api/room")).json()["sale"]
    await stage.client.post("/api/set", json={"stock": None})

    assert (refused.status_code, "There is no sale to change" in refused.json()["detail"]) == (409, True)
    assert (sold_out.json()["changed"], undone.json()["changed"]) == (True, True)
    assert (during["phase"], after["phase"], after["stock"]) == ("sold_out", None, 300)


async def test_metrics_move_with_what_visitors_do(stage: Stage) -> None:
    await stage.post("set", {"rate": "2/s"})
    before = await stage.metrics()
    with browsers(stage.gateway, 9) as people:
        stories = await asyncio.gather(*(wait_in_line(browser, "/shoes") for browser in people))
        await stage.post("set", {"rate": "1/min", "max_active": 1})
        waiting = people[0]
        waiting.cookies.clear()
        number = page_facts(await waiting.open("/shoes"))["number"]
        for _ in range(16):
            await waiting.fetch("/-/waitroom/status?shown=9")
        with browsers(stage.gateway, 1) as (stranger,):
            assert (await stranger.fetch("/api/basket")).status == 503

            refused, polls = ("waitroom_refused_total", "fetch"), ("waitroom_requests_total", "poll")

            def all_there(found: dict[tuple[str, str], float]) -> bool:
                return found[polls] >= before[polls] + 16 and found[refused] > before[refused]

            found = await stage.until(all_there)
    await stage.post("set", {"rate": "2/s", "max_active": 0})

    def grown(name: str, label: str = "") -> float:
        return found[name, label] - before[name, label]

    assert number >= 0
    assert all(story.inside_at is not None for story in stories)
    let_in = grown("waitroom_claims_total", "admit") + grown("waitroom_on_the_spot_total")
    assert let_in == len(people)
    assert grown("waitroom_wait_seconds_count") == grown("waitroom_claims_total", "admit") >= 1
    assert (
        grown("waitroom_origin_first_byte_seconds_count")
        == grown("waitroom_origin_answers_total", "2xx")
        >= len(people)
    )
    assert grown("waitroom_poll_seconds_count") >= 1
    assert grown("waitroom_answers_total", "2xx") >= 20
    assert grown("waitroom_numbers_total") >= 1
    assert grown("waitroom_store_calls_total", "sync") >= 1
    assert found["waitroom_room_known", ""] == 1
    assert found["waitroom_room_issued", ""] == grown("waitroom_room_issued") + before["waitroom_room_issued", ""] >= 5
    assert found["waitroom_worker_memory_bytes", "0"] > 10_000_000
    assert found["waitroom_connections", ""] >= 1


async def test_a_killed_worker_takes_no_count_along(stage: Stage) -> None:
    before = await stage.metrics()
    (first, _) = stage.gateway.workers()

    os.kill(first, signal.SIGKILL)
    lowest = await stage.metrics()
    after = await stage.until(
        lambda found: (
            sum(found["waitroom_worker_starts_total", worker] for worker in "01")
            > sum(before["waitroom_worker_starts_total", worker] for worker in "01")
            and found["waitroom_worker_ready", "0"] == found["waitroom_worker_ready", "1"] == 1
        )
    )

    counts = [key for key in before if key[0].endswith(("_total", "_count", "_bucket")) and "_room_" not in key[0]]
    assert len(counts) > 100
    for key in counts:
        assert before[key] <= lowest[key] <= after[key], key
    assert stage.gateway.events("worker_ended")


async def test_a_killed_admin_process_comes_back_with_all_counts(stage: Stage) -> None:
    before = await stage.metrics()
    (admin,) = stage.child("waitroom.serve.admin")

    os.kill(admin, signal.SIGKILL)

    async def is_back() -> bool:
        try:
            return (await stage.client.get("/ready")).status_code == 200
        except httpx.TransportError:
            return False

    await until(is_back)
    after = await stage.metrics()
    assert stage.child("waitroom.serve.admin") != [admin]
    assert all(after[key] >= before[key] for key in before if key[0] == "waitroom_requests_total")
    assert before["waitroom_requests_total", "poll"] > 0


async def test_no_secret_stands_in_a_childs_environment_or_command_line_or_in_the_log(stage: Stage) -> None:
    for pid in stage.gateway.children():
        for name in ("environ", "cmdline"):
            text = Path(f"/proc/{pid}/{name}").read_bytes()
            assert not [secret for secret in (TOKEN, SECRET) if secret.encode() in text]
    assert not [secret for secret in (TOKEN, SECRET) if secret in stage.gateway.log.read_text()]


@pytest.mark.timed
async def test_it_answers_within_a_tenth_of_a_second_while_the_workers_are_flooded(stage: Stage) -> None:
    port = stage.gateway.environment["WAITROOM_PORT"]
    before = (await stage.metrics())["waitroom_requests_total", "enter"]
    floods = [subprocess.Popen([sys.executable, "-c", FLOOD, port]) for _ in range(2)]
    took_ms = []
    try:
        await asyncio.sleep(1.0)
        for path in ["/health", "/metrics", "/api/room"] * 6:
            asked_at = time.monotonic()
            assert (await stage.client.get(path)).status_code == 200
            took_ms.append((time.monotonic() - asked_at) * 1000)
            await asyncio.sleep(0.05)
        entered = (await stage.metrics())["waitroom_requests_total", "enter"] - before
    finally:
        for flood in floods:
            flood.kill()
            flood.wait()

    print(f"{entered:.0f} people came meanwhile; answers took (ms)", [round(ms) for ms in sorted(took_ms)])
    assert entered > 100
    assert sorted(took_ms)[len(took_ms) // 2] < 100


async def test_with_redis_gone_it_says_so_and_the_metrics_go_on(stage: Stage) -> None:
    before = await stage.metrics()
    stage.redis.kill()

    async def is_told() -> bool:
        return bool((await stage.client.get("/health")).json()["store"]["status"] == "away")

    await until(is_told)
    health = await stage.client.get("/health")
    found = await stage.until(lambda found: found["waitroom_store_away", ""] == 2)
    room = await stage.client.get("/api/room")

    assert (health.status_code, health.json()["status"], health.json()["workers"]["ready"]) == (200, "degraded", 2)
    assert health.json()["store"]["since"].startswith("20")
    errors = ("waitroom_store_errors_total", "sync")
    assert found[errors] > before[errors]
    assert room.status_code == 503
    assert "nobody listens there" in room.json()["detail"]

    stage.redis.start()
    await stage.until(lambda found: found["waitroom_store_away", ""] == 0 and found["waitroom_room_known", ""] == 1)


async def test_two_gateways_cannot_have_one_admin_address_and_the_second_says_so(stage: Stage) -> None:
    taken = f"127.0.0.1:{stage.client.base_url.port}"
    second = Gateway(stage.gateway.folder, {"origin": stage.shop.url, "port": "0", "admin_listen": taken})

    done = await asyncio.to_thread(second.command, "run")

    assert done.returncode == 1
    assert done.stderr.strip() == (f"{taken} is taken by another program; end that one, or set WAITROOM_ADMIN_LISTEN.")
    assert done.stdout == ""
