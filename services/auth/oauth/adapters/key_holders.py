"""API keys as clients and as a way to sign in: whom a key names, by its secret or by its id."""

from collections.abc import Container
from typing import Final

import sqlalchemy as sa

from services.auth.domain.api_key import ApiKey, key_root
from services.auth.domain.scopes import MAIL_SCOPES
from services.auth.domain.team import DEFAULT_TEAM_ID
from services.auth.oauth.ports import Clock, KeyHolder
from services.auth.operations.check_api_key import CheckApiKey
from services.auth.ports import Teams
from services.common.database import Database
from services.common.errors import AppError, Kind
from services.common.identity import Caller, Restrictions, team_root

_FIND: Final = sa.text("""
    SELECT id::text, team_id::text, label, key_hash, scopes, read_only, label_prefix,
           mailbox_ids::text[] AS mailbox_ids, created_at, expires_at, revoked_at
    FROM api_keys WHERE id = CAST(:id AS uuid)
""")


class KeyHolders:
    """Implements `ports.ApiKeys`. `environment_ids` are the ids of the operator's keys."""

    def __init__(
        self,
        check: CheckApiKey,
        database: Database,
        teams: Teams,
        environment_ids: Container[str],
        clock: Clock,
    ) -> None:
        self._check = check
        self._database = database
        self._teams = teams
        self._environment_ids = environment_ids
        self._clock = clock

    async def by_secret(self, secret: str) -> KeyHolder | None:
        """Give whom a key names now."""
        try:
            who = await self._check(secret)
            return None if who is None else await self.by_id(who.caller.team_id, who.caller.key_id)
        except AppError as error:
            if error.kind is Kind.UNAUTHENTICATED:
                return None
            raise

    async def by_id(self, team_id: str, key_id: str) -> KeyHolder | None:
        """Give whom a key names now."""
        try:
            team = await self._teams.get(team_id)
            team.check()
        except AppError as error:
            if error.kind in {Kind.UNAUTHENTICATED, Kind.NOT_FOUND}:
                return None
            raise
        if key_id in self._environment_ids and team.id == DEFAULT_TEAM_ID:
            roots = frozenset({team_root(team.id), key_root(key_id)})
            return KeyHolder(
                Caller(
                    team_id=team.id,
                    team_name=team.name,
                    principal=f"key:{key_id}",
                    key_id=key_id,
                    credential_kind="api_key",
                    scopes=MAIL_SCOPES,
                    roots=roots,
                    limits=team.limits,
                )
            )
        key = None if key_id.startswith("env:") else await self._find(team_id, key_id)
        if key is None or not key.works(self._clock()):
            return None
        return KeyHolder(key.caller(team), key.expires_at)

    async def _find(self, team_id: str, key_id: str) -> ApiKey | None:
        async with self._database.team(team_id) as connection:
            row = (await connection.execute(_FIND, {"id": key_id})).mappings().one_or_none()
        if row is None:
            return None
        return ApiKey(
            id=row["id"],
            team_id=row["team_id"],
            team_name="",
            label=row["label"],
            key_hash=bytes(row["key_hash"]),
            scopes=frozenset(row["scopes"]),
            restrictions=Restrictions(row["read_only"], row["label_prefix"], frozenset(row["mailbox_ids"])),
            created_at=row["created_at"],
            expires_at=row["expires_at"],
            revoked_at=row["revoked_at"],
        )
