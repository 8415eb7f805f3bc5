"""One line for people about each result. Holds counts, never text that came out of a mailbox."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any, Final

from google.protobuf.message import Message

from protos.mail.v1 import mail_pb2, resources_pb2
from services.common.proto_json import enum_words
from services.common.times import format_instant

_STATES: Final = {
    number: word.replace("_", " ")
    for word, number in enum_words(resources_pb2.SubscriptionState.DESCRIPTOR).items()
}


def summary_of(result: Message) -> str:
    """Write one sentence about a result of the core."""
    return _WRITERS[type(result)](result)


def _availability(result: mail_pb2.CheckAvailabilityResponse) -> str:
    if result.calendar_errors:
        return f"Not known to be free: {_count(len(result.calendar_errors), 'calendar')} could not be read."
    if result.available:
        return "Free in the whole window."
    return f"Busy: {_count(len(result.busy), 'busy interval')} in the window."


def _intervals(result: mail_pb2.SuggestMeetingIntervalsResponse) -> str:
    if not result.intervals:
        return "No interval fits."
    first = format_instant(result.intervals[0].start_time.ToDatetime(UTC))
    return f"{_count(len(result.intervals), 'interval')} found, the first at {first}."


def _subscriptions(result: mail_pb2.ListSubscriptionsResponse) -> str:
    return f"{_count(len(result.subscriptions), 'subscription')} of {result.total_size}."


def _scan(result: resources_pb2.ScanReport) -> str:
    text = f"{_count(result.scanned_count, 'message')} read of {result.listed_count} that matched, "
    text += f"{_count(result.subscription_count, 'subscription')} among them."
    return text + (" Partial: the next scan goes on." if result.partial else "")


def _unsubscribe(result: resources_pb2.UnsubscribeReport) -> str:
    counts = Counter(_STATES.get(outcome.state, "unknown") for outcome in result.outcomes)
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    prefix = "Dry run, nothing was sent: " if result.dry_run else ""
    return f"{prefix}{_count(len(result.outcomes), 'subscription')}: {told or 'nothing to do'}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


_WRITERS: Final[Mapping[type[Message], Callable[[Any], str]]] = {
    mail_pb2.CheckAvailabilityResponse: _availability,
    mail_pb2.SuggestMeetingIntervalsResponse: _intervals,
    mail_pb2.ListSubscriptionsResponse: _subscriptions,
    resources_pb2.ScanReport: _scan,
    resources_pb2.UnsubscribeReport: _unsubscribe,
}
