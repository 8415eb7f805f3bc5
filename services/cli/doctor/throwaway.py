"""A team and keys that exist for the length of a probe; what was done with them stays in the audit log."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import aiohttp

from protos.auth.v1 import auth_pb2
from services.cli.admin import Operator
from services.cli.failure import Failure

NAME: Final = "mailwarden doctor"
SCOPES: Final = ("mail:scan", "unsubscribe:read", "availability:read", "team:read")
_PAGE: Final = 200
_SETTLE_S: Final = 6.0


@contextlib.asynccontextmanager
async def throwaway_team(operator: Operator) -> AsyncIterator[str]:
    """Switch the doctor's own team on, and off again at the end; gives its id. Raises Failure."""
    async with operator.auth() as auth:
        team_id = await _find(auth)
        if team_id:
            await auth.UpdateTeam(auth_pb2.UpdateTeamRequest(team_id=team_id, disabled=False))
        else:
            team_id = (await auth.CreateTeam(auth_pb2.CreateTeamRequest(name=NAME))).team.id
        try:
            yield team_id
        finally:
            await asyncio.shield(auth.UpdateTeam(auth_pb2.UpdateTeamRequest(team_id=team_id, disabled=True)))


@contextlib.asynccontextmanager
async def throwaway_key(
    operator: Operator, team_id: str, scopes: Sequence[str] = SCOPES
) -> AsyncIterator[auth_pb2.CreateApiKeyResponse]:
    """Make a key and revoke it at the end, whatever happened. Raises Failure."""
    request = auth_pb2.CreateApiKeyRequest(team_id=team_id, label=NAME, scopes=scopes)
    async with operator.auth() as auth:
        made = await auth.CreateApiKey(request)
        try:
            yield made
        finally:
            revocation = auth_pb2.RevokeApiKeyRequest(team_id=team_id, key_id=made.key_id, force=True)
            await asyncio.shield(auth.RevokeApiKey(revocation))


async def settled(session: aiohttp.ClientSession, rest: str, secret: str) -> None:
    """Wait until a new key works: a team that was off a moment ago needs two seconds. Raises Failure."""
    end = asyncio.get_running_loop().time() + _SETTLE_S
    while True:
        async with session.get(f"{rest}/v1/me", headers={"X-API-Key": secret}) as answer:
            if answer.status == 200:  # noqa: PLR2004
                return
        if asyncio.get_running_loop().time() > end:
            raise Failure(f"a fresh key is refused with {answer.status}")
        await asyncio.sleep(0.2)


async def _find(auth: Any) -> str:
    request = auth_pb2.ListTeamsRequest(page_size=_PAGE)
    while True:
        answer = await auth.ListTeams(request)
        for team in answer.teams:
            if team.name == NAME:
                return team.id
        if not answer.next_page_token:
            return ""
        request.page_token = answer.next_page_token
