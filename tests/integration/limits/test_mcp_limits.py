"""Limits as MCP clients meet them: one message is one request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from services.edge_mcp.settings import McpSettings
from services.edge_mcp.wiring import serving
from tests.fakes.grpc_backends import running_backends
from tests.integration.edge_mcp.harness import WINDOW, Edge, request

CALL = request("tools/call", {"name": "check_availability", "arguments": WINDOW})


@asynccontextmanager
async def running_edge(folder: Path, **settings: Any) -> AsyncIterator[Edge]:
    async with running_backends(folder) as backends:
        environment = {name.lower(): value for name, value in backends.environment("edge_mcp").items()}
        async with serving(McpSettings(**environment, **settings)) as url:
            yield Edge(url, backends)


async def test_each_tool_call_counts_as_one(certificates: Path) -> None:
    """As a REST request does, and is answered with the same headers."""
    async with running_edge(certificates, rate_limit_per_minute=60) as edge:
        for left in (59, 58):
            async with edge.post(CALL) as answer:
                assert answer.status == 200
                assert answer.headers["X-RateLimit-Remaining"] == str(left)


async def test_what_is_refused_reaches_no_tool(certificates: Path) -> None:
    """HTTP 429 with the problem that REST shows."""
    async with running_edge(certificates, rate_limit_per_minute=1) as edge:
        async with edge.post(CALL) as answer:
            await answer.read()
        asked = len(edge.backends.mail.requests)
        async with edge.post(CALL) as refused:
            body = await refused.json(content_type=None)
        assert (refused.status, refused.headers["Retry-After"]) == (429, "60")
        assert refused.headers["X-RateLimit-Remaining"] == "0"
        assert body["reason"] == "RATE_LIMIT_EXCEEDED"
        assert 58 < body["retry_after_s"] <= 60
        assert len(edge.backends.mail.requests) == asked


async def test_a_batch_is_no_way_around_the_limit(certificates: Path) -> None:
    """The reference counted a batch as one and ran all of it. Here nothing of it runs, and it counts."""
    async with running_edge(certificates, rate_limit_per_minute=60) as edge:
        async with edge.post([CALL] * 10) as answer:
            assert answer.status == 400
            assert answer.headers["X-RateLimit-Remaining"] == "59"
        assert edge.backends.mail.requests == []


async def test_guessing_is_limited_by_address_and_probes_are_not(certificates: Path) -> None:
    """The same rim as at the other edges."""
    async with running_edge(certificates, rate_limit_failures_per_minute=2) as edge:
        statuses = []
        for i in range(4):
            async with edge.post(CALL, {"X-API-Key": f"ma_guess-{i}"}) as answer:
                statuses.append(answer.status)
        assert statuses == [401, 401, 429, 429]
