"""Grants, codes and refresh tokens in PostgreSQL, behind row-level security.

Of two who show one code or one refresh token at once, the row's lock lets one win. The other comes too
late, which is a replay, and a replay ends the grant: whoever won loses what they got.
"""

from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.audit_ports import Audit
from services.auth.oauth.domain.grants import Code, Grant, RefreshToken
from services.auth.oauth.events import replayed
from services.auth.oauth.ports import Redemption
from services.common.audit import AuditEvent
from services.common.database import TEAM_SETTING, Database

PRESENTED_SETTING: Final = "mailwarden.presented_oauth_hash"
"""A transaction with this setting sees the one code or refresh token that has this hash (hex)."""

_SET: Final = sa.text("SELECT set_config(:name, :value, true)")
_ADD_GRANT: Final = sa.text("""
    INSERT INTO oauth_grants (id, team_id, client_id, client_name, principal, key_id, scopes, resource,
                              created_at, expires_at)
    VALUES (:id, :team_id, :client_id, :client_name, :principal, :key_id, :scopes, :resource,
            :created_at, :expires_at)
""")
# What ended long ago is of no use to anybody; what is replayed later than this is simply unknown.
_CLEAN: Final = sa.text("DELETE FROM oauth_grants WHERE expires_at < :at OR revoked_at < :revoked_before")
_ADD_CODE: Final = sa.text("""
    INSERT INTO oauth_codes (code_hash, team_id, grant_id, redirect_uri, challenge, expires_at)
    VALUES (:code_hash, :team_id, :grant_id, :redirect_uri, :challenge, :expires_at)
""")
_ADD_REFRESH: Final = sa.text("""
    INSERT INTO oauth_refresh_tokens (token_hash, team_id, grant_id, expires_at)
    VALUES (:token_hash, :team_id, :grant_id, :expires_at)
""")
_TEAM_OF_CODE: Final = sa.text("SELECT team_id::text FROM oauth_codes WHERE code_hash = :hash")
_TEAM_OF_REFRESH: Final = sa.text("SELECT team_id::text FROM oauth_refresh_tokens WHERE token_hash = :hash")
_CODE: Final = sa.text("""
    SELECT grant_id::text, redirect_uri, challenge, expires_at, used_at
    FROM oauth_codes WHERE code_hash = :hash FOR UPDATE
""")
_REFRESH: Final = sa.text("""
    SELECT grant_id::text, expires_at, used_at FROM oauth_refresh_tokens WHERE token_hash = :hash FOR UPDATE
""")
_USE_CODE: Final = sa.text("UPDATE oauth_codes SET used_at = :at WHERE code_hash = :hash")
_USE_REFRESH: Final = sa.text("UPDATE oauth_refresh_tokens SET used_at = :at WHERE token_hash = :hash")
_GRANT: Final = sa.text("""
    SELECT id::text, team_id::text, client_id, client_name, principal, key_id, scopes, resource, created_at,
           expires_at
    FROM oauth_grants
    WHERE id = :id AND revoked_at IS NULL AND expires_at > :at
""")
_END: Final = sa.text("UPDATE oauth_grants SET revoked_at = :at WHERE id = :id AND revoked_at IS NULL")
_REVOKE: Final = sa.text("INSERT INTO revocations (team_id, subject) VALUES (:team_id, :subject)")
_END_TOKEN: Final = sa.text("""
    INSERT INTO oauth_revoked_tokens (token_id, team_id, expires_at) VALUES (:token_id, :team_id, :expires_at)
    ON CONFLICT DO NOTHING
""")
_FORGET_TOKENS: Final = sa.text("DELETE FROM oauth_revoked_tokens WHERE expires_at < now()")
_IS_ENDED: Final = sa.text("SELECT 1 FROM oauth_revoked_tokens WHERE token_id = :token_id")


class PostgresGrants:
    """Implements `ports.Grants`."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit

    async def add(self, grant: Grant, code: Code, event: AuditEvent) -> None:
        """Keep what a person gave, and the code for it."""
        async with self._database.team(grant.team_id) as connection:
            before = grant.created_at - (grant.expires_at - grant.created_at)
            await connection.execute(_CLEAN, {"at": grant.created_at, "revoked_before": before})
            await connection.execute(_ADD_GRANT, _grant_values(grant))
            await connection.execute(_ADD_CODE, _code_values(grant, code))
            await self._audit.record(connection, event)

    async def redeem(self, code_hash: bytes, redemption: Redemption) -> Grant | None:
        """Take a code, once, and keep the refresh token that it gives."""
        async with self._database.transaction({PRESENTED_SETTING: code_hash.hex()}) as connection:
            team_id = await _enter_team(connection, _TEAM_OF_CODE, code_hash)
            if team_id is None:
                return None
            row = (await connection.execute(_CODE, {"hash": code_hash})).mappings().one()
            if row["used_at"] is not None:
                await self._end_family(connection, team_id, row["grant_id"], redemption.at)
                return None
            grant = await _find(connection, row["grant_id"], redemption.at)
            if grant is None or not _is_bound(row, grant, redemption):
                return None
            await connection.execute(_USE_CODE, {"hash": code_hash, "at": redemption.at})
            await _add_refresh(connection, grant, redemption.refresh)
            return grant

    async def rotate(
        self, token_hash: bytes, client_id: str, fresh: RefreshToken, at: datetime
    ) -> Grant | None:
        """Put a refresh token in the place of another, once."""
        async with self._database.transaction({PRESENTED_SETTING: token_hash.hex()}) as connection:
            team_id = await _enter_team(connection, _TEAM_OF_REFRESH, token_hash)
            if team_id is None:
                return None
            row = (await connection.execute(_REFRESH, {"hash": token_hash})).mappings().one()
            if row["used_at"] is not None:
                await self._end_family(connection, team_id, row["grant_id"], at)
                return None
            grant = await _find(connection, row["grant_id"], at)
            if grant is None or grant.client_id != client_id or row["expires_at"] <= at:
                return None
            await connection.execute(_USE_REFRESH, {"hash": token_hash, "at": at})
            await _add_refresh(connection, grant, fresh)
            return grant

    async def find(self, team_id: str, grant_id: str, at: datetime) -> Grant | None:
        """Give a grant that still counts."""
        async with self._database.team(team_id) as connection:
            return await _find(connection, grant_id, at)

    async def find_by_refresh(self, token_hash: bytes, at: datetime) -> Grant | None:
        """Give the grant of a refresh token that still counts."""
        async with self._database.transaction({PRESENTED_SETTING: token_hash.hex()}) as connection:
            if await _enter_team(connection, _TEAM_OF_REFRESH, token_hash) is None:
                return None
            row = (await connection.execute(_REFRESH, {"hash": token_hash})).mappings().one()
            if row["used_at"] is not None or row["expires_at"] <= at:
                return None
            return await _find(connection, row["grant_id"], at)

    async def revoke(self, grant: Grant, at: datetime, event: AuditEvent) -> None:
        """End a grant and all that came of it."""
        async with self._database.team(grant.team_id) as connection:
            if await _end(connection, grant.team_id, grant.id, at):
                await self._audit.record(connection, event)

    async def revoke_token(
        self, team_id: str, token_id: str, expires_at: datetime, event: AuditEvent
    ) -> None:
        """End one access token, which would have ended by itself then."""
        async with self._database.team(team_id) as connection:
            await connection.execute(_FORGET_TOKENS)
            values = {"token_id": token_id, "team_id": team_id, "expires_at": expires_at}
            if (await connection.execute(_END_TOKEN, values)).rowcount:
                await connection.execute(_REVOKE, {"team_id": team_id, "subject": f"token:{token_id}"})
                await self._audit.record(connection, event)

    async def is_token_revoked(self, team_id: str, token_id: str) -> bool:
        """Whether an access token was ended."""
        async with self._database.team(team_id) as connection:
            return (await connection.execute(_IS_ENDED, {"token_id": token_id})).first() is not None

    async def _end_family(
        self, connection: AsyncConnection, team_id: str, grant_id: str, at: datetime
    ) -> None:
        if await _end(connection, team_id, grant_id, at):
            await self._audit.record(connection, replayed(team_id, grant_id))


async def _enter_team(connection: AsyncConnection, query: sa.TextClause, secret_hash: bytes) -> str | None:
    team_id = (await connection.execute(query, {"hash": secret_hash})).scalar_one_or_none()
    if team_id is not None:
        await connection.execute(_SET, {"name": TEAM_SETTING, "value": team_id})
    return team_id


async def _find(connection: AsyncConnection, grant_id: str, at: datetime) -> Grant | None:
    row = (await connection.execute(_GRANT, {"id": grant_id, "at": at})).mappings().one_or_none()
    return None if row is None else Grant(**{**row, "scopes": frozenset(row["scopes"])})


async def _add_refresh(connection: AsyncConnection, grant: Grant, token: RefreshToken) -> None:
    values = {"token_hash": token.token_hash, "team_id": grant.team_id, "grant_id": grant.id}
    ends = min(token.expires_at, grant.expires_at)
    await connection.execute(_ADD_REFRESH, {**values, "expires_at": ends})


async def _end(connection: AsyncConnection, team_id: str, grant_id: str, at: datetime) -> bool:
    if not (await connection.execute(_END, {"id": grant_id, "at": at})).rowcount:
        return False
    await connection.execute(_REVOKE, {"team_id": team_id, "subject": f"grant:{grant_id}"})
    return True


def _is_bound(row: sa.RowMapping, grant: Grant, redemption: Redemption) -> bool:
    is_in_time = row["expires_at"] > redemption.at
    is_same_client = grant.client_id == redemption.client_id
    is_same_place = row["redirect_uri"] == redemption.redirect_uri
    # A client that names no resource here means the one that the person agreed to (RFC 8707 §2.2).
    is_same_resource = redemption.resource in {"", grant.resource}
    is_proven = redemption.proves(row["challenge"])
    return is_in_time and is_same_client and is_same_place and is_same_resource and is_proven


def _grant_values(grant: Grant) -> dict[str, Any]:
    return {
        "id": grant.id,
        "team_id": grant.team_id,
        "client_id": grant.client_id,
        "client_name": grant.client_name,
        "principal": grant.principal,
        "key_id": grant.key_id,
        "scopes": sorted(grant.scopes),
        "resource": grant.resource,
        "created_at": grant.created_at,
        "expires_at": grant.expires_at,
    }


def _code_values(grant: Grant, code: Code) -> dict[str, Any]:
    return {
        "code_hash": code.code_hash,
        "team_id": grant.team_id,
        "grant_id": grant.id,
        "redirect_uri": code.redirect_uri,
        "challenge": code.challenge,
        "expires_at": code.expires_at,
    }
