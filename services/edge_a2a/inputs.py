"""Reads the JSON input of an action into the core's request message, field by field of the contract.

Names are the proto's own, in snake_case or camelCase; `start` and `end` stand for `start_time` and
`end_time`. A name that the contract does not know is refused: a mistyped `dry_run` must never be a real run.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from services.common.errors import AppError, invalid
from services.common.proto_json import enum_words
from services.common.times import parse_instant

HIDDEN: Final = frozenset({"request_id"})
"""Fields that the edge fills in itself."""
_SHORT: Final = {"start_time": "start", "end_time": "end"}
_TIMESTAMP: Final = "google.protobuf.Timestamp"
_MAX_NAME_CHARS: Final = 64
_INT32: Final = range(-(2**31), 2**31)


def read_input(message: Message, values: Mapping[str, Any], prefix: str = "") -> None:
    """Fill a request from JSON values; null means absent.

    Raises AppError INVALID_ARGUMENT: FIELD_UNKNOWN, FIELD_REPEATED, FIELD_TYPE_INVALID, TIME_INVALID,
    TIME_WITHOUT_OFFSET.
    """
    fields, seen = field_names(message.DESCRIPTOR), set[str]()
    for name, value in values.items():
        path = prefix + name[:_MAX_NAME_CHARS]
        field = fields.get(name)
        if field is None:
            raise invalid("FIELD_UNKNOWN", f"{path} is not an input of this action.", field=path)
        if field.name in seen:
            raise invalid("FIELD_REPEATED", f"{path} is given twice under two names.", field=path)
        seen.add(field.name)
        if value is not None:
            _set(message, field, value, path)


@cache
def field_names(descriptor: Descriptor) -> Mapping[str, FieldDescriptor]:
    """Give the fields of a request by every name that a client may use for them."""
    names: dict[str, FieldDescriptor] = {}
    for field in descriptor.fields:
        if field.name not in HIDDEN:
            names |= {field.name: field, field.json_name: field, _SHORT.get(field.name, field.name): field}
    return names


def _set(message: Message, field: FieldDescriptor, value: Any, path: str) -> None:
    if not field.is_repeated:
        _set_one(message, field, value, path)
        return
    if not isinstance(value, list):
        raise _wrong_type(path, "a list")
    read = _scalar_reader(field)
    getattr(message, field.name).extend(read(item, path) for item in value)


def _set_one(message: Message, field: FieldDescriptor, value: Any, path: str) -> None:
    nested = field.message_type
    if nested is None:
        setattr(message, field.name, _scalar_reader(field)(value, path))
    elif nested.full_name == _TIMESTAMP:
        getattr(message, field.name).FromDatetime(parse_instant(value, path))
    elif isinstance(value, dict):
        target = getattr(message, field.name)
        target.SetInParent()
        read_input(target, value, f"{path}.")
    else:
        raise _wrong_type(path, "an object")


def _scalar_reader(field: FieldDescriptor) -> Callable[[Any, str], Any]:
    if field.enum_type is not None:
        words = enum_words(field.enum_type)
        return lambda value, path: _word(words, value, path)
    return _READERS[field.cpp_type]


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise _wrong_type(path, "a text")
    return value


def _truth(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong_type(path, "true or false")
    return value


def _integer(value: Any, path: str) -> int:
    # Data parts carry every number as a double (google.protobuf.Value).
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise _wrong_type(path, "a whole number")
    if int(value) not in _INT32:
        raise _wrong_type(path, "a whole number of at most 32 bits")
    return int(value)


def _word(words: Mapping[str, int], value: Any, path: str) -> int:
    number = words.get(value.lower()) if isinstance(value, str) else None
    if number is None:
        raise _wrong_type(path, "one of " + ", ".join(words))
    return number


_READERS: Final[Mapping[int, Callable[[Any, str], Any]]] = {
    FieldDescriptor.CPPTYPE_STRING: _text,
    FieldDescriptor.CPPTYPE_BOOL: _truth,
    FieldDescriptor.CPPTYPE_INT32: _integer,
}


def _wrong_type(path: str, wanted: str) -> AppError:
    return invalid("FIELD_TYPE_INVALID", f"{path} must be {wanted}.", field=path)
