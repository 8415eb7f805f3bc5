"""The outbox of audit events: written in the transaction of what they record, relayed to auth in order.

The relay is a loop and no job: a job for each event would double the writes of every change, and jobs give
up after some tries, which the log must not. Of several replicas one relays at a time, because order counts.
An event leaves the outbox when auth has it. Killed in between, the relay sends it again; auth knows its id.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa
from google.protobuf.message import DecodeError
from sqlalchemy.ext.asyncio import AsyncConnection

from protos.auth.v1 import auth_pb2
from services.common.audit import AuditEvent
from services.common.audit_proto import team_event_to_proto
from services.common.database import Database
from services.common.errors import AppError, Kind
from services.common.telemetry import get_logger
from services.mail_core.adapters.tables import audit_outbox

SendEvents = Callable[[auth_pb2.AppendEventsRequest], Awaitable[auth_pb2.AppendEventsResponse]]
"""`AuditService.AppendEvents`."""

RELAY_SETTING: Final = "mailwarden.audit_relay"
_BATCH: Final = 200
_IDLE_S: Final = 1.0
_MAX_WAIT_S: Final = 5.0
_IN_ORDER: Final = sa.text("SELECT pg_advisory_xact_lock(726102, hashtext(:team_id))")
_ALONE: Final = sa.text("SELECT pg_try_advisory_xact_lock(726101)")


@dataclass(slots=True)
class NotedEvents:
    """Implements `storage.AuditNotes`: what one transaction will have recorded when it commits."""

    events: list[AuditEvent] = field(default_factory=list)

    def note(self, event: AuditEvent) -> None:
        """Record an event with this transaction."""
        self.events.append(event)


async def write_noted(connection: AsyncConnection, noted: NotedEvents, team_id: str) -> None:
    """Write what was noted; the last thing that a transaction does, for others of the team wait for it."""
    if not noted.events:
        return
    await connection.execute(_IN_ORDER, {"team_id": team_id})
    await connection.execute(
        sa.insert(audit_outbox),
        [
            {"team_id": team_id, "event": team_event_to_proto(event).SerializeToString(deterministic=True)}
            for event in noted.events
        ],
    )


@dataclass(frozen=True, slots=True)
class Outbox:
    """Takes events that belong to no transaction of mail, such as denials."""

    database: Database

    async def write(self, events: Sequence[AuditEvent]) -> None:
        """Write events in transactions of their own. Raises AppError UNAVAILABLE DATABASE_DOWN."""
        for team_id in dict.fromkeys(event.chain for event in events):
            async with self.database.team(team_id) as connection:
                own = NotedEvents([event for event in events if event.chain == team_id])
                await write_noted(connection, own, team_id)


class AuditRelay:
    """Brings events from the outbox to auth."""

    def __init__(self, database: Database, send: SendEvents) -> None:
        self._database = database
        self._send = send

    async def run(self) -> None:
        """Relay until cancelled, whatever happens to auth or the database meanwhile."""
        wait_s = _IDLE_S
        while True:
            try:
                is_more = await self.relay_batch()
                wait_s = 0.0 if is_more else _IDLE_S
            except AppError as error:
                wait_s = min(max(wait_s, _IDLE_S) * 2, _MAX_WAIT_S)
                get_logger().warning("audit_not_relayed", reason=error.reason)
            except Exception:  # noqa: BLE001 - the relay never gives up
                wait_s = _MAX_WAIT_S
                get_logger().exception("unexpected", action="audit_relay")
            await asyncio.sleep(wait_s)

    async def relay_batch(self) -> bool:
        """Relay the oldest events; says whether there are more. Raises AppError when auth cannot be had."""
        async with self._database.transaction({RELAY_SETTING: "on"}) as connection:
            if not (await connection.execute(_ALONE)).scalar_one():
                return False
            rows = (await connection.execute(_oldest())).all()
            if not rows:
                return False
            await self._relay(connection, rows)
        return len(rows) == _BATCH

    async def _relay(self, connection: AsyncConnection, rows: Sequence[sa.Row]) -> None:
        try:
            await self._send(_request(rows))
        except (AppError, DecodeError) as error:
            if isinstance(error, AppError) and error.kind is not Kind.INVALID_ARGUMENT:
                raise
            if len(rows) == 1:
                await _set_aside(connection, rows[0], type(error).__name__)
                return
            # One of them is at fault: the others must not wait for it.
            for row in rows:
                await self._relay(connection, [row])
            return
        positions = [row.position for row in rows]
        await connection.execute(sa.delete(audit_outbox).where(audit_outbox.c.position.in_(positions)))


def _oldest() -> sa.Select:
    return (
        sa.select(audit_outbox.c.position, audit_outbox.c.event)
        .where(~audit_outbox.c.is_refused)
        .order_by(audit_outbox.c.position)
        .limit(_BATCH)
    )


def _request(rows: Sequence[sa.Row]) -> auth_pb2.AppendEventsRequest:
    return auth_pb2.AppendEventsRequest(
        events=[auth_pb2.TeamEvent.FromString(bytes(row.event)) for row in rows]
    )


async def _set_aside(connection: AsyncConnection, row: sa.Row, problem: str) -> None:
    """Keep an event that auth will not take, for an operator to look at."""
    get_logger().error("audit_event_refused", position=row.position, problem=problem)
    await connection.execute(
        sa.update(audit_outbox).where(audit_outbox.c.position == row.position).values(is_refused=True)
    )
