"""Fixtures that cost too much to make for every test."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.postgres import Databases, databases_in
from tests.system import RunningSystem, running_system

# How fast examples are made says how busy the machine is, and nothing of what is tested.
settings.register_profile("mailwarden", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mailwarden")


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """One whole system for all tests that leave it as healthy as they found it."""
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
