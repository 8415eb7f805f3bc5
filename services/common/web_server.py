"""aiohttp as a server of ours (REST, the authorization server): bounds for slow clients, and our refusals.

What never reaches a route is answered in the words of the one who serves.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler

from services.common.errors import AppError, internal
from services.common.lingering import LINGER_S, UnreadAnswer, linger
from services.common.problem import HttpError, unreadable

_TOO_MANY: Final = "Too many"
"""How aiohttp begins to say that there are too many headers: it has no exception for that."""

Refuse = Callable[[AppError, str], web.Response]
"""Renders an error outside of every middleware, with all the headers of an answer. The text is the path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What slow and greedy clients meet.

    A connection may take `idle_s` to send the head of its next request, the first included, and leave an
    answer unread for `write_s`. `max_header_bytes` is for the request line, and for each header.
    """

    idle_s: float = 75.0
    write_s: float = 30.0
    max_header_bytes: int = 16_384
    max_headers: int = 64


class Runner(web.AppRunner):
    """Runs an application on our connections."""

    def __init__(self, app: web.Application, refuse: Refuse, bounds: Bounds, *, drain_s: float) -> None:
        super().__init__(
            app,
            access_log=None,  # the application writes its one line itself
            handle_signals=False,
            keepalive_timeout=bounds.idle_s,
            max_line_size=bounds.max_header_bytes,
            max_field_size=bounds.max_header_bytes,
            max_headers=bounds.max_headers,
            lingering_time=LINGER_S,
            auto_decompress=False,  # compressed bodies are refused, so none can unfold
            shutdown_timeout=drain_s,
        )
        self._refuse = refuse
        self._write_s = bounds.write_s

    async def _make_server(self) -> web.Server:
        return _Server(await super()._make_server(), self._refuse, self._write_s)


class _Server(web.Server):
    """Makes our connections for one application."""

    def __init__(self, inner: web.Server, refuse: Refuse, write_s: float) -> None:
        super().__init__(
            self._guarded,
            request_factory=inner.request_factory,
            loop=inner._loop,  # noqa: SLF001 - aiohttp offers no other way to our own connections
            **inner._kwargs,  # noqa: SLF001
        )
        self._handle = inner.request_handler
        self._refuse = refuse
        self._write_s = write_s

    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, refuse=self._refuse, write_s=self._write_s, **self._kwargs)

    async def _guarded(self, request: web.BaseRequest) -> web.StreamResponse:
        # What aiohttp refuses before it looks for middlewares.
        try:
            return await self._handle(request)
        except web.HTTPExpectationFailed:
            error = HttpError(417, "EXPECTATION_FAILED", "Only 100-continue can be expected.")
        except web.HTTPException:
            error = internal()
        return self._refuse(error, request.path)


class _Connection(RequestHandler):
    """One client's connection."""

    __slots__ = ("_body", "_is_unreadable", "_refuse", "_unread")

    def __init__(self, *args: Any, refuse: Refuse, write_s: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._refuse = refuse
        self._unread = UnreadAnswer(write_s)
        self._is_unreadable = False
        self._body: StreamReader = EMPTY_PAYLOAD
        """Of the newest request that is not answered yet."""

    def data_received(self, data: bytes) -> None:
        """Take in what arrived. A body that breaks its framing fails; aiohttp would wait for the rest."""
        super().data_received(data)
        if not self._messages:
            return
        newest, body = self._messages[-1]
        if isinstance(newest, RawRequestMessage):
            self._body = body
        elif not self._body.is_eof():
            self._messages.pop()  # one answer is enough: that of the request whose body it is
            self._is_unreadable = True
            self._body.set_exception(web.RequestPayloadError())

    def pause_writing(self) -> None:
        """The client does not read what we write: wait, but not for ever."""
        super().pause_writing()
        self._unread.begun(self._abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self._unread.ended()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection has ended."""
        self._unread.ended()
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
        self._is_unreadable = status < web.HTTPInternalServerError.status_code
        response = self._refuse(_parse_error(exc) if self._is_unreadable else internal(), "")
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer. If it is the last, a client that still sends gets the time to see it."""
        if self._body is request.content:  # else it is that of a request that came behind this one
            self._body = EMPTY_PAYLOAD
        if self._is_unreadable:
            resp.force_close()
        finished = await super().finish_response(request, resp, start_time)
        client_is_sending = self._is_unreadable or not request.content.is_eof()
        if client_is_sending and not resp.keep_alive and self.transport is not None:
            self._force_close = True  # nothing more is read here
            linger(cast("asyncio.Transport", self.transport), self)
        return finished

    def _abort(self) -> None:
        if self.transport is not None:
            # No isinstance: transports of uvloop are none of asyncio's classes.
            cast("asyncio.Transport", self.transport).abort()


def _parse_error(error: BaseException | None) -> AppError:
    return unreadable(is_too_large=isinstance(error, LineTooLong) or _TOO_MANY in str(error))
