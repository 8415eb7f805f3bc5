"""Checkpoints of the audit log in PostgreSQL, append-only for the role that serves (migration 0006)."""

import asyncio
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.audit_ports import KeptCheckpoint, Present
from services.auth.domain.audit_chain import Link, Named
from services.auth.domain.audit_checkpoints import ChainState, Statement
from services.common.database import Database

_SETTINGS: Final = {"mailwarden.audit_checkpoints": "on"}
# The lock of retention too. Others wait for a moment, and find nothing new then; teams do not wait for it.
_ALONE: Final = sa.text("SELECT pg_advisory_xact_lock(726003)")
_NEWEST: Final = sa.text("SELECT number, note FROM audit_checkpoints ORDER BY number DESC LIMIT 1")
_FIRST: Final = sa.text("SELECT coalesce(min(number), 0) FROM audit_checkpoints")
_FIND: Final = sa.text("SELECT number, note FROM audit_checkpoints WHERE number = :number")
_NOTES: Final = sa.text(
    "SELECT number, note FROM audit_checkpoints WHERE number > :after ORDER BY number LIMIT :limit"
)
# Teams are found by hopping along the index: of millions of rows only one is read for each.
_CHAINS: Final = sa.text("""
    WITH RECURSIVE hop (team_id) AS (
        (SELECT team_id FROM audit_checkpoint_heads ORDER BY team_id LIMIT 1)
        UNION ALL
        SELECT (SELECT e.team_id FROM audit_checkpoint_heads e
                WHERE e.team_id > hop.team_id ORDER BY e.team_id LIMIT 1)
        FROM hop WHERE hop.team_id IS NOT NULL
    ), chain AS (
        SELECT team_id FROM hop WHERE team_id IS NOT NULL
        UNION
        SELECT team_id FROM audit_heads WHERE sequence > 0
    )
    SELECT chain.team_id::text, h.sequence, h.hash, h.anchor_sequence, h.anchor_hash,
           e.sequence AS named_sequence, e.hash AS named_hash
    FROM chain
    LEFT JOIN audit_heads h ON h.team_id = chain.team_id
    LEFT JOIN LATERAL (
        SELECT sequence, hash FROM audit_checkpoint_heads
        WHERE team_id = chain.team_id ORDER BY number DESC LIMIT 1
    ) e ON true
""")
_ADD: Final = sa.text(
    "INSERT INTO audit_checkpoints (number, signed_at, kept_from, note)"
    " VALUES (:number, :signed_at, :kept_from, :note)"
)
_ADD_HEADS: Final = sa.text("""
    INSERT INTO audit_checkpoint_heads (number, team_id, sequence, hash)
    SELECT :number, * FROM unnest(
        CAST(:teams AS uuid[]), CAST(:sequences AS bigint[]), CAST(:hashes AS bytea[]))
""")
_BASE: Final = sa.text("""
    SELECT DISTINCT ON (team_id) number, team_id::text, sequence, hash FROM audit_checkpoint_heads
    WHERE number <= :until ORDER BY team_id, number DESC
""")
_HEADS: Final = sa.text("""
    SELECT number, team_id::text, sequence, hash FROM audit_checkpoint_heads
    WHERE number > :after AND number <= :until ORDER BY number
""")
# Of what stands up to the first checkpoint only the last is signed by it: an older row is nobody's word.
_NAMED: Final = sa.text("""
    SELECT number, sequence, hash FROM audit_checkpoint_heads
    WHERE team_id = :team_id AND number <= :until AND number >= coalesce(
        (SELECT max(number) FROM audit_checkpoint_heads WHERE team_id = :team_id AND number <= :first),
        :first)
    ORDER BY number
""")


class PostgresCheckpoints:
    """Implements `audit_ports.CheckpointLog`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self, wanted: int, make: Callable[[Present], tuple[Statement, str] | None]
    ) -> KeptCheckpoint | None:
        """Add what `make` signs, while nobody else does. `wanted`: number of a checkpoint to look for."""
        async with self._database.transaction(_SETTINGS) as connection:
            await connection.execute(_ALONE)
            newest = await _one(connection, _NEWEST)
            first = (await connection.execute(_FIRST)).scalar_one()
            found = await _one(connection, _FIND, number=wanted)
            rows = (await connection.execute(_CHAINS)).mappings().all()
            # With ten thousand teams this takes a tenth of a second: too long for the event loop.
            made = await asyncio.to_thread(
                lambda: make(Present(newest, first, found, [_chain(row) for row in rows]))
            )
            if made is None:
                return None
            statement, note = made
            await _insert(connection, statement, note)
            return KeptCheckpoint(statement.checkpoint.number, note)

    async def notes(self, after: int, limit: int) -> list[KeptCheckpoint]:
        """Give some checkpoints in their order."""
        async with self._database.transaction(_SETTINGS) as connection:
            rows = (await connection.execute(_NOTES, {"after": after, "limit": limit})).all()
        return [KeptCheckpoint(row.number, row.note) for row in rows]

    async def newest(self) -> KeptCheckpoint | None:
        """Give the last checkpoint."""
        async with self._database.transaction(_SETTINGS) as connection:
            return await _one(connection, _NEWEST)

    async def heads(self, after: int, until: int) -> list[tuple[int, str, Link]]:
        """Give what these checkpoints name: number, team, place; after 0, for each team the last of them."""
        query = _HEADS if after else _BASE
        values = {"after": after, "until": until} if after else {"until": until}
        async with self._database.transaction(_SETTINGS) as connection:
            rows = (await connection.execute(query, values)).all()
        return [(row.number, row.team_id, Link(row.sequence, bytes(row.hash))) for row in rows]

    async def named(self, team_id: str, first: int, until: int) -> list[Named]:
        """Give what these checkpoints name of one chain, in their order, from what the first says of it."""
        values = {"team_id": team_id, "first": first, "until": until}
        async with self._database.transaction(_SETTINGS) as connection:
            rows = (await connection.execute(_NAMED, values)).all()
        return [Named(row.number, Link(row.sequence, bytes(row.hash))) for row in rows]


async def _one(connection: AsyncConnection, query: sa.TextClause, **values: Any) -> KeptCheckpoint | None:
    row = (await connection.execute(query, values)).one_or_none()
    return None if row is None else KeptCheckpoint(row.number, row.note)


async def _insert(connection: AsyncConnection, statement: Statement, note: str) -> None:
    checkpoint, links = statement.checkpoint, statement.named.values()
    await connection.execute(
        _ADD,
        {
            "number": checkpoint.number,
            "signed_at": checkpoint.at,
            "kept_from": checkpoint.kept_from,
            "note": note,
        },
    )
    if statement.named:
        await connection.execute(
            _ADD_HEADS,
            {
                "number": checkpoint.number,
                "teams": [UUID(team_id) for team_id in statement.named],
                "sequences": [link.sequence for link in links],
                "hashes": [link.digest for link in links],
            },
        )


def _chain(row: sa.RowMapping) -> ChainState:
    has_head = bool(row["sequence"])
    anchor = Link(row["anchor_sequence"], bytes(row["anchor_hash"])) if has_head else Link()
    return ChainState(
        team_id=row["team_id"],
        head=Link(row["sequence"], bytes(row["hash"])) if has_head else None,
        anchor=anchor,
        named=_link(row["named_sequence"], row["named_hash"]),
    )


def _link(sequence: int | None, digest: bytes | None) -> Link | None:
    return None if sequence is None or digest is None else Link(sequence, bytes(digest))
