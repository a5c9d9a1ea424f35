"""Which room's line stands before a target, in every way that a shop might read it (P6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitroom.core.readings import readings_of
from waitroom.core.rooms import RoomGuards, RoomRules
from waitroom.core.targets import Free, Guarded, Malformed, Own, Ruling, TargetRules

HOST = b"shop.example"
SHOP, DROP, TAIL = 0, 1, 2
ROOMS = RoomRules(
    [
        RoomGuards(["/*"], ["/robots.txt", "/static/*"]),
        RoomGuards(["/products/one*"], ["/products/one/image.png"]),
        RoomGuards(["/products/one/tail", "/cart"], []),
    ]
)
PIECES = st.sampled_from(
    [
        "/",
        "//",
        "products",
        "one",
        "tail",
        "cart",
        "static",
        "a",
        "..",
        "%2e%2e",
        ".",
        ";x",
        "%2f",
        "%252F",
        "\\",
        "%5c",
        "%6Fne",
        "PRODUCTS",
        "One",
        "robots.txt",
        "image.png",
        "?",
        "%3f",
        "#",
        "-two",
        "%09",
        "%61",
    ]
)


def rooms_of(rules: RoomRules, target: bytes) -> tuple[int, ...] | Ruling:
    place = rules.place(target, HOST)
    return place.rooms if isinstance(place, Guarded) else place


@pytest.mark.parametrize(
    ("target", "rooms"),
    [
        (b"/", (SHOP,)),
        (b"/products/two", (SHOP,)),
        (b"/products/one", (DROP,)),
        (b"/products/one-red?x=/a", (DROP,)),
        (b"/Products/ONE", (DROP,)),
        (b"/products/one%2Bred%20x", (DROP,)),
        (b"/products/one/tail", (TAIL,)),
        (b"/products/one/tail/", (TAIL,)),
        (b"/products/one/tail/x", (DROP,)),
        (b"/cart", (TAIL,)),
        (b"/cart/x", (SHOP,)),
    ],
)
def test_the_most_specific_guard_names_the_room(target: bytes, rooms: tuple[int, ...]) -> None:
    assert rooms_of(ROOMS, target) == rooms


@pytest.mark.parametrize(
    ("target", "rooms"),
    [
        (b"/a/../products/one", (DROP, SHOP)),
        (b"/a/%2e%2e/products/one", (DROP, SHOP)),
        (b"/a/..%2fproducts/one", (DROP, SHOP)),
        (b"/products/%6Fne", (DROP, SHOP)),
        (b"/products%2fone", (DROP, SHOP)),
        (b"/products%252fone", (DROP, SHOP)),
        (b"//products/one", (DROP, SHOP)),
        (b"/products\\one", (DROP, SHOP)),
        (b"/products;x/one", (DROP, SHOP)),
        (b"/products/one/../two", (SHOP, DROP)),
        (b"/products/one/x/../tail", (TAIL, DROP)),
        (b"/products/one/tail/.", (TAIL, DROP)),
        (b"/a/../products/one/tail", (TAIL, SHOP)),
        (b"/static/../products/one", (DROP, SHOP)),
    ],
)
def test_a_target_that_may_be_read_into_several_rooms_is_behind_all_of_them(
    target: bytes, rooms: tuple[int, ...]
) -> None:
    assert rooms_of(ROOMS, target) == rooms


def test_a_bypass_opens_its_own_room_only() -> None:
    assert isinstance(rooms_of(ROOMS, b"/robots.txt"), Free)
    assert isinstance(rooms_of(ROOMS, b"/products/one/image.png"), Free)
    assert rooms_of(ROOMS, b"/a/../products/one/image.png") == (DROP, SHOP)
    assert rooms_of(RoomRules([RoomGuards(["/*"], ["/drop*"]), RoomGuards(["/drop*"], [])]), b"/drop/x") == (1,)


def test_what_cannot_be_read_is_behind_every_room() -> None:
    assert rooms_of(ROOMS, b"/" + b"a/../" * 2000) == (TAIL, DROP, SHOP)
    assert rooms_of(ROOMS, b"*") == (TAIL, DROP, SHOP)
    assert isinstance(rooms_of(ROOMS, b"/%zz"), Malformed)
    assert isinstance(rooms_of(ROOMS, b"/-/waitroom/status"), Own)


def test_of_equally_specific_guards_the_room_named_first_wins() -> None:
    rules = RoomRules([RoomGuards(["/a*b*"], []), RoomGuards(["/a*c*"], []), RoomGuards(["/x/*"], []),
                       RoomGuards(["/x"], [])])  # fmt: skip

    assert rooms_of(rules, b"/a-c-b") == (0,)
    assert rooms_of(rules, b"/a-c") == (1,)
    assert rooms_of(rules, b"/x") == (2,)


def test_what_is_free_goes_to_the_shop_of_the_path_as_received() -> None:
    assert ROOMS.home(b"/products/one/image.png?x") == DROP
    assert ROOMS.home(b"/robots.txt") == SHOP
    assert RoomRules([RoomGuards([], []), RoomGuards(["/a"], ["/a"])]).home(b"/b") == 0


def test_without_a_guard_everything_is_free() -> None:
    nothing = RoomRules([RoomGuards([], []), RoomGuards([], [])])

    assert all(isinstance(rooms_of(nothing, target), Free) for target in (b"/", b"/a/../b", b"*"))


def owner(reading: bytes) -> int:
    path = reading.lower()
    if path.removesuffix(b"/") in (b"/products/one/tail", b"/cart"):
        return TAIL
    return DROP if path.startswith(b"/products/one") else SHOP


def is_bypassed(room: int, reading: bytes) -> bool:
    if room == SHOP:
        return reading == b"/robots.txt" or reading.startswith(b"/static/")
    return room == DROP and reading == b"/products/one/image.png"


@given(st.lists(PIECES, max_size=9))
def test_every_reading_has_its_room_before_it(pieces: list[str]) -> None:
    """P6: whichever reading the shop takes, the room of that reading is passed first."""
    target = ("/" + "".join(pieces)).encode()
    place = ROOMS.place(target, HOST)

    if isinstance(place, Own | Malformed):
        return
    before = place.rooms if isinstance(place, Guarded) else ()
    readings = readings_of(target.partition(b"?")[0]) or set()
    for room in map(owner, readings):
        assert room in before or all(is_bypassed(room, reading) for reading in readings)


@given(st.lists(PIECES, max_size=9))
def test_one_room_is_judged_as_it_is_alone(pieces: list[str]) -> None:
    target = ("/" + "".join(pieces)).encode()
    guards, bypasses = ["/products/*", "/cart"], ["/products/static/*", "/robots.txt"]

    alone = TargetRules(guards, bypasses).place(target, HOST)

    assert RoomRules([RoomGuards(guards, bypasses)]).place(target, HOST) == alone
