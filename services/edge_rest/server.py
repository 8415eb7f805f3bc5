"""The connection: bounds for slow clients, and problem documents where no route was reached."""

import asyncio
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from services.common.context import request_id_from
from services.common.edge import REQUEST_ID_HEADER
from services.common.errors import AppError, internal, invalid
from services.common.problem import HttpError
from services.common.telemetry import get_logger
from services.edge_rest.problems import from_http_exception, problem_response
from services.edge_rest.settings import RestSettings

_LINGERING_S: Final = 1.0
"""How long to read on after a refusal, so that the client gets to see it before the connection ends."""


class Connection(RequestHandler):
    """One client's connection. It is cut when an answer stays unread for `write_timeout_s`."""

    __slots__ = ("_cut", "_write_timeout_s")

    def __init__(self, *args: Any, write_timeout_s: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._write_timeout_s = write_timeout_s
        self._cut: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """The client does not read what we write: wait, but not for ever."""
        super().pause_writing()
        self._cut = asyncio.get_running_loop().call_later(self._write_timeout_s, self._abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self._stop_waiting()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection has ended."""
        self._stop_waiting()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes the client
    ) -> web.StreamResponse:
        """Answer what could not be parsed, or what failed outside of every middleware."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun, it cannot become another one")
        error = internal() if status >= web.HTTPInternalServerError.status_code else unreadable(exc)
        response = bare_problem(error)
        response.force_close()
        return response

    def _abort(self) -> None:
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()

    def _stop_waiting(self) -> None:
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None


def unreadable(error: BaseException | None) -> AppError:
    """Name why a request could not be read. The parser's words stay out: they quote the client."""
    if isinstance(error, LineTooLong) or "Too many" in str(error):
        return HttpError(431, "HEADERS_TOO_LARGE", "The request line or the headers are too long.")
    return invalid("HTTP_MALFORMED", "This is not an HTTP request that can be read.")


def bare_problem(error: AppError, instance: str = "") -> web.Response:
    """Answer with a problem outside of every middleware."""
    request_id = request_id_from(None)
    get_logger().info("request", route="unreadable", reason=error.reason, request_id=request_id)
    response = problem_response(error, request_id=request_id, instance=instance)
    response.headers[REQUEST_ID_HEADER] = request_id
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "mailwarden"
    return response


class _Server(web.Server):
    """Makes our connections for one application."""

    def __init__(self, inner: web.Server, *, write_timeout_s: float) -> None:
        super().__init__(
            self._guarded,
            request_factory=inner.request_factory,
            loop=inner._loop,  # noqa: SLF001 - aiohttp offers no other way to our own connections
            **inner._kwargs,  # noqa: SLF001
        )
        self._handle = inner.request_handler
        self._write_timeout_s = write_timeout_s

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, write_timeout_s=self._write_timeout_s, **self._kwargs)

    async def _guarded(self, request: web.BaseRequest) -> web.StreamResponse:
        # What aiohttp refuses before it looks for middlewares, such as an unknown Expect.
        try:
            return await self._handle(request)
        except web.HTTPException as error:
            return bare_problem(from_http_exception(error), request.path)


class Runner(web.AppRunner):
    """Runs the application on our connections."""

    def __init__(self, app: web.Application, settings: RestSettings) -> None:
        super().__init__(
            app,
            access_log=None,  # the gate writes the one line
            keepalive_timeout=settings.idle_timeout_s,
            max_line_size=settings.max_header_bytes,
            max_field_size=settings.max_header_bytes,
            max_headers=settings.max_headers,
            lingering_time=_LINGERING_S,
            auto_decompress=False,  # compressed bodies are refused, so none can unfold
            shutdown_timeout=settings.drain_s,
        )
        self._settings = settings

    async def _make_server(self) -> web.Server:
        return _Server(await super()._make_server(), write_timeout_s=self._settings.write_timeout_s)
