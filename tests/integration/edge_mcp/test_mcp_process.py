"""`python -m services.edge_mcp` as whoever starts it sees it."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.fakes.grpc_backends import Backends
from tests.integration.edge_mcp.harness import TOOL_NAMES, Edge, Gate, headers_of, request

ROOT = Path(__file__).parents[3]
START_S = 60.0


@asynccontextmanager
async def started(environment: dict[str, str]) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.edge_mcp", cwd=ROOT, env=environment, stdout=PIPE, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def _environment(backends: Backends, ready_file: Path) -> dict[str, str]:
    path = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    edge = {"READY_FILE": str(ready_file), "MCP_ENABLE_MUTATION_TOOLS": "true"}
    return {**path, **backends.environment("edge_mcp"), **edge}


async def _url(ready_file: Path) -> str:
    async with asyncio.timeout(START_S):
        while not (content := _content(ready_file)):
            await asyncio.sleep(0.02)
    return json.loads(content)["addresses"]["mcp"]


def _content(ready_file: Path) -> str:
    return ready_file.read_text() if ready_file.exists() else ""


@pytest.mark.promise("stopping.clean", "stopping.flight")
async def test_the_process_serves_drains_and_leaves(backends: Backends, gate: Gate, tmp_path: Path) -> None:
    """Ready file, one call in flight at SIGTERM answered, exit 0; every log line is JSON."""
    ready_file = tmp_path / "ready.json"
    async with started(_environment(backends, ready_file)) as process:
        edge = Edge(await _url(ready_file), backends)
        async with edge.client() as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == TOOL_NAMES
        body = request(
            "tools/call", {"name": "scan_mailbox", "arguments": {}, "_meta": {"progressToken": 1}}, "auto"
        )
        async with edge.post(body, headers_of(body, "auto")) as response:
            await gate.is_watched.wait()
            process.send_signal(signal.SIGTERM)
            assert "go on waiting" in await response.text()
        async with asyncio.timeout(10):
            _, errors = await process.communicate()
    assert process.returncode == 0
    lines = [json.loads(line) for line in errors.decode().splitlines()]
    assert {"mcp.scan_mailbox"} <= {line.get("route") for line in lines}


async def test_a_process_without_settings_says_what_to_set() -> None:
    """One line per missing setting, exit 1."""
    async with started({"PATH": os.environ["PATH"]}) as process, asyncio.timeout(START_S):
        _, errors = await process.communicate()
    assert process.returncode == 1
    text = errors.decode()
    assert "AUTH_ADDRESS" in text
    assert "TLS_CERT_FILE" in text
    assert "Traceback" not in text
