"""Fixtures that cost too much to make for every test."""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from tests.postgres import Databases, databases_in
from tests.system import RunningSystem, running_system

# How fast examples are made says how busy the machine is, and nothing of what is tested.
settings.register_profile("mailwarden", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mailwarden")

_MAX_WORKERS: Final = 6
"""Each may run a whole system of its own, some 500 MB."""


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: much of the time is spent waiting for processes to start."""
    return min((os.cpu_count() or 1) + 1, _MAX_WORKERS)


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The event loop that services run on, whose transports are none of asyncio's classes."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """One whole system for all tests of a worker that leave it as healthy as they found it."""
    with running_system(
        tmp_path_factory.mktemp("system"),
        MCP_ENABLE_MUTATION_TOOLS="true",
        TRACE_SAMPLE_RATIO="0",
        RATE_LIMIT_PER_MINUTE="100000",  # all tests together ask for more in a minute than one client may
    ) as running:
        yield running


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """A PostgreSQL with both services' databases, migrated. Tests share it: each makes teams of its own."""
    with databases_in(tmp_path_factory.mktemp("postgres")) as served:
        yield served
