"""What a request must be before the SDK sees it: right host, origin, method, media types, and one message.

The SDK refuses the same things with bare texts, and on its older wire with the validator's own words;
here each refusal is typed: a problem document for what HTTP knows, a JSON-RPC error for the body.
"""

from collections.abc import Collection
from http import HTTPStatus
from typing import Any, Final

import orjson
import pydantic_core
from mcp.server.streamable_http import check_accept_headers
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from mcp_types import INVALID_REQUEST, PARSE_ERROR, JSONRPCNotification, jsonrpc_message_adapter
from pydantic import ValidationError
from starlette.requests import Request

from services.common.asgi_edge import Asgi, Message, Receive, Scope, Send
from services.common.edge import Admission
from services.common.errors import AppError, Kind, not_found
from services.common.problem import CONTENT_TYPE, problem_of

MCP_PATH: Final = "/mcp"
_JSON: Final = "application/json"

_SECURITY_REFUSALS: Final = {
    HTTPStatus.MISDIRECTED_REQUEST: (
        "HOST_NOT_ALLOWED",
        "This Host is not served. Set MCP_ALLOWED_HOSTS or MCP_RESOURCE_SERVER_URL to serve it.",
    ),
    HTTPStatus.FORBIDDEN: (
        "ORIGIN_NOT_ALLOWED",
        "Pages of this Origin may not call. Set MCP_ALLOWED_ORIGINS to let them.",
    ),
}


class HttpRefusalError(Exception):
    """A refusal whose status HTTP alone knows."""

    def __init__(self, status: HTTPStatus, reason: str, message: str, **headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.error = AppError(_kind_of(status), reason, message)
        self.headers = headers


class MessageRefusalError(Exception):
    """A body that is not one JSON-RPC message."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(reason)
        self.code, self.reason, self.message = code, reason, message


class TransportGuard:
    """Wraps the SDK's ASGI application. `open_paths` are let through as they are."""

    def __init__(self, app: Asgi, security: TransportSecuritySettings, open_paths: Collection[str]) -> None:
        self._app = app
        self._security = TransportSecurityMiddleware(security)
        self._open_paths = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http" or scope["path"] in self._open_paths:
            await self._app(scope, receive, send)
            return
        admission: Admission = scope["state"]["admission"]
        try:
            await self._check(Request(scope))
            body = await _whole_body(receive)
            check_message(body)
        except HttpRefusalError as refusal:
            await _send_problem(refusal, admission, scope["path"], send)
        except MessageRefusalError as refusal:
            await _send_rpc_error(refusal, admission, send)
        else:
            await self._app({**scope, "path": MCP_PATH}, _Replayed(body, receive), send)

    async def _check(self, request: Request) -> None:
        if request.url.path.rstrip("/") != MCP_PATH:
            raise not_found("PATH_UNKNOWN", f"MCP is served at {MCP_PATH}.")
        refused = await self._security.validate_request(request)
        if refused is not None:
            status = HTTPStatus(refused.status_code)
            raise HttpRefusalError(status, *_SECURITY_REFUSALS[status])
        _check_http(request)


def _check_http(request: Request) -> None:
    if request.method != "POST":
        # There are no sessions, so there is nothing to open by GET or to end by DELETE.
        message = "Only POST is served: this server is stateless."
        raise HttpRefusalError(HTTPStatus.METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message, allow="POST")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        message = f"Send {_JSON}."
        raise HttpRefusalError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "CONTENT_TYPE_UNSUPPORTED", message)
    if not all(check_accept_headers(request)):
        message = f"Accept both {_JSON} and text/event-stream."
        raise HttpRefusalError(HTTPStatus.NOT_ACCEPTABLE, "NOT_ACCEPTABLE", message)


def check_message(body: bytes) -> None:
    """Check that a body is one JSON-RPC message. Raises MessageRefusalError."""
    try:
        # The parser of the SDK's older wire, so that what passes here parses there.
        decoded = pydantic_core.from_json(body)
    except ValueError:
        raise MessageRefusalError(PARSE_ERROR, "JSON_INVALID", "The body is not valid JSON.") from None
    if isinstance(decoded, list):
        raise MessageRefusalError(
            INVALID_REQUEST, "BATCH_NOT_SUPPORTED", "Send one message at a time: batches are not served."
        )
    if not _is_message(decoded):
        message = "The body is not a JSON-RPC 2.0 request or notification."
        raise MessageRefusalError(INVALID_REQUEST, "MESSAGE_INVALID", message)


def _is_message(decoded: Any) -> bool:
    try:
        message = jsonrpc_message_adapter.validate_python(decoded, by_name=False)
    except ValidationError:
        return False
    # A request whose id is malformed also passes for a notification, and would never be answered.
    return not (isinstance(message, JSONRPCNotification) and "id" in decoded)


async def _whole_body(receive: Receive) -> bytes:
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message["type"] == "http.request" and message.get("more_body", False)
    return bytes(body)


class _Replayed:
    """Gives a body that was read, then what the client does after it (only leaving is left)."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def _kind_of(status: HTTPStatus) -> Kind:
    return Kind.PERMISSION_DENIED if status is HTTPStatus.FORBIDDEN else Kind.INVALID_ARGUMENT


async def _send_problem(refusal: HttpRefusalError, admission: Admission, path: str, send: Send) -> None:
    admission.reason = refusal.error.reason
    problem = problem_of(refusal.error, request_id=admission.request_id, instance=path, status=refusal.status)
    body = {**problem.body, "title": refusal.status.phrase}
    await _send(send, refusal.status, CONTENT_TYPE, body, {**problem.headers, **refusal.headers})


async def _send_rpc_error(refusal: MessageRefusalError, admission: Admission, send: Send) -> None:
    admission.reason = refusal.reason
    data = {"reason": refusal.reason, "request_id": admission.request_id}
    error = {"code": refusal.code, "message": refusal.message, "data": data}
    await _send(send, HTTPStatus.BAD_REQUEST, _JSON, {"jsonrpc": "2.0", "id": None, "error": error}, {})


async def _send(
    send: Send, status: HTTPStatus, content_type: str, body: dict[str, Any], headers: dict[str, str]
) -> None:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    raw.append((b"content-type", content_type.encode()))
    await send({"type": "http.response.start", "status": status.value, "headers": raw})
    await send({"type": "http.response.body", "body": orjson.dumps(body)})
