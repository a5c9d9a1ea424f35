"""What holds for every test: those that measure a wall clock may be tried again."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test marked `timed` is tried up to three times; the summary counts each rerun."""
    for item in items:
        if item.get_closest_marker("timed"):
            item.add_marker(pytest.mark.flaky(reruns=2))
