"""The HTTP+JSON binding: the SDK's dispatcher, with our errors in its shape."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import orjson
from a2a.server.context import ServerCallContext
from a2a.server.routes.common import ServerCallContextBuilder
from a2a.server.routes.rest_dispatcher import RestDispatcher
from a2a.utils.constants import VERSION_HEADER
from a2a.utils.error_handlers import A2A_DOMAIN
from a2a.utils.errors import (
    A2A_ERROR_REASONS,
    ContentTypeNotSupportedError,
    InternalError,
    InvalidParamsError,
    InvalidRequestError,
)
from google.protobuf.json_format import ParseError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.common.errors import AppError, Kind
from services.edge_a2a.agent import Agent, state_of
from services.edge_a2a.agent_card import PROTOCOL_VERSION
from services.edge_a2a.json_body import MAX_DEPTH, NotJsonError, TooDeepError, read_json
from services.edge_a2a.task_errors import details_of, error_info, is_http_error

Endpoint = Callable[[Request], Awaitable[Response]]
_TYPES: Final = frozenset({"application/json", "application/a2a+json"})
_UNSUPPORTED_MEDIA_TYPE: Final = 415


class HttpJson(RestDispatcher):
    """Serves the routes of A2A 1.0 §11."""

    def __init__(self, agent: Agent) -> None:
        super().__init__(agent, context_builder=_ContextBuilder())

    def routes(self, prefix: str) -> list[Route]:
        """Give the routes below a prefix."""
        table: list[tuple[str, str, Endpoint]] = [
            ("POST", "/message:send", self.on_message_send),
            ("POST", "/message:stream", self.on_message_send_stream),
            ("GET", "/tasks", self.list_tasks),
            ("POST", "/tasks/{id}:cancel", self.on_cancel_task),
            ("GET", "/tasks/{id}:subscribe", self.on_subscribe_to_task),
            ("POST", "/tasks/{id}:subscribe", self.on_subscribe_to_task),
            ("GET", "/tasks/{id}", self.on_get_task),
            ("POST", "/tasks/{id}/pushNotificationConfigs", self.set_push_notification),
            ("GET", "/tasks/{id}/pushNotificationConfigs", self.list_push_notifications),
            ("GET", "/tasks/{id}/pushNotificationConfigs/{push_id}", self.get_push_notification),
            ("DELETE", "/tasks/{id}/pushNotificationConfigs/{push_id}", self.delete_push_notification),
            ("GET", "/extendedAgentCard", self.handle_authenticated_agent_card),
        ]
        return [
            Route(prefix + path, _guarded(endpoint), methods=[method]) for method, path, endpoint in table
        ]

    async def _handle_non_streaming(self, request: Request, handler_func: Any) -> Any:
        async def told(context: ServerCallContext) -> Any:
            try:
                return await handler_func(context)
            except (AppError, ParseError, UnicodeDecodeError) as error:
                raise _kept_for_the_guard(request, error) from None

        return await super()._handle_non_streaming(request, told)

    async def _handle_streaming(self, request: Request, handler_func: Any) -> Any:
        async def told(context: ServerCallContext) -> AsyncIterator[Any]:
            try:
                request.state.admission.hold_stream()
                async for item in handler_func(context):
                    yield item
            except (AppError, ParseError, UnicodeDecodeError) as error:
                raise _kept_for_the_guard(request, error) from None

        return await super()._handle_streaming(request, told)


class _ContextBuilder(ServerCallContextBuilder):
    def build(self, request: Request) -> ServerCallContext:
        version = request.headers.get(VERSION_HEADER) or request.query_params.get(VERSION_HEADER) or ""
        state = state_of(request.state.admission)
        return ServerCallContext(state={"headers": {VERSION_HEADER: version}, **state})


def _guarded(endpoint: Endpoint) -> Endpoint:
    async def guarded(request: Request) -> Response:
        # Read here, because the SDK answers a body that is too large like any failure: with 500.
        body = await request.body()
        if body and _content_type(request) not in _TYPES:
            response = _unsupported_media_type()
        elif body and not _is_readable(body):
            response = _invalid_body()
        else:
            response = await endpoint(request)
        error = getattr(request.state, "refused", None)
        if error is not None:
            response = _error_response(error, request.state.admission)
        response.headers[VERSION_HEADER] = PROTOCOL_VERSION
        return response

    return guarded


def _kept_for_the_guard(request: Request, error: Exception) -> Exception:
    if isinstance(error, AppError):
        request.state.refused = error
        return InternalError(error.message)
    return InvalidRequestError("The body does not have the shape of this method's request.")


def _error_response(error: AppError, admission: Any) -> Response:
    if is_http_error(error):
        raise error
    admission.reason = error.reason
    status = error.mapped.http_status
    details = details_of(error, admission.request_id)
    if error.kind is Kind.INVALID_ARGUMENT:
        # SDK clients look for the protocol's own reason, and at the first ErrorInfo only.
        details.insert(0, error_info(A2A_ERROR_REASONS[InvalidParamsError], A2A_DOMAIN, {}))
    return _status_response(status, error.kind.value, error.message, details)


def _unsupported_media_type() -> Response:
    reason = A2A_ERROR_REASONS[ContentTypeNotSupportedError]
    return _status_response(
        _UNSUPPORTED_MEDIA_TYPE,
        "INVALID_ARGUMENT",
        "Content-Type must be application/json.",
        [error_info(reason, A2A_DOMAIN, {})],
    )


def _invalid_body() -> Response:
    reason = A2A_ERROR_REASONS[InvalidRequestError]
    message = f"The body must be JSON of at most {MAX_DEPTH} levels."
    return _status_response(400, "INVALID_ARGUMENT", message, [error_info(reason, A2A_DOMAIN, {})])


def _is_readable(body: bytes) -> bool:
    try:
        read_json(body)
    except (NotJsonError, TooDeepError):
        return False
    return True


def _status_response(code: int, status: str, message: str, details: list[dict[str, Any]]) -> Response:
    body = {"error": {"code": code, "status": status, "message": message, "details": details}}
    return Response(orjson.dumps(body), code, media_type="application/json")


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
