import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MailboxState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MAILBOX_STATE_UNSPECIFIED: _ClassVar[MailboxState]
    MAILBOX_STATE_ACTIVE: _ClassVar[MailboxState]
    MAILBOX_STATE_GRANT_REVOKED: _ClassVar[MailboxState]

class SubscriptionKeyKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SUBSCRIPTION_KEY_KIND_UNSPECIFIED: _ClassVar[SubscriptionKeyKind]
    SUBSCRIPTION_KEY_KIND_LIST_ID: _ClassVar[SubscriptionKeyKind]
    SUBSCRIPTION_KEY_KIND_SENDER: _ClassVar[SubscriptionKeyKind]

class SubscriptionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SUBSCRIPTION_STATE_UNSPECIFIED: _ClassVar[SubscriptionState]
    SUBSCRIPTION_STATE_CANDIDATE: _ClassVar[SubscriptionState]
    SUBSCRIPTION_STATE_REQUESTED: _ClassVar[SubscriptionState]
    SUBSCRIPTION_STATE_SENT: _ClassVar[SubscriptionState]
    SUBSCRIPTION_STATE_ACCEPTED: _ClassVar[SubscriptionState]
    SUBSCRIPTION_STATE_VERIFIED: _ClassVar[SubscriptionState]
    SUBSCRIPTION_STATE_IGNORED: _ClassVar[SubscriptionState]
    SUBSCRIPTION_STATE_REFUSED: _ClassVar[SubscriptionState]
    SUBSCRIPTION_STATE_FAILED: _ClassVar[SubscriptionState]
    SUBSCRIPTION_STATE_UNKNOWN: _ClassVar[SubscriptionState]
    SUBSCRIPTION_STATE_NEEDS_PERSON: _ClassVar[SubscriptionState]

class UnsubscribeMethod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNSUBSCRIBE_METHOD_UNSPECIFIED: _ClassVar[UnsubscribeMethod]
    UNSUBSCRIBE_METHOD_ONE_CLICK: _ClassVar[UnsubscribeMethod]
    UNSUBSCRIBE_METHOD_MAILTO: _ClassVar[UnsubscribeMethod]
    UNSUBSCRIBE_METHOD_WEB_PAGE: _ClassVar[UnsubscribeMethod]
    UNSUBSCRIBE_METHOD_NONE: _ClassVar[UnsubscribeMethod]

class OperationKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPERATION_KIND_UNSPECIFIED: _ClassVar[OperationKind]
    OPERATION_KIND_SCAN: _ClassVar[OperationKind]
    OPERATION_KIND_UNSUBSCRIBE: _ClassVar[OperationKind]

class OperationState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPERATION_STATE_UNSPECIFIED: _ClassVar[OperationState]
    OPERATION_STATE_QUEUED: _ClassVar[OperationState]
    OPERATION_STATE_RUNNING: _ClassVar[OperationState]
    OPERATION_STATE_SUCCEEDED: _ClassVar[OperationState]
    OPERATION_STATE_FAILED: _ClassVar[OperationState]
    OPERATION_STATE_CANCELLED: _ClassVar[OperationState]
MAILBOX_STATE_UNSPECIFIED: MailboxState
MAILBOX_STATE_ACTIVE: MailboxState
MAILBOX_STATE_GRANT_REVOKED: MailboxState
SUBSCRIPTION_KEY_KIND_UNSPECIFIED: SubscriptionKeyKind
SUBSCRIPTION_KEY_KIND_LIST_ID: SubscriptionKeyKind
SUBSCRIPTION_KEY_KIND_SENDER: SubscriptionKeyKind
SUBSCRIPTION_STATE_UNSPECIFIED: SubscriptionState
SUBSCRIPTION_STATE_CANDIDATE: SubscriptionState
SUBSCRIPTION_STATE_REQUESTED: SubscriptionState
SUBSCRIPTION_STATE_SENT: SubscriptionState
SUBSCRIPTION_STATE_ACCEPTED: SubscriptionState
SUBSCRIPTION_STATE_VERIFIED: SubscriptionState
SUBSCRIPTION_STATE_IGNORED: SubscriptionState
SUBSCRIPTION_STATE_REFUSED: SubscriptionState
SUBSCRIPTION_STATE_FAILED: SubscriptionState
SUBSCRIPTION_STATE_UNKNOWN: SubscriptionState
SUBSCRIPTION_STATE_NEEDS_PERSON: SubscriptionState
UNSUBSCRIBE_METHOD_UNSPECIFIED: UnsubscribeMethod
UNSUBSCRIBE_METHOD_ONE_CLICK: UnsubscribeMethod
UNSUBSCRIBE_METHOD_MAILTO: UnsubscribeMethod
UNSUBSCRIBE_METHOD_WEB_PAGE: UnsubscribeMethod
UNSUBSCRIBE_METHOD_NONE: UnsubscribeMethod
OPERATION_KIND_UNSPECIFIED: OperationKind
OPERATION_KIND_SCAN: OperationKind
OPERATION_KIND_UNSUBSCRIBE: OperationKind
OPERATION_STATE_UNSPECIFIED: OperationState
OPERATION_STATE_QUEUED: OperationState
OPERATION_STATE_RUNNING: OperationState
OPERATION_STATE_SUCCEEDED: OperationState
OPERATION_STATE_FAILED: OperationState
OPERATION_STATE_CANCELLED: OperationState

class Mailbox(_message.Message):
    __slots__ = ("id", "email_address", "state", "create_time", "last_scan_time", "message_count", "subscription_count", "label")
    ID_FIELD_NUMBER: _ClassVar[int]
    EMAIL_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_SCAN_TIME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_COUNT_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    id: str
    email_address: str
    state: MailboxState
    create_time: _timestamp_pb2.Timestamp
    last_scan_time: _timestamp_pb2.Timestamp
    message_count: int
    subscription_count: int
    label: str
    def __init__(self, id: _Optional[str] = ..., email_address: _Optional[str] = ..., state: _Optional[_Union[MailboxState, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_scan_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., message_count: _Optional[int] = ..., subscription_count: _Optional[int] = ..., label: _Optional[str] = ...) -> None: ...

class Subscription(_message.Message):
    __slots__ = ("id", "mailbox_id", "key_kind", "key", "display_name", "sender", "message_count", "first_seen_time", "last_seen_time", "category", "state", "method", "method_reason", "method_explanation", "web_page_url", "outcome_reason")
    ID_FIELD_NUMBER: _ClassVar[int]
    MAILBOX_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_KIND_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_TIME_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    METHOD_REASON_FIELD_NUMBER: _ClassVar[int]
    METHOD_EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    WEB_PAGE_URL_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_REASON_FIELD_NUMBER: _ClassVar[int]
    id: str
    mailbox_id: str
    key_kind: SubscriptionKeyKind
    key: str
    display_name: str
    sender: str
    message_count: int
    first_seen_time: _timestamp_pb2.Timestamp
    last_seen_time: _timestamp_pb2.Timestamp
    category: str
    state: SubscriptionState
    method: UnsubscribeMethod
    method_reason: str
    method_explanation: str
    web_page_url: str
    outcome_reason: str
    def __init__(self, id: _Optional[str] = ..., mailbox_id: _Optional[str] = ..., key_kind: _Optional[_Union[SubscriptionKeyKind, str]] = ..., key: _Optional[str] = ..., display_name: _Optional[str] = ..., sender: _Optional[str] = ..., message_count: _Optional[int] = ..., first_seen_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_seen_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., category: _Optional[str] = ..., state: _Optional[_Union[SubscriptionState, str]] = ..., method: _Optional[_Union[UnsubscribeMethod, str]] = ..., method_reason: _Optional[str] = ..., method_explanation: _Optional[str] = ..., web_page_url: _Optional[str] = ..., outcome_reason: _Optional[str] = ...) -> None: ...

class UnsubscribeAttempt(_message.Message):
    __slots__ = ("id", "subscription_id", "operation_id", "state", "method", "reason", "explanation", "http_status", "create_time", "update_time")
    ID_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    HTTP_STATUS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    id: str
    subscription_id: str
    operation_id: str
    state: SubscriptionState
    method: UnsubscribeMethod
    reason: str
    explanation: str
    http_status: int
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., subscription_id: _Optional[str] = ..., operation_id: _Optional[str] = ..., state: _Optional[_Union[SubscriptionState, str]] = ..., method: _Optional[_Union[UnsubscribeMethod, str]] = ..., reason: _Optional[str] = ..., explanation: _Optional[str] = ..., http_status: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Operation(_message.Message):
    __slots__ = ("id", "kind", "state", "mailbox_id", "progress", "create_time", "update_time", "scan", "unsubscribe", "error", "request_id")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MAILBOX_ID_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    SCAN_FIELD_NUMBER: _ClassVar[int]
    UNSUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: OperationKind
    state: OperationState
    mailbox_id: str
    progress: Progress
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    scan: ScanReport
    unsubscribe: UnsubscribeReport
    error: OperationError
    request_id: str
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[_Union[OperationKind, str]] = ..., state: _Optional[_Union[OperationState, str]] = ..., mailbox_id: _Optional[str] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., scan: _Optional[_Union[ScanReport, _Mapping]] = ..., unsubscribe: _Optional[_Union[UnsubscribeReport, _Mapping]] = ..., error: _Optional[_Union[OperationError, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("done", "total", "phase")
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    done: int
    total: int
    phase: str
    def __init__(self, done: _Optional[int] = ..., total: _Optional[int] = ..., phase: _Optional[str] = ...) -> None: ...

class OperationError(_message.Message):
    __slots__ = ("reason", "message")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class ScanReport(_message.Message):
    __slots__ = ("dry_run", "incremental", "partial", "listed_count", "scanned_count", "failed_count", "labelled_count", "categories", "subscription_count", "quota_units")
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    INCREMENTAL_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    LISTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    SCANNED_COUNT_FIELD_NUMBER: _ClassVar[int]
    FAILED_COUNT_FIELD_NUMBER: _ClassVar[int]
    LABELLED_COUNT_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_COUNT_FIELD_NUMBER: _ClassVar[int]
    QUOTA_UNITS_FIELD_NUMBER: _ClassVar[int]
    dry_run: bool
    incremental: bool
    partial: bool
    listed_count: int
    scanned_count: int
    failed_count: int
    labelled_count: int
    categories: _containers.RepeatedCompositeFieldContainer[CategoryCount]
    subscription_count: int
    quota_units: int
    def __init__(self, dry_run: bool = ..., incremental: bool = ..., partial: bool = ..., listed_count: _Optional[int] = ..., scanned_count: _Optional[int] = ..., failed_count: _Optional[int] = ..., labelled_count: _Optional[int] = ..., categories: _Optional[_Iterable[_Union[CategoryCount, _Mapping]]] = ..., subscription_count: _Optional[int] = ..., quota_units: _Optional[int] = ...) -> None: ...

class CategoryCount(_message.Message):
    __slots__ = ("category", "label", "count")
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    category: str
    label: str
    count: int
    def __init__(self, category: _Optional[str] = ..., label: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class UnsubscribeReport(_message.Message):
    __slots__ = ("dry_run", "outcomes")
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    dry_run: bool
    outcomes: _containers.RepeatedCompositeFieldContainer[UnsubscribeOutcome]
    def __init__(self, dry_run: bool = ..., outcomes: _Optional[_Iterable[_Union[UnsubscribeOutcome, _Mapping]]] = ...) -> None: ...

class UnsubscribeOutcome(_message.Message):
    __slots__ = ("subscription_id", "display_name", "state", "method", "already_done", "reason", "explanation", "web_page_url")
    SUBSCRIPTION_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    ALREADY_DONE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    WEB_PAGE_URL_FIELD_NUMBER: _ClassVar[int]
    subscription_id: str
    display_name: str
    state: SubscriptionState
    method: UnsubscribeMethod
    already_done: bool
    reason: str
    explanation: str
    web_page_url: str
    def __init__(self, subscription_id: _Optional[str] = ..., display_name: _Optional[str] = ..., state: _Optional[_Union[SubscriptionState, str]] = ..., method: _Optional[_Union[UnsubscribeMethod, str]] = ..., already_done: bool = ..., reason: _Optional[str] = ..., explanation: _Optional[str] = ..., web_page_url: _Optional[str] = ...) -> None: ...

class Interval(_message.Message):
    __slots__ = ("start_time", "end_time")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CalendarError(_message.Message):
    __slots__ = ("calendar_id", "reason")
    CALENDAR_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    calendar_id: str
    reason: str
    def __init__(self, calendar_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...
