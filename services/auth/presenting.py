"""Auth's values as the contract's messages."""

from collections.abc import Sequence
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from protos.auth.v1 import auth_pb2
from services.auth.domain.api_key import ApiKey
from services.auth.domain.team import Team
from services.auth.oauth.domain.blocking import Blocked
from services.auth.oauth.domain.grants import Grant, HeldClient
from services.auth.operations.issue_passport import Passport
from services.auth.operations.revoke_token import RevokedToken
from services.common.errors import invalid
from services.common.identity import Caller, Limits, Restrictions


def passport(value: Passport) -> auth_pb2.Passport:
    """Show a passport. Of the team it says what the passport says."""
    caller_of = value.statement.caller
    team_of = auth_pb2.Team(id=caller_of.team_id, name=caller_of.team_name, limits=_limits(caller_of.limits))
    return auth_pb2.Passport(
        token=value.token,
        expire_time=Timestamp(seconds=value.statement.expires_at),
        caller=caller(caller_of, team_of),
    )


def caller(value: Caller, team_of: auth_pb2.Team) -> auth_pb2.Caller:
    """Show who calls."""
    return auth_pb2.Caller(
        team=team_of,
        principal=value.principal,
        key_id=value.key_id,
        credential_kind=f"CREDENTIAL_KIND_{value.credential_kind.upper()}",
        scopes=sorted(value.scopes),
        restrictions=_restrictions(value.restrictions),
        roots=sorted(value.roots),
    )


def team(value: Team) -> auth_pb2.Team:
    """Show a team."""
    return auth_pb2.Team(
        id=value.id,
        name=value.name,
        plan=value.plan,
        limits=_limits(value.limits),
        create_time=_timestamp(value.created_at),
        disable_time=_timestamp(value.disabled_at),
    )


def api_key(value: ApiKey, caller_of: Caller | None = None) -> auth_pb2.ApiKey:
    """Show a key, which never holds its secret."""
    return auth_pb2.ApiKey(
        id=value.id,
        label=value.label,
        hint=value.hint,
        scopes=sorted(value.scopes),
        restrictions=_restrictions(value.restrictions),
        create_time=_timestamp(value.created_at),
        expire_time=_timestamp(value.expires_at),
        last_use_time=_timestamp(value.last_used_at),
        revoke_time=_timestamp(value.revoked_at),
        creator=value.creator,
        current=caller_of is not None and caller_of.key_id == value.id,
    )


def grant(value: Grant) -> auth_pb2.Grant:
    """Show what a person allowed to a client."""
    return auth_pb2.Grant(
        id=value.id,
        client_id=value.client_id,
        client_name=value.client_name,
        principal=value.principal,
        person=value.person,
        scopes=sorted(value.scopes),
        resource=value.resource,
        create_time=_timestamp(value.created_at),
        expire_time=_timestamp(value.expires_at),
        last_use_time=_timestamp(value.last_used_at),
        revoke_time=_timestamp(value.revoked_at),
    )


def grants(values: Sequence[Grant], next_page_token: str) -> auth_pb2.ListGrantsResponse:
    """Show a page of grants."""
    return auth_pb2.ListGrantsResponse(
        grants=[grant(value) for value in values], next_page_token=next_page_token
    )


def clients(values: Sequence[HeldClient], is_truncated: bool) -> auth_pb2.ListClientsResponse:
    """Show the clients that hold grants."""
    return auth_pb2.ListClientsResponse(
        clients=[
            auth_pb2.GrantedClient(
                id=value.id,
                name=value.name,
                grant_count=value.grant_count,
                first_grant_time=_timestamp(value.since),
                last_use_time=_timestamp(value.last_used_at),
            )
            for value in values
        ],
        truncated=is_truncated,
    )


def blocked(value: Blocked) -> auth_pb2.BlockedClient:
    """Show what is shut out."""
    return auth_pb2.BlockedClient(address=value.address, block_time=_timestamp(value.blocked_at))


def revoked_token(value: RevokedToken) -> auth_pb2.RevokeTokenResponse:
    """Show what was revoked."""
    return auth_pb2.RevokeTokenResponse(resource=value.resource, expire_time=_timestamp(value.until))


def restrictions_of(message: auth_pb2.Restrictions) -> Restrictions:
    """Read restrictions."""
    return Restrictions(message.read_only, message.label_prefix, frozenset(message.mailbox_ids))


def instant(message: Timestamp, field: str) -> datetime:
    """Read a time. Raises AppError INVALID_ARGUMENT TIME_INVALID."""
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise invalid("TIME_INVALID", f"{field} is out of range.", field=field) from None


def _restrictions(value: Restrictions) -> auth_pb2.Restrictions:
    return auth_pb2.Restrictions(
        read_only=value.read_only,
        label_prefix=value.label_prefix,
        mailbox_ids=sorted(value.mailbox_ids),
    )


def _limits(value: Limits) -> auth_pb2.Limits:
    return auth_pb2.Limits(**{name: getattr(value, name) for name in Limits.__slots__})


def _timestamp(value: datetime | None) -> Timestamp | None:
    if value is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(value)
    return stamp
