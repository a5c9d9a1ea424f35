"""`waitroom simulate`: what it prints, draws and refuses."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from waitroom.cli import app
from waitroom.cli.curves import Curve, clock, nice_top, time_ticks
from waitroom.cli.plot import HEAD, PANEL, svg
from waitroom.core.settings import Settings

SVG = "{http://www.w3.org/2000/svg}"
SALE = ("--crowd", "2000", "--rate", "20/s", "--over", "1m")


def command(*words: str, **environ: str) -> Result:
    return CliRunner().invoke(app, ("simulate", *words), env={"COLUMNS": "100"} | environ)


def facts(*words: str) -> dict[str, Any]:
    result = command(*words, "--json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def test_help_has_an_example_that_can_be_run() -> None:
    said = command("--help").output

    assert "waitroom simulate --crowd 100000 --rate 50/s" in said


def test_the_defaults_shown_are_the_settings_own() -> None:
    parameters = typer.main.get_command(app).commands["simulate"].params  # type: ignore[attr-defined]
    shown = {p.name: p.show_default for p in parameters if isinstance(p.show_default, str)}

    assert shown.pop("burst") == "one second of the rate"
    assert shown == {name: str(Settings.model_fields[name].default) for name in shown}
    assert set(shown) == {"rate", "max_active", "session_idle", "turn_held", "away_after"}


def test_the_table_and_the_curves_are_for_people() -> None:
    result = command(*SALE, "--no-shows", "20%", "--slow-tabs", "10%", "--patience", "5m")

    assert result.exit_code == 0, result.output
    for words in ("2,000 people at 20/s", "let in", "gave up", "did not come", "rate used", "people in line", "█"):
        assert words in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_json_accounts_for_everybody_and_has_the_curves() -> None:
    found = facts(*SALE, "--no-shows", "20%", "--seed", "7")

    assert found["seed"] == 7
    assert found["admitted"] + found["gave_up"] + found["lapsed"] + found["waiting"] == found["people"] == 2000
    assert list(found["waits_s"]) == ["10", "50", "90", "99", "100"]
    assert found["crowd"]["no_shows"] == 0.2
    assert found["over"] <= 1e-6
    series = found["series"]
    assert max(series["waiting"]) == found["peak_waiting"]
    assert max(series["inside"]) == found["peak_inside"]
    assert len(series["waiting"]) == len(series["inside"]) == len(series["admitted_per_min"]) <= 240
    assert facts(*SALE, "--no-shows", "20%", "--seed", "7") == found


def test_a_lobby_says_who_left_it_and_what_the_draw_did() -> None:
    lobby = ("--arrivals", "lobby", "--late", "20%", "--lobby-leaves", "30%")

    said, found = command(*SALE, *lobby), facts(*SALE, *lobby)

    assert said.exit_code == 0, said.output
    assert "80% there before the opening, the rest over 1m, 30% of the lobby gone before it" in said.stdout
    assert f"left the lobby {found['lobby']['left']}" in re.sub(" +", " ", said.stdout)
    assert "waited from the opening on: first tenth to come" in re.sub(r"\s+", " ", said.stdout)
    assert found["lobby"]["people"] == 1600
    assert 0 < found["lobby"]["first_s"] < found["gone_s"]


def test_people_of_a_lobby_need_one() -> None:
    result = command(*SALE, "--late", "20%", "--lobby-leaves", "1%")

    assert result.exit_code == 2
    assert "--late=20% is about people of a lobby; add --arrivals lobby" in result.stderr
    assert "--lobby-leaves=1% is about people of a lobby" in result.stderr


def test_the_limits_given_are_the_limits_played() -> None:
    found = facts(*SALE, "--burst", "30", "--max-active", "200", "--shopping", "5s", "--session-idle", "30s")

    assert (found["rate"], found["burst"], found["max_active"], found["peak_inside"]) == ("20/s", 30, 200, 200)


def test_everything_wrong_is_said_at_once_in_the_words_of_the_settings() -> None:
    words = (
        "--rate fast --burst 0 --max-active many --turn-held 1s --over soon --no-shows 120% --arrivals late --crowd 0"
    )

    result = command(*words.split())

    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "--rate=fast is not a rate; write it like 10/s, 600/min, 36000/h, unlimited, or 0 to hold the line",
        "--burst=0 is less than 1",
        "--max-active=many is not a whole number",
        "--turn-held=1s is less than 10s",
        "--crowd=0 is less than 1",
        "--arrivals=late is none of steady, spike, lobby",
        "--over=soon is not a duration; write it like 90s, 10m or 1h30m",
        "--no-shows=120% is not a share; write it like 20%",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--rate", "0"), "nobody would ever come in"),
        (("--until", "1m"), "--until=1m is before everybody has come (--over=10m)"),
        (("--slow-tabs", "5%", "--away-after", "45s"), "--away-after=45s is shorter than the minute"),
    ],
)
def test_what_makes_no_sense_ends_with_2_and_a_sentence(words: tuple[str, ...], said: str) -> None:
    result = command(*words)

    assert result.exit_code == 2
    assert said in result.stderr
    assert not result.stdout


def test_a_sale_that_takes_too_long_is_cut_off_and_says_so() -> None:
    result = command("--crowd", "900", "--rate", "1/s", "--over", "1m", "--until", "5m")

    assert result.exit_code == 0
    assert re.search(r"still waiting +5\d\d after 5m", result.stdout)


def test_the_environment_of_a_gateway_does_not_matter() -> None:
    assert command("--crowd", "100", "--json", WAITROOM_RATE="fast").exit_code == 0


def test_a_picture_is_xml_that_says_and_shows_what_happened(tmp_path: Path) -> None:
    path = tmp_path / "sale.svg"

    result = command(*SALE, "--arrivals", "lobby", "--plot", str(path))

    picture = ET.parse(path).getroot()
    assert f"The picture is in {path}." in result.stdout.replace("\n", "")
    assert picture.tag == f"{SVG}svg"
    assert picture.get("role") == "img"
    assert picture.findtext(f"{SVG}title") == "2,000 people at 20/s, up to 20 at once"
    assert "2,000 of 2,000 people came in" in (picture.findtext(f"{SVG}desc") or "")
    assert "prefers-color-scheme:dark" in (picture.findtext(f"{SVG}style") or "")
    lines = {line.get("class", "").split()[1]: line for line in picture.iter(f"{SVG}polyline")}
    assert set(lines) == {"waiting", "inside", "admitted_per_min"}
    heights = [float(point.split(",")[1]) for point in lines["waiting"].get("points", "").split()]
    assert heights == sorted(heights)  # falling, on a screen whose y grows downwards
    assert heights[0] == pytest.approx(HEAD, abs=2)
    assert heights[-1] == pytest.approx(HEAD + PANEL, abs=2)
    words = {text.text for text in picture.iter(f"{SVG}text")}
    assert {"people in line", "people inside", "let in, a minute", "time since the opening", "2,000", "1 min"} <= words


def test_names_in_a_picture_are_escaped() -> None:
    curve = Curve("waiting", "a < b & c", 1, [1.0, 2.0])

    picture = ET.fromstring(svg((curve,), title="<x>", subtitle="&", words='"', limits={}))

    assert picture.findtext(f"{SVG}title") == "<x>"


def test_a_picture_that_cannot_be_written_ends_with_1(tmp_path: Path) -> None:
    result = command("--crowd", "10", "--plot", str(tmp_path / "none" / "sale.svg"))

    assert result.exit_code == 1
    assert "could not be written" in result.stderr


def test_moments_are_written_short_and_axes_end_round() -> None:
    assert [clock(at) for at in (0, 45, 60, 750, 3600, 5400)] == ["0", "45 s", "1 min", "12:30 min", "1 h", "1:30 h"]
    assert [nice_top(value) for value in (0, 1, 7, 12, 599, 70_380)] == [1, 1, 8, 15, 600, 80_000]
    assert time_ticks(100, 5) == [0, 30, 60, 90]
