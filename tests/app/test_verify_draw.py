"""Checking the record of a draw: by the command, and by the program that the README shows."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.core.sale.test_draw_record import CHANGED, DRAWN
from waitroom.cli import app

README = (Path(__file__).parents[2] / "README.md").read_text()
PROGRAM = re.findall(r"^## A draw everyone can check$.*?^```python\n(.*?)^```$", README, re.M | re.S)[0]
NUMBERS = (0, 99, 205, 499)


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "record.json"
    path.write_text(DRAWN.to_json())
    return path


def verify(*words: str, given: str | None = None) -> Result:
    return CliRunner().invoke(app, ("verify-draw", *words), input=given)


def changed(member: str) -> str:
    return json.dumps(json.loads(DRAWN.to_json()) | {member: CHANGED[member]})


@pytest.mark.parametrize("number", NUMBERS)
def test_the_command_tells_a_numbers_place(record: Path, number: int) -> None:
    said = verify(str(record), "--number", str(number))

    assert said.exit_code == 0
    assert f"Number {number} has place {DRAWN.places().of(number)} (the first is 0)." in said.stdout
    assert DRAWN.commitment in said.stdout, "to compare with the one published before"


def test_what_it_shows_depends_on_the_source(record: Path) -> None:
    named = verify(str(record)).stdout

    assert "Look it up: a lottery" in named
    assert "The note is: 7 12 31" in named
    assert "not that the operator" not in named


def test_with_the_commitment_one_noted_it_is_the_draw_that_was_announced(record: Path) -> None:
    good = verify(str(record), "--commitment", DRAWN.commitment.upper())
    bad = verify(str(record), "--commitment", "0" * 64)

    assert (good.exit_code, bad.exit_code) == (0, 1)
    assert "It is the draw that was announced" in good.stdout
    assert "not the one you noted" in bad.stdout


def test_programs_get_one_object() -> None:
    said = verify("-", "--number", "150", "--json", given=DRAWN.to_json())

    assert (said.exit_code, json.loads(said.stdout)) == (
        0,
        {"agrees": True, "faults": [], "number": 150, "takes_part": False, "place": DRAWN.places().of(150)},
    )


@pytest.mark.parametrize("member", CHANGED)
def test_the_command_finds_a_part_that_was_changed(member: str) -> None:
    said = verify("-", "--number", "10", "--json", given=changed(member))

    assert said.exit_code == 1
    assert json.loads(said.stdout)["faults"]
    assert json.loads(said.stdout)["place"] is None
    assert verify("-", given=changed(member)).stdout.startswith("✗ ")


@pytest.mark.parametrize(
    "given",
    [
        "",
        "no json",
        "[]",
        "{}",
        json.dumps(json.loads(DRAWN.to_json()) | {"seed": None}),
        json.dumps(json.loads(DRAWN.to_json()) | {"note": None}),
    ],
)
def test_where_there_is_nothing_to_check_it_says_so(given: str) -> None:
    said = verify("-", given=given)

    assert said.exit_code == 2
    assert re.match(r"This is no |The draw has not been made yet|The note is not known yet", said.stderr)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    assert verify(str(tmp_path / "none.json")).exit_code == 2


EXAMPLE = Path(__file__).parents[2] / "deploy" / "draw-example.json"
SPECIFICATION = (EXAMPLE.parent / "draw.md").read_text()


def test_the_recorded_draw_is_what_it_is_said_to_be(tmp_path: Path) -> None:
    number, place = re.findall(r"number (\d+) has place\s+(\d+)", SPECIFICATION)[0]

    said = verify(str(EXAMPLE), "--number", number)

    assert said.exit_code == 0
    assert f"Number {number} has place {place}" in said.stdout
    assert run_program(EXAMPLE.read_text(), int(number), tmp_path).stdout.strip() == place


# The README's program.


def test_the_program_is_short_and_needs_nothing() -> None:
    lines = [line for line in PROGRAM.splitlines() if line.strip()]

    assert len(lines) <= 20
    assert set(re.findall(r"^import (.+)$", PROGRAM, re.M)) == {"hashlib, json, math, sys"}


def run_program(text: str, number: int, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "program.py").write_text(PROGRAM)
    (folder / "given.json").write_text(text)
    command = [sys.executable, "-I", str(folder / "program.py"), str(folder / "given.json"), str(number)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_program_computes_the_same_places(number: int, tmp_path: Path) -> None:
    done = run_program(DRAWN.to_json(), number, tmp_path)

    assert (done.returncode, done.stdout.strip()) == (0, str(DRAWN.places().of(number))), done.stderr


@pytest.mark.parametrize("member", CHANGED)
def test_the_program_finds_a_part_that_was_changed(member: str, tmp_path: Path) -> None:
    done = run_program(changed(member), 205, tmp_path)

    assert (done.returncode, done.stdout) == (1, "")
    assert "was changed" in done.stderr


def test_the_program_knows_who_has_no_part(tmp_path: Path) -> None:
    assert run_program(DRAWN.to_json(), DRAWN.lobby.numbers, tmp_path).returncode == 1
