"""What holds for every test: there is a Redis to start, those that measure a wall clock may be tried again, and
logging is left as it was.
"""

import logging
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from tests.support import TEST_ALL, redis_binaries
from waitroom.store.server_program import how_to_install

NEEDS_NO_REDIS = Path(__file__).parent / "core"

# A machine that stands still for a moment is no fault of the example just tried. Where everything has to run, the
# examples are the same each time: new ones are looked for elsewhere, and by `tests.bench.fuzz` and `histories`.
settings.register_profile("of this suite", deadline=None, derandomize=TEST_ALL)
settings.load_profile("of this suite")


def pytest_configure(config: pytest.Config) -> None:
    """Without a Redis most of the tests mean nothing: say so in one line, instead of skipping thousands."""
    asked = [Path(config.invocation_params.dir, name.partition("::")[0]).resolve() for name in config.args]
    if not redis_binaries() and not all(path.is_relative_to(NEEDS_NO_REDIS) for path in asked):
        raise pytest.UsageError(f"The tests need a Redis. {how_to_install()} (`pytest tests/core` needs none.)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test marked `timed` is tried up to three times; the summary counts each rerun. Those marked `long` begin first:
    were one of them the last, all the others would be done long before it.
    """
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    for item in items:
        if item.get_closest_marker("timed"):
            item.add_marker(pytest.mark.flaky(reruns=2))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tests that miss the same program are skipped in one line of the summary, wherever they stand."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple) and "missing: " in report.longrepr[2]:
        report.longrepr = ("tests", 0, report.longrepr[2])
    return report


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """What a test sets up writes to a stream that ends with it; the next one would find it closed."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level
