"""The JSON-RPC binding: the SDK's dispatcher behind a front door of our own.

The front door bounds and reads the body, keeps every exception's text to itself, checks the version before
the shape, and lets the personal agent's clients in (see `compat`).
"""

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

import orjson
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers.request_handler import RequestHandler
from a2a.server.routes.jsonrpc_dispatcher import JsonRpcDispatcher
from a2a.utils.constants import VERSION_HEADER
from a2a.utils.errors import A2AError, ContentTypeNotSupportedError, VersionNotSupportedError
from google.protobuf.json_format import ParseDict, ParseError
from starlette.requests import Request
from starlette.responses import Response

from services.common.asgi_edge import BodyRefusedError
from services.common.edge import Admission
from services.common.errors import AppError, internal
from services.common.telemetry import get_logger
from services.edge_a2a.agent import Agent, state_of
from services.edge_a2a.agent_card import PROTOCOL_VERSION
from services.edge_a2a.compat import PING_METHODS, PONG, answer_loosely, is_loose
from services.edge_a2a.json_body import MAX_DEPTH, NotJsonError, TooDeepError, read_json
from services.edge_a2a.task_errors import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    RpcError,
    is_http_error,
    protocol_rpc_error,
    rpc_error_of,
    rpc_error_of_protocol,
)
from services.edge_a2a.task_store import Owner

JSON_TYPE: Final = "application/json"
_STREAMS: Final = frozenset({"SendStreamingMessage", "SubscribeToTask"})
RpcId = str | int | None


class JsonRpc(JsonRpcDispatcher):
    """Serves `POST /a2a/rpc`."""

    def __init__(self, agent: Agent, handler: RequestHandler | None = None) -> None:
        super().__init__(handler or agent)
        self._agent = agent

    async def handle_requests(self, request: Request) -> Response:
        """Answer one request. Raises AppError where HTTP has the better answer (401, 403)."""
        response = await self._answer(request, request.state.admission)
        response.headers[VERSION_HEADER] = PROTOCOL_VERSION
        return response

    async def _answer(self, request: Request, admission: Admission) -> Response:
        rpc_id: RpcId = None
        try:
            body = await _read(request)
            rpc_id = _id_of(body)
            method = _method_of(body)
            return await self._dispatch(request, admission, rpc_id, method, body.get("params", {}))
        except BodyRefusedError:
            raise
        except Exception as error:  # noqa: BLE001 - the rim: whatever it is, no text of it leaves
            rpc_error = _rendered(error, admission.request_id)
            admission.reason = rpc_error.reason
            return _json({"jsonrpc": "2.0", "id": rpc_id, "error": rpc_error.to_dict()})

    async def _dispatch(
        self, request: Request, admission: Admission, rpc_id: RpcId, method: str, params: Any
    ) -> Response:
        if method in PING_METHODS:
            return _result(rpc_id, dict(PONG))
        if method not in self.METHOD_TO_MODEL:
            raise protocol_rpc_error(METHOD_NOT_FOUND, "METHOD_NOT_FOUND", "There is no such method.")
        version = _version_of(request)
        owner = Owner.of(await admission.authenticate())
        if is_loose(method, version, params):
            return _result(rpc_id, await answer_loosely(self._agent, params, owner))
        _require_version(version)
        message = self._parsed(method, params)
        context = ServerCallContext(
            state={
                "headers": {VERSION_HEADER: version},
                "method": method,
                "request_id": rpc_id,
                **state_of(admission),
            },
            tenant=getattr(message, "tenant", ""),
        )
        if method not in _STREAMS:
            return _result(rpc_id, await self._process_non_streaming_request(message, context))
        admission.hold_stream()
        stream = await self._process_streaming_request(rpc_id, message, context)
        return self._create_response(context, _guarded(stream, rpc_id, admission))

    def _parsed(self, method: str, params: Any) -> Any:
        if not isinstance(params, dict):
            raise protocol_rpc_error(INVALID_PARAMS, "INVALID_PARAMS", "params must be an object.")
        model = self.METHOD_TO_MODEL[method]
        try:
            return ParseDict(params, model(), ignore_unknown_fields=True)
        except (ParseError, ValueError, TypeError, AttributeError):
            name = model.__name__
            raise protocol_rpc_error(
                INVALID_PARAMS, "INVALID_PARAMS", f"params do not have the shape of {name}."
            ) from None


async def _guarded(
    stream: AsyncGenerator[dict[str, Any], None], rpc_id: RpcId, admission: Admission
) -> AsyncGenerator[dict[str, Any], None]:
    """Pass a stream on; what breaks it is its last event."""
    try:
        async for item in stream:
            yield _with_integers(item)
    except Exception as error:  # noqa: BLE001 - the rim: whatever it is, no text of it leaves
        rpc_error = _rendered(error, admission.request_id, in_stream=True)
        admission.reason = rpc_error.reason
        yield {"jsonrpc": "2.0", "id": rpc_id, "error": rpc_error.to_dict()}


def _rendered(error: Exception, request_id: str, *, in_stream: bool = False) -> RpcError:
    """Render any failure; raises those that HTTP answers, unless its status is already sent."""
    if isinstance(error, RpcError):
        return error
    if isinstance(error, A2AError):
        return rpc_error_of_protocol(error, request_id)
    if isinstance(error, AppError):
        if is_http_error(error) and not in_stream:
            raise error
        return rpc_error_of(error, request_id)
    get_logger().error("unexpected", exc_info=error)
    return rpc_error_of(internal(), request_id)


async def _read(request: Request) -> dict[str, Any]:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != JSON_TYPE:
        raise ContentTypeNotSupportedError(f"Content-Type must be {JSON_TYPE}.")
    try:
        body = read_json(await request.body())
    except NotJsonError:
        raise protocol_rpc_error(PARSE_ERROR, "PARSE_ERROR", "The body is not JSON.") from None
    except TooDeepError:
        raise _invalid_request(f"The body nests deeper than {MAX_DEPTH} levels.") from None
    if isinstance(body, list):
        raise _invalid_request("Batches are not supported: send one request at a time.")
    if not isinstance(body, dict):
        raise _invalid_request("The body must be a JSON-RPC 2.0 request object.")
    return body


def _id_of(body: Mapping[str, Any]) -> RpcId:
    rpc_id = body.get("id")
    if isinstance(rpc_id, bool) or not isinstance(rpc_id, str | int | None):
        raise _invalid_request("id must be a string, a whole number or null.")
    return rpc_id


def _method_of(body: Mapping[str, Any]) -> str:
    if body.get("jsonrpc") != "2.0":
        raise _invalid_request('jsonrpc must be "2.0".')
    method = body.get("method")
    if not isinstance(method, str) or not method:
        raise _invalid_request("method must be a text.")
    return method


def _invalid_request(message: str) -> RpcError:
    return protocol_rpc_error(INVALID_REQUEST, "INVALID_REQUEST", message)


def _version_of(request: Request) -> str:
    # The specification allows a query parameter where headers cannot be set.
    return (request.headers.get(VERSION_HEADER) or request.query_params.get(VERSION_HEADER) or "").strip()


def _require_version(version: str) -> None:
    if version.partition(".")[0] != PROTOCOL_VERSION.partition(".")[0]:
        raise VersionNotSupportedError(
            f"Send A2A-Version: {PROTOCOL_VERSION}. No other version is served, and none said means 0.3."
        )


def _result(rpc_id: RpcId, result: Any) -> Response:
    return _json({"jsonrpc": "2.0", "id": rpc_id, "result": _with_integers(result)})


def _json(content: dict[str, Any]) -> Response:
    return Response(orjson.dumps(content), media_type=JSON_TYPE)


def _with_integers(value: Any) -> Any:
    """Show 5.0 as 5: data parts keep every number as a double."""
    if isinstance(value, dict):
        return {name: _with_integers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_integers(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
