"""The audit log's methods: protobuf in, operations, protobuf out."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from protos.auth.v1 import auth_pb2
from services.auth.audit_ports import AuditQuery
from services.auth.domain.audit_chain import Kept
from services.auth.operations.audit_log import CheckpointsVerdict, ReadAudit, TakeOverEvents, Verdict
from services.common.audit import actor_of
from services.common.audit_proto import event_to_proto, team_event_from_proto
from services.common.context import Call
from services.common.errors import denied, invalid
from services.common.identity import Caller

_CORE: Final = "mail_core"


@dataclass(frozen=True, slots=True)
class AuditServicer:
    """`mailwarden.auth.v1.AuditService`."""

    read: ReadAudit
    take_over: TakeOverEvents
    retention_days: int

    async def list_events(
        self, request: auth_pb2.ListEventsRequest, call: Call
    ) -> auth_pb2.ListEventsResponse:
        """List a team's events."""
        caller = call.require_caller()
        query = query_of(request.filter, _visible_actor(caller, request.filter.actor))
        page = await self.read.page(caller.team_id, query, request.page_size, request.page_token)
        return auth_pb2.ListEventsResponse(
            events=[event_of(row) for row in page.rows],
            next_page_token=page.next_token,
            retention_days=self.retention_days,
        )

    async def export_events(
        self, request: auth_pb2.ExportEventsRequest, call: Call
    ) -> AsyncIterator[auth_pb2.ExportEventsResponse]:
        """Stream a team's events."""
        caller = call.require_caller()
        query = query_of(request.filter, _visible_actor(caller, request.filter.actor))
        async for row in self.read.export(caller.team_id, query):
            yield auth_pb2.ExportEventsResponse(event=event_of(row))

    async def append_events(
        self, request: auth_pb2.AppendEventsRequest, call: Call
    ) -> auth_pb2.AppendEventsResponse:
        """Take events over. An edge can only say what it saw itself; the core says where a call came in."""
        events = [team_event_from_proto(each) for each in request.events]
        if call.peer != _CORE:
            events = [replace(event, edge=call.peer) for event in events]
        return auth_pb2.AppendEventsResponse(appended_count=await self.take_over(events))


def verdict_to_proto(verdict: Verdict | CheckpointsVerdict) -> auth_pb2.VerifyAuditResponse:
    """Write what a verification found in one chain, or of the checkpoints."""
    broken = verdict.broken
    answer = auth_pb2.VerifyAuditResponse(
        intact=broken is None,
        problem=broken.problem if broken else "",
        broken_checkpoint=broken.checkpoint if broken else 0,
    )
    if isinstance(verdict, Verdict):
        answer.team_id = verdict.team_id
        answer.event_count = verdict.count
        answer.broken_sequence = broken.sequence if broken else 0
        answer.signed_sequence = verdict.signed
        return answer
    answer.checkpoints.count = verdict.count
    if verdict.newest is not None:
        answer.checkpoints.newest_number = verdict.newest.number
        answer.checkpoints.newest_time.FromDatetime(verdict.newest.at)
    return answer


def event_of(row: Kept) -> auth_pb2.AuditEvent:
    """Write an event with its place."""
    return event_to_proto(
        row.event, sequence=row.link.sequence, digest=row.link.digest, key_hint=row.key_hint
    )


def _visible_actor(caller: Caller, wanted: str) -> str:
    if not caller.restrictions.is_within_team:
        return wanted
    if wanted not in ("", caller.principal):
        raise denied("AUDIT_OF_OTHERS", "A narrowed credential sees only what it did itself.")
    return caller.principal


def query_of(wanted: auth_pb2.AuditFilter, actor: str) -> AuditQuery:
    """Read a filter. Raises AppError INVALID_ARGUMENT TIME_INVALID."""
    return AuditQuery(
        action=wanted.action,
        actor=actor_of(actor),
        outcome=wanted.outcome,
        start=_instant(wanted.start_time, "start_time") if wanted.HasField("start_time") else None,
        end=_instant(wanted.end_time, "end_time") if wanted.HasField("end_time") else None,
    )


def _instant(timestamp: Timestamp, field: str) -> datetime:
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise invalid("TIME_INVALID", f"{field} is out of range.", field=field) from None
