"""What the mail core records: changes to mailboxes, and requests for them, by ids and plain words alone."""

from dataclasses import replace
from typing import Any

from services.common.audit import FAILED, OK, AuditEvent, actor_of, audit_event
from services.common.context import Call
from services.mail_core.domain.ids import AttemptId, SubscriptionId
from services.mail_core.domain.operation import OperationKind, OperationState
from services.mail_core.domain.records import Mailbox, Operation, Outcome
from services.mail_core.domain.subscription import SubscriptionState
from services.mail_core.domain.unsubscribe_plan import Method

_FAILED = (SubscriptionState.FAILED, SubscriptionState.REFUSED, SubscriptionState.UNKNOWN)
_REQUESTED = {OperationKind.SCAN: "scan.requested", OperationKind.UNSUBSCRIBE: "unsubscribe.requested"}
_FINISHED = {OperationKind.SCAN: "mailbox.scanned", OperationKind.UNSUBSCRIBE: "unsubscribe.finished"}


def mailbox_imported(mailbox: Mailbox, *, replaced: bool, unsubscribe_count: int) -> AuditEvent:
    """A mailbox was connected."""
    return audit_event(
        "mailbox.imported",
        resource=f"mailbox:{mailbox.id}",
        team_id=mailbox.team_id,
        replaced=replaced,
        count=unsubscribe_count,
    )


def mailbox_labelled(mailbox: Mailbox, call: Call) -> AuditEvent:
    """A mailbox came within, or left, what credentials with a label prefix may use."""
    return audit_event("mailbox.labelled", resource=f"mailbox:{mailbox.id}", call=call)


def operation_requested(operation: Operation, call: Call) -> AuditEvent:
    """Work was asked for and queued."""
    return audit_event(
        _REQUESTED[operation.kind],
        resource=f"mailbox:{operation.mailbox_id}",
        call=call,
        operation_id=operation.id,
        dry_run=bool(operation.arguments.get("dry_run")),
        subscription_count=len(operation.arguments.get("subscription_ids", ())) or None,
    )


def cancel_requested(operation: Operation, call: Call) -> AuditEvent:
    """Work was asked to stop."""
    return audit_event(
        "operation.cancel_requested",
        resource=f"operation:{operation.id}",
        call=call,
        kind=operation.kind,
        mailbox_id=operation.mailbox_id,
    )


def work_revoked(operation: Operation) -> AuditEvent:
    """Work was asked to stop, because the right of whoever asked for it was revoked."""
    resource = f"operation:{operation.id}"
    reason, facts = "CREDENTIAL_REVOKED", {"kind": operation.kind, "mailbox_id": operation.mailbox_id}
    return _of_operation(operation, "operation.cancel_requested", resource=resource, reason=reason, **facts)


def operation_finished(operation: Operation, state: OperationState, reason: str) -> AuditEvent:
    """Work came to its end, whichever."""
    return _of_operation(
        operation,
        _FINISHED[operation.kind],
        resource=f"mailbox:{operation.mailbox_id}",
        outcome=FAILED if state is OperationState.FAILED else OK,
        reason=reason,
        state=state,
        dry_run=bool(operation.arguments.get("dry_run")),
    )


def labels_changing(operation: Operation, message_count: int, *, archived: bool) -> AuditEvent:
    """Gmail is about to be asked to change labels: what follows cannot go unrecorded."""
    return _labels("labels.changing", operation, message_count, archived=archived)


def labels_changed(operation: Operation, message_count: int, *, archived: bool) -> AuditEvent:
    """Gmail has changed labels."""
    return _labels("labels.changed", operation, message_count, archived=archived)


def unsubscribe_attempted(
    operation: Operation, subscription_id: SubscriptionId, attempt_id: AttemptId, method: Method
) -> AuditEvent:
    """An attempt was claimed: from now on something may be sent."""
    return _of_operation(
        operation,
        "subscription.attempted",
        resource=f"subscription:{subscription_id}",
        attempt_id=attempt_id,
        method=method,
    )


def unsubscribe_ended(
    operation: Operation,
    subscription_id: SubscriptionId,
    outcome: Outcome,
    method: Method,
    attempt_id: AttemptId | None = None,
) -> AuditEvent:
    """An attempt came to its end, or was decided without one."""
    return _of_operation(
        operation,
        "subscription.unsubscribed",
        resource=f"subscription:{subscription_id}",
        outcome=FAILED if outcome.state in _FAILED else OK,
        reason=outcome.reason,
        attempt_id=attempt_id,
        method=method,
        state=outcome.state,
        http_status=outcome.http_status or None,
    )


def _labels(action: str, operation: Operation, message_count: int, *, archived: bool) -> AuditEvent:
    return _of_operation(
        operation,
        action,
        resource=f"mailbox:{operation.mailbox_id}",
        message_count=message_count,
        archived=archived,
    )


def _of_operation(
    operation: Operation, action: str, *, resource: str, outcome: str = OK, reason: str = "", **facts: Any
) -> AuditEvent:
    """Say what was done for somebody who has long gone: the operation knows who asked, and where."""
    event = audit_event(
        action,
        resource=resource,
        outcome=outcome,
        reason=reason,
        team_id=operation.team_id,
        operation_id=operation.id,
        **facts,
    )
    principal = operation.principal
    return replace(
        event,
        actor=actor_of(principal),
        credential=principal if principal.startswith("key:") else "",
        edge=operation.edge,
        request_id=event.request_id or operation.request_id,
    )
