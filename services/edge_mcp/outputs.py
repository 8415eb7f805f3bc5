"""What tools answer with: messages of the contract, less the fields that would only cost tokens.

A tool's output schema also admits the shape of an error. Clients exist that hold every structured
result against the schema, error results included; without this they would show the mismatch
instead of the error.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from google.protobuf.message import Message

from services.common.proto_json import json_schema, to_dict

JsonObject = dict[str, Any]

_REF_PREFIX: Final = "#/$defs/"
_ERROR_NAME: Final = "ToolError"

_FIELD_ERROR_SCHEMA: Final[JsonObject] = {
    "type": "object",
    "properties": {
        "field": {"type": "string", "description": "Argument, as a dotted path."},
        "reason": {"type": "string", "description": "Stable, UPPER_SNAKE."},
        "message": {"type": "string", "description": "What to change."},
    },
    "required": ["field", "reason", "message"],
}

ERROR_SCHEMA: Final[JsonObject] = {
    "type": "object",
    "description": "Structured content of a result with `isError`.",
    "properties": {
        "reason": {"type": "string", "description": "Stable reason, UPPER_SNAKE."},
        "message": {"type": "string", "description": "What went wrong, and the next step."},
        "retryable": {"type": "boolean", "description": "Whether the same call may succeed later."},
        "retry_after_s": {
            "anyOf": [{"type": "number"}, {"type": "null"}],
            "description": "Seconds to wait before that.",
        },
        "request_id": {"type": "string", "description": "Finds this call in the server's logs."},
        "fields": {
            "type": "array",
            "items": _FIELD_ERROR_SCHEMA,
            "description": "What is wrong with arguments.",
        },
    },
    "required": ["reason", "message", "retryable", "retry_after_s", "request_id", "fields"],
}


class Output:
    """How one message reads as a tool's structured content.

    `without` names fields of the message to leave out; `without_in` names fields to leave out of the
    items of a repeated field.
    """

    def __init__(
        self,
        message_type: type[Message],
        *,
        without: Iterable[str] = (),
        without_in: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        self._message_type = message_type
        self._without = tuple(without)
        self._without_in = {field: tuple(names) for field, names in (without_in or {}).items()}

    def render(self, message: Message) -> JsonObject:
        """Give the structured content of a message."""
        value = to_dict(message)
        _leave_out(value, self._without)
        for field, names in self._without_in.items():
            for item in value[field]:
                _leave_out(item, names)
        return value

    def schema(self) -> JsonObject:
        """Describe what `render` gives, or an error, as a self-contained JSON Schema 2020-12."""
        root = _with_single_types(json_schema(self._message_type.DESCRIPTOR))  # type: ignore[arg-type]
        definitions: JsonObject = root.pop("$defs", {})
        for field, names in self._without_in.items():
            _leave_out_of_schema(definitions[_referenced(root["properties"][field]["items"])], names)
        _leave_out_of_schema(root, self._without)
        name = self._message_type.DESCRIPTOR.name
        needed = {key: definitions[key] for key in sorted(_reachable(root, definitions))}
        return {
            "type": "object",
            "anyOf": [{"$ref": _REF_PREFIX + name}, {"$ref": _REF_PREFIX + _ERROR_NAME}],
            "$defs": {name: root, **needed, _ERROR_NAME: ERROR_SCHEMA},
        }


def _leave_out(value: JsonObject, names: Iterable[str]) -> None:
    for name in names:
        del value[name]


def _leave_out_of_schema(schema: JsonObject, names: Iterable[str]) -> None:
    left_out = set(names)
    schema["properties"] = {key: value for key, value in schema["properties"].items() if key not in left_out}
    schema["required"] = [key for key in schema["required"] if key not in left_out]


def _with_single_types(schema: Any) -> Any:
    """Spell `"type": [x, "null"]` as `anyOf`: some clients know only one type at a time."""
    if isinstance(schema, list):
        return [_with_single_types(value) for value in schema]
    if not isinstance(schema, dict):
        return schema
    if not isinstance(schema.get("type"), list):
        return {key: _with_single_types(value) for key, value in schema.items()}
    branch = {key: value for key, value in schema.items() if key not in ("type", "description")}
    branch["type"] = next(name for name in schema["type"] if name != "null")
    if "enum" in branch:
        branch["enum"] = [value for value in branch["enum"] if value is not None]
    described = {key: schema[key] for key in ("description",) if key in schema}
    return {"anyOf": [branch, {"type": "null"}], **described}


def _reachable(schema: Any, definitions: Mapping[str, JsonObject]) -> set[str]:
    found: set[str] = set()
    waiting = list(_references(schema))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_references(definitions[name]))
    return found


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield _referenced(schema)
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _referenced(schema: Mapping[str, Any]) -> str:
    return schema["$ref"].removeprefix(_REF_PREFIX)
