"""TeamService for tests of the edges: one team whose key is whatever was asked for last."""

import uuid

from google.protobuf.timestamp_pb2 import Timestamp

from protos.auth.v1 import auth_pb2
from services.common.context import Call
from services.common.errors import not_found

NOON = 1_773_144_000  # 2026-03-10T12:00:00Z
SECRET = "ma_" + "s" * 43


class FakeTeams:
    """Answers sensibly and keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[object] = []
        self.keys: dict[str, auth_pb2.ApiKey] = {}

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

    def _found(self, key_id: str) -> auth_pb2.ApiKey:
        if key_id not in self.keys:
            raise not_found("KEY_NOT_FOUND", "There is no such key.")
        return self.keys[key_id]
