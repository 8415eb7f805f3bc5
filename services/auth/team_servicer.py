"""TeamService and the operator's side of it: protobuf in, operations, protobuf out."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from protos.auth.v1 import auth_pb2
from services.auth import presenting
from services.auth.grants_servicer import GrantOperations, OperatorGrants, TeamGrants
from services.auth.operations.create_api_key import CreateApiKey, Wanted, team_id_of
from services.auth.operations.create_key import CreateKey
from services.auth.operations.govern_teams import CreateTeam, ListTeams, UpdateTeam
from services.auth.operations.list_keys import ListKeys
from services.auth.operations.revoke_key import RevokeKey
from services.auth.operations.rotate_key import RotateKey
from services.auth.ports import Keys, Teams
from services.common.context import Call


@dataclass(frozen=True, slots=True)
class KeyOperations:
    """What can be done with keys, by a team and by an operator alike."""

    list: ListKeys
    rotate: RotateKey
    revoke: RevokeKey


@dataclass(frozen=True, slots=True)
class TeamServicer(TeamGrants):
    """`mailwarden.auth.v1.TeamService`. The team is always the caller's own."""

    teams: Teams
    stored: Keys
    keys: KeyOperations
    grants: GrantOperations
    create: CreateKey
    clock: Callable[[], datetime]

    async def get_team(self, request: auth_pb2.GetTeamRequest, call: Call) -> auth_pb2.GetTeamResponse:
        """Show the team and how much of its plan is used."""
        del request
        team_id = call.require_caller().team_id
        team = await self.teams.get(team_id)
        count = await self.stored.count_working(team_id, self.clock())
        return auth_pb2.GetTeamResponse(team=presenting.team(team), key_count=count)

    async def list_keys(self, request: auth_pb2.ListKeysRequest, call: Call) -> auth_pb2.ListKeysResponse:
        """List the keys that the caller may see."""
        caller = call.require_caller()
        keys, token = await self.keys.list(caller.team_id, request.page_size, request.page_token, caller)
        return auth_pb2.ListKeysResponse(
            keys=[presenting.api_key(key, caller) for key in keys], next_page_token=token
        )

    async def create_key(self, request: auth_pb2.CreateKeyRequest, call: Call) -> auth_pb2.CreateKeyResponse:
        """Make a key and show its secret, once."""
        caller = call.require_caller()
        made = await self.create(caller, _wanted(request))
        return auth_pb2.CreateKeyResponse(key=presenting.api_key(made.key, caller), secret=made.secret)

    async def rotate_key(self, request: auth_pb2.RotateKeyRequest, call: Call) -> auth_pb2.RotateKeyResponse:
        """Replace a key."""
        caller = call.require_caller()
        done = await self.keys.rotate(caller.team_id, request.key_id, _overlap(request), caller)
        return auth_pb2.RotateKeyResponse(
            key=presenting.api_key(done.key, caller),
            secret=done.secret,
            replaced=presenting.api_key(done.replaced, caller),
        )

    async def revoke_key(self, request: auth_pb2.RevokeKeyRequest, call: Call) -> auth_pb2.RevokeKeyResponse:
        """Take a key back."""
        caller = call.require_caller()
        key = await self.keys.revoke(caller.team_id, request.key_id, caller)
        return auth_pb2.RevokeKeyResponse(key=presenting.api_key(key, caller))


@dataclass(frozen=True, slots=True)
class TeamOperations:
    """What only an operator does with teams."""

    create: CreateTeam
    update: UpdateTeam
    list: ListTeams


class OperatorServicer(OperatorGrants):
    """The part of `mailwarden.auth.v1.AuthAdminService` that is about teams, keys and grants."""

    def __init__(
        self, teams: TeamOperations, keys: KeyOperations, grants: GrantOperations, create: CreateApiKey
    ) -> None:
        self._teams = teams
        self._keys = keys
        self.grants = grants
        self._create = create

    async def create_api_key(
        self, request: auth_pb2.CreateApiKeyRequest, call: Call
    ) -> auth_pb2.CreateApiKeyResponse:
        """Make an API key and show its secret, once."""
        del call
        made = await self._create(_wanted(request))
        return auth_pb2.CreateApiKeyResponse(key_id=made.key_id, secret=made.secret)

    async def create_team(
        self, request: auth_pb2.CreateTeamRequest, call: Call
    ) -> auth_pb2.CreateTeamResponse:
        """Make a team."""
        del call
        team = await self._teams.create(request.name, request.plan)
        return auth_pb2.CreateTeamResponse(team=presenting.team(team))

    async def update_team(
        self, request: auth_pb2.UpdateTeamRequest, call: Call
    ) -> auth_pb2.UpdateTeamResponse:
        """Change a team's plan or switch."""
        del call
        team = await self._teams.update(
            request.team_id,
            plan=request.plan if request.HasField("plan") else None,
            disabled=request.disabled if request.HasField("disabled") else None,
        )
        return auth_pb2.UpdateTeamResponse(team=presenting.team(team))

    async def list_teams(self, request: auth_pb2.ListTeamsRequest, call: Call) -> auth_pb2.ListTeamsResponse:
        """List all teams."""
        del call
        teams, token = await self._teams.list(request.page_size, request.page_token)
        return auth_pb2.ListTeamsResponse(
            teams=[presenting.team(team) for team in teams], next_page_token=token
        )

    async def list_api_keys(
        self, request: auth_pb2.ListApiKeysRequest, call: Call
    ) -> auth_pb2.ListApiKeysResponse:
        """List any team's keys."""
        del call
        team_id = team_id_of(request.team_id)
        keys, token = await self._keys.list(team_id, request.page_size, request.page_token)
        return auth_pb2.ListApiKeysResponse(
            keys=[presenting.api_key(key) for key in keys], next_page_token=token
        )

    async def rotate_api_key(
        self, request: auth_pb2.RotateApiKeyRequest, call: Call
    ) -> auth_pb2.RotateApiKeyResponse:
        """Replace any key."""
        del call
        done = await self._keys.rotate(team_id_of(request.team_id), request.key_id, _overlap(request))
        return auth_pb2.RotateApiKeyResponse(
            key=presenting.api_key(done.key), secret=done.secret, replaced=presenting.api_key(done.replaced)
        )

    async def revoke_api_key(
        self, request: auth_pb2.RevokeApiKeyRequest, call: Call
    ) -> auth_pb2.RevokeApiKeyResponse:
        """Take any key back."""
        del call
        key = await self._keys.revoke(team_id_of(request.team_id), request.key_id, force=request.force)
        return auth_pb2.RevokeApiKeyResponse(key=presenting.api_key(key))


def _wanted(request: auth_pb2.CreateApiKeyRequest | auth_pb2.CreateKeyRequest) -> Wanted:
    is_operators = isinstance(request, auth_pb2.CreateApiKeyRequest)
    has_end = request.HasField("expire_time")
    return Wanted(
        label=request.label,
        team_id=request.team_id if is_operators else "",
        scopes=tuple(request.scopes),
        restrictions=presenting.restrictions_of(request.restrictions),
        expires_at=presenting.instant(request.expire_time, "expire_time") if has_end else None,
        ttl_minutes=0 if is_operators else request.ttl_minutes,
    )


def _overlap(request: auth_pb2.RotateKeyRequest | auth_pb2.RotateApiKeyRequest) -> int | None:
    return request.overlap_minutes if request.HasField("overlap_minutes") else None
