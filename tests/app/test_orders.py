"""Orders on their way through the gateway: sent once, finished, and told truly. Workers in this loop, a real Redis."""

import asyncio
import time
from itertools import islice
from urllib.parse import urlencode

import pytest
import redis as sync_redis

from tests.app.live_support import pass_of, seat_end
from tests.app.orders_support import ROUTES, Shopper, facts, running_place
from tests.app.till import LARGE_BYTES
from waitroom.core.orders.attempt import Outcome
from waitroom.demo.browser import Answer
from waitroom.edge.orders import placing
from waitroom.edge.orders.exchange import UNDER_WAY_OF_ONE
from waitroom.edge.orders.uploads import HELD_OF_ONE

OUTCOMES = {
    "well": Outcome.CONFIRMED,
    "shop-json": Outcome.CONFIRMED,
    "late": Outcome.CONFIRMED,
    "large": Outcome.CONFIRMED,
    "twice": Outcome.CONFIRMED,
    "refuses": Outcome.REFUSED,
    "form-again": Outcome.ANSWERED,
    "error": Outcome.UNKNOWN,
    "error-after-commit": Outcome.UNKNOWN,
    "resets": Outcome.UNKNOWN,
    "resets-after-commit": Outcome.UNKNOWN,
    "cut": Outcome.UNKNOWN,
    "closes": Outcome.UNKNOWN,
}
STATUSES = {
    "well": 303, "shop-json": 201, "late": 303, "large": 200, "twice": 303, "refuses": 422, "form-again": 200,
    "error": 500, "error-after-commit": 500, "resets": 502, "resets-after-commit": 502, "cut": 502, "closes": 502,
}  # fmt: skip


def is_asked(answer: Answer) -> bool:
    return answer.status == 303 and "again=ask" in (answer.header("location") or "")


async def says_again(shopper: Shopper, attempt: str) -> int:
    """Press the button of the page that asks."""
    answer = await shopper.send({"attempt": attempt}, path="/-/waitroom/orders/again", origin=shopper.base)
    return answer.status


def multipart(order: str, token: str, boundary: str) -> bytes:
    parts = {"order": order, "as": "well", "csrf_token": token}
    lines = [f'--{boundary}\r\ncontent-disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in parts.items()]
    return "".join([*lines, f"--{boundary}--\r\n"]).encode()


# What came of it


async def test_what_the_shop_answers_is_what_is_noted() -> None:
    async with running_place() as place:
        ann = await place.shopper()
        answers = {behaviour: await ann.order(behaviour, behaviour) for behaviour in OUTCOMES}
        attempts = await place.attempts(ann)

    assert {behaviour: answer.status for behaviour, answer in answers.items()} == STATUSES
    assert len(answers["large"].body) == LARGE_BYTES
    assert [attempt.outcome for attempt in reversed(attempts)] == list(OUTCOMES.values())
    assert all(place.till.seen[behaviour] == 1 for behaviour in OUTCOMES)
    noted = {attempt.id: attempt for attempt in attempts}
    for sale in place.till.book:
        assert noted[sale.attempt].idempotency_key == sale.key.strip('"')
        if OUTCOMES[sale.order] is Outcome.CONFIRMED:
            assert noted[sale.attempt].reference == sale.order
        assert noted[sale.attempt].status == (None if STATUSES[sale.order] == 502 else STATUSES[sale.order])


async def test_an_order_that_certainly_was_not_sent_has_failed_and_may_be_sent_again() -> None:
    async with running_place() as place:
        ann = await place.shopper()
        place.till.stop_listening()
        first = await ann.order("1")
        before = await place.outcomes(ann)
        await place.till.listen()
        second = await ann.order("1")

        assert (first.status, before) == (502, [Outcome.FAILED])
        assert second.status == 303
        assert await place.outcomes(ann) == [Outcome.CONFIRMED, Outcome.FAILED]


async def test_a_shop_that_never_answers_leaves_the_order_unknown() -> None:
    async with running_place(origin_timeout="1s") as place:
        ann = await place.shopper()

        answer = await ann.order("1", "silent-after-commit")

        assert answer.status == 504
        assert await place.outcomes(ann) == [Outcome.UNKNOWN]


# Finished


async def test_an_order_is_finished_although_its_client_leaves() -> None:
    async with running_place() as place:
        ann = await place.shopper()
        place.till.gate.clear()
        await ann.order("1", leaves=True)
        await place.till.came("1")
        under_way = await place.outcomes(ann)
        place.till.gate.set()
        await place.until(ann, Outcome.CONFIRMED)
        again = await ann.order("1")

        assert under_way == [Outcome.UNDER_WAY]
        assert (again.status, again.header("location")) == (303, "/thanks/1")
        assert place.till.seen["1"] == 1


async def test_a_large_answer_is_read_to_its_end_although_its_client_leaves() -> None:
    async with running_place() as place:
        ann = await place.shopper()
        place.till.gate.clear()
        await ann.order("1", "large", leaves=True)
        await place.till.came("1")
        place.till.gate.set()

        await place.until(ann, Outcome.CONFIRMED)


async def test_a_client_that_leaves_during_the_upload_has_made_no_attempt() -> None:
    async with running_place() as place:
        ann = await place.shopper()
        body = urlencode({"order": "1", "as": "well"}).encode()

        await ann.send(body[:-1], leaves=True, length=len(body))
        await asyncio.sleep(0.1)

        assert await place.attempts(ann) == []
        assert not place.till.seen


async def test_an_order_under_way_is_finished_when_the_gateway_stops_and_answered_if_it_can_be() -> None:
    """The other requests are cut off after a second here: the order goes on, and what comes of it is noted."""
    async with running_place(2) as place:
        ann = await place.shopper()
        place.till.gate.clear()
        ordering = asyncio.create_task(ann.order("1"))
        await place.till.came("1")
        stopping = asyncio.create_task(place.workers[0].end(drain_s=30))
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await ordering
        place.till.gate.set()
        await stopping
        del place.workers[0]

        assert await place.outcomes(ann) == [Outcome.CONFIRMED]


async def test_what_is_still_under_way_at_the_end_of_a_stop_is_noted_as_unknown() -> None:
    async with running_place(2) as place:
        ann = await place.shopper()
        await ann.order("1", "silent", leaves=True)
        await place.till.came("1")

        await place.workers[0].end(drain_s=0.1)
        del place.workers[0]

        assert [attempt.decided_by for attempt in await place.attempts(ann)] == ["gateway"]
        assert await place.outcomes(ann) == [Outcome.UNKNOWN]


# Never twice


async def test_a_double_click_is_one_order_and_both_get_its_answer() -> None:
    async with running_place() as place:
        ann = await place.shopper()
        answers = await asyncio.gather(*(ann.order("1", "late") for _ in range(5)))

        assert {(answer.status, answer.header("location")) for answer in answers} == {(303, "/thanks/1")}
        assert sorted(answer.header("idempotent-replayed") or "" for answer in answers) == ["", *["true"] * 4]
        assert (place.till.seen["1"], len(place.till.book)) == (1, 1)


async def test_a_second_tab_at_another_worker_waits_and_gets_the_same_redirect() -> None:
    async with running_place(2) as place:
        ann = await place.shopper()
        there = ann.at(place.workers[1])

        first, second = await asyncio.gather(ann.order("1", "late"), there.order("1", "late"))
        api = await there.call("2", "shop-json", as_="x")
        elsewhere = await ann.call("2", "shop-json", as_="x")

        assert first.header("location") == second.header("location") == "/thanks/1"
        assert api.status == 201
        assert (elsewhere.status, facts(elsewhere)["outcome"], facts(elsewhere)["reference"]) == (200, "confirmed", "2")
        assert place.till.seen == {"1": 1, "2": 1}


async def test_repeats_that_wait_for_another_worker_are_few_and_the_rest_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of them asked Redis three times a second for half a minute, however many one visitor sent."""
    monkeypatch.setattr(placing, "LOOKING", placing.LOOKING_OF_ONE + 1)
    async with running_place(2) as place:
        ann, ben = await place.shopper(), await place.shopper()
        place.till.gate.clear()
        first = [asyncio.create_task(each.order("1")) for each in (ann, ben)]
        await place.until(ann, Outcome.UNDER_WAY)
        await place.until(ben, Outcome.UNDER_WAY)
        of_ann = [asyncio.create_task(ann.at(place.workers[1]).order("1")) for _ in range(placing.LOOKING_OF_ONE + 2)]
        told, waiting = await told_and_waiting(of_ann, 2)
        of_ben = [asyncio.create_task(ben.at(place.workers[1]).order("1")) for _ in range(3)]
        told_too, waiting_too = await told_and_waiting(of_ben, 2)
        place.till.gate.set()
        answers = await asyncio.gather(*first, *waiting, *waiting_too)

        assert all((answer.header("location") or "").startswith("/-/waitroom/orders?") for answer in (*told, *told_too))
        assert (len(waiting), len(waiting_too)) == (placing.LOOKING_OF_ONE, 1)
        assert {answer.header("location") for answer in answers} == {"/thanks/1"}
        assert place.till.seen["1"] == 2


async def told_and_waiting(
    asked: list["asyncio.Task[Answer]"], count: int
) -> tuple[list[Answer], list["asyncio.Task[Answer]"]]:
    """As soon as so many have their answer."""
    async with asyncio.timeout(10):
        while sum(each.done() for each in asked) < count:
            await asyncio.sleep(0.02)
    return [each.result() for each in asked if each.done()], [each for each in asked if not each.done()]


async def test_a_form_shown_anew_with_another_token_and_boundary_is_the_same_order() -> None:
    async with running_place(order_routes=f"{ROUTES} key=form:order") as place:
        ann = await place.shopper()
        sent = [("1", "tok-1", "xxx"), ("1", "tok-2", "yyy"), ("2", "tok-3", "zzz")]
        answers = [
            await ann.send(multipart(*each), content_type=f"multipart/form-data; boundary={each[2]}") for each in sent
        ]

    assert [answer.header("idempotent-replayed") for answer in answers] == [None, "true", None]
    assert sum(place.till.seen.values()) == 2


async def test_refused_and_answered_orders_are_never_answered_from_memory() -> None:
    async with running_place() as place:
        ann = await place.shopper()
        for behaviour in ("refuses", "form-again"):
            answers = [await ann.order(behaviour, behaviour) for _ in range(2)]
            assert [answer.header("idempotent-replayed") for answer in answers] == [None, None]
            assert place.till.seen[behaviour] == 2


async def test_visitors_who_order_the_same_order_each() -> None:
    async with running_place() as place:
        ann, ben = await place.shopper(), await place.shopper()
        await asyncio.gather(ann.order("1", "late"), ben.order("1", "late"))

    assert place.till.seen["1"] == 2


async def test_with_keys_of_the_clients_own_two_keys_are_two_orders_and_one_key_is_one() -> None:
    async with running_place() as place:
        ann = await place.shopper()
        keys = ['"a"', '"a"', '"b"', "b"]
        answers = [await ann.call("1", idempotency_key=key) for key in keys]

    assert [answer.header("idempotent-replayed") for answer in answers] == [None, "true", None, "true"]
    assert [sale.key for sale in place.till.book] == ['"a"', '"b"']


# Never swallowed


async def test_after_a_while_a_document_is_asked_and_its_word_counts_once() -> None:
    async with running_place(order_repeat="0") as place:
        ann, ben = await place.shopper(), await place.shopper()
        await ann.order("1")
        (first,) = await place.attempts(ann)
        asked = [await ann.order("1"), await ann.order("1")]
        stranger = await says_again(ben, first.id)
        own = await says_again(ann, first.id)
        twice = await asyncio.gather(ann.order("1", "well"), ann.order("1", "well"))
        later = await ann.order("1")

        assert all(is_asked(answer) for answer in asked)
        assert asked[0].header("location") == f"/-/waitroom/orders?attempt={first.id}&again=ask"
        assert (stranger, own) == (404, 303)
        assert {answer.status for answer in twice} == {303}
        assert is_asked(later)
        assert len(place.till.booked("1")) == 2
        assert len({sale.key for sale in place.till.book}) == 2, "a second order, not the first once more"


async def test_the_same_call_is_a_second_order_once_the_time_for_repeats_is_over() -> None:
    """An API whose body is alike for every order."""
    async with running_place(order_repeat="1s") as place:
        ann = await place.shopper()
        first = await ann.call("1")
        await asyncio.sleep(1.1)
        later = await ann.call("1")

    assert [answer.header("idempotent-replayed") for answer in (first, later)] == [None, None]
    assert len(place.till.booked("1")) == 2


async def test_after_an_unknown_outcome_the_visitor_is_asked_and_a_resend_carries_the_same_key() -> None:
    async with running_place() as place:
        ann = await place.shopper()
        await ann.order("1", "error-after-commit")
        (unknown,) = await place.attempts(ann)
        asked = await ann.order("1", "error-after-commit")
        await says_again(ann, unknown.id)
        resent = await ann.order("1", "error-after-commit")

        assert is_asked(asked)
        assert resent.status == 500
        assert [sale.key for sale in place.till.book] == [f'"{unknown.id}"'] * 2
        assert len({sale.attempt for sale in place.till.book}) == 2


async def test_an_app_is_told_and_may_insist_by_a_field_or_by_a_key_of_its_own() -> None:
    async with running_place() as place:
        ann = await place.shopper()
        await ann.call("1", "error")
        told = await ann.call("1", "error")
        insisted = await ann.call("1", "error", waitroom_order_again=facts(told)["attempt"])
        by_key = [await ann.call("2", "error", idempotency_key='"k"') for _ in range(2)]

        assert (told.status, facts(told)["outcome"]) == (409, "unknown")
        assert "Waitroom-Order-Again" in facts(told)["again"]
        assert insisted.status == 500
        assert [answer.status for answer in by_key] == [500, 500]
        assert place.till.seen == {"1": 2, "2": 2}
        assert all("waitroom-order-again" not in head for head in place.till.heads)


async def test_what_a_dead_worker_had_under_way_is_asked_about_at_once() -> None:
    async with running_place(2) as place:
        ann = await place.shopper()
        place.till.gate.clear()
        lost = place.workers[1]
        await ann.at(lost).order("1", leaves=True)
        await place.till.came("1")
        line = lost.app.parts[0].line
        await line.close()
        with sync_redis.Redis(unix_socket_path=str(place.redis.socket)) as client:
            key = line.room.keys.workers
            for member in client.zrange(key, 0, -1):
                if member.startswith(line.worker.encode()):
                    client.zrem(key, member)
        asked = await ann.order("1")

        assert await place.outcomes(ann) == [Outcome.UNKNOWN]
        assert is_asked(asked)
        assert place.till.seen["1"] == 1
        place.till.gate.set()
        await lost.end()
        place.workers.remove(lost)


# What Redis does


async def test_while_redis_is_away_orders_go_through_and_are_noted_when_it_is_back() -> None:
    async with running_place() as place:
        ann = await place.shopper()
        place.redis.kill()
        answer = await ann.order("1")
        again = await ann.order("1")
        visitor = ann.visitor(place.workers[0])
        mine, is_all = await place.workers[0].orders.attempts.of_visitor(visitor)
        place.redis.start()
        await place.until(ann, Outcome.CONFIRMED)

        assert answer.status == again.status == 303
        assert again.header("idempotent-replayed") == "true"
        assert ([attempt.outcome for attempt in mine], is_all) == ([Outcome.CONFIRMED], False)
        assert [attempt.recorded for attempt in mine] == [False]
        assert place.till.seen["1"] == 1


@pytest.mark.timed
async def test_an_order_waits_for_a_hanging_redis_a_quarter_of_a_second_each_way() -> None:
    async with running_place() as place:
        ann = await place.shopper()
        place.redis.freeze()
        try:
            began = time.monotonic()
            answer = await ann.order("1")
            took_s = time.monotonic() - began
        finally:
            place.redis.thaw()

    assert answer.status == 303
    assert took_s < 1.0


async def test_what_redis_lost_of_the_last_hour_is_written_again() -> None:
    async with running_place() as place:
        ann = await place.shopper()
        await ann.order("1")
        place.till.gate.clear()
        ordering = asyncio.create_task(ann.order("2"))
        await place.till.came("2")
        place.redis.kill()
        place.redis.start()
        at_once = await ann.order("1")
        place.till.gate.set()
        await ordering
        async with asyncio.timeout(10):
            while len(await place.outcomes(ann)) < 2:
                await asyncio.sleep(0.1)

        assert at_once.header("idempotent-replayed") == "true"
        assert await place.outcomes(ann) == [Outcome.CONFIRMED] * 2
        assert place.till.seen == {"1": 1, "2": 1}


async def test_nothing_of_an_order_is_kept_but_what_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    async with running_place() as place:
        ann = await place.shopper()
        await ann.send({"order": "ref-4711", "as": "well", "street": "Nowhere Lane"})
        visitor = ann.visitor(place.workers[0])
        with sync_redis.Redis(unix_socket_path=str(place.redis.socket)) as client:
            kept = b"\n".join(
                b"\n".join(client.hgetall(key).values()) if client.type(key) == b"hash" else key
                for key in client.keys("*")
            )
    logged = "".join(capsys.readouterr())

    assert b"Nowhere" not in kept
    assert b"ref-4711" in kept, "the reference and the Location"
    assert "order_decided" in logged
    assert not any(text in logged for text in ("ref-4711", "Nowhere", visitor))


# Bodies


async def test_an_order_too_large_to_be_held_is_noted_and_not_kept_from_repeats() -> None:
    async with running_place(order_body_max="1KiB") as place:
        ann = await place.shopper()
        form = {"order": "1", "as": "well", "filling": "x" * 50_000}
        answers = [await ann.send(form) for _ in range(2)]

        assert [answer.status for answer in answers] == [303, 303]
        assert place.till.seen["1"] == 2
        assert await place.outcomes(ann) == [Outcome.CONFIRMED] * 2


async def test_one_visitors_slow_bodies_leave_everybody_else_protected() -> None:
    """Eighty bodies of 1 MiB are announced by one visitor and never come: were they all counted, there would be no
    room for anybody's, and every order would go through unread and twice. One has room for four; and who sends nothing
    for as long as an upload may pause is told that nothing was sent.
    """
    async with running_place() as place:
        ann, eve = await place.shopper(), await place.shopper()
        pool = place.workers[0].app.parts[0].pool
        pool.limits = pool.limits._replace(upload_s=2.0)
        slow = [asyncio.create_task(eve.send(b"order=9", length=1024 * 1024)) for _ in range(80)]
        await asyncio.sleep(0.5)

        answers = [await ann.order("1"), await ann.order("1")]
        too_many = len(slow) - HELD_OF_ONE - UNDER_WAY_OF_ONE
        async with asyncio.timeout(15):
            first = [(await each).status for each in islice(asyncio.as_completed(slow), too_many + 1)]
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)

        assert [answer.status for answer in answers] == [303, 303]
        assert place.till.seen["1"] == 1
        assert sorted(first) == [408, *[503] * too_many]
        assert place.till.seen["9"] == 0


async def test_one_visitors_orders_leave_connections_to_everybody_else() -> None:
    """Each goes on without its client: a thousand, sent and left, kept all connections to the shop."""
    async with running_place(origin_connections=str(UNDER_WAY_OF_ONE + 2)) as place:
        eve, ann = await place.shopper(), await place.shopper()
        place.till.gate.clear()
        await asyncio.gather(*(eve.order(f"e{number}", leaves=True) for number in range(2 * UNDER_WAY_OF_ONE)))
        async with asyncio.timeout(10):
            while place.till.seen.total() < UNDER_WAY_OF_ONE:
                await asyncio.sleep(0.02)

        refused = await eve.order("more")
        ordering = asyncio.create_task(ann.order("1"))
        await place.till.came("1")
        place.till.gate.set()
        ordered = await ordering
        await place.until(eve, Outcome.CONFIRMED)
        later = await eve.order("later")

        assert (refused.status, b"did not reach the shop" in refused.body) == (503, True)
        assert (ordered.status, later.status) == (303, 303)
        assert place.till.seen.total() == UNDER_WAY_OF_ONE + 2


async def test_what_is_no_order_passes_whole_and_unnoted() -> None:
    async with running_place(order_routes="POST /order form:pay") as place:
        ann = await place.shopper()
        answers = [await ann.order("1"), await ann.order("1")]

        assert [answer.status for answer in answers] == [303, 303]
        assert place.till.seen["1"] == 2
        assert await place.attempts(ann) == []
        assert all("idempotency-key" not in head for head in place.till.heads)


async def test_a_body_in_chunks_is_the_same_order() -> None:
    async with running_place() as place:
        ann = await place.shopper()
        body = urlencode({"order": "1", "as": "well"}).encode()
        first = await ann.send(body, chunked=True)
        second = await ann.send(body)

    assert (first.status, second.header("idempotent-replayed")) == (303, "true")


async def test_a_shop_whose_answer_is_looked_into_is_not_asked_to_compress_it() -> None:
    async with running_place(order_routes="POST /order success=json:/order reference=json:/order") as place:
        ann = await place.shopper()
        await ann.call("7", "shop-json", accept_encoding="gzip")
        await ann.fetch("/elsewhere")

        assert [attempt.reference for attempt in await place.attempts(ann)] == ["7"]
    assert "accept-encoding" not in place.till.heads[-2]


# The pass


async def test_an_order_holds_the_pass_for_payment_from_its_start_and_again_from_its_answer() -> None:
    """session_max would have ended it, and ten minutes are over before the bank sends the shopper back."""
    async with running_place(session_idle="30s", session_max="30s", payment_held="30m", origin_timeout="1s") as place:
        ann = await place.shopper()
        place.till.gate.clear()
        ordering = asyncio.create_task(ann.order("1"))
        await place.till.came("1")
        pass_ = pass_of(ann)
        async with asyncio.timeout(20):
            while seat_end(place.redis, pass_) - pass_.valid_from_ms < 30 * 60_000:
                await asyncio.sleep(0.05)
        place.till.gate.set()
        await ordering
        after = [pass_of(ann).end_ms - round(time.time() * 1000)]
        await ann.order("2", "closes")
        after.append(pass_of(ann).end_ms - round(time.time() * 1000))
        await ann.order("2", "closes")
        after.append(pass_of(ann).end_ms - round(time.time() * 1000))

    assert pass_.end_ms - pass_.valid_from_ms <= 40_000
    assert all(left_ms > 30 * 60_000 - 5_000 for left_ms in after)
