"""Scanning and unsubscribing as a model lives through them: progress, patience, and nothing done twice."""

import asyncio
from typing import Any

import pytest

from protos.mail.v1 import mail_pb2, resources_pb2
from services.common.errors import unavailable
from tests.fakes.grpc_backends import SUBSCRIPTION_IDS
from tests.integration.edge_mcp.harness import (
    ERAS,
    Edge,
    Gate,
    StartEdge,
    error_of,
    headers_of,
    request,
    text_of,
)


@pytest.mark.promise("story.progress")
@pytest.mark.parametrize("era", ERAS)
async def test_progress_reaches_the_client_while_the_scan_runs(edge: Edge, gate: Gate, era: str) -> None:
    """Notifications arrive before the result and only ever rise (MCP, progress)."""
    seen: list[tuple[float, float | None, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, total, message))
        if message == "fetching":
            gate.set()  # the scan can only finish once the client has seen this

    async with asyncio.timeout(5), edge.client(era) as client:
        result = await client.call_tool("scan_mailbox", {}, progress_callback=on_progress)
    assert seen == [(0, None, None), (1, 2, "fetching"), (2, 2, "labelling")]
    assert result.structured_content is not None
    assert result.structured_content["state"] == "succeeded"
    assert result.structured_content["scan"]["scanned_count"] == 2
    assert "unsubscribe" not in result.structured_content


@pytest.mark.promise("once.request-id")
@pytest.mark.parametrize("era", ERAS)
async def test_a_long_scan_is_answered_while_it_runs_and_waited_on_by_its_request_id(
    start_edge: StartEdge, gate: Gate, era: str
) -> None:
    """After the wait the model gets the id and how to go on; the same id starts nothing twice."""
    async with start_edge(MCP_OPERATION_WAIT_S="0.05") as edge, edge.client(era) as client:
        first = await client.call_tool("scan_mailbox", {})
        assert not first.is_error
        assert first.structured_content is not None
        assert first.structured_content["state"] in {"queued", "running"}
        request_id = first.structured_content["request_id"]
        assert f'request_id "{request_id}"' in text_of(first)
        gate.set()
        second = await client.call_tool("scan_mailbox", {"request_id": request_id})
        assert second.structured_content is not None
        assert second.structured_content["state"] == "succeeded"
        assert second.structured_content["id"] == first.structured_content["id"]
        assert len(edge.backends.mail.operations) == 1


async def test_calls_without_a_request_id_are_separate_requests(edge: Edge) -> None:
    """The default is a fresh id each time."""
    async with edge.client() as client:
        for _ in range(2):
            await client.call_tool("execute_unsubscribe", {"subscription_ids": [SUBSCRIPTION_IDS[0]]})
    sent = [r for r in edge.backends.mail.requests if isinstance(r, mail_pb2.UnsubscribeRequest)]
    assert len({r.request_id for r in sent}) == 2


async def test_a_dry_run_is_asked_for_as_one(edge: Edge) -> None:
    """dry_run and the ids go to the core as they are."""
    arguments = {"subscription_ids": list(SUBSCRIPTION_IDS), "dry_run": True, "request_id": "try 1"}
    async with edge.client() as client:
        await client.call_tool("execute_unsubscribe", arguments)
    (sent,) = [r for r in edge.backends.mail.requests if isinstance(r, mail_pb2.UnsubscribeRequest)]
    assert (sent.dry_run, sent.request_id, list(sent.subscription_ids)) == (
        True,
        "try 1",
        list(SUBSCRIPTION_IDS),
    )


@pytest.mark.parametrize("era", ERAS)
async def test_a_failed_operation_is_an_error_that_tells_what_was_done(edge: Edge, era: str) -> None:
    """Reason and message of the operation, and the outcomes that there were."""
    edge.backends.mail.answers["Unsubscribe"] = resources_pb2.Operation(
        id="op",
        state=resources_pb2.OPERATION_STATE_FAILED,
        error=resources_pb2.OperationError(
            reason="GMAIL_GRANT_REVOKED", message="Connect the mailbox again."
        ),
        unsubscribe=resources_pb2.UnsubscribeReport(
            outcomes=[resources_pb2.UnsubscribeOutcome(subscription_id="s1", display_name="Weekly")]
        ),
    )
    async with edge.client(era) as client:
        result = await client.call_tool("execute_unsubscribe", {"subscription_ids": ["s1"]})
    error = error_of(result)
    assert (error["reason"], error["message"]) == ("GMAIL_GRANT_REVOKED", "Connect the mailbox again.")
    assert error["operation"]["unsubscribe"]["outcomes"][0]["subscription_id"] == "s1"
    assert '"Weekly"' in text_of(result)


async def test_a_cancelled_operation_is_a_result(edge: Edge) -> None:
    """Somebody cancelled it: that is an outcome, not a failure of the call."""
    edge.backends.mail.answers["ScanMailbox"] = resources_pb2.Operation(
        id="op", state=resources_pb2.OPERATION_STATE_CANCELLED
    )
    async with edge.client() as client:
        result = await client.call_tool("scan_mailbox", {})
    assert not result.is_error
    assert text_of(result) == "Cancelled. Nothing had been done."


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_that_goes_away_ends_the_watching_and_not_the_operation(
    edge: Edge, gate: Gate, era: str
) -> None:
    """Nothing is left running here for a lost connection, and nothing is cancelled there."""
    body = request(
        "tools/call", {"name": "scan_mailbox", "arguments": {}, "_meta": {"progressToken": 1}}, era
    )
    async with asyncio.timeout(5):
        async with edge.post(body, headers_of(body, era)) as response:
            assert response.status == 200
            await gate.is_watched.wait()
        await gate.is_left.wait()
    _assert_nothing_was_cancelled(edge)


@pytest.mark.parametrize("era", ERAS)
async def test_a_cancelled_notification_does_not_cancel_the_operation(
    edge: Edge, gate: Gate, era: str
) -> None:
    """It names only an id that any client may have chosen, so it cannot be allowed to stop work."""
    body = request(
        "tools/call", {"name": "scan_mailbox", "arguments": {}, "_meta": {"progressToken": 1}}, era
    )
    cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    routing = {**headers_of(body, era), "Mcp-Method": "notifications/cancelled"}
    routing.pop("Mcp-Name", None)
    async with asyncio.timeout(5), edge.post(body, headers_of(body, era)) as response:
        await gate.is_watched.wait()
        async with edge.post(cancelled, routing) as answer:
            assert answer.status == 202
        gate.set()
        assert '"succeeded"' in (await response.text())
    _assert_nothing_was_cancelled(edge)


def _assert_nothing_was_cancelled(edge: Edge) -> None:
    mail = edge.backends.mail
    assert not [r for r in mail.requests if isinstance(r, mail_pb2.CancelOperationRequest)]
    assert resources_pb2.OPERATION_STATE_CANCELLED not in [op.state for op in mail.operations.values()]


async def test_a_restart_of_the_core_is_waited_out(edge: Edge, gate: Gate) -> None:
    """The watch is taken up again when the core is back."""
    async with asyncio.timeout(10), edge.client() as client, asyncio.TaskGroup() as tasks:
        calling = tasks.create_task(client.call_tool("scan_mailbox", {}))
        await gate.is_watched.wait()
        await edge.backends.stop_mail()
        gate.set()
        await edge.backends.start_mail()
    result = calling.result()
    assert result.structured_content is not None
    assert result.structured_content["state"] == "succeeded"


async def test_an_error_after_the_start_says_how_to_go_on(edge: Edge) -> None:
    """The request id is in the message, so that the model does not start anew."""
    edge.backends.mail.failures["WatchOperation"] = unavailable(
        "DATABASE_DOWN", "The database does not answer."
    )
    async with asyncio.timeout(10), edge.client() as client:
        error = error_of(await client.call_tool("scan_mailbox", {"request_id": "mine"}))
    assert (error["reason"], error["retryable"]) == ("DATABASE_DOWN", True)
    assert 'request_id "mine"' in error["message"]


@pytest.mark.parametrize("era", ERAS)
async def test_draining_answers_waiting_tools_with_what_is_known(
    start_edge: StartEdge, gate: Gate, era: str
) -> None:
    """A stopping edge does not hold its clients for the whole wait, and loses no answer."""
    body = request("tools/call", {"name": "scan_mailbox", "arguments": {"request_id": "mine"}}, era)
    async with asyncio.timeout(5):
        async with start_edge() as edge:
            calling = asyncio.create_task(_call(edge, body, era))
            await gate.is_watched.wait()
        text = await calling
    assert "go on waiting" in text


async def _call(edge: Edge, body: dict[str, Any], era: str) -> str:
    async with edge.post(body, headers_of(body, era)) as response:
        return await response.text()
