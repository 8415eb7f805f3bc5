"""The connection: what ends before any route is reached is answered in our words, never in the parser's."""

import secrets
from typing import Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from services.common.telemetry import get_logger

_INTERNAL: Final = 500


class _Connection(RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 400,
        exc: BaseException | None = None,  # noqa: ARG002
        message: str | None = None,  # noqa: ARG002  both quote what the client sent, a credential perhaps
    ) -> web.StreamResponse:
        """Answer what could not be parsed, or what failed outside of every middleware."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun, it cannot become another one")
        response = _refusal(status)
        response.force_close()
        return response


class _Server(web.Server):
    """Makes our connections for one application."""

    def __init__(self, inner: web.Server) -> None:
        super().__init__(
            self._guarded,
            request_factory=inner.request_factory,
            loop=inner._loop,  # noqa: SLF001  aiohttp offers no other way to our own connections
            **inner._kwargs,  # noqa: SLF001
        )
        self._handle = inner.request_handler

    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)

    async def _guarded(self, request: web.BaseRequest) -> web.StreamResponse:
        # What aiohttp refuses before it looks for middlewares, such as an unknown Expect.
        try:
            return await self._handle(request)
        except web.HTTPException as error:
            return _refusal(error.status)


class Runner(web.AppRunner):
    """Runs an application on our connections."""

    async def _make_server(self) -> web.Server:
        return _Server(await super()._make_server())


def _refusal(status: int) -> web.Response:
    request_id = secrets.token_hex(8)
    get_logger().info("oauth_request", route="unreadable", status=status, request_id=request_id)
    said = (
        {"error": "server_error", "error_description": "Something went wrong."}
        if status >= _INTERNAL
        else {"error": "invalid_request", "error_description": "This is not a request that can be read."}
    )
    headers = {
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Server": "mailwarden",
        "X-Request-Id": request_id,
    }
    return web.json_response(said, status=status, headers=headers)
