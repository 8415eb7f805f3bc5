"""The personal agent's clients keep working, by the rules that `compat` states."""

import json
from typing import Any

import pytest

from protos.mail.v1 import mail_pb2
from services.common.errors import not_found
from tests.fakes.a2a_edge import KEY, VERSION, A2aEdge

WINDOW = {
    "start": "2026-03-10T09:00:00+01:00",
    "end": "2026-03-10T10:00:00+01:00",
    "calendar_ids": ["primary"],
}


@pytest.mark.parametrize("method", ["ping", "health.ping", "health/ping"])
async def test_ping_answers(edge: A2aEdge, method: str) -> None:
    """Three spellings, no version needed."""
    response = await edge.rpc(method, headers=KEY)
    assert response["result"] == {"status": "ok", "service": "mailwarden", "protocolVersion": "1.0"}


@pytest.mark.promise("story.loose")
@pytest.mark.parametrize(
    "params",
    [
        WINDOW,
        {"input": WINDOW},
        {"arguments": WINDOW},
        {"message": {"role": "user", "content": json.dumps(WINDOW)}},
        {"message": {"role": "user", "content": [{"type": "text", "text": json.dumps(WINDOW)}]}},
        {"message": {"role": "user", "parts": [{"kind": "text", "text": json.dumps(WINDOW)}]}},
        {"message": json.dumps(WINDOW)},
        {**WINDOW, "action": "check_availability", "conversation": "whatever"},
    ],
)
async def test_every_loose_place_is_read(edge: A2aEdge, params: dict[str, Any]) -> None:
    """The plain fields of the answer stand beside the task."""
    result = (await edge.rpc("SendMessage", params, headers=KEY))["result"]
    assert result["available"] is True
    assert result["busy"] == []
    assert result["task"]["status"]["state"] == "TASK_STATE_COMPLETED"
    request = edge.backends.mail.last(mail_pb2.CheckAvailabilityRequest)
    assert (list(request.calendar_ids), request.start_time.seconds) == (["primary"], 1_773_129_600)


async def test_loose_intervals(edge: A2aEdge) -> None:
    """The other action, by its name."""
    asked = {**WINDOW, "action": "available_meeting_intervals"}
    result = (await edge.rpc("SendMessage", asked, headers=KEY))["result"]
    assert len(result["intervals"]) == 1
    assert result["time_zone"] == "UTC"


async def test_the_task_of_a_loose_request_can_be_got(edge: A2aEdge) -> None:
    """A client may move to the strict methods one call at a time."""
    result = (await edge.rpc("SendMessage", WINDOW, headers=KEY))["result"]
    got = await edge.rpc("GetTask", {"id": result["task"]["id"]})
    assert got["result"]["status"]["state"] == "TASK_STATE_COMPLETED"


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({}, "INPUT_MISSING"),
        ({"message": {"role": "user", "content": "am I free?"}}, "INPUT_MISSING"),
        ({**WINDOW, "action": "execute_unsubscribe"}, "ACTION_UNKNOWN"),
        ({**WINDOW, "start": "2026-03-10T09:00:00"}, "TIME_WITHOUT_OFFSET"),
    ],
)
async def test_bad_loose_input_is_invalid_params(edge: A2aEdge, params: dict[str, Any], reason: str) -> None:
    """-32602 as that agent answered; scans and unsubscribes are not reachable loosely."""
    error = (await edge.rpc("SendMessage", params, headers=KEY))["error"]
    assert (error["code"], error["data"][0]["reason"]) == (-32602, reason)


async def test_a_loose_failure_is_an_error_and_not_a_task(edge: A2aEdge) -> None:
    """Old clients look at `error`."""
    edge.backends.mail.failures["CheckAvailability"] = not_found("MAILBOX_NOT_FOUND", "No such mailbox.")
    error = (await edge.rpc("SendMessage", WINDOW, headers=KEY))["error"]
    assert (error["code"], error["message"]) == (-32603, "No such mailbox.")


async def test_a_request_that_says_its_version_is_read_strictly(edge: A2aEdge) -> None:
    """With A2A-Version 1.0, a message is required."""
    response = await edge.rpc("SendMessage", WINDOW, headers=KEY | VERSION)
    assert response["error"]["code"] == -32602
    assert response["error"]["data"][1]["fieldViolations"][0]["field"] == "message"
