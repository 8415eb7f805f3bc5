"""Rights, as auth knows them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from protos.auth.v1 import auth_pb2, auth_pb2_grpc
from services.common.grpc_client import Channel


@dataclass(frozen=True, slots=True)
class AuthRights:
    """Implements `await_right.Rights`."""

    auth: Channel

    async def stands(self, roots: Collection[str], issued_at: datetime) -> bool:
        """Whether nothing that a right hangs on was revoked since. Raises AppError when auth does not say."""
        issue_time = Timestamp()
        issue_time.FromDatetime(issued_at)
        request = auth_pb2.CheckRightRequest(roots=sorted(roots), issue_time=issue_time)
        stub = auth_pb2_grpc.AuthServiceStub(self.auth)  # type: ignore[arg-type]
        answer = await stub.CheckRight(request)
        return answer.state == auth_pb2.RIGHT_STATE_STANDS
