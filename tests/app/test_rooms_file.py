"""The file of WAITROOM_CONFIG becomes rooms, or a list of sentences that name the file, the room and the key."""

from collections.abc import Callable
from pathlib import Path

import pytest

from waitroom.config import MOST_ROOMS, OWN_OF_A_ROOM, PROCESS_WIDE, load
from waitroom.core.errors import ConfigError
from waitroom.core.settings import Rate, Settings

Read = Callable[..., Settings]
Faults = Callable[..., list[str]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(text: str, **environment: str) -> Settings:
        path = tmp_path / "waitroom.toml"
        path.write_text(text)
        given = {f"WAITROOM_{name.upper()}": value for name, value in environment.items()}
        return load({"WAITROOM_CONFIG": str(path)} | given)

    return read


@pytest.fixture
def faults(read: Read) -> Faults:
    def faults(text: str, **environment: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            read(text, **environment)
        return list(caught.value.faults)

    return faults


DROP = '[rooms.drop]\nguard = "/drop*"\n'


def test_a_file_says_what_the_environment_would_and_has_a_table_for_each_further_room(read: Read) -> None:
    settings = read(
        """
        origin = "http://shop"
        rate = "600/min"
        session_idle = "5m"
        workers = 2

        [rooms.drop]
        guard = ["/products/one*", "/api/one/*"]
        rate = "2/s"
        max_active = 50
        shadow = true

        [rooms.tickets]
        guard = "/tickets/*"
        origin = "http://tickets:3000"
        session_idle = "90s"
        """
    )

    drop, tickets = settings.rooms
    assert (settings.room, settings.rate, settings.workers) == ("shop", Rate(10.0), 2)
    assert (drop.room, drop.rate, drop.guard) == ("drop", Rate(2.0), ("/products/one*", "/api/one/*"))
    assert (drop.max_active, drop.shadow, drop.origin) == (50, True, settings.origin)
    assert (drop.session_idle, tickets.session_idle) == (300_000, 90_000)
    assert str(tickets.origin) == "http://tickets:3000"
    assert [room.named for room in settings.every_room] == [False, True, True]


def test_a_room_takes_from_above_what_is_not_its_lines_own(read: Read) -> None:
    (drop,) = read(DROP, origin="http://shop", rate="9/s", burst="40", max_active="7", shop_name="Kiosk").rooms

    assert (drop.rate, drop.burst, drop.max_active, drop.shop_name) == (Rate(1.0), None, 0, "Kiosk")


def test_the_environment_counts_where_both_speak_and_an_empty_variable_says_nothing(read: Read) -> None:
    text = 'origin = "http://file"\nrate = "1/s"\nport = 9000\n' + DROP

    settings = read(text, rate="7/s", port="")

    assert (settings.rate, settings.port, str(settings.origin)) == (Rate(7.0), 9000, "http://file:80")


def test_the_whole_gateways_settings_reach_every_room(read: Read) -> None:
    settings = read(DROP, origin="http://shop", port="9000").throughout(port=9001)

    assert [room.port for room in settings.every_room] == [9001, 9001]


def test_all_faults_are_told_at_once_with_file_room_and_key(faults: Faults) -> None:
    found = faults(
        """
        origin = "http://shop"
        rate = "fast"
        portt = 80
        [rooms.drop]
        guard = "/drop*"
        rat = "1/s"
        max_active = -1
        port = 8080
        away_after = { s = 3 }
        session_max = "1m"
        [rooms."Big Drop"]
        guard = "no-slash"
        """,
        workers="none",
    )

    assert [text for text in found if text.startswith("WAITROOM_WORKERS=none ")]
    assert [text for text in found if text.startswith("waitroom.toml: rate=fast ")]
    assert "waitroom.toml: portt is not a setting; did you mean port?" in found
    assert "waitroom.toml, room drop: rat is not a setting; did you mean rate?" in found
    assert [text for text in found if text.startswith("waitroom.toml, room drop: max_active=-1 ")]
    assert [text for text in found if text.startswith("waitroom.toml, room drop: port is the whole gateway's")]
    assert [text for text in found if text.startswith("waitroom.toml, room drop: away_after holds a table")]
    assert [
        text for text in found if text.startswith("waitroom.toml, room drop: session_max (1m) is shorter than sess")
    ]
    assert [text for text in found if text.startswith("waitroom.toml, room Big Drop: room='Big Drop' is not a room's")]
    assert [text for text in found if text.startswith("waitroom.toml, room Big Drop: guard=no-slash ")]
    assert len(found) == 10


@pytest.mark.parametrize("field", sorted(PROCESS_WIDE))
def test_what_is_the_whole_gateways_is_refused_in_a_room(field: str, faults: Faults) -> None:
    (fault,) = faults(DROP + f'{field} = "1"', origin="http://shop")

    assert fault.startswith(f"waitroom.toml, room drop: {field} ")


def test_the_lists_of_settings_name_settings() -> None:
    assert {*PROCESS_WIDE, *OWN_OF_A_ROOM} <= Settings.model_fields.keys()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[rooms.drop]\nrate = '1/s'",
            "room drop: guard is missing: a room has to say which paths are behind its line",
        ),
        (
            DROP + "[rooms.two]\nguard = '/a,/DROP*'",
            "room two: guard=/drop* is what room drop guards; a path has one line",
        ),
        ("[rooms.two]\nguard = '/*'", "room two: guard=/* is what the top guards; a path has one line"),
        ("[rooms.shop]\nguard = '/a'", "room shop: is the room at the top; give one of them another name"),
    ],
)
def test_a_path_has_one_line_and_a_room_one_name(text: str, said: str, faults: Faults) -> None:
    assert faults(text, origin="http://shop") == [f"waitroom.toml, {said}"]


def test_a_fault_at_the_top_is_told_once_and_not_again_for_each_room(faults: Faults) -> None:
    found = faults(
        "session_idle = 'long'\nforward_auth = true\n" + DROP + "[rooms.b]\nguard='/b'", origin="http://shop"
    )

    assert len(found) == 2
    assert found[0].startswith("waitroom.toml: session_idle=long ")
    assert found[1].startswith("WAITROOM_FORWARD_AUTH is set without")


def test_too_many_rooms_are_refused(faults: Faults) -> None:
    text = "".join(f"[rooms.r{at}]\nguard = '/{at}'\n" for at in range(MOST_ROOMS + 1))

    assert faults(text, origin="http://shop") == [
        "waitroom.toml: 33 rooms are more than the 32 that one gateway may have"
    ]


def test_a_value_that_may_be_a_secret_is_not_repeated(faults: Faults) -> None:
    found = faults(DROP + 'shop_secret = "hunter2"\nbypass = "header:X=hunter2"', origin="http://shop")

    assert len(found) == 2
    assert "hunter2" not in " ".join(found)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"rate = ", "is no TOML file"),
        (b"\xff", "is not UTF-8 text"),
        (b"#" * 1_100_000, "is larger than 1,048,576 bytes"),
        (b"rooms = 3", "rooms holds no tables"),
        (b"[rooms]\ndrop = 3", "rooms holds no tables"),
        (b"config = 'other.toml'", "config is not a setting"),
        (b"WAITROOM_RATE = '1/s'", "WAITROOM_RATE is not a setting; did you mean rate?"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(raw: bytes | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "waitroom.toml"
    if raw is not None:
        path.write_bytes(raw)

    with pytest.raises(ConfigError) as caught:
        load({"WAITROOM_ORIGIN": "http://shop", "WAITROOM_CONFIG": str(path)})

    assert len(caught.value.faults) == 1
    assert said in caught.value.faults[0]
