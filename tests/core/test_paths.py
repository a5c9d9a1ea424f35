"""Our own paths, as they are written into pages and redirects."""

from waitroom.core.paths import own_path
from waitroom.core.settings import Settings


def room(**given: object) -> Settings:
    return Settings.model_validate({"origin": "http://shop", **given})


def test_an_own_route_names_a_room_only_where_it_has_to() -> None:
    assert own_path("status", room().room_query) == "/-/waitroom/status"
    assert own_path("status", room(room="drop").room_query, "hold=5") == "/-/waitroom/status?hold=5"
    assert own_path("join", room(room="drop", named=True).room_query) == "/-/waitroom/join?room=drop"
    assert own_path("enter", room(room="drop", named=True).room_query, "", "to=/") == (
        "/-/waitroom/enter?room=drop&to=/"
    )


def test_the_way_into_a_named_room_begins_behind_its_guard() -> None:
    assert room(named=True, guard="/products/one*,/b").entrance == "/products/one"
    assert room(named=True, guard="/küche/*").entrance == "/k%C3%BCche/"
    assert room(guard="/products/one*").entrance == "/"
