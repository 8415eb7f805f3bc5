"""One authorization server for all tests of this folder; each makes teams, keys and clients of its own."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integration.auth.oauth.world import World, running_world
from tests.postgres import Databases


@pytest_asyncio.fixture
async def world(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Signs people in with admin keys."""
    async with running_world(
        databases, tmp_path_factory.mktemp("oauth"), egress_allow="127.0.0.0/8"
    ) as running:
        yield running
