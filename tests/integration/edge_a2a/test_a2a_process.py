"""The edge as a process of its own."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import aiohttp
import grpc
import pytest
from a2a.types import a2a_pb2, a2a_pb2_grpc

from tests.fakes.a2a_edge import serving_edge
from tests.fakes.grpc_backends import API_KEY, Backends, running_backends


async def _started(backends: Backends, ready_file: Path) -> asyncio.subprocess.Process:
    environment = {**os.environ, **backends.environment("edge_a2a"), "READY_FILE": str(ready_file)}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.edge_a2a", env=environment, stderr=asyncio.subprocess.PIPE
    )


@pytest.mark.promise("stopping.clean")
async def test_it_announces_itself_serves_and_stops_cleanly(certificates: Path, tmp_path: Path) -> None:
    """READY_FILE names both addresses; SIGTERM ends it with exit code 0."""
    ready_file = tmp_path / "ready.json"
    async with running_backends(certificates) as backends, asyncio.timeout(30):
        process = await _started(backends, ready_file)
        while not ready_file.exists():
            await asyncio.sleep(0.02)
        ready = json.loads(ready_file.read_text())
        assert (ready["service"], ready["pid"]) == ("edge_a2a", process.pid)
        assert set(ready["addresses"]) == {"a2a", "a2a_grpc"}
        async with aiohttp.ClientSession(ready["addresses"]["a2a"]) as session:
            async with session.get("/ready") as answer:
                assert answer.status == 200
            async with session.post("/a2a/rpc", json={}) as answer:
                assert answer.status == 401
        process.send_signal(signal.SIGTERM)
        _, logged = await process.communicate()
    assert process.returncode == 0, logged
    lines = [json.loads(line) for line in logged.splitlines()]
    assert any(line["event"] == "request" and line["status"] == 401 for line in lines)


@pytest.mark.parametrize("half", ["A2A_GRPC_TLS_CERT_FILE", "A2A_GRPC_TLS_KEY_FILE"])
async def test_half_a_certificate_is_refused_at_start(certificates: Path, tmp_path: Path, half: str) -> None:
    """A half-configured mode says what to set."""
    async with running_backends(certificates) as backends, asyncio.timeout(30):
        environment = {**os.environ, **backends.environment("edge_a2a"), half: str(tmp_path / "x.pem")}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.edge_a2a", env=environment, stderr=asyncio.subprocess.PIPE
        )
        _, logged = await process.communicate()
    assert process.returncode == 1
    assert b"go together" in logged


async def test_the_grpc_binding_speaks_tls_when_it_is_told_to(certificates: Path) -> None:
    """With a certificate, plaintext is refused and TLS is served."""
    async with running_backends(certificates) as backends:
        files = backends.tls("edge_a2a")
        tls = {"a2a_grpc_tls_cert_file": files.cert_file, "a2a_grpc_tls_key_file": files.key_file}
        async with serving_edge(backends, **tls) as edge:
            credentials = grpc.ssl_channel_credentials(files.ca_file.read_bytes())
            async with grpc.aio.secure_channel(edge.grpc_address, credentials) as channel:
                answer = await a2a_pb2_grpc.A2AServiceStub(channel).ListTasks(
                    a2a_pb2.ListTasksRequest(), metadata=(("x-api-key", API_KEY),), timeout=5
                )
            assert list(answer.tasks) == []
            async with grpc.aio.insecure_channel(edge.grpc_address) as channel:
                with pytest.raises(grpc.aio.AioRpcError):
                    await a2a_pb2_grpc.A2AServiceStub(channel).ListTasks(
                        a2a_pb2.ListTasksRequest(), timeout=2
                    )
