"""The MCP edge on real sockets, between real MCP clients and backends that the test directs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.edge_mcp.settings import McpSettings
from services.edge_mcp.wiring import serving
from tests.fakes.grpc_backends import Backends, running_backends
from tests.integration.edge_mcp.harness import Edge, Gate, StartEdge


@pytest.fixture(scope="session")
def certificate_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture
async def backends(certificate_folder: Path) -> AsyncIterator[Backends]:
    async with running_backends(certificate_folder) as backends:
        yield backends


@pytest.fixture
def start_edge(backends: Backends, monkeypatch: pytest.MonkeyPatch) -> StartEdge:
    """Start an edge with settings of the test's choice."""

    @asynccontextmanager
    async def start(**settings: str) -> AsyncIterator[Edge]:
        environment = {"MCP_ENABLE_MUTATION_TOOLS": "true", "DRAIN_S": "5"}
        for name, value in {**backends.environment("edge_mcp"), **environment, **settings}.items():
            monkeypatch.setenv(name, value)
        async with serving(McpSettings()) as url:  # type: ignore[call-arg]
            yield Edge(url, backends)

    return start


@pytest.fixture
async def edge(start_edge: StartEdge) -> AsyncIterator[Edge]:
    """An edge with every tool enabled."""
    async with start_edge() as edge:
        yield edge


@pytest.fixture
def gate(backends: Backends) -> Gate:
    """Operations wait behind it."""
    gate = Gate()
    backends.mail.may_finish = gate
    return gate
