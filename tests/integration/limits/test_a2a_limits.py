"""Limits as A2A clients meet them, over all three bindings."""

import asyncio
from pathlib import Path

import grpc
import pytest
from a2a.types import a2a_pb2, a2a_pb2_grpc
from google.rpc import error_details_pb2
from grpc import aio
from grpc_status import rpc_status

from tests.fakes.a2a_edge import CARD_PATH, KEY, RPC_PATH, VERSION, message_of, running_a2a_edge

LIST = {"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {}}
METADATA = tuple((name.lower(), value) for name, value in (KEY | VERSION).items())


async def test_bindings_count_together_and_refuse_with_429(certificates: Path) -> None:
    """Each call counts as one, whichever way it comes."""
    async with running_a2a_edge(certificates, rate_limit_per_minute=3) as edge:
        first = await edge.ask("POST", RPC_PATH, json=LIST)
        second = await edge.ask("GET", "/a2a/v1/tasks")
        assert [a.headers["X-RateLimit-Remaining"] for a in (first, second)] == ["2", "1"]
        async with aio.insecure_channel(edge.grpc_address) as channel:
            call = a2a_pb2_grpc.A2AServiceStub(channel).ListTasks(
                a2a_pb2.ListTasksRequest(), metadata=METADATA
            )
            told = dict(iter(await call.initial_metadata()))
            await call
        assert told["x-ratelimit-remaining"] == "0"
        for refused in (
            await edge.ask("POST", RPC_PATH, json=LIST),
            await edge.ask("GET", "/a2a/v1/tasks"),
        ):
            assert (refused.status, refused.headers["Retry-After"]) == (429, "60")
            assert refused.body["reason"] == "RATE_LIMIT_EXCEEDED"


async def test_over_grpc_a_refusal_is_resource_exhausted_with_retry_info(certificates: Path) -> None:
    """google.rpc.RetryInfo and ErrorInfo."""
    async with running_a2a_edge(certificates, rate_limit_per_minute=1) as edge:
        await edge.ask("GET", "/a2a/v1/tasks")
        async with aio.insecure_channel(edge.grpc_address) as channel:
            stub = a2a_pb2_grpc.A2AServiceStub(channel)
            with pytest.raises(aio.AioRpcError) as raised:
                await stub.ListTasks(a2a_pb2.ListTasksRequest(), metadata=METADATA)
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        status = rpc_status.from_call(raised.value)  # type: ignore[arg-type]
        assert status is not None
        for detail in status.details:
            detail.Unpack(info)
            detail.Unpack(retry)
        assert info.reason == "RATE_LIMIT_EXCEEDED"
        assert dict(info.metadata) == {"limit": "key", "limit_per_minute": "1"}
        assert 58 < retry.retry_delay.seconds <= 60


async def test_open_streams_of_a_credential_are_bounded(certificates: Path) -> None:
    """JSON-RPC, HTTP+JSON and gRPC streams count together, each once when it starts."""
    limits = {"max_streams_per_credential": 1, "rate_limit_per_minute": 100}
    async with running_a2a_edge(certificates, **limits) as edge:
        edge.backends.mail.may_finish.clear()
        scan = {"message": message_of({"action": "scan_mailbox"})}
        stream = {**LIST, "method": "SendStreamingMessage", "params": scan}
        url = edge.url + RPC_PATH
        opened = await edge.session.post(url, json=stream, headers=KEY | VERSION)
        await opened.content.readline()
        assert opened.headers["X-RateLimit-Remaining"] == "99"
        again = await edge.ask("POST", RPC_PATH, json=stream)
        assert "TOO_MANY_STREAMS" in str(again.body)
        by_http = await edge.ask("POST", "/a2a/v1/message:stream", json=scan)
        assert "TOO_MANY_STREAMS" in str(by_http.body)
        async with aio.insecure_channel(edge.grpc_address) as channel:
            call = a2a_pb2_grpc.A2AServiceStub(channel).SubscribeToTask(
                a2a_pb2.SubscribeToTaskRequest(id="any"), metadata=METADATA
            )
            with pytest.raises(aio.AioRpcError) as raised:
                await call.read()
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        edge.backends.mail.may_finish.set()
        async with asyncio.timeout(5):
            await opened.read()
        assert (await edge.ask("POST", RPC_PATH, json=stream)).status == 200


async def test_the_card_is_limited_by_address_and_probes_are_not(certificates: Path) -> None:
    """Whoever has a credential is not held up by it."""
    async with running_a2a_edge(certificates, rate_limit_address_per_minute=2) as edge:
        cards = [(await edge.ask("GET", CARD_PATH, headers={})).status for _ in range(4)]
        assert cards == [200, 200, 429, 429]
        assert {(await edge.ask("GET", "/health", headers={})).status for _ in range(4)} == {200}
        assert (await edge.ask("GET", "/a2a/v1/tasks")).status == 200
