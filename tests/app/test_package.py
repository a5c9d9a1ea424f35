"""What is built can be installed elsewhere: templates and Lua scripts travel, nothing else sneaks in."""

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from waitroom.edge.pages.templates_path import templates_dir

CHECKOUT = Path(__file__).parents[2]
built_only_on_ci = pytest.mark.skipif(not os.environ.get("TEST_ALL"), reason="fetches the build tools: TEST_ALL=1")


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(CHECKOUT)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return folder


def sources(*patterns: str) -> set[str]:
    found = (path for pattern in patterns for path in CHECKOUT.glob(pattern) if path.is_file())
    return {str(path.relative_to(CHECKOUT)) for path in found if "__pycache__" not in path.parts}


def test_in_a_checkout_the_templates_are_those_at_the_top() -> None:
    assert templates_dir() == CHECKOUT / "templates"


@built_only_on_ci
def test_the_wheel_holds_the_package_with_its_scripts_and_templates_and_nothing_else(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    expected = sources("waitroom/**/*")
    expected |= {f"waitroom/_{name}" for name in sources("templates/**/*")}
    assert any(name.endswith(".lua") for name in names)
    assert names == expected


@built_only_on_ci
def test_the_source_archive_holds_what_its_tests_need(dist: Path) -> None:
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}

    wanted = sources("waitroom/**/*", "templates/**/*", "tests/**/*", "deploy/**/*", "k8s/**/*")
    assert wanted | {"README.md", "LICENSE", "pyproject.toml"} <= names


@built_only_on_ci
def test_the_wheel_finds_its_templates_and_scripts_away_from_the_checkout(dist: Path, tmp_path: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "from waitroom.edge.pages.templates_path import templates_dir; from waitroom.store.scripts import script;"
        "print(templates_dir(), len(script('enter')[1]) > 100)"
    )

    run = [sys.executable, "-c", code]
    said = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60).stdout

    assert said.split() == [str(tmp_path / "waitroom" / "_templates"), "True"]


@built_only_on_ci
def test_an_editable_install_finds_the_templates_of_the_checkout(tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    install = [python, "-m", "pip", "install", "-q", "--no-deps", "-e", str(CHECKOUT)]
    subprocess.run(install, check=True, capture_output=True, timeout=300)
    code = "from waitroom.edge.pages.templates_path import templates_dir; print(templates_dir())"

    run = [python, "-c", code]
    said = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60).stdout

    assert Path(said.strip()) == CHECKOUT / "templates"
