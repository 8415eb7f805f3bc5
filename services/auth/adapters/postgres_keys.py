"""Teams and API keys in PostgreSQL, behind row-level security."""

from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from services.auth.domain.api_key import USE_NOTED_EVERY, ApiKey
from services.auth.domain.team import DEFAULT_TEAM_ID, Team, team_not_found
from services.common.database import Database
from services.common.errors import AppError
from services.common.identity import Restrictions
from services.common.telemetry import get_logger

PRESENTED_HASH_SETTING: Final = "mailwarden.presented_key_hash"
"""A transaction with this setting sees the one key that has this hash (hex), and its team's name."""

_FIND: Final = sa.text("""
    SELECT k.id::text, k.team_id::text, t.name AS team_name, k.label, k.key_hash, k.scopes, k.read_only,
           k.label_prefix, k.mailbox_ids::text[] AS mailbox_ids, k.created_at, k.expires_at, k.revoked_at,
           k.last_used_at
    FROM api_keys k JOIN teams t ON t.id = k.team_id
    WHERE k.key_hash = :key_hash
""")
_ADD: Final = sa.text("""
    INSERT INTO api_keys (id, team_id, label, key_hash, scopes, read_only, label_prefix, mailbox_ids,
                          created_at, expires_at)
    VALUES (:id, :team_id, :label, :key_hash, :scopes, :read_only, :label_prefix,
            CAST(:mailbox_ids AS uuid[]), :created_at, :expires_at)
""")
# Of several replicas that saw the key at once, one writes.
_NOTE_USE: Final = sa.text("""
    UPDATE api_keys SET last_used_at = :at
    WHERE id = :id AND (last_used_at IS NULL OR last_used_at <= :before)
""")
_TEAM: Final = sa.text("SELECT id::text, name FROM teams WHERE id = :id")
_IS_SOUND: Final = sa.text("""
    SELECT NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) AS is_confined,
           EXISTS (SELECT 1 FROM teams WHERE id = :id) AS has_default_team
""")


class PostgresKeys:
    """API keys in the table `api_keys`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, key_hash: bytes) -> ApiKey | None:
        """Give the one key with this hash, also when it is revoked or expired."""
        async with self._database.transaction({PRESENTED_HASH_SETTING: key_hash.hex()}) as connection:
            row = (await connection.execute(_FIND, {"key_hash": key_hash})).mappings().one_or_none()
        return None if row is None else _api_key(row)

    async def add(self, key: ApiKey) -> None:
        """Keep a new key. Raises AppError NOT_FOUND TEAM_NOT_FOUND."""
        try:
            async with self._database.team(key.team_id) as connection:
                await connection.execute(_ADD, _values(key))
        except IntegrityError as error:
            if "api_keys_team_id_fkey" in str(error.orig):
                raise team_not_found() from error
            raise

    async def note_use(self, key: ApiKey, at: datetime) -> None:
        """Write down when a key was last used."""
        async with self._database.team(key.team_id) as connection:
            await connection.execute(_NOTE_USE, {"id": key.id, "at": at, "before": at - USE_NOTED_EVERY})


class PostgresTeams:
    """Teams in the table `teams`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._problem = ""

    async def get(self, team_id: str) -> Team:
        """Give a team. Raises AppError NOT_FOUND TEAM_NOT_FOUND."""
        async with self._database.team(team_id) as connection:
            row = (await connection.execute(_TEAM, {"id": team_id})).one_or_none()
        if row is None:
            raise team_not_found()
        return Team(*row)

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


def _api_key(row: sa.RowMapping) -> ApiKey:
    return ApiKey(
        id=row["id"],
        team_id=row["team_id"],
        team_name=row["team_name"],
        label=row["label"],
        key_hash=bytes(row["key_hash"]),
        scopes=frozenset(row["scopes"]),
        restrictions=Restrictions(row["read_only"], row["label_prefix"], frozenset(row["mailbox_ids"])),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
    )


def _values(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "team_id": key.team_id,
        "label": key.label,
        "key_hash": key.key_hash,
        "scopes": sorted(key.scopes),
        "read_only": key.restrictions.read_only,
        "label_prefix": key.restrictions.label_prefix,
        "mailbox_ids": sorted(key.restrictions.mailbox_ids),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
    }
