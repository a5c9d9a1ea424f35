"""What is written in WAITROOM_ORDER_ROUTES is what is matched, told apart and judged."""

import json
import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitroom.core.orders.attempt import Outcome, Verdict
from waitroom.core.orders.routes import MOST_ROUTES, Order, Route, read_routes

CHECKOUT = Path(__file__).parents[3]
WRITTEN = [(CHECKOUT / page).read_text() for page in ("README.md", "deploy/orders.md")]
FORM = (b"content-type", b"application/x-www-form-urlencoded")
JSON = (b"content-type", b"application/json")
DJANGO = "POST /checkout/confirm key=form:basket_id success=location:/thanks/* reference=location:/thanks/*"
GRAPHQL = (
    "POST /shop-api json:/query~addPaymentToOrder key=cookie:session "
    "success=json:/data/addPaymentToOrder/code reference=json:/data/addPaymentToOrder/code"
)
Headers = tuple[tuple[bytes, bytes], ...]


def form(fields: dict[str, str]) -> bytes:
    return urlencode(fields).encode()


def order(text: str, target: bytes, body: bytes, *headers: tuple[bytes, bytes], method: str = "POST") -> Order | None:
    suspect = read_routes(text).match(method, target, headers)
    return None if suspect is None else suspect.reads(body)


def placed(text: str, target: bytes, body: bytes, *headers: tuple[bytes, bytes]) -> Order:
    found = order(text, target, body, *headers)
    assert found is not None
    return found


def route(text: str) -> Route:
    return read_routes(text).routes[0]


def test_a_form_is_told_apart_by_its_key_alone() -> None:
    first = placed(DJANGO, b"/checkout/confirm", form({"basket_id": "7", "note": "a"}), FORM)
    again = placed(DJANGO, b"/checkout/confirm?x=1", form({"basket_id": "7", "note": "b"}), FORM)
    other = placed(DJANGO, b"/checkout/confirm", form({"basket_id": "8", "note": "a"}), FORM)

    assert first.key == "7"
    assert first.sameness == again.sameness != other.sameness


@pytest.mark.parametrize("basket", [{}, {"basket_id": ""}])
def test_without_its_key_an_order_is_told_apart_by_the_whole_body(basket: dict[str, str]) -> None:
    first, again, other = (
        placed(DJANGO, b"/checkout/confirm", form({**basket, "note": note, "_token": token}), FORM)
        for note, token in (("a", "1"), ("a", "2"), ("b", "1"))
    )

    assert first.key is None
    assert first.sameness == again.sameness != other.sameness


def test_two_addresses_are_two_orders() -> None:
    text = "POST /orders/*/pay, POST /book"

    assert placed(text, b"/orders/17/pay", b"").sameness != placed(text, b"/orders/18/pay", b"").sameness
    assert placed(text, b"/book?seat=1", b"").sameness != placed(text, b"/book?seat=2", b"").sameness
    assert placed(text, b"/book?seat=1&_token=a", b"").sameness == placed(text, b"/book?_token=b&seat=1", b"").sameness


def test_a_key_of_several_places_takes_all_of_them() -> None:
    text = "POST /buy key=form:basket key=cookie:session"
    one, two = (b"cookie", b"a=b; session=s1"), (b"cookie", b"session=s2")

    first = placed(text, b"/buy", form({"basket": "7"}), FORM, one)

    assert first.key == "7 s1"
    assert first.sameness != placed(text, b"/buy", form({"basket": "7"}), FORM, two).sameness
    assert placed(text, b"/buy", form({"basket": "7"}), FORM).key is None


def test_keys_cannot_be_shifted_into_each_other() -> None:
    text = "POST /buy key=form:a key=form:b"

    first, second = (placed(text, b"/buy", form({"a": a, "b": b}), FORM) for a, b in (("1 2", "3"), ("1", "2 3")))

    assert first.sameness != second.sameness


def test_a_graphql_api_places_an_order_by_one_of_its_operations() -> None:
    mutation = json.dumps({"query": "mutation { addPaymentToOrder(input: {}) { code } }"}).encode()
    query = json.dumps({"query": "{ products { name } }"}).encode()
    session = (b"cookie", b"session=abc")

    assert placed(GRAPHQL, b"/shop-api", mutation, JSON, session).key == "abc"
    assert order(GRAPHQL, b"/shop-api", query, JSON, session) is None
    assert order(GRAPHQL, b"/shop-api", b"{", JSON, session) is None


@pytest.mark.parametrize(
    ("condition", "target", "headers", "body"),
    [
        ("form:action=place", b"/x", (FORM,), b"action=place"),
        ("form:action", b"/x", (FORM,), b"action="),
        ("query:route=checkout/confirm", b"/x?route=checkout%2Fconfirm", (), b""),
        ("query:wc-ajax", b"/x?wc-ajax=checkout", (), b""),
        ("header:X-Step=pay", b"/x", ((b"x-step", b"pay"),), b""),
        ("json:/a/0/b=1", b"/x", (JSON,), b'{"a":[{"b":1}]}'),
        ("json:/a=true", b"/x", (JSON,), b'{"a":true}'),
        ("json:/a", b"/x", (JSON,), b'{"a":{}}'),
        ("json:/a~1b=c", b"/x", (JSON,), b'{"a/b":"c"}'),
        ("form:a%20b=c%2Cd%3D", b"/x", (FORM,), b"a+b=c,d%3D"),
    ],
)
def test_a_condition_is_met(condition: str, target: bytes, headers: Headers, body: bytes) -> None:
    text = f"POST /x {condition}"

    assert order(text, target, body, *headers) is not None
    assert order(text, b"/x", b"") is None


def test_all_conditions_must_hold() -> None:
    text = "POST /x form:a=1 form:b=2"

    assert order(text, b"/x", b"a=1&b=2", FORM) is not None
    assert order(text, b"/x", b"a=1&b=3", FORM) is None


@pytest.mark.parametrize(
    "target",
    [
        b"/checkout/confirm",
        b"/checkout/confirm/",
        b"/Checkout/Confirm",
        b"/checkout//confirm",
        b"/a/../checkout/%63onfirm",
    ],
)
def test_an_address_is_found_in_every_way_the_shop_may_read_it(target: bytes) -> None:
    assert read_routes(DJANGO).match("POST", target, ()) is not None


@pytest.mark.parametrize(
    ("method", "target"), [("GET", b"/checkout/confirm"), ("POST", b"/checkout"), ("PUT", b"/checkout/confirm")]
)
def test_another_address_or_method_is_no_order(method: str, target: bytes) -> None:
    assert read_routes(DJANGO).match(method, target, ()) is None


def test_the_first_route_whose_conditions_hold_is_taken() -> None:
    text = "POST /api json:/op=a key=json:/id\nPOST /api json:/op=b"

    assert placed(text, b"/api", b'{"op":"b","id":"1"}', JSON).route.name == "POST /api json:/op=b"
    assert placed(text, b"/api", b'{"op":"a","id":"1"}', JSON).route.name == "POST /api json:/op=a"


@pytest.mark.parametrize(
    ("rules", "status", "headers", "body", "verdict"),
    [
        ("", 201, (), b"", Verdict(Outcome.ANSWERED)),
        ("success=status:201", 201, (), b"", Verdict(Outcome.CONFIRMED)),
        ("success=status:2xx", 204, (), b"", Verdict(Outcome.CONFIRMED)),
        ("success=status:201", 200, (), b"", Verdict(Outcome.ANSWERED)),
        ("success=status:201", 500, (), b"", Verdict(Outcome.UNKNOWN)),
        ("success=header:X-Order", 200, ((b"x-order", b"A1"),), b"", Verdict(Outcome.CONFIRMED)),
        ("success=header:X-Order", 200, ((b"x-order", b""),), b"", Verdict(Outcome.ANSWERED)),
        ("success=header:X-Order", 400, ((b"x-order", b"A1"),), b"", Verdict(Outcome.REFUSED)),
        (
            "success=header:X-Order reference=header:X-Order",
            200,
            ((b"x-order", b"A1"),),
            b"",
            Verdict(Outcome.CONFIRMED, "A1"),
        ),
        ("success=header:X-State=ok", 200, ((b"x-state", b"no"),), b"", Verdict(Outcome.ANSWERED)),
        ("success=json:/order/state=paid", 200, (), b'{"order":{"state":"paid"}}', Verdict(Outcome.CONFIRMED)),
        ("success=json:/order/state=paid", 200, (), b'{"order":{"state":"new"}}', Verdict(Outcome.ANSWERED)),
        ("success=json:/order", 200, (), b'{"order":null}', Verdict(Outcome.ANSWERED)),
        ("success=json:/order", 200, (), b'{"order":{}}', Verdict(Outcome.CONFIRMED)),
        ("success=json:/a success=status:201", 201, (), b"<html>", Verdict(Outcome.CONFIRMED)),
        (
            "success=json:/a reference=json:/b reference=json:/a",
            200,
            (),
            b'{"a":4711}',
            Verdict(Outcome.CONFIRMED, "4711"),
        ),
        ("reference=json:/id", 200, (), b'{"id":"x"}', Verdict(Outcome.ANSWERED, "x")),
        ("success=location:/thanks/*", 302, ((b"location", b"/payment"),), b"", Verdict(Outcome.ANSWERED)),
    ],
)
def test_an_answer_is_judged(rules: str, status: int, headers: Headers, body: bytes, verdict: Verdict) -> None:
    assert route(f"POST /x {rules}").judge(status, headers, body) == verdict


@pytest.mark.parametrize(
    ("pattern", "location", "reference"),
    [
        ("/thanks/*", b"/thanks/4711", "4711"),
        ("/thanks/*", b"https://shop.example/thanks/47%2F11/?key=1#a", "47/11"),
        ("/thanks/*", b"//shop.example/thanks/4711", "4711"),
        ("/*/done?order=*", b"/en/done?order=4711", "4711"),
        ("/*/done?order=*&x", b"/en/done?order=4711&x", "4711"),
        ("/checkout/order-received/*", b"/checkout/order-received/17/?key=wc_order_x", "17"),
    ],
)
def test_a_reference_stands_in_the_location(pattern: str, location: bytes, reference: str) -> None:
    judged = route(f"POST /x success=location:{pattern} reference=location:{pattern}").judge(
        302, ((b"location", location),), b""
    )

    assert judged == Verdict(Outcome.CONFIRMED, reference)


def test_the_shop_names_the_order_without_any_rule() -> None:
    named = ((b"waitroom-order-id", b" A-17\t"),)

    assert route("POST /x reference=json:/id").judge(200, (), b'{"id":"other"}', named) == Verdict(
        Outcome.CONFIRMED, "A-17"
    )
    assert route("POST /x").judge(500, (), b"", named) == Verdict(Outcome.UNKNOWN, "A-17")
    assert route("POST /x").judge(200, (), b"", ((b"waitroom-order-id", b"  "),)) == Verdict(Outcome.ANSWERED)


def test_a_rule_about_a_body_that_was_not_kept_does_not_hold() -> None:
    assert route("POST /x success=json:/a").judge(200, (), None) == Verdict(Outcome.ANSWERED)


def test_only_rules_about_json_read_answers() -> None:
    assert route(GRAPHQL).reads_answers
    assert not route(DJANGO).reads_answers


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("GET /x", "route 1: 'GET' (word 1) is not a method"),
        ("POST", "route 1: has no path"),
        ("POST x", "route 1: 'x' (word 2) is not a path"),
        ("POST /x ky=form:a", "'ky=form:a' (word 3) is not known"),
        ("POST /x key=", "'key=' (word 3) does not begin with form:, json:, query:, header:, cookie:"),
        ("POST /x key=form:", "'key=form:' (word 3) does not name a field's name"),
        ("POST /x key=form:a=1", "'key=form:a=1' (word 3) says what the value is"),
        ("POST /x json:a=1", "'json:a=1' (word 3) does not name a JSON pointer"),
        ("POST /x form:a~", "'form:a~' (word 3) has nothing after the ~"),
        ("POST /x success=status:500", "does not name a status of 2xx or 3xx"),
        ("POST /x success=status:2011", "does not name a status of 2xx or 3xx"),
        ("POST /x success=form:a", "does not begin with status:, location:, header:, json:"),
        ("POST /x reference=location:thanks", "does not name a path pattern"),
        ("POST /x header:ä", "does not name"),
        ("POST /x, POST /y key=z", "route 2: 'key=z' (word 3)"),
        ("POST /x\nPOST /y z", "route 2: 'z' (word 3)"),
        (", ".join(["POST /x"] * (MOST_ROUTES + 1)), f"has {MOST_ROUTES + 1} routes"),
    ],
)
def test_a_fault_is_a_sentence_with_its_position(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="has ") as fault:
        read_routes(text)

    assert said in str(fault.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ValueError, match="has a fault") as fault:
        read_routes("GET x ky=1, POST /y key=z")

    assert str(fault.value).count("has a fault in route") == 4


@pytest.mark.parametrize("text", re.findall(r"WAITROOM_ORDER_ROUTES='(.+)'", "\n".join(WRITTEN)))
def test_the_routes_in_the_documentation_can_be_read(text: str) -> None:
    assert read_routes(text).routes[0].keys


def test_no_route_is_no_order() -> None:
    routes = read_routes(" \n, ")

    assert not routes
    assert routes.match("POST", b"/", ()) is None


PIECES = [*"abX/*:=~%2,\n ?0[]", "POST ", "key=", "json:/", "form:", "success=status:", "reference="]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_any_text_is_routes_or_a_fault(text: str) -> None:
    said = ""
    try:
        found = read_routes(text).routes
    except ValueError as fault:
        found, said = (), str(fault)

    assert said.startswith("has ") or all(each.path.startswith("/") for each in found)


EVERYTHING = "POST /* form:a~b, POST /* json:/a, POST /* key=form:a key=json:/b key=cookie:c key=query:d key=header:e"
JUDGED = route("POST /x success=json:/a~b success=location:/a/*/b*?c* success=header:x reference=location:/a*b*")


@given(
    st.binary(max_size=40),
    st.binary(max_size=80),
    st.binary(max_size=60),
    st.sampled_from([b"application/json", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x"])
    | st.binary(max_size=20),
)
def test_no_request_and_no_answer_raises_anything(target: bytes, body: bytes, value: bytes, kind: bytes) -> None:
    headers = ((b"content-type", kind), (b"cookie", value), (b"location", b"/a" + value), (b"x", value), (b"e", value))

    found = order(EVERYTHING, b"/" + target, body, *headers)
    verdict = JUDGED.judge(200 + len(body) * 5, headers, body, ((b"waitroom-order-id", value),))

    assert found is not None
    assert verdict.reference is None or verdict.reference.isprintable()
