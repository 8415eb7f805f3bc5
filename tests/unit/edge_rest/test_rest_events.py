"""Operations as server-sent events."""

import asyncio
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest

from protos.mail.v1 import resources_pb2
from services.common.errors import AppError, Kind
from tests.fakes.grpc_backends import API_KEY
from tests.fakes.rest_edge import running_rest_edge

HEADERS = {"X-API-Key": API_KEY}


class Events:
    """What an EventSource makes of a stream: (id, event, data); comments as `("", "comment", text)`."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self):
        fields = {}
        async with asyncio.timeout(5):
            while line := (await self.response.content.readline()).decode().rstrip("\n"):
                name, _, value = line.partition(":")
                fields[name or "comment"] = value.strip()
        if "comment" in fields:
            return "", "comment", fields["comment"]
        if "data" not in fields:
            return None
        return fields.get("id", ""), fields["event"], json.loads(fields["data"])

    async def operation(self):
        """The next event that is not a sign of life."""
        while (event := await self.next()) is None or event[1] == "comment":
            assert not self.response.content.at_eof()
        return event


@asynccontextmanager
async def watching(edge, path, **headers):
    async with edge.session.get(edge.url(f"{path}/events"), headers={**HEADERS, **headers}) as response:
        yield Events(response)


async def started(edge) -> str:
    return (await edge.post("/v1/mailboxes/me/scans")).headers["Location"]


@pytest.mark.promise("story.progress")
async def test_stream_shows_every_state_and_ends_after_the_last(edge):
    """The events are the operation itself, as GET shows it."""
    path = await started(edge)
    async with watching(edge, path) as events:
        assert events.response.headers["Content-Type"] == "text/event-stream"
        assert events.response.headers["Cache-Control"] == "no-store"
        assert await events.next() is None  # the reconnection time
        shown = [await events.operation() for _ in range(3)]
        assert [data["state"] for _, _, data in shown] == ["queued", "running", "succeeded"]
        assert {event for _, event, _ in shown} == {"operation"}
        assert len({event_id for event_id, _, _ in shown}) == 3
        assert await events.response.content.read() == b""
    assert shown[-1][2] == (await edge.get(path)).body


async def test_a_quiet_stream_shows_signs_of_life(edge):
    """Proxies close what is silent; comments are not events."""
    edge.backends.mail.may_finish.clear()
    async with watching(edge, await started(edge)) as events:
        await events.operation()
        await events.operation()
        assert await events.next() == ("", "comment", "alive")
        assert await events.next() == ("", "comment", "alive")
        edge.backends.mail.may_finish.set()
        assert (await events.operation())[2]["state"] == "succeeded"


@pytest.mark.parametrize(
    ("path", "headers", "status", "reason"),
    [
        ("/v1/operations/unknown", HEADERS, 404, "OPERATION_NOT_FOUND"),
        ("/v1/operations/unknown", {}, 401, "CREDENTIAL_MISSING"),
    ],
)
async def test_errors_before_the_first_event_keep_their_status(edge, path, headers, status, reason):
    """A stream begins only when there is something to show."""
    answer = await edge.get(f"{path}/events", headers=headers)
    assert (answer.status, answer.body["reason"]) == (status, reason)
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_a_client_that_saw_the_end_is_told_to_stop(edge):
    """An EventSource comes back after every end; only 204 stops it (HTML §9.2.3)."""
    path = await started(edge)
    assert (await edge.get(path)).body["state"] == "succeeded"
    async with watching(edge, path) as events:
        last_id, _, data = await events.operation()
    assert data["state"] == "succeeded"
    again = await edge.get(f"{path}/events", headers={**HEADERS, "Last-Event-ID": last_id})
    assert (again.status, again.body) == (204, "")


async def test_a_client_that_comes_back_sees_the_present_state(edge):
    """Nothing is replayed: the state now is all that matters."""
    edge.backends.mail.may_finish.clear()
    path = await started(edge)
    async with watching(edge, path) as events:
        await events.operation()
        seen, _, _ = await events.operation()
    async with watching(edge, path, **{"Last-Event-ID": seen}) as events:
        assert (await events.operation())[2]["state"] == "running"


async def test_a_client_that_leaves_takes_nothing_with_it(edge):
    """The stream behind ends, the operation goes on, the edge serves."""
    edge.backends.mail.may_finish.clear()
    path = await started(edge)
    async with watching(edge, path) as events:
        await events.operation()
        events.response.close()
    assert (await edge.get(path)).body["state"] in ("queued", "running")
    edge.backends.mail.may_finish.set()
    async with watching(edge, path) as events:
        while (await events.operation())[2]["state"] != "succeeded":
            pass


async def test_a_restart_of_the_core_is_not_seen(edge):
    """The stream goes on when the core is back."""
    edge.backends.mail.may_finish.clear()
    async with watching(edge, await started(edge)) as events:
        await events.operation()
        await events.operation()
        await edge.backends.stop_mail()
        await edge.backends.start_mail()
        edge.backends.mail.may_finish.set()
        assert (await events.operation())[2]["state"] == "succeeded"


async def test_a_failure_in_the_middle_is_said_in_the_stream(edge):
    """The status has gone out; the reason still reaches the client."""
    edge.backends.mail.may_finish.clear()
    async with watching(edge, await started(edge)) as events:
        await events.operation()
        await events.operation()
        await edge.backends.stop_mail()
        edge.backends.mail.failures["WatchOperation"] = AppError(
            Kind.NOT_FOUND, "OPERATION_NOT_FOUND", "Gone."
        )
        await edge.backends.start_mail()
        _, event, problem = await events.operation()
        assert (event, problem["reason"]) == ("problem", "OPERATION_NOT_FOUND")
        assert problem["request_id"] == events.response.headers["X-Request-Id"]


async def test_a_failed_operation_is_a_final_state(edge):
    """Its error is part of it, not of the stream."""
    path = await started(edge)
    operation = edge.backends.mail.operations[path.rpartition("/")[2]]
    operation.state = resources_pb2.OPERATION_STATE_FAILED
    operation.error.reason = "GMAIL_DOWN"
    async with watching(edge, path) as events:
        assert (await events.operation())[2]["error"]["reason"] == "GMAIL_DOWN"
        assert await events.response.content.read() == b""


async def test_streams_are_bounded(certificate_folder):
    """One greedy client must not take every connection to the core."""
    async with running_rest_edge(certificate_folder, max_event_streams=1) as edge:
        edge.backends.mail.may_finish.clear()
        path = await started(edge)
        async with watching(edge, path) as events:
            await events.operation()
            refused = await edge.get(f"{path}/events")
            assert (refused.status, refused.body["reason"]) == (429, "TOO_MANY_STREAMS")
            assert refused.headers["Retry-After"] == "5"


async def test_stopping_ends_open_streams_cleanly(certificate_folder):
    """A client sees the end of the answer, not a cut, and goes elsewhere."""
    async with running_rest_edge(certificate_folder, drain_s=3) as edge:
        edge.backends.mail.may_finish.clear()
        response = await edge.session.get(edge.url(f"{await started(edge)}/events"), headers=HEADERS)
        events = Events(response)
        await events.operation()
        rest = asyncio.create_task(response.content.read())
    async with asyncio.timeout(5):
        assert b"problem" not in await rest
