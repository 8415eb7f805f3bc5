"""A running REST edge for each test; certificates are made once."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.rest_edge import RestEdge, running_rest_edge


@pytest.fixture(scope="session")
def certificate_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture
async def edge(certificate_folder: Path) -> AsyncIterator[RestEdge]:
    async with running_rest_edge(certificate_folder, event_heartbeat_s=0.2) as running:
        yield running
