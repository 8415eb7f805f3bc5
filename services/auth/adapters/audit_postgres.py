"""The audit log in PostgreSQL, behind row-level security and append-only (migration 0003).

The head of a chain is locked for as long as the transaction that records lasts, so record last: whoever
records for the same team waits for the commit, and sequences have no gaps.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from psycopg.types.json import Jsonb
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.audit_ports import AuditQuery
from services.auth.domain.audit_chain import Kept, Link, chained
from services.common.audit import AuditEvent
from services.common.database import TEAM_SETTING, Database

_BATCH: Final = 500
_OPEN: Final = sa.text("SELECT head_sequence, head_hash FROM audit_open(CAST(:team_id AS uuid))")
_KNOWN: Final = sa.text(
    "SELECT id::text FROM audit_events WHERE team_id = :team_id AND id = ANY(CAST(:ids AS uuid[]))"
)
_ADD: Final = sa.text("""
    INSERT INTO audit_events (team_id, sequence, id, event_time, action, resource, actor, credential, edge,
                              request_id, outcome, reason, facts, hash)
    VALUES (:team_id, :sequence, :id, :event_time, :action, :resource, :actor, :credential, :edge,
            :request_id, :outcome, :reason, :facts, :hash)
""")
_SELECT: Final = """
    SELECT team_id::text, sequence, id::text, event_time, action, resource, actor, credential, edge,
           request_id, outcome, reason, facts, hash,
           coalesce(
               (SELECT left(encode(k.key_hash, 'hex'), 8) FROM api_keys k WHERE 'key:' || k.id = credential),
               substring(credential FROM '^key:env:(.*)$'),
               ''
           ) AS key_hint
    FROM audit_events
"""
_HEAD: Final = sa.text(
    "SELECT sequence, hash, anchor_sequence, anchor_hash FROM audit_heads WHERE team_id = :team_id"
)
# One statement sees one moment: an event and the head that it moves are both there, or neither is.
_BEYOND: Final = sa.text("""
    SELECT coalesce(min(e.sequence), 0) FROM audit_heads h
    JOIN audit_events e ON e.team_id = h.team_id AND e.sequence > h.sequence WHERE h.team_id = :team_id
""")
_TEAMS: Final = sa.text("SELECT audit_teams()::text")
_PRUNE: Final = sa.text("SELECT event_count, team_count FROM audit_prune(:days)")
_TEAM_NOW: Final = sa.text("SELECT coalesce(current_setting(:name, true), '')")
_SET: Final = sa.text("SELECT set_config(:name, :value, true)")


class PostgresAudit:
    """Implements `audit_ports.Audit` and `audit_ports.AuditLog`."""

    def __init__(self, database: Database, recorded: Callable[[int], None] = lambda _: None) -> None:
        """`recorded` is told how many events were added, before their transaction is over."""
        self._database = database
        self._recorded = recorded

    async def record(self, connection: AsyncConnection, *events: AuditEvent) -> int:
        """Append events to their chains within the caller's transaction; gives how many were new.

        The transaction may be of another team, or of none: it is what it was afterwards.
        """
        before = (await connection.execute(_TEAM_NOW, {"name": TEAM_SETTING})).scalar_one()
        count = 0
        # Always in one order: two transactions that record for the same teams cannot wait for each other.
        for team_id in sorted({event.chain for event in events}):
            await _set_team(connection, team_id)
            own = [event for event in events if event.chain == team_id]
            count += await _append(connection, team_id, own)
        await _set_team(connection, before)
        self._recorded(count)
        return count

    async def append(self, events: Sequence[AuditEvent]) -> int:
        """Append events in transactions of their own, one for each chain; gives how many were new."""
        count = 0
        for team_id in dict.fromkeys(event.chain for event in events):
            async with self._database.team(team_id) as connection:
                own = [event for event in events if event.chain == team_id]
                count += await _append(connection, team_id, own)
        self._recorded(count)
        return count

    async def page(self, team_id: str, query: AuditQuery, limit: int, before: int | None) -> list[Kept]:
        """List the newest events that match, behind a sequence."""
        conditions, values = _conditions(team_id, query)
        if before is not None:
            conditions.append("sequence < :before")
            values["before"] = before
        text = f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY sequence DESC LIMIT :limit"
        async with self._database.team(team_id) as connection:
            rows = (await connection.execute(sa.text(text), {**values, "limit": limit})).mappings().all()
        return [_kept(row) for row in rows]

    async def oldest_first(self, team_id: str, query: AuditQuery) -> AsyncIterator[Kept]:
        """Give all events that match. Each batch is a transaction, so a slow reader holds none open."""
        conditions, values = _conditions(team_id, query)
        text = (
            f"{_SELECT} WHERE {' AND '.join(conditions)} AND sequence > :after ORDER BY sequence LIMIT :limit"
        )
        after = 0
        while True:
            async with self._database.team(team_id) as connection:
                batch = await connection.execute(sa.text(text), {**values, "after": after, "limit": _BATCH})
                rows = [_kept(row) for row in batch.mappings().all()]
            for row in rows:
                yield row
            if len(rows) < _BATCH:
                return
            after = rows[-1].link.sequence

    async def ends(self, team_id: str) -> tuple[Link, Link]:
        """Give the anchor and the head of a chain; both are the beginning where nothing was recorded."""
        async with self._database.team(team_id) as connection:
            row = (await connection.execute(_HEAD, {"team_id": team_id})).one_or_none()
        if row is None:
            return Link(), Link()
        return Link(row.anchor_sequence, bytes(row.anchor_hash)), Link(row.sequence, bytes(row.hash))

    async def beyond(self, team_id: str) -> int:
        """Give the first event behind the head, which no one recorded; 0: there is none."""
        async with self._database.team(team_id) as connection:
            return int((await connection.execute(_BEYOND, {"team_id": team_id})).scalar_one())

    async def rows(self, team_id: str, after: int, until: int) -> list[Kept]:
        """Give a stretch of a chain, at most one batch of it."""
        text = (
            f"{_SELECT} WHERE team_id = :team_id AND sequence > :after AND sequence <= :until"
            " ORDER BY sequence LIMIT :limit"
        )
        values = {"team_id": team_id, "after": after, "until": until, "limit": _BATCH}
        async with self._database.team(team_id) as connection:
            return [_kept(row) for row in (await connection.execute(sa.text(text), values)).mappings().all()]

    async def teams(self) -> list[str]:
        """List the teams that have a chain, the system's own included."""
        async with self._database.transaction({}) as connection:
            return list((await connection.execute(_TEAMS)).scalars())

    async def prune(self, days: int) -> tuple[int, int]:
        """Remove what is older; gives how many events of how many chains. (0, 0) while another does it."""
        async with self._database.transaction({}) as connection:
            row = (await connection.execute(_PRUNE, {"days": days})).one()
        return row.event_count, row.team_count


async def _append(connection: AsyncConnection, team_id: str, events: Sequence[AuditEvent]) -> int:
    head = (await connection.execute(_OPEN, {"team_id": team_id})).one()
    ids = list(dict.fromkeys(event.id for event in events))
    known = set((await connection.execute(_KNOWN, {"team_id": team_id, "ids": ids})).scalars())
    fresh = list({event.id: event for event in events if event.id not in known}.values())
    kept = chained(Link(head.head_sequence, bytes(head.head_hash)), fresh)
    if kept:
        await connection.execute(_ADD, [_values(each) for each in kept])
    return len(kept)


async def _set_team(connection: AsyncConnection, team_id: str) -> None:
    await connection.execute(_SET, {"name": TEAM_SETTING, "value": team_id})


def _conditions(team_id: str, query: AuditQuery) -> tuple[list[str], dict[str, Any]]:
    # Row-level security would do; the condition lets the index work.
    conditions, values = ["team_id = :team_id"], dict[str, Any](team_id=team_id)
    if not (query.action + query.actor + query.outcome).isprintable():
        # No event holds such text, and PostgreSQL takes no NUL.
        return [*conditions, "false"], values
    if query.action.endswith("*"):
        conditions.append("starts_with(action, :action)")
        values["action"] = query.action[:-1]
    elif query.action:
        conditions.append("action = :action")
        values["action"] = query.action
    for name in ("actor", "outcome"):
        if wanted := getattr(query, name):
            conditions.append(f"{name} = :{name}")
            values[name] = wanted
    if query.start is not None:
        conditions.append("event_time >= :start")
        values["start"] = query.start
    if query.end is not None:
        conditions.append("event_time < :end")
        values["end"] = query.end
    return conditions, values


def _values(kept: Kept) -> dict[str, Any]:
    event = kept.event
    return {
        "team_id": UUID(event.chain),
        "sequence": kept.link.sequence,
        "id": UUID(event.id),
        "event_time": event.at,
        "action": event.action,
        "resource": event.resource,
        "actor": event.actor,
        "credential": event.credential,
        "edge": event.edge,
        "request_id": event.request_id,
        "outcome": event.outcome,
        "reason": event.reason,
        "facts": Jsonb(dict(event.facts)),
        "hash": kept.link.digest,
    }


def _kept(row: sa.RowMapping) -> Kept:
    at: datetime = row["event_time"]
    event = AuditEvent(
        id=row["id"],
        team_id=row["team_id"],
        at=at,
        action=row["action"],
        resource=row["resource"],
        actor=row["actor"],
        credential=row["credential"],
        edge=row["edge"],
        request_id=row["request_id"],
        outcome=row["outcome"],
        reason=row["reason"],
        facts=row["facts"],
    )
    return Kept(event, Link(row["sequence"], bytes(row["hash"])), row["key_hint"])
