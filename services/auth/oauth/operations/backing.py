"""Finds out whether what a grant rests on still stands: the team, the key or the person who gave it."""

from dataclasses import dataclass

from services.auth.domain.refusals import token_revoked
from services.auth.domain.team import Team
from services.auth.oauth.domain.grants import Grant
from services.auth.oauth.ports import Admits, ApiKeys
from services.auth.ports import Teams


@dataclass(frozen=True, slots=True)
class CheckBacking:
    """Look at all that can be lost without anybody touching the grant."""

    keys: ApiKeys
    teams: Teams
    admits: Admits

    async def __call__(self, grant: Grant) -> Team:
        """Give the team that the grant is of.

        Raises AppError UNAUTHENTICATED TOKEN_REVOKED, TEAM_DISABLED; NOT_FOUND TEAM_NOT_FOUND.
        """
        team = await self.teams.get(grant.team_id)
        team.check()
        if not self.admits(grant):
            raise token_revoked()
        if grant.key_id and await self.keys.by_id(grant.team_id, grant.key_id) is None:
            raise token_revoked()
        return team
