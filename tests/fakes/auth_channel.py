"""A channel to auth that answers as a test directs, without a wire."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from protos.auth.v1 import auth_pb2

TEAM_ID = "5d5f5c1e-0000-4000-8000-000000000001"


class AuthChannel:
    """Offers what the generated stub asks of a channel. `asked` holds every request that came."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.asked: list[auth_pb2.IssuePassportRequest] = []
        self.failures: list[Exception] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.was_asked = asyncio.Event()
        self.life_s = 60.0
        self._now = now

    def unary_unary(self, path: str, *_: Any, **__: Any) -> Callable[[Any], Awaitable[Any]]:
        return self._issue if path.endswith("/IssuePassport") else self._refuse

    def unary_stream(self, path: str, *_: Any, **__: Any) -> Callable[[Any], Any]:
        del path
        return self._refuse

    async def _refuse(self, request: Any) -> Any:
        raise AssertionError(f"nobody should ask for {request}")

    async def _issue(self, request: auth_pb2.IssuePassportRequest) -> auth_pb2.IssuePassportResponse:
        self.asked.append(request)
        self.was_asked.set()
        number = len(self.asked)
        await self.may_answer.wait()
        if self.failures:
            raise self.failures.pop(0)
        ends = Timestamp()
        ends.FromMicroseconds(int((self._now() + self.life_s) * 1e6))
        caller = auth_pb2.Caller(
            team=auth_pb2.Team(id=TEAM_ID, name="Team"),
            principal="key:1",
            credential_kind=auth_pb2.CREDENTIAL_KIND_API_KEY,
        )
        passport = auth_pb2.Passport(token=f"passport-{number}", expire_time=ends, caller=caller)
        return auth_pb2.IssuePassportResponse(passport=passport)
