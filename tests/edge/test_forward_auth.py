"""What is read out of a proxy's question. The recipes with the real programs are in tests/app/test_forward_auth.py."""

import pytest
from starlette.types import Scope

from waitroom.core.requests import Header, Kind, fields_of, kind_of
from waitroom.edge.cookies import may_be_shared
from waitroom.edge.forward_auth import answer_of, read


def question(*fields: Header, method: str = "GET") -> Scope:
    about = [(b"x-forwarded-method", b"POST"), (b"x-forwarded-uri", b"/a%2Fb//c?x=1")]
    return {"method": method, "headers": [(b"host", b"gateway:8080"), *about, *fields]}


def test_the_request_asked_about_has_its_own_method_target_and_host() -> None:
    method, target, headers = read(question((b"cookie", b"a=b"), (b"x-forwarded-host", b"evil, shop.example")), b"")

    assert (method, target) == (b"POST", b"/a%2Fb//c?x=1")
    assert (b"cookie", b"a=b") in headers
    assert [value for name, value in headers if name == b"host"] == [b"shop.example"], "the last hop's"
    assert not [name for name, _ in headers if name in (b"x-forwarded-method", b"x-forwarded-uri")]


def test_a_target_behind_the_prefix_comes_before_the_fields() -> None:
    method, target, headers = read(question(method="PUT"), b"/cart?x=2")

    assert (method, target) == (b"PUT", b"/cart?x=2")
    assert not [name for name, _ in headers if name in (b"x-forwarded-method", b"x-forwarded-uri")]


@pytest.mark.parametrize("name", [b"x-forwarded-method", b"x-forwarded-uri"])
def test_what_is_said_twice_is_not_said(name: bytes) -> None:
    assert read(question((name, b"GET")), b"")[1] is None


def test_a_websocket_is_one_although_its_upgrade_ended_at_the_proxy() -> None:
    """Without this it would be a fetch, which may come in on the spot."""
    key = (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")
    with_upgrade = ((b"upgrade", b"websocket"), (b"connection", b"Upgrade"))

    assert kind_of("GET", fields_of(read(question(key), b"")[2])) is Kind.WEBSOCKET
    assert kind_of("GET", fields_of(read(question(key, *with_upgrade), b"")[2])) is Kind.WEBSOCKET
    assert kind_of("GET", fields_of(read(question(), b"")[2])) is Kind.FETCH


@pytest.mark.parametrize(
    ("dest", "shared"),
    [(None, False), (b"document", False), (b"empty", False), (b"iframe", False), (b"image", True), (b"script", True)],
)
def test_images_and_scripts_count_as_answers_that_a_cache_may_keep(dest: bytes | None, shared: bool) -> None:
    """A pass is not renewed with those unless it has to be, as in the way of the bytes."""
    headers = [(b"accept", b"*/*")] if dest is None else [(b"sec-fetch-dest", dest)]

    assert may_be_shared(answer_of(headers)) is shared
