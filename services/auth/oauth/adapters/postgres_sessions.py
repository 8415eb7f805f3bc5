"""Sign-ins in PostgreSQL, behind row-level security. What was allowed in one ends with it."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from services.auth.audit_ports import Audit
from services.auth.oauth.domain.grants import Session
from services.common.audit import AuditEvent
from services.common.database import Database

_ADD: Final = sa.text("""
    INSERT INTO oauth_sessions (id, team_id, principal, key_id, method, created_at, expires_at)
    VALUES (:id, :team_id, :principal, :key_id, :method, :created_at, :expires_at)
""")
_STANDS: Final = sa.text("""
    SELECT 1 FROM oauth_sessions WHERE id = :id AND ended_at IS NULL AND expires_at > :at
""")
# Whoever allows something in this sign-in holds the row, so what they gave is found below.
_END: Final = sa.text("""
    UPDATE oauth_sessions SET ended_at = :at WHERE id = :id AND ended_at IS NULL
    RETURNING id::text, team_id::text, principal, key_id, method, created_at, expires_at
""")
_END_GRANTS: Final = sa.text("""
    UPDATE oauth_grants SET revoked_at = :at
    WHERE session_id = :id AND revoked_at IS NULL AND expires_at > :at
""")
_REVOKE: Final = sa.text("INSERT INTO revocations (team_id, subject) VALUES (:team_id, :subject)")


class PostgresSessions:
    """Implements `ports.Sessions`."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit

    async def add(self, session: Session, event: AuditEvent) -> None:
        """Keep a sign-in and write it down."""
        values = {
            "id": session.id,
            "team_id": session.team_id,
            "principal": session.principal,
            "key_id": session.key_id,
            "method": session.method,
            "created_at": session.created_at,
            "expires_at": session.expires_at,
        }
        async with self._database.team(session.team_id) as connection:
            await connection.execute(_ADD, values)
            await self._audit.record(connection, event)

    async def stands(self, team_id: str, session_id: str, at: datetime) -> bool:
        """Whether a sign-in still counts."""
        async with self._database.team(team_id) as connection:
            return (await connection.execute(_STANDS, {"id": session_id, "at": at})).first() is not None

    async def end(
        self, team_id: str, session_id: str, at: datetime, event: Callable[[Session, int], AuditEvent]
    ) -> int:
        """End a sign-in with all that was allowed in it; gives how many grants ended."""
        async with self._database.team(team_id) as connection:
            found = await connection.execute(_END, {"id": session_id, "at": at})
            row = found.mappings().one_or_none()
            if row is None:
                return 0
            session = Session(**row)
            ended = await connection.execute(_END_GRANTS, {"id": session_id, "at": at})
            await connection.execute(_REVOKE, {"team_id": team_id, "subject": session.root})
            await self._audit.record(connection, event(session, ended.rowcount))
        return ended.rowcount
