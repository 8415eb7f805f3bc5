"""One running system with two teams, for all who ask it in turn."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.fakes.tokens import AUDIENCE, ISSUER, SECRET
from tests.matrix.world import World
from tests.system import RunningSystem, running_system

GENEROUS = "100000"
KEYS = {"AGENT_API_KEY": "Environment-key-0f9c1d526b7e4c1e", "AUTH_JWT_SECRET": SECRET}


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """A system that takes every kind of credential, and does not count those who ask too often."""
    with running_system(
        tmp_path_factory.mktemp("guarded"),
        AUTH_MODE="hybrid",
        AUTH_JWT_ISSUER=ISSUER,
        AUTH_JWT_AUDIENCE=AUDIENCE,
        MCP_ENABLE_MUTATION_TOOLS="true",
        RATE_LIMIT_PER_MINUTE=GENEROUS,
        RATE_LIMIT_TEAM_PER_MINUTE=GENEROUS,
        RATE_LIMIT_ADDRESS_PER_MINUTE=GENEROUS,
        RATE_LIMIT_FAILURES_PER_MINUTE=GENEROUS,
        TRUSTED_PROXIES="127.0.0.0/8",
        **KEYS,
    ) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(guarded: RunningSystem) -> AsyncIterator[World]:
    """Two teams of its own for every module."""
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        made = World(guarded, http, Path(guarded.data_dir) / "certs")
        try:
            await made.make()
            yield made
        finally:
            await made.close()
