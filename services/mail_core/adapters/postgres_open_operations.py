"""Operations that are not final, across teams, by what the right to them hangs on."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa

from services.common.database import Database
from services.common.revocations import RACE_S
from services.mail_core.adapters.tables import operations
from services.mail_core.domain.ids import OperationId, TeamId
from services.mail_core.domain.operation import OperationState

UPKEEP: Final = {"mailwarden.revocation_upkeep": "on"}
_OPEN: Final = (OperationState.QUEUED, OperationState.RUNNING)


@dataclass(frozen=True, slots=True)
class PostgresOpenOperations:
    """Implements `stop_revoked.OpenOperations`."""

    database: Database

    async def hanging_on(self, subject: str, revoked_at: float) -> list[tuple[TeamId, OperationId]]:
        """List those that were asked for by such a right, stated by a passport from before it was revoked."""
        latest = datetime.fromtimestamp(revoked_at, UTC) + timedelta(seconds=RACE_S)
        query = sa.select(operations.c.team_id, operations.c.id).where(
            operations.c.state.in_(_OPEN),
            operations.c.roots.contains([subject]),
            sa.func.coalesce(operations.c.right_issued_at, operations.c.created_at) <= latest,
        )
        async with self.database.transaction(UPKEEP) as connection:
            return [(row.team_id, row.id) for row in await connection.execute(query)]
