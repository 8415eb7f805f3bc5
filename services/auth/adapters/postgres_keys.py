"""API keys in PostgreSQL, behind row-level security. What changes them goes through `postgres_teams`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from services.auth.adapters.key_rows import KEY_COLUMNS, KEY_NAMES, KEYS_AND_TEAMS, key_of
from services.auth.domain.api_key import USE_NOTED_EVERY, ApiKey
from services.auth.domain.paging import Page
from services.common.database import Database

PRESENTED_HASH_SETTING: Final = "mailwarden.presented_key_hash"
"""A transaction with this setting sees the one key that has this hash (hex), and its team's name."""

_FIND: Final = f"""
    SELECT {KEY_COLUMNS} FROM {KEYS_AND_TEAMS}
    WHERE k.key_hash = decode(current_setting('{PRESENTED_HASH_SETTING}'), 'hex')
"""  # noqa: S608  our constants
_LIST: Final = sa.text(f"""
    SELECT {KEY_COLUMNS} FROM {KEYS_AND_TEAMS}
    WHERE k.team_id = :team_id
      AND (CAST(:before AS timestamptz) IS NULL OR (k.created_at, k.id) < (:before, CAST(:before_id AS uuid)))
    ORDER BY k.created_at DESC, k.id DESC LIMIT :limit
""")  # noqa: S608  our constants
_COUNT_WORKING: Final = sa.text("""
    SELECT count(*) FROM api_keys
    WHERE team_id = :team_id AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now)
""")
# Of several replicas that saw the key at once, one writes.
_NOTE_USE: Final = sa.text("""
    UPDATE api_keys SET last_used_at = :at
    WHERE id = :id AND (last_used_at IS NULL OR last_used_at <= :before)
""")


class PostgresKeys:
    """API keys in the table `api_keys`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, key_hash: bytes) -> ApiKey | None:
        """Give the one key with this hash, also when it is revoked or expired."""
        rows = await self._database.glance({PRESENTED_HASH_SETTING: key_hash.hex()}, _FIND)
        return key_of(dict(zip(KEY_NAMES, rows[0], strict=True))) if rows else None

    async def list(self, team_id: str, page: Page) -> Sequence[ApiKey]:
        """Give a team's keys, newest first, one more than the page holds when there are more."""
        after = page.after
        values = {
            "team_id": team_id,
            "before": after.created_at if after else None,
            "before_id": after.id if after else None,
            "limit": page.size + 1,
        }
        async with self._database.team(team_id) as connection:
            return [key_of(row) for row in (await connection.execute(_LIST, values)).mappings()]

    async def count_working(self, team_id: str, now: datetime) -> int:
        """Count the keys of a team that work."""
        async with self._database.team(team_id) as connection:
            found = await connection.execute(_COUNT_WORKING, {"team_id": team_id, "now": now})
            return found.scalar_one()

    async def note_use(self, key: ApiKey, at: datetime) -> None:
        """Write down when a key was last used."""
        async with self._database.team(key.team_id) as connection:
            await connection.execute(_NOTE_USE, {"id": key.id, "at": at, "before": at - USE_NOTED_EVERY})
