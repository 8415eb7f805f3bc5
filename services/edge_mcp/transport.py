"""What a request must be before the SDK sees it: right host, origin, method, media types, and one message.

The SDK refuses the same things with bare texts, and on its older wire with the validator's own words;
here each refusal is typed: a problem document for what HTTP knows, a JSON-RPC error for the body.
"""

from collections.abc import Callable, Mapping
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
from services.common.errors import AppError, denied, not_found
from services.common.problem import HttpError, method_not_allowed

MCP_PATH: Final = "/mcp"
_JSON: Final = "application/json"
CheckCall = Callable[[Mapping[str, Any], Admission], None]
"""Looks at a message before the SDK does. Raises AppError for what HTTP has the better answer to."""


class MessageRefusalError(Exception):
    """A body that is not one JSON-RPC message."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(reason)
        self.code, self.reason, self.message = code, reason, message


class TransportGuard:
    """Wraps the SDK's ASGI application."""

    def __init__(
        self, app: Asgi, security: TransportSecuritySettings, check_call: CheckCall = lambda *_: None
    ) -> None:
        self._app = app
        self._check_call = check_call
        self._security = TransportSecurityMiddleware(security)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it. Raises AppError for what HTTP refuses."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        admission: Admission = scope["state"]["admission"]
        try:
            await self._check(Request(scope))
            body = await _whole_body(receive)
            self._check_call(check_message(body), admission)
        except MessageRefusalError as refusal:
            await _send_rpc_error(refusal, admission, send)
        else:
            await self._app({**scope, "path": MCP_PATH}, _Replayed(body, receive), send)

    async def _check(self, request: Request) -> None:
        if request.url.path.rstrip("/") != MCP_PATH:
            raise not_found("PATH_UNKNOWN", f"MCP is served at {MCP_PATH}.")
        refused = await self._security.validate_request(request)
        if refused is not None:
            raise _security_refusal(refused.status_code)
        _check_http(request)


def _security_refusal(status: int) -> AppError:
    if status == HTTPStatus.MISDIRECTED_REQUEST:
        host = "This Host is not served. Set MCP_ALLOWED_HOSTS or MCP_RESOURCE_SERVER_URL to serve it."
        return HttpError(421, "HOST_NOT_ALLOWED", host)
    origin = "Pages of this Origin may not call. Set MCP_ALLOWED_ORIGINS to let them."
    return denied("ORIGIN_NOT_ALLOWED", origin)


def _check_http(request: Request) -> None:
    if request.method != "POST":
        # There are no sessions, so there is nothing to open by GET or to end by DELETE.
        raise method_not_allowed("POST")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        raise HttpError(415, "MEDIA_TYPE_UNSUPPORTED", f"Send {_JSON}.", headers={"Accept": _JSON})
    if not all(check_accept_headers(request)):
        raise HttpError(406, "NOT_ACCEPTABLE", f"Accept both {_JSON} and text/event-stream.")


def check_message(body: bytes) -> Mapping[str, Any]:
    """Read a body that is one JSON-RPC message. Raises MessageRefusalError."""
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
    return decoded


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


async def _send_rpc_error(refusal: MessageRefusalError, admission: Admission, send: Send) -> None:
    admission.reason = refusal.reason
    data = {"reason": refusal.reason, "request_id": admission.request_id}
    error = {"code": refusal.code, "message": refusal.message, "data": data}
    body = orjson.dumps({"jsonrpc": "2.0", "id": None, "error": error})
    headers = [(b"content-type", _JSON.encode())]
    await send({"type": "http.response.start", "status": HTTPStatus.BAD_REQUEST.value, "headers": headers})
    await send({"type": "http.response.body", "body": body})
