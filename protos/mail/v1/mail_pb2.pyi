import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from protos.mail.v1 import resources_pb2 as _resources_pb2
from protos.rpc.v1 import policy_pb2 as _policy_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListMailboxesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListMailboxesResponse(_message.Message):
    __slots__ = ("mailboxes", "next_page_token")
    MAILBOXES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    mailboxes: _containers.RepeatedCompositeFieldContainer[_resources_pb2.Mailbox]
    next_page_token: str
    def __init__(self, mailboxes: _Optional[_Iterable[_Union[_resources_pb2.Mailbox, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateMailboxRequest(_message.Message):
    __slots__ = ("mailbox_id", "label")
    MAILBOX_ID_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    mailbox_id: str
    label: str
    def __init__(self, mailbox_id: _Optional[str] = ..., label: _Optional[str] = ...) -> None: ...

class ScanMailboxRequest(_message.Message):
    __slots__ = ("mailbox_id", "request_id", "dry_run", "max_messages")
    MAILBOX_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    mailbox_id: str
    request_id: str
    dry_run: bool
    max_messages: int
    def __init__(self, mailbox_id: _Optional[str] = ..., request_id: _Optional[str] = ..., dry_run: bool = ..., max_messages: _Optional[int] = ...) -> None: ...

class ListSubscriptionsRequest(_message.Message):
    __slots__ = ("mailbox_id", "page_size", "page_token", "states")
    MAILBOX_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    mailbox_id: str
    page_size: int
    page_token: str
    states: _containers.RepeatedScalarFieldContainer[_resources_pb2.SubscriptionState]
    def __init__(self, mailbox_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., states: _Optional[_Iterable[_Union[_resources_pb2.SubscriptionState, str]]] = ...) -> None: ...

class ListSubscriptionsResponse(_message.Message):
    __slots__ = ("subscriptions", "next_page_token", "total_size")
    SUBSCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    subscriptions: _containers.RepeatedCompositeFieldContainer[_resources_pb2.Subscription]
    next_page_token: str
    total_size: int
    def __init__(self, subscriptions: _Optional[_Iterable[_Union[_resources_pb2.Subscription, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_size: _Optional[int] = ...) -> None: ...

class UnsubscribeRequest(_message.Message):
    __slots__ = ("mailbox_id", "subscription_ids", "request_id", "dry_run")
    MAILBOX_ID_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_IDS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    mailbox_id: str
    subscription_ids: _containers.RepeatedScalarFieldContainer[str]
    request_id: str
    dry_run: bool
    def __init__(self, mailbox_id: _Optional[str] = ..., subscription_ids: _Optional[_Iterable[str]] = ..., request_id: _Optional[str] = ..., dry_run: bool = ...) -> None: ...

class ListUnsubscribesRequest(_message.Message):
    __slots__ = ("mailbox_id", "page_size", "page_token")
    MAILBOX_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    mailbox_id: str
    page_size: int
    page_token: str
    def __init__(self, mailbox_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListUnsubscribesResponse(_message.Message):
    __slots__ = ("attempts", "next_page_token")
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    attempts: _containers.RepeatedCompositeFieldContainer[_resources_pb2.UnsubscribeAttempt]
    next_page_token: str
    def __init__(self, attempts: _Optional[_Iterable[_Union[_resources_pb2.UnsubscribeAttempt, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CheckAvailabilityRequest(_message.Message):
    __slots__ = ("mailbox_id", "start_time", "end_time", "calendar_ids")
    MAILBOX_ID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    CALENDAR_IDS_FIELD_NUMBER: _ClassVar[int]
    mailbox_id: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    calendar_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, mailbox_id: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., calendar_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class CheckAvailabilityResponse(_message.Message):
    __slots__ = ("available", "busy", "calendar_errors", "window")
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    BUSY_FIELD_NUMBER: _ClassVar[int]
    CALENDAR_ERRORS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    available: bool
    busy: _containers.RepeatedCompositeFieldContainer[_resources_pb2.Interval]
    calendar_errors: _containers.RepeatedCompositeFieldContainer[_resources_pb2.CalendarError]
    window: _resources_pb2.Interval
    def __init__(self, available: bool = ..., busy: _Optional[_Iterable[_Union[_resources_pb2.Interval, _Mapping]]] = ..., calendar_errors: _Optional[_Iterable[_Union[_resources_pb2.CalendarError, _Mapping]]] = ..., window: _Optional[_Union[_resources_pb2.Interval, _Mapping]] = ...) -> None: ...

class SuggestMeetingIntervalsRequest(_message.Message):
    __slots__ = ("mailbox_id", "start_time", "end_time", "calendar_ids", "duration_minutes", "time_zone", "working_hours", "buffer_minutes", "step_minutes", "max_intervals")
    MAILBOX_ID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    CALENDAR_IDS_FIELD_NUMBER: _ClassVar[int]
    DURATION_MINUTES_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    WORKING_HOURS_FIELD_NUMBER: _ClassVar[int]
    BUFFER_MINUTES_FIELD_NUMBER: _ClassVar[int]
    STEP_MINUTES_FIELD_NUMBER: _ClassVar[int]
    MAX_INTERVALS_FIELD_NUMBER: _ClassVar[int]
    mailbox_id: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    calendar_ids: _containers.RepeatedScalarFieldContainer[str]
    duration_minutes: int
    time_zone: str
    working_hours: WorkingHours
    buffer_minutes: int
    step_minutes: int
    max_intervals: int
    def __init__(self, mailbox_id: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., calendar_ids: _Optional[_Iterable[str]] = ..., duration_minutes: _Optional[int] = ..., time_zone: _Optional[str] = ..., working_hours: _Optional[_Union[WorkingHours, _Mapping]] = ..., buffer_minutes: _Optional[int] = ..., step_minutes: _Optional[int] = ..., max_intervals: _Optional[int] = ...) -> None: ...

class WorkingHours(_message.Message):
    __slots__ = ("start", "end", "days")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    DAYS_FIELD_NUMBER: _ClassVar[int]
    start: str
    end: str
    days: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, start: _Optional[str] = ..., end: _Optional[str] = ..., days: _Optional[_Iterable[int]] = ...) -> None: ...

class SuggestMeetingIntervalsResponse(_message.Message):
    __slots__ = ("intervals", "time_zone")
    INTERVALS_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    intervals: _containers.RepeatedCompositeFieldContainer[_resources_pb2.Interval]
    time_zone: str
    def __init__(self, intervals: _Optional[_Iterable[_Union[_resources_pb2.Interval, _Mapping]]] = ..., time_zone: _Optional[str] = ...) -> None: ...

class GetOperationRequest(_message.Message):
    __slots__ = ("id", "request_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    request_id: str
    def __init__(self, id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class WatchOperationRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CancelOperationRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class ImportMailboxRequest(_message.Message):
    __slots__ = ("team_id", "token_json", "unsubscribed_methods_json", "sent_unsubscribe_links_json", "max_mailboxes", "label")
    TEAM_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_JSON_FIELD_NUMBER: _ClassVar[int]
    UNSUBSCRIBED_METHODS_JSON_FIELD_NUMBER: _ClassVar[int]
    SENT_UNSUBSCRIBE_LINKS_JSON_FIELD_NUMBER: _ClassVar[int]
    MAX_MAILBOXES_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    team_id: str
    token_json: str
    unsubscribed_methods_json: str
    sent_unsubscribe_links_json: str
    max_mailboxes: int
    label: str
    def __init__(self, team_id: _Optional[str] = ..., token_json: _Optional[str] = ..., unsubscribed_methods_json: _Optional[str] = ..., sent_unsubscribe_links_json: _Optional[str] = ..., max_mailboxes: _Optional[int] = ..., label: _Optional[str] = ...) -> None: ...

class ImportMailboxResponse(_message.Message):
    __slots__ = ("mailbox", "replaced", "imported_unsubscribe_count")
    MAILBOX_FIELD_NUMBER: _ClassVar[int]
    REPLACED_FIELD_NUMBER: _ClassVar[int]
    IMPORTED_UNSUBSCRIBE_COUNT_FIELD_NUMBER: _ClassVar[int]
    mailbox: _resources_pb2.Mailbox
    replaced: bool
    imported_unsubscribe_count: int
    def __init__(self, mailbox: _Optional[_Union[_resources_pb2.Mailbox, _Mapping]] = ..., replaced: bool = ..., imported_unsubscribe_count: _Optional[int] = ...) -> None: ...

class GetMasterKeysRequest(_message.Message):
    __slots__ = ("holders_only",)
    HOLDERS_ONLY_FIELD_NUMBER: _ClassVar[int]
    holders_only: bool
    def __init__(self, holders_only: bool = ...) -> None: ...

class GetMasterKeysResponse(_message.Message):
    __slots__ = ("keys", "holders", "unsealed_count")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    UNSEALED_COUNT_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[MasterKey]
    holders: _containers.RepeatedCompositeFieldContainer[MasterKeyHolder]
    unsealed_count: int
    def __init__(self, keys: _Optional[_Iterable[_Union[MasterKey, _Mapping]]] = ..., holders: _Optional[_Iterable[_Union[MasterKeyHolder, _Mapping]]] = ..., unsealed_count: _Optional[int] = ...) -> None: ...

class MasterKey(_message.Message):
    __slots__ = ("key_id", "value_count", "older_form_count")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    VALUE_COUNT_FIELD_NUMBER: _ClassVar[int]
    OLDER_FORM_COUNT_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    value_count: int
    older_form_count: int
    def __init__(self, key_id: _Optional[str] = ..., value_count: _Optional[int] = ..., older_form_count: _Optional[int] = ...) -> None: ...

class MasterKeyHolder(_message.Message):
    __slots__ = ("replica", "key_ids", "seals_under")
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    KEY_IDS_FIELD_NUMBER: _ClassVar[int]
    SEALS_UNDER_FIELD_NUMBER: _ClassVar[int]
    replica: str
    key_ids: _containers.RepeatedScalarFieldContainer[str]
    seals_under: str
    def __init__(self, replica: _Optional[str] = ..., key_ids: _Optional[_Iterable[str]] = ..., seals_under: _Optional[str] = ...) -> None: ...

class ResealSecretsRequest(_message.Message):
    __slots__ = ("page_token",)
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_token: str
    def __init__(self, page_token: _Optional[str] = ...) -> None: ...

class ResealSecretsResponse(_message.Message):
    __slots__ = ("examined_count", "resealed_count", "raced_count", "unreadable_count", "next_page_token")
    EXAMINED_COUNT_FIELD_NUMBER: _ClassVar[int]
    RESEALED_COUNT_FIELD_NUMBER: _ClassVar[int]
    RACED_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    examined_count: int
    resealed_count: int
    raced_count: int
    unreadable_count: int
    next_page_token: str
    def __init__(self, examined_count: _Optional[int] = ..., resealed_count: _Optional[int] = ..., raced_count: _Optional[int] = ..., unreadable_count: _Optional[int] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RetireMasterKeyRequest(_message.Message):
    __slots__ = ("key_id",)
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    def __init__(self, key_id: _Optional[str] = ...) -> None: ...

class RetireMasterKeyResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
