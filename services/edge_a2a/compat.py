"""Clients of the personal agent: what they send, and what they get.

That agent answered JSON-RPC at the same path with shapes that A2A does not know. They keep working:

* `ping`, `health.ping` and `health/ping` answer `{"status": "ok", "service": "mailwarden",
  "protocolVersion": "1.0"}`. Like every method they need a credential; `GET /health` needs none.
* `SendMessage` is read loosely when the request has **no `A2A-Version`** (header or query parameter) **and
  its `message` has no `messageId`** (or there is no message). `start`, `end`, `calendar_ids` and `action` are
  looked for in `params`, then `params.input`, then `params.arguments`, then as JSON text in the message's
  `content`, `text` or `parts`; the first place that has one of them is taken whole, names that no action
  knows are ignored. Without `action` it is `check_availability`; `available_meeting_intervals` is the other
  one. Scanning and unsubscribing were never reachable this way and are not.
* The result of a loose request is an object with `task` (the A2A task, as a strict client would get it)
  and, beside it, the plain fields of the answer: `available`, `busy`, `calendar_errors`, `window`; or
  `intervals`, `time_zone`. What goes wrong is a JSON-RPC error: -32602 for bad input, -32603 otherwise, with
  the reason in `error.data`; who may not call gets HTTP 401 or 403.
* Every answer at the A2A path carries the response header `A2A-Version: 1.0`.

Everything else is A2A 1.0 to the letter: a request that is shaped as the specification says but does not say
its version counts as 0.3 and is refused with -32009, and with `A2A-Version: 1.0` nothing is read loosely.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from a2a.types.a2a_pb2 import Message, Role
from google.protobuf.json_format import MessageToDict

from services.common.errors import invalid
from services.common.proto_json import to_dict
from services.edge_a2a.actions import AVAILABLE_MEETING_INTERVALS, CHECK_AVAILABILITY, Action, action_named
from services.edge_a2a.agent import Agent
from services.edge_a2a.inputs import field_names
from services.edge_a2a.messages import Asked, json_in
from services.edge_a2a.task_store import Owner
from services.edge_a2a.tasks import data_part
from services.edge_a2a.turns import turn_of

PING_METHODS: Final = frozenset({"ping", "health.ping", "health/ping"})
PONG: Final[Mapping[str, str]] = {"status": "ok", "service": "mailwarden", "protocolVersion": "1.0"}
LOOSE_METHOD: Final = "SendMessage"
_LOOSE: Final[Mapping[str, Action]] = {
    action.id: action for action in (CHECK_AVAILABILITY, AVAILABLE_MEETING_INTERVALS)
}
_TELLING: Final = frozenset({"start", "end", "calendar_ids", "action"})


def is_loose(method: str, version: str, params: Any) -> bool:
    """Whether a request is one of the personal agent's clients and not a strict one."""
    if method != LOOSE_METHOD or version or not isinstance(params, dict):
        return False
    message = params.get("message")
    return not (isinstance(message, dict) and ("messageId" in message or "message_id" in message))


async def answer_loosely(agent: Agent, params: Mapping[str, Any], owner: Owner) -> dict[str, Any]:
    """Do what a loose request asks for. Raises AppError."""
    asked = loosely_asked(params)
    response = await agent.perform(asked)
    said = Message(
        message_id="loose",
        role=Role.ROLE_USER,
        parts=[data_part({"action": asked.action.id, **asked.values})],
    )
    task = agent.complete(turn_of(said, asked, owner), asked, response)
    return {**to_dict(response), "task": MessageToDict(task)}


def loosely_asked(params: Mapping[str, Any]) -> Asked:
    """Find the action of a loose request. Raises AppError INPUT_MISSING, ACTION_UNKNOWN."""
    for place in _places(params):
        if isinstance(place, dict) and not _TELLING.isdisjoint(place):
            action = action_named(place.get("action") or CHECK_AVAILABILITY.id, _LOOSE)
            known = field_names(action.request_type.DESCRIPTOR)
            return Asked(action, {name: value for name, value in place.items() if name in known})
    raise invalid("INPUT_MISSING", "Send start and end, RFC 3339 with an offset.", field="params.start")


def _places(params: Mapping[str, Any]) -> Iterator[Any]:
    yield params
    yield params.get("input")
    yield params.get("arguments")
    message = params.get("message")
    for content in _contents(message):
        yield json_in(content) if isinstance(content, str) else content


def _contents(message: Any) -> Iterator[Any]:
    if not isinstance(message, dict):
        yield message
        return
    for name in ("content", "text", "parts"):
        content = message.get(name)
        for item in content if isinstance(content, list) else [content]:
            yield item
            if isinstance(item, dict):
                yield from (item.get("text"), item.get("data"))
