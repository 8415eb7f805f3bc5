"""How each protocol is spoken: a request of the contract goes in, what came of it comes out."""

import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import aiohttp
import grpc
from a2a.types import a2a_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.json_format import MessageToDict, MessageToJson, ParseDict
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc import aio
from grpc_status import rpc_status

from services.common.errors import DOMAIN
from services.common.proto_json import to_dict
from services.edge_rest.routes import Route
from tests.matrix.callers import Outcome

_TIMEOUT_S = 30.0
_MAX_ANSWERS = 3
_A2A = {"A2A-Version": "1.0"}


# --- gRPC


async def by_grpc(
    wire: aio.Channel, method: MethodDescriptor, request: Message, metadata: Mapping[str, str]
) -> Outcome:
    """Call a method with this metadata and nothing else. Of a stream, only its beginning is read."""
    service = method.containing_service.full_name
    answer_type = message_factory.GetMessageClass(method.output_type)
    make = wire.unary_stream if method.server_streaming else wire.unary_unary
    call = make(f"/{service}/{method.name}", type(request).SerializeToString, answer_type.FromString)
    asked = call(request, metadata=list(metadata.items()), timeout=_TIMEOUT_S)
    try:
        answers = [await asked] if not method.server_streaming else await _beginning(asked)
    except aio.AioRpcError as error:
        return _outcome_of(error)
    text = "\n".join(MessageToJson(answer) for answer in answers)
    failures = [failed for answer in answers if (failed := _task_failure(MessageToDict(answer)))]
    return failures[0] if failures else Outcome("OK", grpc.StatusCode.OK.name, text=text)


async def _beginning(stream: Any) -> list[Message]:
    answers: list[Message] = []
    async for answer in stream:
        answers.append(answer)
        if len(answers) == _MAX_ANSWERS or _is_endless(answer):
            stream.cancel()
            break
    return answers


def _is_endless(answer: Message) -> bool:
    return answer.DESCRIPTOR.name == "WatchRevocationsResponse"


def _outcome_of(error: aio.AioRpcError) -> Outcome:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    reasons: dict[str, str] = {}
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            reasons[info.domain] = info.reason
    reason = reasons.get(DOMAIN) or next(iter(reasons.values()), error.code().name)
    return Outcome(reason, error.code().name, error.details() or "")


# --- REST


def rest_request(route: Route, request: Message | None) -> tuple[str, dict[str, Any] | None]:
    """Write a request of the contract as path and body of its route."""
    values = to_dict(request) if request is not None else {}
    given = {name: value for name, value in values.items() if value not in (None, "", [], 0, False, {})}
    path = route.path
    while "{" in path:
        name = path[path.index("{") + 1 : path.index("}")]
        path = path.replace(f"{{{name}}}", str(given.pop(name, None) or given.pop("id")))
    if route.body is None:
        return path, None
    taken = {**dict.fromkeys(route.body.model_fields), "start_time": None, "end_time": None}
    return path, {name: value for name, value in given.items() if name in taken}


async def by_rest(
    http: aiohttp.ClientSession, url: str, route: Route, request: Message | None, headers: Mapping[str, str]
) -> Outcome:
    """Ask one route."""
    path, body = rest_request(route, request)
    json_body = {} if body is None else {"json": body}
    async with http.request(route.method, url + path, headers=headers, **json_body) as answer:
        return _http_outcome(answer.status, await answer.text())


def _http_outcome(status: int, text: str) -> Outcome:
    if status < 400:
        return Outcome("OK", status, text=text)
    body = json.loads(text)
    return Outcome(reason_in(body), status, _message_in(body), text)


# --- MCP


async def by_mcp(
    http: aiohttp.ClientSession, url: str, tool: str, request: Message, headers: Mapping[str, str]
) -> Outcome:
    """Call one tool."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    call["params"] = {"name": tool, "arguments": _arguments(request)}
    accept = {"Accept": "application/json, text/event-stream"}
    async with http.post(url, json=call, headers={**headers, **accept}) as answer:
        text = await answer.text()
        if answer.status != 200:
            return _http_outcome(answer.status, text)
    body = _last_event(text)
    result = body.get("result")
    if result is None:
        return Outcome(reason_in(body), 200, _message_in(body), text)
    if result.get("isError"):
        told = result["structuredContent"]
        return Outcome(told["reason"], 200, told["message"], text)
    return Outcome("OK", 200, text=text)


def _arguments(request: Message) -> dict[str, Any]:
    return {
        name: value
        for name, value in to_dict(request).items()
        if value not in (None, "", [], 0, False, {}) and name != "request_id"
    }


def _last_event(text: str) -> dict[str, Any]:
    events = [line[5:] for line in text.splitlines() if line.startswith("data:")]
    return json.loads(events[-1] if events else text)


# --- A2A


def message_for(action: str, request: Message) -> a2a_pb2.SendMessageRequest:
    """Write a request of the contract as a message that asks for an action."""
    data = {"action": action, **_arguments(request)}
    message = {"messageId": str(uuid.uuid4()), "role": "ROLE_USER", "parts": [{"data": data}]}
    return ParseDict({"message": message}, a2a_pb2.SendMessageRequest())


async def by_json_rpc(
    http: aiohttp.ClientSession, url: str, method: str, params: Message, headers: Mapping[str, str]
) -> Outcome:
    """The JSON-RPC binding."""
    call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": MessageToDict(params)}
    async with http.post(f"{url}/a2a/rpc", json=call, headers={**headers, **_A2A}) as answer:
        return _a2a_outcome(answer.status, await answer.text())


async def by_http_json(
    http: aiohttp.ClientSession, url: str, asked: tuple[str, str], params: Message, headers: Mapping[str, str]
) -> Outcome:
    """The HTTP+JSON binding. `asked` is the HTTP method and the path below the agent's."""
    verb, path = asked
    body = {"json": MessageToDict(params)} if verb == "POST" else {}
    async with http.request(verb, url + path, headers={**headers, **_A2A}, **body) as answer:
        return _a2a_outcome(answer.status, await answer.text())


def _a2a_outcome(status: int, text: str) -> Outcome:
    if status >= 400:
        return _http_outcome(status, text)
    body = _last_event(text)
    if "error" in body:
        return Outcome(reason_in(body), status, _message_in(body), text)
    for event in _events(text):
        if failed := _task_failure(event.get("result", event), status):
            return failed
    return Outcome("OK", status, text=text)


def _events(text: str) -> list[dict[str, Any]]:
    lines = [line[5:] for line in text.splitlines() if line.startswith("data:")]
    return [json.loads(line) for line in lines or [text]]


def _task_failure(told: Mapping[str, Any], status: int | str = 200) -> Outcome | None:
    """The failure that a task tells of, when it tells of one."""
    task = told.get("task") or told.get("statusUpdate") or told
    state = task.get("status", {})
    if not isinstance(state, dict) or state.get("state") != "TASK_STATE_FAILED":
        return None
    data = next(part["data"] for part in state["message"]["parts"] if "data" in part)
    return Outcome(data["reason"], status, data["message"])


# --- errors


def reason_in(body: Mapping[str, Any]) -> str:
    """The reason in a problem, a JSON-RPC error or a google.rpc status; ours before the protocol's."""
    if "reason" in body:
        return body["reason"]
    found = {detail["domain"]: detail["reason"] for detail in _details(body) if "reason" in detail}
    return found.get(DOMAIN) or next(iter(found.values()), "UNNAMED")


def _details(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    error = body["error"]
    details = error.get("data") or error.get("details") or ()
    yield from [details] if isinstance(details, dict) else details


def _message_in(body: Mapping[str, Any]) -> str:
    return body.get("detail") or body.get("error", {}).get("message", "")


def action_of(method: MethodDescriptor) -> str:
    """The RPC's name as the rows know it."""
    return f"{method.containing_service.name}.{method.name}"
