"""Protobuf messages as JSON values, and the JSON Schema of exactly those values.

All edges show messages in this one shape. A renderer is compiled once for each message type, because
`json_format` costs several times more than everything else that an edge does with an answer.

The shape: field names as in the proto; enums as lower-case words without their prefix (`ONE_CLICK` is
`"one_click"`, `UNSPECIFIED` is null); timestamps as RFC 3339 in UTC with milliseconds; 64-bit integers as
numbers; repeated fields as arrays; maps of text to text as objects; messages,
timestamps and oneof members that are unset as null.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from functools import cache, lru_cache
from importlib import resources
from operator import attrgetter
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import Message

JsonObject = dict[str, Any]
Render = Callable[[Any], Any]

_TIMESTAMP = "google.protobuf.Timestamp"
_EPOCH = date(1970, 1, 1).toordinal()
_TWO = tuple(f"{number:02d}" for number in range(60))
_SCALAR_SCHEMAS: Mapping[int, JsonObject] = {
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.CPPTYPE_INT64: {"type": "integer", "format": "int64"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "minimum": 0},
    FieldDescriptor.CPPTYPE_UINT64: {"type": "integer", "minimum": 0},
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
}


def to_dict(message: Message) -> JsonObject:
    """Render a message in the shape that the module's docstring describes.

    Raises TypeError for a message with a field that no contract of ours has: other maps, bytes, floats.
    """
    return _renderer(type(message))(message)


def json_schema(descriptor: Descriptor, ref_prefix: str = "#/$defs/") -> JsonObject:
    """Describe what `to_dict` gives for one message, as a self-contained JSON Schema 2020-12."""
    schemas = component_schemas([descriptor], ref_prefix)
    root = schemas.pop(descriptor.name)
    return {**root, "$defs": schemas} if schemas else root


def component_schemas(
    descriptors: Iterable[Descriptor], ref_prefix: str = "#/components/schemas/"
) -> dict[str, JsonObject]:
    """Describe messages and all that they hold, by message name.

    Raises ValueError when two of them share a name across packages.
    """
    found: dict[str, Descriptor] = {}
    for descriptor in _reachable(descriptors):
        if found.setdefault(descriptor.name, descriptor).full_name != descriptor.full_name:
            raise ValueError(f"two messages are named {descriptor.name}")
    return {name: _message_schema(found[name], ref_prefix) for name in sorted(found)}


@cache
def enum_words(enum: EnumDescriptor) -> Mapping[str, int]:
    """Give the numbers of an enum by the words that stand for them in JSON; UNSPECIFIED has none."""
    return {_word(value.name, enum): value.number for value in enum.values if value.number}


# --- rendering


@cache
def _renderer(message_type: type[Message]) -> Render:
    descriptor: Any = message_type.DESCRIPTOR
    steps = tuple((field.name, _reader(field)) for field in descriptor.fields)

    def render(message: Message) -> JsonObject:
        return {name: read(message) for name, read in steps}

    return render


def _reader(field: FieldDescriptor) -> Render:
    if _is_text_map(field):
        return _map_reader(attrgetter(field.name))
    get, render = attrgetter(field.name), _value_renderer(field)
    if field.is_repeated:
        return _list_reader(get, render)
    if field.has_presence:
        return _optional_reader(field.name, get, render)
    return get if render is None else lambda message: render(get(message))


def _list_reader(get: Render, render: Render | None) -> Render:
    if render is None:
        return lambda message: list(get(message))
    return lambda message: [render(item) for item in get(message)]


def _map_reader(get: Render) -> Render:
    return lambda message: dict(sorted(get(message).items()))


def _is_text_map(field: FieldDescriptor) -> bool:
    entry = field.message_type
    if entry is None or not entry.GetOptions().map_entry:
        return False
    return all(part.type == FieldDescriptor.TYPE_STRING for part in entry.fields)


def _optional_reader(name: str, get: Render, render: Render | None) -> Render:
    if render is None:
        return lambda message: get(message) if message.HasField(name) else None
    return lambda message: render(get(message)) if message.HasField(name) else None


def _value_renderer(field: FieldDescriptor) -> Render | None:
    """Give what turns one value of the field into JSON; None when it is JSON as it stands."""
    if field.enum_type is not None:
        return {number: word for word, number in enum_words(field.enum_type).items()}.get
    if field.message_type is not None:
        return _message_renderer(field)
    if field.cpp_type not in _SCALAR_SCHEMAS or field.type == FieldDescriptor.TYPE_BYTES:
        raise TypeError(f"{field.full_name} has a type that is not shown as JSON")
    return None


def _message_renderer(field: FieldDescriptor) -> Render:
    nested: Any = field.message_type
    if nested.full_name == _TIMESTAMP:
        return _instant
    if nested.GetOptions().map_entry:
        raise TypeError(f"{field.full_name} is a map, which is not shown as JSON")
    return _renderer(nested._concrete_class)  # noqa: SLF001 - protobuf's only way from descriptor to class


def _instant(timestamp: Any) -> str:
    # Not by datetime: that takes five times as long, and the rows of one answer share few days.
    day, second_of_day = divmod(timestamp.seconds, 86_400)
    minute_of_day, second = divmod(second_of_day, 60)
    hour, minute = divmod(minute_of_day, 60)
    millisecond = timestamp.nanos // 1_000_000
    return f"{_date(day)}T{_TWO[hour]}:{_TWO[minute]}:{_TWO[second]}.{millisecond:03d}Z"


@lru_cache(maxsize=4096)
def _date(days_since_1970: int) -> str:
    return date.fromordinal(_EPOCH + days_since_1970).isoformat()


def _word(value_name: str, enum: EnumDescriptor) -> str:
    return value_name.removeprefix(_enum_prefix(enum.name)).lower()


def _enum_prefix(name: str) -> str:
    return "".join(f"_{c}" if c.isupper() else c.upper() for c in name).lstrip("_") + "_"


# --- schemas


def _reachable(descriptors: Iterable[Descriptor]) -> Iterator[Descriptor]:
    waiting, seen = list(descriptors), set[str]()
    while waiting:
        descriptor = waiting.pop()
        if descriptor.full_name in seen or descriptor.full_name == _TIMESTAMP:
            continue
        seen.add(descriptor.full_name)
        yield descriptor
        waiting.extend(
            field.message_type
            for field in descriptor.fields
            if field.message_type is not None and not _is_text_map(field)
        )


def _message_schema(descriptor: Descriptor, ref_prefix: str) -> JsonObject:
    return {
        "type": "object",
        **_described(descriptor.full_name),
        "properties": {field.name: _field_schema(field, ref_prefix) for field in descriptor.fields},
        "required": [field.name for field in descriptor.fields],
        "additionalProperties": False,
    }


def _field_schema(field: FieldDescriptor, ref_prefix: str) -> JsonObject:
    if _is_text_map(field):
        shape = {"type": "object", "additionalProperties": {"type": "string"}}
        return {**shape, **_described(field.full_name)}
    value = _value_schema(field, ref_prefix)
    if field.is_repeated:
        value = {"type": "array", "items": value}
    elif field.has_presence:
        value = _nullable(value)
    return {**value, **_described(field.full_name, field.enum_type)}


def _value_schema(field: FieldDescriptor, ref_prefix: str) -> JsonObject:
    if field.enum_type is not None:
        return {"type": ["string", "null"], "enum": [*enum_words(field.enum_type), None]}
    if field.message_type is None:
        return dict(_SCALAR_SCHEMAS[field.cpp_type])
    if field.message_type.full_name == _TIMESTAMP:
        return {"type": "string", "format": "date-time"}
    return {"$ref": ref_prefix + field.message_type.name}


def _nullable(schema: JsonObject) -> JsonObject:
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    if isinstance(schema["type"], list):
        return schema
    return {**schema, "type": [schema["type"], "null"]}


def _described(full_name: str, enum: EnumDescriptor | None = None) -> JsonObject:
    text = comment(full_name)
    if enum is not None:
        text = f"{text} One of: {'; '.join(_spelled_out(enum))}."
    return {"description": text} if text else {}


def _spelled_out(enum: EnumDescriptor) -> Iterator[str]:
    for value in enum.values:
        if value.number:
            meaning = comment(f"{enum.full_name}.{value.name}").rstrip(".")
            yield f"`{_word(value.name, enum)}` ({meaning})"


# --- comments of the contract


def comment(full_name: str) -> str:
    """Give what the contract says about a message, field, enum, enum value, service or method.

    Enum values are named `<package>.<Enum>.<VALUE>`. Lines of a paragraph are joined; no comment is "".
    """
    return _comments().get(full_name, "")


@cache
def _comments() -> Mapping[str, str]:
    packed = resources.files("protos").joinpath("descriptors.binpb").read_bytes()
    files = FileDescriptorSet.FromString(packed).file
    return dict(item for file in files if file.package.startswith("mailwarden.") for item in _of_file(file))


def _of_file(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    names = dict(_paths(file))
    for location in file.source_code_info.location:
        name = names.get(tuple(location.path))
        if name and location.leading_comments:
            yield name, _joined(location.leading_comments)


def _joined(comment_text: str) -> str:
    paragraphs = comment_text.strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _paths(file: FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    """Give the names of a file's parts by their paths of field numbers, as in descriptor.proto."""
    for i, message in enumerate(file.message_type):
        yield from _message_paths((4, i), f"{file.package}.{message.name}", message)
    for i, enum in enumerate(file.enum_type):
        yield (5, i), f"{file.package}.{enum.name}"
        for j, value in enumerate(enum.value):
            yield (5, i, 2, j), f"{file.package}.{enum.name}.{value.name}"
    for i, service in enumerate(file.service):
        yield (6, i), f"{file.package}.{service.name}"
        for j, method in enumerate(service.method):
            yield (6, i, 2, j), f"{file.package}.{service.name}.{method.name}"


def _message_paths(
    path: tuple[int, ...], name: str, message: DescriptorProto
) -> Iterator[tuple[tuple[int, ...], str]]:
    yield path, name
    for i, field in enumerate(message.field):
        yield (*path, 2, i), f"{name}.{field.name}"
