"""Finds out what a message asks for. Only data decides: prose is never interpreted.

An action is a JSON object with its input beside `action` (or inside `input` or `arguments`), in one data
part or as the text of one text part. `action` may also stand in the metadata of the message or of the
request; without any, `start` and `end` together mean `check_availability`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from a2a.types.a2a_pb2 import Message, Part, SendMessageRequest
from a2a.utils.errors import ContentTypeNotSupportedError
from google.protobuf.json_format import MessageToDict

from services.common.errors import invalid
from services.edge_a2a.actions import CHECK_AVAILABILITY, Action, action_named

ACTION_NAMES: Final = ("action", "skill", "skill_id", "skillId")
INPUT_NAMES: Final = ("input", "arguments")


@dataclass(frozen=True, slots=True)
class Asked:
    """An action and its input, not yet checked against the contract."""

    action: Action
    values: Mapping[str, Any]


def asked_by(request: SendMessageRequest) -> Asked | None:
    """Read what a message asks for; None when it holds no data that says so.

    Raises AppError INVALID_ARGUMENT ACTION_UNKNOWN or ACTION_AMBIGUOUS, and the SDK's
    ContentTypeNotSupportedError for a message of files only.
    """
    objects = list(_objects(request.message))
    if len(objects) > 1:
        raise invalid("ACTION_AMBIGUOUS", "Send one data part (or one JSON text) a message.", field="parts")
    outside = _named_in(request.message.metadata) or _named_in(request.metadata)
    if not objects and outside is None:
        _require_readable(request.message)
        return None
    return asked_in(objects[0] if objects else {}, outside)


def asked_in(data: Mapping[str, Any], outside: object = None) -> Asked | None:
    """Read what a JSON object asks for; `outside` is an action that was named beside it."""
    values = dict(data)
    for name in INPUT_NAMES:
        if isinstance(values.get(name), dict):
            values |= values.pop(name)
    named = [values.pop(name) for name in ACTION_NAMES if name in values]
    name = named[0] if named else outside
    if name is not None:
        return Asked(action_named(name), values)
    return Asked(CHECK_AVAILABILITY, values) if _has_window(values) else None


def _has_window(values: Mapping[str, Any]) -> bool:
    return any(name in values for name in ("start", "start_time", "startTime")) and any(
        name in values for name in ("end", "end_time", "endTime")
    )


def _objects(message: Message) -> Iterator[dict[str, Any]]:
    for part in message.parts:
        value = _value(part)
        if isinstance(value, dict):
            yield value


def _value(part: Part) -> Any:
    if part.HasField("data"):
        return MessageToDict(part.data)
    return json_in(part.text) if part.HasField("text") else None


def json_in(text: str) -> Any:
    """Read text that is a JSON object; None for any other text."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _named_in(metadata: Any) -> object:
    return next((metadata[name] for name in ACTION_NAMES if name in metadata), None)


def _require_readable(message: Message) -> None:
    if not any(part.HasField("data") or part.HasField("text") for part in message.parts):
        raise ContentTypeNotSupportedError("Send application/json data or text.")
