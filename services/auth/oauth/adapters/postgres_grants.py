"""Grants, codes and refresh tokens in PostgreSQL, behind row-level security.

Of two who show one code or one refresh token at once, the row's lock lets one win. The other comes too
late, which is a replay, and a replay ends the grant: whoever won loses what they got.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.audit_ports import Audit
from services.auth.domain.paging import Page
from services.auth.domain.revocation import in_team
from services.auth.oauth.adapters.postgres_clients import NAMED_SETTING
from services.auth.oauth.domain.clients import is_registered_id
from services.auth.oauth.domain.grants import Code, Grant, HeldClient, RefreshToken
from services.auth.oauth.events import replayed
from services.auth.oauth.ports import Redemption, Rotation
from services.common.audit import AuditEvent
from services.common.database import TEAM_SETTING, Database

PRESENTED_SETTING: Final = "mailwarden.presented_oauth_hash"
"""A transaction with this setting sees the one code or refresh token that has this hash (hex)."""

_COLUMNS: Final = """
    id::text, team_id::text, client_id, client_name, principal, key_id, scopes, resource, created_at,
    expires_at, coalesce(session_id::text, '') AS session_id, person, last_used_at, revoked_at
"""
_SET: Final = sa.text("SELECT set_config(:name, :value, true)")
# Who signs out at the same time either finds the grant, or is found by it here.
_HOLD_SESSION: Final = sa.text("""
    SELECT 1 FROM oauth_sessions WHERE id = :id AND ended_at IS NULL AND expires_at > :at FOR SHARE
""")
_ADD_GRANT: Final = sa.text("""
    INSERT INTO oauth_grants (id, team_id, client_id, client_name, principal, key_id, scopes, resource,
                              created_at, expires_at, session_id, person)
    VALUES (:id, :team_id, :client_id, :client_name, :principal, :key_id, :scopes, :resource,
            :created_at, :expires_at, CAST(:session_id AS uuid), :person)
""")
_NOTE_CLIENT: Final = sa.text("UPDATE oauth_clients SET last_used_at = :at WHERE id = :id")
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
_GRANT: Final = sa.text(f"""
    SELECT {_COLUMNS} FROM oauth_grants WHERE id = :id AND revoked_at IS NULL AND expires_at > :at
""")  # noqa: S608  our constant
# Whoever ends the grant meanwhile comes after the tokens that are made here, and so ends them too.
_HELD: Final = sa.text(f"""
    SELECT {_COLUMNS} FROM oauth_grants
    WHERE id = :id AND revoked_at IS NULL AND expires_at > :at FOR UPDATE
""")  # noqa: S608  our constant
_ANY: Final = sa.text(f"SELECT {_COLUMNS} FROM oauth_grants WHERE id = :id FOR UPDATE")  # noqa: S608  our constant
_LIST: Final = sa.text(f"""
    SELECT {_COLUMNS} FROM oauth_grants
    WHERE team_id = :team_id AND (:principal = '' OR principal = :principal)
      AND (CAST(:after AS timestamptz) IS NULL OR (created_at, id) < (:after, CAST(:after_id AS uuid)))
    ORDER BY created_at DESC, id DESC LIMIT :limit
""")  # noqa: S608  our constant
_CLIENTS: Final = sa.text("""
    SELECT client_id AS id, (array_agg(client_name ORDER BY created_at DESC))[1] AS name,
           count(*) AS grant_count, min(created_at) AS since, max(last_used_at) AS last_used_at
    FROM oauth_grants
    WHERE team_id = :team_id AND revoked_at IS NULL AND expires_at > :at
    GROUP BY client_id ORDER BY name, client_id LIMIT :limit
""")
_DOCUMENT_CLIENTS: Final = sa.text("""
    SELECT DISTINCT client_id FROM oauth_grants
    WHERE team_id = :team_id AND revoked_at IS NULL AND expires_at > :at AND client_id LIKE 'https://%'
""")
_NOTE_USE: Final = sa.text("""
    UPDATE oauth_grants SET last_used_at = :at
    WHERE id = :id
      AND (last_used_at IS NULL OR last_used_at <= CAST(:at AS timestamptz) - interval '1 minute')
""")
_END: Final = sa.text("UPDATE oauth_grants SET revoked_at = :at WHERE id = :id AND revoked_at IS NULL")
_END_OF_CLIENT: Final = sa.text("""
    UPDATE oauth_grants SET revoked_at = :at
    WHERE team_id = :team_id AND client_id = :client_id AND revoked_at IS NULL AND expires_at > :at
    RETURNING id::text
""")
_HAD_CLIENT: Final = sa.text("""
    SELECT 1 FROM oauth_grants WHERE team_id = :team_id AND client_id = :client_id LIMIT 1
""")
_REVOKE: Final = sa.text("INSERT INTO revocations (team_id, subject) VALUES (:team_id, :subject)")
_END_TOKEN: Final = sa.text("""
    INSERT INTO oauth_revoked_tokens (token_id, team_id, expires_at) VALUES (:token_id, :team_id, :expires_at)
    ON CONFLICT DO NOTHING
""")
_IS_ENDED: Final = sa.text("SELECT 1 FROM oauth_revoked_tokens WHERE token_id = :token_id")


class PostgresGrants:
    """Implements `ports.Grants`."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit

    async def add(self, grant: Grant, code: Code, event: AuditEvent) -> bool:
        """Keep what a person gave, and the code for it. False when their sign-in ended meanwhile."""
        settings = {TEAM_SETTING: grant.team_id}
        if is_registered_id(grant.client_id):
            settings[NAMED_SETTING] = grant.client_id
        async with self._database.transaction(settings) as connection:
            at = grant.created_at
            if grant.session_id:
                held = await connection.execute(_HOLD_SESSION, {"id": grant.session_id, "at": at})
                if held.first() is None:
                    return False
            await connection.execute(_ADD_GRANT, _grant_values(grant))
            await connection.execute(_ADD_CODE, _code_values(grant, code))
            await connection.execute(_NOTE_CLIENT, {"id": grant.client_id, "at": at})
            await self._audit.record(connection, event)
        return True

    async def redeem(self, code_hash: bytes, redemption: Redemption) -> Grant | None:
        """Take a code, once, and keep the refresh token that it gives."""
        at = redemption.at
        async with self._database.transaction({PRESENTED_SETTING: code_hash.hex()}) as connection:
            entered = await _enter(connection, _TEAM_OF_CODE, _CODE, code_hash)
            if entered is None:
                return None
            team_id, row = entered
            if row["used_at"] is not None:
                await self._end_family(connection, team_id, row["grant_id"], at)
                return None
            grant = await _find(connection, _HELD, row["grant_id"], at)
            if grant is None or not _is_bound(row, grant, redemption):
                return None
            await connection.execute(_USE_CODE, {"hash": code_hash, "at": at})
            await self._give(connection, grant, redemption)
            return grant

    async def rotate(self, token_hash: bytes, rotation: Rotation) -> Grant | None:
        """Put a refresh token in the place of another, once."""
        at = rotation.at
        async with self._database.transaction({PRESENTED_SETTING: token_hash.hex()}) as connection:
            entered = await _enter(connection, _TEAM_OF_REFRESH, _REFRESH, token_hash)
            if entered is None:
                return None
            team_id, row = entered
            if row["used_at"] is not None:
                await self._end_family(connection, team_id, row["grant_id"], at)
                return None
            grant = await _find(connection, _HELD, row["grant_id"], at)
            if grant is None or grant.client_id != rotation.client_id or row["expires_at"] <= at:
                return None
            await connection.execute(_USE_REFRESH, {"hash": token_hash, "at": at})
            await self._give(connection, grant, rotation)
            return grant

    async def find(self, team_id: str, grant_id: str, at: datetime) -> Grant | None:
        """Give a grant that still counts."""
        async with self._database.team(team_id) as connection:
            return await _find(connection, _GRANT, grant_id, at)

    async def find_by_code(self, code_hash: bytes, at: datetime) -> Grant | None:
        """Give the grant of a code that was not used yet."""
        async with self._database.transaction({PRESENTED_SETTING: code_hash.hex()}) as connection:
            entered = await _enter(connection, _TEAM_OF_CODE, _CODE, code_hash)
            if entered is None or entered[1]["used_at"] is not None:
                return None
            return await _find(connection, _GRANT, entered[1]["grant_id"], at)

    async def find_by_refresh(
        self, token_hash: bytes, at: datetime, *, also_used: bool = False
    ) -> Grant | None:
        """Give the grant of a refresh token that still counts; with `also_used`, of one that did."""
        async with self._database.transaction({PRESENTED_SETTING: token_hash.hex()}) as connection:
            entered = await _enter(connection, _TEAM_OF_REFRESH, _REFRESH, token_hash)
            if entered is None:
                return None
            row = entered[1]
            if row["expires_at"] <= at or (row["used_at"] is not None and not also_used):
                return None
            return await _find(connection, _GRANT, row["grant_id"], at)

    async def note_use(self, grant: Grant, at: datetime) -> None:
        """Write down that a grant was used, at most once a minute."""
        async with self._database.team(grant.team_id) as connection:
            await connection.execute(_NOTE_USE, {"id": grant.id, "at": at})

    async def revoke(self, team_id: str, grant_id: str, at: datetime, event: AuditEvent) -> Grant | None:
        """End a grant and all that came of it; gives it as it was before. None when there is none."""
        async with self._database.team(team_id) as connection:
            grant = await _find(connection, _ANY, grant_id, at)
            if grant is not None and grant.counts(at):
                await _end(connection, team_id, grant_id, at)
                await self._audit.record(connection, event)
        return grant

    async def revoke_client(
        self, team_id: str, client_id: str, at: datetime, event: Callable[[int], AuditEvent]
    ) -> int | None:
        """End all that a team gave to a client; gives how many grants ended. None when it never had any."""
        values = {"team_id": team_id, "client_id": client_id, "at": at}
        async with self._database.team(team_id) as connection:
            ended = list((await connection.execute(_END_OF_CLIENT, values)).scalars())
            if not ended and (await connection.execute(_HAD_CLIENT, values)).first() is None:
                return None
            if ended:
                # Grant by grant: others may have given something to the same client, and that stays.
                subjects = [{"team_id": team_id, "subject": f"grant:{grant_id}"} for grant_id in ended]
                await connection.execute(_REVOKE, subjects)
                await self._audit.record(connection, event(len(ended)))
        return len(ended)

    async def list(self, team_id: str, page: Page, principal: str = "") -> Sequence[Grant]:
        """Give a team's grants, newest first, ended ones too; one more than the page holds if there is."""
        after = page.after
        values = {
            "team_id": team_id,
            "principal": principal,
            "after": after.created_at if after else None,
            "after_id": after.id if after else None,
            "limit": page.size + 1,
        }
        async with self._database.team(team_id) as connection:
            return [_grant(row) for row in (await connection.execute(_LIST, values)).mappings()]

    async def clients(self, team_id: str, at: datetime, limit: int) -> Sequence[HeldClient]:
        """Give the clients that hold grants of a team which stand, by name."""
        values = {"team_id": team_id, "at": at, "limit": limit}
        async with self._database.team(team_id) as connection:
            return [HeldClient(**row) for row in (await connection.execute(_CLIENTS, values)).mappings()]

    async def document_clients(self, team_id: str, at: datetime) -> Sequence[str]:
        """Give the ids of clients known by a document that hold grants of a team which stand."""
        async with self._database.team(team_id) as connection:
            found = await connection.execute(_DOCUMENT_CLIENTS, {"team_id": team_id, "at": at})
            return list(found.scalars())

    async def revoke_token(
        self, team_id: str, token_id: str, expires_at: datetime, event: AuditEvent
    ) -> None:
        """End one access token, which would have ended by itself then."""
        async with self._database.team(team_id) as connection:
            values = {"token_id": token_id, "team_id": team_id, "expires_at": expires_at}
            if (await connection.execute(_END_TOKEN, values)).rowcount:
                subject = in_team(team_id, f"token:{token_id}")
                await connection.execute(_REVOKE, {"team_id": team_id, "subject": subject})
                await self._audit.record(connection, event)

    async def is_token_revoked(self, team_id: str, token_id: str) -> bool:
        """Whether an access token was ended."""
        async with self._database.team(team_id) as connection:
            return (await connection.execute(_IS_ENDED, {"token_id": token_id})).first() is not None

    async def _give(self, connection: AsyncConnection, grant: Grant, given: Redemption | Rotation) -> None:
        await _add_refresh(connection, grant, given.refresh)
        await connection.execute(_NOTE_USE, {"id": grant.id, "at": given.at})
        await self._audit.record(connection, given.event(grant))

    async def _end_family(
        self, connection: AsyncConnection, team_id: str, grant_id: str, at: datetime
    ) -> None:
        if await _end(connection, team_id, grant_id, at):
            await self._audit.record(connection, replayed(team_id, grant_id))


async def _enter(
    connection: AsyncConnection, of_team: sa.TextClause, query: sa.TextClause, secret_hash: bytes
) -> tuple[str, sa.RowMapping] | None:
    """Enter the team of a secret and lock its row. None when it is not there, or is cleaned up just now."""
    team_id = (await connection.execute(of_team, {"hash": secret_hash})).scalar_one_or_none()
    if team_id is None:
        return None
    await connection.execute(_SET, {"name": TEAM_SETTING, "value": team_id})
    row = (await connection.execute(query, {"hash": secret_hash})).mappings().one_or_none()
    return None if row is None else (team_id, row)


async def _find(
    connection: AsyncConnection, query: sa.TextClause, grant_id: str, at: datetime
) -> Grant | None:
    row = (await connection.execute(query, {"id": grant_id, "at": at})).mappings().one_or_none()
    return None if row is None else _grant(row)


def _grant(row: sa.RowMapping) -> Grant:
    return Grant(**{**row, "scopes": frozenset(row["scopes"])})


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
        "session_id": grant.session_id or None,
        "person": grant.person,
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
