"""The JSON shape of messages, and that the schemas describe exactly it."""

from datetime import UTC, datetime
from types import SimpleNamespace

import orjson
import pytest
from google.protobuf import descriptor_pb2, struct_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from protos.auth.v1 import auth_pb2
from protos.mail.v1 import mail_pb2, resources_pb2
from protos.rpc.v1 import policy_pb2
from services.common import proto_json

FILES = (auth_pb2, mail_pb2, resources_pb2, policy_pb2)
MESSAGES = [
    GetMessageClass(descriptor)
    for file in FILES
    for descriptor in file.DESCRIPTOR.message_types_by_name.values()
]
EARLIEST, LATEST = -62_135_596_800, 253_402_300_799  # years 1 and 9999, the bounds of Timestamp

SCALARS = {
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_STRING: st.text(st.characters(codec="utf-8"), max_size=8),
}


@st.composite
def filled(draw, message_type) -> Message:
    """Any value of a message that a peer could send, with enum values from the future among them."""
    message = message_type()
    for field in message_type.DESCRIPTOR.fields:
        if draw(st.booleans()):
            _fill(draw, message, field)
    return message


def _fill(draw, message, field):
    if field.message_type and field.message_type.GetOptions().map_entry:
        getattr(message, field.name).update(draw(st.dictionaries(st.text(), st.text(), max_size=2)))
        return
    values = draw(st.lists(_values(field), max_size=2 if field.is_repeated else 1))
    if field.is_repeated:
        getattr(message, field.name).extend(values)
    elif values and field.message_type:
        getattr(message, field.name).CopyFrom(values[0])
    elif values:
        setattr(message, field.name, values[0])


def _values(field):
    if field.enum_type:
        return st.integers(0, len(field.enum_type.values) + 1)
    if not field.message_type:
        return SCALARS[field.cpp_type]
    nested = GetMessageClass(field.message_type)
    if field.message_type.full_name == "google.protobuf.Timestamp":
        return st.builds(nested, seconds=st.integers(EARLIEST, LATEST), nanos=st.integers(0, 999_999_999))
    return filled(nested)


def validator(message_type) -> Draft202012Validator:
    schema = proto_json.json_schema(message_type.DESCRIPTOR)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=FormatChecker(["date-time"]))


@pytest.mark.parametrize("message_type", MESSAGES, ids=lambda t: t.DESCRIPTOR.full_name)
def test_an_empty_message_is_what_its_schema_says(message_type):
    """Fields are never left out: what is unset is null, zero, or empty."""
    shown = proto_json.to_dict(message_type())
    validator(message_type).validate(shown)
    assert [field.name for field in message_type.DESCRIPTOR.fields] == list(shown)


@pytest.mark.parametrize("message_type", MESSAGES, ids=lambda t: t.DESCRIPTOR.full_name)
def test_any_message_is_what_its_schema_says(message_type):
    """Whatever a peer may send is rendered, can be written as JSON, and validates."""
    check = validator(message_type)

    @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
    @given(filled(message_type))
    def validates(message):
        shown = proto_json.to_dict(message)
        check.validate(shown)
        assert shown == orjson.loads(orjson.dumps(shown))

    validates()


def test_fields_keep_their_names_and_enums_lose_their_prefix():
    """The shape of the module's docstring, on one message that has every kind of field."""
    operation = resources_pb2.Operation(
        id="o1",
        kind=resources_pb2.OPERATION_KIND_UNSUBSCRIBE,
        state=resources_pb2.OPERATION_STATE_SUCCEEDED,
        progress=resources_pb2.Progress(done=2**40),
        unsubscribe=resources_pb2.UnsubscribeReport(
            outcomes=[resources_pb2.UnsubscribeOutcome(method=resources_pb2.UNSUBSCRIBE_METHOD_ONE_CLICK)]
        ),
    )
    operation.create_time.FromDatetime(datetime(2026, 3, 10, 9, tzinfo=UTC))
    shown = proto_json.to_dict(operation)
    assert (shown["kind"], shown["state"]) == ("unsubscribe", "succeeded")
    assert shown["unsubscribe"]["outcomes"][0]["method"] == "one_click"
    assert shown["unsubscribe"]["outcomes"][0]["state"] is None
    assert shown["progress"] == {"done": 2**40, "total": 0, "phase": ""}
    assert shown["create_time"] == "2026-03-10T09:00:00.000Z"
    assert (shown["update_time"], shown["scan"], shown["error"]) == (None, None, None)


@pytest.mark.parametrize(
    ("seconds", "nanos", "text"),
    [
        (0, 0, "1970-01-01T00:00:00.000Z"),
        (1_773_133_200, 0, "2026-03-10T09:00:00.000Z"),
        (
            1_773_133_199,
            999_999_999,
            "2026-03-10T08:59:59.999Z",
        ),  # cut, never rounded up into the next second
        (-1, 500_000_000, "1969-12-31T23:59:59.500Z"),  # nanos always count forward
        (EARLIEST, 0, "0001-01-01T00:00:00.000Z"),
        (LATEST, 0, "9999-12-31T23:59:59.000Z"),
    ],
)
def test_instants_are_utc_with_milliseconds(seconds, nanos, text):
    """Every Timestamp has one spelling."""
    interval = resources_pb2.Interval()
    interval.start_time.seconds, interval.start_time.nanos = seconds, nanos
    assert text == proto_json.to_dict(interval)["start_time"]


def test_oneof_members_show_which_one_is_set():
    """A scalar of a oneof is null when unset, and itself when set to its zero value."""
    shown = proto_json.to_dict(auth_pb2.IssuePassportRequest(bearer=""))
    assert shown == {"api_key": None, "bearer": "", "audience": "", "resource": ""}


def test_schema_carries_the_words_of_the_contract():
    """Descriptions come from the comments of the protos, and enum values are explained."""
    schema = proto_json.json_schema(resources_pb2.UnsubscribeOutcome.DESCRIPTOR)
    assert schema["description"] == "What became of one subscription."
    method = schema["properties"]["method"]
    assert method["enum"] == ["one_click", "mailto", "web_page", "none", None]
    assert "Way taken, or that would be taken in a dry run." in method["description"]
    assert "`one_click` (RFC 8058 POST)" in method["description"]


@pytest.mark.parametrize("message_type", MESSAGES, ids=lambda t: t.DESCRIPTOR.full_name)
def test_every_message_and_field_is_described(message_type):
    """A reader of the published schema has what a reader of the proto has."""
    schema = proto_json.json_schema(message_type.DESCRIPTOR)
    assert schema["description"]
    assert all(field["description"] for field in schema["properties"].values())


def test_component_schemas_hold_all_that_they_refer_to():
    """Nested messages come along, once each, under the asked prefix."""
    schemas = proto_json.component_schemas([resources_pb2.Operation.DESCRIPTOR], "#/x/")
    assert {
        "Operation", "Progress", "OperationError", "ScanReport", "CategoryCount",
        "UnsubscribeReport", "UnsubscribeOutcome",
    } == set(schemas)  # fmt: skip
    assert {"$ref": "#/x/Progress"} in schemas["Operation"]["properties"]["progress"]["anyOf"]


def test_a_schema_without_nested_messages_has_no_defs():
    """Small schemas stay small."""
    assert "$defs" not in proto_json.json_schema(resources_pb2.Progress.DESCRIPTOR)


def test_two_messages_of_one_name_are_refused():
    """One would hide the other in the document."""
    ours = resources_pb2.Progress.DESCRIPTOR
    theirs = SimpleNamespace(name="Progress", full_name="other.v1.Progress", fields=[])
    with pytest.raises(ValueError, match="Progress"):
        proto_json.component_schemas([ours, theirs])


@pytest.mark.parametrize("message", [struct_pb2.Struct(), descriptor_pb2.UninterpretedOption()])
def test_kinds_of_field_without_a_shape_are_refused(message):
    """Maps of other things, bytes and floats have no agreed shape: better no answer than a guessed one."""
    with pytest.raises(TypeError, match="not shown as JSON"):
        proto_json.to_dict(message)


def test_enum_words_read_back_as_numbers():
    """What an answer says can be sent in a query."""
    words = proto_json.enum_words(resources_pb2.SubscriptionState.DESCRIPTOR)
    assert words["needs_person"] == resources_pb2.SUBSCRIPTION_STATE_NEEDS_PERSON
    assert "unspecified" not in words


def test_comments_of_methods_can_be_read():
    """The edges describe their routes and tools with the words of the contract."""
    said = proto_json.comment("mailwarden.mail.v1.MailService.ScanMailbox")
    assert said.startswith("Reads new mail since the last scan, triages it by rules")
    assert proto_json.comment("mailwarden.mail.v1.Nothing") == ""
