"""What a package says that it holds is what it holds."""

import re

import pytest

from tests.support import ROOT


@pytest.mark.parametrize("package", ["core", "store", "edge"])
def test_the_table_of_a_large_package_names_each_of_its_modules_once(package: str) -> None:
    folder = ROOT / "waitroom" / package
    table = (folder / "__init__.py").read_text().partition("| modules")[2]
    named = [
        name for row in re.findall(r"^\|[^|]*\|([^|]*)\|$", table, re.MULTILINE) for name in re.findall(r"\w+", row)
    ]

    assert sorted(named) == sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
