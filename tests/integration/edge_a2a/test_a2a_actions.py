"""What the five actions do and how their outcomes read as tasks."""

import json

import orjson
import pytest

from protos.mail.v1 import mail_pb2
from services.common.errors import (
    AppError,
    Kind,
    exhausted,
    invalid,
    not_found,
    precondition,
    unavailable,
)
from tests.fakes.a2a_edge import A2aEdge, serving_edge
from tests.fakes.grpc_backends import SUBSCRIPTION_IDS

WINDOW = {"start": "2026-03-10T09:00:00+01:00", "end": "2026-03-10T10:00:00+01:00"}


def data_in(parts: list) -> dict:
    return next(part["data"] for part in parts if "data" in part)


async def test_availability_is_a_completed_task_with_data_and_text(edge: A2aEdge) -> None:
    """The answer of the core is the artifact, in the one JSON shape of all edges."""
    task = await edge.task({"action": "check_availability", **WINDOW, "calendar_ids": ["primary"]})
    assert task["status"]["state"] == "TASK_STATE_COMPLETED"
    (artifact,) = task["artifacts"]
    assert artifact["artifactId"] == "result"
    data, text = artifact["parts"]
    assert data["mediaType"] == "application/json"
    assert data["data"]["available"] is True
    assert data["data"]["window"]["start_time"] == "2026-03-10T08:00:00.000Z"
    assert text["text"] == "Free in the whole window."
    assert edge.backends.mail.last(mail_pb2.CheckAvailabilityRequest).calendar_ids == ["primary"]


@pytest.mark.parametrize(
    "data",
    [
        WINDOW,
        json.dumps(WINDOW),
        {"action": "check_availability", "startTime": WINDOW["start"], "endTime": WINDOW["end"]},
        {"skill": "check_availability", "input": WINDOW},
    ],
)
async def test_an_action_is_found_in_data_or_json_text(edge: A2aEdge, data: object) -> None:
    """Data parts, JSON text, both spellings of names and a nested input mean the same."""
    task = await edge.task(data)
    assert task["status"]["state"] == "TASK_STATE_COMPLETED"


async def test_an_action_may_stand_in_the_metadata(edge: A2aEdge) -> None:
    """An action that needs no input can be named beside the parts."""
    task = await edge.task("please", message={"metadata": {"action": "list_unsubscribe_candidates"}})
    (artifact,) = task["artifacts"]
    assert data_in(artifact["parts"])["subscriptions"][0]["message_count"] == 48


async def test_meeting_intervals_take_every_field_of_the_contract(edge: A2aEdge) -> None:
    """Whole numbers arrive as doubles and are whole numbers again."""
    hours = {"start": "10:00", "end": "16:00", "days": [1, 2]}
    asked = {"action": "available_meeting_intervals", **WINDOW, "duration_minutes": 45}
    task = await edge.task({**asked, "workingHours": hours, "time_zone": "Europe/Paris"})
    request = edge.backends.mail.last(mail_pb2.SuggestMeetingIntervalsRequest)
    assert (request.duration_minutes, request.time_zone) == (45, "Europe/Paris")
    assert list(request.working_hours.days) == [1, 2]
    assert len(data_in(task["artifacts"][0]["parts"])["intervals"]) == 1


async def test_prose_is_never_guessed_at(edge: A2aEdge) -> None:
    """A message without data is asked for data, and calls nothing."""
    task = await edge.task("unsubscribe me from everything")
    assert task["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
    assert "execute_unsubscribe" in data_in(task["status"]["message"]["parts"])["actions"]
    assert edge.backends.mail.requests == []


async def test_a_waiting_task_goes_on_with_the_next_message(edge: A2aEdge) -> None:
    """The second message completes the same task, and its history holds both."""
    first = await edge.task("am I free?")
    more = {"taskId": first["id"], "contextId": first["contextId"]}
    second = await edge.task(WINDOW, message_id="m-2", message=more)
    assert second["id"] == first["id"]
    assert second["status"]["state"] == "TASK_STATE_COMPLETED"
    assert [said["messageId"] for said in second["history"]] == ["m-1", "m-2"]
    third = await edge.send(WINDOW, message_id="m-3", message=more)
    assert third["error"]["code"] == -32004


async def test_a_scan_completes_with_its_report(edge: A2aEdge) -> None:
    """A blocking request waits for the operation's end."""
    task = await edge.task({"action": "scan_mailbox", "dry_run": True})
    assert task["status"]["state"] == "TASK_STATE_COMPLETED"
    assert data_in(task["artifacts"][0]["parts"])["scanned_count"] == 2
    request = next(r for r in edge.backends.mail.requests if isinstance(r, mail_pb2.ScanMailboxRequest))
    assert request.dry_run
    assert request.request_id == task["id"]


async def test_return_immediately_does_not_wait(edge: A2aEdge) -> None:
    """The task is given back while its operation still runs, and found again later."""
    edge.backends.mail.may_finish.clear()
    now = {"configuration": {"returnImmediately": True}}
    task = await edge.task({"action": "scan_mailbox"}, params=now)
    assert task["status"]["state"] == "TASK_STATE_SUBMITTED"
    edge.backends.mail.may_finish.set()
    got = (await edge.rpc("GetTask", {"id": task["id"]}))["result"]
    assert got["status"]["state"] == "TASK_STATE_COMPLETED"
    assert got["contextId"] == task["contextId"]


async def test_another_replica_finds_the_task_of_an_operation(edge: A2aEdge) -> None:
    """Tasks of operations live in the core, with the context that the client chose."""
    task = await edge.task({"action": "scan_mailbox"}, message={"contextId": "inbox-7"})
    async with serving_edge(edge.backends) as other:
        got = (await other.rpc("GetTask", {"id": task["id"]}))["result"]
    assert (got["id"], got["contextId"]) == (task["id"], "inbox-7")
    assert got["artifacts"] == task["artifacts"]


@pytest.mark.promise("once.request-id")
async def test_the_same_message_again_is_the_same_operation(edge: A2aEdge) -> None:
    """A message that is repeated after a lost answer unsubscribes nothing twice."""
    asked = {"action": "execute_unsubscribe", "subscription_ids": [SUBSCRIPTION_IDS[0]]}
    first = await edge.task(asked)
    second = await edge.task(asked)
    other = await edge.task(asked, message_id="m-2")
    assert first["id"] == second["id"] != other["id"]
    assert len(edge.backends.mail.operations) == 2


async def test_cancelling_stops_the_operation(edge: A2aEdge) -> None:
    """CancelTask reaches the core; a task that has ended cannot be cancelled."""
    edge.backends.mail.may_finish.clear()
    now = {"configuration": {"returnImmediately": True}}
    task = await edge.task({"action": "scan_mailbox"}, params=now)
    cancelled = (await edge.rpc("CancelTask", {"id": task["id"]}))["result"]
    assert cancelled["status"]["state"] == "TASK_STATE_CANCELED"
    again = await edge.rpc("CancelTask", {"id": task["id"]})
    assert again["error"]["code"] == -32002


@pytest.mark.parametrize(
    ("error", "state", "retryable"),
    [
        (not_found("MAILBOX_NOT_FOUND", "There is no such mailbox."), "TASK_STATE_FAILED", False),
        (precondition("GMAIL_GRANT_REVOKED", "Connect it again."), "TASK_STATE_AUTH_REQUIRED", False),
        (precondition("CALENDAR_UNREADABLE", "A guess."), "TASK_STATE_FAILED", False),
        (exhausted("GOOGLE_QUOTA", "Later.", retry_after_s=7), "TASK_STATE_FAILED", True),
        (AppError(Kind.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "Too long."), "TASK_STATE_FAILED", True),
    ],
)
async def test_what_goes_wrong_in_the_work_is_a_failed_task(
    edge: A2aEdge, error: AppError, state: str, retryable: bool
) -> None:
    """The task says the reason, whether to try again, and the request id."""
    edge.backends.mail.failures["CheckAvailability"] = error
    task = await edge.task(WINDOW)
    assert task["status"]["state"] == state
    data = data_in(task["status"]["message"]["parts"])
    assert (data["reason"], data["message"], data["retryable"]) == (error.reason, error.message, retryable)
    assert data["request_id"]


async def test_a_task_that_waits_for_gmail_can_be_tried_again(edge: A2aEdge) -> None:
    """After the owner connected Gmail again, any message lets the same task do its work."""
    edge.backends.mail.failures["CheckAvailability"] = precondition("GMAIL_GRANT_REVOKED", "Connect again.")
    task = await edge.task(WINDOW)
    edge.backends.mail.failures.clear()
    again = await edge.task("done", message_id="m-2", message={"taskId": task["id"]})
    assert (again["id"], again["status"]["state"]) == (task["id"], "TASK_STATE_COMPLETED")


@pytest.mark.promise("outages.typed")
async def test_a_core_that_is_down_is_a_retryable_failure(edge: A2aEdge) -> None:
    """A dead dependency gives a typed error."""
    edge.backends.mail.failures["CheckAvailability"] = unavailable("GOOGLE_DOWN", "Google does not answer.")
    task = await edge.task(WINDOW)
    assert data_in(task["status"]["message"]["parts"])["retryable"] is True


@pytest.mark.promise("errors.bare")
async def test_an_unexpected_failure_says_nothing_of_itself(edge: A2aEdge) -> None:
    """No exception text reaches the client."""
    edge.backends.mail.failures["CheckAvailability"] = RuntimeError("secret-token-in-text")
    response = await edge.send(WINDOW)
    assert response["error"]["code"] == -32603
    assert "secret" not in orjson.dumps(response).decode()


async def test_the_cores_own_refusal_is_invalid_params(edge: A2aEdge) -> None:
    """INVALID_ARGUMENT is -32602 with google.rpc details."""
    edge.backends.mail.failures["CheckAvailability"] = invalid(
        "WINDOW_INVERTED", "Backwards.", field="end_time"
    )
    error = (await edge.send(WINDOW))["error"]
    assert error["code"] == -32602
    info, bad = error["data"]
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert (info["reason"], info["domain"]) == ("WINDOW_INVERTED", "mailwarden")
    assert bad["fieldViolations"][0]["field"] == "end_time"
    assert info["metadata"]["request_id"]
