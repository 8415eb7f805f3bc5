"""The shapes that clients send, at the HTTP rim only.

They check shape; rules (how long a window, how many ids) are the mail core's, and stand here as
documentation. On the wire to the core an absent number is 0 and an absent text is empty, so a client's
own 0 or "" is refused here wherever it would be taken for absence.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Self

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from protos.auth.v1 import auth_pb2
from protos.mail.v1 import mail_pb2, resources_pb2
from services.common.proto_json import enum_words
from services.common.times import parse_instant

INT32_MAX: Final = 2**31 - 1
_STATES: Final = enum_words(resources_pb2.SubscriptionState.DESCRIPTOR)


def _as_int(value: object) -> object:
    """Read a number out of a query string, which holds only text."""
    if (
        isinstance(value, str)
        and value.isascii()
        and value.removeprefix("-").isdecimal()
        and len(value) <= len(str(INT32_MAX))
    ):
        return int(value)
    return value


def _as_instant(value: object, info: ValidationInfo) -> datetime:
    return parse_instant(value, info.field_name or "")


def _as_state(word: str) -> int:
    if word not in _STATES:
        raise ValueError(f"must be one of {', '.join(_STATES)}")
    return _STATES[word]


def _integer(minimum: int, maximum: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "integer", "minimum": minimum, "maximum": maximum})


Text = Annotated[str, Field(min_length=1)]
Int32 = Annotated[int, Field(ge=-INT32_MAX, le=INT32_MAX)]
Count = Annotated[int, Field(ge=1, le=INT32_MAX)]
PageSize = Annotated[Count, BeforeValidator(_as_int), _integer(1, 200)]
Instant = Annotated[
    datetime, BeforeValidator(_as_instant), WithJsonSchema({"type": "string", "format": "date-time"})
]
State = Annotated[str, AfterValidator(_as_state), WithJsonSchema({"type": "string", "enum": list(_STATES)})]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PageQuery(_Shape):
    """Query of a list."""

    page_size: PageSize | None = Field(None, description="Rows of one page, 1 to 200. Default 50.")
    page_token: str = Field("", description="`next_page_token` of the page before.", max_length=2_048)


class SubscriptionsQuery(PageQuery):
    """Query of the list of subscriptions."""

    state: list[State] = Field(
        default_factory=list, description="Only those in one of these states; repeatable."
    )


class ExportQuery(_Shape):
    """Which events of the audit log."""

    action: str = Field(
        "",
        max_length=80,
        description="Only this action; a trailing `*` stands for any ending, as in `key.*`.",
    )
    actor: str = Field("", max_length=600, description="Only what this principal did.")
    outcome: str = Field(
        "", pattern="^(ok|denied|failed)?$", description="Only what ended so: `ok`, `denied` or `failed`."
    )
    start: Instant | None = Field(None, description="From this time on, RFC 3339 with an offset.")
    end: Instant | None = Field(None, description="Before this time.")


class AuditQuery(ExportQuery):
    """Which events of the audit log, and which page of them."""

    limit: Annotated[int, Field(ge=1, le=100), BeforeValidator(_as_int), _integer(1, 100)] | None = Field(
        None, description="Events of one page, 1 to 100. Default 50."
    )
    before: str = Field("", max_length=2_048, description="`nextBefore` of the page before.")


class RestrictionsBody(_Shape):
    """What a key narrows."""

    read_only: bool = Field(False, description="The key can change nothing.")
    label_prefix: str = Field(
        "", description="Only what is labelled with this at the start.", json_schema_extra={"maxLength": 64}
    )
    mailbox_ids: list[Text] = Field(
        default_factory=list, description="Only these mailboxes.", json_schema_extra={"maxItems": 100}
    )

    def to_proto(self) -> auth_pb2.Restrictions:
        """Say it in auth's words."""
        return auth_pb2.Restrictions(
            read_only=self.read_only, label_prefix=self.label_prefix, mailbox_ids=self.mailbox_ids
        )


class KeyBody(_Shape):
    """What a new key is to be."""

    label: Text = Field(description="What the key is for.", json_schema_extra={"maxLength": 64})
    scopes: list[Text] | None = Field(
        None, min_length=1, description="Default: those of your own credential but for `team:admin`."
    )
    restrictions: RestrictionsBody | None = Field(
        None, description="Beyond what your own credential narrows."
    )
    expire_time: Instant | None = Field(None, description="Default: never. Not with `ttl_minutes`.")
    ttl_minutes: Annotated[Count, _integer(5, 1_440)] | None = Field(
        None, description="Life of a temporary key."
    )

    def to_proto(self) -> auth_pb2.CreateKeyRequest:
        """Say it in auth's words."""
        return auth_pb2.CreateKeyRequest(
            label=self.label,
            scopes=self.scopes or (),
            restrictions=self.restrictions.to_proto() if self.restrictions else None,
            expire_time=_timestamp(self.expire_time) if self.expire_time else None,
            ttl_minutes=self.ttl_minutes or 0,
        )


class RotateBody(_Shape):
    """How a key is replaced."""

    overlap_minutes: Annotated[int, Field(ge=0, le=INT32_MAX), _integer(0, 10_080)] | None = Field(
        None, description="Minutes for which the old key still works. Default 60."
    )

    def to_proto(self, key_id: str) -> auth_pb2.RotateKeyRequest:
        """Say it in auth's words."""
        return auth_pb2.RotateKeyRequest(key_id=key_id, overlap_minutes=self.overlap_minutes)


class MailboxBody(_Shape):
    """What a mailbox is called in the team."""

    label: str = Field(
        description="What it is for. Keys with a label prefix may use what begins so. Empty: no label.",
        json_schema_extra={"maxLength": 64},
    )


class ClientBody(_Shape):
    """Which OAuth client."""

    client_id: Text = Field(
        min_length=1, description="The client's id, as in a grant.", json_schema_extra={"maxLength": 512}
    )

    def to_proto(self) -> auth_pb2.RevokeClientRequest:
        """Say it in auth's words."""
        return auth_pb2.RevokeClientRequest(client_id=self.client_id)


class TokenBody(_Shape):
    """Which token, by exactly one of its text, its id and whom it names."""

    token: Text | None = Field(
        None, max_length=8_192, description="The token's text. Nothing is kept of it but a hash."
    )
    token_id: Text | None = Field(
        None,
        max_length=80,
        description="The token's id, as `credential` of audit events has it behind `token:`.",
    )
    principal: Text | None = Field(
        None,
        max_length=1_024,
        description="All that another issuer gave to this principal until now, as `actor` of audit events.",
    )
    keep_days: Annotated[Count, _integer(1, 3_660)] | None = Field(
        None,
        description="Days to remember it for when its text does not say when it ends. Default 366.",
    )

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if sum(each is not None for each in (self.token, self.token_id, self.principal)) != 1:
            raise ValueError("name exactly one of token, token_id and principal")
        return self

    def to_proto(self) -> auth_pb2.RevokeTokenRequest:
        """Say it in auth's words."""
        return auth_pb2.RevokeTokenRequest(
            token=self.token,
            token_id=self.token_id,
            principal=self.principal,
            keep_days=self.keep_days or 0,
        )


class ScanBody(_Shape):
    """What a scan may be told."""

    dry_run: bool = Field(False, description="Look and report, change and store nothing.")
    max_messages: Annotated[Count, _integer(1, 50_000)] | None = Field(
        None, description="Messages to read at most, newest first. Default: the server's setting."
    )

    def to_proto(self, mailbox_id: str, request_id: str) -> mail_pb2.ScanMailboxRequest:
        """Say it in the core's words."""
        return mail_pb2.ScanMailboxRequest(
            mailbox_id=mailbox_id,
            request_id=request_id,
            dry_run=self.dry_run,
            max_messages=self.max_messages or 0,
        )


class UnsubscribeBody(_Shape):
    """Which subscriptions to end."""

    subscription_ids: list[Text] = Field(
        description="1 to 100 ids of subscriptions; repeats are folded.",
        json_schema_extra={"minItems": 1, "maxItems": 100},
    )
    dry_run: bool = Field(False, description="Say what would be done, send and store nothing.")

    def to_proto(self, mailbox_id: str, request_id: str) -> mail_pb2.UnsubscribeRequest:
        """Say it in the core's words."""
        return mail_pb2.UnsubscribeRequest(
            mailbox_id=mailbox_id,
            request_id=request_id,
            subscription_ids=self.subscription_ids,
            dry_run=self.dry_run,
        )


class _WindowBody(_Shape):
    start: Instant = Field(
        description="Start of the window, RFC 3339 with an offset. Also taken as `start_time`."
    )
    end: Instant = Field(description="End of the window, at most 92 days later. Also taken as `end_time`.")
    calendar_ids: list[Text] | None = Field(
        None,
        min_length=1,
        description="1 to 50 calendars. Default: `primary`.",
        json_schema_extra={"maxItems": 50},
    )
    mailbox_id: str = Field("", description="Mailbox whose owner is asked about. Default: the only one.")

    @model_validator(mode="before")
    @classmethod
    def _take_contract_names(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        renamed = {"start_time": "start", "end_time": "end"}
        return {
            name if renamed.get(name, name) in value else renamed.get(name, name): v
            for name, v in value.items()
        }

    def window(self) -> dict[str, Any]:
        """The fields that both questions about calendars share, in the core's words."""
        return {
            "mailbox_id": self.mailbox_id,
            "start_time": _timestamp(self.start),
            "end_time": _timestamp(self.end),
            "calendar_ids": self.calendar_ids or (),
        }


class AvailabilityBody(_WindowBody):
    """Window to look at."""

    def to_proto(self) -> mail_pb2.CheckAvailabilityRequest:
        """Say it in the core's words."""
        return mail_pb2.CheckAvailabilityRequest(**self.window())


class WorkingHoursBody(_Shape):
    """Hours of the day in which a meeting may lie."""

    start: Text = Field(description="`HH:MM`, 00:00 to 23:59.")
    end: Text = Field(description="`HH:MM`, after the start, up to 24:00.")
    days: list[Int32] | None = Field(
        None, min_length=1, description="ISO days, 1 Monday to 7 Sunday. Default 1 to 5."
    )

    def to_proto(self) -> mail_pb2.WorkingHours:
        """Say it in the core's words."""
        return mail_pb2.WorkingHours(start=self.start, end=self.end, days=self.days or ())


class MeetingIntervalsBody(_WindowBody):
    """Meeting to find room for."""

    duration_minutes: Annotated[Count, _integer(5, 1_440)] | None = Field(
        None, description="Length of the meeting. Default 30."
    )
    time_zone: Text | None = Field(None, description="IANA zone of the working hours. Default `UTC`.")
    working_hours: WorkingHoursBody | None = Field(
        None, description="Default 09:00 to 18:00, Monday to Friday."
    )
    buffer_minutes: Annotated[int, Field(ge=0, le=INT32_MAX), _integer(0, 240)] | None = Field(
        None, description="Free time to keep before and after the meeting. Default 0."
    )
    step_minutes: Annotated[Count, _integer(5, 240)] | None = Field(
        None, description="Suggestions start at multiples of this after midnight. Default 30."
    )
    max_intervals: Annotated[Count, _integer(1, 100)] | None = Field(
        None, description="Suggestions at most. Default 5."
    )

    def to_proto(self) -> mail_pb2.SuggestMeetingIntervalsRequest:
        """Say it in the core's words."""
        return mail_pb2.SuggestMeetingIntervalsRequest(
            **self.window(),
            duration_minutes=self.duration_minutes or 0,
            time_zone=self.time_zone or "",
            working_hours=self.working_hours.to_proto() if self.working_hours else None,
            buffer_minutes=self.buffer_minutes or 0,
            step_minutes=self.step_minutes or 0,
            max_intervals=self.max_intervals or 0,
        )


def _timestamp(instant: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(instant)
    return stamp
