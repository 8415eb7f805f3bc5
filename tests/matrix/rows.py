"""What a caller must send, one row for each RPC of the contract. What must come of it, the contract says.

The scopes, the peers and whether a method changes something stand in the protos, and the matrix reads them
there. Here stands only what no option can say: a request that works, which of its fields name something
that belongs to a team, and what a narrowed credential gets.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from protos.auth.v1 import auth_pb2
from protos.mail.v1 import mail_pb2

HOW_TO = """
A method of the contract has no row in tests/matrix/rows.py (or a row has lost its method).
Add `"Service.Method": Row(request=…)` there: `request` makes a request that works for an admin of `world`,
with everything that it needs; `ids` names the fields that hold an id of something the team owns (another
team must get the same answer as for an id that never was); `narrowed` is the reason that a credential for
other mailboxes and another label prefix gets, OK when it may call. Scopes, read-only, peers: from the proto.
"""


class Known(Protocol):
    """What the rows may use of the world (tests/matrix/world.py)."""

    team_id: str
    mailbox_id: str
    subscription_id: str
    operation_id: str
    sandbox_token: str

    async def spare_key(self) -> str: ...
    async def spare_grant(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Row:
    """One RPC. `ids` are fields of the request; `done` is what comes of a request that is allowed."""

    request: Callable[[Known], Any]
    ids: tuple[str, ...] = ()
    narrowed: str = "OK"
    foreign: str = "OK"
    done: str = "OK"
    lists_own: bool = False
    """Whether the answer tells a narrowed caller about its own doings, in which our ids may stand."""
    echoes: bool = False
    """Whether the answer repeats what the same caller once sent, ids of ours among it."""
    fresh: Callable[[Known], Any] | None = None
    """Makes something of ours that an allowed call uses up, as keyword arguments of `request`."""


def _stamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


_MORNING = datetime(2026, 3, 10, 9, tzinfo=UTC)
_WINDOW: Mapping[str, Any] = {
    "start_time": _stamp(_MORNING),
    "end_time": _stamp(_MORNING + timedelta(hours=8)),
}
_MAILBOX = {"ids": ("mailbox_id",), "narrowed": "MAILBOX_NOT_ALLOWED", "foreign": "MAILBOX_NOT_FOUND"}
_OPERATION = {"ids": ("id",), "narrowed": "OPERATION_NOT_FOUND", "foreign": "OPERATION_NOT_FOUND"}
_KEY = {"ids": ("key_id",), "foreign": "KEY_NOT_FOUND"}


def _event() -> auth_pb2.AuditEvent:
    return auth_pb2.AuditEvent(
        id=str(uuid.uuid4()), event_time=_stamp(datetime.now(UTC)), action="access.denied", outcome="denied"
    )


async def _spare_key(world: Known) -> dict[str, str]:
    return {"key_id": await world.spare_key()}


CLIENT_ID = "https://agent.example/matrix"
_GRANT = {"ids": ("grant_id",), "narrowed": "GRANT_NOT_FOUND", "foreign": "GRANT_NOT_FOUND"}
_CLIENT = {"ids": ("client_id",), "narrowed": "CLIENT_NOT_FOUND", "foreign": "CLIENT_NOT_FOUND"}


async def _spare_grant(world: Known) -> dict[str, str]:
    return {"grant_id": await world.spare_grant()}


async def _spare_client(world: Known) -> dict[str, str]:
    await world.spare_grant()
    return {"client_id": CLIENT_ID}


async def _spare_team_and_grant(world: Known) -> dict[str, str]:
    return {"team_id": world.team_id, "grant_id": await world.spare_grant()}


async def _spare_team_and_client(world: Known) -> dict[str, str]:
    return {"team_id": world.team_id, **await _spare_client(world)}


async def _spare_team_and_key(world: Known) -> dict[str, str]:
    return {"team_id": world.team_id, "key_id": await world.spare_key()}


ROWS: Mapping[str, Row] = {
    # --- auth
    "AuthService.IssuePassport": Row(
        lambda world: auth_pb2.IssuePassportRequest(api_key="ma_" + "A" * 43, audience="auth"),
        done="CREDENTIAL_INVALID",
    ),
    "AuthService.ListPassportKeys": Row(lambda world: auth_pb2.ListPassportKeysRequest()),
    "AuthService.WatchRevocations": Row(lambda world: auth_pb2.WatchRevocationsRequest()),
    "AuthService.CheckRight": Row(
        lambda world: auth_pb2.CheckRightRequest(
            roots=[f"team:{world.team_id}"], issue_time=_stamp(datetime.now(UTC))
        )
    ),
    "AuthService.GetMe": Row(lambda world: auth_pb2.GetMeRequest(), lists_own=True),
    "TeamService.GetTeam": Row(lambda world: auth_pb2.GetTeamRequest(), lists_own=True),
    "TeamService.ListKeys": Row(lambda world: auth_pb2.ListKeysRequest()),
    "TeamService.CreateKey": Row(
        lambda world: auth_pb2.CreateKeyRequest(label="made", ttl_minutes=5), narrowed="RESTRICTION_LOOSENED"
    ),
    "TeamService.RotateKey": Row(
        lambda world, **made: auth_pb2.RotateKeyRequest(**made),
        fresh=_spare_key,
        narrowed="KEY_NOT_FOUND",
        **_KEY,
    ),
    "TeamService.RevokeKey": Row(
        lambda world, **made: auth_pb2.RevokeKeyRequest(**made),
        fresh=_spare_key,
        narrowed="KEY_NOT_FOUND",
        **_KEY,
    ),
    "TeamService.ListGrants": Row(lambda world: auth_pb2.ListGrantsRequest()),
    "TeamService.RevokeGrant": Row(
        lambda world, **made: auth_pb2.RevokeGrantRequest(**made), fresh=_spare_grant, **_GRANT
    ),
    "TeamService.ListClients": Row(lambda world: auth_pb2.ListClientsRequest()),
    "TeamService.RevokeClient": Row(
        lambda world, **made: auth_pb2.RevokeClientRequest(**made), fresh=_spare_client, **_CLIENT
    ),
    "TeamService.RevokeToken": Row(
        lambda world: auth_pb2.RevokeTokenRequest(token_id=uuid.uuid4().hex), narrowed="TOKEN_NOT_FOUND"
    ),
    "AuditService.ListEvents": Row(lambda world: auth_pb2.ListEventsRequest(page_size=200)),
    "AuditService.ExportEvents": Row(lambda world: auth_pb2.ExportEventsRequest()),
    "AuditService.AppendEvents": Row(
        lambda world: auth_pb2.AppendEventsRequest(events=[auth_pb2.TeamEvent(event=_event())])
    ),
    "AuthAdminService.CreateApiKey": Row(
        lambda world: auth_pb2.CreateApiKeyRequest(team_id=world.team_id, label="made")
    ),
    "AuthAdminService.GetDefaultTeam": Row(lambda world: auth_pb2.GetDefaultTeamRequest()),
    "AuthAdminService.CreateTeam": Row(lambda world: auth_pb2.CreateTeamRequest(name="made")),
    "AuthAdminService.UpdateTeam": Row(
        lambda world: auth_pb2.UpdateTeamRequest(team_id=world.team_id, plan="enterprise")
    ),
    "AuthAdminService.ListTeams": Row(lambda world: auth_pb2.ListTeamsRequest()),
    "AuthAdminService.ListApiKeys": Row(lambda world: auth_pb2.ListApiKeysRequest(team_id=world.team_id)),
    "AuthAdminService.RotateApiKey": Row(
        lambda world, **made: auth_pb2.RotateApiKeyRequest(**made), fresh=_spare_team_and_key
    ),
    "AuthAdminService.RevokeApiKey": Row(
        lambda world, **made: auth_pb2.RevokeApiKeyRequest(**made), fresh=_spare_team_and_key
    ),
    "AuthAdminService.ListTeamGrants": Row(
        lambda world: auth_pb2.ListTeamGrantsRequest(team_id=world.team_id)
    ),
    "AuthAdminService.RevokeTeamGrant": Row(
        lambda world, **made: auth_pb2.RevokeTeamGrantRequest(**made), fresh=_spare_team_and_grant
    ),
    "AuthAdminService.ListTeamClients": Row(
        lambda world: auth_pb2.ListTeamClientsRequest(team_id=world.team_id)
    ),
    "AuthAdminService.RevokeTeamClient": Row(
        lambda world, **made: auth_pb2.RevokeTeamClientRequest(**made), fresh=_spare_team_and_client
    ),
    "AuthAdminService.RevokeTeamToken": Row(
        lambda world: auth_pb2.RevokeTeamTokenRequest(
            team_id=world.team_id, token=auth_pb2.RevokeTokenRequest(token_id=uuid.uuid4().hex)
        )
    ),
    "AuthAdminService.BlockClient": Row(
        lambda world: auth_pb2.BlockClientRequest(address=f"{uuid.uuid4().hex}.example")
    ),
    "AuthAdminService.UnblockClient": Row(
        lambda world: auth_pb2.UnblockClientRequest(address="never.blocked.example"),
        done="CLIENT_NOT_BLOCKED",
    ),
    "AuthAdminService.ListBlockedClients": Row(lambda world: auth_pb2.ListBlockedClientsRequest()),
    "AuthAdminService.ExportAudit": Row(lambda world: auth_pb2.ExportAuditRequest(team_id=world.team_id)),
    "AuthAdminService.VerifyAudit": Row(lambda world: auth_pb2.VerifyAuditRequest(team_id=world.team_id)),
    "AuthAdminService.ExportCheckpoints": Row(
        lambda world: auth_pb2.ExportCheckpointsRequest(newest_only=True)
    ),
    # --- mail
    "MailService.ListMailboxes": Row(lambda world: mail_pb2.ListMailboxesRequest()),
    "MailService.UpdateMailbox": Row(
        # The label lies outside the narrowed caller's prefix, which is judged first.
        lambda world: mail_pb2.UpdateMailboxRequest(mailbox_id=world.mailbox_id, label="home"),
        **(_MAILBOX | {"narrowed": "RESTRICTION_LOOSENED"}),
    ),
    "MailService.ScanMailbox": Row(
        lambda world: mail_pb2.ScanMailboxRequest(
            mailbox_id=world.mailbox_id, request_id=str(uuid.uuid4()), dry_run=True, max_messages=5
        ),
        **_MAILBOX,
    ),
    "MailService.ListSubscriptions": Row(
        lambda world: mail_pb2.ListSubscriptionsRequest(mailbox_id=world.mailbox_id), **_MAILBOX
    ),
    "MailService.Unsubscribe": Row(
        lambda world: mail_pb2.UnsubscribeRequest(
            mailbox_id=world.mailbox_id,
            request_id=str(uuid.uuid4()),
            subscription_ids=[world.subscription_id],
            dry_run=True,
        ),
        **_MAILBOX,
    ),
    "MailService.ListUnsubscribes": Row(
        lambda world: mail_pb2.ListUnsubscribesRequest(mailbox_id=world.mailbox_id), **_MAILBOX
    ),
    "MailService.CheckAvailability": Row(
        lambda world: mail_pb2.CheckAvailabilityRequest(mailbox_id=world.mailbox_id, **_WINDOW), **_MAILBOX
    ),
    "MailService.SuggestMeetingIntervals": Row(
        lambda world: mail_pb2.SuggestMeetingIntervalsRequest(mailbox_id=world.mailbox_id, **_WINDOW),
        **_MAILBOX,
    ),
    "MailService.GetOperation": Row(
        lambda world: mail_pb2.GetOperationRequest(id=world.operation_id), **_OPERATION
    ),
    "MailService.WatchOperation": Row(
        lambda world: mail_pb2.WatchOperationRequest(id=world.operation_id), **_OPERATION
    ),
    "MailService.CancelOperation": Row(
        lambda world: mail_pb2.CancelOperationRequest(id=world.operation_id), **_OPERATION
    ),
    "MailAdminService.ImportMailbox": Row(
        lambda world: mail_pb2.ImportMailboxRequest(team_id=world.team_id, token_json=world.sandbox_token)
    ),
    "MailAdminService.GetMasterKeys": Row(lambda world: mail_pb2.GetMasterKeysRequest()),
    "MailAdminService.ResealSecrets": Row(lambda world: mail_pb2.ResealSecretsRequest()),
    "MailAdminService.RetireMasterKey": Row(
        lambda world: mail_pb2.RetireMasterKeyRequest(key_id="never-made"), done="MASTER_KEY_NOT_FOUND"
    ),
}


async def request_of(row: Row, world: Known) -> Message:
    """Make a request that works, with what it uses up."""
    made = await row.fresh(world) if row.fresh else {}
    return row.request(world, **made)


def with_unknown_ids(row: Row, request: Message) -> Message:
    """Name things that never were, in place of ours."""
    copy = type(request)()
    copy.CopyFrom(request)
    for field in row.ids:
        setattr(copy, field, str(uuid.uuid4()))
    return copy
