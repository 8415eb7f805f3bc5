"""TeamService for tests of the edges: one team whose key is whatever was asked for last."""

import uuid

from google.protobuf.timestamp_pb2 import Timestamp

from protos.auth.v1 import auth_pb2
from services.common.context import Call
from services.common.errors import not_found

NOON = 1_773_144_000  # 2026-03-10T12:00:00Z
SECRET = "ma_" + "s" * 43
GRANT_ID = "e5a7c9b1-0d2f-4a61-8c3e-5f7092b4d6e8"
CLIENT = "https://agent.example/client.json"


def a_grant() -> auth_pb2.Grant:
    return auth_pb2.Grant(
        id=GRANT_ID,
        client_id=CLIENT,
        client_name="Agent",
        principal="oidc:abc",
        person="ada@example.com",
        scopes=["mail:scan"],
        resource="https://mail.example/mcp",
        create_time=Timestamp(seconds=NOON),
    )


class FakeTeams:
    """Answers sensibly and keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[object] = []
        self.keys: dict[str, auth_pb2.ApiKey] = {}
        self.grants: dict[str, auth_pb2.Grant] = {GRANT_ID: a_grant()}

    async def get_team(self, _request: auth_pb2.GetTeamRequest, call: Call) -> auth_pb2.GetTeamResponse:
        caller = call.require_caller()
        team = auth_pb2.Team(
            id=caller.team_id, name=caller.team_name, plan="pro", create_time=Timestamp(seconds=NOON)
        )
        return auth_pb2.GetTeamResponse(team=team, key_count=len(self.keys))

    async def list_keys(self, request: auth_pb2.ListKeysRequest, _call: Call) -> auth_pb2.ListKeysResponse:
        self.requests.append(request)
        return auth_pb2.ListKeysResponse(keys=list(self.keys.values()))

    async def create_key(self, request: auth_pb2.CreateKeyRequest, call: Call) -> auth_pb2.CreateKeyResponse:
        self.requests.append(request)
        key = auth_pb2.ApiKey(
            id=str(uuid.uuid4()),
            label=request.label,
            hint="5f0c9a1b",
            scopes=request.scopes,
            restrictions=request.restrictions,
            create_time=Timestamp(seconds=NOON),
            creator=call.require_caller().principal,
        )
        self.keys[key.id] = key
        return auth_pb2.CreateKeyResponse(key=key, secret=SECRET)

    async def rotate_key(self, request: auth_pb2.RotateKeyRequest, _call: Call) -> auth_pb2.RotateKeyResponse:
        self.requests.append(request)
        key = self._found(request.key_id)
        return auth_pb2.RotateKeyResponse(key=key, secret=SECRET, replaced=key)

    async def revoke_key(self, request: auth_pb2.RevokeKeyRequest, _call: Call) -> auth_pb2.RevokeKeyResponse:
        self.requests.append(request)
        return auth_pb2.RevokeKeyResponse(key=self._found(request.key_id))

    async def list_grants(
        self, request: auth_pb2.ListGrantsRequest, _call: Call
    ) -> auth_pb2.ListGrantsResponse:
        self.requests.append(request)
        return auth_pb2.ListGrantsResponse(grants=list(self.grants.values()))

    async def revoke_grant(
        self, request: auth_pb2.RevokeGrantRequest, _call: Call
    ) -> auth_pb2.RevokeGrantResponse:
        self.requests.append(request)
        if request.grant_id not in self.grants:
            raise not_found("GRANT_NOT_FOUND", "There is no such grant.")
        return auth_pb2.RevokeGrantResponse(grant=self.grants[request.grant_id])

    async def list_clients(
        self, _request: auth_pb2.ListClientsRequest, _call: Call
    ) -> auth_pb2.ListClientsResponse:
        clients = [auth_pb2.GrantedClient(id=CLIENT, name="Agent", grant_count=len(self.grants))]
        return auth_pb2.ListClientsResponse(clients=clients)

    async def revoke_client(
        self, request: auth_pb2.RevokeClientRequest, _call: Call
    ) -> auth_pb2.RevokeClientResponse:
        self.requests.append(request)
        if request.client_id != CLIENT:
            raise not_found("CLIENT_NOT_FOUND", "There is no such client.")
        return auth_pb2.RevokeClientResponse(revoked_count=len(self.grants))

    async def revoke_token(
        self, request: auth_pb2.RevokeTokenRequest, _call: Call
    ) -> auth_pb2.RevokeTokenResponse:
        self.requests.append(request)
        return auth_pb2.RevokeTokenResponse(resource=f"token:{request.token_id}")

    def _found(self, key_id: str) -> auth_pb2.ApiKey:
        if key_id not in self.keys:
            raise not_found("KEY_NOT_FOUND", "There is no such key.")
        return self.keys[key_id]
