from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.a2a_edge import A2aEdge, running_a2a_edge


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture
async def edge(certificates: Path) -> AsyncIterator[A2aEdge]:
    async with running_a2a_edge(certificates) as edge:
        yield edge
