"""Teams in PostgreSQL, and every change to a team and its keys, one after the other."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.adapters.key_rows import ADD_KEY, KEY_COLUMNS, KEYS_AND_TEAMS, key_of, values_of
from services.auth.audit_ports import Audit
from services.auth.domain.api_key import ApiKey
from services.auth.domain.paging import Page
from services.auth.domain.team import DEFAULT_TEAM_ID, Team, team_not_found
from services.common.audit import AuditEvent
from services.common.database import TEAM_SETTING, Database
from services.common.errors import AppError
from services.common.telemetry import get_logger

ACROSS_TEAMS_SETTING: Final = "mailwarden.across_teams"
"""A transaction with this setting reads one table of all teams: `teams` or `revocations`."""

_COLUMNS: Final = "id::text, name, plan, created_at, disabled_at"
_TEAM: Final = f"SELECT {_COLUMNS} FROM teams WHERE id = current_setting('{TEAM_SETTING}')::uuid"  # noqa: S608  our constants
# Weak enough for rows that refer to the team: who revokes a grant holds the log of revocations and then
# refers to the team, so a lock against that would have each wait for the other.
_LOCKED: Final = sa.text(
    f"SELECT {_COLUMNS} FROM teams WHERE id = :id FOR NO KEY UPDATE"  # noqa: S608  our constant
)
_LIST: Final = sa.text(f"""
    SELECT {_COLUMNS} FROM teams
    WHERE CAST(:after AS timestamptz) IS NULL OR (created_at, id) > (:after, CAST(:after_id AS uuid))
    ORDER BY created_at, id LIMIT :limit
""")  # noqa: S608  our constant
_ADD: Final = sa.text("""
    INSERT INTO teams (id, name, plan, created_at) VALUES (:id, :name, :plan, :created_at)
""")
_SAVE: Final = sa.text("UPDATE teams SET plan = :plan, disabled_at = :disabled_at WHERE id = :id")
_WORKING: Final = sa.text(f"""
    SELECT {KEY_COLUMNS} FROM {KEYS_AND_TEAMS}
    WHERE k.team_id = :team_id AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > :now)
""")  # noqa: S608  our constants
_KEY: Final = sa.text(f"""
    SELECT {KEY_COLUMNS} FROM {KEYS_AND_TEAMS} WHERE k.team_id = :team_id AND k.id = :id
""")  # noqa: S608  our constants
_SAVE_KEY: Final = sa.text("""
    UPDATE api_keys SET expires_at = :expires_at, revoked_at = :revoked_at, replaced_by = :replaced_by
    WHERE id = :id
""")
_REVOKE: Final = sa.text("INSERT INTO revocations (team_id, subject) VALUES (:team_id, :subject)")
_IS_SOUND: Final = sa.text("""
    SELECT NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) AS is_confined,
           EXISTS (SELECT 1 FROM teams WHERE id = :id) AS has_default_team
""")


@dataclass(frozen=True, slots=True)
class PostgresTeamChange:
    """One team whose row is locked. Others that change it, on whatever replica, wait."""

    connection: AsyncConnection
    team: Team
    audit: Audit

    async def save_team(self, team: Team) -> None:
        """Change plan and switch."""
        values = {"id": team.id, "plan": team.plan, "disabled_at": team.disabled_at}
        await self.connection.execute(_SAVE, values)

    async def working_keys(self, now: datetime) -> Sequence[ApiKey]:
        """Give the keys that work."""
        found = await self.connection.execute(_WORKING, {"team_id": self.team.id, "now": now})
        return [key_of(row) for row in found.mappings()]

    async def find_key(self, key_id: str) -> ApiKey | None:
        """Give a key of this team, also when it is revoked or expired."""
        found = await self.connection.execute(_KEY, {"team_id": self.team.id, "id": key_id})
        row = found.mappings().one_or_none()
        return None if row is None else key_of(row)

    async def add_key(self, key: ApiKey) -> None:
        """Keep a new key."""
        await self.connection.execute(ADD_KEY, values_of(key))

    async def save_key(self, key: ApiKey) -> None:
        """Change the end of a key's life and what replaced it."""
        names = ("id", "expires_at", "revoked_at", "replaced_by")
        await self.connection.execute(_SAVE_KEY, {name: getattr(key, name) for name in names})

    async def revoke(self, subject: str) -> None:
        """Void everything that hangs on a subject, everywhere, from the commit on."""
        await self.connection.execute(_REVOKE, {"team_id": self.team.id, "subject": subject})

    async def record(self, event: AuditEvent) -> None:
        """Write down what was done. Comes last."""
        await self.audit.record(self.connection, event)


class PostgresTeams:
    """Teams in the table `teams`."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit
        self._problem = ""

    async def get(self, team_id: str) -> Team:
        """Give a team. Raises AppError NOT_FOUND TEAM_NOT_FOUND."""
        rows = await self._database.glance({TEAM_SETTING: team_id}, _TEAM)
        if not rows:
            raise team_not_found()
        return Team(*rows[0])

    async def list(self, page: Page) -> Sequence[Team]:
        """Give the teams, oldest first, one more than the page holds when there are more."""
        after = page.after
        values = {
            "after": after.created_at if after else None,
            "after_id": after.id if after else None,
            "limit": page.size + 1,
        }
        async with self._database.transaction({ACROSS_TEAMS_SETTING: "teams"}) as connection:
            return [Team(*row) for row in await connection.execute(_LIST, values)]

    async def add(self, team: Team, event: AuditEvent) -> None:
        """Keep a new team and write that down."""
        values = {"id": team.id, "name": team.name, "plan": team.plan, "created_at": team.created_at}
        async with self._database.team(team.id) as connection:
            await connection.execute(_ADD, values)
            await self._audit.record(connection, event)

    @contextlib.asynccontextmanager
    async def changing(self, team_id: str) -> AsyncIterator[PostgresTeamChange]:
        """Lock a team and change it in one transaction. Raises AppError NOT_FOUND TEAM_NOT_FOUND."""
        async with self._database.team(team_id) as connection:
            row = (await connection.execute(_LOCKED, {"id": team_id})).one_or_none()
            if row is None:
                raise team_not_found()
            yield PostgresTeamChange(connection, Team(*row), self._audit)

    async def is_ready(self) -> bool:
        """Whether the database answers, is migrated, and confines us as it must."""
        problem = await self._find_problem()
        if problem and problem != self._problem:
            get_logger().warning("database_not_ready", problem=problem)
        self._problem = problem
        return not problem

    async def _find_problem(self) -> str:
        try:
            async with self._database.team(DEFAULT_TEAM_ID) as connection:
                row = (await connection.execute(_IS_SOUND, {"id": DEFAULT_TEAM_ID})).one()
        except (AppError, DBAPIError) as error:
            return type(error.__cause__ or error).__name__
        if not row.is_confined:
            return "the role of DATABASE_URL bypasses row-level security"
        return "" if row.has_default_team else "the default team is missing"
