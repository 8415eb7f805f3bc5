"""The five things that this agent does, as the card, the messages and the calls to the core know them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import Message

from protos.mail.v1 import mail_pb2
from services.common.errors import invalid
from services.common.policy import Policy, policy_of
from services.edge_a2a.inputs import read_input


@dataclass(frozen=True, slots=True)
class Action:
    """One skill. `method` is the RPC of the core that does it; `examples` are data parts as JSON text."""

    id: str
    name: str
    description: str
    tags: tuple[str, ...]
    examples: tuple[str, ...]
    method: str
    request_type: type[Message]
    is_operation: bool = False

    @property
    def policy(self) -> Policy:
        """What the contract demands of callers of this action's RPC."""
        return policy_of(mail_pb2.DESCRIPTOR.services_by_name["MailService"].methods_by_name[self.method])

    def request(self, values: Mapping[str, Any]) -> Any:
        """Write the core's request from a message's input. Raises AppError INVALID_ARGUMENT."""
        request = self.request_type()
        read_input(request, values)
        return request


CHECK_AVAILABILITY: Final = Action(
    id="check_availability",
    name="Check availability",
    description=(
        "Says whether the mailbox owner is free between start and end (RFC 3339 with an offset), and when "
        "they are busy. Optional: calendar_ids (default primary), mailbox_id."
    ),
    tags=("calendar", "availability"),
    examples=(
        (
            '{"action": "check_availability", "start": "2026-03-10T09:00:00+01:00", '
            '"end": "2026-03-10T10:00:00+01:00", "calendar_ids": ["primary"]}'
        ),
    ),
    method="CheckAvailability",
    request_type=mail_pb2.CheckAvailabilityRequest,
)

AVAILABLE_MEETING_INTERVALS: Final = Action(
    id="available_meeting_intervals",
    name="Suggest meeting intervals",
    description=(
        "Suggests intervals between start and end in which a meeting fits. Optional: calendar_ids, "
        "duration_minutes (30), time_zone (UTC), working_hours {start, end, days} (09:00 to 18:00, Monday to "
        "Friday), buffer_minutes (0), step_minutes (30), max_intervals (5), mailbox_id."
    ),
    tags=("calendar", "meetings"),
    examples=(
        (
            '{"action": "available_meeting_intervals", "start": "2026-03-10T08:00:00+01:00", '
            '"end": "2026-03-12T18:00:00+01:00", "duration_minutes": 45, "time_zone": "Europe/Paris"}'
        ),
    ),
    method="SuggestMeetingIntervals",
    request_type=mail_pb2.SuggestMeetingIntervalsRequest,
)

SCAN_MAILBOX: Final = Action(
    id="scan_mailbox",
    name="Scan the mailbox",
    description=(
        "Reads new mail since the last scan, sorts it into categories, labels it, and counts the lists that "
        "fill the mailbox. Runs as a task with progress. Optional: dry_run, max_messages, mailbox_id."
    ),
    tags=("mail", "scan", "triage"),
    examples=('{"action": "scan_mailbox", "dry_run": true}',),
    method="ScanMailbox",
    request_type=mail_pb2.ScanMailboxRequest,
    is_operation=True,
)

LIST_UNSUBSCRIBE_CANDIDATES: Final = Action(
    id="list_unsubscribe_candidates",
    name="List unsubscribe candidates",
    description=(
        "Lists the subscriptions found by scans, those with most messages first, with how each can be ended "
        "and why or why not. Sends nothing. Optional: states, page_size, page_token, mailbox_id."
    ),
    tags=("mail", "unsubscribe"),
    examples=('{"action": "list_unsubscribe_candidates", "states": ["candidate"], "page_size": 20}',),
    method="ListSubscriptions",
    request_type=mail_pb2.ListSubscriptionsRequest,
)

EXECUTE_UNSUBSCRIBE: Final = Action(
    id="execute_unsubscribe",
    name="Unsubscribe",
    description=(
        "Ends the subscriptions named by subscription_ids, each at most once, and says what became of each. "
        "Runs as a task with progress. Optional: dry_run, mailbox_id."
    ),
    tags=("mail", "unsubscribe"),
    examples=(
        '{"action": "execute_unsubscribe", "subscription_ids": ["0f9c1d52-6b7e-4c1e-9f5a-3d2b1a0c4e5f"]}',
    ),
    method="Unsubscribe",
    request_type=mail_pb2.UnsubscribeRequest,
    is_operation=True,
)

ACTIONS: Final[Mapping[str, Action]] = {
    action.id: action
    for action in (
        CHECK_AVAILABILITY,
        AVAILABLE_MEETING_INTERVALS,
        SCAN_MAILBOX,
        LIST_UNSUBSCRIBE_CANDIDATES,
        EXECUTE_UNSUBSCRIBE,
    )
}


def action_named(name: object, known: Mapping[str, Action] = ACTIONS) -> Action:
    """Find an action by its id. Raises AppError INVALID_ARGUMENT ACTION_UNKNOWN."""
    action = known.get(name) if isinstance(name, str) else None
    if action is None:
        raise invalid("ACTION_UNKNOWN", "action must be one of " + ", ".join(known) + ".", field="action")
    return action
