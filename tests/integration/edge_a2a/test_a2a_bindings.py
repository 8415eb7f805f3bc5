"""The SDK's own clients against every binding: unary, streams, errors, metadata."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import httpx
import pytest
from a2a.client import ClientConfig, ClientFactory
from a2a.client.client import Client
from a2a.client.client_factory import TransportProtocol
from a2a.types import a2a_pb2, a2a_pb2_grpc
from a2a.utils.errors import InvalidParamsError, TaskNotFoundError, UnsupportedOperationError
from google.protobuf.json_format import ParseDict
from google.rpc import error_details_pb2
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from services.common.errors import not_found
from tests.fakes.a2a_edge import A2aEdge, message_of
from tests.fakes.grpc_backends import API_KEY

WINDOW = {"start": "2026-03-10T09:00:00+01:00", "end": "2026-03-10T10:00:00+01:00"}
BINDINGS = [TransportProtocol.JSONRPC, TransportProtocol.GRPC, TransportProtocol.HTTP_JSON]
GOOD = (("x-api-key", API_KEY), ("a2a-version", "1.0"))


class _WithKey(aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(_keyed(details), request)


class _StreamWithKey(aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(_keyed(details), request)


def _keyed(details: Any) -> Any:
    metadata = aio.Metadata(*(details.metadata or ()), ("x-api-key", API_KEY))
    return details._replace(metadata=metadata)


@asynccontextmanager
async def client_of(edge: A2aEdge, binding: TransportProtocol) -> AsyncIterator[Client]:
    """The SDK's client, made from the card."""

    def channel(url: str) -> aio.Channel:
        return aio.insecure_channel(url, interceptors=[_WithKey(), _StreamWithKey()])

    async with httpx.AsyncClient(headers={"X-API-Key": API_KEY}, timeout=10) as http:
        config = ClientConfig(
            httpx_client=http, grpc_channel_factory=channel, supported_protocol_bindings=[binding]
        )
        client = await ClientFactory(config).create_from_url(edge.url)
        try:
            yield client
        finally:
            await client.close()


def request_for(data: Any, *, now: bool = False, message_id: str = "m-1") -> a2a_pb2.SendMessageRequest:
    body = {"message": message_of(data, message_id), "configuration": {"returnImmediately": now}}
    return ParseDict(body, a2a_pb2.SendMessageRequest())


async def events_of(stream: AsyncIterator[a2a_pb2.StreamResponse]) -> list[str]:
    return [event.WhichOneof("payload") async for event in stream]


@pytest.mark.promise("story.progress")
@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_stream_begins_with_the_task_and_ends_with_its_status(
    edge: A2aEdge, binding: TransportProtocol
) -> None:
    """Task, progress, artifact, final status: the order of A2A 1.0 on every binding."""
    async with client_of(edge, binding) as client:
        events = [event async for event in client.send_message(request_for({"action": "scan_mailbox"}))]
    kinds = [event.WhichOneof("payload") for event in events]
    assert kinds[0] == "task"
    assert kinds[-2:] == ["artifact_update", "status_update"]
    assert events[-1].status_update.status.state == a2a_pb2.TASK_STATE_COMPLETED
    assert len({event.status_update.task_id for event in events[1:] if event.HasField("status_update")}) == 1


@pytest.mark.parametrize("binding", BINDINGS)
async def test_an_immediate_action_streams_too(edge: A2aEdge, binding: TransportProtocol) -> None:
    """The same three steps, one after the other."""
    async with client_of(edge, binding) as client:
        kinds = await events_of(client.send_message(request_for(WINDOW)))
    assert kinds == ["task", "artifact_update", "status_update"]


@pytest.mark.parametrize("binding", BINDINGS)
async def test_clients_see_the_protocols_own_errors(edge: A2aEdge, binding: TransportProtocol) -> None:
    """Bad input, an unknown task and an ended task are the errors that clients know."""
    async with client_of(edge, binding) as client:
        with pytest.raises(InvalidParamsError):
            await events_of(client.send_message(request_for({"action": "nonsense"})))
        with pytest.raises(TaskNotFoundError):
            await client.get_task(a2a_pb2.GetTaskRequest(id="nobody"))
        events = [event async for event in client.send_message(request_for(WINDOW))]
        with pytest.raises(UnsupportedOperationError):
            await events_of(client.subscribe(a2a_pb2.SubscribeToTaskRequest(id=events[0].task.id)))


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_running_task_can_be_subscribed_to(edge: A2aEdge, binding: TransportProtocol) -> None:
    """A second stream tells the rest, to its end."""
    edge.backends.mail.may_finish.clear()
    async with client_of(edge, binding) as client:
        answer = await edge.task(
            {"action": "scan_mailbox"}, params={"configuration": {"returnImmediately": True}}
        )
        seen = []
        async for event in client.subscribe(a2a_pb2.SubscribeToTaskRequest(id=answer["id"])):
            seen.append(event.WhichOneof("payload"))
            edge.backends.mail.may_finish.set()
    assert seen[0] == "task"
    assert seen[-2:] == ["artifact_update", "status_update"]


@pytest.mark.parametrize("answer", [WINDOW, {"action": "scan_mailbox"}])
async def test_a_waiting_task_can_be_subscribed_to(edge: A2aEdge, answer: Any) -> None:
    """The stream stays open until the task has its message, and ends with the task."""
    waiting = await edge.task("am I free?")
    async with client_of(edge, TransportProtocol.JSONRPC) as client:
        stream = client.subscribe(a2a_pb2.SubscribeToTaskRequest(id=waiting["id"]))
        first = await anext(stream)
        await edge.task(answer, message_id="m-2", message={"taskId": waiting["id"]})
        async with asyncio.timeout(5):
            last = [event async for event in stream][-1]
    assert first.task.status.state == a2a_pb2.TASK_STATE_INPUT_REQUIRED
    assert last.status_update.status.state == a2a_pb2.TASK_STATE_COMPLETED


async def test_draining_lets_subscribers_of_waiting_tasks_go(edge: A2aEdge) -> None:
    """Nobody is held until the drain time is over."""
    waiting = await edge.task("am I free?")
    async with client_of(edge, TransportProtocol.GRPC) as client:
        stream = client.subscribe(a2a_pb2.SubscribeToTaskRequest(id=waiting["id"]))
        await anext(stream)
        edge.stop.set()
        async with asyncio.timeout(5):
            assert [event async for event in stream] == []


async def test_grpc_refuses_calls_without_a_credential(edge: A2aEdge) -> None:
    """UNAUTHENTICATED before any method, with the reason and a request id."""
    async with aio.insecure_channel(edge.grpc_address) as channel:
        stub = a2a_pb2_grpc.A2AServiceStub(channel)
        with pytest.raises(aio.AioRpcError) as refused:
            await stub.GetTask(a2a_pb2.GetTaskRequest(id="x"), metadata=(("a2a-version", "1.0"),))
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert reasons_of(refused.value) == ["CREDENTIAL_MISSING"]
    assert edge.backends.mail.requests == []


@pytest.mark.parametrize("key", [("x-api-key", API_KEY), ("authorization", f"Bearer {API_KEY}")])
async def test_grpc_takes_both_kinds_of_credential(edge: A2aEdge, key: tuple[str, str]) -> None:
    """The same credentials as over HTTP, in metadata."""
    async with aio.insecure_channel(edge.grpc_address) as channel:
        answer = await a2a_pb2_grpc.A2AServiceStub(channel).SendMessage(request_for(WINDOW), metadata=(key,))
    assert answer.task.status.state == a2a_pb2.TASK_STATE_COMPLETED


async def test_grpc_refuses_another_version(edge: A2aEdge) -> None:
    """VersionNotSupportedError, by the protocol's own reason."""
    async with aio.insecure_channel(edge.grpc_address) as channel:
        stub = a2a_pb2_grpc.A2AServiceStub(channel)
        metadata = (("x-api-key", API_KEY), ("a2a-version", "99.0"))
        with pytest.raises(aio.AioRpcError) as refused:
            await stub.SendMessage(request_for(WINDOW), metadata=metadata)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "VERSION_NOT_SUPPORTED" in reasons_of(refused.value)


@pytest.mark.promise("errors.bare")
async def test_grpc_says_nothing_of_an_unexpected_failure(edge: A2aEdge) -> None:
    """No exception text reaches the client."""
    edge.backends.mail.failures["CheckAvailability"] = RuntimeError("secret-token-in-text")
    async with aio.insecure_channel(edge.grpc_address) as channel:
        with pytest.raises(aio.AioRpcError) as refused:
            await a2a_pb2_grpc.A2AServiceStub(channel).SendMessage(request_for(WINDOW), metadata=GOOD)
    assert refused.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in repr(refused.value)


async def test_grpc_answers_with_the_request_id_of_the_client(edge: A2aEdge) -> None:
    """One id, from the client through the edge to the core."""
    async with aio.insecure_channel(edge.grpc_address) as channel:
        call = a2a_pb2_grpc.A2AServiceStub(channel).SendMessage(
            request_for(WINDOW), metadata=(*GOOD, ("x-request-id", "req-77"))
        )
        metadata = await call.initial_metadata()
        await call
    assert metadata["x-request-id"] == "req-77"
    assert edge.backends.mail.calls[-1].request_id == "req-77"


async def test_grpc_health_is_open(edge: A2aEdge) -> None:
    """Probes need no credential."""
    async with aio.insecure_channel(edge.grpc_address) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_failure_in_the_middle_of_a_stream_is_its_last_event(edge: A2aEdge) -> None:
    """What breaks a stream after its beginning is told in the stream, without exception text."""
    edge.backends.mail.failures["WatchOperation"] = not_found("OPERATION_NOT_FOUND", "Gone.")
    body = {"jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage"}
    body |= {"params": {"message": message_of({"action": "scan_mailbox"})}}
    answer = await edge.ask("POST", "/a2a/rpc", json=body)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    last = answer.body.strip().split("\r\n\r\n")[-1]
    assert '"OPERATION_NOT_FOUND"' in last
    assert "event: error" in last


async def test_a_stream_survives_a_restart_of_the_core(edge: A2aEdge) -> None:
    """The watch is taken up again where the core comes back."""
    edge.backends.mail.may_finish.clear()
    async with client_of(edge, TransportProtocol.JSONRPC) as client:
        stream = client.send_message(request_for({"action": "scan_mailbox"}))
        seen = [await anext(stream), await anext(stream)]
        await edge.backends.stop_mail()
        await edge.backends.start_mail()
        edge.backends.mail.may_finish.set()
        async with asyncio.timeout(5):
            seen += [event async for event in stream]
    assert seen[1].status_update.status.state == a2a_pb2.TASK_STATE_WORKING
    assert seen[-1].status_update.status.state == a2a_pb2.TASK_STATE_COMPLETED


@pytest.mark.promise("stopping.flight")
async def test_draining_ends_streams_and_waits_for_nothing_else(edge: A2aEdge) -> None:
    """On SIGTERM, clients of long tasks are let go; the operation goes on in the core."""
    edge.backends.mail.may_finish.clear()
    async with client_of(edge, TransportProtocol.JSONRPC) as client:
        stream = client.send_message(request_for({"action": "scan_mailbox"}))
        first = await anext(stream)
        edge.stop.set()
        async with asyncio.timeout(5):
            rest = [event async for event in stream]
    async with asyncio.timeout(5):
        await edge.serving
    assert first.HasField("task")
    assert not any(event.status_update.status.state == a2a_pb2.TASK_STATE_FAILED for event in rest)


def reasons_of(error: aio.AioRpcError) -> list[str]:
    status = rpc_status.from_call(error)
    infos = [error_details_pb2.ErrorInfo() for _ in status.details]
    return [info.reason for info, d in zip(infos, status.details, strict=True) if d.Unpack(info)]
