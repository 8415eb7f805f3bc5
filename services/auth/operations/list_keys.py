"""Lists a team's keys, as history: revoked and expired ones too."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.auth.domain.api_key import ApiKey
from services.auth.domain.key_rules import may_see
from services.auth.domain.paging import Position, page_of, token_after
from services.auth.ports import Keys, Teams
from services.common.identity import Caller


@dataclass(frozen=True, slots=True)
class ListKeys:
    """Newest first."""

    keys: Keys
    teams: Teams

    async def __call__(
        self, team_id: str, page_size: int, page_token: str, caller: Caller | None = None
    ) -> tuple[Sequence[ApiKey], str]:
        """Give a page and the token of the next; a caller sees what is inside its prefix.

        Raises AppError NOT_FOUND TEAM_NOT_FOUND; INVALID_ARGUMENT PAGE_SIZE_OUT_OF_RANGE, PAGE_TOKEN_INVALID.
        """
        page = page_of("keys", page_size, page_token)
        await self.teams.get(team_id)
        found = await self.keys.list(team_id, page)
        rows = found[: page.size]
        more = len(found) > page.size
        token = token_after("keys", Position(rows[-1].created_at, rows[-1].id)) if more else ""
        return [key for key in rows if caller is None or may_see(caller, key)], token
