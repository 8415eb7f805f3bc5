"""Rights of other issuers that were revoked, in PostgreSQL, behind row-level security."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from services.auth.audit_ports import Audit
from services.auth.domain.revocation import in_team
from services.common.audit import AuditEvent
from services.common.database import Database

_FIND: Final = sa.text("""
    SELECT subject, revoked_at FROM revoked_rights
    WHERE team_id = :team_id AND subject = ANY(:subjects) AND expires_at > now()
""")
_ADD: Final = sa.text("""
    INSERT INTO revoked_rights (team_id, subject, revoked_at, expires_at)
    VALUES (:team_id, :subject, :revoked_at, :expires_at)
    ON CONFLICT (team_id, subject) DO UPDATE
    SET revoked_at = greatest(revoked_rights.revoked_at, excluded.revoked_at),
        expires_at = greatest(revoked_rights.expires_at, excluded.expires_at)
""")
_TELL: Final = sa.text("INSERT INTO revocations (team_id, subject) VALUES (:team_id, :subject)")


class PostgresRevokedRights:
    """Implements `ports.RevokedRights`."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit

    async def find(self, team_id: str, subjects: Collection[str]) -> Mapping[str, datetime]:
        """Give when each of these was revoked that was."""
        async with self._database.team(team_id) as connection:
            rows = await connection.execute(_FIND, {"team_id": team_id, "subjects": list(subjects)})
            return {row.subject: row.revoked_at for row in rows}

    async def revoke(
        self, team_id: str, subject: str, at: datetime, until: datetime, event: AuditEvent
    ) -> None:
        """Revoke, remember it until then, tell everybody, and write it down. Never shortens what is known."""
        values = {"team_id": team_id, "subject": subject, "revoked_at": at, "expires_at": until}
        async with self._database.team(team_id) as connection:
            await connection.execute(_ADD, values)
            await connection.execute(_TELL, {"team_id": team_id, "subject": in_team(team_id, subject)})
            await self._audit.record(connection, event)
