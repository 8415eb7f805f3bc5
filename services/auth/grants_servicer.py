"""The parts of TeamService and AuthAdminService that are about grants, clients and tokens."""

from dataclasses import dataclass

from protos.auth.v1 import auth_pb2
from services.auth import presenting
from services.auth.operations.block_clients import BlockClient, ListBlockedClients, UnblockClient
from services.auth.operations.create_api_key import team_id_of
from services.auth.operations.govern_grants import ListClients, ListGrants, RevokeClient, RevokeGrant
from services.auth.operations.revoke_token import Named, RevokeToken
from services.common.context import Call


@dataclass(frozen=True, slots=True)
class GrantOperations:
    """What can be done with grants, clients and tokens, by a team and by an operator alike."""

    list: ListGrants
    revoke: RevokeGrant
    list_clients: ListClients
    revoke_client: RevokeClient
    revoke_token: RevokeToken
    block: BlockClient
    unblock: UnblockClient
    list_blocked: ListBlockedClients


class TeamGrants:
    """For a team: always the caller's own."""

    grants: GrantOperations

    async def list_grants(
        self, request: auth_pb2.ListGrantsRequest, call: Call
    ) -> auth_pb2.ListGrantsResponse:
        """List what people of the team allowed."""
        caller = call.require_caller()
        found, token = await self.grants.list(caller.team_id, request.page_size, request.page_token, caller)
        return presenting.grants(found, token)

    async def revoke_grant(
        self, request: auth_pb2.RevokeGrantRequest, call: Call
    ) -> auth_pb2.RevokeGrantResponse:
        """Take a grant back."""
        caller = call.require_caller()
        grant = await self.grants.revoke(caller.team_id, request.grant_id, caller)
        return auth_pb2.RevokeGrantResponse(grant=presenting.grant(grant))

    async def list_clients(
        self, request: auth_pb2.ListClientsRequest, call: Call
    ) -> auth_pb2.ListClientsResponse:
        """List the clients that hold something of the team."""
        del request
        caller = call.require_caller()
        return presenting.clients(*await self.grants.list_clients(caller.team_id, caller))

    async def revoke_client(
        self, request: auth_pb2.RevokeClientRequest, call: Call
    ) -> auth_pb2.RevokeClientResponse:
        """Take all back that a client holds of the team."""
        caller = call.require_caller()
        count = await self.grants.revoke_client(caller.team_id, request.client_id, caller)
        return auth_pb2.RevokeClientResponse(revoked_count=count)

    async def revoke_token(
        self, request: auth_pb2.RevokeTokenRequest, call: Call
    ) -> auth_pb2.RevokeTokenResponse:
        """Take a token back that acts for the team."""
        caller = call.require_caller()
        done = await self.grants.revoke_token(caller.team_id, _named(request), caller)
        return presenting.revoked_token(done)


class OperatorGrants:
    """For an operator: any team."""

    grants: GrantOperations

    async def list_team_grants(
        self, request: auth_pb2.ListTeamGrantsRequest, call: Call
    ) -> auth_pb2.ListGrantsResponse:
        """List what people of a team allowed."""
        del call
        team_id = team_id_of(request.team_id)
        return presenting.grants(*await self.grants.list(team_id, request.page_size, request.page_token))

    async def revoke_team_grant(
        self, request: auth_pb2.RevokeTeamGrantRequest, call: Call
    ) -> auth_pb2.RevokeGrantResponse:
        """Take any grant back."""
        del call
        grant = await self.grants.revoke(team_id_of(request.team_id), request.grant_id)
        return auth_pb2.RevokeGrantResponse(grant=presenting.grant(grant))

    async def list_team_clients(
        self, request: auth_pb2.ListTeamClientsRequest, call: Call
    ) -> auth_pb2.ListClientsResponse:
        """List the clients that hold something of a team."""
        del call
        return presenting.clients(*await self.grants.list_clients(team_id_of(request.team_id)))

    async def revoke_team_client(
        self, request: auth_pb2.RevokeTeamClientRequest, call: Call
    ) -> auth_pb2.RevokeClientResponse:
        """Take all back that a client holds of a team, or of all of them."""
        del call
        revoke = self.grants.revoke_client
        if request.all_teams:
            return auth_pb2.RevokeClientResponse(revoked_count=await revoke.everywhere(request.client_id))
        count = await revoke(team_id_of(request.team_id), request.client_id)
        return auth_pb2.RevokeClientResponse(revoked_count=count)

    async def revoke_team_token(
        self, request: auth_pb2.RevokeTeamTokenRequest, call: Call
    ) -> auth_pb2.RevokeTokenResponse:
        """Take any token back."""
        del call
        team_id = team_id_of(request.team_id) if request.team_id else None
        return presenting.revoked_token(await self.grants.revoke_token(team_id, _named(request.token)))

    async def block_client(
        self, request: auth_pb2.BlockClientRequest, call: Call
    ) -> auth_pb2.BlockClientResponse:
        """Shut a client or host out."""
        del call
        blocked, count = await self.grants.block(request.address)
        return auth_pb2.BlockClientResponse(client=presenting.blocked(blocked), revoked_count=count)

    async def unblock_client(
        self, request: auth_pb2.UnblockClientRequest, call: Call
    ) -> auth_pb2.UnblockClientResponse:
        """Let a client or host in again."""
        del call
        await self.grants.unblock(request.address)
        return auth_pb2.UnblockClientResponse()

    async def list_blocked_clients(
        self, request: auth_pb2.ListBlockedClientsRequest, call: Call
    ) -> auth_pb2.ListBlockedClientsResponse:
        """List what is shut out."""
        del request, call
        found = await self.grants.list_blocked()
        return auth_pb2.ListBlockedClientsResponse(clients=[presenting.blocked(each) for each in found])


def _named(request: auth_pb2.RevokeTokenRequest) -> Named:
    by = request.WhichOneof("which") or "token"
    return Named(by, getattr(request, by), request.keep_days)
