"""A running REST edge for each test; certificates are made once."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fakes.rest_edge import RestEdge, running_rest_edge


@pytest.fixture(scope="session")
def certificate_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture
async def edge(certificate_folder: Path) -> AsyncIterator[RestEdge]:
    async with running_rest_edge(certificate_folder, event_heartbeat_s=0.2) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_edge(certificate_folder: Path) -> AsyncIterator[RestEdge]:
    async with running_rest_edge(certificate_folder, event_heartbeat_s=0.2) as running:
        yield running


@pytest.fixture
def shared_edge(module_edge: RestEdge) -> RestEdge:
    """An edge for long tables of cases: one for the whole module, its backends as new."""
    module_edge.backends.auth.reset()
    module_edge.backends.mail.reset()
    return module_edge
