"""The REST edge as a process of its own: its start, its one voice, its end."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.fakes.grpc_backends import API_KEY, Backends, running_backends

HEADERS = {"X-API-Key": API_KEY}


@asynccontextmanager
async def running_process(
    backends: Backends, folder: Path, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `python -m services.edge_rest` inside the block; kill it when it is still there at the end."""
    settings = {**backends.environment("edge_rest"), "READY_FILE": str(folder / "ready.json"), **environment}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.edge_rest",
        env={**os.environ, **settings}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def announced(ready_file: Path) -> str:
    """Wait for the announcement; gives the URL."""
    async with asyncio.timeout(20):
        while not ready_file.exists():
            await asyncio.sleep(0.05)
    content = json.loads(ready_file.read_text())
    assert content["service"] == "edge_rest"
    return f"http://{content['addresses']['http']}"


@pytest.mark.promise("stopping.clean", "stopping.flight")
async def test_sigterm_ends_streams_and_the_process_in_order(tmp_path):
    """Ready when announced; on SIGTERM the open stream ends whole, the exit code is 0, the log is JSON."""
    async with (
        running_backends(tmp_path / "certificates") as backends,
        running_process(backends, tmp_path) as process,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
    ):
        url = await announced(tmp_path / "ready.json")
        backends.mail.may_finish.clear()
        async with session.post(f"{url}/v1/mailboxes/me/scans", headers=HEADERS) as response:
            location = response.headers["Location"]
        async with session.get(f"{url}{location}/events", headers=HEADERS) as stream:
            await stream.content.readuntil(b"event: operation")
            process.send_signal(signal.SIGTERM)
            await stream.content.read()
        async with asyncio.timeout(10):
            _, errors = await process.communicate()
        assert process.returncode == 0
        lines = [json.loads(line) for line in errors.splitlines()]
        assert {line["event"] for line in lines} == {"request"}
        assert {line["reason"] for line in lines} == {"OK"}
        assert API_KEY not in errors.decode()


async def test_a_half_configured_process_says_what_to_set(tmp_path):
    """No traceback, no guess: the names of what is missing."""
    async with running_backends(tmp_path / "certificates") as backends:
        async with running_process(backends, tmp_path, MAIL_CORE_ADDRESS="", MAX_BODY_BYTES="7") as process:
            async with asyncio.timeout(20):
                _, errors = await process.communicate()
        assert process.returncode == 1
        text = errors.decode()
        assert "MAIL_CORE_ADDRESS" in text
        assert "MAX_BODY_BYTES" in text
        assert "Traceback" not in text
