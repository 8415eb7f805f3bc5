"""Auth's methods: protobuf in, operations, protobuf out. Who may call them is the dispatcher's business."""

from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from protos.auth.v1 import auth_pb2
from services.auth.domain.team import DEFAULT_TEAM_ID, Team
from services.auth.operations.create_api_key import CreateApiKey, Wanted
from services.auth.operations.issue_passport import IssuePassport, Passport, Presented
from services.auth.ports import PassportKeys, Teams
from services.common.context import Call
from services.common.errors import invalid
from services.common.identity import Caller, Restrictions


@dataclass(frozen=True, slots=True)
class AuthServicer:
    """`mailwarden.auth.v1.AuthService`."""

    issue: IssuePassport
    passport_keys: PassportKeys
    teams: Teams

    async def issue_passport(
        self, request: auth_pb2.IssuePassportRequest, call: Call
    ) -> auth_pb2.IssuePassportResponse:
        """Exchange a credential for a passport."""
        kind = request.WhichOneof("credential") or "api_key"
        presented = Presented(kind, request.bearer if kind == "bearer" else request.api_key)
        passport = await self.issue(presented, request.audience, call.peer)
        return auth_pb2.IssuePassportResponse(passport=_passport(passport))

    async def list_passport_keys(
        self, request: auth_pb2.ListPassportKeysRequest, call: Call
    ) -> auth_pb2.ListPassportKeysResponse:
        """Publish the keys that passports are signed with."""
        del request, call
        return auth_pb2.ListPassportKeysResponse(jwks_json=self.passport_keys.public_jwks())

    async def get_me(self, request: auth_pb2.GetMeRequest, call: Call) -> auth_pb2.GetMeResponse:
        """Tell the caller who they are. The team's name is today's, not the passport's."""
        del request
        caller = call.require_caller()
        team = await self.teams.get(caller.team_id)
        return auth_pb2.GetMeResponse(caller=_caller(caller, team))


@dataclass(frozen=True, slots=True)
class AuthAdminServicer:
    """`mailwarden.auth.v1.AuthAdminService`."""

    create: CreateApiKey
    teams: Teams

    async def create_api_key(
        self, request: auth_pb2.CreateApiKeyRequest, call: Call
    ) -> auth_pb2.CreateApiKeyResponse:
        """Make an API key and show its secret, once."""
        del call
        made = await self.create(_wanted(request))
        return auth_pb2.CreateApiKeyResponse(key_id=made.key_id, secret=made.secret)

    async def get_default_team(
        self, request: auth_pb2.GetDefaultTeamRequest, call: Call
    ) -> auth_pb2.GetDefaultTeamResponse:
        """Find the default team."""
        del request, call
        team = await self.teams.get(DEFAULT_TEAM_ID)
        return auth_pb2.GetDefaultTeamResponse(team=auth_pb2.Team(id=team.id, name=team.name))


def _passport(passport: Passport) -> auth_pb2.Passport:
    caller = passport.statement.caller
    return auth_pb2.Passport(
        token=passport.token,
        expire_time=Timestamp(seconds=passport.statement.expires_at),
        caller=_caller(caller, Team(caller.team_id, caller.team_name)),
    )


def _caller(caller: Caller, team: Team) -> auth_pb2.Caller:
    limits = caller.restrictions
    return auth_pb2.Caller(
        team=auth_pb2.Team(id=team.id, name=team.name),
        principal=caller.principal,
        key_id=caller.key_id,
        credential_kind=f"CREDENTIAL_KIND_{caller.credential_kind.upper()}",
        scopes=sorted(caller.scopes),
        restrictions=auth_pb2.Restrictions(
            read_only=limits.read_only,
            label_prefix=limits.label_prefix,
            mailbox_ids=sorted(limits.mailbox_ids),
        ),
    )


def _wanted(request: auth_pb2.CreateApiKeyRequest) -> Wanted:
    limits = request.restrictions
    return Wanted(
        label=request.label,
        team_id=request.team_id,
        scopes=tuple(request.scopes),
        restrictions=Restrictions(limits.read_only, limits.label_prefix, frozenset(limits.mailbox_ids)),
        expires_at=_instant(request.expire_time) if request.HasField("expire_time") else None,
    )


def _instant(timestamp: Timestamp) -> datetime:
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise invalid("TIME_INVALID", "expire_time is out of range.", field="expire_time") from None
