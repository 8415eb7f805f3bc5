"""Teams and API keys in memory. PostgreSQL passes the same suite."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from services.auth.domain.api_key import ApiKey
from services.auth.domain.team import DEFAULT_TEAM_ID, Team, team_not_found
from services.common.errors import AppError


def default_teams() -> dict[str, Team]:
    return {DEFAULT_TEAM_ID: Team(DEFAULT_TEAM_ID, "Default team")}


@dataclass(slots=True)
class MemoryTeams:
    """Teams by id."""

    teams: dict[str, Team] = field(default_factory=default_teams)

    async def get(self, team_id: str) -> Team:
        if team_id not in self.teams:
            raise team_not_found()
        return self.teams[team_id]


@dataclass(slots=True)
class MemoryKeys:
    """Keys by hash. `lookups` counts what would have reached the database; `failure` is raised by writes."""

    teams: MemoryTeams
    by_hash: dict[bytes, ApiKey] = field(default_factory=dict)
    lookups: int = 0
    failure: AppError | None = None

    async def find(self, key_hash: bytes) -> ApiKey | None:
        self.lookups += 1
        return self.by_hash.get(key_hash)

    async def add(self, key: ApiKey) -> None:
        await self.teams.get(key.team_id)
        if self.failure:
            raise self.failure
        self.by_hash[key.key_hash] = key

    async def note_use(self, key: ApiKey, at: datetime) -> None:
        if self.failure:
            raise self.failure
        known = self.by_hash[key.key_hash]
        if known.needs_use_noted(at):
            self.by_hash[key.key_hash] = replace(known, last_used_at=at)
