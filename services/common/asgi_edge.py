"""The rim of an edge that speaks ASGI (MCP, A2A): admission, body limit, request id, problems, other origins.

Everything but the open paths is authenticated before the protocol's SDK sees a byte.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from typing import Any, Final

import orjson

from services.common.client_address import FORWARDED_HEADER, Peer
from services.common.cross_origin import CrossOrigin, is_preflight
from services.common.edge import REQUEST_ID_HEADER, Admission, Gate, Headers
from services.common.errors import AppError, internal
from services.common.problem import CONTENT_TYPE, HttpError, problem_of
from services.common.protected_resource import ProtectedResource
from services.common.telemetry import get_logger

BODY_S: Final = 10.0
"""Time that a body may take to arrive."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


_UNPUBLISHED: Final = ProtectedResource()


class BodyRefusedError(HttpError):
    """The body passed the limit, or did not arrive in time. Not a matter of the protocol above.

    What is left of it is not worth reading, so the connection ends.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(status, reason, message, headers={"Connection": "close"})


class EdgeMiddleware:
    """Wraps an ASGI application. `open_paths` need no credential, and of those `probes` are not counted.

    `cross_origin` is what pages of other origins may do on all the other paths; None is nothing.
    """

    def __init__(
        self,
        app: Asgi,
        gate: Gate,
        *,
        open_paths: Collection[str],
        probes: Collection[str],
        max_body_bytes: int,
        body_timeout_s: float = BODY_S,
        has_deadline: bool = True,
        resource: ProtectedResource = _UNPUBLISHED,
        cross_origin: CrossOrigin | None = None,
    ) -> None:
        self._app = app
        self._gate = gate
        self._open_paths = frozenset(open_paths)
        self._probes = frozenset(probes)
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s
        self._has_deadline = has_deadline
        self._resource = resource
        self._cross_origin = cross_origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request; pass anything else through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        )
        route = f"{scope['method']} {self._route(scope['path'])}"
        with self._gate.admit(headers, route, _peer(scope), has_deadline=self._has_deadline) as admission:
            scope.setdefault("state", {})["admission"] = admission
            shared = self._shared(scope["path"])
            more = shared.headers(headers.get("Origin")) if shared else {}
            await self._serve(scope, receive, _Answer(send, admission, more), headers, admission)

    def _shared(self, path: str) -> CrossOrigin | None:
        # What is open to everybody says so itself.
        return None if path in self._open_paths else self._cross_origin

    def _route(self, path: str) -> str:
        # Unknown paths share one name, so that logs and metrics stay bounded and hold no client's text.
        return path if path in self._open_paths else "rpc"

    async def _serve(
        self, scope: Scope, receive: Receive, answer: "_Answer", headers: Headers, admission: Admission
    ) -> None:
        try:
            _check_framing(headers)
            shared = self._shared(scope["path"])
            if shared is not None and is_preflight(scope["method"], headers):
                await admission.count_openly()
                await _permit(answer, shared.preflight(headers.get("Origin")))
                return
            await self._enter(scope["path"], admission)
            declared = headers.get("content-length")
            limited = _Limited(receive, declared, self._max_body_bytes, self._body_timeout_s)
            await self._app(scope, limited, answer)
        except AppError as error:
            await self._refuse(answer, admission, error, scope["path"])
        except Exception:  # noqa: BLE001 - the rim: nothing unexpected may leave as text
            get_logger().exception("unexpected", route=admission.route)
            await self._refuse(answer, admission, internal(), scope["path"])

    async def _enter(self, path: str, admission: Admission) -> None:
        if path not in self._open_paths:
            await admission.authenticate()
        elif path not in self._probes:
            await admission.count_openly()

    async def _refuse(self, answer: "_Answer", admission: Admission, error: AppError, path: str) -> None:
        admission.reason = error.reason
        if answer.has_started:
            return
        held = admission.caller.scopes if admission.caller else ()
        challenge = self._resource.challenge(error, held=held)
        problem = problem_of(error, request_id=admission.request_id, instance=path, challenge=challenge)
        body = orjson.dumps(problem.body)
        own = {"Content-Type": CONTENT_TYPE, "Content-Length": str(len(body))}
        headers = _raw({**problem.headers, **own})
        await answer({"type": "http.response.start", "status": problem.status, "headers": headers})
        await answer({"type": "http.response.body", "body": body})


async def _permit(answer: "_Answer", headers: Mapping[str, str]) -> None:
    await answer({"type": "http.response.start", "status": 204, "headers": _raw(headers)})
    await answer({"type": "http.response.body", "body": b""})


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def _check_framing(headers: Headers) -> None:
    # Where a body ends must not depend on who reads it; a proxy may have gone by the other (RFC 9112 §6.3).
    if "content-length" in headers and "transfer-encoding" in headers:
        raise HttpError(400, "HTTP_MALFORMED", "Two framings of one body.", headers={"Connection": "close"})


def _peer(scope: Scope) -> Peer:
    wanted = FORWARDED_HEADER.lower().encode()
    forwarded = [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]
    client = scope.get("client")
    return Peer(client[0] if client else "", forwarded)


class _Limited:
    """Receives a request body within a limit, whether its length was declared or not, and within a time."""

    def __init__(self, receive: Receive, declared: str | None, limit: int, time_s: float) -> None:
        self._receive = receive
        self._limit = limit
        self._time_s = time_s
        self._read = 0
        self._is_complete = False
        self._deadline = asyncio.get_running_loop().time() + time_s
        if declared is not None and declared.isdecimal() and int(declared) > limit:
            raise self._too_large()

    async def __call__(self) -> Message:
        if self._is_complete:
            return await self._receive()  # what comes now is the client leaving
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            message = f"The body did not arrive within {self._time_s:g} s."
            raise BodyRefusedError(408, "BODY_TIMEOUT", message) from None
        self._read += len(message.get("body", b""))
        if self._read > self._limit:
            raise self._too_large()
        self._is_complete = not message.get("more_body", False)
        return message

    def _too_large(self) -> BodyRefusedError:
        message = f"The body is too long. At most {self._limit} bytes are read."
        return BodyRefusedError(413, "BODY_TOO_LARGE", message)


class _Answer:
    """Sends a response, adding the request id and more, and remembering the status for the log."""

    def __init__(self, send: Send, admission: Admission, more: Mapping[str, str]) -> None:
        self._send = send
        self._admission = admission
        self._more = more
        self.has_started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_started = True
            self._admission.status = message["status"]
            own = {
                **self._more,
                **self._admission.limit_headers(),
                REQUEST_ID_HEADER: self._admission.request_id,
                "X-Content-Type-Options": "nosniff",
            }
            message["headers"] = [*message.get("headers", ()), *_raw(own)]
        await self._send(message)
