"""The mail core's values as messages of the contract."""

from collections.abc import Iterable
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from protos.mail.v1 import mail_pb2, resources_pb2
from services.mail_core.domain.availability import Interval
from services.mail_core.domain.operation import (
    OperationState,
    ScanReport,
    UnsubscribeOutcome,
    UnsubscribeReport,
)
from services.mail_core.domain.records import Attempt, Mailbox, Operation, Subscription
from services.mail_core.domain.subscription import SubscriptionState
from services.mail_core.operations.owner_time import Availability


def timestamp(instant: datetime | None) -> Timestamp | None:
    """Give an instant as a Timestamp; None stays unset."""
    if instant is None:
        return None
    result = Timestamp()
    result.FromDatetime(instant)
    return result


def mailbox(value: Mailbox) -> resources_pb2.Mailbox:
    """Present a mailbox. Its grant stays where it is."""
    return resources_pb2.Mailbox(
        id=value.id,
        email_address=value.email_address,
        state=f"MAILBOX_STATE_{value.state.upper()}",
        create_time=timestamp(value.created_at),
        last_scan_time=timestamp(value.last_scan_at),
        message_count=value.message_count,
        subscription_count=value.subscription_count,
        label=value.label,
    )


def subscription(value: Subscription, web_page_url: str) -> resources_pb2.Subscription:
    """Present a subscription, with the page where a person has to finish ending it."""
    plan = value.plan
    return resources_pb2.Subscription(
        id=value.id,
        mailbox_id=value.mailbox_id,
        key_kind=f"SUBSCRIPTION_KEY_KIND_{value.key.kind.upper()}",
        key=value.key.key,
        display_name=value.display_name,
        sender=value.sender,
        message_count=value.message_count,
        first_seen_time=timestamp(value.first_seen_at),
        last_seen_time=timestamp(value.last_seen_at),
        category=value.category,
        state=state(value.state),
        method=_method(plan.method),
        method_reason=plan.reason,
        method_explanation=plan.explanation,
        web_page_url=web_page_url,
        outcome_reason=value.outcome_reason,
    )


def attempt(value: Attempt) -> resources_pb2.UnsubscribeAttempt:
    """Present a row of the ledger."""
    return resources_pb2.UnsubscribeAttempt(
        id=value.id,
        subscription_id=value.subscription_id,
        operation_id=value.operation_id,
        state=state(value.state),
        method=_method(value.method),
        reason=value.reason,
        explanation=value.explanation,
        http_status=value.http_status,
        create_time=timestamp(value.created_at),
        update_time=timestamp(value.updated_at),
    )


def operation(value: Operation) -> resources_pb2.Operation:
    """Present an operation with its progress, and its result or error once it has one."""
    result = resources_pb2.Operation(
        id=value.id,
        kind=f"OPERATION_KIND_{value.kind.upper()}",
        state=_operation_state(value.state),
        mailbox_id=value.mailbox_id,
        progress=resources_pb2.Progress(
            done=value.progress.done, total=value.progress.total, phase=value.progress.phase
        ),
        create_time=timestamp(value.created_at),
        update_time=timestamp(value.updated_at),
        request_id=value.request_id,
    )
    if isinstance(value.result, ScanReport):
        result.scan.CopyFrom(scan_report(value.result))
    elif isinstance(value.result, UnsubscribeReport):
        result.unsubscribe.CopyFrom(unsubscribe_report(value.result))
    if value.error is not None:
        result.error.reason, result.error.message = value.error.reason, value.error.message
    return result


def scan_report(value: ScanReport) -> resources_pb2.ScanReport:
    """Present what a scan found."""
    return resources_pb2.ScanReport(
        dry_run=value.dry_run,
        incremental=value.incremental,
        partial=value.partial,
        listed_count=value.listed_count,
        scanned_count=value.scanned_count,
        failed_count=value.failed_count,
        labelled_count=value.labelled_count,
        categories=[
            resources_pb2.CategoryCount(category=each.category, label=each.label, count=each.count)
            for each in value.categories
        ],
        subscription_count=value.subscription_count,
        quota_units=value.quota_units,
    )


def unsubscribe_report(value: UnsubscribeReport) -> resources_pb2.UnsubscribeReport:
    """Present what an unsubscribe did."""
    outcomes = [_outcome(each) for each in value.outcomes]
    return resources_pb2.UnsubscribeReport(dry_run=value.dry_run, outcomes=outcomes)


def availability(value: Availability) -> mail_pb2.CheckAvailabilityResponse:
    """Present whether the owner is free."""
    return mail_pb2.CheckAvailabilityResponse(
        available=value.is_available,
        busy=intervals(value.busy),
        calendar_errors=[
            resources_pb2.CalendarError(calendar_id=calendar_id, reason=reason)
            for calendar_id, reason in value.unreadable.items()
        ],
        window=_interval(value.window),
    )


def intervals(values: Iterable[Interval]) -> list[resources_pb2.Interval]:
    """Present stretches of time."""
    return [_interval(value) for value in values]


def state(value: SubscriptionState) -> str:
    """Present the state of a subscription."""
    return f"SUBSCRIPTION_STATE_{value.upper()}"


def _outcome(value: UnsubscribeOutcome) -> resources_pb2.UnsubscribeOutcome:
    return resources_pb2.UnsubscribeOutcome(
        subscription_id=value.subscription_id,
        display_name=value.display_name,
        state=state(value.state),
        method=_method(value.method),
        already_done=value.already_done,
        reason=value.reason,
        explanation=value.explanation,
        web_page_url=value.web_page_url,
    )


def _interval(value: Interval) -> resources_pb2.Interval:
    return resources_pb2.Interval(start_time=timestamp(value.start), end_time=timestamp(value.end))


def _method(word: str) -> str:
    return f"UNSUBSCRIBE_METHOD_{word.upper()}"


def _operation_state(value: OperationState) -> str:
    return f"OPERATION_STATE_{value.upper()}"
