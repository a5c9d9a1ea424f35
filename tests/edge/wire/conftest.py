"""Servers for the tests of the wire, each on asyncio's own loop and on uvloop: they buffer and close differently."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.edge.wire.rig import LIMITS, Running, loops


@pytest.fixture(scope="module", params=loops())
def lasting(request: pytest.FixtureRequest) -> Iterator[Running]:
    running = Running(request.param).start()
    yield running
    running.close()


@pytest.fixture
def running(lasting: Running) -> Iterator[Running]:
    """A server for many tests, with nothing of the last one left."""
    yield lasting
    lasting.reset()


@pytest.fixture(params=loops())
def crowded(request: pytest.FixtureRequest) -> Iterator[Running]:
    """A server for four connections."""
    running = Running(request.param, replace(LIMITS, connections=4, head_s=30, idle_s=30)).start()
    yield running
    running.close()


@pytest.fixture(params=loops())
def patient(request: pytest.FixtureRequest) -> Iterator[Running]:
    """A server that gives what was begun more time than a machine stands still."""
    running = Running(request.param, replace(LIMITS, head_s=30, idle_s=30, linger_s=30)).start()
    yield running
    running.close()


@pytest.fixture(params=loops())
def mortal(request: pytest.FixtureRequest) -> Iterator[Running]:
    """A server for a test that stops it."""
    running = Running(request.param).start()
    yield running
    running.close()
