"""What tools take: the shapes, and what a model reads about them in the schema.

Types are strict: `"30"` is not 30. Ranges stand in the schema for the model and are judged by the
backend, so that a breach has the same reason on every edge. On the wire to the backend an absent
number is 0 and an absent text is empty.
"""

from typing import Annotated, Any, Final

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema
from pydantic.json_schema import GenerateJsonSchema

from services.common.times import parse_instant

INT32_MAX: Final = 2**31 - 1
_CONTRACT_NAMES: Final = {"start_time": "start", "end_time": "end"}


def integer(minimum: int, maximum: int) -> WithJsonSchema:
    """Show a range to the model; the backend enforces it."""
    return WithJsonSchema({"type": "integer", "minimum": minimum, "maximum": maximum})


def _as_instant(value: object, info: ValidationInfo) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(parse_instant(value, info.field_name or ""))
    return timestamp


def _instant_schema(example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "format": "date-time", "examples": [example]})


Count = Annotated[int, Field(ge=1, le=INT32_MAX)]
Word = Annotated[str, Field(pattern=r"^[!-~]{1,256}$")]
MailboxId = Annotated[
    str,
    Field(pattern=r"^[!-~]{0,64}$", description="Mailbox to use. Leave out where there is only one."),
]
Start = Annotated[
    Timestamp,
    BeforeValidator(_as_instant),
    _instant_schema("2026-03-10T09:00:00+01:00"),
    Field(description="Start of the window: RFC 3339 with an offset."),
]
End = Annotated[
    Timestamp,
    BeforeValidator(_as_instant),
    _instant_schema("2026-03-10T18:00:00+01:00"),
    Field(description="End of the window, after the start, at most 92 days later: RFC 3339 with an offset."),
]
CalendarIds = Annotated[
    list[Word],
    Field(
        description="Calendars to look into, as Google names them. Default: `primary`.",
        json_schema_extra={"maxItems": 50},
    ),
]
RequestId = Annotated[
    str,
    Field(
        pattern=r"^[ -~]{0,128}$",
        description=(
            "Your own name for this request. Calling again with the same request_id and arguments goes on "
            "waiting for the same work and starts nothing twice. Default: a new one."
        ),
    ),
]
DryRun = Annotated[bool, Field(description="Only say what would be done.")]


class _WithoutTitles(GenerateJsonSchema):
    """Titles repeat the names of fields and cost a model's attention."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


class Shape(BaseModel):
    """An object that a model sends. Unknown members are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)


class Arguments(Shape):
    """Arguments of a tool."""

    @classmethod
    def read(cls, arguments: dict[str, Any]) -> "Arguments":
        """Check what a client sent. Nulls count as absent: some clients fill in every optional argument.

        Raises pydantic's ValidationError, and AppError for times.
        """
        return cls.model_validate(cls._in_our_names({k: v for k, v in arguments.items() if v is not None}))

    @classmethod
    def _in_our_names(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        """Take the contract's names for times as well, as the other edges do."""
        for theirs, ours in _CONTRACT_NAMES.items():
            if ours in cls.model_fields and theirs in arguments and ours not in arguments:
                arguments[ours] = arguments.pop(theirs)
        return arguments

    @classmethod
    def schema_for_clients(cls) -> dict[str, Any]:
        """Describe the arguments as JSON Schema 2020-12."""
        schema = cls.model_json_schema(schema_generator=_WithoutTitles)
        for part in (schema, *schema.get("$defs", {}).values()):
            part.pop("title", None)
            part.pop("description", None)
        return schema
