"""Examples for the published document: real messages, so that they cannot drift from the contract."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from protos.auth.v1 import auth_pb2
from protos.mail.v1 import mail_pb2, resources_pb2
from services.edge_rest.schemas import (
    AvailabilityBody,
    ClientBody,
    KeyBody,
    MailboxBody,
    MeetingIntervalsBody,
    RotateBody,
    ScanBody,
    TokenBody,
    UnsubscribeBody,
)

MAILBOX_ID: Final = "6f1c2a34-8f0e-4d0b-9a53-0d4a5f1b7c21"
SUBSCRIPTION_ID: Final = "b7d0c1e2-4a3f-4c55-8e1d-2f9a6b3c4d5e"
KEY_ID: Final = "9c4e1f20-1a2b-4c3d-8e5f-60718293a4b5"
GRANT_ID: Final = "e5a7c9b1-0d2f-4a61-8c3e-5f7092b4d6e8"
OPERATION_ID: Final = "0b9f6f6e-52a7-4b8e-bb7e-6a1d6d3f9a10"
TOKEN_ID: Final = "7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730"  # noqa: S105  a hash
REQUEST_ID: Final = "4bf92f3577b34da6a3ce929d0e0e4736"


def _at(day: int, hour: int, minute: int = 0) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(datetime(2026, 3, day, hour, minute, tzinfo=UTC))
    return stamp


def _interval(hour: int, minutes: int) -> resources_pb2.Interval:
    return resources_pb2.Interval(start_time=_at(10, hour), end_time=_at(10, hour, minutes))


_SUBSCRIPTION: Final = resources_pb2.Subscription(
    id=SUBSCRIPTION_ID,
    mailbox_id=MAILBOX_ID,
    key_kind=resources_pb2.SUBSCRIPTION_KEY_KIND_LIST_ID,
    key="weekly.news.example.com",
    display_name="Weekly News",
    sender="news@example.com",
    message_count=48,
    first_seen_time=_at(1, 7),
    last_seen_time=_at(9, 7),
    category="ADVERTISING",
    state=resources_pb2.SUBSCRIPTION_STATE_CANDIDATE,
    method=resources_pb2.UNSUBSCRIBE_METHOD_ONE_CLICK,
    method_reason="ONE_CLICK_QUALIFIED",
    method_explanation="The sender offers one-click unsubscribing and signed the offer.",
)

_OPERATION: Final = resources_pb2.Operation(
    id=OPERATION_ID,
    kind=resources_pb2.OPERATION_KIND_SCAN,
    state=resources_pb2.OPERATION_STATE_RUNNING,
    mailbox_id=MAILBOX_ID,
    progress=resources_pb2.Progress(done=120, total=400, phase="fetching"),
    create_time=_at(10, 9),
    update_time=_at(10, 9, 1),
    request_id="scan-2026-03-10",
)

_MAILBOX: Final = resources_pb2.Mailbox(
    id=MAILBOX_ID,
    email_address="owner@example.com",
    state=resources_pb2.MAILBOX_STATE_ACTIVE,
    create_time=_at(1, 8),
    last_scan_time=_at(9, 8),
    message_count=4_210,
    subscription_count=57,
    label="agents/newsletters",
)

_TEAM: Final = auth_pb2.Team(
    id="2f5b6a1c-7d8e-4f90-a1b2-c3d4e5f60718",
    name="default",
    plan="pro",
    limits=auth_pb2.Limits(
        requests_per_minute=300,
        team_requests_per_minute=1_500,
        max_keys=20,
        max_mailboxes=5,
        max_inboxes=100,
    ),
    create_time=_at(1, 8),
)
_KEY: Final = auth_pb2.ApiKey(
    id=KEY_ID,
    label="ci",
    hint="5f0c9a1b",
    scopes=["mail:scan", "unsubscribe:read"],
    restrictions=auth_pb2.Restrictions(read_only=True),
    create_time=_at(1, 8),
    creator="operator",
)
_GRANT: Final = auth_pb2.Grant(
    id=GRANT_ID,
    client_id="https://agent.example/client.json",
    client_name="Agent",
    principal="oidc:hP3n1mQkJ0",
    person="ada@example.com",
    scopes=["mail:scan"],
    resource="https://mail.example/mcp",
    create_time=_at(1, 8),
    expire_time=_at(28, 8),
    last_use_time=_at(9, 8),
)
_CLIENT: Final = auth_pb2.GrantedClient(
    id="https://agent.example/client.json",
    name="Agent",
    grant_count=2,
    first_grant_time=_at(1, 8),
    last_use_time=_at(9, 8),
)
_SECRET: Final = "ma_" + "x" * 43

ANSWERS: Final[Mapping[str, Message]] = {
    "GetMeResponse": auth_pb2.GetMeResponse(
        caller=auth_pb2.Caller(
            team=_TEAM,
            principal=f"key:{KEY_ID}",
            key_id=KEY_ID,
            roots=[f"key:{KEY_ID}", f"team:{_TEAM.id}"],
            credential_kind=auth_pb2.CREDENTIAL_KIND_API_KEY,
            scopes=["mail:scan", "unsubscribe:read"],
            restrictions=auth_pb2.Restrictions(),
        )
    ),
    "GetTeamResponse": auth_pb2.GetTeamResponse(team=_TEAM, key_count=3),
    "ListKeysResponse": auth_pb2.ListKeysResponse(keys=[_KEY]),
    "CreateKeyResponse": auth_pb2.CreateKeyResponse(key=_KEY, secret=_SECRET),
    "RotateKeyResponse": auth_pb2.RotateKeyResponse(key=_KEY, secret=_SECRET, replaced=_KEY),
    "RevokeKeyResponse": auth_pb2.RevokeKeyResponse(key=_KEY),
    "ListGrantsResponse": auth_pb2.ListGrantsResponse(grants=[_GRANT]),
    "RevokeGrantResponse": auth_pb2.RevokeGrantResponse(grant=_GRANT),
    "ListClientsResponse": auth_pb2.ListClientsResponse(clients=[_CLIENT]),
    "RevokeClientResponse": auth_pb2.RevokeClientResponse(revoked_count=2),
    "RevokeTokenResponse": auth_pb2.RevokeTokenResponse(resource=f"token:{TOKEN_ID}", expire_time=_at(28, 8)),
    "ListMailboxesResponse": mail_pb2.ListMailboxesResponse(mailboxes=[_MAILBOX]),
    "Mailbox": _MAILBOX,
    "ListSubscriptionsResponse": mail_pb2.ListSubscriptionsResponse(
        subscriptions=[_SUBSCRIPTION], total_size=1
    ),
    "ListUnsubscribesResponse": mail_pb2.ListUnsubscribesResponse(
        attempts=[
            resources_pb2.UnsubscribeAttempt(
                id="c8e1d2f3-5b40-4d66-9f2e-30ab7c4d5e6f",
                subscription_id=SUBSCRIPTION_ID,
                operation_id=OPERATION_ID,
                state=resources_pb2.SUBSCRIPTION_STATE_ACCEPTED,
                method=resources_pb2.UNSUBSCRIBE_METHOD_ONE_CLICK,
                reason="ONE_CLICK_ACCEPTED",
                explanation="The sender accepted the request.",
                http_status=200,
                create_time=_at(10, 9),
                update_time=_at(10, 9, 1),
            )
        ]
    ),
    "CheckAvailabilityResponse": mail_pb2.CheckAvailabilityResponse(
        available=False,
        busy=[_interval(9, 30)],
        window=resources_pb2.Interval(start_time=_at(10, 8), end_time=_at(10, 12)),
    ),
    "SuggestMeetingIntervalsResponse": mail_pb2.SuggestMeetingIntervalsResponse(
        intervals=[_interval(10, 30), _interval(11, 30)], time_zone="Europe/Paris"
    ),
    "Operation": _OPERATION,
}

BODIES: Final[Mapping[type, dict[str, Any]]] = {
    KeyBody: {"label": "ci", "scopes": ["mail:scan"], "ttl_minutes": 60},
    ClientBody: {"client_id": "https://agent.example/client.json"},
    TokenBody: {"token_id": TOKEN_ID},
    MailboxBody: {"label": "agents/newsletters"},
    RotateBody: {"overlap_minutes": 60},
    ScanBody: {"dry_run": True},
    UnsubscribeBody: {"subscription_ids": [SUBSCRIPTION_ID]},
    AvailabilityBody: {"start": "2026-03-10T09:00:00+01:00", "end": "2026-03-10T13:00:00+01:00"},
    MeetingIntervalsBody: {
        "start": "2026-03-10T00:00:00+01:00",
        "end": "2026-03-14T00:00:00+01:00",
        "duration_minutes": 30,
        "time_zone": "Europe/Paris",
        "working_hours": {"start": "09:00", "end": "18:00", "days": [1, 2, 3, 4, 5]},
    },
}
