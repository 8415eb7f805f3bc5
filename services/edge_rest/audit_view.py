"""The audit log as REST shows it: the shape of the reference system, with what it left out.

`resourceType`, `resourceId`, `apiKeyHint`, `meta`, `createdAt` and the envelope keep their names, so that
clients of that system read this one; sequence, actor, outcome and hash stand beside them.
"""

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel, ConfigDict, Field

from protos.auth.v1 import auth_pb2
from services.common.audit_proto import line_of
from services.edge_rest.schemas import AuditQuery, ExportQuery


class _Shown(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AuditEventView(_Shown):
    """Something that happened."""

    id: str = Field(description="UUID of the event.")
    action: str = Field(description="What was done, for example `key.created`.")
    resourceType: str | None = Field(description="Kind of what it was done to.")  # noqa: N815
    resourceId: str | None = Field(description="Id of what it was done to.")  # noqa: N815
    apiKeyHint: str | None = Field(  # noqa: N815
        description="`hint` of the API key that was used; null for every other credential."
    )
    meta: dict[str, str] = Field(description="A few more facts, names and numbers only.")
    createdAt: str = Field(  # noqa: N815
        description="When it happened.", json_schema_extra={"format": "date-time"}
    )
    sequence: int = Field(description="Place in the team's chain, without gaps.")
    actor: str = Field(description="Who did it; empty when nobody knows.")
    credential: str = Field(description="Key or token that was used.")
    edge: str = Field(description="Service at which it came in.")
    requestId: str = Field(description="Finds the trace and the logs.")  # noqa: N815
    outcome: str = Field(description="`ok`, `denied` or `failed`.")
    reason: str = Field(description="Reason of a denial or failure, UPPER_SNAKE.")
    hash: str = Field(description="SHA-256 over the event and the hash before it, hex.")


class AuditPolicies(_Shown):
    """What applies to the log."""

    auditRetentionDays: int = Field(description="Days that events are kept.")  # noqa: N815


class AuditPage(_Shown):
    """Events, newest first."""

    events: list[AuditEventView]
    count: int = Field(description="Events on this page.")
    hasMore: bool = Field(description="Whether there are older ones.")  # noqa: N815
    nextBefore: str | None = Field(description="`before` of the next page.")  # noqa: N815
    policies: AuditPolicies


class AuditLine(_Shown):
    """One line of an export: an event with everything that its hash is made of."""

    team_id: str
    sequence: int
    id: str
    event_time: str = Field(
        description="When it happened, to the microsecond.", json_schema_extra={"format": "date-time"}
    )
    action: str
    resource: str
    actor: str
    credential: str
    edge: str
    request_id: str
    outcome: str
    reason: str
    facts: dict[str, str]
    hash: str


EXAMPLE = auth_pb2.AuditEvent(
    id="c8e1d2f3-5b40-4d66-9f2e-30ab7c4d5e6f",
    sequence=17,
    event_time=Timestamp(seconds=1_773_133_200, nanos=250_000_000),
    action="key.created",
    resource="key:9c4e1f20-1a2b-4c3d-8e5f-60718293a4b5",
    actor="operator",
    edge="cli",
    request_id="4bf92f3577b34da6a3ce929d0e0e4736",
    outcome="ok",
    hash="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
)


def example_of(shape: type[BaseModel]) -> object:
    """Give an example of an answer."""
    if shape is AuditLine:
        return line_of(EXAMPLE, "2f5b6a1c-7d8e-4f90-a1b2-c3d4e5f60718").decode()
    answer = auth_pb2.ListEventsResponse(events=[EXAMPLE], retention_days=90)
    return page_of(answer).model_dump()


def asked_page(query: AuditQuery) -> auth_pb2.ListEventsRequest:
    """Say what is asked for in the contract's words."""
    return auth_pb2.ListEventsRequest(
        filter=_filter(query), page_size=query.limit or 0, page_token=query.before
    )


def asked_export(query: ExportQuery) -> auth_pb2.ExportEventsRequest:
    """Say what is asked for in the contract's words."""
    return auth_pb2.ExportEventsRequest(filter=_filter(query))


def page_of(answer: auth_pb2.ListEventsResponse) -> AuditPage:
    """Show a page."""
    return AuditPage(
        events=[_event(event) for event in answer.events],
        count=len(answer.events),
        hasMore=bool(answer.next_page_token),
        nextBefore=answer.next_page_token or None,
        policies=AuditPolicies(auditRetentionDays=answer.retention_days),
    )


def _event(event: auth_pb2.AuditEvent) -> AuditEventView:
    kind, _, resource_id = event.resource.partition(":")
    return AuditEventView(
        id=event.id,
        action=event.action,
        resourceType=kind or None,
        resourceId=resource_id or None,
        apiKeyHint=event.key_hint or None,
        meta=dict(sorted(event.facts.items())),
        createdAt=_instant(event.event_time, "milliseconds"),
        sequence=event.sequence,
        actor=event.actor,
        credential=event.credential,
        edge=event.edge,
        requestId=event.request_id,
        outcome=event.outcome,
        reason=event.reason,
        hash=event.hash,
    )


def _instant(stamp: Timestamp, precision: str) -> str:
    return stamp.ToDatetime().isoformat(timespec=precision) + "Z"


def _filter(query: ExportQuery) -> auth_pb2.AuditFilter:
    wanted = auth_pb2.AuditFilter(action=query.action, actor=query.actor, outcome=query.outcome)
    if query.start is not None:
        wanted.start_time.FromDatetime(query.start)
    if query.end is not None:
        wanted.end_time.FromDatetime(query.end)
    return wanted
