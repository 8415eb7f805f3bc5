"""Streams on a task that waits for its caller end when the caller's credential is revoked."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from a2a.types import a2a_pb2
from a2a.utils.constants import TransportProtocol

from tests.fakes.a2a_edge import KEY, VERSION, A2aEdge
from tests.fakes.grpc_backends import API_KEY, TEAM_ID
from tests.integration.edge_a2a.test_a2a_bindings import BINDINGS, client_of, request_for

ROOTS = [f"key:{API_KEY[:8]}", f"team:{TEAM_ID}"]
WAITING = a2a_pb2.TASK_STATE_INPUT_REQUIRED
TASKS = "/a2a/v1/tasks"
GONE = r"was revoked|cannot be accepted"
BOUND_S = 10


def _revoke(edge: A2aEdge, secret: str, root: str) -> None:
    """As auth does: the credential gets no passport any more, and every edge hears of it."""
    edge.backends.auth.refuse(secret, "CREDENTIAL_INVALID")
    edge.backends.auth.revoke(root)


async def _subscribed(edge: A2aEdge, client: object) -> AsyncIterator[a2a_pb2.StreamResponse]:
    """Subscribe to a task that waits; gives what follows its first event."""
    waiting = await edge.task("am I free?")
    stream = client.subscribe(a2a_pb2.SubscribeToTaskRequest(id=waiting["id"]))  # type: ignore[attr-defined]
    assert (await anext(stream)).task.status.state == WAITING
    return stream


@pytest.mark.promise("revocation.streams")
@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_stream_on_a_waiting_task_ends_with_its_credential(
    edge: A2aEdge, binding: TransportProtocol, root: str
) -> None:
    """Nothing happens on it that a backend would refuse: the edge itself ends it, saying why."""
    async with client_of(edge, binding) as client, asyncio.timeout(BOUND_S):
        stream = await _subscribed(edge, client)
        following = asyncio.ensure_future(anext(stream))
        _revoke(edge, API_KEY, root)
        with pytest.raises(Exception, match=GONE) as ended:
            await following
        assert not isinstance(ended.value, StopAsyncIteration), "it must say why"


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_credential_that_was_revoked_a_moment_before_hears_nothing(
    edge: A2aEdge, binding: TransportProtocol
) -> None:
    """Between being let in and waiting: the caller is asked about once more."""
    async with client_of(edge, binding) as client, asyncio.timeout(BOUND_S):
        waiting = await edge.task("am I free?")
        _revoke(edge, API_KEY, ROOTS[0])
        stream = client.subscribe(a2a_pb2.SubscribeToTaskRequest(id=waiting["id"]))
        with pytest.raises(Exception, match=rf"{GONE}|401"):
            async for event in stream:
                assert event.task.status.state == WAITING


async def test_other_credentials_keep_their_streams(edge: A2aEdge) -> None:
    """Only what hangs on the revoked root ends."""
    other = {"X-API-Key": "ma_other-key", **VERSION}
    edge.backends.auth.admit(other["X-API-Key"], scopes=["mail:scan"])
    async with client_of(edge, TransportProtocol.HTTP_JSON) as client, asyncio.timeout(BOUND_S):
        stream = await _subscribed(edge, client)
        following = asyncio.ensure_future(anext(stream))
        assert (await edge.ask("GET", TASKS, headers=other)).status == 200
        _revoke(edge, other["X-API-Key"], "key:ma_other")
        while (await edge.ask("GET", TASKS, headers=other)).status != 401:
            pass  # not heard of yet
        assert not following.done()
        task_id = (await edge.ask("GET", TASKS, headers=KEY | VERSION)).body["tasks"][0]["id"]
        await edge.ask("POST", f"{TASKS}/{task_id}:cancel", headers=KEY | VERSION, json={})
        assert (await following).status_update.status.state == a2a_pb2.TASK_STATE_CANCELED


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_message_that_leaves_its_task_waiting_ends_its_own_stream(
    edge: A2aEdge, binding: TransportProtocol
) -> None:
    """So that there is nothing which a revocation would have to end."""
    async with client_of(edge, binding) as client, asyncio.timeout(BOUND_S):
        events = [event async for event in client.send_message(request_for("am I free?"))]
    assert events[0].task.status.state == WAITING
