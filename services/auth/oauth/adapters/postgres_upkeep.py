"""Removes what ended, of all teams, by the one function that may (migration 0005)."""

from collections.abc import Mapping
from typing import Final

import sqlalchemy as sa

from services.common.database import Database

_REMOVE: Final = sa.text("SELECT what, row_count FROM oauth_upkeep(:batch)")


class PostgresEnded:
    """Implements `ports.Ended`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def remove(self, batch: int) -> Mapping[str, int]:
        """Remove at most so many rows of each kind; gives how many went."""
        async with self._database.transaction({}) as connection:
            rows = (await connection.execute(_REMOVE, {"batch": batch})).all()
        return {row.what: row.row_count for row in rows}
