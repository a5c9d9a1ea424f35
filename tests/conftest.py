"""What holds for every test: those that measure a wall clock may be tried again, and logging is left as it was."""

import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

# A machine that stands still for a moment is no fault of the example just tried.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test marked `timed` is tried up to three times; the summary counts each rerun."""
    for item in items:
        if item.get_closest_marker("timed"):
            item.add_marker(pytest.mark.flaky(reruns=2))


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """What a test sets up writes to a stream that ends with it; the next one would find it closed."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level
