"""Reading an action's input into the core's request."""

import math

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from protos.mail.v1 import mail_pb2, resources_pb2
from services.common.errors import AppError
from services.edge_a2a.inputs import read_input


def test_a_request_is_read_field_by_field() -> None:
    """Snake case, camel case and the short names of times; null is absent."""
    request = mail_pb2.SuggestMeetingIntervalsRequest()
    read_input(
        request,
        {
            "start": "2026-03-10T09:00:00+01:00",
            "endTime": "2026-03-10T10:00:00Z",
            "calendarIds": ["a", "b"],
            "duration_minutes": 45.0,
            "working_hours": {"start": "09:00", "end": "17:00", "days": [1.0, 2]},
            "mailbox_id": None,
        },
    )
    assert request == mail_pb2.SuggestMeetingIntervalsRequest(
        start_time=Timestamp(seconds=1_773_129_600),
        end_time=Timestamp(seconds=1_773_136_800),
        calendar_ids=["a", "b"],
        duration_minutes=45,
        working_hours=mail_pb2.WorkingHours(start="09:00", end="17:00", days=[1, 2]),
    )


def test_states_are_words() -> None:
    """As answers show them, in any case."""
    request = mail_pb2.ListSubscriptionsRequest()
    read_input(request, {"states": ["candidate", "NEEDS_PERSON"]})
    assert list(request.states) == [
        resources_pb2.SUBSCRIPTION_STATE_CANDIDATE,
        resources_pb2.SUBSCRIPTION_STATE_NEEDS_PERSON,
    ]


@pytest.mark.parametrize("number", [True, "5", 1.5, math.inf, math.nan, 2**31, None.__class__, []])
def test_only_whole_numbers_of_32_bits_are_numbers(number: object) -> None:
    """Nothing is rounded, wrapped or guessed."""
    with pytest.raises(AppError) as refused:
        read_input(mail_pb2.ScanMailboxRequest(), {"max_messages": number})
    assert (refused.value.reason, refused.value.fields[0].field) == ("FIELD_TYPE_INVALID", "max_messages")


def test_a_nested_field_is_named_with_its_path() -> None:
    """So that the caller finds it."""
    with pytest.raises(AppError) as refused:
        read_input(mail_pb2.SuggestMeetingIntervalsRequest(), {"working_hours": {"starts": "9"}})
    assert refused.value.fields[0].field == "working_hours.starts"


def test_a_long_unknown_name_is_not_echoed_whole() -> None:
    """An error stays small whatever was sent."""
    with pytest.raises(AppError) as refused:
        read_input(mail_pb2.ScanMailboxRequest(), {"x" * 10_000: 1})
    assert len(refused.value.message) < 200
