"""What the README says is so: settings, commands, the worked example, files it points to."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from waitroom.cli import app
from waitroom.config import Variable, variables
from waitroom.core.meter import Limits, Meter, grant, grantable
from waitroom.core.settings import Settings
from waitroom.edge.facts import PageFacts
from waitroom.edge.pages.waiting import Pages

CHECKOUT = Path(__file__).parents[2]
README = (CHECKOUT / "README.md").read_text()
PROMISES = (CHECKOUT / "tests" / "PROMISES.md").read_text()
PAGES = [
    CHECKOUT / "README.md",
    CHECKOUT / "tests" / "PROMISES.md",
    *sorted((CHECKOUT / "deploy").rglob("*.md")),
]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def row(variable: Variable) -> str:
    """A setting's line in the table."""
    default = "required" if variable.required else f"`{variable.default}`" if variable.default else "none"
    return f"| `{variable.name}` | {default} | {variable.help} |"


def test_the_table_of_settings_is_the_one_of_the_settings() -> None:
    """To make it anew: "\\n".join(map(row, variables()))."""
    written = [line for line in README.splitlines() if line.startswith("| `WAITROOM_")]

    assert written == [row(variable) for variable in variables()]


def test_every_variable_that_is_named_is_a_setting() -> None:
    named = set(re.findall(r"\bWAITROOM_[A-Z_]+\b", README))

    assert named == {variable.name for variable in variables()}


def test_every_command_stands_in_the_table_with_its_options() -> None:
    rows = dict(re.findall(r"^\| `waitroom ([a-z-]+)` \| (.+) \|$", README, re.MULTILINE))

    assert rows.keys() == COMMANDS.keys()
    for name, command in COMMANDS.items():
        options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        assert options - {"--help"} == set(re.findall(r"`(--[a-z-]+)`", rows[name])), name


@pytest.mark.parametrize("line", sorted(set(re.findall(r"^(?:.*&& )?(waitroom .+)$", README, re.MULTILINE))))
def test_every_command_line_can_be_given(line: str) -> None:
    _, name, *words = shlex.split(line, comments=True)

    COMMANDS[name].make_context(name, words, resilient_parsing=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.parent.name + path.name)
def test_every_file_and_heading_it_points_to_is_there(page: Path) -> None:
    text = page.read_text()
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^#+ (.+)$", text, re.M)
    }

    for target, heading in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
        assert (page.parent / target).exists(), target
        assert target or heading in headings, heading


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(tests/\S+\.py(?:::\w+)?)`", PROMISES))))
def test_every_test_that_shows_a_promise_is_there(named: str) -> None:
    path, _, name = named.partition("::")

    assert (CHECKOUT / path).exists()
    assert not name or f"def {name}(" in (CHECKOUT / path).read_text()


def test_every_promise_has_its_row() -> None:
    assert re.findall(r"^\| (P\d+) \|", PROMISES, re.MULTILINE) == [f"P{number}" for number in range(1, 13)]


@pytest.mark.parametrize("module", sorted(set(re.findall(r"python -m (tests\.bench\.\w+)", README + PROMISES))))
def test_every_benchmark_that_is_named_is_there(module: str) -> None:
    assert (CHECKOUT / f"{module.replace('.', '/')}.py").exists()


def test_the_worked_example_is_what_the_meter_does() -> None:
    limits, meter = Limits(rate_per_s=10, burst=10), Meter()
    on_the_spot = grantable(meter, limits, 0.0)
    inside_s = []
    for _ in range(1000):
        now_us = max(0.0, meter.next_at_us - (limits.burst - 1) * limits.spacing_us)
        admit_us, meter = grant(meter, limits, now_us)
        assert admit_us is not None
        inside_s.append(admit_us / 1e6)

    assert (on_the_spot, inside_s[9], inside_s[10], inside_s[29]) == (30, 0, 0.1, 2.0)
    for number, ahead, seconds in re.findall(
        r"^\| (\d+) \| waiting page, (\d+) people ahead \| (\d+) s \|$", README, re.M
    ):
        assert int(ahead) == int(number) - on_the_spot
        assert round(inside_s[int(number)]) == int(seconds)


def test_the_simulated_sale_is_what_the_command_prints() -> None:
    """The first lines and what stands before each figure; the figures change with the estimates."""
    words, shown = re.findall(r"^waitroom (simulate [^\n]+)$.*?^```\n(\d[^`]+)^```$", README, re.MULTILINE | re.DOTALL)[
        0
    ]
    small = shlex.split(words.replace("100000", "1000").replace("50/s", "5/s"))

    said = CliRunner().invoke(app, small, env={"COLUMNS": "96"}).stdout.splitlines()

    documented = shown.splitlines()
    assert said[1].strip() == documented[1]
    for line in documented[3:12]:
        assert line[:14] in [actual[:14] for actual in said], line


@pytest.mark.parametrize(("which", "sale"), [(0, {}), (1, {"opens_at": "2030-01-01T12:00:00Z"})])
def test_the_page_is_as_small_as_stated(which: int, sale: dict[str, str]) -> None:
    told = re.findall(r"^\| the page in English, compressed.*\| ([\d.]+) · ([\d.]+) KB \|$", README, re.MULTILINE)[0]
    pages = Pages(Settings.model_validate({"origin": "http://127.0.0.1:9", **sale}))
    facts = PageFacts(
        state="waiting",
        number=4711,
        position=1204,
        ahead=1203,
        waiting=5310,
        rate_per_min=120.0,
        wait_low_s=560.0,
        wait_high_s=700.0,
        server_time_ms=0,
        target="/phones",
    )

    size_bytes = len(pages.waiting(facts, gzip=True)[1])

    assert abs(size_bytes / 1000 - float(told[which])) < 0.2
