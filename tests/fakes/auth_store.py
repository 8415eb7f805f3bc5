"""Teams and API keys in memory. PostgreSQL passes the same suite."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from services.auth.domain.api_key import ApiKey
from services.auth.domain.paging import Page
from services.auth.domain.revocation import in_team
from services.auth.domain.team import DEFAULT_TEAM_ID, Team, team_not_found
from services.common.audit import AuditEvent
from services.common.errors import AppError


def default_teams() -> dict[str, Team]:
    return {DEFAULT_TEAM_ID: Team(DEFAULT_TEAM_ID, "Default team", "enterprise")}


@dataclass(slots=True)
class MemoryTeams:
    """Teams by id, keys by hash. `failure` is raised by writes."""

    teams: dict[str, Team] = field(default_factory=default_teams)
    by_hash: dict[bytes, ApiKey] = field(default_factory=dict)
    revoked: list[str] = field(default_factory=list)
    events: list[AuditEvent] = field(default_factory=list)
    failure: AppError | None = None
    _locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def get(self, team_id: str) -> Team:
        if team_id not in self.teams:
            raise team_not_found()
        return self.teams[team_id]

    async def list(self, page: Page) -> Sequence[Team]:
        del page
        return list(self.teams.values())

    async def add(self, team: Team, event: AuditEvent) -> None:
        self.teams[team.id] = team
        self.events.append(event)

    @contextlib.asynccontextmanager
    async def changing(self, team_id: str) -> AsyncIterator["MemoryTeamChange"]:
        async with self._locks[team_id]:
            team = await self.get(team_id)
            before = dict(self.by_hash), list(self.revoked), list(self.events), dict(self.teams)
            try:
                yield MemoryTeamChange(self, team)
            except BaseException:
                self.by_hash, self.revoked, self.events, self.teams = before
                raise


@dataclass(slots=True)
class MemoryTeamChange:
    store: MemoryTeams
    team: Team

    async def save_team(self, team: Team) -> None:
        self.store.teams[team.id] = team

    async def working_keys(self, now: datetime) -> Sequence[ApiKey]:
        keys = self.store.by_hash.values()
        return [key for key in keys if key.team_id == self.team.id and key.works(now)]

    async def find_key(self, key_id: str) -> ApiKey | None:
        keys = self.store.by_hash.values()
        return next((key for key in keys if (key.id, key.team_id) == (key_id, self.team.id)), None)

    async def add_key(self, key: ApiKey) -> None:
        if self.store.failure:
            raise self.store.failure
        # Others get a turn here, as they would while a database works.
        await asyncio.sleep(0)
        self.store.by_hash[key.key_hash] = key

    async def save_key(self, key: ApiKey) -> None:
        self.store.by_hash[key.key_hash] = key

    async def revoke(self, subject: str) -> None:
        self.store.revoked.append(subject)

    async def record(self, event: AuditEvent) -> None:
        self.store.events.append(event)


@dataclass(slots=True)
class MemoryRevokedRights:
    """Rights of other issuers that were revoked, by team and subject. `told` is what everybody heard of."""

    revoked: dict[tuple[str, str], tuple[datetime, datetime]] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    events: list[AuditEvent] = field(default_factory=list)

    async def find(self, team_id: str, subjects: Collection[str]) -> Mapping[str, datetime]:
        known = {subject: self.revoked.get((team_id, subject)) for subject in subjects}
        return {subject: found[0] for subject, found in known.items() if found is not None}

    async def revoke(
        self, team_id: str, subject: str, at: datetime, until: datetime, event: AuditEvent
    ) -> None:
        self.revoked[team_id, subject] = (at, until)
        self.told.append(in_team(team_id, subject))
        self.events.append(event)


@dataclass(slots=True)
class MemoryKeys:
    """Reads the same keys. `lookups` counts what would have reached the database."""

    teams: MemoryTeams
    lookups: int = 0
    failure: AppError | None = None

    @property
    def by_hash(self) -> dict[bytes, ApiKey]:
        return self.teams.by_hash

    async def find(self, key_hash: bytes) -> ApiKey | None:
        self.lookups += 1
        return self.by_hash.get(key_hash)

    async def list(self, team_id: str, page: Page) -> Sequence[ApiKey]:
        keys = [key for key in self.by_hash.values() if key.team_id == team_id]
        ordered = sorted(keys, key=lambda key: (key.created_at, key.id), reverse=True)
        after = page.after
        behind = [
            key for key in ordered if not after or (key.created_at, key.id) < (after.created_at, after.id)
        ]
        return behind[: page.size + 1]

    async def count_working(self, team_id: str, now: datetime) -> int:
        return sum(key.team_id == team_id and key.works(now) for key in self.by_hash.values())

    async def note_use(self, key: ApiKey, at: datetime) -> None:
        if self.failure:
            raise self.failure
        known = self.by_hash[key.key_hash]
        if known.needs_use_noted(at):
            self.by_hash[key.key_hash] = replace(known, last_used_at=at)
