"""A moment of `tests/bench/fuzz.py` with seeds that are always the same; a long run is `python -m tests.bench.fuzz`."""

import pytest

from tests.bench.fuzz import KINDS, fuzz


@pytest.mark.parametrize(("kind", "inputs"), [("answers", 20_000), ("requests", 2_000), ("targets", 8_000)])
def test_mutated_inputs_are_taken_in_one_way_or_refused(kind: str, inputs: int) -> None:
    found = fuzz(kind, seed=20_251, inputs=inputs)

    assert found.total() == inputs
    assert len(found) > 1
    assert kind in KINDS
