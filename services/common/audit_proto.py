"""Audit events on the wire and back."""

from datetime import UTC, datetime

import orjson
from google.protobuf.timestamp_pb2 import Timestamp

from protos.auth.v1 import auth_pb2
from services.common.audit import AuditEvent
from services.common.errors import invalid


def event_to_proto(
    event: AuditEvent, *, sequence: int = 0, digest: bytes = b"", key_hint: str = ""
) -> auth_pb2.AuditEvent:
    """Write an event; `sequence` and `digest` are its place in a chain, once it has one."""
    return auth_pb2.AuditEvent(
        id=event.id,
        sequence=sequence,
        event_time=_timestamp(event.at),
        action=event.action,
        resource=event.resource,
        actor=event.actor,
        credential=event.credential,
        edge=event.edge,
        request_id=event.request_id,
        outcome=event.outcome,
        reason=event.reason,
        facts=dict(event.facts),
        hash=digest.hex(),
        key_hint=key_hint,
    )


def team_event_to_proto(event: AuditEvent) -> auth_pb2.TeamEvent:
    """Write an event on its way to its team."""
    return auth_pb2.TeamEvent(team_id=event.team_id, event=event_to_proto(event))


def team_event_from_proto(sent: auth_pb2.TeamEvent) -> AuditEvent:
    """Read an event that another process sent. Raises AppError INVALID_ARGUMENT EVENT_INVALID."""
    event = sent.event
    return AuditEvent(
        id=event.id,
        team_id=sent.team_id,
        at=instant_of(event.event_time),
        action=event.action,
        resource=event.resource,
        actor=event.actor,
        credential=event.credential,
        edge=event.edge,
        request_id=event.request_id,
        outcome=event.outcome,
        reason=event.reason,
        facts=dict(event.facts),
    )


def line_of(event: auth_pb2.AuditEvent, team_id: str) -> bytes:
    """Write one line of an export: everything that the event's hash is made of, times to the microsecond."""
    line = {
        "team_id": team_id,
        "sequence": event.sequence,
        "id": event.id,
        "event_time": event.event_time.ToDatetime().isoformat(timespec="microseconds") + "Z",
        "action": event.action,
        "resource": event.resource,
        "actor": event.actor,
        "credential": event.credential,
        "edge": event.edge,
        "request_id": event.request_id,
        "outcome": event.outcome,
        "reason": event.reason,
        "facts": dict(sorted(event.facts.items())),
        "hash": event.hash,
    }
    return orjson.dumps(line) + b"\n"


def instant_of(timestamp: Timestamp) -> datetime:
    """Read a time, to the microsecond. Raises AppError INVALID_ARGUMENT EVENT_INVALID."""
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise invalid("EVENT_INVALID", "An event's time is out of range.") from None


def _timestamp(instant: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(instant)
    return stamp
