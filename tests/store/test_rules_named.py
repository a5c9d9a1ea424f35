"""The table of rules that `tests.bench.rules` takes out names text that is there, and tests that are."""

import pytest

from tests.bench.rules import TABLE, Rule
from tests.support import ROOT


@pytest.mark.parametrize("rule", TABLE, ids=lambda rule: rule.name)
def test_the_text_of_each_rule_stands_once_and_its_test_exists(rule: Rule) -> None:
    path, _, test = rule.test.partition("::")
    name = test.partition("[")[0]

    assert (ROOT / "waitroom" / rule.file).read_text().count(rule.old) == 1
    assert not name or f"def {name}(" in (ROOT / path).read_text()
